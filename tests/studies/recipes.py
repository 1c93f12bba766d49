"""What each key of a training recipe buys: one key at a time against one base, as accuracy and CPU seconds.

A fixed network of two cells (a convolution and two skips each) is trained for some hundred steps in one thread, on
samples of the training split; accuracies are those of the validation split, and the test split is not looked at. A row
is one line of ``--out``; a study that was killed goes on with the rows that are missing. CPU seconds hold validation
and the measurement of statistics too. What no recipe has is tried beside the keys that there are (``recipe_trials``).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, numbers, tell

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset

CELL = {(0, 1): "conv3x3", (1, 3): "skip", (0, 3): "skip"}
BASE = {"learning_rate": 1e-2, "augment": ("shift:2", "flip")}


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from the base."""

    changes: dict[str, Any] = field(default_factory=dict)
    """Keys of the recipe."""
    trial: str = ""
    """One of ``recipe_trials.TRIALS``: what no recipe has."""
    timesteps: int = 1
    against: str = "base"
    """The variant that this one is compared with, seed by seed."""


SGD = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4}
VARIANTS = {
    "base": Variant(),
    "alternating flip": Variant(trial="alternating flip"),
    "mixup": Variant(trial="mixup"),
    "sgd .1": Variant(SGD),
    "sgd .1 + Nesterov": Variant({**SGD, "nesterov": True}, against="sgd .1"),
    "whitening": Variant({"whitening": True}),
    "warm-up over 40 steps": Variant(trial="warm-up"),
    "Muon": Variant(trial="Muon"),
    "EMA .98": Variant(trial="EMA"),
    "EMA .98 + constant rate": Variant({"schedule": "constant"}, trial="EMA"),
    "teacher": Variant(trial="teacher"),
    "no augmentation": Variant({"augment": ()}),
    "no shift": Variant({"augment": ("flip",)}),
    "no flip": Variant({"augment": ("shift:2",)}),
    "cutout:8": Variant({"augment": ("shift:2", "flip", "cutout:8")}),
    "no flip + rotate:10": Variant({"augment": ("rotate:10", "shift:2")}, against="no flip"),
    "no flip + zoom:10": Variant({"augment": ("zoom:10", "shift:2")}, against="no flip"),
    "no label smoothing": Variant({"label_smoothing": 0.0}),
    "no clip": Variant({"clip": 0.0}),
    "sgd .1 without clip": Variant({**SGD, "clip": 0.0}, against="sgd .1"),
    "dropout .2": Variant({"dropout": 0.2}),
    "mse": Variant({"loss": "mse"}),
    "T = 2": Variant(timesteps=2),
    "T = 2 + TET": Variant(trial="TET", timesteps=2, against="T = 2"),
    "T = 2 + stages": Variant({"stages": ((1, 1), (2, 1))}, timesteps=2, against="T = 2"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesOptions:
    """What is trained: on ``samples`` of the training split, ``epochs`` times, with each of the seeds."""

    samples: int = 9600
    epochs: int = 2
    channels: int = 16
    validation: int = 4000
    """Samples of the validation split that are looked at."""
    seeds: tuple[int, ...] = (0, 1)
    variants: tuple[str, ...] = tuple(VARIANTS)

    def check(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                raise UsageError(f"--only {name!r}: expected some of {', '.join(VARIANTS)}")
        if min(self.samples, self.epochs, self.validation) < 2:
            raise UsageError("--samples, --epochs, --validation: expected at least 2 of each")


def study(dataset: str, options: RecipesOptions, narrator: Narrator, out: Path | None) -> list[dict[str, Any]]:
    """Train what is missing in ``out``; returns the rows {variant, seed, samples, epochs, accuracy, seconds, ...}."""
    from snnas.toolchain.data.load import load

    options.check()
    log = JsonLines(out) if out is not None else None
    known = log.read() if log is not None else []
    rows: list[dict[str, Any]] = []
    data: Dataset | None = None
    todo = [(seed, name) for seed in options.seeds for name in options.variants]
    with narrator.progress(f"{len(todo)} trainings") as advance:
        for done, (seed, name) in enumerate(todo, start=1):
            key = {"dataset": dataset, "variant": name, "seed": seed, "samples": options.samples}
            key |= {"epochs": options.epochs, "channels": options.channels, "validation": options.validation}
            row = next((row for row in known if key.items() <= row.items()), None)
            if row is None:
                data = data or load(dataset, seed=0, compact=True)
                row = key | _train(data, name, seed, options)
                if log is not None:
                    log.append(row)
                narrator.say(f"  {name}, seed {seed}: {row['accuracy']:.1%}, {row['seconds']:.0f} CPU s")
            rows.append(row)
            advance(done, len(todo))
    return rows


def _train(data: Dataset, name: str, seed: int, options: RecipesOptions) -> dict[str, Any]:
    import torch

    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain import training
    from tests.studies.recipe_trials import taught, trial

    variant = VARIANTS[name]
    cut = replace(data, x_train=data.x_train[: options.samples], y_train=data.y_train[: options.samples])
    cut = replace(cut, x_val=data.x_val[: options.validation], y_val=data.y_val[: options.validation])
    sizes = NetworkConfig(
        input_shape=data.input_shape, classes=data.classes, channels=options.channels, timesteps=variant.timesteps
    )
    network = training.build(Genotype("lightsnn", (Cell.of(CELL),) * 2), sizes, seed=seed)
    recipe = training.recipe_of({**BASE, **variant.changes, "epochs": options.epochs}, where=name)
    torch.set_num_threads(1)
    begun = time.process_time()
    teacher = taught(cut, recipe, seed) if variant.trial == "teacher" else None
    with trial(variant.trial):
        result = training.train(network, cut, recipe, seed=seed, teacher=teacher)
    return {
        "accuracy": result.validation_accuracy,
        "seconds": round(time.process_time() - begun, 1),
        "statistics": result.statistics,
        "sar": round(result.sar, 4),
        "recipe": {key: value for key, value in recipe.plain().items() if key in variant.changes},
    }


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per variant: seeds, mean and extremes of the accuracy, median CPU seconds, and what it gains.

    gains: accuracy minus that of the variant it is compared with, one for each seed that both have.
    """
    found = []
    accuracy = {(row["variant"], row["seed"]): row["accuracy"] for row in rows}
    for name in dict.fromkeys(row["variant"] for row in rows):
        mine = {row["seed"]: row["accuracy"] for row in rows if row["variant"] == name}
        against = VARIANTS[name].against
        pairs = [(value, accuracy[against, seed]) for seed, value in mine.items() if (against, seed) in accuracy]
        found.append(
            {
                "variant": name,
                "seeds": len(mine),
                "mean": statistics.mean(mine.values()),
                "lowest": min(mine.values()),
                "highest": max(mine.values()),
                "seconds": statistics.median(row["seconds"] for row in rows if row["variant"] == name),
                "against": against,
                "gains": [] if name == against else [round(value - other, 6) for value, other in pairs],
            }
        )
    return found


def print_result(result: dict[str, Any]) -> None:
    """Prints the table of the study."""
    from rich.table import Table

    table = Table("recipe", "seeds", "accuracy", "points gained, by seed", "against", "CPU s")
    for row in result["table"]:
        gains = ", ".join(f"{100 * gain:+.1f}" for gain in row["gains"])
        mean = f"{100 * statistics.mean(row['gains']):+.1f} ({gains})" if gains else ""
        against = row["against"] if gains else ""
        table.add_row(row["variant"], str(row["seeds"]), f"{row['mean']:.1%}", mean, against, f"{row['seconds']:.0f}")
    print_table(table)


def command(
    dataset: Annotated[str, typer.Option(help="The data set: a name, a .npz or a folder.")] = "cifar10",
    samples: Annotated[int, typer.Option(help="Training samples.")] = 9600,
    epochs: Annotated[int, typer.Option(help="Epochs over them.")] = 2,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 16,
    validation: Annotated[int, typer.Option(help="Samples of the validation split.")] = 4000,
    seed: Annotated[str, typer.Option(help="Seeds of weights and draws, with commas.")] = "0,1",
    only: Annotated[str | None, typer.Option(help="Recipes of the table, with semicolons between [all].")] = None,
    out: Annotated[Path | None, typer.Option(help="Lines of JSON; rows that are there are not trained again.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what each key of a training recipe buys, on the validation split."""
    names = tuple(name.strip() for name in only.split(";")) if only else tuple(VARIANTS)
    options = RecipesOptions(
        samples=samples,
        epochs=epochs,
        channels=channels,
        validation=validation,
        seeds=numbers(seed, "--seed", "0,1"),
        variants=names,
    )
    rows = study(dataset, options, Narrator(quiet=quiet), out)
    tell(
        {"schema": "snnas.bench.recipes/2", **asdict(options), "table": summary(rows)}, as_json, print_result, good=True
    )


if __name__ == "__main__":
    main(command)
