"""Runs beside each other: their figures, what was asked of them, where they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import SnnasError, UsageError
from snnas.hw_sim.files import write_text
from snnas.toolchain.html import figures_cell
from snnas.toolchain.html.bands import Row, bars
from snnas.toolchain.html.material import DAMAGE, Material, Missing
from snnas.toolchain.html.page import document, guarded
from snnas.toolchain.html.tables import PROVENANCE, rows_of
from snnas.toolchain.output import silence
from snnas.toolchain.output.markup import Raw, el, figure, join, note, row_name, table
from snnas.toolchain.output.report import percent, short
from snnas.toolchain.output.svg import Key, Plane, around, clip, dot, legend, text
from snnas.toolchain.runs.run import Run

SCHEMA = "snnas.report.comparison/1"
MOST = 12
# What two runs never share, and what came of them.
OWN = ("name", "created_at", "command", "search.", "training.")
# Of an export's inputs; the others are the run's, or hashes.
OF_EXPORT = ("bits", "finetune", "samples")
Several = list[tuple[str, Material]]


def write_comparison(runs: Sequence[Run], path: Path) -> Path:
    """Writes a page that compares 2 to 12 runs, whole or not at all; returns ``path``.

    A run that is not exported, or is damaged, takes part with what it has. UsageError: fewer runs, or more.
    InvalidFileError: a run.toml is damaged.
    """
    several = _several(runs)
    sections: tuple[tuple[str, str, Callable[[Several], Raw]], ...] = (
        ("figures", "Figures", _figures),
        ("pictures", "Pictures", _pictures),
        ("cells", "Cells", _cells),
        ("settings", "Settings that differ", _settings),
    )
    top = join([note(text_, class_="warn") for text_ in _warnings(several)])
    made = [(id_, title, guarded(builder, several)) for id_, title, builder in sections]
    names = ", ".join(name for name, _ in several)
    write_text(path, document(f"{len(several)} runs compared", names, top, made))
    return path


def _several(runs: Sequence[Run]) -> Several:
    """Each run by its name; runs of equal names are numbered."""
    if not 2 <= len(runs) <= MOST:
        raise UsageError(f"{len(runs)} runs to compare; expected 2 to {MOST}")
    found: Several = []
    for run in runs:
        before = sum(material.run.name == run.name for _, material in found)
        material = Material(run)
        material.run.config()  # raises where the run is none
        found.append((f"{run.name} ({before + 1})" if before else run.name, material))
    return found


def _report(material: Material) -> dict[str, Any] | None:
    """The report, or None where there is none that can be shown."""
    try:
        found = material.report
        rows_of(found)
    except (Missing, SnnasError, *DAMAGE):
        return None
    return found


def _warnings(several: Several) -> list[str]:
    """Why figures may not be comparable."""
    found = []
    reports = [r for _, m in several if (r := _report(m)) is not None]
    for what, values in (
        ("data sets", {str(m.section("data").get("sha256", m.section("data").get("name"))) for _, m in several}),
        ("numbers of test samples", {str(r["accuracy"]["samples"]) for r in reports}),
        ("energy profiles", {str(r["energy_uJ"]["profile"]) for r in reports}),
        ("numbers of timesteps", {str(r["timesteps"]) for r in reports}),
    ):
        if len(values) > 1:
            found.append(f"These runs have different {what}: their figures are of different things.")
    return found


def compared(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str], list[list[str]]]:
    """The comparison as plain data, and its figures as text for a terminal: head and rows.

    Of each run its report.json (None where it has none), and what was set otherwise. Raises as ``write_comparison``.
    """
    several = _several(runs)
    figures = {
        "schema": SCHEMA,
        "runs": [{"name": name, "path": str(m.run.path), "report": _report(m)} for name, m in several],
        "differences": _differences(several),
        "warnings": _warnings(several),
    }
    rows = [[label, *map(_text, cells), said] for label, cells, said in _beside(several)]
    return figures, ["", *(name for name, _ in several), "provenance"], rows


Cells = list[tuple[str, str, str] | None]


def _beside(several: Several) -> list[tuple[str, Cells, str]]:
    """(row of the report, what each run has there or None, its provenance)."""
    every = [rows_of(report)[0] if (report := _report(m)) is not None else {} for _, m in several]
    found = []
    for label in _merged([list(rows) for rows in every]):
        said = next(rows[label][2] for rows in every if label in rows)
        provenance = re.split("[,;]", said)[0] if said.startswith(PROVENANCE) else ""
        found.append((label, [rows.get(label) for rows in every], provenance))
    return found


def _merged(orders: Sequence[list[str]]) -> list[str]:
    """All labels once: what only a later one has stands behind what it stands behind there."""
    out: list[str] = []
    for labels in orders:
        for before, label in zip(["", *labels], labels, strict=False):
            if label not in out:
                out.insert(out.index(before) + 1 if before in out else 0, label)
    return out


def _figures(several: Several) -> Raw:
    """The report's rows, a column per run, on target; training beside it where it has a value."""
    lines = [[row_name(label), *map(_cell, cells), said] for label, cells, said in _beside(several)]
    if not lines:
        return note("None of these runs is exported: snnas export RUN --target lava", class_="missing")
    absent = [name for name, m in several if _report(m) is None]
    missing = note(f"Not exported, or not readable: {', '.join(absent)}") if absent else None
    words = "On target; before an arrow, in training. A band is low .. nominal .. high."
    head = ["", *(name for name, _ in several), "provenance"]
    return join(note(words), missing, table(head, lines, label="figures", class_="several"))


