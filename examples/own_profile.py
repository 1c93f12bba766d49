"""Prices of a chip of your own: writes chip.toml and prices an export with it: python own_profile.py EXPORT [FOLDER]"""

import sys
from pathlib import Path

import tomli_w

import snnas

if len(sys.argv) < 2:
    sys.exit("usage: python own_profile.py EXPORT [FOLDER], of a folder EXPORT that snnas export wrote")
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")


def constant(value: float, low: float, high: float, unit: str) -> dict[str, object]:
    """A constant with its range and where it comes from; the figures here are invented."""
    where = {"node": "28 nm", "volt": 0.9, "year": 2026, "basis": "measured", "source": "bench log of 3 March"}
    return {"value": value, "low": low, "high": high, "unit": unit, **where}


profile = {
    "name": "mychip",
    "version": 1,
    "scope": "per_term",
    "energy": {
        "synop": constant(8.0, 7.0, 10.0, "pJ"),
        "update_active": constant(20.0, 18.0, 25.0, "pJ"),
        "update_idle": constant(4.0, 3.0, 6.0, "pJ"),
    },
}
(folder / "chip.toml").write_text(tomli_w.dumps(profile))

export = snnas.load(sys.argv[1])
assert isinstance(export, snnas.Export)
energy = export.estimate(profile=str(folder / "chip.toml")).figures["energy_uJ"]
print(f"{energy['profile']}: dynamic {energy['dynamic']} uJ, evidence: {energy['evidence']}")
print("not priced:", ", ".join(entry["item"] for entry in energy["unpriced"]))
