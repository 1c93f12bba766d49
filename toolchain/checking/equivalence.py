"""Whether two runs fire alike, and if not, where they part first: earliest timestep, then order of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from snnas.toolchain.checking.findings import amount_of


@dataclass(frozen=True, slots=True)
class Fired:
    """What a run gave. spikes: {node: bool (B, T, *shape)}, in the graph's order; answers: (B, classes)."""

    spikes: Mapping[str, np.ndarray]
    answers: np.ndarray

    def packed(self) -> dict[str, np.ndarray]:
        """{node: uint8 (B, T, ceil(N / 8))}, as recordings keep them."""
        return {name: pack(fired) for name, fired in self.spikes.items()}

    def total(self) -> int:
        return sum(fired.size for fired in self.spikes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first place where spikes differ. count: of the node.

    everywhere: of the whole run; others: nodes of which spikes differ too.
    """

    node: str
    sample: int
    timestep: int
    neuron: tuple[int, ...]
    recorded: int
    count: int
    everywhere: int
    others: int

    def text(self, noun: str = "node") -> str:
        differ = "differs" if self.count == 1 else "differ"
        rest = f"; {self.everywhere} in {1 + self.others} {noun}s in all" if self.others else ""
        return (
            f"{amount_of(self.count, 'spike')} of {noun} {self.node} {differ}; first at sample {self.sample}, timestep "
            f"{self.timestep}, neuron {self.neuron}: recorded {self.recorded}, now {1 - self.recorded}{rest}"
        )


def pack(fired: np.ndarray) -> np.ndarray:
    return np.packbits(fired.reshape(*fired.shape[:2], -1), axis=-1)


def first_difference(recorded: Mapping[str, np.ndarray], run: Fired, order: Iterable[str]) -> Difference | None:
    """recorded: packed spikes of the same samples. order: of the nodes."""
    every = {name: np.bitwise_xor(recorded[name], pack(run.spikes[name])) for name in order}
    unlike = {name: bits for name, bits in every.items() if bits.any()}
    if not unlike:
        return None
    counts = {name: int(np.unpackbits(bits).sum()) for name, bits in unlike.items()}
    earliest = {name: int(bits.any(axis=(0, 2)).argmax()) for name, bits in unlike.items()}
    node = min(earliest, key=earliest.__getitem__)
    timestep, shape = earliest[node], run.spikes[node].shape[2:]
    sample, neuron = (int(i) for i in np.argwhere(np.unpackbits(unlike[node][:, timestep], axis=-1))[0])
    last = int(np.prod(shape)) - 1  # a recording may have bits behind it
    return Difference(
        node=node,
        sample=sample,
        timestep=timestep,
        neuron=tuple(int(i) for i in np.unravel_index(min(neuron, last), shape)),
        recorded=int(np.unpackbits(recorded[node][sample, timestep])[neuron]),
        count=counts[node],
        everywhere=sum(counts.values()),
        others=len(counts) - 1,
    )


def answers_differ(recorded: np.ndarray, run: np.ndarray, *, tolerance: float = 0.0) -> str | None:
    """The first answer that is off by more than ``tolerance`` times its size; None where none is."""
    off = np.abs(np.asarray(run, np.float64) - recorded) > tolerance * np.maximum(1.0, np.abs(recorded))
    if not off.any():
        return None
    sample, index = (int(i) for i in np.argwhere(off)[0])
    was, now = recorded[sample, index], run[sample, index]
    differ = "answer differs" if off.sum() == 1 else "answers differ"
    where = f"first at sample {sample}, class {index}"
    return f"{int(off.sum())} {differ}; {where}: recorded {was:.9g}, now {now:.9g}"
