"""The figures of an export made again, and what a limit binds on.

Nothing of report.json or of the manifest goes into them. What the report says besides, of more samples or where the
program cannot be run here, is *claimed*: a limit binds on it only where the caller trusts the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.hw_sim.energy.latency import Latency
from snnas.hw_sim.energy.price import Bill
from snnas.hw_sim.energy.profile import Band
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.searching.budgets import GATED

FEW = 100  # samples below which an accuracy that nobody has pinned binds on the lower end of its interval
OF_SAMPLES = frozenset({"accuracy", "sar", "spikes", "synops", "energy_total", "energy_dynamic", "latency"})
OF_SAMPLES |= {"instructions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Figures of a subject, by metric of ``budgets.GATED``.

    intervals: 95 %, over the samples. bands: of figures that are the upper end of one, by the constants that price.
    claimed: what the report alone says, with why no better is had. samples: that the figures are of; reported: that the
    report's are of, 0 where it does not say. judged: the samples themselves. why: there are no figures. elsewhere: on
    another system than the report is of. recorded: the first figure of the report that is not what was measured, in
    words.
    """

    figures: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    bands: dict[str, Band] = field(default_factory=dict)
    claimed: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    reported: int = 0
    judged: Samples | None = None
    why: str = ""
    recorded: str | None = None
    elsewhere: bool = False

    def binding(self, name: str, *, trusted: bool, pinned: bool) -> tuple[float | None, str]:
        """What a limit of ``name`` binds on, and how that is to be told.

        pinned: the caller has named the samples. Of fewer than the report's, or of few that nobody has named, a limit
        from below binds on the lower end of the interval: no easy sample passes by itself.
        """
        value, fewer = self.figures.get(name), self.samples < self.reported
        if trusted and name in self.claimed and (value is None or fewer):
            return self.claimed[name], f" (claimed by report.json, of {self.reported} samples)"
        few = fewer or (not pinned and self.samples < FEW)
        if value is None or name not in self.intervals or not few:
            return value, ""
        low, high = self.intervals[name]
        of = f"{low:.4g} to {high:.4g}, of {self.samples} samples"
        of += f"; the report's {self.reported} are not here" if fewer else ""
        return (low, f" (lower end of {of})") if GATED[name].least else (value, f" ({of})")


def bands_of(bill: Bill | None, latency: Latency | None) -> dict[str, Band]:
    """The bands of what has a price or a time, by metric, in the metric's unit."""
    found = {
        "energy_total": bill.total if bill else None,
        "energy_dynamic": bill.dynamic if bill else None,
        "latency": latency.inference_us if latency else None,
    }
    return {name: band for name, band in found.items() if band is not None}


def leaf(tree: Any, path: tuple[str, ...]) -> Any:
    """What nested tables hold there; None where there is nothing."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def number(tree: Any, path: tuple[str, ...]) -> float | None:
    """A finite number of nested tables; None for anything else."""
    found = leaf(tree, path)
    return float(found) if type(found) in (int, float) and np.isfinite(found) else None
