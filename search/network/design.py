"""A design: cells and all that a chip leaves open around them, as plain frozen data; the sizes that are common to all.

The papers search one cell at a width and a number of timesteps that are given. On a chip these are choices too, and
often the better ones: a design names its own. A cell of it may hold no convolution; the network has at least one that
stands behind a neuron, in a cell or in a reduction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.search.network import genotype as cells_of_four
from snnas.search.network.config import HEADS, THRESHOLD_RANGE, JsonConfig, NetworkConfig, is_int, is_threshold
from snnas.search.network.functional import form
from snnas.search.network.genotype import CONV_KERNELS, Cell, Genotype, plain_cell, read_cell, require_object
from snnas.search.network.network import Network

SPACE = "chip"
FORMAT, VERSION = "snnas-design", 2  # 1 had no bits: all weights had 8
# The choices beside the cells, in the order of the file: what a network is built of, and what its program is made with.
SIZES = ("channels", "timesteps", "hidden", "head", "reduction")
AXES = (*SIZES, "bits")
BITS = (4, 6, 8)
PLAIN_BITS = 8
REDUCTIONS = ("max", "average")
PLAIN_THRESHOLD = 1.0
LARGEST = {"channels": 4096, "timesteps": 4096, "hidden": 1 << 20}


@dataclass(frozen=True, slots=True)
class Design(Genotype):
    """Cells, with the sizes of the network that is built of them.

    channels: of the first cell, doubled by each reduction. timesteps: T. hidden: spiking neurons of the head, 0 where
    it is 'linear'. head: of ``config.HEADS``. reduction: 'max' or 'average'. bits: of a weight of its program, one of
    BITS. thresholds: of each cell's neurons and of the reduction behind it, in units of the threshold that all networks
    of a search have in common; () where all are 1, however that is spelt. Raises UsageError for a value out of range, a
    cell whose output never sees its input, and a network without a convolution behind a neuron.
    """

    channels: int
    timesteps: int
    hidden: int
    head: str
    reduction: str
    bits: int = PLAIN_BITS
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        Genotype.__post_init__(self)
        values, expected = self.thresholds, f"a number {THRESHOLD_RANGE} for each of {len(self.cells)} cells, or none"
        good = isinstance(values, tuple) and len(values) in (0, len(self.cells)) and all(map(is_threshold, values))
        self._require(good, "thresholds", expected)
        plain = all(value == PLAIN_THRESHOLD for value in values)
        object.__setattr__(self, "thresholds", () if plain else tuple(map(float, values)))
        self._require(self.space == SPACE, "space", repr(SPACE))
        for name, largest in LARGEST.items():
            least = 0 if name == "hidden" and self.head == "linear" else 1
            largest = largest if least else 0
            value = getattr(self, name)
            self._require(is_int(value) and least <= value <= largest, name, f"a whole number {least} .. {largest}")
        self._require(self.head in HEADS, "head", ", ".join(HEADS))
        self._require(self.reduction in REDUCTIONS, "reduction", ", ".join(REDUCTIONS))
        self._require(is_int(self.bits) and self.bits in BITS, "bits", ", ".join(map(str, BITS)))
        for number, cell in enumerate(self.cells, start=1):
            if not cell.live():
                raise UsageError(f"cell {number} of a design has no path from node 0 to node 3, expected one")
        if len(self.cells) == 1 and not any(op in CONV_KERNELS for op in self.cells[0].live().values()):
            raise UsageError("one cell without a convolution in a design, expected a convolution, or a second cell")

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells two networks apart: ``architecture_id``."""
        return (self.architecture_id,)

    @property
    def architecture_id(self) -> str:
        """The first 12 hex digits of a SHA-256 of forms, sizes, bits and thresholds: equal ids are one program.

        A network of 8 bits, and one of thresholds 1, have the id that they had when there was no other number.
        """
        known = [[str(form(cell)) for cell in self.cells], *(getattr(self, name) for name in SIZES)]
        known += [self.bits] if self.bits != PLAIN_BITS else []
        known += [list(self.thresholds)] if self.thresholds else []
        return hashlib.sha256(json.dumps([FORMAT, 1, known]).encode()).hexdigest()[:12]

    def _plain(self) -> dict[str, Any]:
        cells = [plain_cell(cell) for cell in self.cells]
        axes = {name: getattr(self, name) for name in AXES}
        if self.thresholds:  # versions that know none refuse the key by its name, and read every other file
            axes["thresholds"] = list(self.thresholds)
        return {"format": FORMAT, "version": VERSION, "space": self.space, "cells": cells, **axes}

    @classmethod
    def from_json(cls, text: str, *, where: str = "genotype.json") -> Design:
        """Read what ``to_json`` wrote. Strict: raises InvalidFileError naming value, allowed values and place."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidFileError(f"{where} is not JSON ({error}); expected a design as snnas writes it") from None
        older = isinstance(plain, dict) and is_int(plain.get("version")) and plain["version"] == 1
        axes = SIZES if older else AXES
        required = ("format", "version", "space", "cells", *axes)
        top = require_object(plain, required, where, allowed=required if older else (*required, "thresholds"))
        if top["format"] != FORMAT or top["version"] not in (1, VERSION) or isinstance(top["version"], bool):
            raise InvalidFileError(
                f"format {brief(top['format'])} version {brief(top['version'])} in {where}, expected {FORMAT!r} "
                f"version 1 or {VERSION}; write the file with this version of snnas"
            )
        cells = top["cells"]
        if not isinstance(top["space"], str) or not isinstance(cells, list) or len(cells) > cells_of_four.MAX_CELLS:
            raise InvalidFileError(
                f"{where}: expected a string as 'space' and a list of 1 to {cells_of_four.MAX_CELLS} cells as 'cells'"
            )
        found: tuple[Cell, ...] = tuple(read_cell(cell, f"{where}: cells[{k}]") for k, cell in enumerate(cells))
        thresholds = top.get("thresholds", [])
        if not isinstance(thresholds, list):
            raise InvalidFileError(f"thresholds = {brief(thresholds)} in {where}, expected a list of a number per cell")
        try:
            return cls(top["space"], found, **{name: top[name] for name in axes}, thresholds=tuple(thresholds))
        except UsageError as error:
            raise InvalidFileError(f"{error} ({where})") from None

    def _require(self, good: bool, name: str, expected: str) -> None:
        if not good:
            raise UsageError(f"{name} = {brief(getattr(self, name))} in a design, expected {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSizes(JsonConfig):
    """What all designs of a search have in common, as ``NetworkConfig`` has it: the data's sizes, and the neurons'.

    Raises UsageError for a value out of range.
    """

    older: ClassVar[dict[str, Any]] = {"gain": ()}

    input_shape: tuple[int, int, int]
    classes: int
    input_kind: str = "analogue"
    votes: int = 10
    tau: float = 4 / 3
    threshold: float = 1.0
    dropout: float = 0.0
    gain: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._with(cells=1, channels=1, timesteps=1, hidden=1)

    def of(self, design: Design) -> NetworkConfig:
        """Return the sizes of a design's network; UsageError where pooling leaves nothing of the image."""
        axes = {name: getattr(design, name) for name in (*SIZES, "thresholds")}
        return self._with(**{**axes, "hidden": max(1, design.hidden), "cells": len(design.cells)})

    def _with(self, **axes: Any) -> NetworkConfig:
        return NetworkConfig(**{f.name: getattr(self, f.name) for f in fields(self)}, **axes)


def network_of_design(design: Design, sizes: DesignSizes) -> Network:
    """Return the network of a design, untrained."""
    return Network(design, sizes.of(design))
