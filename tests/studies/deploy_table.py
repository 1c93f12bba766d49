"""SNN-Deploy-Bench: what every functionally distinct cell does *on target*, at several widths and timesteps.

    python -m tests.studies.deploy_table --out docs/data/deploy_digits.csv.gz

Networks of one cell: every functional form that convolutions and skips can make of it (those that hold a convolution),
``--channels`` and ``--timesteps`` wide and long, head 'linear', trained ``--epochs`` on the digits that scikit-learn
bundles, with each of ``--seeds``. A seed draws its own split (samples that train, judge and test), weights and batches,
equal for all networks. Training-free scores stand beside, of the network before it is trained, on its training samples,
and whether LightSNN's pruning ends with it at its width and T. A line of the log that lacks a score is scored, not
trained again. Each training is a line of an append-only log beside ``--out``; the table is written when all are there.
``snnas bench deploy`` reads it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.search.network.design import SPACE, Design
from snnas.search.network.functional import form, representatives
from snnas.search.network.genotype import CONV_KERNELS, FORWARD_EDGES, Cell
from snnas.toolchain.bench.deploy_table import COLUMNS, FIGURES, KEY, OPS, write_table
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, numbers, tell
from tests.studies.depth_time import measures

if TYPE_CHECKING:
    from snnas.search.network.design import DesignSizes
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.searching.cost import Chip

JUDGED, TESTED = 297, 800  # samples of each split; the other 700 train
SCORED = 64  # training samples that untrained networks are scored on
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What is trained: every form at every width and length, with every seed."""

    channels: tuple[int, ...] = (4, 8, 16, 32)
    timesteps: tuple[int, ...] = (1, 2, 4)
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 8

    def check(self) -> None:
        for name in ("channels", "timesteps", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or min(values) < (name != "seeds"):
                raise UsageError(f"--{name} {values}: expected each once, and 1 at least")
        if self.epochs < 1:
            raise UsageError(f"--epochs {self.epochs}: expected a whole number >= 1")


def cells() -> list[Cell]:
    """A cell of each form that holds a convolution, those of few convolutions first."""
    found = representatives(("conv3x3", "skip", "zeroize")).values()
    convolutions = {cell: sum(op in CONV_KERNELS for op in cell.live().values()) for cell in found}
    return sorted((cell for cell in found if convolutions[cell]), key=lambda cell: (convolutions[cell], digits(cell)))


def digits(cell: Cell) -> str:
    """The operations of the six forward edges, by their places in OPS."""
    ops = cell.ops()
    return "".join(str(OPS.index(ops.get(edge, "zeroize"))) for edge in FORWARD_EDGES)


def measure_all(options: TableOptions, narrator: Narrator, out: Path, most: int | None = None) -> list[Row]:
    """Train what the log beside ``out`` lacks, ``most`` networks of it, and return every row that is there."""
    from snnas.toolchain.searching.cost import Chip

    options.check()
    log = JsonLines(out.with_name(out.name.split(".")[0] + ".jsonl"))
    log.mend()
    logged = {key(row): row for row in log.read() if row["epochs"] == options.epochs}
    known = {name: row for name, row in logged.items() if row.keys() >= set(COLUMNS)}
    every = [
        (seed, timesteps, channels, cell)
        for seed, timesteps, channels in itertools.product(options.seeds, options.timesteps, options.channels)
        for cell in cells()
    ]
    missing = [one for one in every if (digits(one[3]), one[2], one[1], one[0]) not in known][:most]
    chip, prepared, scores = Chip.load(), dict[int, Any](), dict[Any, dict[str, Row]]()
    with narrator.progress("training") as advance:
        for place, (seed, timesteps, channels, cell) in enumerate(missing):
            if seed not in prepared:
                prepared = {seed: split(seed)}
            data, sizes = prepared[seed]
            at = seed, timesteps, channels
            if at not in scores:
                scores = {at: scored(data, sizes, channels, timesteps, seed)}
            design = Design(SPACE, (cell,), channels, timesteps, 0, "linear", "max")
            name = digits(cell), channels, timesteps, seed
            row = logged.get(name) or {
                **trained(design, data, sizes, chip, seed, options.epochs),
                **dict(zip(KEY, (*name, options.epochs), strict=True)),
            }
            row = {**scores[at][name[0]], **row}
            log.append(row)
            known[key(row)] = row
            advance(place + 1, len(missing))
    wanted = [(digits(cell), channels, timesteps, seed) for seed, timesteps, channels, cell in every]
    return [known[name] for name in sorted(wanted) if name in known]


def key(row: Row) -> tuple[str, int, int, int]:
    """What a row is about."""
    return str(row["cell"]), int(row["channels"]), int(row["timesteps"]), int(row["seed"])


def split(seed: int) -> tuple[Dataset, DesignSizes]:
    """The digits in a split of the seed's own, and the sizes of their networks."""
    from snnas.search.network.design import DesignSizes
    from snnas.toolchain.data.load import load

    data = load("digits", seed=0)
    x = np.concatenate([data.x_train, data.x_val, data.x_test])
    y = np.concatenate([data.y_train, data.y_val, data.y_test])
    order = stream(seed, "deploy table").permutation(len(y))
    judged, tested, fitted = np.split(order, [JUDGED, JUDGED + TESTED])
    data = replace(
        data, x_train=x[fitted], y_train=y[fitted], x_val=x[judged], y_val=y[judged], x_test=x[tested], y_test=y[tested]
    )
    return data, DesignSizes(input_shape=data.input_shape, input_kind=data.input_kind, classes=data.classes)


def scored(data: Dataset, sizes: DesignSizes, channels: int, timesteps: int, seed: int) -> dict[str, Row]:
    """SCORES of every cell, by its digits: those before training, and 1 for what LightSNN's pruning ends with."""
    import torch
    from spikingjelly.activation_based import functional

    from snnas.search.methods import lightsnn
    from snnas.search.network.space import get
    from snnas.search.scoring.batched import BatchedScorer
    from snnas.search.scoring.proxies import rdm
    from snnas.search.scoring.supernet import Supernet, cells_of

    every, space = cells(), get("lightsnn")
    config = sizes.of(Design(SPACE, (every[0],), channels, timesteps, 0, "linear", "max"))
    supernet = Supernet(space, config, seed=seed)
    x = torch.from_numpy(data.x_train[:SCORED])
    candidates = [{edge: (op,) for edge, op in cell.live().items()} for cell in every]
    scorer = BatchedScorer(supernet, x)
    values = scorer(candidates)
    pruned = form(lightsnn.run(space, scorer, log=lambda record: None, cells=1).genotype.cells[0])
    found: dict[str, Row] = {}
    for cell, candidate, value in zip(every, candidates, values, strict=True):
        spikes: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            supernet(x, candidate, spikes=spikes)
        functional.reset_net(supernet)
        found[digits(cell)] = {
            "sahd": value.value,
            **measures(spikes, cells_of(candidate, 1))._asdict(),
            "rdm": rdm(list(spikes.values())),
            "lightsnn": float(form(cell) == pruned),
        }
    return found


def trained(design: Design, data: Dataset, sizes: DesignSizes, chip: Chip, seed: int, epochs: int) -> Row:
    """The figures of one network: float and on target, on what judges and on what tests."""
    from snnas.search.methods.memory import Widths
    from snnas.toolchain.searching.cost import measure
    from snnas.toolchain.training import build, evaluate, load_recipe, train

    network = build(design, sizes, seed=seed)
    result = train(network, data, replace(load_recipe("digits"), epochs=epochs), seed=seed)
    network.eval()
    judged = measure(network, data, chip, Widths())
    cost = measure(network, replace(data, x_val=data.x_test, y_val=data.y_test), chip, Widths())
    right = float(np.mean(evaluate(network, data.x_test, data.y_test)[1] == data.y_test))
    assert cost.energy_uJ is not None
    assert cost.latency_us is not None
    energy, latency = cost.energy_uJ, cost.latency_us
    return {
        "float_val": result.validation_accuracy,
        "float_test": right,
        "target_val": judged.accuracy,
        "target_test": cost.accuracy,
        "spikes": cost.spikes,
        "synops": cost.synops,
        **{name: cost.figures[name] for name in FIGURES},
        **{f"energy_{end}_uJ": getattr(energy, end) for end in ("low", "nominal", "high")},
        **{f"latency_{end}_us": getattr(latency, end) for end in ("low", "nominal", "high")},
    }


def command(
    out: Annotated[Path, typer.Option(help="The table, .csv.gz; the log beside it lets a study go on.")],
    channels: Annotated[str, typer.Option(help="Widths, with commas between.")] = "4,8,16,32",
    timesteps: Annotated[str, typer.Option(help="Timesteps, with commas between.")] = "1,2,4",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(help="Of every training.")] = 8,
    most: Annotated[int | None, typer.Option(help="Train so many now; the table comes with the last of all.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train every functionally distinct cell at several widths and timesteps, and keep what it does on target."""
    options = TableOptions(
        channels=numbers(channels, "--channels", "4,8"),
        timesteps=numbers(timesteps, "--timesteps", "1,2"),
        seeds=numbers(seeds, "--seeds", "0,1,2"),
        epochs=epochs,
    )
    rows = measure_all(options, Narrator(quiet=quiet), out, most)
    every = len(cells()) * len(options.channels) * len(options.timesteps) * len(options.seeds)
    if len(rows) == every:
        write_table(out, [{name: row[name] for name in COLUMNS} for row in rows])
    tell({"rows": len(rows), "of": every, "table": str(out)}, as_json, print_result, good=True)


def print_result(result: dict[str, Any]) -> None:
    """How far the table is."""
    whole = result["rows"] == result["of"]
    typer.echo(f"{result['rows']:,} of {result['of']:,} trained" + (f"; {result['table']}" if whole else ""))


if __name__ == "__main__":
    main(command)
