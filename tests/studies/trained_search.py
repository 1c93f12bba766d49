"""What a search that trains is worth: at one budget and equal trainings, against plainer ways to choose a network.

Every arm draws designs, trains them shortly, the best longer with several seeds, and takes the most accurate on average
of those that keep the budget on target: one procedure, equal trainings, equal data. Arms differ in what is drawn:

* ``trained``: ``snnas search --method trained``: draws, then evolution.
* ``thresholds``: the same with thresholds of .6, 1 and 1.4 to choose from for every cell: not by default.
* ``random``: random draws of the same space.
* ``papers``: what the papers' random search draws: one valid cell of ``lightsnn`` for both cells, T = 5, head 'lif', at
  the widths and heads' sizes of the space.
* ``papers-one-conv``, ``papers-chain``: the same, with one convolution as each cell, or three in a row.
* ``one-conv``, ``chain``: the space with all cells one convolution, or three in a row; its other axes are free.
* ``lightsnn``, ``snasnet``, ``spikenas``, ``mse_nas``: the published methods, as shipped, in the CPU seconds that
  ``trained`` has taken for that seed (``published_arms``): not by default.

What an arm takes is trained by the data set's recipe; where it is over the budget on the validation split then, the
next is taken, as the search itself does. It is measured on the test split, which no choice has seen, on target. A seed
draws its own split, weights, parts and designs, equal for all arms; differences to ``trained`` are paired by seed,
their intervals 95 % bootstraps over seeds. CPU seconds are those of all trainings and searches. Each training is a line
of an append-only log beside ``--out``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import GateError, UsageError
from snnas.hw_sim.files import write_json
from snnas.search.methods.trained import Plan, run
from snnas.search.network.design import SPACE, Design
from snnas.search.network.design_space import DesignSpace
from snnas.search.network.genotype import Cell
from snnas.search.network.space import get
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import percentiles
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.searching.budgets import parse_limits
from snnas.toolchain.searching.within_budget import ATTEMPTS
from tests.studies.arm_log import ArmLog, settings_key
from tests.studies.command import main, numbers, tell
from tests.studies.published_arms import METHODS, on_test
from tests.studies.published_arms import searched as published

if TYPE_CHECKING:
    from snnas.search.methods.trials import Trained, Trial
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.searching.trained_method import Trainer

SCHEMA = "snnas.bench.trained_search/2"  # 1 had seconds of the trainings alone, by the clock
ARMS = ("trained", "random", "papers", "papers-one-conv", "papers-chain", "one-conv", "chain")
CELLS = {
    "one-conv": Cell.of({(0, 3): "conv3x3"}),
    "chain": Cell.of({(0, 1): "conv3x3", (1, 2): "conv3x3", (2, 3): "conv3x3"}),
}
PAPERS, PAPERS_TIMESTEPS = "papers", 5
THRESHOLDS = "thresholds", (0.6, 1.0, 1.4)
EVOLVED = ("trained", THRESHOLDS[0])  # all other arms draw at random
EVERY = (*ARMS, THRESHOLDS[0], *METHODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """What is measured. data: NAME=VALUE of the data set. epochs: of the final training, 0 for the recipe's.

    draws: of the bootstrap.
    """

    dataset: str = "digits"
    data: tuple[str, ...] = ()
    budget: str = "energy_total=90uJ"
    arms: tuple[str, ...] = ARMS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    trainings: int = 64
    short_epochs: int = 4
    epochs: int = 0
    draws: int = 2000

    def check(self) -> None:
        for name, least in (("trainings", 4), ("short_epochs", 1), ("epochs", 0), ("draws", 100)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: expected a whole number >= {least}"
                )
        for arm in self.arms:
            if arm not in EVERY:
                raise UsageError(f"--arms {arm!r}: expected some of {', '.join(EVERY)}")
        first = next((arm for arm in self.arms if arm in (*METHODS, "trained")), None)
        if first in METHODS:
            raise UsageError(f"--arms {first}: it may take as many seconds as trained, which has to stand before it")


class Arm(DesignSpace):
    """A space whose draws have the cells that an arm has: ``cells_of`` of a stream and how many there are."""

    cells_of: Callable[[np.random.Generator, int], Sequence[Cell]]

    @classmethod
    def within(cls, space: DesignSpace, cells_of: Callable[[np.random.Generator, int], Sequence[Cell]]) -> Arm:
        arm = cls.of(space.plain())
        object.__setattr__(arm, "cells_of", cells_of)
        return arm

    def draw(self, rng: np.random.Generator) -> Design:
        found = super().draw(rng)
        return replace(found, cells=tuple(self.cells_of(rng, len(found.cells))))


def space_for(arm: str, space: DesignSpace) -> DesignSpace:
    """What an arm draws from."""
    if arm.startswith(PAPERS):
        space = replace(space, cells=(2,), timesteps=(PAPERS_TIMESTEPS,), head=("lif",), reduction=("max",))
    if arm == THRESHOLDS[0]:
        return replace(space, thresholds=THRESHOLDS[1])
    if arm == PAPERS:
        return Arm.within(space, lambda rng, count: get("lightsnn").random_genotype(rng, cells=count).cells)
    cell = CELLS.get(arm.removeprefix(f"{PAPERS}-"))
    if cell is not None:
        return Arm.within(space, lambda rng, count: (cell,) * count)
    return space


def study(options: StudyOptions, narrator: Narrator, out: Path | None) -> dict[str, Any]:
    """Search and measure every arm for every seed; ``out`` gets the figures as JSON, its log every training."""
    options.check()
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    found: list[dict[str, Any]] = []
    for seed in options.seeds:
        for arm in options.arms:
            spent = [one["seconds"] for one in found if (one["arm"], one["seed"]) == ("trained", seed)]
            found.append(_arm(options, arm, seed, log, narrator, *spent))
            one = found[-1]
            narrator.say(
                f"seed {seed}, {arm}: "
                + (
                    f"{one['on_target']:.2%} on target, {one['energy_uJ']['nominal']:.1f} uJ "
                    f"(to {one['energy_uJ']['high']:.1f}), {one['seconds']:.0f} CPU s"
                    if one["on_target"] is not None
                    else one["reason"]
                )
            )
    result = {"schema": SCHEMA, **asdict(options), "arms_of": found, **summary(found, options)}
    if out is not None:
        write_json(out, result)
    return result


def _key(options: StudyOptions, arm: str, seed: int) -> str:
    return settings_key((SCHEMA, replace(options, arms=(arm,), seeds=(seed,), draws=100)))


def _arm(
    options: StudyOptions, arm: str, seed: int, log: JsonLines | None, narrator: Narrator, seconds: float = 0.0
) -> dict[str, Any]:
    """One arm of one seed, from its log where it was done before. seconds: of CPU, that a published method may take."""
    mine = ArmLog(log, _key(options, arm, seed), arm, seed)
    if done := mine.of("arm"):
        return dict(done[-1]["found"])
    if arm in METHODS:
        found = published(
            arm, options.dataset, options.budget, seed, seconds, narrator, data=options.data, epochs=options.epochs
        )
    else:
        found = _searched(options, arm, seed, mine, narrator)
    mine({"event": "arm", "op": arm, "found": found})
    return found


def _searched(options: StudyOptions, arm: str, seed: int, mine: ArmLog, narrator: Narrator) -> dict[str, Any]:
    begun, before = time.process_time(), sum(float(r["seconds"]) for r in mine.of("evaluation"))
    data, trainer, space = prepared(options.dataset, options.data, seed, options.short_epochs)
    limits = parse_limits(options.budget)
    plan = Plan(
        trainings=options.trainings,
        costs=tuple(limits)[:1],
        limits=trainer.reserved(limits),
        random=arm not in EVOLVED,
    )
    with narrator.progress(f"seed {seed}, {arm}") as advance:
        done = 0

        def train(trials: Sequence[Any], each: Any) -> None:
            nonlocal done
            for at, trial in enumerate(trials):
                each(at, trainer(trial))
                done += 1
                advance(done, plan.all_trainings)

        banned, tried = list[str](), list[dict[str, Any]]()
        reason = ""
        while len(tried) < ATTEMPTS:
            try:
                result = run(
                    space_for(arm, space),
                    train,
                    replace(plan, banned=tuple(banned)),
                    rng=stream(seed, f"study {'trained' if arm in ('random', *EVOLVED) else arm}"),
                    refuse=trainer.refuses(limits),
                    log=mine,
                    resume=list(mine.records),
                )
            except GateError as error:
                reason = str(error)
                break
            design = result.genotype
            assert isinstance(design, Design)
            tried.append(trainer.final(design, data, seed, options.epochs, limits))
            if not tried[-1]["over"]:
                break
            banned.append(design.architecture_id)
    seconds = before + time.process_time() - begun
    kept = [one for one in tried if not one["over"]]
    base = {"arm": arm, "seed": seed, "seconds": seconds, "trainings": options.trainings, "tried": len(tried)}
    if not kept:
        return {**base, "on_target": None, "reason": reason or f"none of {len(tried)} keeps the budget after training"}
    return {**base, **kept[-1]}


class _Trainer:
    """A trainer of designs with the data of a seed, and all that is measured beside it."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def __call__(self, trial: Trial) -> Trained:
        """What comes of a trial, with its CPU seconds: what arms are compared by."""
        begun = time.process_time()
        (result,) = self.trainer([trial])
        return replace(result, cost={**result.cost, "seconds": time.process_time() - begun})

    def reserved(self, limits: dict[str, float]) -> dict[str, float]:
        from snnas.toolchain.searching.closest_miss import reserved

        return reserved(limits)

    def refuses(self, limits: dict[str, float]) -> Any:
        from snnas.toolchain.searching.cost import Meter

        predictor = self.trainer.predictor
        return Meter(predictor.config, predictor.widths, limits, predictor).refuse

    def final(self, design: Design, data: Dataset, seed: int, epochs: int, limits: dict[str, float]) -> dict[str, Any]:
        """Train a design by the recipe; hold it to the budget on the validation split, measure it on the test split."""
        from snnas.toolchain.searching.cost import measure
        from snnas.toolchain.searching.within_budget import over_budget
        from snnas.toolchain.training import build, train

        predictor, recipe = self.trainer.predictor, self.trainer.material.recipe
        recipe = replace(recipe, epochs=epochs) if epochs else recipe
        network = build(design, predictor.config, seed=seed)
        train(network, data, recipe, seed=seed)
        network.eval()
        over = over_budget(limits, measure(network, data, predictor.chip, predictor.widths))
        return {
            "architecture": design.architecture_id,
            "genotype": design.to_json(),
            **on_test(network, data, predictor.chip, predictor.widths),
            "over": [str(excess) for excess in over],
        }


