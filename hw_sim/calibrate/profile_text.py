"""The profile that a calibration writes: what ``load_profile`` reads, every constant measured."""

from __future__ import annotations

from typing import Any

import tomli_w

from snnas.hw_sim.calibrate.calibration import Calibration
from snnas.hw_sim.calibrate.fit import LEVEL
from snnas.hw_sim.calibrate.plan import Plan
from snnas.hw_sim.energy.profile import UNITS

DIGITS = 6  # of a figure that a meter gave


def profile_table(name: str, found: Calibration, plan: Plan, log_sha256: str, year: int) -> dict[str, Any]:
    """The table of a profile called ``name``; year: of the measurement."""
    readings = sum(found.repeats.values())
    source = (
        f"snnas calibrate: {readings} readings of {len(found.repeats)} probes planned on {plan.profile}; log.csv "
        f"sha256 {log_sha256[:16]}"
    )
    unpriced = ", ".join(key.removeprefix("energy.") for key in (*plan.untold, *found.untold))
    banner = f"measured by its owner; held-out error {found.held_out:.1%}"
    table: dict[str, Any] = {
        "name": name,
        "version": 1,
        "scope": "per_term",
        "banner": banner + (f"; no probe tells {unpriced}" if unpriced else ""),
    }
    for part in (found.energy, found.time):
        for key, value, low, high in zip(part.keys, part.values, part.low, part.high, strict=True):
            section, constant = key.split(".")
            low, value, high = (float(f"{x:.{DIGITS}g}") for x in (low, value, high))
            table.setdefault(section, {})[constant] = {
                "value": value,
                "low": low,
                "high": high,
                "unit": UNITS[key],
                "node": "",
                "volt": 0.0,
                "year": year,
                "basis": "measured",
                "source": source,
                "note": f"low and high: a {LEVEL:.0%} bootstrap interval",
            }
    return table


def profile_text(table: dict[str, Any]) -> str:
    """As TOML."""
    return tomli_w.dumps(table)
