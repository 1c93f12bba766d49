"""Rows of low .. nominal .. high on one scale: what an estimate or an interval looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnas.toolchain.output.svg import WIDTH, Picture, box, brief, dot, picture, rule, text, ticks

HEIGHT = 26.0


@dataclass(frozen=True, slots=True)
class Row:
    """A band and its value; None where there is none. said: how it is written. beside: a second value, as a ring."""

    name: str
    low: float | None
    nominal: float | None
    high: float | None
    said: str = ""
    beside: float | None = None
    heavy: bool = False

    @classmethod
    def of(cls, name: str, band: Mapping[str, float | None], said: str, *, heavy: bool = False) -> Row:
        """band: ``low``, ``nominal`` and ``high``."""
        return cls(name, band["low"], band["nominal"], band["high"], said, heavy=heavy)

    @property
    def values(self) -> list[float]:
        return [v for v in (self.low, self.nominal, self.high, self.beside) if v is not None]


def bars(
    title: str,
    unit: str,
    rows: Sequence[Row],
    *,
    left: float,
    right: float,
    scale: tuple[float, float] | None = None,
    percent: bool = False,
) -> Picture:
    """left, right: room for names and for what is said. scale: else from 0 to the largest value."""
    low, top = scale or (0.0, max([v for row in rows for v in row.values], default=0.0) * 1.02 or 1.0)
    height = HEIGHT * len(rows) + 40

    def x(value: float) -> float:
        return left + (value - low) / (top - low) * (WIDTH - left - right)

    parts = []
    for value in ticks(low, top, 4):
        parts.append(rule(x(value), 4, x(value), height - 32, "guide"))
        said = f"{100 * value:.4g} %" if percent else brief(value)
        parts.append(text(x(value), height - 18, said, at="middle", class_="tick"))
    parts.append(text(WIDTH - right, height - 3, unit, at="end", class_="name"))
    for k, row in enumerate(rows):
        y = 4 + HEIGHT * (k + 0.5)
        heavy = "strong" if row.heavy else None
        parts.append(text(left - 8, y + 4, row.name, at="end", class_=heavy))
        if row.nominal is None:
            parts.append(text(left + 4, y + 4, row.said or "no value", class_="tick"))
            continue
        if row.low is not None and row.high is not None:
            parts.append(box(x(row.low), y - 6, max(1.5, x(row.high) - x(row.low)), 12, "band c1"))
        parts.append(rule(x(row.nominal), y - 9, x(row.nominal), y + 9, "mark c1"))
        if row.beside is not None:
            parts.append(dot(x(row.beside), y, "c2", kind=2, size=4))
        parts.append(text(WIDTH, y + 4, row.said, at="end", class_=heavy))
    return picture(title, "; ".join(f"{row.name}: {row.said or 'no value'}" for row in rows), height, parts)