def prepared(dataset: str, pairs: Sequence[str], seed: int, short_epochs: int) -> tuple[Dataset, _Trainer, DesignSpace]:
    """A seed's data (``pairs``: NAME=VALUE of the data set), what trains designs on it, and the space of the method."""
    from snnas.search.methods.memory import Widths
    from snnas.search.network.design import DesignSizes
    from snnas.toolchain.data.load import load
    from snnas.toolchain.data.options import parse_options
    from snnas.toolchain.data.scoring_batch import scoring_batch
    from snnas.toolchain.searching.cost import Chip, Predictor
    from snnas.toolchain.searching.options import SearchOptions
    from snnas.toolchain.searching.runner import Material, Spec
    from snnas.toolchain.searching.session import PREDICTION_SAMPLES
    from snnas.toolchain.searching.trained_method import Trainer, space_of
    from snnas.toolchain.training import TrainingConfig, load_recipe, recipe_names

    data = load(dataset, seed=seed, **parse_options(pairs))
    recipe = load_recipe(dataset) if dataset in recipe_names() else TrainingConfig()
    sizes = DesignSizes(input_shape=data.input_shape, input_kind=data.input_kind, classes=data.classes)
    predictor = Predictor(
        config=sizes,
        chip=Chip.load(),
        widths=Widths(),
        x=scoring_batch(data, seed, PREDICTION_SAMPLES),
        input_range=data.range,
        seed=seed,
    )
    spec = Spec(
        settings={"name": "trained", "space": SPACE, "short_epochs": short_epochs},
        network=sizes,
        device="cpu",
        banks=(),
        predictor=predictor,
        material=Material(data=replace(data, x_test=data.x_test[:0], y_test=data.y_test[:0]), recipe=recipe),
    )
    return data, _Trainer(Trainer(spec)), space_of(SearchOptions(), data)


