"""The nodes of a .nir file, one reader per type: untrusted arrays in, plain data out, every fault named with its node.

A node of one spatial axis, (C, L), becomes one of height 1; a dilated kernel gets its zeros written out; 'same' padding
becomes numbers. What NIR's own checker lets through (NaN, a tau of 0, a bias of the wrong length) ends here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.dialects.conventions import Convention
from snnas.export.formats.hdf5_guard import Tree
from snnas.export.formats.nir_subgraphs import text
from snnas.export.graph.graph import (
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Node,
    Output,
    Pair,
    Pool,
    Scale,
    Threshold,
)
from snnas.export.graph.reshaping import Delays
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError

MAX_NEURONS = 1 << 26  # of one node; half of what 768 Loihi chips hold
MAX_WINDOW = 1 << 16
MAX_AXES = 32  # of what is read as a shape, a stride, a padding
MAX_KERNEL = 1 << 26  # weights of a kernel whose zeros are written out
_OPTIONAL = {"v_reset": 0.0, "w_in": 1.0}  # what files of earlier versions of nir leave out
_TAUS = ("tau", "tau_mem", "tau_syn")


@dataclass(frozen=True, slots=True)
class Source:
    """A node of a file: its name, its datasets, the file, and what the ODEs are read with."""

    name: str
    raw: Tree
    path: Path
    convention: Convention

    def invalid(self, problem: str, code: str = "SN105") -> InvalidFileError:
        return InvalidFileError(f"{self.path}: node {self.name}: {problem}", code=code)

    def unsupported(self, problem: str) -> UnsupportedError:
        return UnsupportedError(f"{self.path}: node {self.name}: {problem}", code="SN106")

    def get(self, key: str) -> Any:
        if key not in self.raw:
            raise self.invalid(f"{key} is missing; write the file with nir >= 1.0")
        return self.raw[key]

    def array(self, key: str) -> np.ndarray:
        """Finite float32 numbers."""
        value = np.asarray(self.get(key))
        if value.dtype.kind not in "fiub":
            raise self.invalid(f"{key} holds {value.dtype}, expected numbers")
        with np.errstate(over="ignore", invalid="ignore"):
            value = value.astype(np.float32)
        if not np.isfinite(value).all():
            raise self.invalid(f"{key} holds NaN or infinity; every parameter must be finite", "SN107")
        return value

    def whole(self, key: str) -> tuple[int, ...]:
        value = np.asarray(self.get(key))
        few = value.dtype.kind in "iufb" and 0 < value.size <= MAX_AXES
        # Beyond 2**53, and of NaN, a cast to int64 warns.
        if not few or not (np.abs(value.astype(np.float64)) < 2**53).all() or (value.astype(np.int64) != value).any():
            raise self.invalid(f"{key} holds {value.dtype} {value.shape} {str(value)[:40]}; expected whole numbers")
        return tuple(int(n) for n in value.reshape(-1))

    def one(self, key: str) -> int:
        found = self.whole(key)
        if len(found) != 1:
            raise self.invalid(f"{key} {found}; expected one number")
        return found[0]

    def pair(self, key: str, *, low: int, axes: int = 2) -> Pair:
        """(vertical, horizontal); of one axis the vertical part is the neutral one, ``low``."""
        dims = self.whole(key)
        if not 1 <= len(dims) <= axes or min(dims) < low or max(dims) > MAX_WINDOW:
            count = "one or two numbers" if axes == 2 else "one number"
            raise self.invalid(f"{key} {dims}; expected {count} from {low}")
        if axes == 1:
            return low, dims[0]
        return (dims[0], dims[0]) if len(dims) == 1 else (dims[0], dims[1])


def read_node(name: str, raw: Any, path: Path, convention: Convention) -> Node | Delays:
    """A node of a flat graph. UnsupportedError for a type that this version does not take, with what it takes."""
    if not isinstance(raw, dict):
        raise InvalidFileError(f"{path}: node {name} is not a group")
    source, kind = Source(name, raw, path, convention), text(raw.get("type"))
    reader = READERS.get(kind)
    if reader is None:
        mend = f"this version takes {', '.join(sorted(READERS))}"
        raise UnsupportedError(f"{path}: node {name} has type {kind[:60]!r}; {mend}", code="SN106")
    return reader(source)


def _shape(key: str) -> Callable[[Source], tuple[int, ...]]:
    def read(source: Source) -> tuple[int, ...]:
        value = source.raw.get(key, source.raw.get("shape"))
        if isinstance(value, dict):
            value = next(iter(value.values()))
        value = np.asarray(value)
        if value.dtype.kind not in "iufb" or value.size > MAX_AXES or not np.isfinite(value).all():
            raise source.invalid(f"{key} holds {value.dtype} {value.shape}, expected the extents of a shape")
        return boxed(source, tuple(int(n) for n in value.reshape(-1)))

    return read


def boxed(source: Source, shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H, W) or (N,), checked; (C, L) has height 1, and a batch of 1 before (C, H, W) is left out."""
    if len(shape) == 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (1, 2, 3) or min(shape) < 1 or int(np.prod(shape, dtype=object)) > MAX_NEURONS:
        batch = "; leave the batch axis out" if len(shape) == 4 else ""
        raise InvalidFileError(
            f"{source.path}: node {source.name} has shape {shape}; expected (C, H, W), (C, L) or (N,), all >= 1, at "
            f"most {MAX_NEURONS} in all{batch}",
            code="SN110",
        )
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


