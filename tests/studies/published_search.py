"""How many times as long LightSNN's published search takes as ours, against three baselines in one run.

The published code is not shipped. ``PublishedSearch`` is our own statement of the procedure that it runs, faults
included, from reading it; no line is copied. Network: one step at a time, stem and every operation at each of them, a
LIF per convolution, operations weighted by a softmax of 1/n, BN by statistics of 0 and 1. Its backward operations are
computed and change nothing, as in the release. A score is log |det| of the mean kernel over all LIF calls, the mean
over two augmented minibatches of a loader that is made anew for every candidate. The baselines:

    as published        a hook per LIF is added in every evaluation and none is ever removed: the k-th computes every
                        kernel k times
    leak removed        the same scores (asserted), each kernel once
    equal minibatches   besides, all candidates see one minibatch, which is ours, at rest at its beginning

Ours is the search of ``snnas search --method lightsnn --backward`` at the same widths, pixels, batch and T. Its
backward edges live, which costs it more; the same without them is all that the published search can tell apart. CPU
seconds of this process in one thread. Who has the published code gives
the command that runs its search at the printed sizes to ``--reference``: its CPU seconds (workers and start-up
included) become a fourth row.
"""

from __future__ import annotations

import math
import shlex
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.bench.harness import one_thread, timed
from snnas.toolchain.bench.search import digits_batch, living_supernet
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from tests.studies.command import main, tell

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = "snnas.study.published_search/1"
OPS = ("zeroize", "skip", "conv3x3")
FORWARD = tuple((i, j) for j in range(1, 4) for i in range(j))
EDGES = (*FORWARD, *((j, i) for i, j in FORWARD))
REPEATS = 2  # minibatches that score one candidate
TOLERANCE = 1e-6  # of a score whose kernel was summed once or k times, in float64


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedOptions:
    """What is timed. width: of the stem as the release counts it; the cells have 2 and 4 times as many channels."""

    width: int = 4
    pixels: int = 16
    batch: int = 16
    timesteps: int = 5
    turns: int = 3
    seed: int = 0
    reference: str = ""

    def __post_init__(self) -> None:
        for name, least in {"width": 1, "pixels": 8, "batch": 2, "timesteps": 1, "turns": 1}.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")
        if self.pixels not in (8, 16):
            raise UsageError(f"--pixels {self.pixels}: expected 8 or 16, digits once or each pixel four times")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a published search came to. scores, kernels: of every evaluation, in order, and how many it computed."""

    scores: tuple[float, ...]
    kernels: tuple[int, ...]
    cell: tuple[str, ...]


class PublishedSearch:
    """The published procedure on images (N, 1, H, W); the network is drawn from ``seed``, the minibatches likewise."""

    def __init__(self, images: Tensor, options: PublishedOptions, hidden: int, votes: int) -> None:
        import torch
        from torch import nn

        self.images, self.options = images, options
        narrow, wide = 2 * options.width, 4 * options.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            layers: dict[str, nn.Module] = {"stem": conv_bn(images.shape[1], narrow)}
            for cell, channels in ((1, narrow), (2, wide)):
                for i, j in EDGES:
                    layers[f"{cell}_{i}{j}_lif"], layers[f"{cell}_{i}{j}"] = lif(), conv_bn(channels, channels)
                layers[f"{cell}_bn"], layers[f"{cell}_lif"] = nn.BatchNorm2d(channels), lif()
            layers["widen"], layers["pool"] = conv_bn(narrow, wide), nn.MaxPool2d(2)
            layers["fc1"] = nn.Linear(wide * (options.pixels // 4) ** 2, hidden, bias=False)
            layers["fc2"], layers["fc_lif"] = nn.Linear(hidden, votes, bias=False), lif()
            self.layers = nn.ModuleDict(layers).eval()
            for module in self.layers.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_uniform_(module.weight, a=2)

    def run(self, *, leak: bool, fixed: Tensor | None = None) -> Pruned:
        """Prune to one operation per edge. leak: hooks stay. fixed: the one minibatch of all candidates."""
        import torch

        self.rest()
        logits, scores, kernels = torch.zeros(len(EDGES), len(OPS)), [], []
        hooks: list[Any] = []
        sums = Kernels(self.options.batch)
        self.draws = torch.Generator().manual_seed(self.options.seed)
        for _ in range(len(OPS) - 1):
            found: dict[int, list[tuple[float, int]]] = {}
            for edge in range(len(EDGES)):
                for op in (logits[edge] > -1).nonzero().flatten().tolist():
                    candidate = logits.clone()
                    candidate[edge, op] = -1000.0
                    hooks += [m.register_forward_hook(sums.add) for n, m in self.layers.items() if n.endswith("lif")]
                    score, count = self._score(torch.softmax(candidate, 1), sums, fixed)
                    kernels.append(count)
                    scores.append(score)
                    found.setdefault(edge, []).append((score, op))
                    if not leak:
                        remove_hooks(hooks)
            for edge, values in found.items():
                logits[edge, max(values)[1]] = -1000.0  # of equal ones the last
        remove_hooks(hooks)
        cell = tuple(OPS[op] for op in logits.argmax(1).tolist())
        return Pruned(tuple(scores), tuple(kernels), cell)

    def rest(self) -> None:
        """Reset the state, as the release does at the beginning alone."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self.layers)

    def _score(self, weights: Tensor, sums: Kernels, fixed: Tensor | None) -> tuple[float, int]:
        """The score of one candidate, and the kernels that it took."""
        import numpy as np
        import torch

        values, kernels = [], 0
        for x in self._minibatches() if fixed is None else (fixed,):
            sums.begin()
            if fixed is not None:
                self.rest()
            with torch.no_grad():
                self._forward(x, weights)
            values.append(float(np.linalg.slogdet(sums.total / sums.count)[1]))
            kernels += sums.count
        return statistics.fmean(values), kernels

    def _minibatches(self) -> Iterator[Tensor]:
        """Two minibatches of a new, shuffled loader: shifted by up to 2 pixels, every second one mirrored."""
        import torch
        from torch.utils.data import DataLoader

        images: Any = Augmented(self.images, self.draws)
        shuffled = DataLoader(images, self.options.batch, shuffle=True, generator=self.draws)
        for _, x in zip(range(REPEATS), shuffled, strict=False):
            yield torch.as_tensor(x)

    def _forward(self, x: Tensor, weights: Tensor) -> None:
        layers = self.layers
        for _ in range(self.options.timesteps):
            out = self._cell(1, layers["stem"](x), weights)
            out = layers["pool"](layers["widen"](layers["1_lif"](layers["1_bn"](out))))
            out = self._cell(2, out, weights)
            out = layers["pool"](layers["2_lif"](layers["2_bn"](out)))
            layers["fc2"](layers["fc_lif"](layers["fc1"](out.flatten(1))))

    def _cell(self, cell: int, x: Tensor, weights: Tensor) -> Tensor:
        """Every edge in turn; what comes back is appended to a list whose zeros alone are read."""
        import torch

        nodes, back = [x], [torch.zeros_like(x)] * 3
        for j in range(1, 4):
            terms = [self._edge(cell, k, nodes[i] + back[i], weights) for k, (i, to) in enumerate(FORWARD) if to == j]
            nodes.append(sum(terms[1:], terms[0]))
        for k, (j, i) in enumerate(EDGES[len(FORWARD) :], start=len(FORWARD)):
            back.append(self._edge(cell, k, nodes[j] + back[i], weights))
        return nodes[3]

    def _edge(self, cell: int, number: int, x: Tensor, weights: Tensor) -> Tensor:
        i, j = EDGES[number]
        total = 0 * x
        for op, weight in zip(OPS, weights[number], strict=True):
            if weight > 0.01:
                if op == "conv3x3":
                    total = total + weight * self.layers[f"{cell}_{i}{j}"](self.layers[f"{cell}_{i}{j}_lif"](x))
                else:
                    total = total + weight * (x if op == "skip" else x * 0)
        return total


