"""What ``snnas diagnose`` kept in the run: where spikes part, what is made there, and what each loss is worth."""

from __future__ import annotations

from typing import Any

from toolchain.diagnosing import view
from toolchain.html.heat import TIMESTEPS, heat
from toolchain.html.markup import Raw, el, figure, join, note, table
from toolchain.html.material import Material
from toolchain.html.svg import LEFT, MOST, ROW, WIDTH, Key, box, clip, left_out, legend, picture, text, thinned

SHADES = (0.0, 0.0005, 0.002, 0.01, 0.03, 0.1)  # lower ends of s1 .. s6, as shares of a population's neurons


def section(material: Material) -> Raw:
    """Faults, divergence over depth and time, and causes, of the diagnosis of this very program."""
    found = material.diagnosis
    rows, steps = found["divergence"]["populations"], int(found["divergence"]["timesteps"])
    said = [note(view.headline(found) + ".")]
    if view.beside(found):
        said.append(note(_sentence(view.beside(found))))
    if found["faults"]:
        said.append(_faults(found))
    if found["first"] is not None:
        said.append(note(_sentence(view.first_difference(found["first"]))))
    if found["smallest"] is not None:
        said.append(note(_sentence(view.smallest_input(found["smallest"]))))
    drawn = [_over_time(rows, steps), _made_here(rows, steps)] if rows else []
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
    """Depth against time, shaded by the differing share."""
    kept, drawn = [rows[k] for k in thinned(len(rows), MOST)], thinned(steps, TIMESTEPS)

    def cell(k: int, t: int, wide: float) -> tuple[str, str, str | None]:
        share = float(kept[k]["fraction"][t])
        said = (f"{100 * share:.2f}" if share < 0.1 else f"{100 * share:.1f}") if wide >= 36 else None
        shade = f"s{sum(share > edge for edge in SHADES)}"
        return shade, f"{kept[k]['population']}, timestep {t}: {share:.3%}", said

    numbers = [(str(r["population"]), *(f"{float(r['fraction'][t]):.4%}" for t in drawn)) for r in rows]
    head = ("population", *(f"t = {t}" for t in drawn))
    title = "Where program and graph part"
    names = [str(row["population"]) for row in kept]
    shown = heat(title, "differing spikes in percent of the neurons", names, drawn, cell)
    words = "Differing spikes in percent of a population's neurons, per timestep (across); deeper populations below."
    few = left_out(len(kept), len(rows), "populations")
    fewer = left_out(len(drawn), steps, "timesteps")
    return figure(title, shown, words, few, fewer, data=table(head, numbers, label=title))


def _made_here(rows: list[dict[str, Any]], steps: int) -> Raw:
    """What each population differs in, and what of it it would differ in if all that feeds it did not."""
    kept = [rows[k] for k in thinned(len(rows), MOST)]
    means = {str(r["population"]): tuple(sum(map(float, r[k])) / steps for k in ("fraction", "own_fraction"))
             for r in rows}  # fmt: skip
    top = max((max(pair) for pair in means.values()), default=0.0) or 1.0
    parts = []
    for k, row in enumerate(kept):
        name, y = str(row["population"]), 4 + ROW * (k + 0.5)
        whole, own = means[name]
        wide, mine = (value / top * (WIDTH - LEFT - 52) for value in (whole, own))
        parts.append(text(LEFT - 8, y + 4, clip(name), at="end"))
        parts.append(box(LEFT, y - 6, max(wide, 1.0), 12, "s2", f"{name}: {whole:.3%}, made here {own:.3%}"))
        parts.append(box(LEFT, y - 3, mine, 6, "bar c2"))
        parts.append(text(LEFT + max(wide, mine) + 5, y + 4, f"{whole:.2%}", class_="tick"))
    numbers = [(name, f"{whole:.4%}", f"{own:.4%}") for name, (whole, own) in means.items()]
    title = "Inherited, or made here"
    keys = legend(Key("differing spikes, mean over time", "s2", -1), Key("made by the population itself", "c2", -1))
    shown = picture(title, f"mean share of differing spikes; at most {top:.2%}", ROW * len(kept) + 8, parts)
    head = ("population", "differing", "made here")
    few = left_out(len(kept), len(rows), "populations")
    return figure(title, join(keys, shown), few, data=table(head, numbers, label=title))


def _causes(found: dict[str, Any]) -> Raw:
    """Each loss of the way to integers, switched alone."""
    unit = "points" if found["labels"] else "points of agreement"
    rows = []
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
    rows = []
    for mend in found.get("mends", []):
        share = mend["accuracy"] if found["labels"] else mend["agreement"]
        rows.append((str(mend["text"]), str(mend["cause"]), f"{share:.2%}", f"{mend['points']:+.2f}"))
    if not rows:
        return join()
    head = ("mend", "of", "accuracy" if found["labels"] else "agreement", "points")
    words = "Compiled and run on the diagnosed samples; what gives nothing back is not listed."
    return join(el("h3", "Mends"), note(words), table(head, rows, label="mends", left=2))
