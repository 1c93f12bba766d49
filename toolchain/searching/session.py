"""The search of a run: from its configuration to a genotype; killed at any moment, it resumes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError, brief
from snnas.hw_sim.files import write_text
from snnas.toolchain.data.scoring_batch import copies_note, scoring_batch
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.output.stderr import Narrator, counted
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import MEND, Run
from snnas.toolchain.searching.budgets import METRICS, Limits, check_limits
from snnas.toolchain.searching.cost import Chip, Cost, Meter, Predictor, live
from snnas.toolchain.searching.evaluator import PREDICT, Evaluator, in_worker, score_kind
from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.searching.pool import Ask, Each
from snnas.toolchain.searching.runner import MAX_STUDY, Bank, Judged, Material, Spec, Task
from snnas.toolchain.searching.smaller import ways_out
from snnas.toolchain.searching.standing import Standing
from snnas.toolchain.searching.workers import open_pool
from snnas.toolchain.training.device import resolve_device

if TYPE_CHECKING:
    from snnas.search.methods import Refuse, SearchResult
    from snnas.search.network.genotype import Genotype
    from snnas.search.scoring.proxies import Score
    from snnas.toolchain.data.load import Dataset

# Networks that are refused before it is said that none was kept; and so many times as many until it is said again.
TELLING = 8
# Samples on which a network is run before training to predict its cost.
PREDICTION_SAMPLES = 32


def use_device(run: Run, device: str | None) -> None:
    """Go on with a search on ``device``, or on the one it was started on; UsageError where torch cannot use it."""
    config = run.config()
    before = config["versions"]["device"]
    config["versions"]["device"] = resolve_device(device or before)
    if config["versions"]["device"] != before:
        run.write_config(config)


class Session:
    """Everything that a run's search works with, kept over the attempts of a search under a budget.

    answer: evaluates candidates; an ``Evaluator``, or a pool of workers that have one each. candidates: the whole
    networks that were looked at, by architecture id; of a method that prunes, there are few. workers: how many.
    """

    def __init__(
        self, run: Run, narrator: Narrator, spec: Spec, data: Dataset, answer: Ask, *, workers: int = 1
    ) -> None:
        self.workers = workers
        self.run, self.narrator, self.spec, self.data = run, narrator, spec, data
        self.runner = RUNNERS[spec.settings["name"]]
        self.limits: Limits = check_limits(run.section("budget"), f"{run.path / 'run.toml'}: [budget]")
        self.answer, self.evaluator = answer, answer if isinstance(answer, Evaluator) else Evaluator(spec)
        self.candidates: dict[str, Genotype] = {}
        self._scores: dict[Any, Score] = {}
        self._answered = 0  # evaluations with those whose records are still to come: many are scored at once

    @classmethod
    @contextlib.contextmanager
    def of(cls, run: Run, narrator: Narrator, *, workers: int = 1, engine: str = "process") -> Iterator[Session]:
        """The session of a run. workers: processes that evaluate; 1 of engine 'process' is this one."""
        _check(run)
        data = dataset_of(run)
        spec = spec_of(run, data)
        runner = RUNNERS[spec.settings["name"]]
        note = copies_note(data, runner.batches * int(spec.settings["batch"]), len(spec.banks[0].batch))
        if note and not run.genotype.exists():
            narrator.say(f"  {note}")
        if workers == 1 and engine == "process":
            yield cls(run, narrator, spec, data, Evaluator(spec))
            return
        with open_pool(engine, partial(in_worker, spec), workers, chunk=runner.chunk) as answer:
            yield cls(run, narrator, spec, data, answer, workers=workers)

    @cached_property
    def meter(self) -> Meter:
        """Holds predicted costs against the limits."""
        predictor = self.spec.predictor
        return Meter(predictor.config, predictor.widths, self.limits, self._priced)

    def _priced(self, genotypes: Sequence[Genotype]) -> Sequence[Cost | str]:
        """Predicted costs of many, each of which takes a while."""
        if len(genotypes) < 2:
            return self.answer(PREDICT, genotypes)
        done = 0
        with self.narrator.progress(f"pricing {counted(len(genotypes), 'network')}") as advance:

            def each(at: int, found: Any) -> None:
                nonlocal done
                done += 1
                advance(done, len(genotypes))

            return self.answer(PREDICT, genotypes, each=each)

    def costs(self, genotypes: Sequence[Genotype]) -> list[Cost | str]:
        """What each is expected to cost, as the search measured it or as it is predicted; or why there is nothing."""
        judged = self.judged()
        if judged is None:
            return self.meter.costs(genotypes)
        none = "the search has not trained it with several seeds"
        return [judged[g.architecture_id].cost if g.architecture_id in judged else none for g in genotypes]

    def judged(self) -> dict[str, Judged] | None:
        """The networks that the search trained and measured, by id; None of a method that predicts."""
        return self.runner.judged(self.run.search_log.read())

    def search(
        self, *, attempt: int = 1, limits: Limits | None = None, banned: Mapping[Any, str] | None = None
    ) -> SearchResult:
        """Find the genotype and write it down.

        attempt: of a search under a budget, from 1; each has its own records. limits: instead of the run's, for
        predicted figures. banned: networks that are refused, by ``cost.live``, and why. GateError where nothing is
        within the limits: it names the nearest miss.
        """
        log = self.run.search_log
        log.mend()
        every = log.read()
        seen = [r for r in every if r.get("attempt", 1) == attempt and r.get("event") != "trial"]
        limits = self.limits if limits is None else limits
        begun, done = time.perf_counter(), sum(r.get("event") == "evaluation" for r in seen)

        def record(entry: dict[str, Any]) -> None:
            nonlocal done
            log.append(entry if attempt == 1 else {**entry, "attempt": attempt})
            done += entry.get("event") == "evaluation"
            advance(min(total, max(done, self._answered)), total)
            if standing is not None and standing.add(entry):
                self.narrator.beneath(standing.table)

        self._answered = done
        compared = self.runner.compared_by(self.spec)
        standing = Standing(compared) if compared else None
        if standing is not None:
            for entry in seen:
                standing.add(entry)
        earlier = [r for r in every if r.get("attempt", 1) < attempt and r.get("event") == "evaluation"]
        task = self._task(record, seen, earlier, limits, banned or {})
        total, words = self.runner.plan(task)
        if done:
            self.narrator.say(f"  {done} of {counted(total, 'evaluation')} are taken over from the log")
        if not every and not self.narrator.quiet:
            with self.narrator.watched("trying some candidates"):
                seconds = self.runner.seconds(task, self.evaluator.scorer(), total)
            self.narrator.ahead(seconds / self.workers, words)
        with self.narrator.progress(words) as advance:
            result = self._within(task, limits)
        conclude(self.run, result, self.narrator, time.perf_counter() - begun, resumed=bool(seen))
        return result

    def _task(
        self,
        record: Any,
        seen: Sequence[Mapping[str, Any]],
        earlier: Sequence[Mapping[str, Any]],
        limits: Limits,
        banned: Mapping[Any, str],
    ) -> Task:
        # What is trained is held to the lower limits as it is measured, and not as it is predicted.
        refusal = (self.limits, {}) if self.runner.trains else (limits, banned)
        return Task(
            spec=self.spec,
            seed=int(self.run.config()["seed"]),
            score=self._score,
            study=[partial(self.answer, score_kind(bank)) for bank in range(1, len(self.spec.banks))],
            inspect=lambda candidate: self.evaluator.scorer().inspect(candidate),
            refuse=self._refusal(*refusal) if self.limits or self.run.section("objectives") else None,
            costs=lambda genotypes: self.meter.costs(genotypes),
            log=record,
            resume=seen,
            train=self._train,
            limits=limits,
            banned=[name for key in banned for name in key] if self.runner.trains else (),
            earlier=earlier,
            say=self.narrator.say,
        )

    def _train(self, trials: Sequence[Any], each: Each) -> None:
        """What each training comes to is told ``each``, and kept by whoever asks: the log is the memory."""
        self.answer(score_kind(0), trials, each=each)

    def _refusal(self, limits: Limits, banned: Mapping[Any, str]) -> Refuse:
        self.meter.limits, self.meter.nearest = dict(limits), None
        seen, told, kept = set[str](), TELLING, False

        def refuse(genotypes: Sequence[Genotype]) -> list[str | None]:
            nonlocal told, kept
            self.candidates.update((genotype.architecture_id, genotype) for genotype in genotypes)
            reasons = self.meter.refuse(genotypes) if limits else [None] * len(genotypes)
            reasons = [banned.get(live(g), reason) for g, reason in zip(genotypes, reasons, strict=True)]
            seen.update(genotype.architecture_id for genotype in genotypes)
            kept = kept or None in reasons
            if not kept and len(seen) >= told and self.meter.nearest:
                while told <= len(seen):
                    told *= TELLING
                self.narrator.say(f"  none of {len(seen)} networks keeps the budget; nearest {self.meter.nearest[1]}")
            return reasons

        return refuse

    def _score(self, candidates: Sequence[Any]) -> list[Score]:
        """Scores; those of an earlier attempt are remembered."""
        self._answered += len(candidates)
        keys = [self.runner.key(candidate, self.spec.network) for candidate in candidates]
        missing = {key: candidate for key, candidate in zip(keys, candidates, strict=True) if key not in self._scores}
        if missing:
            self._scores.update(zip(missing, self.answer(score_kind(0), list(missing.values())), strict=True))
        return [self._scores[key] for key in keys]

    def _within(self, task: Task, limits: Limits) -> SearchResult:
        from snnas.search.methods.journal import NoScoreError
        from snnas.search.methods.trials import NothingTrainedError

        try:
            return self.runner.run(task)
        except (NoScoreError, NothingTrainedError) as error:
            raise GateError(f"search: {error}") from None
        except GateError as error:
            miss = f"; nearest is {self.meter.nearest[1]}" if self.meter.nearest else ""
            if limits != self.limits:
                miss += " (limits lowered by what training raised in an earlier attempt)"
            raise GateError(f"search: {error}{miss}; {ways_out(self.spec, self.data)}") from None


def conclude(run: Run, result: SearchResult, narrator: Narrator, seconds: float, *, resumed: bool) -> None:
    """Say what a search found and write it down; GateError for a network whose output does not depend on its input."""
    for guard in result.guards:
        narrator.say(f"  guard {guard.get('guard', guard.get('name'))}: {guard.get('text', guard)}")
    name = result.genotype.architecture_id
    if result.refused:
        raise GateError(
            f"search: the network found, {name}, gives the same output for every sample of the batch, expected one "
            f"that depends on its input; search again with another --seed or a larger --batch"
        )
    silent = sum(rate == 0 for rate in result.firing.values())
    about = f"{silent} of {len(result.firing)} layers silent" if result.firing else f"score {result.score:.4g}"
    narrator.say(f"  found {name} in {seconds:.1f} s; {about}")
    config = run.config()
    config["search"] = {
        "seconds": round(seconds, 3),
        "evaluations": result.evaluations,
        **({"score": result.score} if math.isfinite(result.score) else {}),  # -inf where two samples fire alike
        "silent_layers": silent,
        "guards": len(result.guards),
        "architecture": name,
        "resumed": resumed,
    }
    run.write_config(config)
    write_text(run.genotype, result.genotype.to_json())


def _check(run: Run) -> None:
    """InvalidFileError where what a search takes from run.toml is none of what ``begin_search`` writes there."""
    method, names = run.section("method"), run.section("objectives").get("names", [])
    runner, study = RUNNERS.get(method["name"]), method.get("study", 0)
    faults = (
        ("[method] name", method["name"], runner is not None),
        ("[method] space", method["space"], runner is not None and method["space"] in runner.spaces()),
        ("[method] study", study, study <= MAX_STUDY),
        ("[objectives] names", names, all(name in ("score", *METRICS) for name in names)),
    )
    for place, value, good in faults:
        if not good:
            raise InvalidFileError(f"{run.path / 'run.toml'}: {place} is {brief(value)}; {MEND}")
    assert runner is not None
    try:
        runner.check(method)
    except UsageError as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [method]: {error}; {MEND}") from None


def spec_of(run: Run, data: Dataset) -> Spec:
    """What evaluates the candidates of a run. A run of before an option has the option's default."""
    from snnas.search.kinds import kind_of
    from snnas.search.methods.memory import Widths

    config = run.config()
    seed, settings = int(config["seed"]), config["method"]
    network = kind_of(settings["space"]).sizes(run.network_json(), where=str(run.path / "run.toml"))
    size = RUNNERS[settings["name"]].batches * int(settings["batch"])
    names = ["", *(f" study {repeat}" for repeat in range(1, int(settings.get("study", 0)) + 1))]
    banks = tuple(
        Bank(seed=torch_seed(seed, f"supernet{name}"), batch=scoring_batch(data, seed, size, f"proxy{name}"))
        for name in names
    )
    widths = Widths(**settings.get("widths", {}))
    if "axes" in settings and "bits" not in settings["axes"] and widths != Widths(state=widths.state):
        raise InvalidFileError(
            f"{run.path / 'run.toml'}: an older snnas counted memory with {widths.weight} bits of a weight, while "
            "programs had 8; begin the search anew with --bits"
        )
    predictor = Predictor(
        config=network,
        chip=Chip.load(**run.section("chip")),
        widths=widths,
        x=banks[0].batch[:PREDICTION_SAMPLES],
        input_range=data.range,
        seed=seed,
    )
    return Spec(
        settings=settings,
        network=network,
        device=str(config["versions"]["device"]),
        banks=banks,
        predictor=predictor,
        limits=check_limits(run.section("budget"), f"{run.path / 'run.toml'}: [budget]"),
        objectives=tuple(name for name in run.section("objectives").get("names", ()) if name != "score"),
        front=int(run.section("objectives").get("train", 0)),
        material=_material(run, data) if RUNNERS[settings["name"]].trains else None,
    )


def _material(run: Run, data: Dataset) -> Material:
    """What trainings work on; no test sample goes with it."""
    from snnas.toolchain.training import recipe_of

    try:
        recipe = recipe_of(run.section("train"), where="[train]")
    except (TypeError, UsageError) as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [train]: {error}") from None
    # Nor what draws recordings anew: it holds open files, and a design is trained on parts of its own.
    return Material(data=replace(data, x_test=data.x_test[:0], y_test=data.y_test[:0], redraw=None), recipe=recipe)
