"""What heads, numbers of cells, learnt neurons and rates by width are worth: trained, on validation samples alone.

Every arm is one network of the same chain of convolutions, trained with the same recipe on the same samples from the
same seeds. Judged: validation accuracy of the kept epoch, neurons that never fire on the validation split, spiking
activity rate, energy of the program on target over validation samples (predictions of the program too), and CPU seconds
of the training. The test split is never looked at.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_json
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from tests.studies.command import main, numbers, tell

if TYPE_CHECKING:
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Dataset

SCHEMA = "snnas.bench.heads/1"
FIGURES = ("accuracy", "dead", "sar", "accuracy_on_target", "energy_uJ", "cpu_seconds")
TARGET_SAMPLES = 64  # of the validation split that the program runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One network and what of the recipe differs; ``evaluated``: timesteps that it is judged at, None for its own."""

    name: str
    head: str = "lif"
    cells: int = 2
    timesteps: int = 3
    channels: int = 8
    evaluated: int | None = None
    recipe: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsOptions:
    """What is measured. arms: a name of ARMS. train: training samples, None for all. epochs: of every training."""

    dataset: str = "digits"
    arms: str = "heads"
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 6
    learning_rate: float = 1.2e-2
    channels: int = 8
    timesteps: int = 3
    train: int | None = None

    def check(self) -> None:
        if self.arms not in ARMS:
            raise UsageError(f"--arms {self.arms}: expected {', '.join(ARMS)}")


def heads(options: HeadsOptions) -> list[Arm]:
    """Every head with one, two and three cells."""
    return [
        Arm(name=f"{head}, {cells} cell{'s' * (cells > 1)}", head=head, cells=cells)
        for cells in (1, 2, 3)
        for head in ("lif", "bn_lif", "linear")
    ]


def learnt(options: HeadsOptions) -> list[Arm]:
    """tau and threshold learnt or not."""
    kinds = ((), ("tau",), ("threshold",), ("tau", "threshold"))
    return [Arm(name=f"learnt: {', '.join(kind) or 'none'}", recipe=(("learn", kind),)) for kind in kinds]


def widths(options: HeadsOptions) -> list[Arm]:
    """A quarter, the half and the double of the recipe's 16 channels, by the powers of the rule."""
    return [
        Arm(name=f"{channels} channels, power {power:g}", channels=channels, recipe=(("width_power", power),))
        for channels in (4, 8, 32)
        for power in (0.0, 0.5, 1.0)
    ]


def times(options: HeadsOptions) -> list[Arm]:
    """Trained at one T, judged at another."""
    return [
        Arm(name=f"trained at T = {one}, judged at {other}", timesteps=one, evaluated=other)
        for one, other in ((1, 1), (1, 2), (1, 4), (2, 2), (2, 4), (4, 4), (4, 2))
    ]


ARMS = {"heads": heads, "learnt": learnt, "widths": widths, "times": times}


def measure(options: HeadsOptions, narrator: Narrator, out: Path | None = None) -> dict[str, Any]:
    """Train every arm with every seed; ``out`` gets the figures as JSON."""
    from snnas.toolchain.data.load import load

    options.check()
    arms = [
        replace(
            arm,
            channels=arm.channels if options.arms == "widths" else options.channels,
            timesteps=arm.timesteps if options.arms == "times" else options.timesteps,
        )
        for arm in ARMS[options.arms](options)
    ]
    rows: dict[str, list[dict[str, float | None]]] = {arm.name: [] for arm in arms}
    with narrator.progress(f"{len(arms)} arms, {len(options.seeds)} seeds") as advance:
        for seed in options.seeds:
            data = load(options.dataset, seed=seed)
            kept = options.train or len(data.y_train)
            data = replace(data, x_train=data.x_train[:kept], y_train=data.y_train[:kept])
            for arm in arms:
                rows[arm.name].append(_one(options, arm, data, seed))
                figures = {key: value and round(value, 4) for key, value in rows[arm.name][-1].items()}
                narrator.say(f"  {arm.name}, seed {seed}: {figures}")
                advance(sum(map(len, rows.values())), len(arms) * len(options.seeds))
    result = {"schema": SCHEMA, **asdict(options), "rows": [summary(name, found) for name, found in rows.items()]}
    if out is not None:
        write_json(out, result)
    return result


