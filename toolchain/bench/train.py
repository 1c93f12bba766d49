"""``snnas bench train``: our training step against the step-by-step loop of ``toolchain/bench/plain_training.py``.

Both train the same network (forward, backward, AdamW) from the same weights on the same batch, in turns, in one pinned
thread; times are CPU seconds of this process, the ratio is the median over the turns. Timed as one trains: BN by
statistics of the batch, the loop with a LIF per operation as the releases have it. Ours is what ``training``
runs: T folded into the batch, stem once, one LIF per node with its own backward pass, channels last.

Losses are compared before timing, step by step, with BN in eval mode and both networks in torch's plain memory layout:
there the loop does the same arithmetic. In training they differ by design, because a loop's BN sees one timestep at a
time. Channels last adds up in another order: ``loss_difference_as_timed`` is what that does to the loss.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnas.toolchain.bench.harness import Turns, one_thread, timed
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.output.stderr import SILENT, Advance, Narrator
from snnas.toolchain.output.stdout import print_table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snnas.search.network.network import Network

GATE, AIM = 1.7, 3.0
TOLERANCE = 1e-6
CLASSES, TIMESTEPS, HIDDEN = 10, 5, 256
CELL = {(0, 1): "conv3x3", (0, 2): "conv3x3", (1, 3): "conv3x3", (2, 3): "conv3x3", (0, 3): "skip"}
KINDS = {"feedforward": CELL, "recurrent": {**CELL, (3, 0): "conv3x3"}}
# After so many steps a spike on its threshold has fallen differently, and the losses part.
COMPARED_STEPS = 2


@dataclass(slots=True)
class Steps(Turns):
    """Of single steps; differences: the largest of two losses; bytes that autograd keeps for a step."""

    difference_as_timed: float = 0.0
    bytes: int = 0
    baseline_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainBenchOptions:
    """What is timed."""

    turns: int = 7
    """Turns of either loop; medians count."""
    channels: int = 32
    """Channels of the first cell."""
    pixels: int = 32
    """Side of the images."""
    batch: int = 8
    """Images per step."""
    seed: int = 0
    """The one seed of weights and images."""


def bench_train(options: TrainBenchOptions, narrator: Narrator = SILENT) -> dict[str, Any]:
    """Return the figures of the benchmark, as ``--json`` prints them."""
    kinds: dict[str, Steps] = {}
    with one_thread(), narrator.progress("timing steps of both trainings, the loop's and ours", "turns") as advance:
        for name in KINDS:
            kinds[name] = _measure(name, options, advance)
            narrator.say(
                f"  {name}: {kinds[name].ratio:.2f} times as fast, losses differ by {kinds[name].difference:.1e}"
            )
    figures: dict[str, Any] = {"schema": "snnas.bench.train/1"}
    for name, kind in kinds.items():
        seconds, baseline = statistics.median(kind.seconds), statistics.median(kind.baseline)
        figures |= {
            f"ratio_{name}": round(kind.ratio, 3),
            f"seconds_{name}": round(seconds, 5),
            f"baseline_seconds_{name}": round(baseline, 5),
            f"images_per_s_{name}": round(options.batch / seconds, 2),
            f"baseline_images_per_s_{name}": round(options.batch / baseline, 2),
            f"peak_bytes_{name}": kind.bytes,
            f"baseline_peak_bytes_{name}": kind.baseline_bytes,
            f"loss_difference_{name}": kind.difference,
            f"loss_difference_as_timed_{name}": kind.difference_as_timed,
        }
    for key in ("ratio", "seconds", "baseline_seconds", "images_per_s", "baseline_images_per_s", "peak_bytes"):
        figures[key] = figures[f"{key}_feedforward"]
    figures["baseline_peak_bytes"] = figures["baseline_peak_bytes_feedforward"]
    figures["loss_difference"] = max(kind.difference for kind in kinds.values())
    return figures | {
        "tolerance": TOLERANCE,
        "gate": GATE,
        "aim": AIM,
        "good": figures["ratio"] >= GATE and figures["loss_difference"] <= TOLERANCE,
        "setting": {
            "channels": [options.channels, 2 * options.channels],
            "pixels": options.pixels,
            "batch": options.batch,
            "timesteps": TIMESTEPS,
            "hidden": HIDDEN,
            "cell": {f"{i}->{j}": op for (i, j), op in CELL.items()},
            "recurrent_cell": "and 3->0 conv3x3",
            "seed": options.seed,
            "turns": options.turns,
            "threads": 1,
            "clock": "CPU seconds of the process",
            "peak_bytes": "tensors that autograd keeps for the backward pass, weights left out",
        },
    }


def _measure(name: str, options: TrainBenchOptions, advance: Advance) -> Steps:
    import torch

    from snnas.toolchain.bench.plain_training import TrainLoop, train_step
    from snnas.toolchain.training.memory import keep_pages, lay_out

    keep_pages()  # for both
    result = Steps()
    generator = torch.Generator().manual_seed(torch_seed(options.seed, "bench train"))
    x = torch.rand(options.batch, 3, options.pixels, options.pixels, generator=generator)
    y = torch.randint(CLASSES, (options.batch,), generator=generator)
    wide = x.contiguous(memory_format=torch.channels_last)
    for step in range(COMPARED_STEPS):
        for layout, images in ((torch.contiguous_format, x), (torch.channels_last, wide)):
            network = _network(name, options, x)
            loop = TrainLoop(network).eval()
            lay_out(network.eval(), layout)
            mine, theirs = _optimizer(network), _optimizer(loop)
            gap = 0.0
            for _ in range(step + 1):
                gap = abs(train_step(network, mine, images, y) - train_step(loop, theirs, x, y))
            if layout is torch.contiguous_format:
                result.difference = max(result.difference, gap)
            else:
                result.difference_as_timed = max(result.difference_as_timed, gap)
    network = _network(name, options, x)
    loop = TrainLoop(network).train()
    lay_out(network.train(), torch.channels_last)
    result.bytes, result.baseline_bytes = _kept(network, wide), _kept(loop, x)
    mine, theirs = _optimizer(network, fused=True), _optimizer(loop)
    for turn in range(options.turns + 1):
        baseline, _ = timed(lambda: train_step(loop, theirs, x, y))
        seconds, _ = timed(lambda: train_step(network, mine, wide, y))
        advance(tuple(KINDS).index(name) * (options.turns + 1) + turn + 1, len(KINDS) * (options.turns + 1))
        if turn:  # the first warms up
            result.baseline.append(baseline)
            result.seconds.append(seconds)
    return result


def _network(name: str, options: TrainBenchOptions, x: Tensor) -> Network:
    """Return a network that is alive in eval mode: its running statistics are those of the batch."""
    import torch

    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.toolchain.training import build

    config = NetworkConfig(
        input_shape=(3, options.pixels, options.pixels),
        classes=CLASSES,
        channels=options.channels,
        hidden=HIDDEN,
        timesteps=TIMESTEPS,
        head="lif",
    )
    network = build(Genotype("lightsnn", (Cell.of(KINDS[name]),) * 2), config, seed=options.seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for _ in range(3):
            network(x)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1
    return network


def _optimizer(network: nn.Module, *, fused: bool = False) -> Any:
    import torch

    return torch.optim.AdamW(network.parameters(), lr=1e-3, fused=fused)


def _kept(network: nn.Module, x: Tensor) -> int:
    """Return the bytes that autograd keeps between the passes, each storage once, parameters left out."""
    import torch

    seen = {p.untyped_storage().data_ptr(): 0 for p in network.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = network(x)
    del out
    return sum(seen.values())


def print_result(figures: dict[str, Any]) -> None:
    from rich.table import Table

    setting = figures["setting"]
    title = f"training, {setting['channels']} channels, {setting['pixels']} pixels, batch {setting['batch']}"
    table = Table("", "loop", "snnas", "ratio (gate)", title=title, title_justify="left")
    for name in KINDS:
        gate = f" ({figures['gate']:g})" if name == "feedforward" else ""
        table.add_row(
            f"{name}, images/s",
            f"{figures[f'baseline_images_per_s_{name}']:.1f}",
            f"{figures[f'images_per_s_{name}']:.1f}",
            f"{figures[f'ratio_{name}']:.2f}{gate}",
        )
        kept = (figures[f"baseline_peak_bytes_{name}"], figures[f"peak_bytes_{name}"])
        table.add_row("  kept for backward", *(f"{value / 1e6:.0f} MB" for value in kept), "")
    table.caption = f"losses differ by {figures['loss_difference']:.1e} at most; CPU seconds, measured"
    print_table(table)