class Kernels:
    """Sums the kernels of LIF calls on the host, each in the precision of the release, float32."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.begin()

    def begin(self) -> None:
        import numpy as np

        self.total, self.count = np.zeros((self.batch, self.batch)), 0

    def add(self, module: Any, inputs: Any, spikes: Tensor) -> None:
        """Take the spikes of one LIF call: N - (0.5 / (E / N)) H for the N neurons."""
        codes = spikes.flatten(1)
        rest, rate = 1 - codes, codes.mean(1, keepdim=True)
        expected = codes.shape[1] * (rate @ (1 - rate).T + (1 - rate) @ rate.T)
        differing = codes @ rest.T + rest @ codes.T
        self.total = self.total + (codes.shape[1] - 0.5 / (expected + 1e-3) * differing).cpu().numpy()
        self.count += 1


class Augmented:
    """Images, shifted and mirrored as they are read."""

    def __init__(self, images: Tensor, draws: Any) -> None:
        self.images, self.draws = images, draws

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> Tensor:
        import torch

        down, right, mirrored = (int(torch.randint(n, (), generator=self.draws)) for n in (5, 5, 2))
        image = torch.nn.functional.pad(self.images[at], (2, 2, 2, 2))
        image = image[:, down : down + self.images.shape[2], right : right + self.images.shape[3]]
        return image.flip(2) if mirrored else image


def conv_bn(inputs: int, outputs: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))


def lif() -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    atan = surrogate.ATan()  # type: ignore[no-untyped-call,unused-ignore]
    return neuron.LIFNode(tau=4 / 3, decay_input=True, surrogate_function=atan, detach_reset=True)


def remove_hooks(hooks: list[Any]) -> None:
    while hooks:
        hooks.pop().remove()


# ----------------------------------------------------------------------------------------------------------- the study


def compare(options: PublishedOptions, narrator: Narrator) -> dict[str, Any]:
    """Time the three baselines once and ours ``turns`` times; return the figures."""
    with one_thread():
        sizes = {"pixels": options.pixels, "timesteps": options.timesteps}
        supernets = {
            back: living_supernet(options.width, options.seed, backward=back, **sizes) for back in (True, False)
        }
        config = supernets[True].config
        images = digits_batch(10_000, options.seed, options.pixels)
        x = images[: options.batch]
        images = (images - images.mean()) / images.std()  # as the release does; else nothing fires in its network
        published = PublishedSearch(images, options, config.hidden, config.classes * config.votes)
        ours = {
            back: [timed(partial(_ours, supernets[back], x, back)) for _ in range(options.turns)] for back in supernets
        }
        rows: dict[str, tuple[float, Pruned]] = {}
        kinds: dict[str, dict[str, Any]] = {
            "equal minibatches": {"leak": False, "fixed": images[: options.batch]},
            "leak removed": {"leak": False},
            "as published": {"leak": True},
        }
        for name, kind in kinds.items():
            narrator.say(f"  {name} ...")
            rows[name] = timed(partial(published.run, **kind))
    own, forward = (statistics.median(seconds for seconds, _ in ours[back]) for back in (True, False))
    clean, leaking = rows["leak removed"][1].scores, rows["as published"][1].scores
    apart = [abs(a - b) for a, b in zip(clean, leaking, strict=True) if math.isfinite(a) or math.isfinite(b)]
    told: dict[str, dict[str, Any]] = {
        name: {
            "seconds": round(seconds, 3),
            "ratio": round(seconds / own, 2),
            "ratio_forward": round(seconds / forward, 2),
            "evaluations": len(pruned.scores),
            "kernels": sum(pruned.kernels),
            "minibatches": 1 if name == "equal minibatches" else REPEATS,
            "cell": list(pruned.cell),
        }
        for name, (seconds, pruned) in reversed(rows.items())
    }
    if options.reference:
        seconds = of_children(options.reference)
        told["the command"] = {
            "seconds": round(seconds, 3),
            "ratio": round(seconds / own, 2),
            "ratio_forward": round(seconds / forward, 2),
        }
    return {
        "schema": SCHEMA,
        **asdict(options),
        "channels": [2 * options.width, 4 * options.width],
        "snnas": {"seconds": round(own, 4), "evaluations": ours[True][0][1].evaluations},
        "snnas_forward": {"seconds": round(forward, 4), "evaluations": ours[False][0][1].evaluations},
        "baselines": told,
        "score_difference": max(apart, default=0.0),
        "scores_alive": len(apart),
        "good": bool(apart) and max(apart) <= TOLERANCE,
    }


def _ours(supernet: Any, x: Tensor, backward: bool) -> Any:
    from snnas.search.methods import lightsnn
    from snnas.search.network.space import get
    from snnas.search.scoring.batched import BatchedScorer

    return lightsnn.run(get("lightsnn"), BatchedScorer(supernet, x), log=lambda record: None, backward=backward)


def of_children(command: str) -> float:
    """CPU seconds that a command and all its processes take; UsageError where it fails."""
    import resource

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    try:
        ended = subprocess.run(shlex.split(command), check=False, stdout=subprocess.DEVNULL).returncode
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--reference {command!r}: {error}; expected a command that runs the published search"
        ) from None
    if ended:
        raise UsageError(f"--reference {command!r}: it ended with {ended}, expected 0; run it by itself first")
    return spent() - before


MEANINGS = {
    "as published": "hooks pile up, 2 own minibatches per candidate",
    "leak removed": "equal scores, each kernel once",
    "equal minibatches": "besides, one minibatch for all candidates, as ours",
    "the command": "of --reference, with its start-up",
}


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    own, forward = result["snnas"], result["snnas_forward"]
    title = (
        f"LightSNN's search, {result['channels']} channels, {result['pixels']}x{result['pixels']}, batch "
        f"{result['batch']}, T = {result['timesteps']}, 12 edges of 3 operations, seed {result['seed']}"
    )
    table = Table(
        "", "CPU seconds", "kernels", "times ours", "forward", "what it is", title=title, title_justify="left"
    )
    for name, row in result["baselines"].items():
        kernels = f"{row['kernels']:,}" if "kernels" in row else ""
        ratios = f"{row['ratio']:.1f}", f"{row['ratio_forward']:.1f}"
        table.add_row(name, f"{row['seconds']:.1f}", kernels, *ratios, MEANINGS[name])
    said = f"{own['evaluations']} evaluations, backward edges live"
    table.add_row("snnas", f"{own['seconds']:.2f}", "", "1", "", said)
    said = f"{forward['evaluations']} evaluations, no backward edges"
    table.add_row("snnas, forward", f"{forward['seconds']:.2f}", "", "", "1", said)
    table.caption = (
        f"one thread, measured; a score with and without the leak differs by at most {result['score_difference']:.0e}"
    )
    print_table(table)


def command(
    width: Annotated[int, typer.Option(help="Of the stem; cells have 2 and 4 times as many channels.")] = 4,
    pixels: Annotated[int, typer.Option(help="Pixels a side, 8 or 16: digits, or each pixel four times.")] = 16,
    batch: Annotated[int, typer.Option(help="Samples of a minibatch.")] = 16,
    timesteps: Annotated[int, typer.Option("-T", "--timesteps", help="T.")] = 5,
    turns: Annotated[int, typer.Option(help="Runs of ours, of which the median counts.")] = 3,
    reference: Annotated[
        str, typer.Option(metavar="COMMAND", help="Runs the published code's search at these sizes; timed besides.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and minibatches.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare our search with LightSNN's published procedure: as published, leak removed, equal minibatches."""
    options = PublishedOptions(
        width=width,
        pixels=pixels,
        batch=batch,
        timesteps=timesteps,
        turns=turns,
        seed=seed,
        reference=reference,
    )
    result = compare(options, Narrator(quiet=quiet))
    tell(result, as_json, print_result, good=result["good"])


if __name__ == "__main__":
    main(command)
