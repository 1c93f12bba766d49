"""``recorded.npz``: what a tool's own model was given and what it gave. Read without trusting a byte.

Written with ``numpy.savez``; B samples, T timesteps, time second:

* ``x``: (B, *input shape), shown at every timestep, or (B, T, *input shape);
* ``spikes.<node>``: (B, T, *shape), whole numbers, of as many spiking nodes of the file as there are records of;
* ``output``: (B, T, *shape), what the model returned, spikes or analogue (of neurons at the end: their membrane, where
  they never reset). One of the last two is needed.

Other arrays are left alone. What ``snnas check --record`` keeps is read too: its spikes are packed, eight to a byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz
from snnas.export.graph.graph import SPIKING, Graph
from snnas.hw_sim.errors import InvalidFileError, UsageError, did_you_mean

CHECK = "recording.json"  # in what snnas check records
RECORDING_LIMIT = 1 << 30
LAGS = (1, 2, 3)  # timesteps by which a recording may be late, as a chip's output is
MAX_VALUES = 1 << 27  # neurons x samples x timesteps that one run holds


@dataclass(frozen=True, slots=True)
class Recording:
    """x (B, *input shape) or, framed, (B, T, *input shape); spikes {node: (B, T, *shape)}; output analogue, alike.

    membrane: the output is that of spiking neurons, and is no spikes: their membrane.
    """

    x: np.ndarray
    timesteps: int
    spikes: dict[str, np.ndarray]
    output: np.ndarray | None = None
    framed: bool = False
    membrane: bool = False

    @property
    def silent(self) -> bool:
        return self.output is None and not any(s.any() for s in self.spikes.values())

    def swapped(self) -> Recording | None:
        """The same arrays with time first, as some tools stack them; None where they cannot have been meant so."""
        if self.framed:
            x = self.x.swapaxes(0, 1)
        elif len(self.x) == self.timesteps:
            x = self.x
        else:
            return None
        spikes = {name: s.swapaxes(0, 1) for name, s in self.spikes.items()}
        output = None if self.output is None else self.output.swapaxes(0, 1)
        return replace(self, x=x, timesteps=len(self.x), spikes=spikes, output=output)

    def read_otherwise(self) -> Iterator[tuple[Recording, dict[str, Any]]]:
        """What it may have meant where nothing fits, with what is then said of it: time first, or late by ``lag``."""
        swapped = self.swapped()
        if swapped is not None:
            yield swapped, {"swapped": True}
        for lag in LAGS:
            earlier = self.earlier(lag)
            if earlier is not None:
                yield earlier, {"lag": lag}

    def earlier(self, steps: int) -> Recording | None:
        """The same with every record ``steps`` timesteps earlier, as of a chip whose output comes late.

        None where the first of them hold anything, or nothing would be left.
        """
        records = [*self.spikes.values(), *([] if self.output is None else [self.output])]
        if steps >= self.timesteps or any(a[:, :steps].any() for a in records):
            return None
        return replace(
            self,
            x=self.x[:, : self.timesteps - steps] if self.framed else self.x,
            timesteps=self.timesteps - steps,
            spikes={name: s[:, steps:] for name, s in self.spikes.items()},
            output=None if self.output is None else self.output[:, steps:],
        )


def read_recording(path: Path, graph: Graph) -> Recording:
    """The recording, checked against the graph; InvalidFileError names the array, its shape and the one expected."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; name an .npz of your tool's own run: numpy.savez(FILE, x=..., output=...), or "
            "spikes of nodes as well (snnas whose --help)"
        )
    arrays = _known(
        path, read_npz(path, limit_bytes=RECORDING_LIMIT, what="recording", by="numpy.savez", text=True), graph
    )
    shapes, spiking = graph.shapes(), graph.of_type(SPIKING)
    x = arrays.pop("x")
    samples = len(x) if x.ndim else 0
    node_of = {name: graph.output if name == "output" else name.removeprefix("spikes.") for name in arrays}
    records = {name: _in_time(path, name, a, samples, shapes[node_of[name]]) for name, a in arrays.items()}
    steps_each = {a.shape[1] for a in records.values()}
    if len(steps_each) != 1:
        raise InvalidFileError(f"{path}: records of {sorted(steps_each)} timesteps; expected one length")
    timesteps = steps_each.pop()
    if samples * timesteps * sum(int(np.prod(shapes[n])) for n in spiking) > MAX_VALUES:
        raise UsageError(f"{path}: {samples} samples of {timesteps} timesteps; eight samples are enough, record fewer")
    framed, x = _input(path, x, timesteps, shapes[graph.input])
    output = records.pop("output", None)
    spikes = {name.removeprefix("spikes."): a for name, a in records.items()}
    last = graph.sources(graph.output)
    membrane = output is not None and last[0] in spiking and ((output < 0) | (output != np.rint(output))).any()
    if output is not None and len(last) == 1 and last[0] in spiking and not membrane:
        spikes.setdefault(last[0], output)
        output = None
    for name, a in spikes.items():
        if (a < 0).any() or (a != np.rint(a)).any():
            raise InvalidFileError(
                f"{path}: the spikes of {name} are not whole numbers >= 0; record spikes, not membranes"
            )
    if membrane:  # its spikes, if they are there too, are of a neuron that the graph then does not have
        spikes = {name: a for name, a in spikes.items() if name not in last}
    return Recording(x, timesteps, spikes, output, framed, bool(membrane))