def _cell(row: tuple[str, str, str] | None) -> Raw | str:
    both = row is not None and row[0] and row[1]
    return join(el("span", f"{row[0]} → ", class_="before"), row[1]) if row and both else _text(row)


def _text(row: tuple[str, str, str] | None) -> str:
    return " -> ".join(filter(None, row[:2])) if row else "-"


def _pictures(several: Several) -> Raw:
    reports = [(name, r) for name, m in several if (r := _report(m)) is not None]
    if not reports:
        return note("Nothing to draw: none of these runs is exported.", class_="missing")
    accuracy, sar = [], []
    for name, r in reports:
        a, s = r["accuracy"], r["sar"]
        if silence.why_none(silence.of(r, "on_target")) is None:
            (low, high), right = map(float, a["interval"]), float(a["on_target"])
            accuracy.append(Row(clip(name), low, right, high, percent(right), float(a["training"])))
        sar.append(Row(clip(name), None, s["on_target"], None, f"{s['on_target']:.4f}", s["training"]))
    title, unit = "Accuracy on target", "share right; 95 % interval"
    figures = [
        _rows(title, unit, accuracy, ring=True, scale=_scale(accuracy)) if accuracy else None,
        _rows("Energy", "uJ per inference, estimated", _bands((n, r["energy_uJ"]["total"]) for n, r in reports)),
        _rows("Latency", "us per inference, estimated", _bands((n, r["latency_us"]) for n, r in reports)),
        _rows("Spiking activity rate", "spikes / (neurons x timesteps)", sar, ring=True),
        _plane(reports),
    ]
    return el("div", figures, class_="grid")


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    low, high = around([v for row in rows for v in row.values])
    return max(0.0, low), min(1.0, high) if high > low else 1.0


def _bands(bands: Iterable[tuple[str, dict[str, Any]]]) -> list[Row]:
    return [Row.of(clip(n), b, short(b["nominal"])) for n, b in bands]


def _rows(
    title: str, unit: str, rows: Sequence[Row], *, ring: bool = False, scale: tuple[float, float] | None = None
) -> Raw:
    """scale: of shares, whose band is drawn too."""
    share = scale is not None
    drawn = bars(title, unit, rows, left=132, right=56, scale=scale, percent=share)
    on_target = Key("on target (simulated)", "band c1" if share else "c1", -1)
    keys = legend(on_target, Key("in training (measured)", "c2", 2, line=False)) if ring else None

    def said(value: float | None) -> str:
        return "-" if value is None else percent(value) if share else short(value)

    lines = [(r.name, said(r.low), said(r.nominal), said(r.high), said(r.beside)) for r in rows]
    data = table(("run", "low", "value", "high", "in training"), lines, label=title)
    return figure(title, join(keys, drawn), data=data)


def _plane(reports: Sequence[tuple[str, dict[str, Any]]]) -> Raw:
    """Accuracy on target against energy; the numbers are the runs in their order."""
    points = [
        (k, name, float(r["energy_uJ"]["total"]["nominal"]), float(r["accuracy"]["on_target"]))
        for k, (name, r) in enumerate(reports, start=1)
        if r["energy_uJ"]["total"]["nominal"] is not None
    ]
    title = "Accuracy and energy"
    if not points:
        return note("No run has an energy.")
    plane = Plane(around([p[2] for p in points], room=0.15), around([p[3] for p in points], room=0.15))
    plane.axes("energy, uJ / inference, nominal", "accuracy on target", percent=True)
    for k, name, energy, accuracy in points:
        x, y = plane.at(energy, accuracy)
        plane.parts += [dot(x, y, "c1", size=4, hint=name), text(x + 7, y - 6, str(k), class_="tick")]
    rows = [(str(k), name, short(energy), percent(accuracy)) for k, name, energy, accuracy in points]
    data = table(("", "run", "energy, uJ", "accuracy"), rows, label=title, left=2)
    said = "; ".join(f"{k}: {name}" for k, name, _, _ in points)
    return figure(title, plane.draw(title, f"{len(points)} runs"), said, data=data)


def _cells(several: Several) -> Raw:
    shown = [el("div", el("h3", el("bdi", name)), guarded(figures_cell.cells, m)) for name, m in several]
    return el("div", shown, class_="grid")


def _settings(several: Several) -> Raw:
    """run.toml and the exports, where they are not the same in all."""
    found = _differences(several)
    if not found:
        return note("None: the same settings, seeds and versions.")
    rows = [(key, *("-" if v is None else str(v)[:120] for v in values)) for key, values in found.items()]
    return table(["", *(name for name, _ in several)], rows, label="settings", left=1 + len(several))


def _differences(several: Several) -> dict[str, list[Any]]:
    """Settings of runs and exports that are not the same in all: the value of each run, None where it has none."""
    flat = [_flat({**material.config, "export": _asked_of_export(material)}) for _, material in several]
    keys = [key for key in dict.fromkeys(k for f in flat for k in f) if not key.startswith(OWN)]
    found = {key: [f.get(key) for f in flat] for key in keys}
    return {key: values for key, values in found.items() if len({repr(value) for value in values}) > 1}


def _asked_of_export(material: Material) -> dict[str, Any]:
    """What an export was asked for that the run does not say."""
    try:
        asked = material.manifest["inputs"]
        return {key: asked[key] for key in OF_EXPORT if key in asked}
    except (Missing, SnnasError, *DAMAGE):
        return {}


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for section, values in config.items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            found[f"{section}.{key}" if key else section] = value
    return found
