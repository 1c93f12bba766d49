"""How much CPU time a training takes to the best accuracy that the papers' recipe reaches, and how much theirs takes.

Theirs: T = 5 throughout, SGD with a cosine, no label smoothing, no clipping, learning rate tuned on the validation
split. Ours: T = 1, AdamW, a whitened stem, bfloat16 where the CPU has units for it, tuned alike. Both train the same
network of two cells in one thread, on the same samples. The mark is the best epoch of theirs, by seed; both times are
CPU seconds, validation included, up to the first epoch that reaches it. The test split is not looked at. A training is
one line of ``--out``; a study that was killed goes on with those that are missing.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.drawing import Panel, check_picture, write_drawing
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.output.svg import Key, Plane, around
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, numbers, tell
from tests.studies.recipes import CELL

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset

AIM = 5.0  # times fewer CPU seconds
TIMESTEPS = 5
THEIRS = {"optimizer": "sgd", "weight_decay": 5e-4, "label_smoothing": 0.0, "clip": 0.0}
OURS: dict[str, Any] = {"whitening": True, "weight_decay": 0.05, "amp": "auto"}
# The learning rates that are tried with the first seed; the best on the validation split is kept for the others.
RATES = {"theirs": (0.4, 0.2), "ours": (5e-3, 1e-2)}
AUGMENT = {"mnist": (), "cifar10": ("shift:4", "flip")}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOptions:
    """What is trained: on ``samples`` of the training split, ``epochs`` times theirs and ``our_epochs`` times ours."""

    samples: int = 6400
    epochs: int = 10
    our_epochs: int = 10
    channels: int = 16
    validation: int = 2000
    seeds: tuple[int, ...] = (0, 1, 2)

    def of(self, side: str) -> dict[str, int]:
        """What decides a training of that side, beside seed and rate."""
        epochs = self.epochs if side == "theirs" else self.our_epochs
        return {"samples": self.samples, "epochs": epochs, "channels": self.channels, "validation": self.validation}

    def check(self) -> None:
        if min(self.samples, self.epochs, self.our_epochs, self.validation) < 2:
            raise UsageError("--samples, --epochs, --our-epochs, --validation: expected at least 2 of each")


def study(dataset: str, options: TimeOptions, narrator: Narrator, out: Path | None) -> list[dict[str, Any]]:
    """Train what is missing in ``out``; returns the rows {side, seed, rate, curve: [[CPU seconds, accuracy], ...]}."""
    from snnas.toolchain.data.load import load

    options.check()
    log = JsonLines(out) if out is not None else None
    rows = log.read() if log is not None else []
    data: Dataset | None = None

    def row(side: str, seed: int, rate: float) -> dict[str, Any]:
        nonlocal data
        key = {"dataset": dataset, **options.of(side), "side": side, "seed": seed, "rate": rate}
        for known in rows:
            if key.items() <= known.items():
                return known
        data = data or load(dataset, seed=0, compact=True)
        rows.append(key | {"curve": _curve(data, side, seed, rate, options)})
        if log is not None:
            log.append(rows[-1])
        narrator.say(
            f"  {side}, seed {seed}, rate {rate:g}: {_best(rows[-1]):.2%} in {rows[-1]['curve'][-1][0]:.0f} CPU s"
        )
        return rows[-1]

    # Sides take turns, for a busy machine has slow minutes.
    first = [
        row(side, options.seeds[0], rate)
        for pair in zip(*RATES.values(), strict=True)
        for side, rate in zip(RATES, pair, strict=True)
    ]
    best = [max((one for one in first if one["side"] == side), key=_best) for side in RATES]
    return best + [row(one["side"], seed, one["rate"]) for seed in options.seeds[1:] for one in best]


def _best(row: dict[str, Any]) -> float:
    return max(accuracy for _, accuracy in row["curve"])


def _curve(data: Dataset, side: str, seed: int, rate: float, options: TimeOptions) -> list[list[float]]:
    """[CPU seconds since the beginning, validation accuracy] at the end of every epoch."""
    import torch

    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain import training

    theirs = side == "theirs"
    cut = replace(
        data,
        x_train=data.x_train[: options.samples],
        y_train=data.y_train[: options.samples],
        x_val=data.x_val[: options.validation],
        y_val=data.y_val[: options.validation],
    )
    sizes = NetworkConfig(
        input_shape=data.input_shape,
        classes=data.classes,
        channels=options.channels,
        timesteps=TIMESTEPS if theirs else 1,
    )
    network = training.build(Genotype("lightsnn", (Cell.of(CELL),) * 2), sizes, seed=seed)
    own = THEIRS if theirs else OURS
    colours = data.input_shape[0] == 3
    recipe = training.recipe_of(
        {
            **own,
            "augment": AUGMENT["cifar10" if colours else "mnist"],
            "learning_rate": rate,
            "epochs": options.of(side)["epochs"],
        },
        where=side,
    )
    torch.set_num_threads(1)
    curve: list[list[float]] = []
    begun = time.process_time()
    training.train(
        network,
        cut,
        recipe,
        seed=seed,
        log=lambda entry: curve.append([round(time.process_time() - begun, 2), entry["val_accuracy"]]),
    )
    return curve


def times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per seed: the mark (the best epoch of theirs), both times to it (None: never reached), and their ratio."""
    found = []
    for theirs in (row for row in rows if row["side"] == "theirs"):
        mark = max(accuracy for _, accuracy in theirs["curve"])
        ours = next((row for row in rows if row["side"] == "ours" and row["seed"] == theirs["seed"]), None)
        first, second = reached(theirs["curve"], mark), reached(ours["curve"], mark) if ours else None
        ratio = first / second if first is not None and second is not None else None
        found.append({"seed": theirs["seed"], "mark": mark, "theirs": first, "ours": second, "ratio": ratio})
    return found


