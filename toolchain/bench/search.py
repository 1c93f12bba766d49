"""``snnas bench search``: our search against the lean straightforward loop of ``toolchain/bench/plain_search.py``.

Both prune the same supernet by importance (every evaluation of every round, backward edges left out and in) on the same
batch with the same weights, one after the other in one pinned thread, in turns. Times are CPU seconds of this process,
because only those say something on a shared machine; the ratio is the median over the turns. Networks are living: no
layer of the supernet is silent. Setting: width 4 as the release counts it (``first_out_channel``), so cells of 8 and 16
channels; 16x16 pixels (digits, each pixel four times), batch 16, T = 5, LightSNN's three operations.

Scores are compared evaluation by evaluation. They are equal up to the order of float64 additions.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnas.toolchain.bench.harness import Turns, one_thread, timed
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.output.stdout import print_table

if TYPE_CHECKING:
    from torch import Tensor

    from snnas.search.methods import Record, SearchResult
    from snnas.search.scoring.supernet import Supernet

GATES = {"feedforward": 4.0, "recurrent": 3.0}
TOLERANCE = 1e-6
PIXELS, TIMESTEPS = 16, 5


@dataclass(slots=True)
class Searches(Turns):
    """Of whole searches; difference: the largest of two scores."""

    evaluations: int = 0
    same_genotype: bool = True
    silent: int = 0
    lowest_rate: float = 1.0
    highest_rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchOptions:
    """What is timed."""

    turns: int = 5
    """How often both searches run, in turns."""
    width: int = 4
    """Of the supernet; its cells have 2 and 4 times as many channels."""
    batch: int = 16
    """Samples that score every candidate."""
    seed: int = 0
    """The one seed of weights and batch."""


def bench_search(options: SearchBenchOptions, narrator: Narrator = SILENT) -> dict[str, Any]:
    """Return the figures of the benchmark, as ``--json`` prints them."""
    turns, width, batch, seed = options.turns, options.width, options.batch, options.seed
    kinds = {name: Searches() for name in GATES}
    with one_thread(), narrator.progress("timing both searches, the loop and ours", "turns") as advance:
        x, every = digits_batch(batch, seed), len(kinds) * turns
        for at, (name, kind) in enumerate(kinds.items()):
            supernet = living_supernet(width, seed, backward=name == "recurrent")
            for turn in range(turns):
                _turn(kind, supernet, x, backward=name == "recurrent")
                advance(at * turns + turn + 1, every)
                narrator.say(f"  {name}: loop {kind.baseline[-1]:.3f} s, snnas {kind.seconds[-1]:.3f} s of CPU")
    difference = max(kind.difference for kind in kinds.values())
    equal = difference <= TOLERANCE and all(kind.same_genotype for kind in kinds.values())
    figures: dict[str, Any] = {"schema": "snnas.bench.search/1"}
    for name, kind in kinds.items():
        figures[f"ratio_{name}"] = round(kind.ratio, 3)
        figures[f"seconds_{name}"] = round(statistics.median(kind.seconds), 4)
        figures[f"baseline_seconds_{name}"] = round(statistics.median(kind.baseline), 4)
        figures[f"evaluations_{name}"] = kind.evaluations
        figures[f"silent_layers_{name}"] = kind.silent
        figures[f"firing_{name}"] = [round(kind.lowest_rate, 4), round(kind.highest_rate, 4)]
    return figures | {
        "max_score_difference": difference,
        "tolerance": TOLERANCE,
        "same_genotype": all(kind.same_genotype for kind in kinds.values()),
        "gates": GATES,
        "good": equal and all(kinds[name].ratio >= gate for name, gate in GATES.items()),
        "setting": {
            "channels": [2 * width, 4 * width],
            "pixels": PIXELS,
            "batch": batch,
            "timesteps": TIMESTEPS,
            "data": "digits, each pixel four times",
            "seed": seed,
            "turns": turns,
            "threads": 1,
            "clock": "CPU seconds of the process",
        },
    }


def _turn(kind: Searches, supernet: Supernet, x: Tensor, *, backward: bool) -> None:
    """Run both searches once, the loop first, and compare all their scores."""
    from snnas.search.scoring.batched import BatchedScorer
    from snnas.search.scoring.proxies import Score
    from snnas.toolchain.bench.plain_search import SearchLoop

    def loop() -> tuple[SearchResult, list[Record]]:
        network = SearchLoop(supernet, x)
        return _search(lambda candidates: [Score(network.score(c), {}) for c in candidates], backward)

    # A LIF per operation makes a kernel per operation: ours counts a node's kernel as often.
    def ours() -> tuple[SearchResult, list[Record]]:
        return _search(BatchedScorer(supernet, x, per_operation=True), backward)

    seconds, (expected, theirs) = timed(loop)
    kind.baseline.append(seconds)
    seconds, (found, mine) = timed(ours)
    kind.seconds.append(seconds)
    kind.evaluations = found.evaluations
    kind.same_genotype &= found.genotype == expected.genotype
    for one, other in zip(mine, theirs, strict=False):
        if one["event"] == "evaluation" and one["score"] != other.get("score"):
            kind.difference = max(kind.difference, abs((one["score"] or 0.0) - (other.get("score") or 0.0)))
    first = next(record for record in mine if record["event"] == "evaluation")
    kind.silent, rates = first["silent_layers"], first["firing"].values()
    kind.lowest_rate, kind.highest_rate = min(rates), max(rates)


def _search(score: Callable[..., Any], backward: bool) -> tuple[SearchResult, list[Record]]:
    from snnas.search.methods import lightsnn
    from snnas.search.network.space import get

    records: list[Record] = []
    return lightsnn.run(get("lightsnn"), score, log=records.append, backward=backward), records


def living_supernet(
    width: int, seed: int, *, backward: bool, pixels: int = PIXELS, timesteps: int = TIMESTEPS
) -> Supernet:
    """Return LightSNN's supernet of 2 and 4 x ``width`` channels, all its layers alive."""
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.space import get
    from snnas.search.scoring.supernet import Supernet

    shape, channels = (1, pixels, pixels), 2 * width
    config = NetworkConfig(input_shape=shape, classes=10, channels=channels, timesteps=timesteps, head="lif")
    return Supernet(get("lightsnn"), config, backward=backward, seed=torch_seed(seed, "supernet"))


def digits_batch(batch: int, seed: int, pixels: int = PIXELS) -> Tensor:
    """Return ``batch`` training digits, all where there are fewer, (B, 1, pixels, pixels); pixels: 8 or a multiple."""
    import torch

    from snnas.toolchain.data.load import load

    x = load("digits", seed=seed).x_train
    chosen = torch.from_numpy(x[stream(seed, "proxy").permutation(len(x))[:batch]])
    return chosen.repeat_interleave(pixels // 8, dim=2).repeat_interleave(pixels // 8, dim=3)


def print_result(figures: dict[str, Any]) -> None:
    from rich.table import Table

    setting = figures["setting"]
    title = f"search, {setting['channels']} channels, batch {setting['batch']}, seed {setting['seed']}"
    table = Table("", "loop", "snnas", "ratio (gate)", title=title, title_justify="left")
    for name, gate in figures["gates"].items():
        table.add_row(
            f"{name}, {figures[f'evaluations_{name}']} evaluations",
            f"{figures[f'baseline_seconds_{name}']:.3f} s",
            f"{figures[f'seconds_{name}']:.3f} s",
            f"{figures[f'ratio_{name}']:.1f} ({gate:g})",
        )
    table.caption = f"largest difference of two scores {figures['max_score_difference']:.1e}; CPU seconds, measured"
    print_table(table)
