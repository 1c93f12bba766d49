"""What a scale per output channel would save: python -m tests.studies.channel_scales

The slow network of tests/export/compiler/test_resolution.py (700 -> 128 -> 20 CubaLIFs, random weights, 52 samples of
100 timesteps) in float, with nothing rounded but its weights: to whole steps of one size for a layer, or of one for
each channel, the largest weight at the end of the range. Counted are spikes and predictions that differ from the
unrounded network's. ``--spread`` multiplies each channel's weights by exp of a normal number of that deviation first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph, Linear
from snnas.hw_sim.limits import weight_range
from snnas.toolchain.cli.options import AsJson
from tests.export.compiler.test_resolution import realistic
from tests.studies.command import main, numbers, tell

SCHEMA = "snnas.study.channel_scales/1"
LAYERS = ("w0", "w1")


def with_weights(graph: Graph, weights: dict[str, np.ndarray]) -> Graph:
    """The graph with other weights, float64, of some of its linear layers."""
    nodes = {
        name: replace(node, weight=weights[name].astype(np.float32))
        if name in weights and isinstance(node, Linear)
        else node
        for name, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)


def rounded(weight: np.ndarray, bits: int, *, by_channel: bool) -> np.ndarray:
    """Whole multiples of a step, float64 (O, I): one step, or one for each of the O channels."""
    most = weight_range(bits)[1]
    largest = np.abs(weight).max(axis=1 if by_channel else None, keepdims=True)
    step = np.where(largest > 0, largest, 1.0) / most
    return np.rint(weight / step) * step


def one(seed: int, bits: int, spread: float) -> dict[str, Any]:
    """Both roundings of the network of one seed."""
    rng = np.random.default_rng(seed)
    graph, x = realistic(rng)
    plain = {n: node.weight for n in LAYERS if isinstance(node := graph.nodes[n], Linear)}
    weights = {n: w * np.exp(spread * rng.normal(size=(len(w), 1))) for n, w in plain.items()}
    steps = x.shape[1]
    wanted = interpreter.run(with_weights(graph, weights), x, steps)
    found: dict[str, Any] = {"seed": seed, "bits": bits, "spread": spread, "samples": len(x)}
    found["firing"] = {n: float(s.mean()) for n, s in wanted.spikes.items()}
    for name, by_channel in (("of_layer", False), ("of_channel", True)):
        made = {n: rounded(w, bits, by_channel=by_channel) for n, w in weights.items()}
        run = interpreter.run(with_weights(graph, made), x, steps)
        wrong = sum(int((run.spikes[n] != s).sum()) for n, s in wanted.spikes.items())
        found[name] = {
            "spikes_differing": wrong / sum(s.size for s in wanted.spikes.values()),
            "predictions_changed": int((run.predictions != wanted.predictions).sum()),
        }
    return found


def measure(seeds: tuple[int, ...], bits: tuple[int, ...], spread: float) -> dict[str, Any]:
    """Every width of every seed's network, and the first width with its channels spread."""
    cases = [(b, 0.0) for b in bits] + ([(bits[0], spread)] if spread else [])
    return {"schema": SCHEMA, "networks": [one(seed, b, s) for b, s in cases for seed in seeds]}


def _print(result: dict[str, Any]) -> None:
    for n in result["networks"]:
        what = f"seed {n['seed']}, {n['bits']} bits{', channels spread' if n['spread'] else ''}"
        layer, channel = (
            f"{n[of]['spikes_differing']:.2%} of spikes and {n[of]['predictions_changed']} of {n['samples']} answers"
            for of in ("of_layer", "of_channel")
        )
        print(f"{what}: a step for a layer changes {layer}, one for each channel {channel}")


def command(
    seeds: Annotated[str, typer.Option(help="A network and its samples each.")] = "0,1,2,3,4",
    bits: Annotated[str, typer.Option(help="Widths of a weight; channels are spread at the first.")] = "8,4",
    spread: Annotated[float, typer.Option(min=0, help="Deviation of the logarithm of the channels' factors.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Spikes and predictions that rounding changes, with one step for a layer and with one for each channel."""
    asked = numbers(seeds, "--seeds", "0,1"), numbers(bits, "--bits", "8,4")
    tell(measure(*asked, spread), as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
