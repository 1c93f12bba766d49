"""Whether an export that is there already is the one that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, sha256
from snnas.toolchain.output.shown import leaves
from snnas.toolchain.output.stderr import Narrator

Report = dict[str, Any]
Whole = Callable[[Report, Report], bool]
HASH = 64  # characters of a SHA-256, of which a person reads nothing


def reusable(
    final: Path, inputs: Report, narrator: Narrator, *, force: bool, whole: Whole = lambda manifest, report: True
) -> Report | None:
    """The report of a whole export with these inputs; UsageError where one of others would be lost without --force.

    whole: asked with manifest and report, beyond the hashes of the files.
    """
    if not final.exists() or force:
        return None
    try:
        manifest = read_json(final / "manifest.json")
        same = manifest["inputs"] == inputs
        intact = all(sha256(final / name) == value for name, value in manifest["files"].items())
        report: Report = read_json(final / "report.json") if intact else {}
        good = intact and whole(manifest, report)
    except (InvalidFileError, OSError, KeyError, TypeError, AttributeError):
        return None  # damaged: nothing that could be lost
    if not same:
        differs = _difference(manifest["inputs"], inputs)
        raise UsageError(f"{final} holds an export of other inputs ({differs}); overwrite it with --force")
    if good:
        narrator.say(f"  {final} is up to date: its inputs have not changed")
    return report if good else None


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs, by its place in the inputs; short values with both."""
    old, new = (dict(leaves(inputs)) for inputs in (before, now))
    parts = []
    for name in sorted({*old, *new}):
        was, is_ = ("none" if values.get(name) is None else str(values[name]) for values in (old, new))
        if was != is_:
            parts.append(f"{name} {was}, now {is_}" if max(len(was), len(is_)) < HASH else f"other {name}")
    return "; ".join(parts)


def from_report(report: Report) -> dict[str, Any]:
    """What a manifest repeats of the report beside it."""
    figures = {k: report[k] for k in ("accuracy", "sar", "energy_uJ", "latency_us", "resources")}
    return {"schedule": report["schedule"], "checks": report["checks"], "figures": figures}


def says_the_same(manifest: Report, report: Report) -> bool:
    """Whether nobody has edited the manifest's figures, which no hash covers."""
    return all(manifest[name] == value for name, value in from_report(report).items())
