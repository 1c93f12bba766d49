"""What the search and the training did: scores as they were measured, the order of pruning, the curves of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from snnas.search.network.genotype import BACKWARD_EDGES, FORWARD_EDGES, edge_name
from snnas.toolchain.html.material import Material, Missing
from snnas.toolchain.html.panels import panel_figure
from snnas.toolchain.output import svg
from snnas.toolchain.output.drawing import Panel
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table

POINTS = 600  # evaluations that are drawn
ROWS = 200  # rows of a table behind a figure
EPOCHS = 300
ACCURACY = ("Accuracy in training", "train_accuracy", "val_accuracy")


def section(material: Material) -> Raw:
    """Score history, pruning history and what the guards said."""
    records = material.search
    method, found = material.section("method"), material.section("search")
    scored = [r for r in records if r.get("event") == "evaluation"]
    about = [f"Method {method.get('name')}, space {method.get('space')}"]
    if method.get("proxy"):
        about.append(f"proxy {method['proxy']}")
    about.append(f"{len(scored):,} evaluations (measured)")
    if isinstance(found.get("seconds"), (int, float)):
        about.append(f"{found['seconds']:.1f} s on {material.section('versions').get('device')}")
    if not any(math.isfinite(svg.finite(r.get("score"))) for r in scored):
        raise Missing("search.jsonl holds no evaluation with a score.")
    figures = [_scores(scored)]
    removals = [r for r in records if r.get("event") == "removal"]
    if removals:
        figures.append(_pruning(scored, removals))
    return join(note("; ".join(about) + "."), el("div", figures, class_="grid"), _guards(records))


def _guards(records: Sequence[dict[str, Any]]) -> Raw:
    events = [r for r in records if r.get("event") in ("guard", "refusal")]
    if not events:
        return note("No guard fired.")
    rows = [(str(r.get("guard", "refused")), _where(r), str(r.get("text", r.get("reason", "")))) for r in events[:ROWS]]
    more = note(f"The first {ROWS} of {len(events):,} are listed.") if len(events) > ROWS else None
    return join(el("h3", "Guards and refusals"), table(("guard", "where", "what"), rows, label="guards", left=3), more)


def _where(record: dict[str, Any]) -> str:
    return " ".join(str(record[key]) for key in ("round", "edge", "op") if record.get(key) is not None)


def _scores(scored: list[dict[str, Any]]) -> Raw:
    values = [svg.finite(r.get("score")) for r in scored]
    kept = _extremes(values, POINTS)
    plane = svg.Plane((1, max(2, len(values))), svg.around(values))
    plane.axes("evaluation", "score", whole=True)
    starts = [k for k in range(1, len(scored)) if scored[k].get("round") != scored[k - 1].get("round")]
    if len(starts) <= 40:
        for k in starts:
            x = plane.at(k + 0.5, 0)[0]
            plane.parts.append(svg.rule(x, plane.top, x, plane.height - plane.bottom, "guide"))
    best, steps = -math.inf, list[tuple[float, float]]()
    for k, value in enumerate(values, start=1):
        if value > best:
            if steps:
                steps.append(plane.at(k, best))
            best = value
            steps.append(plane.at(k, best))
    if steps:
        steps.append(plane.at(len(values), best))
        plane.parts.append(svg.path(steps, "line c2 dashed"))
    plane.parts += [svg.dot(*plane.at(k + 1, values[k]), "c1", size=2.4) for k in kept if math.isfinite(values[k])]
    unscored = sum(not math.isfinite(v) for v in values)
    rows = [
        (str(k + 1), _where(scored[k]), f"{values[k]:.6g}" if math.isfinite(values[k]) else "none")
        for k in (range(len(scored)) if len(scored) <= ROWS else _extremes(values, ROWS))
    ]
    notes = ["A vertical line begins a new round."] if 0 < len(starts) <= 40 else []
    if len(kept) < len(values):
        notes.append(
            f"Thinned: {len(kept):,} of {len(values):,} evaluations drawn, each stretch's extremes among them."
        )
    if unscored:
        notes.append(f"{unscored} of them could not be run, or are worth -inf: not drawn.")
    drawn = plane.draw("Score history", f"{len(values)} scores from {_least(values):.5g} to {best:.5g}")
    names = svg.legend(svg.Key("score of a candidate", "c1", line=False), svg.Key("best so far", "c2", 2))
    data = table(("evaluation", "candidate", "score"), rows, label="scores", left=2)
    return figure("Score history", join(names, drawn), " ".join(notes), data=data)


def _least(values: Sequence[float]) -> float:
    return min((v for v in values if math.isfinite(v)), default=math.nan)


def _extremes(values: Sequence[float], most: int) -> list[int]:
    """Places of at most ``most`` values: the lowest and the highest of each of equal stretches."""
    if len(values) <= most:
        return list(range(len(values)))
    kept, stretches = set[int](), most // 2
    for k in range(stretches):
        stretch = range(k * len(values) // stretches, (k + 1) * len(values) // stretches)
        known = [i for i in stretch if math.isfinite(values[i])]
        if known:
            kept |= {min(known, key=values.__getitem__), max(known, key=values.__getitem__)}
    return sorted(kept)


def _pruning(scored: Sequence[dict[str, Any]], removals: Sequence[dict[str, Any]]) -> Raw:
    """Edges down, operations across: the round that took each off, or that it stayed."""
    gone = {(str(r["edge"]), str(r["op"])): r for r in removals}
    seen = {(str(r["edge"]), str(r["op"])) for r in scored if r.get("edge") and r.get("op")} | set(gone)
    known = [edge_name(e) for e in (*FORWARD_EDGES, *BACKWARD_EDGES)]
    edges = [e for e in known if any(e == at for at, _ in seen)]
    ops = list(dict.fromkeys(op for _, op in [(str(r.get("edge")), str(r.get("op"))) for r in scored if r.get("op")]))
    rounds = [int(r["round"]) for r in removals if type(r.get("round")) is int]
    last = max(rounds, default=1)
    left, top, high = 58.0, 24.0, 24.0
    wide = (svg.WIDTH - left - 4) / max(1, len(ops))
    parts = [svg.text(left + (k + 0.5) * wide, 14, op, at="middle", class_="name") for k, op in enumerate(ops)]
    rows = []
    for row, edge in enumerate(edges):
        y = top + row * high
        parts.append(svg.text(left - 8, y + 16, edge, at="end"))
        words = [edge]
        for k, op in enumerate(ops):
            taken = gone.get((edge, op))
            number = taken["round"] if taken else None
            shade = "kept" if taken is None else f"s{_shade(number, last)}"
            said = "-" if (edge, op) not in seen else "kept" if taken is None else f"round {number}"
            parts.append(svg.box(left + k * wide + 1, y + 1, wide - 2, high - 2, shade if said != "-" else "none"))
            parts.append(svg.text(left + (k + 0.5) * wide, y + 16, said, at="middle", class_=f"on {shade}"))
            score = f" ({svg.finite(taken.get('score')):.5g})" if taken else ""
            words.append(said + score)
        rows.append(words)
    drawn = svg.picture("Pruning history", "Which round removed each operation", top + high * len(edges) + 4, parts)
    data = table(("edge", *ops), rows, label="pruning", left=1 + len(ops))
    said = "Each round removes from every edge the operation without which the rest scores highest. "
    return figure("Pruning history", drawn, f"{said}In the numbers, that score.", data=data)


def _shade(number: Any, last: int) -> int:
    """Later rounds are darker."""
    return round(1 + 5 * (number - 1) / max(1, last - 1)) if type(number) is int and 1 <= number <= last else 0


def training(material: Material) -> Raw:
    """Loss and accuracy per epoch, on training and validation data."""
    every, epochs = material.training, drawn_epochs(material)
    best = material.section("training").get("best_epoch")
    pairs = (("Loss", "loss", "val_loss", False), (*ACCURACY, True))
    figures = [_curves(title, epochs, (a, b), best, percent=percent) for title, a, b, percent in pairs]
    smoothing = svg.finite(material.section("train").get("label_smoothing"))
    words = f"{len(every)} epoch{'s' if len(every) != 1 else ''}, measured on training and validation data; no test "
    words += "sample is seen."
    if len(epochs) < len(every):
        words += f" Thinned: {len(epochs)} of {len(every)} epochs are drawn."
    if isinstance(best, int):
        words += f" Epoch {best} was kept (best on validation data)."
    if smoothing > 0:
        words += (
            f" In training the loss is of labels smoothed by {smoothing:g}, and of augmented samples where the recipe"
        )
        words += " augments; in validation of the labels themselves: training may lie above it."
    return join(note(words), el("div", figures, class_="grid"))


def drawn_epochs(material: Material) -> list[dict[str, Any]]:
    """The epochs of the log, so many as are drawn."""
    every = material.training
    if not any(math.isfinite(svg.finite(e.get("epoch"))) for e in every):
        raise Missing("train.jsonl holds no epoch.")
    return svg.picked(every, EPOCHS)


def draw_curves(title: str, epochs: list[dict[str, Any]], keys: tuple[str, str], best: Any, *, percent: bool) -> Panel:
    """A figure of every epoch, in training and in validation. best: the epoch that was kept."""
    numbers = [svg.finite(e.get("epoch")) for e in epochs]
    series = [[svg.finite(e.get(key)) for e in epochs] for key in keys]
    plane = svg.Plane(svg.around(numbers, room=0.02), svg.around([v for s in series for v in s]))
    plane.axes("epoch", "share right" if percent else "loss", whole=True, percent=percent)
    if isinstance(best, int) and plane.x[0] <= best <= plane.x[1]:
        x = plane.at(best, 0)[0]
        plane.parts.append(svg.rule(x, plane.top, x, plane.height - plane.bottom, "axis dashed"))
        end = "end" if x > svg.WIDTH - 60 else "middle"
        plane.parts.append(svg.text(x, plane.top - 3, "kept", at=end, class_="tick"))
    for kind, values in enumerate(series):
        plane.line(numbers, values, f"c{kind + 1}", kind=kind, marks=len(numbers) <= 40)
    said = f"From {_said(series[0][0], percent)} to {_said(series[0][-1], percent)} in training, "
    said += f"from {_said(series[1][0], percent)} to {_said(series[1][-1], percent)} in validation"
    names = svg.Key("training", "c1"), svg.Key("validation", "c2", 1)
    return Panel(title, plane.draw(title, said), names)


def _curves(title: str, epochs: list[dict[str, Any]], keys: tuple[str, str], best: Any, *, percent: bool) -> Raw:
    shown = [k for k in ("epoch", *keys, "lr") if k in epochs[0]]
    rows = [[f"{svg.finite(e.get(k)):.5g}" for k in shown] for e in epochs]
    return panel_figure(draw_curves(title, epochs, keys, best, percent=percent), table(shown, rows, label=title))


def _said(value: float, percent: bool) -> str:
    return f"{value:.1%}" if percent else f"{value:.3g}"
