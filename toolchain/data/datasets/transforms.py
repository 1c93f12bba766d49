"""tonic's transforms of events, before frames are made of them: ``Denoise(filter_time=10000), DropEvent(p=0.1)``."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.toolchain.data.datasets.events import Events

# Those of tonic 1.6 and 1.7 that give events of the same sensor; frames, sizes and channels are options of ours.
NAMES = (
    "CropTime",
    "Decimation",
    "Denoise",
    "DropEvent",
    "DropEventByArea",
    "DropEventByTime",
    "DropPixel",
    "EventDrop",
    "RandomDropPixel",
    "RandomFlipLR",
    "RandomFlipPolarity",
    "RandomFlipUD",
    "RandomTimeReversal",
    "RefractoryPeriod",
    "SpatialJitter",
    "TimeAlignment",
    "TimeJitter",
    "TimeSkew",
    "UniformNoise",
)
INSTEAD = {
    "CenterCrop": "crop=",
    "ToFrame": "frames=, split_by=, duration= and overlap=",
    "Downsample": "downsample=",
    "EventDownsampling": "downsample=",
    "MergePolarities": "polarity=merged",
}


@dataclass(frozen=True, slots=True)
class Transforms:
    """What ``--data transform=`` says, checked; raises UsageError."""

    steps: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    option: str = "transform"
    """Of --data, that says them."""

    @classmethod
    def parse(cls, text: str, option: str = "transform") -> Transforms:
        """Of calls with names and plain values, as in Python; nothing is evaluated."""
        try:
            tree = ast.parse(text, mode="eval").body
            calls = tree.elts if isinstance(tree, ast.Tuple) else [tree]
            return cls(tuple(_step(call) for call in calls), option)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise UsageError(
                f"--data {option}={text[:80]!r}: expected transforms of tonic with values by name, as "
                f"Denoise(filter_time=10000), DropEvent(p=0.1)"
            ) from None

    def __call__(self, events: Events, sensor: tuple[int, int, int], drawn: int, *more: int) -> Events:
        """The events as the transforms leave them; what is random is drawn from the numbers alone.

        drawn: that of the recording. more: of an epoch's, seed and epoch.
        """
        import_tonic()
        channels, height, width = sensor
        table = np.zeros(len(events), [("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
        for key in "xytp":
            table[key] = getattr(events, key)
        before = np.random.get_state()
        np.random.seed([drawn, *more] if more else drawn)  # tonic draws from NumPy's one generator
        try:
            for step in _made(self, (width, height, channels)):
                table = step(table)
        except (AssertionError, TypeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UsageError(f"--data {self.option}: tonic refuses it ({type(error).__name__}: {reason})") from None
        finally:
            np.random.set_state(before)
        x, y, p, t = (np.asarray(table[key]).astype(np.int64) for key in "xypt")
        if len(t) and (min(x.min(), y.min()) < 0 or x.max() >= width or y.max() >= height):
            raise UsageError(f"--data {self.option} moves events out of the sensor; give it clip_outliers=True")
        return Events(x, y, p, t)


@lru_cache(maxsize=4)
def _made(transforms: Transforms, size: tuple[int, int, int]) -> tuple[Any, ...]:
    return tuple(_build(name, dict(values), size) for name, values in transforms.steps)


def _build(name: str, values: dict[str, Any], size: tuple[int, int, int]) -> Any:
    from tonic import transforms

    made = getattr(transforms, name)
    known = inspect.signature(made).parameters
    for key in values:
        if key not in known:
            raise UsageError(f"--data transform: {name} takes {', '.join(known)}, and not {key[:40]!r}")
    if "sensor_size" in known:
        values.setdefault("sensor_size", size)
    return made(**values)


def _step(call: ast.expr) -> tuple[str, tuple[tuple[str, Any], ...]]:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError
    name = call.func.id
    if name not in NAMES:
        instead = f"give --data {INSTEAD[name]}" if name in INSTEAD else f"expected one of {', '.join(NAMES)}"
        raise UsageError(f"--data transform: {name[:40]} is not taken; {instead}")
    return name, tuple((str(word.arg), _hashable(ast.literal_eval(word.value))) for word in call.keywords if word.arg)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(v) for v in value) if isinstance(value, list) else value


def import_tonic() -> Any:
    """tonic, or UnsupportedError with the extra that brings it."""
    try:
        import tonic
    except ImportError:
        raise UnsupportedError("this needs tonic; install snnas with the extra [events]") from None
    return tonic
