"""What ``snnas diagnose`` kept in the run: where spikes part, what is made there, and what each loss is worth."""

from __future__ import annotations

from typing import Any

from snnas.toolchain.diagnosing import view
from snnas.toolchain.diagnosing.picture import made_here, means, over_time
from snnas.toolchain.html.material import Material
from snnas.toolchain.html.panels import panel_figure
from snnas.toolchain.output.heat import TIMESTEPS
from snnas.toolchain.output.markup import Raw, el, join, note, table
from snnas.toolchain.output.svg import thinned


def section(material: Material) -> Raw:
    """Faults, divergence over depth and time, and causes, of the diagnosis of this very program."""
    found = material.diagnosis
    rows, steps = found["divergence"]["populations"], int(found["divergence"]["timesteps"])
    said = [note(view.headline(found) + ".")]
    said += [note(_sentence(words)) for words in (view.never_fired(found), view.beside(found)) if words]
    if found["faults"]:
        said.append(_faults(found))
    if found["first"] is not None:
        said.append(note(_sentence(view.first_difference(found["first"]))))
    if found["smallest"] is not None:
        said.append(note(_sentence(view.smallest_input(found["smallest"]))))
    drawn = [_over_time(rows, steps), _made_here(rows)] if rows else []
    return join(said, el("div", drawn, class_="grid"), _causes(found), _mends(found))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _faults(found: dict[str, Any]) -> Raw:
    rows = []
    for fault in found["faults"]:
        place = f"{fault['where']}: " if fault["where"] else ""
        mended = fault["mended"]
        worth = f"{mended['points']:+.2f}" if "points" in mended else "-"
        rows.append((str(fault["population"]), str(fault["kind"]), f"{place}{fault['text']}", worth))
    head = ("population", "fault", "what", "points if mended")
    return table(head, rows, label="numbers that are not the graph's", left=3)


def _over_time(rows: list[dict[str, Any]], steps: int) -> Raw:
    drawn, panel = thinned(steps, TIMESTEPS), over_time(rows, steps)
    numbers = [(str(r["population"]), *(f"{float(r['fraction'][t]):.4%}" for t in drawn)) for r in rows]
    return panel_figure(panel, table(("population", *(f"t = {t}" for t in drawn)), numbers, label=panel.title))


def _made_here(rows: list[dict[str, Any]]) -> Raw:
    panel = made_here(rows)
    numbers = [(name, f"{whole:.4%}", f"{own:.4%}") for name, (whole, own) in means(rows).items()]
    return panel_figure(panel, table(("population", "differing", "made here"), numbers, label=panel.title))


def _causes(found: dict[str, Any]) -> Raw:
    """Each loss of the way to integers, switched alone."""
    unit, rows = view.unit(found), []
    for row in found["causes"]:
        cells = []
        for side in (row["off_alone"], row["on_alone"]):
            there = "points" in side
            cells += [f"{side['points']:+.2f}", f"{side['differing_fraction']:.3%}"] if there else ["not run", "-"]
        rows.append((str(row["cause"]), str(row["meaning"]), *cells))
    head = ("cause", "is", f"off alone: {unit}", "differing", f"on alone: {unit}", "differing")
    words = "Off alone: the program with this loss mended everywhere. On alone: the graph with this loss and no other. "
    return join(el("h3", "Causes"), note(words, _sentence(found["note"])), table(head, rows, label="causes", left=2))


def _mends(found: dict[str, Any]) -> Raw:
    """What was compiled and run otherwise, and gave something back; a diagnosis of an earlier release has none."""
    share = "accuracy" if found["labels"] else "agreement"
    rows = [(str(m["text"]), str(m["cause"]), f"{m[share]:.2%}", f"{m['points']:+.2f}") for m in found.get("mends", [])]
    if not rows:
        return join()
    head = ("mend", "of", share, "points")
    words = "Compiled and run on the diagnosed samples; what gives nothing back is not listed."
    return join(el("h3", "Mends"), note(words), table(head, rows, label="mends", left=2))