# ------------------------------------------------------------------------------------------------------ linear nodes


def _bias(source: Source, weight: np.ndarray) -> np.ndarray | None:
    if "bias" not in source.raw:
        return None
    bias = source.array("bias")
    if bias.shape != weight.shape[:1]:
        raise source.invalid(f"bias {bias.shape}; expected {weight.shape[:1]}, one per output", "SN109")
    return bias


def _conv(axes: int) -> Callable[[Source], Conv]:
    def read(source: Source) -> Conv:
        weight = source.array("weight")
        wanted = "(O, I/groups, kH, kW)" if axes == 2 else "(O, I/groups, k)"
        if weight.ndim != 2 + axes or min(weight.shape) < 1:
            raise source.invalid(f"weight {weight.shape}; expected {wanted}", "SN110")
        bias, groups = _bias(source, weight), source.one("groups")
        if groups < 1 or weight.shape[0] % groups:
            raise source.invalid(
                f"{groups} groups do not divide {weight.shape[0]} output channels; correct one of them", "SN110"
            )
        if axes == 1:
            weight = weight[:, :, None]
        stride, dilation = source.pair("stride", low=1, axes=axes), source.pair("dilation", low=1, axes=axes)
        weight = _dilated(source, weight, dilation)
        weight, pad = _padded(source, weight, stride, axes)
        return Conv(weight=weight, bias=bias, stride=stride, pad=pad, groups=groups)

    return read