def summary(found: Sequence[dict[str, Any]], options: StudyOptions) -> dict[str, Any]:
    """Means of the arms, and what ``trained`` is ahead by, paired by seed, with 95 % bootstraps."""
    known = {(one["arm"], one["seed"]): one for one in found if one["on_target"] is not None}
    rng, rows, ahead = np.random.default_rng(0), list[dict[str, Any]](), dict[str, Any]()
    for arm in options.arms:
        mine = [one for (name, _), one in known.items() if name == arm]
        if mine:
            accuracy = float(np.mean([one["on_target"] for one in mine]))
            energy = [float(np.mean([one["energy_uJ"][end] for one in mine])) for end in ("nominal", "high")]
            ends = {
                "nominal": energy[0],
                "high": energy[1],
                "seconds": float(np.mean([one["seconds"] for one in mine])),
            }
            rows.append({"arm": arm, "seeds": len(mine), "on_target": accuracy, **ends})
        pairs = [
            known["trained", seed]["on_target"] - known[arm, seed]["on_target"]
            for seed in options.seeds
            if ("trained", seed) in known and (arm, seed) in known
        ]
        if arm != "trained" and pairs:
            means = [float(np.mean(rng.choice(pairs, len(pairs)))) for _ in range(options.draws)]
            low, high = percentiles(np.array(means))
            ahead[arm] = {"seeds": len(pairs), "mean": float(np.mean(pairs)), "low": low, "high": high}
    return {"rows": rows, "ahead": ahead}


