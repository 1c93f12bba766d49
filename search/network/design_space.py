"""A space of designs, declared by the choices of each axis: drawn from, mutated, crossed.

Cells are drawn by their number of convolutions, each equally likely, then one form of so many. So a cell without a
convolution is no rarity, and no form is likelier for being spelt in many ways.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from snnas.hw_sim.errors import UsageError, brief, did_you_mean
from snnas.search.network.config import HEADS, THRESHOLD_RANGE, is_int, is_threshold
from snnas.search.network.design import (
    AXES,
    BITS,
    LARGEST,
    PLAIN_BITS,
    PLAIN_THRESHOLD,
    REDUCTIONS,
    SIZES,
    SPACE,
    Design,
)
from snnas.search.network.functional import form, representatives
from snnas.search.network.genotype import CONV_KERNELS, FORWARD_EDGES, MAX_CELLS, OPS, ZEROIZE, Cell

MAX_DRAWS = 50
# What changes in a child: a cell more often than a size, as it has more to it.
CELL_SHARE = 0.6
LATER = ("bits", "thresholds")  # axes that a table may leave out
NAMED: dict[str, Sequence[str]] = {"ops": OPS, "head": HEADS, "reduction": REDUCTIONS}


@dataclass(frozen=True)
class DesignSpace:
    """The choices of every axis, as in a space file. Numbers ascend. Raises UsageError for what is no choice.

    ops: of an edge; zeroize is always one. cells: numbers of cells. hidden: of heads that have hidden neurons. bits: of
    weights. thresholds: of the neurons of a cell and of the reduction behind it, each cell its own. A table may leave
    bits and thresholds out.
    """

    ops: tuple[str, ...]
    cells: tuple[int, ...]
    channels: tuple[int, ...]
    timesteps: tuple[int, ...]
    hidden: tuple[int, ...]
    head: tuple[str, ...]
    reduction: tuple[str, ...]
    bits: tuple[int, ...] = (PLAIN_BITS,)
    thresholds: tuple[float, ...] = (PLAIN_THRESHOLD,)

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            values: Any = getattr(self, name)
            if not isinstance(values, tuple) or not values or len(values) > 64:
                raise UsageError(f"{name} = {brief(values)} in a space of designs, expected a list of 1 to 64 choices")
            largest = MAX_CELLS if name == "cells" else LARGEST.get(name, 0)
            for value in values:
                if name in NAMED:
                    good, hint = value in NAMED[name], did_you_mean(str(value), NAMED[name])
                    expected = ", ".join(NAMED[name]) + hint
                elif name == "bits":
                    good, expected = is_int(value) and value in BITS, ", ".join(map(str, BITS))
                elif name == "thresholds":
                    good, expected = is_threshold(value), f"a number {THRESHOLD_RANGE}"
                else:
                    good, expected = is_int(value) and 1 <= value <= largest, f"a whole number 1 .. {largest}"
                if not good:
                    raise UsageError(f"{name} = {brief(value)} in a space of designs, expected {expected}")
            if len(set(values)) < len(values) or (name not in NAMED and list(values) != sorted(values)):
                raise UsageError(
                    f"{name} = {brief(values)} in a space of designs, expected each once, numbers ascending"
                )
        if not any(op in CONV_KERNELS for op in self.ops):
            raise UsageError(f"ops = {brief(self.ops)} in a space of designs, expected a convolution among them")

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Read a table of lists; UsageError where an axis is missing, unknown or wrong."""
        known = [f.name for f in fields(cls)]
        for name in plain:
            if name not in known:
                hint = did_you_mean(name, known)
                raise UsageError(f"{brief(name)} in a space of designs, expected {', '.join(known)}{hint}")
        missing = [name for name in known if name not in plain and name not in LATER]
        if missing:
            raise UsageError(f"a space of designs lacks {', '.join(missing)}; expected {', '.join(known)}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})

    def plain(self) -> dict[str, list[Any]]:
        """Return what ``of`` reads; thresholds only where there is a choice, or one that is not 1."""
        plain = {f.name: list(getattr(self, f.name)) for f in fields(self)}
        if self.thresholds == (PLAIN_THRESHOLD,):
            del plain["thresholds"]
        return plain

    @cached_property
    def plainest(self) -> Mapping[Hashable, Cell]:
        """The cells of the space, one for each functional form."""
        return representatives(tuple(sorted({ZEROIZE, *self.ops})))

    @cached_property
    def forms(self) -> Mapping[int, Sequence[Cell]]:
        """``plainest`` by the number of convolutions."""
        found: dict[int, list[Cell]] = {}
        for cell in self.plainest.values():
            found.setdefault(sum(op in CONV_KERNELS for op in cell.live().values()), []).append(cell)
        return found

    def draw(self, rng: np.random.Generator) -> Design:
        """Draw a design."""
        number = _one(rng, self.cells)
        while True:
            cells = [self._cell(rng) for _ in range(number)]
            axes = {name: _one(rng, getattr(self, name)) for name in AXES}
            made = self._design(cells, {**axes, "thresholds": self._thresholds(number, rng)})
            if made is not None:
                return made

    def draw_plain(self, rng: np.random.Generator) -> Design:
        """Draw a design with as few convolutions as there can be: one, in one of its cells."""
        number = _one(rng, self.cells)
        cells = [_one(rng, self.forms[min(self.forms)]) for _ in range(number)]
        cells[int(rng.integers(number))] = _one(rng, self.forms[1])
        axes = {name: _one(rng, getattr(self, name)) for name in AXES}
        made = self._design(cells, {**axes, "thresholds": self._thresholds(number, rng)})
        assert made is not None, "a design with a convolution is valid"
        return made

    def mutate(self, design: Design, rng: np.random.Generator) -> Design:
        """Return a design that differs in one choice: an edge or threshold of a cell, a size, the number of cells."""
        for _ in range(MAX_DRAWS):
            made = self._mutated(design, rng)
            if made is not None and made.architecture_id != design.architecture_id:
                return made
        return design

    def cross(self, one: Design, other: Design, rng: np.random.Generator) -> Design:
        """Return a design whose every size, and every cell with its threshold, is that of one of the two."""
        pair = (one, other)
        cells = list(_one(rng, pair).cells)
        thresholds = [PLAIN_THRESHOLD] * len(cells)
        for number in range(len(cells)):
            from_ = _one(rng, [parent for parent in pair if number < len(parent.cells)])
            cells[number], thresholds[number] = from_.cells[number], threshold_of(from_, number)
        axes = {name: getattr(_one(rng, pair), name) for name in SIZES}
        axes["bits"] = one.bits if one.bits == other.bits else _one(rng, pair).bits
        axes["thresholds"] = tuple(thresholds)
        return self._design(cells, self._with_hidden(axes, pair, rng)) or one

    def _cell(self, rng: np.random.Generator) -> Cell:
        return _one(rng, self.forms[_one(rng, sorted(self.forms))])

    def _mutated(self, design: Design, rng: np.random.Generator) -> Design | None:
        cells, axes = list(design.cells), {name: getattr(design, name) for name in (*AXES, "thresholds")}
        if rng.random() < CELL_SHARE:
            at = int(rng.integers(len(cells)))
            edge = _one(rng, FORWARD_EDGES)
            changed = Cell.of({**cells[at].ops(), edge: _one(rng, (ZEROIZE, *self.ops))})
            if not changed.live():
                return None
            cells[at] = self.plainest[form(changed)]
            return self._design(cells, axes)
        names = [name for name in ("cells", *AXES, "thresholds") if len(getattr(self, name)) > 1]
        name = _one(rng, names or ["cells"])
        thresholds = [threshold_of(design, number) for number in range(len(cells))]
        if name == "cells":
            number = _step(self.cells, len(cells), rng)
            thresholds = thresholds[:number] + list(self._thresholds(number - len(cells), rng))
            cells = cells[:number] + [self._cell(rng) for _ in range(number - len(cells))]
            axes["thresholds"] = tuple(thresholds)
        elif name == "thresholds":
            at = int(rng.integers(len(cells)))
            thresholds[at] = _step(self.thresholds, thresholds[at], rng)
            axes["thresholds"] = tuple(thresholds)
        elif name in NAMED:
            axes[name] = _one(rng, getattr(self, name))
        elif axes[name]:
            axes[name] = _step(getattr(self, name), axes[name], rng)
        return self._design(cells, self._with_hidden(axes, (design,), rng))

    def _thresholds(self, cells: int, rng: np.random.Generator) -> tuple[float, ...]:
        """Draw one for each of so many cells; nothing is drawn where there is no choice."""
        if len(self.thresholds) == 1:
            return self.thresholds * max(cells, 0)
        return tuple(_one(rng, self.thresholds) for _ in range(cells))

    def _with_hidden(self, axes: dict[str, Any], parents: Sequence[Design], rng: np.random.Generator) -> dict[str, Any]:
        """A head that has hidden neurons takes a parent's number, or draws one."""
        known = [parent.hidden for parent in parents if parent.hidden]
        return {**axes, "hidden": axes["hidden"] or (known[0] if known else _one(rng, self.hidden))}

    def _design(self, cells: Sequence[Cell], axes: Mapping[str, Any]) -> Design | None:
        hidden = 0 if axes["head"] == "linear" else axes["hidden"]
        try:
            return Design(SPACE, tuple(cells), **{**axes, "hidden": hidden})
        except UsageError:  # one cell without a convolution
            return None


def reduced(space: DesignSpace, **pinned: Any) -> DesignSpace:
    """Return the space with axes of one choice: what is given is not searched. None: as it was."""
    return replace(space, **{name: (value,) for name, value in pinned.items() if value is not None})


def _one(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def threshold_of(design: Design, number: int) -> float:
    """The threshold of cell ``number`` of a design, counted from 0."""
    return design.thresholds[number] if design.thresholds else PLAIN_THRESHOLD


def _step(choices: Sequence[Any], value: Any, rng: np.random.Generator) -> Any:
    """A neighbour of ``value`` among ascending choices."""
    at = min(range(len(choices)), key=lambda k: abs(choices[k] - value))
    return choices[int(np.clip(at + _one(rng, (-1, 1)), 0, len(choices) - 1))]
