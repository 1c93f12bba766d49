"""Spiking activity and synaptic operations of every population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnas.toolchain.html.material import Material, Missing
from snnas.toolchain.output import svg
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table


def section(material: Material) -> Raw:
    """Spiking activity rate, training beside on target, and synaptic operations, both per population."""
    sar = material.report["sar"]
    words = f"Spiking activity rate {sar['training']:.4f} in training ({material.provenance('sar.training')}), "
    words += f"{sar['on_target']:.4f} on target ({material.provenance('sar.on_target')}), over the populations that "
    words += "stand for a LIF. Training counts no synaptic operations: they are those of the program."
    figures = [_rates(sar["per_population"])]
    try:
        figures.append(_synops(material))
    except Missing as missing:
        figures.append(note(str(missing)))
    return join(note(words), el("div", figures, class_="grid"))


def draw_rates(per_population: Mapping[str, tuple[float | None, float]]) -> tuple[svg.Picture, tuple[svg.Key, ...]]:
    """Rates by population, in training (None: not known) and on target, and the names of the series."""
    names = list(per_population)
    places = svg.picked(names)
    top = max([v for pair in per_population.values() for v in pair if v is not None], default=0.0) * 1.08 or 1.0
    height = svg.ROW * len(places) + 44
    parts = _scale(top, height, "spikes / (neurons x timesteps)")
    for k, name in enumerate(places):
        y, (before, after) = 16 + svg.ROW * (k + 0.5), per_population[name]
        parts.append(svg.row_label(y + 4, name))
        if before is not None:
            parts += [svg.rule(_x(before, top), y, _x(after, top), y, "line c1")]
            parts.append(svg.dot(_x(before, top), y, "c2", kind=2, size=4.2))
        parts.append(svg.dot(_x(after, top), y, "c1", hint=f"{name}: {after:.4f}"))
    drawn = svg.picture("Spiking activity rate per population", f"{len(names)} populations", height, parts)
    keys = svg.Key("on target (simulated)", "c1", line=False)
    known = any(before is not None for before, _ in per_population.values())
    return drawn, (svg.Key("training (measured)", "c2", 2, line=False), keys) if known else (keys,)


def _rates(per_population: dict[str, Any]) -> Raw:
    pairs = {n: (p["training"], float(p["on_target"])) for n, p in per_population.items()}
    rows = [
        (n, f"{per_population[n]['neurons']:,}", "-" if a is None else f"{a:.4f}", f"{b:.4f}")
        for n, (a, b) in pairs.items()
    ]
    head = ("population", "neurons", "training", "on target")
    drawn, keys = draw_rates(pairs)
    few = svg.left_out(min(len(pairs), svg.MOST), len(pairs), "populations")
    data = table(head, rows, label="rates")
    return figure("Spiking activity rate", join(svg.legend(*keys), drawn), few, data=data)


def _x(value: float, top: float) -> float:
    return svg.LEFT + value / top * (svg.WIDTH - svg.LEFT - 14)


def _scale(top: float, height: float, name: str) -> list[Raw]:
    parts = []
    for value in svg.ticks(0, top, 4):
        parts.append(svg.rule(_x(value, top), 12, _x(value, top), height - 28, "guide"))
        parts.append(svg.text(_x(value, top), height - 16, svg.brief(value), at="middle", class_="tick"))
    return [*parts, svg.text(svg.WIDTH - 14, height - 2, name, at="end", class_="name")]


def _synops(material: Material) -> Raw:
    """Synaptic operations of one inference, at the population that receives them."""
    counts = material.counts
    into: dict[str, int] = {p.id: 0 for p in counts.populations}
    for s in counts.synapses:
        into[s.dst] = into.get(s.dst, 0) + s.synops
    per = {name: n / counts.samples for name, n in into.items()}
    roles = {p.id: p.role for p in counts.populations}
    names = list(per)
    places = svg.picked(names)
    top = max(per.values(), default=0.0) * 1.3 or 1.0
    height = svg.ROW * len(places) + 44
    parts = _scale(top, height, "synaptic operations per inference")
    for k, name in enumerate(places):
        y, colour = 16 + svg.ROW * (k + 0.5), "c6" if roles.get(name) in ("or", "relay") else "c1"
        parts.append(svg.row_label(y + 4, name))
        wide = _x(per[name], top) - svg.LEFT
        parts.append(svg.box(svg.LEFT, y - 6, wide, 12, f"bar {colour}", f"{name}: {per[name]:,.0f}"))
        parts.append(svg.text(svg.LEFT + wide + 4, y + 4, f"{per[name]:,.0f}", class_="tick"))
    whole = sum(per.values()) or 1.0
    rows = [(n, roles.get(n, "-"), f"{v:,.1f}", f"{v / whole:.1%}") for n, v in per.items()]
    drawn = svg.picture("Synaptic operations per population", f"{whole:,.0f} per inference", height, parts)
    keys = svg.legend(svg.Key("neurons", "c1", -1), svg.Key("overhead: OR, relay", "c6", -1))
    few = svg.left_out(len(places), len(names), "populations")
    words = f"{whole:,.0f} per inference, {material.provenance('synops_per_inference')}; {counts.samples:,} samples."
    head = ("into", "role", "per inference", "share")
    data = table(head, rows, label="synaptic operations", left=2)
    return figure("Synaptic operations", join(keys, drawn), words, few, data=data)
