"""A diagnosis as pictures: where spikes part, over depth and time, and what of it each population makes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from snnas.toolchain.output import silence
from snnas.toolchain.output.drawing import Panel, write_drawing
from snnas.toolchain.output.heat import TIMESTEPS, heat
from snnas.toolchain.output.svg import LEFT, MOST, ROW, WIDTH, Key, box, clip, left_out, picture, text, thinned

Rows = Sequence[dict[str, Any]]  # of [divergence] populations
SHADES = (0.0, 0.0005, 0.002, 0.01, 0.03, 0.1)  # lower ends of s1 .. s6, as shares of a population's neurons


def write_picture(result: dict[str, Any], file: Path) -> None:
    """Draw both as an .svg, with the fault of each population that has one, and what never fires."""
    rows, steps = result["divergence"]["populations"], int(result["divergence"]["timesteps"])
    faults = {fault["population"]: fault["kind"] for fault in result["faults"]}
    parted, mute = over_time(rows, steps), silence.of(result, "program")
    panels = [replace(parted, notes=(f"Program: {mute}." if mute else None, *parted.notes))]
    panels.append(made_here(rows, steps, faults))
    write_drawing(file, f"Diagnosis of {clip(str(result['subject']), 80)}", panels)


def drawn_timesteps(steps: int) -> list[int]:
    return thinned(steps, TIMESTEPS)


def over_time(rows: Rows, steps: int) -> Panel:
    """Depth against time, shaded by the differing share."""
    kept, drawn = [rows[k] for k in thinned(len(rows), MOST)], drawn_timesteps(steps)

    def cell(k: int, t: int, wide: float) -> tuple[str, str, str | None]:
        share = float(kept[k]["fraction"][t])
        said = (f"{100 * share:.2f}" if share < 0.1 else f"{100 * share:.1f}") if wide >= 36 else None
        shade = f"s{sum(share > edge for edge in SHADES)}"
        return shade, f"{kept[k]['population']}, timestep {t}: {share:.3%}", said

    title = "Where program and graph part"
    names = [str(row["population"]) for row in kept]
    shown = heat(title, "differing spikes in percent of the neurons", names, drawn, cell)
    words = "Differing spikes in percent of a population's neurons, per timestep (across); deeper populations below."
    few = left_out(len(kept), len(rows), "populations")
    return Panel(title, shown, (), (words, few, left_out(len(drawn), steps, "timesteps")))


def means(rows: Rows, steps: int) -> dict[str, tuple[float, float]]:
    """Of each population the mean share over time that differs, and what of it is its own."""
    return {
        str(row["population"]): (sum(map(float, row["fraction"])) / steps, sum(map(float, row["own_fraction"])) / steps)
        for row in rows
    }


def made_here(rows: Rows, steps: int, faults: Mapping[str, str] | None = None) -> Panel:
    """What each population differs in, and what of it it would differ in if all that feeds it did not.

    faults: {population: what is said of it}.
    """
    kept, shares = [rows[k] for k in thinned(len(rows), MOST)], means(rows, steps)
    top = max((max(pair) for pair in shares.values()), default=0.0) or 1.0
    room = 52.0 + (6.8 * (1 + max(map(len, faults.values()))) if faults else 0.0)
    parts = []
    for k, row in enumerate(kept):
        name, y = str(row["population"]), 4 + ROW * (k + 0.5)
        whole, own = shares[name]
        wide, mine = (value / top * (WIDTH - LEFT - room) for value in (whole, own))
        parts.append(text(LEFT - 8, y + 4, clip(name), at="end"))
        parts.append(box(LEFT, y - 6, max(wide, 1.0), 12, "s2", f"{name}: {whole:.3%}, made here {own:.3%}"))
        parts.append(box(LEFT, y - 3, mine, 6, "bar c2"))
        said = LEFT + max(wide, mine) + 5
        parts.append(text(said, y + 4, f"{whole:.2%}", class_="tick"))
        if faults and name in faults:
            parts.append(text(said + 50, y + 4, faults[name], class_="fault"))
    title = "Inherited, or made here"
    keys = (Key("differing spikes, mean over time", "s2", -1), Key("made by the population itself", "c2", -1))
    shown = picture(title, f"mean share of differing spikes; at most {top:.2%}", ROW * len(kept) + 8, parts)
    return Panel(title, shown, keys, (left_out(len(kept), len(rows), "populations"),))
