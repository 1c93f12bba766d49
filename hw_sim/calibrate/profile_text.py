"""The profile that a calibration writes: what ``load_profile`` reads, every constant measured."""

from __future__ import annotations

from dataclasses import asdict
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
    taken, unpriced = not_fitted(found, plan)
    banner = f"measured by its owner; held-out error {found.held_out:.1%}"
    banner += f"; as in {plan.profile}, not measured: {_names(taken)}" if taken else ""
    table: dict[str, Any] = {
        "name": name,
        "version": 1,
        "scope": "per_term",
        "banner": banner + (f"; no probe tells {_names(unpriced)}" if unpriced else ""),
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
    for key in taken:
        section, constant = key.split(".")
        entry = asdict(plan.base[key])
        entry["note"] = "; ".join(filter(None, (f"not fitted: as in {plan.profile}", entry["note"])))
        table.setdefault(section, {})[constant] = entry
    return table


def not_fitted(found: Calibration, plan: Plan) -> tuple[list[str], list[str]]:
    """Constants that stay as in the plan's profile, and those of the plan that have no value at all."""
    fitted = {*found.energy.keys, *found.time.keys}
    taken = [key for key in plan.base if key not in fitted]
    return taken, [key for key in dict.fromkeys((*plan.untold, *found.untold)) if key not in taken]


def _names(keys: list[str]) -> str:
    return ", ".join(key.removeprefix("energy.") for key in keys)


def profile_text(table: dict[str, Any]) -> str:
    """As TOML."""
    return tomli_w.dumps(table)
