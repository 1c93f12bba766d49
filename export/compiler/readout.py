"""The readout: what a graph makes of spikes at its end, and its whole numbers.

All of it is linear (sums, weights, a membrane that never fires), so the host computes it from the spikes. With k the
share of the membrane that a timestep replaces, an LI holds ``sum over t of k r (1 - k)^(T-1-t) (W s(t) + b)`` at the
end. Only the weights are rounded, and what a membrane keeps, as finely as 64 bits allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnas.export.compiler.adjoint import entries_of, matrix_of
from snnas.export.compiler.grids import step
from snnas.export.compiler.parts import Part
from snnas.export.compiler.paths import Path, compose, paths, shape3
from snnas.export.compiler.rounding import round_readout
from snnas.export.dialects.conventions import Convention, decay_of
from snnas.export.graph.graph import INTEGRATING, CubaLi, Graph, I, Integrating, Li, Linear
from snnas.hw_sim import limits
from snnas.hw_sim.entries import Entries, Matrix, added, columns_in, product, total, values_of, whole, with_values
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.readout import LIMIT, Read, Reading, Readout

MAX_READOUT = 1 << 24  # weights
WHOLE = 1 << 20  # of a matrix that is kept whole however few of its weights are not zero
SPARSE_BELOW = 0.25  # share of weights that are not zero, of a larger one
FINEST = 40  # bits of a response's fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Membrane:
    """What integrates x: ``i <- held i + x;  v <- keep v + leak + i``, per class, float64; held 0: i is x.

    late: v sees the i before.
    """

    keep: np.ndarray
    leak: np.ndarray
    held: np.ndarray
    late: bool = False

    def run(self, x: np.ndarray, leaks: bool) -> np.ndarray:
        """V at each timestep of x (T, classes), from 0 on."""
        i, v, out = np.zeros(x.shape[1]), np.zeros(x.shape[1]), np.zeros(x.shape)
        for t, now in enumerate(x):
            before, i = i, self.held * i + now
            v = out[t] = self.keep * v + (before if self.late else i) + (self.leak if leaks else 0.0)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class RealReading:
    """weight: float64 (classes, N) of a population's spikes, ``distance`` timesteps late."""

    src: str
    weight: Matrix
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealReadout:
    """The readout in real numbers. constant: float64 (classes,), added at every timestep to what the readings bring.

    membrane: what integrates that, if anything does. read: see ``Readout``.
    """

    readings: tuple[RealReading, ...]
    constant: np.ndarray
    membrane: Membrane | None
    read: Read

    @property
    def weights(self) -> np.ndarray:
        """Of all readings beside each other: (classes, neurons that are read); where one is by entries: all of them."""
        return side_by_side([r.weight for r in self.readings])

    def response(self, timesteps: int) -> np.ndarray:
        """What a unit at t = 0 leaves: (1 or T, 1 or classes)."""
        if self.membrane is None:
            return np.ones((1, 1))
        x = np.zeros((timesteps, len(self.constant)))
        x[0] = 1.0
        found = self.membrane.run(x, leaks=False)
        return found[:, :1] if (found == found[:, :1]).all() else found

    def still(self, timesteps: int) -> np.ndarray:
        """What is read where nothing spikes: (1 or T, classes)."""
        if self.membrane is None:
            return self.constant[None]
        return self.membrane.run(np.broadcast_to(self.constant, (timesteps, len(self.constant))), leaks=True)

    def answers(self, spikes: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64 (B, classes) of bool spikes (B, T, ...), without rounding anything."""
        first = next(iter(spikes.values()))
        batch, steps = first.shape[:2]
        x = np.zeros((batch, steps, len(self.constant))) + self.constant
        for r in self.readings:
            brought = product(spikes[r.src].reshape(batch, steps, -1).astype(np.float64), r.weight)
            x[:, r.distance :] += brought[:, : max(steps - r.distance, 0)]
        if self.membrane is not None:
            x = np.stack([self.membrane.run(sample, leaks=True) for sample in x])
        return np.asarray({"sum": x.sum(axis=1), "last": x[:, -1], "max": x.max(axis=1)}[self.read])


def side_by_side(weights: Sequence[Matrix]) -> np.ndarray:
    """Float64 (classes, all columns); (all entries,), row after row of each, where one of them is by entries."""
    if any(isinstance(w, Entries) for w in weights):
        return np.concatenate([values_of(w).astype(np.float64).reshape(-1) for w in weights])
    return np.concatenate([values_of(w).astype(np.float64) for w in weights], axis=1)


def trace_readout(graph: Graph, parts: Mapping[str, Sequence[Part]], bias: Mapping[str, np.ndarray]) -> RealReadout:
    """What the graph reads. parts: the populations of each spiking node. bias: what arrives where nothing spikes.

    UnsupportedError names the node that no host can read, and the mend.
    """
    reader, node = _reader(graph)
    gain, membrane = _membrane(node, graph.convention) if node is not None else (np.ones(()), None)
    shapes = graph.shapes()
    classes = int(np.prod(shapes[reader]))
    found: dict[tuple[str, int], list[Matrix]] = {}
    for way in paths(graph, reader):
        if way.source == graph.input:
            raise UnsupportedError(
                f"node {reader}: the input {way.source} reaches the output without a neuron; what is read are spikes: "
                "put a neuron into this path, or leave it out"
            )
        weight = _weight(way, shapes[way.source], shapes[reader], gain)
        for part in parts[way.source]:
            own = weight if part.index is None else columns_in(weight, part.index)
            found.setdefault((part.id, way.distance), []).append(own)
    read = ((src, late, _settled(total(ways))) for (src, late), ways in found.items())
    readings = tuple(RealReading(src=s, weight=w, distance=late) for s, late, w in read if values_of(w).any())
    if not readings:
        raise UnsupportedError(
            f"node {reader}: all weights before the output are zero; nothing could be read: train it first"
        )
    constant = np.broadcast_to((gain * bias[reader]).reshape(-1), (classes,)).astype(np.float64)
    return RealReadout(readings=readings, constant=constant, membrane=membrane, read=graph.read)


def _reader(graph: Graph) -> tuple[str, Integrating | None]:
    """The node whose input is read: the Output, or what integrates before it."""
    before = graph.sources(graph.output)
    for name in before:
        node = graph.nodes[name]
        if isinstance(node, INTEGRATING):
            if len(before) > 1 or (name, graph.output) in graph.delayed:
                raise UnsupportedError(
                    f"node {name}: its membrane and another path are read; let it alone lead to the output, at once"
                )
            return name, node
    return graph.output, None


def _membrane(node: Integrating, convention: Convention) -> tuple[np.ndarray, Membrane]:
    """The factor of what comes in, of the node's shape, and what integrates it."""
    r = node.r.astype(np.float64)
    zero = np.zeros(r.size)
    if isinstance(node, I):
        return convention.dt * r, Membrane(keep=zero + 1, leak=zero, held=zero)
    k = decay_of(node.tau if isinstance(node, Li) else node.tau_mem, convention)
    gain, held, late = k * r, zero, isinstance(node, CubaLi) and convention.current == "late"
    if isinstance(node, CubaLi):
        decay = decay_of(node.tau_syn, convention)
        gain, held = gain * decay * node.w_in.astype(np.float64), 1 - decay.reshape(-1)
    leak = (k * node.v_leak.astype(np.float64)).reshape(-1)
    return gain, Membrane(keep=1 - k.reshape(-1), leak=leak, held=held, late=late)


def _weight(way: Path, source: tuple[int, ...], reader: tuple[int, ...], gain: np.ndarray) -> Matrix:
    """A path as a matrix (classes, N): small ones and those of a linear layer whole, others by their entries."""
    shape = int(np.prod(reader)), int(np.prod(source))
    target = shape3(reader)
    every = np.arange(shape[1])
    if math.prod(shape) <= WHOLE or any(isinstance(node, Linear) for _, node in way.nodes):
        if not way.nodes:
            return np.eye(shape[1]) * gain.reshape(-1, 1)
        _limit(way, shape, math.prod(shape))
        ways = compose(way, source, target, gain.reshape(target) if gain.ndim else gain)
        return total([np.zeros(shape), *(matrix_of(linear, shape3(source), target) for linear in ways)])
    made = [added(every, every, np.ones(shape[1]), shape)] if not way.nodes else []
    for linear in compose(way, source, target, np.ones(())) if way.nodes else ():
        _limit(way, shape, int(fan_out(linear, shape3(source)).sum()))
        made.append(entries_of(linear, shape3(source), target))
    found = total(made or [added(every[:0], every[:0], np.zeros(0), shape)])
    assert isinstance(found, Entries)
    return replace(found, values=found.values * np.broadcast_to(gain.reshape(-1), shape[:1])[found.rows])


def _settled(matrix: Matrix) -> Matrix:
    """Whole where it would not be smaller by its entries."""
    return whole(matrix) if values_of(matrix).size >= SPARSE_BELOW * math.prod(matrix.shape) else matrix


def _limit(way: Path, shape: tuple[int, int], weights: int) -> None:
    if weights > MAX_READOUT:
        raise UnsupportedError(
            f"node {way.nodes[-1][0]}: a readout of {shape[0]} x {shape[1]} with {weights} weights; at most "
            f"{MAX_READOUT} are taken: end with a smaller linear layer"
        )


# ------------------------------------------------------------------------------------------------- in whole numbers


def quantise_readout(real: RealReadout, timesteps: int, spikes: Mapping[str, np.ndarray] | None = None) -> Readout:
    """Weights in 8 bits, exact where they are whole multiples of one step; the response as fine as 64 bits allow.

    spikes: bool (B, T, C, H, W) of the populations that are read, on calibration data: with those of all of them,
    weights are rounded and scaled so that answers stay (``rounding.round_readout``).
    """
    whole_weights, scale = _whole(real, _seen(real, timesteps, spikes or {}))
    readings = tuple(
        Reading(src=r.src, weight=with_values(r.weight, weight.astype(np.int8)), distance=r.distance)
        for r, weight in zip(real.readings, _apart(real, whole_weights), strict=True)
    )
    still, response = real.still(timesteps), real.response(timesteps)
    unit = float(np.abs(response).max())
    best: Readout | None = None
    for bits in range(FINEST + 1):
        fine = response / unit * 2.0**bits
        whole = scale * 2.0**bits / unit
        bias = 64 * whole * still
        if np.abs(bias).max() >= LIMIT:
            break
        made = Readout(
            readings=readings,
            bias=np.rint(bias).astype(np.int64),
            response=np.rint(fine).astype(np.int64),
            scale=whole,
            read=real.read,
        )
        if made.reach(timesteps) >= LIMIT:
            break
        best = made
        if (fine == np.rint(fine)).all():
            break
    if best is None:
        raise UnsupportedError("the readout's constant is too large beside its weights; leave the output's bias out")
    return best


def _apart(real: RealReadout, weights: np.ndarray) -> list[np.ndarray]:
    """``side_by_side`` taken apart: of each reading, in the shape of its ``values_of``."""
    shapes = [values_of(r.weight).shape for r in real.readings]
    if weights.ndim == 2:
        return np.split(weights, np.cumsum([columns for _, columns in shapes])[:-1], axis=1)
    parts = np.split(weights, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _whole(real: RealReadout, seen: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Whole numbers for all weights, and how many make one unit of weight: a power of two over their own step.

    Where they have no step, what rounding finds; see there for ``seen``.
    """
    weights = real.weights
    whole = step(weights)
    if whole is None:
        return round_readout(weights, seen)
    top = float(np.abs(weights).max())
    scale = float(2.0 ** np.floor(np.log2(limits.WEIGHT_MAX * whole / top + 1e-9)) / whole)
    return np.rint(weights * scale), scale


def _seen(real: RealReadout, timesteps: int, spikes: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(B, N) float64: what ``real.weights`` meet in each sample, as its last value or its sum over time has it.

    Of a largest value the sum stands for all that it is taken from. None where a population's spikes are not known.
    """
    if not all(r.src in spikes for r in real.readings):
        return None
    left = np.zeros(timesteps)
    response = real.response(timesteps).mean(axis=1)
    left[: len(response)] = response
    counts = (left if real.read == "last" else np.cumsum(left))[::-1]  # of what comes at t
    samples = min(len(spikes[r.src]) for r in real.readings)
    found = []
    for r in real.readings:
        fired = spikes[r.src][:samples, : max(timesteps - r.distance, 0)]
        weight = counts[r.distance : r.distance + fired.shape[1]]
        found.append(np.einsum("btn,t->bn", fired.reshape(samples, fired.shape[1], -1), weight))
    return np.concatenate(found, axis=1)
