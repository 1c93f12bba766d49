"""From a sampled signal to what a program takes: frames, and the spikes of an encoder. A part of the host's work.

A signal is (N, L, C): L samples of C channels, in units of its own. Either its time is the program's time (a timestep
per sample, (C, 1, 1)), or a window of it is an image 1 x W, one per timestep. An encoder turns values into spikes
before that:

    delta     up where the value is a threshold above a reference, down where it is one below; the reference follows.
              The reference is the first value, so nothing fires there. (N, L, 2 C): up, then down.
    level     one spike line for each level that the value reaches. (N, L, K C): the lowest level of all channels first.
    latency   a frame lasts S timesteps, in which every value fires once, the higher the earlier.

All of it in float32, one rounding an operation, in an order that is written down: whoever does the same has the same
spikes. Constants come from samples of training and validation alone (``fitted``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief

Encoding = Literal["direct", "delta", "level", "latency"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)
MAX_TIMESTEPS = 4096
MAX_LEVELS = 64
DEFAULT_THRESHOLD = 0.25
DEFAULT_LEVELS = 8
DEFAULT_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalInput:
    """What the host does to a signal before a program sees it. UsageError for a value out of range."""

    window: int
    """Samples of a frame; 0: a timestep is one sample."""
    hop: int = 0
    """Samples from the start of a frame to that of the next."""
    length: int = 0
    """Samples of a signal: longer ones are cut, shorter ones hold their last value. 0: not settled yet."""
    stretched: bool = False
    """Signals of another length run slower or faster instead, between samples on a line."""
    sliced: bool = False
    """Longer signals are several of that length, one after the other, where a file of them is read."""
    encoding: Encoding = "direct"
    threshold: float = DEFAULT_THRESHOLD
    """Of delta, in standard deviations of a channel; what is compared with is ``thresholds``."""
    levels: int = DEFAULT_LEVELS
    """Of level: how many a channel has."""
    steps: int = DEFAULT_STEPS
    """Of latency: timesteps of a frame."""
    thresholds: tuple[float, ...] = ()
    """Of delta: of each channel, in its unit."""
    reached: tuple[tuple[float, ...], ...] = ()
    """Of level: the levels of each channel, ascending, in its unit."""
    ends: tuple[tuple[float, float], ...] = ()
    """Of latency: the values of each channel that fire last and first."""

    def __post_init__(self) -> None:
        whole = {"window": (0, 1 << 20), "hop": (0, 1 << 20), "length": (0, 1 << 24)}
        whole |= {"levels": (1, MAX_LEVELS), "steps": (2, MAX_TIMESTEPS)}
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"{name} = {brief(value)} of a signal, expected a whole number {low} .. {high}")
        for name in ("stretched", "sliced"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} = {brief(getattr(self, name))} of a signal, expected true or false")
        if self.encoding not in ENCODINGS:
            raise UsageError(f"encoder = {brief(self.encoding)} of a signal, expected {', '.join(ENCODINGS)}")
        if not (isinstance(self.threshold, int | float) and 0 < self.threshold < 1e6):
            raise UsageError(f"threshold = {brief(self.threshold)} of a signal, expected a number > 0")
        if self.encoding == "latency" and not self.window:
            raise UsageError("encoder = latency of a signal whose time is the network's, expected window=W,hop=H too")

    @property
    def spikes(self) -> bool:
        """Whether a program is given spikes."""
        return self.encoding != "direct"

    @property
    def lines(self) -> int:
        """What a program is given of a channel: its value, or so many lines of spikes."""
        return {"delta": 2, "level": self.levels}.get(self.encoding, 1)

    @property
    def frame_steps(self) -> int:
        """Timesteps that a frame lasts."""
        return self.steps if self.encoding == "latency" else 1

    @property
    def stride(self) -> int:
        """Samples from the start of a frame to that of the next."""
        return (self.hop or self.window) if self.window else 1

    def shape(self, channels: int) -> tuple[int, int, int, int]:
        """Return (T, C', 1, W) of a signal; a still image has T = 1."""
        frames = max(0, -(-(self.length - self.window) // self.stride)) + 1 if self.window else self.length
        return frames * self.frame_steps, channels * self.lines, 1, self.window or 1

    def fitted(self, x: np.ndarray) -> SignalInput:
        """Return it with the constants of the encoder, from the samples ``x`` (N, L, C)."""
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        match self.encoding:
            case "delta":
                spread = rows.std(0)
                least = np.abs(rows).max(0) * 1e-6 + np.finfo(np.float32).tiny  # a channel that never changes
                return replace(self, thresholds=_floats(np.maximum(self.threshold * spread, least)))
            case "level":
                shares = (np.arange(self.levels) + 0.5) / self.levels
                return replace(self, reached=tuple(_floats(c) for c in np.quantile(rows, shares, axis=0).T))
            case "latency":
                low, high = rows.min(0), rows.max(0)
                above = np.nextafter(low.astype(np.float32), np.float32(np.inf)).astype(np.float64)
                high = np.where(high > low, high, np.maximum(low + 1, above))
                if (high - low > np.finfo(np.float32).max).any():
                    raise UsageError("encoder = latency of a signal: its values lie farther apart than float32 reaches")
                return replace(self, ends=tuple((a, b) for a, b in zip(_floats(low), _floats(high), strict=True)))
        return self

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return what the program is given of signals (N, L, C): (N, T, C', 1, W) or, of one frame, (N, C, 1, W).

        float32 where values stay values, else uint8 0 or 1.
        """
        x = self.fit(np.asarray(x, np.float32), self.length or x.shape[1])
        if self.encoding == "delta":
            x = delta(x, np.array(self.thresholds, np.float32))
        elif self.encoding == "level":
            x = level(x, np.array(self.reached, np.float32))
        if not self.window:
            return np.ascontiguousarray(x[:, :, :, None, None])
        frames = windows(x, self.window, self.stride)
        if self.encoding == "latency":
            return latency(frames, np.array(self.ends, np.float32), self.steps)
        return frames[:, 0] if frames.shape[1] == 1 and not self.spikes else frames

    def fit(self, x: np.ndarray, length: int) -> np.ndarray:
        """Return signals (N, L, C) with ``length`` samples."""
        return stretched(x, length) if self.stretched else held(x, length)

    def comparisons(self, channels: int) -> int:
        """Return how often the host compares two numbers to encode one signal, as ``apply`` does it.

        delta: every value but the first with two references; level: with each level; latency: every value of a frame
        with both ends, and its timestep with each of the frame's.
        """
        match self.encoding:
            case "delta":
                return 2 * channels * (self.length - 1)
            case "level":
                return self.levels * channels * self.length
            case "latency":
                frames = self.shape(channels)[0] // self.frame_steps
                return (2 + self.steps) * channels * frames * self.window
        return 0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, without what its encoder does not need."""
        unused = {"direct": {"threshold", "levels", "steps", "thresholds", "reached", "ends"}}
        unused |= {
            "delta": {"levels", "steps", "reached", "ends"},
            "level": {"threshold", "steps", "thresholds", "ends"},
        }
        unused |= {"latency": {"threshold", "levels", "thresholds", "reached"}}
        left = unused[self.encoding] | {name for name in ("stretched", "sliced") if not getattr(self, name)}
        return {key: value for key, value in asdict(self).items() if key not in left}

    @classmethod
    def of(cls, plain: Any, where: str) -> SignalInput:
        """Read what ``to_json`` returned; InvalidFileError for anything else."""
        known = {f.name for f in fields(cls)}
        if not isinstance(plain, Mapping) or not {"window", "length", "encoding"} <= set(plain) <= known:
            raise InvalidFileError(f"{where}: signal is {brief(plain)}, expected some of {', '.join(sorted(known))}")
        try:
            made = cls(**{key: _tuple(value) for key, value in plain.items()})
            np.array([*made.thresholds, *made.ends, *made.reached], np.float32)
        except (UsageError, TypeError, ValueError) as error:
            raise InvalidFileError(f"{where}: signal: {' '.join(str(error).split())[:160]}") from None
        return made


def encoder_comparisons(meta: Mapping[str, Any], lines: int) -> int:
    """Return the ``comparisons`` of what a program's metadata say of signals; lines: of its input. 0: no signals."""
    if meta.get("signal") is None:
        return 0
    signal = SignalInput.of(meta["signal"], "program")
    return signal.comparisons(lines // signal.lines)


def held(x: np.ndarray, length: int) -> np.ndarray:
    """Return signals (N, L, C) of ``length`` samples: cut, or with the last one held."""
    if x.shape[1] >= length:
        return x[:, :length]
    return np.concatenate([x, np.repeat(x[:, -1:], length - x.shape[1], axis=1)], axis=1)


def slices(x: np.ndarray, length: int, overlap: int = 0) -> np.ndarray:
    """Return the whole slices (n, length, C) of a signal (L, C), one at the least; a short one holds its last value."""
    step = length - overlap
    count = max(0, (len(x) - length) // step) + 1
    x = held(x[None], max(length, len(x)))[0]
    return np.stack([x[start : start + length] for start in range(0, count * step, step)])


def stretched(x: np.ndarray, length: int) -> np.ndarray:
    """Return signals (N, L, C) of ``length`` samples, float32: first and last stay, those between lie on a line."""
    if x.shape[1] == length:
        return x
    at = np.linspace(0, x.shape[1] - 1, length)
    below = np.floor(at).astype(np.int64)
    share = (at - below)[:, None]
    made = x[:, below] * (1 - share) + x[:, np.minimum(below + 1, x.shape[1] - 1)] * share
    return np.asarray(made, np.float32)


def windows(x: np.ndarray, window: int, hop: int) -> np.ndarray:
    """Return (N, T, C, 1, W): frame t begins at sample t x hop; the last one holds the last value where samples end."""
    count = max(0, -(-(x.shape[1] - window) // hop)) + 1
    x = held(x, (count - 1) * hop + window)
    frames = np.stack([x[:, t * hop : t * hop + window] for t in range(count)], axis=1)
    return np.ascontiguousarray(frames.transpose(0, 1, 3, 2)[:, :, :, None])


def delta(x: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Return the spikes (N, L, 2 C) of signals (N, L, C), float32; threshold (C,)."""
    out = np.zeros((*x.shape[:2], 2 * x.shape[2]), np.uint8)
    channels, reference = x.shape[2], x[:, 0].copy()
    for t in range(1, x.shape[1]):
        up, down = x[:, t] - reference >= threshold, reference - x[:, t] >= threshold
        out[:, t, :channels], out[:, t, channels:] = up, down
        reference += threshold * (up.astype(np.float32) - down.astype(np.float32))
    return out


def level(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the spikes (N, L, K C) of signals (N, L, C), float32; levels (C, K)."""
    return np.concatenate([(x >= levels[:, k]).astype(np.uint8) for k in range(levels.shape[1])], axis=2)


def latency(frames: np.ndarray, ends: np.ndarray, steps: int) -> np.ndarray:
    """Return the spikes (N, T S, C, 1, W) of frames (N, T, C, 1, W), float32; ends (C, 2).

    A value fires at step floor((1 - v) (S - 1) + 1/2) of its frame; v: where it lies between the ends, in 0..1.
    """
    low, high = (ends[:, k, None, None] for k in (0, 1))
    when = fires_at(frames, low, high, steps)
    fired = when[:, :, None] == np.arange(steps)[:, None, None, None]
    return fired.reshape(len(frames), -1, *frames.shape[2:]).astype(np.uint8)


def fires_at(values: np.ndarray, low: np.ndarray, high: np.ndarray, steps: int) -> np.ndarray:
    """Return the step of its frame, int64 in 0 .. steps - 1, at which each value fires; all float32, of one shape.

    Every operation is monotone in the value, and so is the step.
    """
    share = np.clip((values - low) / (high - low), np.float32(0), np.float32(1))
    return np.floor((np.float32(1) - share) * np.float32(steps - 1) + np.float32(0.5)).astype(np.int64)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    """As float32 holds them."""
    return tuple(float(v) for v in np.asarray(values, np.float32))


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list | tuple) else value
