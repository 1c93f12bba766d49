"""How many times as long SNASNet's and SpikeNAS's published searches take per candidate as ours, in three baselines.

The published code is not shipped. ``Drawn`` and ``score_all`` are our own statement of the procedure, from the papers
and from reading what is public; no line is copied. Of SpikeNAS only the abstracts were to be had, and no code: its
candidates are taken cell by cell, the other cell at the cheapest, and scored as SNASNet scores, which is a guess.

SNASNet builds a network with weights of its own for every candidate, also for one that it had before, and scores it in
training mode: batch norms by the statistics of each step, dropout on. A score is log |det| of the mean kernel over all
LIF calls, the mean over two augmented minibatches, each of a shuffled loader made for it. Stem once; every other layer
step by step; an edge that holds nothing costs nothing. The baselines:

    as published        the state of the first minibatch is there still when the second begins
    state at rest       besides, every minibatch begins at rest; hooks go with their network here, so this is the leak
                        that there is
    equal minibatches   besides, all candidates see one minibatch, which is ours

Ours scores each function once (``search.network.functional``), all with the weights of one bank, in rounds of 32, the
supernet built anew. All take the same draws, in turns, in CPU seconds of this process in one thread.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnas.hw_sim.errors import UsageError
from snnas.search.network.genotype import BACKWARD_EDGES, CONV_KERNELS, FORWARD_EDGES, Cell, Edge
from snnas.toolchain.bench.harness import one_thread, timed
from snnas.toolchain.bench.search import digits_batch
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from tests.studies.command import main, tell
from tests.studies.published_search import REPEATS, Augmented, Kernels, conv_bn, lif

if TYPE_CHECKING:
    from torch import Tensor

    from snnas.search.network.config import NetworkConfig

SCHEMA = "snnas.study.published_candidates/1"
METHODS = ("snasnet", "spikenas")
BASELINES: Mapping[str, Mapping[str, bool]] = {
    "as published": {"rest": False, "fixed": False},
    "state at rest": {"rest": True, "fixed": False},
    "equal minibatches": {"rest": True, "fixed": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateOptions:
    """What is timed. candidates: draws of snasnet, of spikenas in each of its two cells."""

    method: str = "snasnet"
    candidates: int = 32
    width: int = 4
    pixels: int = 16
    batch: int = 16
    timesteps: int = 5
    turns: int = 3
    backward: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"--method {self.method[:32]!r}: expected {' or '.join(METHODS)}")
        for name, least in {"candidates": 1, "width": 1, "batch": 2, "timesteps": 1, "turns": 1}.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")
        if self.pixels not in (8, 16):
            raise UsageError(f"--pixels {self.pixels}: expected 8 or 16, digits once or each pixel four times")

    @property
    def both_ways(self) -> bool:
        """Whether cells have backward edges: SNASNet's do, unless asked not to; SpikeNAS's have none."""
        return self.backward and self.method == "snasnet"


class Drawn:
    """A candidate's network as the release runs it: cells of one operation per edge, single steps, training mode."""

    def __init__(self, cells: Sequence[Cell], config: NetworkConfig) -> None:
        from torch import nn

        self.edges = [cell.live() for cell in cells]
        self.timesteps = config.timesteps
        layers: dict[str, nn.Module] = {"stem": conv_bn(config.input_shape[0], config.channels)}
        for number, edges in enumerate(self.edges, start=1):
            width = config.width(number)
            for edge, op in edges.items():
                if op in CONV_KERNELS:
                    layers[f"{_name(number, edge)}_lif"] = lif()
                    layers[_name(number, edge)] = _conv(width, CONV_KERNELS[op])
            layers[f"{number}_bn"], layers[f"{number}_lif"] = nn.BatchNorm2d(width), lif()
        layers["widen"] = conv_bn(config.width(1), config.width(2))
        layers["average"], layers["pool"] = nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2)
        layers["dropout"] = nn.Dropout(0.5)
        layers["fc1"] = nn.Linear(config.features, config.hidden, bias=False)
        layers["fc_lif"], layers["fc2"] = lif(), nn.Linear(config.hidden, config.classes * config.votes, bias=False)
        self.layers = nn.ModuleDict(layers).train()
        self.back: dict[tuple[int, int], Tensor] = {}

    def rest(self) -> None:
        """Forget every voltage, and what comes back."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self.layers)
        self.back.clear()

    def forward(self, x: Tensor) -> Tensor:
        """The votes (B, classes x votes) of x (B, C, H, W), mean over the steps."""
        layers, outputs = self.layers, []
        stem = layers["stem"](x)
        for _ in range(self.timesteps):
            out = layers["pool"](layers["widen"](layers["1_lif"](layers["1_bn"](self._cell(1, stem)))))
            out = layers["pool"](layers["2_lif"](layers["2_bn"](self._cell(2, out))))
            out = layers["fc1"](layers["dropout"](out.flatten(1)))
            outputs.append(layers["fc2"](layers["fc_lif"](out)))
        return sum(outputs[1:], outputs[0]) / len(outputs)

    def _cell(self, number: int, x: Tensor) -> Tensor:
        """A step: a node is what comes in and what came back from the step before."""
        import torch

        edges = self.edges[number - 1]
        values = {0: x + self.back.get((number, 0), 0.0)}
        for node in (1, 2, 3):
            value = torch.zeros_like(x) + self.back.get((number, node), 0.0)
            for edge in [edge for edge in edges if edge in FORWARD_EDGES and edge[1] == node]:
                value = value + self._edge(number, edge, values[edge[0]])
            values[node] = value
        self.back = {at: value for at, value in self.back.items() if at[0] != number}
        for edge in [edge for edge in edges if edge in BACKWARD_EDGES]:
            at = number, edge[1]
            self.back[at] = self.back.get(at, 0.0) + self._edge(number, edge, values[edge[0]])
        return values[3]

    def _edge(self, number: int, edge: Edge, x: Tensor) -> Tensor:
        op, name = self.edges[number - 1][edge], _name(number, edge)
        if op in CONV_KERNELS:
            return self.layers[name](self.layers[f"{name}_lif"](x))  # type: ignore[no-any-return]
        return self.layers["average"](x) if op == "avgpool3x3" else x  # type: ignore[no-any-return]


def _name(number: int, edge: Edge) -> str:
    return f"{number}_{edge[0]}{edge[1]}"


def _conv(width: int, kernel: int) -> Any:
    from torch import nn

    if kernel == 3:
        return conv_bn(width, width)
    return nn.Sequential(nn.Conv2d(width, width, kernel, bias=False), nn.BatchNorm2d(width))


@dataclass(slots=True)
class Scored:
    """What the published procedure came to. kernels: of each candidate."""

    scores: list[float]
    kernels: list[int]


def score_all(
    candidates: Sequence[Sequence[Cell]], images: Tensor, options: CandidateOptions, *, rest: bool, fixed: bool
) -> Scored:
    """Score each candidate by a network of its own. images: (N, 1, H, W); fixed: the first are the one batch."""
    import numpy as np
    import torch

    found, config = Scored([], []), _config(options)
    draws = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(options.seed)
        for cells in candidates:
            network, sums, values = Drawn(cells, config), Kernels(options.batch), []
            for name, module in network.layers.items():
                if name.endswith("lif"):
                    module.register_forward_hook(sums.add)
            kernels = 0
            for x in [images[: options.batch]] if fixed else _minibatches(images, options.batch, draws):
                sums.begin()
                if rest:
                    network.rest()
                network.forward(x)
                values.append(float(np.linalg.slogdet(sums.total / sums.count)[1]))
                kernels += sums.count
            found.scores.append(statistics.fmean(values))
            found.kernels.append(kernels)
    return found


def _minibatches(images: Tensor, batch: int, draws: Any) -> Iterator[Tensor]:
    """The first minibatch of each of two new loaders."""
    import torch
    from torch.utils.data import DataLoader

    for _ in range(REPEATS):
        augmented: Any = Augmented(images, draws)
        yield torch.as_tensor(next(iter(DataLoader(augmented, batch, shuffle=True, generator=draws))))


def drawn(options: CandidateOptions) -> list[list[Cell]]:
    """The candidates of each stage, as often as they were drawn: one of snasnet; of spikenas one for each cell."""
    from snnas.search.network.space import get

    space, rng = get(options.method), stream(options.seed, options.method)
    if options.method == "snasnet":
        backward = options.both_ways
        return [[space.random_genotype(rng, cells=1, backward=backward).cells[0] for _ in range(options.candidates)]]
    every = [Cell(ops) for ops in itertools.product(space.ops, repeat=len(FORWARD_EDGES))]
    valid = [cell for cell in every if space.valid(cell)]
    return [[valid[int(at)] for at in rng.permutation(len(valid))[: options.candidates]] for _ in range(2)]


def pairs(cell: Cell, stage: int, options: CandidateOptions) -> tuple[Cell, Cell]:
    """The two cells of a candidate: both alike; of spikenas the other one is as cheap as its space has any."""
    if options.method == "snasnet":
        return cell, cell
    cheapest = Cell.of({edge: "conv3x3" if edge == (0, 3) else "skip" for edge in FORWARD_EDGES})
    return (cell, cheapest) if stage == 0 else (cheapest, cell)


def ours(stages: Sequence[Sequence[Cell]], x: Tensor, options: CandidateOptions) -> int:
    """Score each function of each stage once; return how many there were."""
    from snnas.search.methods import single
    from snnas.search.methods.snasnet import ROUND
    from snnas.search.network.functional import plainest
    from snnas.search.network.genotype import Genotype
    from snnas.search.network.space import get
    from snnas.search.scoring.batched import BatchedScorer
    from snnas.search.scoring.supernet import Supernet

    space = get(options.method)
    seed = torch_seed(options.seed, "supernet")
    scorer = BatchedScorer(Supernet(space, _config(options), backward=options.both_ways, seed=seed), x)
    count = 0
    for stage, cells in enumerate(stages):
        distinct = list(plainest({Cell.of(cell.live()) for cell in cells}).values())
        count += len(distinct)
        candidates = [single(Genotype(space.name, pairs(cell, stage, options))) for cell in distinct]
        for start in range(0, len(candidates), ROUND):
            scorer(candidates[start : start + ROUND])
    return count


def _config(options: CandidateOptions) -> NetworkConfig:
    from snnas.search.network.config import NetworkConfig

    return NetworkConfig(
        input_shape=(1, options.pixels, options.pixels),
        classes=10,
        channels=2 * options.width,
        timesteps=options.timesteps,
        reduction="average",
        head="lif",
    )


# ----------------------------------------------------------------------------------------------------------- the study


def compare(options: CandidateOptions, narrator: Narrator) -> dict[str, Any]:
    """Time the baselines and ours in turns; medians of CPU seconds per candidate, drawn and distinct."""
    stages = drawn(options)
    candidates = [pairs(cell, stage, options) for stage, cells in enumerate(stages) for cell in cells]
    seconds: dict[str, list[float]] = {name: [] for name in (*BASELINES, "snnas")}
    kernels: dict[str, int] = {}
    distinct = 0
    with one_thread():
        plain = digits_batch(10_000, options.seed, options.pixels)
        images = (plain - plain.mean()) / plain.std()  # as the release does
        work: dict[str, Callable[[], Any]] = {
            name: partial(score_all, candidates, images, options, **kind) for name, kind in BASELINES.items()
        }
        work["snnas"] = partial(ours, stages, plain[: options.batch], options)
        for turn in range(options.turns):
            narrator.say(f"  turn {turn + 1} of {options.turns} ...")
            for name, run in work.items():
                spent, result = timed(run)
                seconds[name].append(spent)
                if isinstance(result, Scored):
                    kernels[name] = sum(result.kernels)
                else:
                    distinct = result
    own = seconds["snnas"]
    rows = {
        name: {
            "seconds": round(statistics.median(seconds[name]) / len(candidates), 5),
            "kernels": kernels[name],
            "minibatches": 1 if kind["fixed"] else REPEATS,
            "ratio": round(statistics.median(a / b for a, b in zip(seconds[name], own, strict=True)), 2),
            "ratio_distinct": round(
                statistics.median(a / b for a, b in zip(seconds[name], own, strict=True)) * distinct / len(candidates),
                2,
            ),
        }
        for name, kind in BASELINES.items()
    }
    return {
        "schema": SCHEMA,
        **asdict(options),
        "channels": [2 * options.width, 4 * options.width],
        "drawn": len(candidates),
        "distinct": distinct,
        "snnas": {"seconds": round(statistics.median(own) / distinct, 5)},
        "baselines": rows,
    }


MEANINGS = {
    "as published": "a network and 2 minibatches of its own per draw",
    "state at rest": "besides, each minibatch begins at rest",
    "equal minibatches": "besides, one minibatch for all candidates, as ours",
}


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    edges = "12 edges" if result["backward"] and result["method"] == "snasnet" else "6 edges"
    title = (
        f"{result['method']}: {result['drawn']} draws, {result['distinct']} functions, {edges}, {result['channels']} "
        f"channels, {result['pixels']}x{result['pixels']}, batch {result['batch']}, T = {result['timesteps']}, seed "
        f"{result['seed']}"
    )
    columns = "", "CPU s a candidate", "of these draws, x ours", "candidate for candidate", "what it is"
    table = Table(*columns, title=title, title_justify="left")
    for name, row in result["baselines"].items():
        ratios = f"{row['ratio']:.1f}", f"{row['ratio_distinct']:.1f}"
        table.add_row(name, f"{row['seconds']:.4f}", *ratios, MEANINGS[name])
    table.add_row("snnas", f"{result['snnas']['seconds']:.4f}", "1", "1", "each function once, one bank of weights")
    table.caption = "one thread, CPU seconds, medians over turns"
    print_table(table)


def command(
    method: Annotated[str, typer.Option(help="snasnet or spikenas.")] = "snasnet",
    candidates: Annotated[int, typer.Option(help="Draws; of spikenas in each cell.")] = 32,
    width: Annotated[int, typer.Option(help="Cells have 2 and 4 times as many channels.")] = 4,
    pixels: Annotated[int, typer.Option(help="Pixels a side, 8 or 16: digits, or each pixel four times.")] = 16,
    batch: Annotated[int, typer.Option(help="Samples of a minibatch.")] = 16,
    timesteps: Annotated[int, typer.Option("-T", "--timesteps", help="T.")] = 5,
    turns: Annotated[int, typer.Option(help="How often all run, in turns.")] = 3,
    backward: Annotated[bool, typer.Option(help="SNASNet's backward edges.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of draws, weights and minibatches.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare what a candidate takes us with SNASNet's and SpikeNAS's published procedures, in three baselines."""
    options = CandidateOptions(
        method=method,
        candidates=candidates,
        width=width,
        pixels=pixels,
        batch=batch,
        timesteps=timesteps,
        turns=turns,
        backward=backward,
        seed=seed,
    )
    tell(compare(options, Narrator(quiet=quiet)), as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
