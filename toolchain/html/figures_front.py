"""The front of a search: what its networks were worth before training, and what the trained ones came to."""

from __future__ import annotations

import math
from typing import Any

from toolchain.html.markup import Raw, el, figure, join, note, table
from toolchain.html.material import Material, finite
from toolchain.html.svg import Key, Plane, around, dot, legend, path, text, thinned
from toolchain.report import percent, short

CANDIDATES = 800
POINTS = 100
NAMES = {"energy_total": "energy, uJ / inference", "latency": "latency, us"}


def section(material: Material) -> Raw:
    """Two figures: the choice, and accuracy against the first other objective; and the points as a table."""
    front = material.front
    others = [str(n) for n in front.get("objectives", ()) if n != "score"] or ["energy_total"]
    name, every = others[0], [p for p in front["points"] if isinstance(p, dict)]
    points = [every[k] for k in thinned(len(every), POINTS)]
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
    head = ["point", "architecture", "score", *(f"{_named(o)}, predicted" for o in others), "validation", "on target"]
    head += [*(f"{_named(o)}, measured" for o in others), "beaten"]
    found = front.get("rank_correlation")
    ranks = None
    if isinstance(found, dict):
        shown = ", ".join(f"{k} {finite(v):.2f}" for k, v in found.items() if math.isfinite(finite(v)))
        ranks = note(f"Spearman's rank correlation of predicted and measured: {shown}.") if shown else None
    return join(note(words), el("div", figures, class_="grid"), table(head, rows, label="front", left=2), ranks)


def _named(name: str) -> str:
    return NAMES.get(name, name)


def _cost(cost: Any, name: str) -> float:
    """A cost's nominal value; nan where it has none."""
    if not isinstance(cost, dict):
        return math.nan
    if name in ("energy_total", "latency"):
        band = cost.get("energy_uJ" if name == "energy_total" else "latency_us")
        return finite(band.get("nominal")) if isinstance(band, dict) else math.nan
    figures = cost.get("figures")
    return finite(figures.get(name)) if isinstance(figures, dict) else math.nan


def _row(point: dict[str, Any], others: list[str]) -> list[str]:
    measured, beaten = point.get("measured"), point.get("beaten")
    accuracy = finite(measured.get("accuracy")) if isinstance(measured, dict) else math.nan
    known, checked = math.isfinite(accuracy), finite(point.get("validation_accuracy"))
    row = [str(point.get("n")), str(point.get("architecture")), f"{finite(point.get('score')):.5g}"]
    row += [_value(_cost(point.get("predicted"), o)) for o in others]
    row += [percent(checked) if math.isfinite(checked) else "-", percent(accuracy) if known else "-"]
    row += [_value(_cost(measured, o)) for o in others]
    return [*row, {True: "yes", False: "no"}.get(beaten, "-") if isinstance(beaten, bool) else "-"]


def _value(value: float) -> str:
    return short(value) if math.isfinite(value) else "-"


def _chosen(front: dict[str, Any], points: list[dict[str, Any]], name: str) -> Raw:
    """Score against the predicted cost: all candidates, and the points."""
    every = [(finite(c[1]), finite(c[0])) for c in front.get("candidates", ()) if len(c) > 1]
    every = [(x, y) for x, y in every if math.isfinite(x) and math.isfinite(y)]
    some = [every[k] for k in thinned(len(every), CANDIDATES)]
    line = sorted((_cost(p.get("predicted"), name), finite(p.get("score"))) for p in points)
    line = [(x, y) for x, y in line if math.isfinite(x) and math.isfinite(y)]
    plane = Plane(around([x for x, _ in some + line]), around([y for _, y in some + line]))
    plane.axes(f"{_named(name)}, predicted", "score")
    plane.parts += [dot(*plane.at(x, y), "c6 light", size=2) for x, y in some]
    plane.line([x for x, _ in line], [y for _, y in line], "c1")
    title = "The choice"
    few = f"Thinned: {len(some)} of {len(every)} networks drawn." if len(some) < len(every) else None
    names = legend(Key("a scored network", "c6", line=False), Key("a point of the front", "c1"))
    drawn = plane.draw("Front before training", f"{len(line)} points before {len(every)} candidates")
    data = table((_named(name), "score"), [(f"{x:.5g}", f"{y:.5g}") for x, y in line], label=title)
    return figure("Before training: score and predicted cost", join(names, drawn), few, data=data)


def _measured(trained: list[dict[str, Any]], name: str) -> Raw:
    """Accuracy on target against the measured cost; the band of the cost as a bar."""
    found = [(p, _cost(p["measured"], name), finite(p["measured"].get("accuracy"))) for p in trained]
    found = [(p, x, y) for p, x, y in found if math.isfinite(x) and math.isfinite(y)]
    plane = Plane(around([x for _, x, _ in found], room=0.1), around([y for _, _, y in found], room=0.1))
    plane.axes(f"{_named(name)}, measured", "accuracy on target", percent=True)
    best = sorted((x, y) for p, x, y in found if not p.get("beaten"))
    steps = [at for k, (x, y) in enumerate(best) for at in ([(x, best[k - 1][1])] if k else []) + [(x, y)]]
    if len(steps) > 1:
        plane.parts.append(path([plane.at(x, y) for x, y in steps], "line c1"))
    for p, x, y in found:
        px, py = plane.at(x, y)
        plane.parts.append(dot(px, py, "c6" if p.get("beaten") else "c1", kind=2 if p.get("beaten") else 0, size=4))
        plane.parts.append(text(px + 7, py - 6, str(p.get("n")), class_="tick"))
    samples = trained[0]["measured"].get("samples")
    names = legend(Key("beaten by none", "c1"), Key("beaten", "c6", 2, line=False))
    drawn = plane.draw("Front after training", f"{len(found)} trained points")
    rows = [(str(p.get("n")), f"{x:.5g}", percent(y)) for p, x, y in found]
    data = table(("point", _named(name), "accuracy on target"), rows, label="trained points")
    notes = f"Numbers are points of the table. Accuracy on {samples} validation samples; nominal costs."
    return figure("After training: accuracy and measured cost", join(names, drawn), notes, data=data)