def reached(curve: list[list[float]], mark: float) -> float | None:
    """CPU seconds to the first epoch of at least ``mark``; None where there is none."""
    return next((seconds for seconds, accuracy in curve if accuracy >= mark), None)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The curves of both sides, a line per seed, as an .svg."""
    points = [point for row in rows for point in row["curve"]]
    plane = Plane((0.0, max(seconds for seconds, _ in points)), around([accuracy for _, accuracy in points]))
    plane.axes("CPU seconds, one thread", "validation accuracy", percent=True)
    colours = {"theirs": "c2", "ours": "c1"}
    for row in rows:
        curve = row["curve"]
        plane.line(
            [s for s, _ in curve], [a for _, a in curve], colours[row["side"]], kind=int(row["side"] == "theirs")
        )
    keys = (Key("ours", "c1", 0), Key("the papers' recipe, T = 5", "c2", 1))
    title = f"Time to accuracy, {Path(rows[0]['dataset']).stem}"
    write_drawing(path, f"{title} (measured)", [Panel(title, plane.draw(title, "accuracy by CPU seconds"), keys)])


def print_result(result: dict[str, Any]) -> None:
    """Prints the table of the study."""
    from rich.table import Table

    table = Table("seed", "mark", "theirs, CPU s", "ours, CPU s", "ratio")
    for row in result["times"]:
        said = [f"{row[key]:.0f}" if row[key] is not None else "not reached" for key in ("theirs", "ours")]
        table.add_row(str(row["seed"]), f"{row['mark']:.2%}", *said, f"{row['ratio']:.1f}" if row["ratio"] else "-")
    print_table(table)


def command(
    dataset: Annotated[str, typer.Option(help="The data set: a name, a .npz or a folder.")] = "mnist",
    samples: Annotated[int, typer.Option(help="Training samples.")] = 6400,
    epochs: Annotated[int, typer.Option(help="Epochs of the papers' recipe.")] = 10,
    our_epochs: Annotated[int, typer.Option(help="Epochs of ours.")] = 10,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 16,
    validation: Annotated[int, typer.Option(help="Validation samples.")] = 2000,
    seed: Annotated[str, typer.Option(help="Seeds of weights and draws, with commas.")] = "0,1,2",
    plot: Annotated[Path | None, typer.Option(help="Draw both curves into this .svg.")] = None,
    out: Annotated[Path | None, typer.Option(help="Lines of JSON; trainings that are there are not repeated.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure CPU seconds to the papers' accuracy; exit 1 where they are not 5 times fewer (median of the seeds)."""
    options = TimeOptions(
        samples=samples,
        epochs=epochs,
        our_epochs=our_epochs,
        channels=channels,
        validation=validation,
        seeds=numbers(seed, "--seed", "0,1,2"),
    )
    if plot is not None:
        check_picture(plot, "--plot")
    rows = study(dataset, options, Narrator(quiet=quiet), out)
    if plot is not None:
        draw(rows, plot)
    found = times(rows)
    median = statistics.median(row["ratio"] or 0.0 for row in found)
    result = {"schema": "snnas.bench.time_to_accuracy/1", "dataset": dataset, **asdict(options)}
    result |= {"times": found, "median_ratio": median, "aim": AIM}
    tell(result, as_json, print_result, good=median >= AIM)


if __name__ == "__main__":
    main(command)
