"""The sizes and constants of a network around its cells."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.search.network.genotype import MAX_CELLS

# What stands between the pooled spikes of the last reduction and the classes: linear - LIF - linear; the same with a
# batch norm before the LIF, which folds into the first linear on export; or a linear layer alone.
HEADS = ("lif", "bn_lif", "linear")
DEFAULT_HEAD = "lif"
DEFAULT_CHANNELS, DEFAULT_HIDDEN = 16, 256
# Of a cell's neurons, in units of the common threshold: beyond, nothing of unit variance fires, or everything does.
LEAST_THRESHOLD, MOST_THRESHOLD = 0.05, 20.0
THRESHOLD_RANGE = f"{LEAST_THRESHOLD:g} .. {MOST_THRESHOLD:g}"


@dataclass(frozen=True, slots=True)
class JsonConfig:
    """A configuration of numbers, strings and tuples of numbers that is kept as JSON.

    ``older``: keys that came later than the format, and what a file that lacks one means by it, whatever the default
    is now. A file with a key that this version does not know is refused. ``rare``: those of them that are written only
    where they say something else, so that every other file is as versions before wrote it, and can read it.
    """

    older: ClassVar[Mapping[str, Any]] = {}
    rare: ClassVar[tuple[str, ...]] = ()

    def to_json(self) -> str:
        """Return the configuration as indented JSON."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: value for name, value in plain.items() if name not in self.rare or value != self.older[name]}
        return json.dumps(plain, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "network.json") -> Self:
        """Read what ``to_json`` wrote; raises InvalidFileError naming the key and the place."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidFileError(f"{where} is not JSON ({error}); expected a network configuration") from None
        known = {f.name for f in fields(cls)}
        if isinstance(plain, dict):
            plain = {**cls.older, **plain}
        if not isinstance(plain, dict) or set(plain) != known:
            found = sorted(set(plain) ^ known) if isinstance(plain, dict) else [type(plain).__name__]
            raise InvalidFileError(f"{where}: missing or unknown {brief(found)}, expected {', '.join(sorted(known))}")
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})
        except UsageError as error:
            raise InvalidFileError(f"{error} ({where})") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig(JsonConfig):
    """The sizes and constants around the cells.

    input_shape: (C, H, W); (C, 1, L) is a signal, (C, 1, 1) has no space. input_kind: 'analogue', 'spikes' or 'counts'.
    channels: of the first cell, doubled by each reduction. hidden: neurons of the head. votes: outputs averaged per
    class. timesteps: T. tau, threshold: of every LIF. reduction: 'max' (pools spikes) or 'average'. dropout: before the
    head, in training. cells: number of cells. head: one of HEADS; 'linear' has no hidden neurons, and its votes are 1
    whatever is given: an average of outputs of one linear layer is one output. gain: what each channel of the input is
    multiplied by first; it folds into the stem. thresholds: of the neurons of each cell and of the reduction behind it,
    in units of ``threshold``; (): 1. Raises UsageError for a value out of range, and when pooling leaves nothing of the
    image.
    """

    older: ClassVar[Mapping[str, Any]] = {"head": "lif", "gain": (), "thresholds": ()}  # of before 0.2
    rare: ClassVar[tuple[str, ...]] = ("thresholds",)

    input_shape: tuple[int, int, int]
    classes: int
    input_kind: str = "analogue"
    channels: int = 16
    hidden: int = 256
    votes: int = 10
    timesteps: int = 5
    tau: float = 4 / 3
    threshold: float = 1.0
    reduction: str = "max"
    dropout: float = 0.0
    cells: int = 2
    head: str = DEFAULT_HEAD
    gain: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_skeleton(self, ("hidden", "votes"), most_cells=MAX_CELLS)
        require_gain(self)
        good = isinstance(self.thresholds, tuple) and len(self.thresholds) in (0, self.cells)
        good = good and all(map(is_threshold, self.thresholds))
        require(good, "thresholds", self, f"a number {THRESHOLD_RANGE} for each cell, or none")
        require(self.head in HEADS, "head", self, " or ".join(map(repr, HEADS)))
        if self.head == "linear":
            object.__setattr__(self, "votes", 1)
        require(self.reduction in ("max", "average"), "reduction", self, "'max' or 'average'")
        require(is_float(self.dropout) and 0 <= self.dropout < 1, "dropout", self, "a number in [0, 1)")
        require(
            min(self.extents(self.cells)) >= 1,
            "input_shape",
            self,
            f"H and W >= {2**self.cells}, or 1: {self.cells} reductions halve them {self.cells} times; enlarge it, or "
            "take fewer cells",
        )

    @property
    def head_neurons(self) -> int:
        """Spiking neurons of the head."""
        return 0 if self.head == "linear" else self.hidden

    @property
    def head_weights(self) -> int:
        """Weights of the head with votes and batch norm folded, as it is deployed."""
        return (self.head_neurons or self.classes) * self.features + self.head_neurons * self.classes

    @property
    def features(self) -> int:
        """The length of the head's input: channels x H x W after the last reduction (pooling floors)."""
        return self.width(self.cells) * math.prod(self.extents(self.cells))

    def extents(self, reductions: int) -> tuple[int, int]:
        """Return H and W behind so many reductions: each halves them (pooling floors), and leaves an axis of 1."""
        _, height, width = self.input_shape
        return height >> (reductions if height > 1 else 0), width >> (reductions if width > 1 else 0)

    def window(self, size: int) -> tuple[int, int]:
        """Return a kernel or a pooling window of ``size``: 1 along an axis of 1, so that a signal has 1 x ``size``."""
        _, height, width = self.input_shape
        return size if height > 1 else 1, size if width > 1 else 1

    def threshold_of(self, cell: int) -> float:
        """Return the threshold of the neurons of cell number ``cell``, counted from 1, and of its reduction."""
        return self.threshold * self.thresholds[cell - 1] if self.thresholds else self.threshold

    def width(self, cell: int) -> int:
        """Return the channels of cell number ``cell``, counted from 1."""
        return self.channels << (cell - 1)


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_float(value: Any) -> bool:
    """Whether it is a finite number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_threshold(value: Any) -> bool:
    """Whether it is a threshold in units of the common one: small enough to fire, large enough to rest."""
    return is_float(value) and LEAST_THRESHOLD <= value <= MOST_THRESHOLD


def require_skeleton(config: Any, whole: Sequence[str] = (), *, most_cells: int) -> None:
    """UsageError where what every network has is out of range; whole: further numbers that are whole and at least 1."""
    for name in ("classes", "channels", *whole, "timesteps", "cells"):
        require(is_int(getattr(config, name)) and getattr(config, name) >= 1, name, config, "a whole number >= 1")
    require(config.cells <= most_cells, "cells", config, f"at most {most_cells}")
    shape, kinds = config.input_shape, ("analogue", "spikes", "counts")
    good = isinstance(shape, tuple) and len(shape) == 3 and all(is_int(n) and n >= 1 for n in shape)
    require(good, "input_shape", config, "three whole numbers (C, H, W) >= 1")
    require(config.input_kind in kinds, "input_kind", config, "one of " + ", ".join(kinds))
    # tau = 1 would forget everything at once, and spikingjelly wants a float.
    require(is_float(config.tau) and config.tau > 1, "tau", config, "a finite number > 1")
    require(is_float(config.threshold) and config.threshold > 0, "threshold", config, "a finite number > 0")


def require_gain(config: Any) -> None:
    """UsageError unless ``gain`` is () or a number > 0 for each channel."""
    good = isinstance(config.gain, tuple) and len(config.gain) in (0, config.input_shape[0])
    good = good and all(is_float(value) and value > 0 for value in config.gain)
    require(good, "gain", config, "a number > 0 for each channel of the input, or none")


def require(good: bool, name: str, config: JsonConfig, expected: str) -> None:
    if not good:
        raise UsageError(f"{name} = {brief(getattr(config, name))} in the network configuration, expected {expected}")