def _one(options: HeadsOptions, arm: Arm, data: Dataset, seed: int) -> dict[str, float | None]:
    from snnas.hw_sim.energy.profile import load_profile
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain import training
    from snnas.toolchain.exporting import on_target

    config = NetworkConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=arm.channels,
        timesteps=arm.timesteps,
        cells=arm.cells,
        head=arm.head,
    )
    cell = Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip"})
    network = training.build(Genotype("lightsnn", (cell,) * arm.cells), config, seed=seed)
    given = {"epochs": options.epochs, "learning_rate": options.learning_rate, **dict(arm.recipe)}
    begun = time.process_time()
    training.train(network, data, training.TrainingConfig(**given), seed=seed)
    spent = time.process_time() - begun
    if arm.evaluated is not None:
        network.set_timesteps(arm.evaluated)
    accuracy, _ = training.evaluate(network, data.x_val, data.y_val)
    x, y = data.x_val[:TARGET_SAMPLES], data.y_val[:TARGET_SAMPLES]
    target = on_target.measure(network, data, x, y, load_profile("loihi1"))
    total = target.bill.total if target.bill else None
    dead, sar = _activity(network, data.x_val)
    return {
        "accuracy": accuracy,
        "dead": dead,
        "sar": sar,
        "accuracy_on_target": target.accuracy,
        "energy_uJ": total.nominal if total else None,
        "cpu_seconds": spent,
    }


def _activity(network: Network, x: np.ndarray) -> tuple[float, float]:
    """The share of neurons that fire for no sample, and spikes / (neurons x timesteps)."""
    import torch

    fired: dict[str, torch.Tensor] = {}
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(x), 256):
            spikes: dict[str, torch.Tensor] = {}
            network(torch.from_numpy(x[start : start + 256]), spikes=spikes)
            for name, train in spikes.items():
                fired[name] = fired.get(name, torch.zeros(train.shape[2:], dtype=torch.bool)) | train.any(0).any(0)
                total += float(train.sum())
    neurons = sum(f.numel() for f in fired.values())
    silent = sum(int((~f).sum()) for f in fired.values())
    return silent / neurons, total / (neurons * network.config.timesteps * len(x))


def summary(name: str, found: list[dict[str, float | None]]) -> dict[str, Any]:
    """An arm's means over seeds, and the deviation of its accuracy between them."""
    row: dict[str, Any] = {"arm": name}
    for key in FIGURES:
        values = [one[key] for one in found]
        row[key] = None if None in values else float(np.mean(np.array(values, dtype=np.float64)))
    accuracies = np.array([one["accuracy"] for one in found], dtype=np.float64)
    row["accuracy_deviation"] = float(accuracies.std(ddof=1)) if len(found) > 1 else 0.0
    row["by_seed"] = accuracies.tolist()
    return row


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    title = (
        f"{result['dataset']}, {result['arms']}: {result['epochs']} epochs, seeds "
        f"{', '.join(map(str, result['seeds']))}; validation split"
    )
    table = Table(title=title, title_justify="left")
    for column in ("arm", "accuracy", "on target", "dead", "SAR", "uJ", "CPU s"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for row in result["rows"]:
        energy = "-" if row["energy_uJ"] is None else f"{row['energy_uJ']:.2f}"
        table.add_row(
            row["arm"],
            f"{row['accuracy']:.2%} +- {row['accuracy_deviation']:.2%}",
            f"{row['accuracy_on_target']:.2%}",
            f"{row['dead']:.1%}",
            f"{row['sar']:.4f}",
            energy,
            f"{row['cpu_seconds']:.1f}",
        )
    print_table(table)


def command(
    dataset: Annotated[str, typer.Option(help="A name of snnas data list, an .npz, or a folder.")] = "digits",
    arms: Annotated[str, typer.Option(help="heads (by cells), learnt, widths or times.")] = "heads",
    seed: Annotated[str, typer.Option("--seeds", "--seed", help="Seeds of split, weights and training.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(min=1, help="Of every training.")] = 6,
    learning_rate: Annotated[float, typer.Option(help="The recipe's.")] = 1.2e-2,
    channels: Annotated[int, typer.Option(min=1, help="Of the first cell; the arms of widths have their own.")] = 8,
    timesteps: Annotated[int, typer.Option(min=1, help="T; the arms of times have their own.")] = 3,
    train: Annotated[int | None, typer.Option(min=2, help="Training samples that are taken [all].")] = None,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train networks that differ in head, cells, learnt neurons, width or T, and judge them on validation samples."""
    options = HeadsOptions(
        dataset=dataset,
        arms=arms,
        seeds=numbers(seed, "--seeds", "0,1,2"),
        epochs=epochs,
        learning_rate=learning_rate,
        channels=channels,
        timesteps=timesteps,
        train=train,
    )
    tell(measure(options, Narrator(quiet=quiet), out), as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
