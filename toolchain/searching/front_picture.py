"""A front as pictures: what its networks were worth before training, and what the trained ones came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.output.drawing import Panel, write_drawing
from snnas.toolchain.output.svg import Key, Plane, around, dot, finite, path, rule, text, thinned

Points = Sequence[dict[str, Any]]  # of front.json, which may be damaged: what is no number is drawn nowhere
CANDIDATES = 800
NAMES = {"energy_total": "energy, uJ / inference", "latency": "latency, us"}
CHOSEN, TRAINED = "Before training: score and predicted cost", "After training: accuracy and measured cost"


def write_picture(front: dict[str, Any], file: Path) -> None:
    """Draw both as an .svg; of several objectives the first after the score is drawn."""
    name = next(name for name in front["objectives"] if name != "score")
    panels = [chosen(front, front["points"], name)]
    trained = [p for p in front["points"] if p["measured"] is not None]
    if trained:
        panels.append(measured(trained, name, intervals=True))
    write_drawing(file, f"{front['run']}: front of {front['priced']} networks", panels)


def named(metric: str) -> str:
    return NAMES.get(metric, metric)


def cost(found: Any, metric: str) -> float:
    """A cost's nominal value; nan where it has none."""
    if not isinstance(found, dict):
        return math.nan
    if metric in NAMES:
        band = found.get("energy_uJ" if metric == "energy_total" else "latency_us")
        return finite(band.get("nominal")) if isinstance(band, dict) else math.nan
    figures = found.get("figures")
    return finite(figures.get(metric)) if isinstance(figures, dict) else math.nan


def chosen_line(points: Points, metric: str) -> list[tuple[float, float]]:
    """Predicted cost and score of the points that have both, by cost."""
    line = sorted((cost(p.get("predicted"), metric), finite(p.get("score"))) for p in points)
    return [(x, y) for x, y in line if math.isfinite(x) and math.isfinite(y)]


def chosen(front: dict[str, Any], points: Points, metric: str) -> Panel:
    """Score against the predicted cost: all candidates, and the points."""
    every = [(finite(c[1]), finite(c[0])) for c in front.get("candidates", ()) if len(c) > 1]
    every = [(x, y) for x, y in every if math.isfinite(x) and math.isfinite(y)]
    some = [every[k] for k in thinned(len(every), CANDIDATES)]
    line = chosen_line(points, metric)
    plane = Plane(around([x for x, _ in some + line]), around([y for _, y in some + line]))
    plane.axes(f"{named(metric)}, predicted", "score")
    plane.parts += [dot(*plane.at(x, y), "c6 light", size=2) for x, y in some]
    plane.line([x for x, _ in line], [y for _, y in line], "c1")
    few = f"Thinned: {len(some)} of {len(every)} networks drawn." if len(some) < len(every) else None
    keys = (Key("a scored network", "c6", line=False), Key("a point of the front", "c1"))
    drawn = plane.draw("Front before training", f"{len(line)} points before {len(every)} candidates")
    return Panel(CHOSEN, drawn, keys, (few,))


def placed(trained: Points, metric: str) -> list[tuple[dict[str, Any], float, float]]:
    """The trained points that have both a measured cost and an accuracy on target, with these."""
    found = [(p, cost(p["measured"], metric), finite(p["measured"].get("accuracy"))) for p in trained]
    return [(p, x, y) for p, x, y in found if math.isfinite(x) and math.isfinite(y)]


def measured(trained: Points, metric: str, *, intervals: bool = False) -> Panel:
    """Accuracy on target against the measured cost. intervals: with Wilson's 95 % of the accuracies."""
    found, samples = placed(trained, metric), trained[0]["measured"].get("samples")
    spans = [wilson(round(y * samples), samples) for _, _, y in found] if intervals else []
    heights = [y for _, _, y in found] + [end for span in spans for end in span]
    plane = Plane(around([x for _, x, _ in found], room=0.1), around(heights, room=0.1))
    plane.axes(f"{named(metric)}, measured", "accuracy on target", percent=True)
    for (p, x, _), (low, high) in zip(found, spans, strict=False):
        ends = plane.at(x, low), plane.at(x, high)
        plane.parts.append(rule(*ends[0], *ends[1], f"mark whisker {'c6' if p.get('beaten') else 'c1'}"))
    best = sorted((x, y) for p, x, y in found if not p.get("beaten"))
    steps = [at for k, (x, y) in enumerate(best) for at in ([(x, best[k - 1][1])] if k else []) + [(x, y)]]
    if len(steps) > 1:
        plane.parts.append(path([plane.at(x, y) for x, y in steps], "line c1"))
    for p, x, y in found:
        px, py = plane.at(x, y)
        plane.parts.append(dot(px, py, "c6" if p.get("beaten") else "c1", kind=2 if p.get("beaten") else 0, size=4))
        plane.parts.append(text(px + 7, py - 6, str(p.get("n")), class_="tick"))
    keys = (Key("beaten by none", "c1"), Key("beaten", "c6", 2, line=False))
    drawn = plane.draw("Front after training", f"{len(found)} trained points")
    where, bars = ("front.json", " Bars: 95 % intervals.") if intervals else ("the table", "")
    said = f"Numbers are points of {where}. Accuracy on {samples} validation samples; nominal costs.{bars}"
    return Panel(TRAINED, drawn, keys, (said,))
