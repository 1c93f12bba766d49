"""The float side of an export: trained network, deployed network and re-read .nir on every sample that is measured.

They run side by side over a few samples at a time, so that memory does not grow with their number: spikes of every
neuron at every timestep are compared and counted, and those of the first samples alone are kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.executors import interpreter
from snnas.export.graph.graph import SPIKING, Graph, Lif
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.hw_sim.simulate.torch_simulator import alone
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.training.device import one_thread

if TYPE_CHECKING:
    from snnas.search.network.network import Network

# Samples that the release of LightSNN reads its firing rate from, and a piece that is run at once.
CHUNK = 64
AHEAD = 1 << 29  # bytes, about, of the pieces that wait beside the one that is compared


@dataclass(slots=True)
class Trained:
    """What the float network, unfolded, did on the samples that are measured; added up a few samples at a time."""

    predictions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """int (N,)."""
    spikes: dict[str, int] = field(default_factory=dict)
    """Summed, by LIF."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Neurons, by LIF."""
    first: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By LIF, the spikes of the first CHUNK samples, and how many there could have been."""
    differing_from_deployed: int = 0
    """Spikes that folding changed."""
    answers: Answers = field(default_factory=Answers)
    """What was answered, watched for ties."""

    def add(self, fired: Mapping[str, np.ndarray], answers: np.ndarray, predictions: np.ndarray) -> None:
        """fired: {LIF: bool (B, T, *shape)}. answers: (B, classes). predictions: int (B,)."""
        self.predictions = np.concatenate([self.predictions, predictions])
        self.answers.add(answers)
        for name, value in fired.items():
            count = int(value.sum())
            if name not in self.sizes:
                self.sizes[name], self.first[name] = int(np.prod(value.shape[2:])), (count, value.size)
            self.spikes[name] = self.spikes.get(name, 0) + count

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


@dataclass(slots=True)
class NirRun:
    """What the re-read .nir did, added up a few samples at a time. margin: the interpreter's.

    spikes: {LIF: bool (B, T, *shape)} of the first ``keep`` samples.
    """

    keep: int
    predictions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    spikes: dict[str, np.ndarray] = field(default_factory=dict)
    margin: float = float("inf")

    def add(self, run: interpreter.Run) -> None:
        done = len(self.predictions)
        self.margin = min(self.margin, run.margin)
        self.predictions = np.concatenate([self.predictions, run.predictions])
        if done < self.keep:
            for name, value in run.spikes.items():
                before = [self.spikes[name]] if name in self.spikes else []
                self.spikes[name] = np.concatenate([*before, value[: self.keep - done]])


def run_floats(
    network: Network, deployed: Graph, graph: Graph, x: np.ndarray, timesteps: int, keep: int, narrator: Narrator
) -> tuple[Trained, NirRun]:
    """Run all three on the samples x; ``keep``: of how many the .nir's spikes are returned.

    GateError (exit 1) names the first spike in which the deployed network and the .nir differ.
    """
    import torch
    from threadpoolctl import threadpool_limits

    names = deployed.of_type(Lif)
    trained, recorded = Trained(), NirRun(keep)
    threads = torch.get_num_threads()
    with (
        narrator.progress(f"float network on {len(x)} samples") as advance,
        torch.no_grad(),
        one_thread(),
        threadpool_limits(1),
        alone(threads) as pool,
    ):
        for k, part, (fired, summed), nir in _both(deployed, graph, x, timesteps, pool, threads):
            seen: dict[str, torch.Tensor] = {}
            out = network(torch.from_numpy(part), spikes=seen).numpy()
            _require_equal(deployed, fired, nir, summed, k)
            recorded.add(nir)
            here = {name: seen[name].transpose(0, 1).bool().numpy() for name in names if name in seen}
            folded = sum(int((ours != fired[name].reshape(ours.shape)).sum()) for name, ours in here.items())
            trained.differing_from_deployed += folded
            trained.add(here, out, out.argmax(1))
            advance(k + len(part), len(x))
    return trained, recorded


def _both(
    deployed: Graph, graph: Graph, x: np.ndarray, timesteps: int, pool: Executor, threads: int
) -> Iterator[tuple[int, np.ndarray, tuple[dict[str, np.ndarray], np.ndarray], interpreter.Run]]:
    """(samples before, a piece of x, what the deployed network did on it, and the .nir), in order.

    Each of the two takes a thread for a piece, so that a busy machine makes none wait for the others within one sum:
    two threads to a convolution beside two busy cores took eight times as long (measured). Pieces are begun ahead, by
    as many as there are threads for and AHEAD holds.
    """
    from snnas.export.executors.deployed import run_deployed

    neurons = sum(math.prod(deployed.shapes()[name]) for name in deployed.of_type(SPIKING))
    # Of a neuron: its spikes, by either network, and what both compute of a timestep, in float64.
    size = CHUNK * neurons * 2 * (timesteps + 8)
    most = max(1, min(threads // 2, AHEAD // max(1, size)))
    begun: deque[tuple[int, np.ndarray, Future[Any], Future[Any]]] = deque()
    for k in range(0, len(x), CHUNK):
        part = x[k : k + CHUNK]
        ours = pool.submit(run_deployed, deployed, part, timesteps)
        begun.append((k, part, ours, pool.submit(interpreter.run, graph, part, timesteps)))
        if len(begun) > most:
            before, piece, ours, nir = begun.popleft()
            yield before, piece, ours.result(), nir.result()
    for before, piece, ours, nir in begun:
        yield before, piece, ours.result(), nir.result()


def run_graph(
    graph: Graph, again: Graph, x: np.ndarray, timesteps: int, keep: int, narrator: Narrator
) -> tuple[Trained, NirRun]:
    """Run a graph on the samples x, and what was written of it on the first ``keep``, whose spikes are returned.

    GateError (exit 1) where the two differ.
    """
    trained, recorded = Trained(), NirRun(keep)
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
            trained.add(run.spikes, run.answers.reshape(len(part), -1), run.predictions)
            recorded.add(run)
            advance(min(k + CHUNK, len(x)), len(x))
    return trained, recorded


def _require_equal(
    graph: Graph, ours: dict[str, np.ndarray], nir: interpreter.Run, summed: np.ndarray, before: int
) -> None:
    """GateError for the first spike that differs, in topological order, or for outputs. before: samples done."""
    for name in graph.order():
        if name in ours and (wrong := ours[name] != nir.spikes[name]).any():
            sample, t, *neuron = (int(i) for i in np.argwhere(wrong)[0])
            count = int(wrong.sum())
            raise GateError(
                f".nir and deployed network differ: first at population {name}, sample {before + sample}, "
                f"timestep {t}, neuron {tuple(neuron)}; {count} spikes there; this is a fault of ours, please report it"
            )
    if not np.allclose(nir.answers.reshape(summed.shape), summed, rtol=1e-9, atol=1e-9):
        raise GateError(".nir and deployed network agree in every spike but not in their outputs: the readout differs")
