"""``recorded.npz``: what a tool's own model was given and what it gave. Read without trusting a byte.

Written with ``numpy.savez``; B samples, T timesteps, time second:

* ``x``: (B, *input shape), shown at every timestep, or (B, T, *input shape);
* ``spikes.<node>``: (B, T, *shape), whole numbers, of as many spiking nodes of the file as there are records of;
* ``output``: (B, T, *shape), what the model returned, spikes or analogue. One of the last two is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.graph import SPIKING, Graph
from export.npz_file import read_npz
from hw_sim.errors import InvalidFileError, UsageError

RECORDING_LIMIT = 1 << 30
MAX_VALUES = 1 << 27  # neurons x samples x timesteps that one run holds


@dataclass(frozen=True, slots=True)
class Recording:
    """x (B, *input shape) or (B, T, *input shape); spikes {node: (B, T, *shape)}; output analogue (B, T, *shape)."""

    x: np.ndarray
    timesteps: int
    spikes: dict[str, np.ndarray]
    output: np.ndarray | None = None

    @property
    def silent(self) -> bool:
        return self.output is None and not any(s.any() for s in self.spikes.values())


def read_recording(path: Path, graph: Graph) -> Recording:
    """The recording, checked against the graph; InvalidFileError names the array, its shape and the one expected."""
    arrays = read_npz(path, limit_bytes=RECORDING_LIMIT, what="recording")
    shapes, spiking = graph.shapes(), graph.of_type(SPIKING)
    known = {"x", "output", *(f"spikes.{n}" for n in spiking)}
    for name in arrays:
        if name not in known:
            raise InvalidFileError(
                f"{path}: {name[:60]}: expected x, output, or spikes.NODE with one of {', '.join(spiking[:20])}"
            )
    if "x" not in arrays or len(arrays) < 2:
        raise InvalidFileError(f"{path}: holds {', '.join(arrays) or 'nothing'}; expected x, and output or spikes.NODE")
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise InvalidFileError(f"{path}: {name} is {values.dtype}; expected finite numbers")
    x = arrays.pop("x")
    samples = len(x) if x.ndim else 0
    records = {
        name: _in_time(
            path, name, a, samples, shapes[graph.output if name == "output" else name.removeprefix("spikes.")]
        )
        for name, a in arrays.items()
    }
    steps_each = {a.shape[1] for a in records.values()}
    if len(steps_each) != 1:
        raise InvalidFileError(f"{path}: records of {sorted(steps_each)} timesteps; expected one length")
    timesteps = steps_each.pop()
    if samples * timesteps * sum(int(np.prod(shapes[n])) for n in spiking) > MAX_VALUES:
        raise UsageError(f"{path}: {samples} samples of {timesteps} timesteps; eight samples are enough, record fewer")
    x = _input(path, x, timesteps, shapes[graph.input])
    output = records.pop("output", None)
    spikes = {name.removeprefix("spikes."): a for name, a in records.items()}
    last = graph.sources(graph.output)
    if output is not None and len(last) == 1 and last[0] in spiking:
        spikes.setdefault(last[0], output)
        output = None
    for name, a in spikes.items():
        if (a < 0).any() or (a != np.rint(a)).any():
            raise InvalidFileError(
                f"{path}: the spikes of {name} are not whole numbers >= 0; record spikes, not membranes"
            )
    return Recording(x, timesteps, spikes, output)


def _in_time(path: Path, name: str, values: np.ndarray, samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """(B, T, *shape), with (C, L) as (C, 1, L)."""
    if values.ndim > 2 and values.shape[0] == samples and values.shape[1] and _same(values.shape[2:], shape):
        return values.reshape(*values.shape[:2], *shape).astype(np.float64)
    hint = "; put time second" if values.ndim > 2 and values.shape[1] == samples != values.shape[0] else ""
    raise InvalidFileError(f"{path}: {name} {values.shape}; expected ({samples}, timesteps, {_listed(shape)}){hint}")


def _input(path: Path, x: np.ndarray, timesteps: int, shape: tuple[int, ...]) -> np.ndarray:
    x = x.astype(np.float32)
    if x.ndim > 2 and x.shape[1] == timesteps and _same(x.shape[2:], shape):
        return x.reshape(*x.shape[:2], *shape)
    if _same(x.shape[1:], shape):
        return x.reshape(len(x), *shape)
    raise InvalidFileError(
        f"{path}: x {x.shape}; expected (samples, {_listed(shape)}) or (samples, {timesteps}, {_listed(shape)})"
    )


def _same(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return found == shape or (len(shape) == 3 and shape[1] == 1 and found == (shape[0], shape[2]))


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
