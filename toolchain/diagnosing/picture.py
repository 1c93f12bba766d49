"""A diagnosis as pictures: where spikes part, over depth and time, and what of it each population makes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snnas.toolchain.output import silence, svg
from snnas.toolchain.output.drawing import Panel, write_drawing
from snnas.toolchain.output.heat import TIMESTEPS, heat

Rows = Sequence[dict[str, Any]]  # of [divergence] populations
SHADES = (0.0, 0.0005, 0.002, 0.01, 0.03, 0.1)  # lower ends of s1 .. s6, as shares of a population's neurons


def write_picture(result: dict[str, Any], file: Path) -> None:
    """Draw both as an .svg, with the fault of each population that has one, and what never fires."""
    rows, steps = result["divergence"]["populations"], int(result["divergence"]["timesteps"])
    faults = {fault["population"]: fault["kind"] for fault in result["faults"]}
    parted, mute = over_time(rows, steps), silence.of(result, "program")
    panels = [replace(parted, notes=(f"Program: {mute}." if mute else None, *parted.notes))]
    panels.append(made_here(rows, faults))
    write_drawing(file, f"Diagnosis of {svg.clip(str(result['subject']), 80)}", panels)


def over_time(rows: Rows, steps: int) -> Panel:
    """Depth against time, shaded by the differing share."""
    kept, drawn = svg.picked(rows), svg.thinned(steps, TIMESTEPS)

    def cell(k: int, t: int, wide: float) -> tuple[str, str, str | None]:
        share = float(kept[k]["fraction"][t])
        said = (f"{100 * share:.2f}" if share < 0.1 else f"{100 * share:.1f}") if wide >= 36 else None
        shade = f"s{sum(share > edge for edge in SHADES)}"
        return shade, f"{kept[k]['population']}, timestep {t}: {share:.3%}", said

    title = "Where program and graph part"
    names = [str(row["population"]) for row in kept]
    shown = heat(title, "differing spikes in percent of the neurons", names, drawn, cell)
    words = "Differing spikes in percent of a population's neurons, per timestep (across); deeper populations below."
    few = svg.left_out(len(kept), len(rows), "populations")
    return Panel(title, shown, (), (words, few, svg.left_out(len(drawn), steps, "timesteps")))


def means(rows: Rows) -> dict[str, tuple[float, float]]:
    """Of each population the mean share over time that differs, and what of it is its own."""
    return {str(row["population"]): (_mean(row["fraction"]), _mean(row["own_fraction"])) for row in rows}


def _mean(shares: Sequence[float]) -> float:
    return sum(map(float, shares)) / len(shares)


def made_here(rows: Rows, faults: Mapping[str, str] | None = None) -> Panel:
    """What each population differs in, and what of it it would differ in if all that feeds it did not.

    faults: {population: what is said of it}.
    """
    kept, shares = svg.picked(rows), means(rows)
    top = max((max(pair) for pair in shares.values()), default=0.0) or 1.0
    room = 52.0 + (6.8 * (1 + max(map(len, faults.values()))) if faults else 0.0)
    parts = []
    for k, row in enumerate(kept):
        name, y = str(row["population"]), 4 + svg.ROW * (k + 0.5)
        whole, own = shares[name]
        wide, mine = (value / top * (svg.WIDTH - svg.LEFT - room) for value in (whole, own))
        parts.append(svg.row_label(y + 4, name))
        parts.append(svg.box(svg.LEFT, y - 6, max(wide, 1.0), 12, "s2", f"{name}: {whole:.3%}, made here {own:.3%}"))
        parts.append(svg.box(svg.LEFT, y - 3, mine, 6, "bar c2"))
        said = svg.LEFT + max(wide, mine) + 5
        parts.append(svg.text(said, y + 4, f"{whole:.2%}", class_="tick"))
        if faults and name in faults:
            parts.append(svg.text(said + 50, y + 4, faults[name], class_="fault"))
    title = "Inherited, or made here"
    keys = (svg.Key("differing spikes, mean over time", "s2", -1), svg.Key("made by the population itself", "c2", -1))
    shown = svg.picture(title, f"mean share of differing spikes; at most {top:.2%}", svg.ROW * len(kept) + 8, parts)
    return Panel(title, shown, keys, (svg.left_out(len(kept), len(rows), "populations"),))