def _dilated(source: Source, weight: np.ndarray, dilation: Pair) -> np.ndarray:
    """The kernel with the zeros between its taps written out."""
    if dilation == (1, 1):
        return weight
    o, i, kh, kw = weight.shape
    size = (o, i, (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    if int(np.prod(size, dtype=object)) > MAX_KERNEL:
        raise source.unsupported(
            f"dilation {dilation} makes a kernel of {size}; at most {MAX_KERNEL} weights are taken"
        )
    out = np.zeros(size, np.float32)
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out


def _padded(source: Source, weight: np.ndarray, stride: Pair, axes: int) -> tuple[np.ndarray, Pair]:
    """The padding in numbers, equal on both sides: an even kernel of 'same' gets a row of zeros before it."""
    value = source.get("padding")
    if np.asarray(value).dtype.kind not in "OSU":
        return weight, source.pair("padding", low=0, axes=axes)
    word = text(value)
    if word == "valid":
        return weight, (0, 0)
    if word != "same":
        raise source.invalid(f"padding {word[:40]!r}; expected numbers, 'same' or 'valid'")
    if stride != (1, 1):
        raise source.invalid(f"padding 'same' with stride {stride}; torch has none: write the padding in numbers")
    before = tuple(1 - k % 2 for k in weight.shape[2:])
    weight = np.pad(weight, ((0, 0), (0, 0), (before[0], 0), (before[1], 0)))
    return weight, (weight.shape[2] // 2, weight.shape[3] // 2)


def _linear(source: Source) -> Linear:
    weight = source.array("weight")
    if weight.ndim != 2 or min(weight.shape) < 1:
        raise source.invalid(f"weight {weight.shape}; expected (out, in)", "SN110")
    return Linear(weight=weight, bias=_bias(source, weight))


def _pool(average: bool) -> Callable[[Source], Pool]:
    def read(source: Source) -> Pool:
        kernel, stride = source.pair("kernel_size", low=1), source.pair("stride", low=1)
        return Pool(kernel=kernel, stride=stride, pad=source.pair("padding", low=0), average=average)

    return read


def _flatten(source: Source) -> Flatten:
    """Of all axes. start_dim = 1 is the writers who count a batch axis: what follows must fit the flat shape."""
    start, end = source.one("start_dim"), source.one("end_dim")
    if start not in (0, 1) or (end != -1 and end < 1):
        raise source.unsupported(f"flattens dimensions {start}..{end}; only all of them (0..-1) is taken")
    return Flatten()


def _scale(source: Source) -> Scale:
    scale = source.array("scale")
    return Scale(scale=scale.reshape(boxed(source, scale.shape)) if scale.ndim else scale)


def _delay(source: Source) -> Delay | Delays | Scale:
    """Whole timesteps, for all elements or each; of none, it hands on."""
    delay = source.array("delay").astype(np.float64) / source.convention.dt
    steps = np.rint(delay)
    if not delay.size:
        raise source.invalid("delay is empty", "SN110")
    if np.abs(delay - steps).max() > 1e-3 or steps.min() < 0 or steps.max() > MAX_WINDOW:
        raise source.unsupported(
            f"delays of {float(delay.min()):g}..{float(delay.max()):g} timesteps of {source.convention.dt:g} s; whole "
            "numbers are taken: round them, or give the right dt"
        )
    if (steps != steps.reshape(-1)[0]).any():
        return Delays(steps=steps.astype(np.int64).reshape(boxed(source, steps.shape)))
    waits = int(steps.reshape(-1)[0])
    return Delay(steps=waits) if waits else Scale(scale=np.ones((), np.float32))


# ----------------------------------------------------------------------------------------------------------- neurons


def _neuron(kind: type) -> Callable[[Source], Any]:
    def read(source: Source) -> Any:
        names = [f.name for f in fields(kind)]
        values = {n: source.array(n) for n in names if n in source.raw or n not in _OPTIONAL}
        try:
            shape = np.broadcast_shapes(*(v.shape for v in values.values()))
        except ValueError:
            sizes = ", ".join(f"{n} {v.shape}" for n, v in values.items())
            raise source.invalid(
                f"its parameters do not have one shape: {sizes}; give all the neurons' shape", "SN110"
            ) from None
        for name in _TAUS:
            if name in values:
                _check_tau(source, name, values[name])
        if int(np.prod(shape, dtype=object)) > MAX_NEURONS:
            raise InvalidFileError(
                f"{source.path}: node {source.name} has shape {shape}; at most {MAX_NEURONS} neurons are read",
                code="SN110",
            )
        full = {n: np.broadcast_to(values.get(n, np.float32(_OPTIONAL.get(n, 0.0))), shape) for n in names}
        shape = boxed(source, shape) if shape else shape
        return kind(**{n: v.astype(np.float32).reshape(shape) for n, v in full.items()})

    return read


def _check_tau(source: Source, name: str, tau: np.ndarray) -> None:
    low, dt = float(tau.min()), source.convention.dt
    if low <= 0:
        raise source.invalid(f"{name} {low:g} s; a time constant must be > 0", "SN108")
    if source.convention.decay == "euler" and (tau < np.float32(dt)).any():
        raise source.invalid(
            f"{name} {low:g} s is below a timestep of {dt:g} s; give the dt and the decay (euler or exact) that the "
            "graph was trained with",
            "SN108",
        )


READERS: dict[str, Callable[[Source], Node | Delays]] = {
    "Input": lambda source: Input(shape=_shape("input_type")(source)),
    "Output": lambda source: Output(shape=_shape("output_type")(source)),
    "Conv1d": _conv(1),
    "Conv2d": _conv(2),
    "Linear": _linear,
    "Affine": _linear,
    "Scale": _scale,
    "SumPool2d": _pool(average=False),
    "AvgPool2d": _pool(average=True),
    "Flatten": _flatten,
    "Delay": _delay,
    "Threshold": _neuron(Threshold),
    "IF": _neuron(If),
    "LIF": _neuron(Lif),
    "CubaLIF": _neuron(CubaLif),
    "LI": _neuron(Li),
    "CubaLI": _neuron(CubaLi),
    "I": _neuron(I),
}
