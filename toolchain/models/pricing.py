"""What chip and prices an estimate is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """profile: a name or a file; None: the system's own. every: all that are shipped too. rate: instead of data."""

    profile: str | None = None
    system: str = "loihi1"
    every: bool = False
    rate: float | None = None
