"""The float side of an export: trained network, deployed network and re-read .nir on the whole test split.

They run side by side over a few samples at a time, so that memory does not grow with the split: spikes of every neuron
at every timestep are compared and counted, and those of the first samples alone are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph, Lif
from snnas.hw_sim.errors import GateError
from snnas.toolchain.output.stderr import Narrator

if TYPE_CHECKING:
    from snnas.search.network.network import Network

# Samples that the release of LightSNN reads its firing rate from, and a piece that is run at once.
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """What the float network, unfolded, did on the test split.

    spikes: {LIF: spikes summed}, sizes: {LIF: neurons}. differing_from_deployed: spikes that folding changed.
    first_batch_sar: SAR of the first CHUNK samples alone.
    """

    predictions: np.ndarray
    spikes: dict[str, int]
    sizes: dict[str, int]
    differing_from_deployed: int
    first_batch_sar: float


@dataclass(frozen=True, slots=True)
class NirRun:
    """What the re-read .nir did. spikes: {LIF: bool (B, T, *shape)} of the first samples. margin: the interpreter's."""

    predictions: np.ndarray
    spikes: dict[str, np.ndarray]
    margin: float


def run_floats(
    network: Network, deployed: Graph, graph: Graph, x: np.ndarray, timesteps: int, keep: int, narrator: Narrator
) -> tuple[Trained, NirRun]:
    """Run all three on the samples x; ``keep``: of how many the .nir's spikes are returned.

    GateError (exit 1) names the first spike in which the deployed network and the .nir differ.
    """
    import torch

    from snnas.export.executors.deployed import run_deployed

    names = deployed.of_type(Lif)
    spikes, sizes, folded, first_batch = dict.fromkeys(names, 0), dict[str, int](), 0, 0.0
    predictions: list[np.ndarray] = []
    of_nir: list[np.ndarray] = []
    kept: dict[str, list[np.ndarray]] = {}
    margin = float("inf")
    with narrator.progress(f"float network on {len(x)} samples") as advance, torch.no_grad():
        for k in range(0, len(x), CHUNK):
            part = x[k : k + CHUNK]
            nir = interpreter.run(graph, part, timesteps)
            fired, summed = run_deployed(deployed, part, timesteps)
            _require_equal(deployed, fired, nir, summed, k)
            margin = min(margin, nir.margin)
            of_nir.append(nir.predictions)
            for name, value in nir.spikes.items():
                if k < keep:
                    kept.setdefault(name, []).append(value[: keep - k])
            seen: dict[str, torch.Tensor] = {}
            predictions.append(network(torch.from_numpy(part), spikes=seen).argmax(1).numpy())
            here = {name: seen[name].transpose(0, 1).bool().numpy() for name in names if name in seen}
            for name, ours in here.items():
                folded += int((ours != fired[name].reshape(ours.shape)).sum())
                spikes[name] += int(ours.sum())
                sizes[name] = int(np.prod(ours.shape[2:]))
            if k == 0:
                first_batch = sum(int(o.sum()) for o in here.values()) / max(1, sum(o.size for o in here.values()))
            advance(min(k + CHUNK, len(x)), len(x))
    counted = {name: spikes[name] for name in sizes}
    trained = Trained(np.concatenate(predictions), counted, sizes, folded, first_batch)
    return trained, NirRun(np.concatenate(of_nir), {n: np.concatenate(v) for n, v in kept.items()}, margin)


def _require_equal(
    graph: Graph, ours: dict[str, np.ndarray], nir: interpreter.Run, summed: np.ndarray, before: int
) -> None:
    """GateError for the first spike that differs, in topological order, or for outputs. before: samples done."""
    for name in graph.order():
        if name in ours and (ours[name] != nir.spikes[name]).any():
            sample, t, *neuron = (int(i) for i in np.argwhere(ours[name] != nir.spikes[name])[0])
            count = int((ours[name] != nir.spikes[name]).sum())
            raise GateError(
                f".nir and deployed network differ: first at population {name}, sample {before + sample}, "
                f"timestep {t}, neuron {tuple(neuron)}; {count} spikes there; this is a fault of ours, please report it"
            )
    if not np.allclose(nir.answers.reshape(summed.shape), summed, rtol=1e-9, atol=1e-9):
        raise GateError(".nir and deployed network agree in every spike but not in their outputs: the readout differs")
