"""The front of a search: what its networks were worth before training, and what the trained ones came to."""

from __future__ import annotations

import math
from typing import Any

from snnas.toolchain.html.material import Material
from snnas.toolchain.html.panels import panel_figure
from snnas.toolchain.output.markup import Raw, el, join, note, table
from snnas.toolchain.output.report import percent, short
from snnas.toolchain.output.svg import finite, picked
from snnas.toolchain.searching.front_picture import chosen, chosen_line, cost, measured, named, placed

POINTS = 100


def section(material: Material) -> Raw:
    """Two figures: the choice, and accuracy against the first other objective; and the points as a table."""
    front = material.front
    others = [str(n) for n in front.get("objectives", ()) if n != "score"] or ["energy_total"]
    name, every = others[0], [p for p in front["points"] if isinstance(p, dict)]
    points = picked(every, POINTS)
    trained = [p for p in points if isinstance(p.get("measured"), dict)]
    words = f"{len(every)} points, of {front.get('priced', '?')} networks that the search scored and priced. "
    words += "Before training costs are predicted; after it they are those of the program on the validation split "
    words += "(simulated and estimated): no test sample orders a front."
    if len(points) < len(every):
        words += f" Thinned: {len(points)} of them are shown."
    figures = [_chosen(front, points, name)]
    if trained:
        figures.append(_measured(trained, name))
    else:
        figures.append(note("None of its points is trained yet."))
    rows = [_row(p, others) for p in points]
    head = ["point", "architecture", "score", *(f"{named(o)}, predicted" for o in others), "validation", "on target"]
    head += [*(f"{named(o)}, measured" for o in others), "beaten"]
    found = front.get("rank_correlation")
    ranks = None
    if isinstance(found, dict):
        shown = ", ".join(f"{k} {finite(v):.2f}" for k, v in found.items() if math.isfinite(finite(v)))
        ranks = note(f"Spearman's rank correlation of predicted and measured: {shown}.") if shown else None
    return join(note(words), el("div", figures, class_="grid"), table(head, rows, label="front", left=2), ranks)


def _row(point: dict[str, Any], others: list[str]) -> list[str]:
    after, beaten = point.get("measured"), point.get("beaten")
    accuracy = finite(after.get("accuracy")) if isinstance(after, dict) else math.nan
    known, checked = math.isfinite(accuracy), finite(point.get("validation_accuracy"))
    row = [str(point.get("n")), str(point.get("architecture")), f"{finite(point.get('score')):.5g}"]
    row += [_value(cost(point.get("predicted"), o)) for o in others]
    row += [percent(checked) if math.isfinite(checked) else "-", percent(accuracy) if known else "-"]
    row += [_value(cost(after, o)) for o in others]
    return [*row, {True: "yes", False: "no"}.get(beaten, "-") if isinstance(beaten, bool) else "-"]


def _value(value: float) -> str:
    return short(value) if math.isfinite(value) else "-"


def _chosen(front: dict[str, Any], points: list[dict[str, Any]], name: str) -> Raw:
    """Score against the predicted cost: all candidates, and the points."""
    rows = [(f"{x:.5g}", f"{y:.5g}") for x, y in chosen_line(points, name)]
    return panel_figure(chosen(front, points, name), table((named(name), "score"), rows, label="The choice"))


def _measured(trained: list[dict[str, Any]], name: str) -> Raw:
    """Accuracy on target against the measured cost."""
    rows = [(str(p.get("n")), f"{x:.5g}", percent(y)) for p, x, y in placed(trained, name)]
    head = ("point", named(name), "accuracy on target")
    return panel_figure(measured(trained, name), table(head, rows, label="trained points"))
