"""The tables of ``snnas calibrate``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from snnas.toolchain.output.report import short


def planned(result: dict[str, Any]) -> Iterator[Table]:
    """The probes, and what they are to tell."""
    counted = ("cores", "synops", "spikes", "messages")
    probes = Table("probe", *counted, "uJ", "us", title="probes, per inference", title_justify="left")
    for p in result["probes"]:
        counts = (f"{p[name]:,}" for name in counted)
        probes.add_row(p["id"], *counts, short(p["energy_uJ"]), short(p["time_us"]))
    probes.caption = f"uJ and us: as {result['profile']} expects them"
    yield probes
    constants = Table("constant", "unit", "expected", title="to be fitted", title_justify="left")
    for c in result["constants"]:
        constants.add_row(c["constant"], c["unit"], short(c["expected"]))
    if result["untold"]:
        constants.caption = f"no probe tells {', '.join(result['untold'])} on {result['system']}"
    yield constants


def calibrated(result: dict[str, Any]) -> Iterator[Table]:
    """The constants, and how well they foretell the probes."""
    heads = ("constant", "unit", "measured", "95 % interval", "expected")
    constants = Table(*heads, title="measured", title_justify="left")
    for c in result["constants"]:
        interval = " .. ".join(map(short, c["interval"]))
        constants.add_row(c["constant"], c["unit"], short(c["value"]), interval, short(c["expected"]))
    notes = []
    if any(c["interval"][0] == 0 for c in result["constants"]):
        notes.append("an interval from 0: what is so cheap drowns in the meter's noise on these probes")
    if result["untold"]:
        notes.append(f"no probe tells {', '.join(result['untold'])}: left out of the profile")
    if result["taken"]:
        notes.append(f"not measured, as in the plan's profile: {', '.join(result['taken'])}")
    constants.caption = "\n".join(notes) or None
    yield constants
    errors = Table("probe", "readings", "energy", "time", title="each foretold by the others", title_justify="left")
    for row in result["left_out"]:
        time = "" if row["time"] is None else f"{row['time']:+.1%}"
        errors.add_row(row["id"], str(result["probes"][row["id"]]), f"{row['energy']:+.1%}", time)
    errors.add_row("mean of the probes, without sign", str(result["readings"]), f"{result['held_out']:.1%}", "")
    errors.caption = (
        f"residuals: energy {result['residual_energy']:.1%}, time {result['residual_time']:.1%}; condition number "
        f"{result['condition']:.3g}"
    )
    yield errors
