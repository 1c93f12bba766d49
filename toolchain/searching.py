"""The search of a run: from its configuration to a genotype; killed at any moment, it resumes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hw_sim.errors import GateError, InvalidFileError, brief
from toolchain.budgets import METRICS, Limits, check_limits
from toolchain.costs import Chip, Meter, Predictor, live
from toolchain.evaluating import PREDICT, Bank, Evaluator, Spec, in_worker, score_kind
from toolchain.files import write_text
from toolchain.narration import Narrator, counted
from toolchain.restoring import dataset_of
from toolchain.runs import Run
from toolchain.scoring_batch import copies_note, scoring_batch
from toolchain.search_methods import RUNNERS, Task
from toolchain.seeds import torch_seed
from toolchain.starting import MAX_STUDY, resolve_device
from toolchain.workers import Answer, pool

if TYPE_CHECKING:
    from search.genotype import Genotype
    from search.guards import Finding
    from search.methods import SearchResult
    from search.proxies import Score
    from search.supernet import Candidate
    from toolchain.data import Dataset

# Samples on which a network is run before training to predict its cost.
PREDICTION_SAMPLES = 32


def use_device(run: Run, device: str | None) -> None:
    """Go on with a search on ``device``, or on the one it was started on; UsageError where torch cannot use it."""
    config = run.config()
    before = config["versions"]["device"]
    config["versions"]["device"] = resolve_device(device or before)
    if config["versions"]["device"] != before:
        run.write_config(config)


def search(run: Run, narrator: Narrator) -> None:
    """Finds the genotype of a run; what its log already holds is not evaluated again."""
    if not run.genotype.exists():
        with Session.of(run, narrator) as session:
            session.search()


class Session:
    """Everything that a run's search works with, kept over the attempts of a search under a budget.

    answer: evaluates candidates; an ``Evaluator``, or a pool of workers that have one each. candidates: the whole
    networks that were looked at, by architecture id; of a method that prunes, there are few.
    """

    def __init__(self, run: Run, narrator: Narrator, spec: Spec, data: Dataset, chip: Chip, answer: Answer) -> None:
        from search.memory import Widths
        from search.space import get

        method = run.section("method")
        self.run, self.narrator, self.data, self.chip = run, narrator, data, chip
        self.seed, self.name = int(run.config()["seed"]), str(method["name"])
        self.space, self.network = get(spec.space), spec.network
        self.draws, self.backward = int(method.get("candidates", 0)), spec.backward
        self.widths: Widths = spec.predictor.widths
        self.limits: Limits = check_limits(run.section("budget"), f"{run.path / 'run.toml'}: [budget]")
        self.answer, self.evaluator = answer, answer if isinstance(answer, Evaluator) else Evaluator(spec)
        self.repeats = len(spec.banks) - 1
        self.meter = Meter(spec.network, self.widths, self.limits, partial(answer, PREDICT))
        self.candidates: dict[str, Genotype] = {}
        self._scores: dict[Any, Score] = {}

    @classmethod
    @contextlib.contextmanager
    def of(cls, run: Run, narrator: Narrator, *, workers: int = 1, engine: str = "process") -> Iterator[Session]:
        """The session of a run. workers: processes that evaluate; 1 of engine 'process' is this one."""
        _check(run)
        data = dataset_of(run)
        chip = Chip.load(**run.section("chip"))
        spec = spec_of(run, data, chip)
        note = copies_note(data, int(run.section("method")["batch"]), len(spec.banks[0].batch))
        if note and not run.genotype.exists():
            narrator.say(f"  {note}")
        if workers == 1 and engine == "process":
            yield cls(run, narrator, spec, data, chip, Evaluator(spec))
            return
        with pool(engine, partial(in_worker, spec), workers) as answer:
            yield cls(run, narrator, spec, data, chip, answer)

    def search(
        self, *, attempt: int = 1, limits: Limits | None = None, banned: Mapping[Any, str] | None = None
    ) -> SearchResult:
        """Find the genotype and write it down.

        attempt: of a search under a budget, from 1; each has its own records. limits: instead of the run's, for
        predicted figures. banned: networks that are refused, by ``costs.live``, and why. GateError where nothing is
        within the limits: it names the nearest miss.
        """
        log = self.run.search_log
        log.mend()
        every = log.read()
        seen = [r for r in every if r.get("attempt", 1) == attempt and r.get("event") != "trial"]
        self.meter.limits, self.meter.nearest = dict(self.limits if limits is None else limits), None
        begun, done = time.perf_counter(), sum(r.get("event") == "evaluation" for r in seen)

        def record(entry: dict[str, Any]) -> None:
            nonlocal done
            log.append(entry if attempt == 1 else {**entry, "attempt": attempt})
            done += entry.get("event") == "evaluation"
            advance(done, total)

        task = self._task(record, seen, banned or {})
        total = RUNNERS[self.name].total(task)
        if done:
            self.narrator.say(f"  {done} of {counted(total, 'evaluation')} are taken over from the log")
        with self.narrator.progress(f"searching {self.space.name}: {counted(total, 'evaluation')}") as advance:
            result = self._within(task)
        conclude(self.run, result, self.narrator, time.perf_counter() - begun, resumed=bool(seen))
        return result

    def _task(self, record: Any, seen: Sequence[Mapping[str, Any]], banned: Mapping[Any, str]) -> Task:
        def inspect(candidate: Candidate) -> tuple[Finding, ...]:
            return self.evaluator.supernet.inspect(self.evaluator.batch(), candidate)

        def refuse(genotypes: Sequence[Genotype]) -> list[str | None]:
            self.candidates.update((genotype.architecture_id, genotype) for genotype in genotypes)
            reasons = self.meter.refuse(genotypes) if self.meter.limits else [None] * len(genotypes)
            return [banned.get(live(g), reason) for g, reason in zip(genotypes, reasons, strict=True)]

        priced = bool(self.limits) or bool(self.run.section("objectives"))
        return Task(
            space=self.space,
            network=self.network,
            backward=self.backward,
            draws=self.draws,
            seed=self.seed,
            widths=self.widths,
            score=self._score,
            study=[partial(self.answer, score_kind(bank)) for bank in range(1, self.repeats + 1)],
            inspect=inspect,
            refuse=refuse if priced else None,
            log=record,
            resume=seen,
        )

    def _score(self, candidates: Sequence[Candidate]) -> list[Score]:
        """Scores; those of an earlier attempt are remembered."""
        from search.supernet import cells_of

        cells = [cells_of(candidate, self.network.cells) for candidate in candidates]
        keys = [tuple(tuple(ops.items()) for ops in each) for each in cells]
        missing = {key: candidate for key, candidate in zip(keys, candidates, strict=True) if key not in self._scores}
        if missing:
            self._scores.update(zip(missing, self.answer(score_kind(0), list(missing.values())), strict=True))
        return [self._scores[key] for key in keys]

    def _within(self, task: Task) -> SearchResult:
        from search.errors import GateError as NothingLeft
        from search.errors import NoScoreError

        try:
            return RUNNERS[self.name].run(task)
        except NoScoreError as error:
            raise GateError(f"search: {error}") from None
        except NothingLeft as error:
            miss = f"; nearest is {self.meter.nearest[1]}" if self.meter.nearest else ""
            if self.meter.limits != self.limits:
                miss += " (limits lowered by what training raised in an earlier attempt)"
            raise GateError(
                f"search: {error}{miss}; raise the budget, or search smaller networks with --channels and --hidden"
            ) from None


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
    narrator.say(f"  found {name} in {seconds:.1f} s; {silent} of {len(result.firing)} layers silent")
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
    """InvalidFileError where what a search takes from run.toml is not what ``starting`` writes there."""
    method, chip, objectives = run.section("method"), run.section("chip"), run.section("objectives")
    widths = method.get("widths", {})
    names = objectives.get("names", [])
    faults = (
        ("[method] name", method["name"], method["name"] in RUNNERS),
        ("[method] batch", method["batch"], method["batch"] >= 1),
        ("[method] study", method.get("study", 0), 0 <= method.get("study", 0) <= MAX_STUDY),
        ("[method] widths", widths, _holds(widths, {"weight": int, "state": int})),
        ("[chip]", chip, _holds(chip, {"profile": str, "system": str})),
        ("[objectives]", objectives, _holds(objectives, {"names": list, "train": int}) and len(objectives) in (0, 2)),
        ("[objectives] names", names, all(isinstance(n, str) and n in ("score", *METRICS) for n in names)),
    )
    for place, value, good in faults:
        if not good:
            raise InvalidFileError(
                f"{run.path / 'run.toml'}: {place} is {brief(value)}; mend the file, or search again"
            )


def _holds(table: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(table, dict) and all(type(value) is kinds.get(key) for key, value in table.items())


def spec_of(run: Run, data: Dataset, chip: Chip) -> Spec:
    """What evaluates the candidates of a run. A run of before an option has the option's default."""
    from search.memory import Widths
    from search.network_config import NetworkConfig

    config = run.config()
    seed, method = int(config["seed"]), config["method"]
    network = NetworkConfig.from_json(run.network_json(), where=str(run.path / "run.toml"))
    size = int(method["batch"])
    names = ["", *(f" study {repeat}" for repeat in range(1, int(method.get("study", 0)) + 1))]
    banks = tuple(
        Bank(seed=torch_seed(seed, f"supernet{name}"), batch=scoring_batch(data, seed, size, f"proxy{name}"))
        for name in names
    )
    return Spec(
        space=str(method["space"]),
        network=network,
        backward=bool(method["backward"]),
        proxy=str(method.get("proxy", "sahd")),
        device=str(config["versions"]["device"]),
        banks=banks,
        predictor=Predictor(
            config=network,
            chip=chip,
            widths=Widths(**method.get("widths", {})),
            x=banks[0].batch[:PREDICTION_SAMPLES],
            input_range=data.range,
            seed=seed,
        ),
    )