def _known(path: Path, arrays: dict[str, np.ndarray], graph: Graph) -> dict[str, np.ndarray]:
    """The array x and the records, unpacked; what else is in the file is left alone."""
    shapes, spiking = graph.shapes(), graph.of_type(SPIKING)
    held = ", ".join(name[:60] for name in list(arrays)[:20]) or "nothing"
    for name in arrays:
        if name.startswith("spikes.") and name.removeprefix("spikes.") not in spiking:
            raise InvalidFileError(
                f"{path}: {name[:60]}: expected x, output, or spikes.NODE with one of {', '.join(spiking[:20])}"
                f"{did_you_mean(name.removeprefix('spikes.'), spiking)}"
            )
    packed = CHECK in arrays
    arrays = {name: a for name, a in arrays.items() if name in ("x", "output") or name.startswith("spikes.")}
    if "x" not in arrays or len(arrays) < 2:
        raise InvalidFileError(f"{path}: holds {held}; expected x, and output or spikes.NODE")
    if packed:
        for name in [n for n in arrays if n.startswith("spikes.")]:
            arrays[name] = _unpacked(arrays[name], shapes[name.removeprefix("spikes.")])
        if len(shapes[graph.input]) == 1 and arrays["x"].shape[-2:] == (1, 1):  # as programs take it: (C, 1, 1)
            arrays["x"] = arrays["x"][..., 0, 0]
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise InvalidFileError(f"{path}: {name} is {values.dtype}; expected finite numbers")
    return arrays


def _unpacked(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What a check's recording has packed; anything else as it is, for the shape's own message."""
    size = int(np.prod(shape))
    if values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] != -(-size // 8):
        return values
    return np.unpackbits(values, axis=-1, count=size).reshape(*values.shape[:2], *shape)


def _in_time(path: Path, name: str, values: np.ndarray, samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """(B, T, *shape), with (C, L) as (C, 1, L)."""
    if values.ndim > 2 and values.shape[0] == samples and values.shape[1] and _same(values.shape[2:], shape):
        return values.reshape(*values.shape[:2], *shape).astype(np.float64)
    hint = "; put time second" if values.ndim > 2 and values.shape[1] == samples != values.shape[0] else ""
    raise InvalidFileError(f"{path}: {name} {values.shape}; expected ({samples}, timesteps, {_listed(shape)}){hint}")


def _input(path: Path, x: np.ndarray, timesteps: int, shape: tuple[int, ...]) -> tuple[bool, np.ndarray]:
    """Whether x has a frame per timestep, and x as the graph takes it."""
    x = x.astype(np.float32)
    if x.ndim > 2 and x.shape[1] == timesteps and _same(x.shape[2:], shape):
        return True, x.reshape(*x.shape[:2], *shape)
    if _same(x.shape[1:], shape):
        return False, x.reshape(len(x), *shape)
    raise InvalidFileError(
        f"{path}: x {x.shape}; expected (samples, {_listed(shape)}) or (samples, {timesteps}, {_listed(shape)})"
    )


def _same(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return found == shape or (len(shape) == 3 and shape[1] == 1 and found == (shape[0], shape[2]))


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
