"""How much of accuracy and energy a search reaches: hypervolume against random search, at equal trainings.

Every arm trains as many designs shortly as ``snnas search --objective score,energy_total`` does, and its hypervolume is
the share of a box that they dominate: accuracy on target, on validation samples, from 0 to 1, and the energy of an
inference at the band's upper end, in logarithms, between the least and the most of a seed's arms. Nothing is chosen, so
nothing is lost to choosing. Arms are those of ``trained_search``:

* ``trained``: draws, then evolution by fronts.
* ``random``: random draws of the same space.
* ``papers``: one valid cell of ``lightsnn`` twice, T = 5, head 'lif', at the widths and heads' sizes of the space.

A seed draws its own split, weights, parts and designs, equal for all arms; differences to ``trained`` are paired by
seed, their intervals 95 % bootstraps over seeds. CPU seconds of trainings stand beside: designs of few timesteps train
faster. Each training is a line of an append-only log beside ``--out``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_json
from snnas.search.methods import no_refusal
from snnas.search.methods.nondominated import hypervolume
from snnas.search.methods.trained import Plan, run
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import bootstrap
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.arm_log import ArmLog, settings_key
from tests.studies.command import main, numbers, tell
from tests.studies.trained_search import prepared, space_for

SCHEMA = "snnas.bench.search_volume/1"
ARMS = ("trained", "random", "papers")
COST = "energy_total"
FRONT = 8  # points of the front that evolution spreads over: what snnas search keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOptions:
    """What is measured. data: NAME=VALUE pairs of the data set."""

    dataset: str = "digits"
    data: tuple[str, ...] = ()
    arms: tuple[str, ...] = ARMS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    trainings: int = 48
    short_epochs: int = 4

    def check(self) -> None:
        for name, least in (("trainings", 4), ("short_epochs", 1)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {getattr(self, name)}: expected a whole number >= {least}")
        for arm in self.arms:
            if arm not in ARMS:
                raise UsageError(f"--arms {arm!r}: expected some of {', '.join(ARMS)}")


class _EnoughError(Exception):
    """All short trainings are done, and a longer one is asked for."""


def study(options: VolumeOptions, narrator: Narrator, out: Path | None) -> dict[str, Any]:
    """Search with every arm for every seed; ``out`` gets the figures as JSON, its log every training."""
    options.check()
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    found = {(arm, seed): _arm(options, arm, seed, log, narrator) for seed in options.seeds for arm in options.arms}
    result = {"schema": SCHEMA, **asdict(options), **summary(found, options)}
    if out is not None:
        write_json(out, result)
    return result


def _arm(
    options: VolumeOptions, arm: str, seed: int, log: JsonLines | None, narrator: Narrator
) -> list[dict[str, Any]]:
    """The short trainings of an arm, those of its log not again."""
    measured = (options.dataset, options.data, arm, seed, options.trainings, options.short_epochs)
    mine = ArmLog(log, settings_key(measured), arm, seed)
    if len(mine.of("evaluation")) >= options.trainings:
        return mine.of("evaluation")
    _, trainer, space = prepared(options.dataset, options.data, seed, options.short_epochs)
    plan = Plan(trainings=options.trainings, costs=(COST,), random=arm != "trained", front=FRONT)

    with narrator.progress(f"seed {seed}, {arm}") as advance:

        def train(trials: Sequence[Any], each: Any) -> None:
            if any(trial.seed for trial in trials):
                raise _EnoughError
            for at, trial in enumerate(trials):
                each(at, trainer(trial))
                advance(len(mine.of("evaluation")), options.trainings)

        rng = stream(seed, f"study {'trained' if arm == 'random' else arm}")
        given = {"rng": rng, "refuse": no_refusal, "log": mine, "resume": list(mine.records)}
        with contextlib.suppress(_EnoughError):
            run(space_for(arm, space), train, plan, **given)  # type: ignore[arg-type]
    return mine.of("evaluation")


def summary(found: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]], options: VolumeOptions) -> dict[str, Any]:
    """Each arm's hypervolume by seed, and what ``trained`` is ahead by, paired by seed, with 95 % bootstraps."""
    volumes = {arm: list[float]() for arm in options.arms}
    for seed in options.seeds:
        rows = {arm: _rows(found[arm, seed]) for arm in options.arms}
        box = [row for of_arm in rows.values() for row in of_arm]
        for arm in options.arms:
            volumes[arm].append(hypervolume(rows[arm], box) if box else 0.0)
    arms, ahead = list[dict[str, Any]](), dict[str, Any]()
    for arm, values in volumes.items():
        records = [record for seed in options.seeds for record in found[arm, seed]]
        seconds = sum(float(record["seconds"]) for record in records) / len(options.seeds)
        arms.append({"arm": arm, "volumes": values, "mean": float(np.mean(values)), "seconds": seconds})
        if arm != "trained" and "trained" in volumes:
            gaps = np.array(volumes["trained"]) - np.array(values)
            low, high = bootstrap(gaps, seed=0)
            ahead[arm] = {"mean": float(gaps.mean()), "low": low, "high": high}
    return {"rows": arms, "ahead": ahead}


def _rows(records: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Error and logarithm of the energy of all that came to something."""
    rows = []
    for record in records:
        energy = (record["cost"].get("figures") or {}).get(COST)
        if record["score"] is not None and energy:
            rows.append([1 - float(record["score"]), math.log(float(energy))])
    return rows


def print_result(result: dict[str, Any]) -> None:
    """One row per arm."""
    from rich.table import Table

    title = f"{result['dataset']}, {len(result['seeds'])} seeds, {result['trainings']} short trainings each"
    out = Table("arm", "hypervolume", "of each seed", "trained is ahead by", "CPU s", title=title, title_justify="left")
    for row in result["rows"]:
        gap = result["ahead"].get(row["arm"])
        said = f"{gap['mean']:+.4f} ({gap['low']:+.4f} .. {gap['high']:+.4f})" if gap else ""
        each = ", ".join(f"{value:.3f}" for value in row["volumes"])
        out.add_row(row["arm"], f"{row['mean']:.4f}", each, said, f"{row['seconds']:.0f}")
    print_table(out)


def command(
    dataset: Annotated[str, typer.Option(help="A name of snnas data list, or an .npz.")] = "digits",
    data: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of the data set, repeatable.")] = None,
    arms: Annotated[str, typer.Option(help=f"Some of {', '.join(ARMS)}.")] = ",".join(ARMS),
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between.")] = "0,1,2,3,4",
    trainings: Annotated[int, typer.Option(help="Short trainings of every arm.")] = 48,
    short_epochs: Annotated[int, typer.Option(help="Epochs of each.")] = 4,
    out: Annotated[Path | None, typer.Option(help="JSON of the figures; the log beside it lets a study go on.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the hypervolume of a search that trains with random search's, at equal trainings."""
    options = VolumeOptions(
        dataset=dataset,
        data=tuple(data or ()),
        arms=tuple(arms.split(",")),
        seeds=numbers(seeds, "--seeds", "0,1,2"),
        trainings=trainings,
        short_epochs=short_epochs,
    )
    tell(study(options, Narrator(quiet=quiet), out), as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
