"""The float side of an export: trained network, deployed network and re-read .nir on every sample that is measured.

They run side by side over a few samples at a time, so that memory does not grow with their number: spikes of every
neuron at every timestep are compared and counted, and those of the first samples alone are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph, Lif
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.toolchain.output.stderr import Narrator

if TYPE_CHECKING:
    from snnas.search.network.network import Network

# Samples that the release of LightSNN reads its firing rate from, and a piece that is run at once.
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Trained:
    """What the float network, unfolded, did on the samples that are measured."""

    predictions: np.ndarray
    """int (N,)."""
    spikes: dict[str, int]
    """Summed, by LIF."""
    sizes: dict[str, int]
    """Neurons, by LIF."""
    first: dict[str, tuple[int, int]]
    """By LIF, the spikes of the first CHUNK samples, and how many there could have been."""
    differing_from_deployed: int
    """Spikes that folding changed."""
    answers: Answers
    """What was answered, watched for ties."""

    @property
    def first_batch_sar(self) -> float:
        """The SAR of the first CHUNK samples alone."""
        return sum(fired for fired, _ in self.first.values()) / max(1, sum(of for _, of in self.first.values()))

    @property
    def silence(self) -> Silence:
        return self.answers.with_spikes(self.spikes)

    def only(self, names: set[str]) -> Trained:
        """The same of some of the LIFs."""
        spikes, sizes = ({n: v for n, v in each.items() if n in names} for each in (self.spikes, self.sizes))
        return replace(self, spikes=spikes, sizes=sizes, first={n: v for n, v in self.first.items() if n in names})


@dataclass(frozen=True, slots=True)
class NirRun:
    """What the re-read .nir did. spikes: {LIF: bool (B, T, *shape)} of the first samples. margin: the interpreter's."""

    predictions: np.ndarray
    spikes: dict[str, np.ndarray]
    margin: float


class _Counts:
    """Adds up the spikes of LIFs, a few samples at a time."""

    def __init__(self) -> None:
        self.spikes: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.first: dict[str, tuple[int, int]] = {}
        self.answers = Answers()

    def add(self, fired: Mapping[str, np.ndarray], answers: np.ndarray) -> None:
        """fired: {LIF: bool (B, T, *shape)}. answers: (B, classes)."""
        self.answers.add(answers)
        for name, value in fired.items():
            count = int(value.sum())
            if name not in self.sizes:
                self.sizes[name], self.first[name] = int(np.prod(value.shape[2:])), (count, value.size)
            self.spikes[name] = self.spikes.get(name, 0) + count

    def trained(self, predictions: list[np.ndarray], differing: int) -> Trained:
        return Trained(np.concatenate(predictions), self.spikes, self.sizes, self.first, differing, self.answers)


class _Recorder:
    """Keeps of the .nir's run what an export needs: every prediction, and the spikes of the first samples."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.predictions: list[np.ndarray] = []
        self.spikes: dict[str, list[np.ndarray]] = {}
        self.margin = float("inf")
        self.done = 0

    def add(self, run: interpreter.Run) -> None:
        self.margin = min(self.margin, run.margin)
        self.predictions.append(run.predictions)
        if self.done < self.keep:
            for name, value in run.spikes.items():
                self.spikes.setdefault(name, []).append(value[: self.keep - self.done])
        self.done += len(run.predictions)

    def result(self) -> NirRun:
        spikes = {n: np.concatenate(v) for n, v in self.spikes.items()}
        return NirRun(np.concatenate(self.predictions), spikes, self.margin)


def run_floats(
    network: Network, deployed: Graph, graph: Graph, x: np.ndarray, timesteps: int, keep: int, narrator: Narrator
) -> tuple[Trained, NirRun]:
    """Run all three on the samples x; ``keep``: of how many the .nir's spikes are returned.

    GateError (exit 1) names the first spike in which the deployed network and the .nir differ.
    """
    import torch

    from snnas.export.executors.deployed import run_deployed

    names = deployed.of_type(Lif)
    counts, recorder, folded = _Counts(), _Recorder(keep), 0
    predictions: list[np.ndarray] = []
    with narrator.progress(f"float network on {len(x)} samples") as advance, torch.no_grad():
        for k in range(0, len(x), CHUNK):
            part = x[k : k + CHUNK]
            nir = interpreter.run(graph, part, timesteps)
            fired, summed = run_deployed(deployed, part, timesteps)
            _require_equal(deployed, fired, nir, summed, k)
            recorder.add(nir)
            seen: dict[str, torch.Tensor] = {}
            out = network(torch.from_numpy(part), spikes=seen).numpy()
            predictions.append(out.argmax(1))
            here = {name: seen[name].transpose(0, 1).bool().numpy() for name in names if name in seen}
            folded += sum(int((ours != fired[name].reshape(ours.shape)).sum()) for name, ours in here.items())
            counts.add(here, out)
            advance(min(k + CHUNK, len(x)), len(x))
    return counts.trained(predictions, folded), recorder.result()


def run_graph(
    graph: Graph, again: Graph, x: np.ndarray, timesteps: int, keep: int, narrator: Narrator
) -> tuple[Trained, NirRun]:
    """Run a graph on the samples x, and what was written of it on the first ``keep``, whose spikes are returned.

    GateError (exit 1) where the two differ.
    """
    counts, recorder = _Counts(), _Recorder(keep)
    with narrator.progress("float run of the graph") as advance:
        for k in range(0, len(x), CHUNK):
            part = x[k : k + CHUNK]
            run = interpreter.run(graph, part, timesteps)
            if k < keep:
                theirs = interpreter.run(again, part[: keep - k], timesteps).spikes
                differing = sum(int((run.spikes[n][: keep - k] != theirs[n]).sum()) for n in run.spikes)
                if differing:
                    raise GateError(
                        f"the graph and what we wrote of it differ in {differing} spikes; this is a fault of ours, "
                        "please report it"
                    )
            counts.add(run.spikes, run.answers.reshape(len(part), -1))
            recorder.add(run)
            advance(min(k + CHUNK, len(x)), len(x))
    return counts.trained(recorder.predictions, 0), recorder.result()


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