def print_result(result: dict[str, Any]) -> None:
    """One row per arm."""
    from rich.table import Table

    out = Table(title=f"{result['dataset']}, {result['budget']}, {result['trainings']} trainings", title_justify="left")
    for head in (
        "arm",
        "seeds",
        "on target, test split",
        "uJ nominal",
        "upper end",
        "CPU s",
        "trained is ahead by, points",
    ):
        out.add_column(head)
    for row in result["rows"]:
        ahead = result["ahead"].get(row["arm"])
        said = f"{ahead['mean'] * 100:+.2f} ({ahead['low'] * 100:+.2f} .. {ahead['high'] * 100:+.2f})" if ahead else ""
        out.add_row(
            row["arm"],
            str(row["seeds"]),
            f"{row['on_target']:.2%}",
            f"{row['nominal']:.1f}",
            f"{row['high']:.1f}",
            f"{row['seconds']:.0f}",
            said,
        )
    print_table(out)


def command(
    dataset: Annotated[str, typer.Option(help="A name of snnas data list, or an .npz.")] = "digits",
    data: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the data set, repeatable.")] = None,
    budget: Annotated[str, typer.Option(help="Limits that all arms keep.")] = "energy_total=90uJ",
    arms: Annotated[str, typer.Option(help=f"Some of {', '.join(EVERY)}.")] = ",".join(ARMS),
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between.")] = "0,1,2,3,4",
    trainings: Annotated[int, typer.Option(help="Short trainings of every arm.")] = 64,
    short_epochs: Annotated[int, typer.Option(help="Epochs of each.")] = 4,
    epochs: Annotated[int, typer.Option(help="Of the final training; 0: the recipe's.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON of the figures; the log beside it lets a study go on.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare a search that trains with plainer ways to choose a network, at one budget and equal trainings."""
    options = StudyOptions(
        dataset=dataset,
        data=tuple(data or ()),
        budget=budget,
        arms=tuple(arms.split(",")),
        seeds=numbers(seeds, "--seeds", "0,1,2"),
        trainings=trainings,
        short_epochs=short_epochs,
        epochs=epochs,
    )
    tell(study(options, Narrator(quiet=quiet), out), as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
