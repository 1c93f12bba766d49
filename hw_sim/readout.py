"""The readout: what the host makes of a program's spikes over time, in whole numbers.

The same numbers wherever the spikes come from: a simulator, Lava, a chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from snnas.hw_sim.entries import Entries, Matrix, product, row_sums, values_of
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError

MAX_LATE = 1 << 16  # timesteps that the host may hold a reading back
LIMIT = 2.0**62  # of an answer
EXACT = 1 << 24  # whole numbers to which float32 holds them all

Read = Literal["sum", "last", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A population that the host reads: ``weight`` (classes, N) int8 of its spikes, ``distance`` timesteps late."""

    src: str
    weight: Matrix
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """What the host makes of spikes, in whole numbers: exact. The argmax (lowest index) is the class.

    With x(t) the sum of ``weight @ spikes`` over ``readings``, y(t) is bias(t) + 64 sum over j of response(j) x(t - j),
    and the answer is y's sum over the timesteps, its last or its largest value (``read``).
    bias: int64 (1 or T, classes): y where nothing spikes, in 1/64 of a weight unit times the response's; one row: the
    same at every timestep. response: int64 (1 or T, 1 or classes): what one unit of x leaves in y, j timesteps later;
    one row: y has no memory. scale: integer units (64 of bias) per unit of the real readout.
    """

    readings: tuple[Reading, ...]
    bias: np.ndarray
    scale: float
    response: np.ndarray = field(default_factory=lambda: np.ones((1, 1), np.int64))
    read: Read = "sum"

    @property
    def classes(self) -> int:
        return int(self.bias.shape[1])

    @property
    def sources(self) -> tuple[str, ...]:
        """The populations that are read, each once."""
        return tuple(dict.fromkeys(r.src for r in self.readings))

    @property
    def connections(self) -> int:
        return sum(values_of(r.weight).size for r in self.readings)

    @property
    def counts_spikes(self) -> bool:
        """Whether all timesteps count alike, so that a neuron's spikes are all that matters of it."""
        return self.read == "sum" and len(self.response) == 1

    def reach(self, timesteps: int) -> float:
        """How large an answer, and any partial sum of it, can become; also where spikes come at every timestep."""
        reached = sum(row_sums(part.weight) for part in self.readings)
        held = np.abs(self.response.astype(np.float64)).sum(axis=0)
        once = 64 * reached * held + np.abs(self.bias.astype(np.float64)).max(axis=0)
        return float(np.max(once)) * (timesteps if self.read == "sum" else 1)

    def verify(self, timesteps: int, sizes: Mapping[str, int]) -> None:
        """sizes: neurons of each population. InvalidFileError, UnsupportedError: what does not fit, and the limit."""
        rows = (1, timesteps)
        if not self.readings:
            raise InvalidFileError("program: the readout reads no population")
        if self.bias.ndim != 2 or self.bias.shape[0] not in rows or self.response.ndim != 2:
            raise InvalidFileError(f"program: the readout's bias is {self.bias.shape}; expected (1 or T, classes)")
        if self.response.shape[0] not in rows or self.response.shape[1] not in (1, self.classes):
            raise InvalidFileError(
                f"program: the readout's response is {self.response.shape}; expected (1 or T, 1 or C)"
            )
        for part in self.readings:
            known = part.src in sizes and len(part.weight.shape) == 2
            if not known or part.weight.shape != (self.classes, sizes[part.src]):
                raise InvalidFileError(
                    f"program: the readout's weight {part.weight.shape} does not fit population {part.src} and "
                    f"{self.classes} classes"
                )
            if isinstance(part.weight, Entries):
                part.weight.verify()
            if values_of(part.weight).dtype != np.int8 or not 0 <= part.distance < MAX_LATE:
                raise InvalidFileError(f"program: the readout needs int8 weights and a distance below {MAX_LATE}")
        if self.reach(timesteps) >= LIMIT:
            raise UnsupportedError(f"the readout may leave {LIMIT:.0f}, what 64 bits hold; use fewer timesteps")


def summed(*, src: str, weight: Matrix, bias: np.ndarray, scale: float) -> Readout:
    """One population's spikes, summed over the timesteps alike. bias: int64 (classes,), at every timestep."""
    return Readout(readings=(Reading(src=src, weight=weight),), bias=bias.reshape(1, -1), scale=scale)


def answers(r: Readout, spikes: Mapping[str, np.ndarray], timesteps: int) -> np.ndarray:
    """int64 (B, classes) of bool spikes (B, T, ...) by population, in the readout's units."""
    if r.counts_spikes:
        total: np.ndarray = np.zeros((), np.int64)
        for part in r.readings:
            seen = spikes[part.src][:, : max(timesteps - part.distance, 0)]
            counts = seen.reshape(*seen.shape[:2], -1).sum(axis=1, dtype=np.int64)
            total = total + product(counts, part.weight)
        return of_counts(r, total, timesteps)
    return of_currents(r, currents(r, spikes, timesteps))


def currents(r: Readout, spikes: Mapping[str, np.ndarray], timesteps: int) -> np.ndarray:
    """x(t), int64 (B, T, classes) in weight units, of bool spikes (B, T, ...) by population."""
    total: np.ndarray = np.zeros((), np.int64)
    for part in r.readings:
        fired = spikes[part.src].reshape(-1, timesteps, part.weight.shape[1])
        kind = np.float32 if row_sums(part.weight).max() < EXACT else np.float64
        total = total + late(product(fired.astype(kind), part.weight).astype(np.int64), part.distance)
    return total


def late(x: np.ndarray, distance: int) -> np.ndarray:
    """(B, T, ...) held back by whole timesteps; nothing has come before."""
    if not distance:
        return x
    out = np.zeros_like(x)
    out[:, distance:] = x[:, : max(x.shape[1] - distance, 0)]
    return out


def of_counts(r: Readout, x: np.ndarray, timesteps: int) -> np.ndarray:
    """Answers of the sums over time of x, int64 (B, classes), where all timesteps count alike."""
    return 64 * x * r.response[0] + constant(r, timesteps)


def of_currents(r: Readout, x: np.ndarray) -> np.ndarray:
    """Answers of x(t), int64 (B, T, classes) in weight units."""
    steps = x.shape[1]
    if r.read != "max":
        return 64 * (x * weights_in_time(r, steps)).sum(axis=1) + constant(r, steps)
    y = np.zeros(x.shape, np.int64) + r.bias
    for j, left in enumerate(r.response):
        if left.any():
            y[:, j:] += 64 * left * x[:, : steps - j]
    return np.asarray(y.max(axis=1))


def weights_in_time(r: Readout, timesteps: int) -> np.ndarray:
    """How much x(t) counts in the answer: int64 (T, 1 or classes); of a sum or a last value."""
    held = np.zeros((timesteps, r.response.shape[1]), np.int64)
    held[: len(r.response)] = r.response
    return (np.cumsum(held, axis=0) if r.read == "sum" else held)[::-1]


def constant(r: Readout, timesteps: int) -> np.ndarray:
    """What a sum or a last value is where nothing spikes: int64 (classes,)."""
    if r.read == "sum":
        return r.bias.sum(axis=0) * (timesteps if len(r.bias) == 1 else 1)
    return np.asarray(r.bias[-1])
