"""A diagnosis for a person: tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from rich.table import Column, Table

from snnas.toolchain.diagnosing.picture import means
from snnas.toolchain.output import silence
from snnas.toolchain.output.stderr import counted

SHARED = 10  # populations that the terminal's table holds, from either end
FIGURE = partial(Column, justify="right")
DRAWN = 6  # timesteps that it holds: what 80 columns have room for


def headline(result: dict[str, Any]) -> str:
    """One line: what was lost, and the first cause to look at: of the points where points were lost, else of spikes."""
    n, labels = result["samples"], result["labels"]
    mute = {side: silence.why_none(silence.of(result, side)) for side in ("graph", "program")}
    if any(mute.values()):
        who = "graph and program" if all(mute.values()) else next(side for side, why in mute.items() if why)
        lost = f"{silence.NONE} of {who}: {mute['program'] or mute['graph']}"
    elif labels:
        before, after = result["graph"]["accuracy"], result["program"]["accuracy"]
        lost = f"{before:.2%} as a graph, {after:.2%} as a program, {n} samples"
    else:
        lost = f"{result['program']['agreement']:.2%} of predictions as the graph's, {n} samples"
    faults = result["faults"]
    if faults:
        worst = max(faults, key=_order)
        return f"{lost}: {counted(len(faults), 'fault')}; worst: {worst['population']}, {worst['kind']}"
    if not result["program"]["differing_spikes"]:
        return f"{lost}: no fault, and no spike differs"
    return f"{lost}: no fault; " + "; ".join(filter(None, (_loss(result), _leading(result))))


def _loss(result: dict[str, Any]) -> str:
    """What the program lost, in points, and whether chance alone does so."""
    found = result.get("loss")
    if not found or found["points"] <= 0:
        return ""
    what = f"loss {found['points']:.2f} points{'' if result['labels'] else ' of agreement'}"
    return what if found["beyond_chance"] else f"{what}, which chance may do (+{found['won']} -{found['lost']})"


def _leading(result: dict[str, Any]) -> str:
    worth = {r["cause"]: r["off_alone"] for r in result["causes"] if "points" in r["off_alone"]}
    if not worth:
        return ""
    if _loss(result):
        cause = max(worth, key=lambda c: (worth[c]["points"], worth[c]["spikes"]))
        if worth[cause]["points"] > 0:
            return f"most of it: {cause} ({worth[cause]['points']:+.2f} if mended)"
    cause = max(worth, key=lambda c: worth[c]["spikes"])
    none = "no single cause gives it back; " if _loss(result) else ""
    return f"{none}most differing spikes come of: {cause}" if worth[cause]["spikes"] > 0 else none.rstrip("; ")


def never_fired(result: dict[str, Any]) -> str:
    """Which populations of the program never fire, with the likely cause; '' where all do."""
    found = silence.of(result, "program")
    return str(replace(found, ties=0, constant=False)) if found is not None and found.silent else ""


def beside(result: dict[str, Any]) -> str:
    """What the export's own report says of all its samples, where fewer were diagnosed; '' where there is none."""
    found = result.get("export")
    if silence.why_none(silence.of(result, "program")) or not found or found["samples"] <= found["taken"]:
        return ""
    said = f"the export's report says, of all its {found['samples']:,} samples: "
    if found["on_target"] is None:
        said += f"{found['agreement']:.2%} of predictions as the graph's"
    else:
        said += f"{found['training']:.2%} in float, {found['on_target']:.2%} on target"
    file = f"--data {found['data']} " if found["data"] else ""
    drawn = ", though not the same: those that calibrated it were drawn from the file" if found["data"] else ""
    return f"{said}; as many are taken with {file}--limit {found['samples']}{drawn}"


def _order(fault: dict[str, Any]) -> tuple[float, float]:
    return fault["mended"].get("points", 0.0), fault["mended"].get("spikes", 0)


def tables(result: dict[str, Any]) -> Iterator[Table | str]:
    """What the command prints, in order."""
    yield from filter(None, (headline(result), never_fired(result), beside(result)))
    if result["faults"]:
        yield _faults(result)
    if result["finetuned"]:
        tuned = result["finetuned"]
        yield (
            f"fine-tuned: {tuned['moved']:,} of {tuned['weights']:,} weights lie more than a step from the graph's, on "
            "purpose, and thresholds and biases may; arrangement, wiring, leaks and host stage were compared"
        )
    if result["first"] is not None:
        yield first_difference(result["first"])
        yield _populations(result)
        yield _made(result)
    yield _causes(result)
    if result.get("mends"):
        yield _mends(result)
    if result["smallest"] is not None:
        yield smallest_input(result["smallest"])
    ties = result["checks"]["exact_differs_from_interpreter"]
    if ties:
        yield f"{counted(ties, 'spike')} of the graph hang on a float64's last bit: membranes at their threshold"


def _faults(result: dict[str, Any]) -> Table:
    title = f"numbers that are not the graph's; {unit(result)} and differing spikes if mended"
    table = _table(title, "population", "fault", FIGURE("points"), FIGURE("spikes"), "what")
    for f in result["faults"]:
        mended = f["mended"]
        shown = (_points(mended), _spikes(mended)) if "points" in mended else ("-", "-")
        place = f"{f['where']}: " if f["where"] else ""
        table.add_row(f["population"], f["kind"], *shown, place + f["text"])
    return table


def unit(result: dict[str, Any]) -> str:
    """What a loss is told in."""
    return "points" if result["labels"] else "points of agreement"


def _table(title: str, *heads: str | Column) -> Table:
    return Table(*heads, title=title, title_justify="left")


def _points(worth: dict[str, Any]) -> str:
    return f"{worth['points']:+.2f} (+{worth['mended']} -{worth['broken']})"


def _spikes(share: dict[str, Any]) -> str:
    count = share["differing_spikes"]
    shown = f"{count:,}" if count < 1e6 else f"{count / 1e6:.2f} M"
    return f"{shown} ({_percent(share['differing_fraction'])})"


def _percent(share: float) -> str:
    """At most six characters: 0.012%, 10.0%."""
    return f"{share:.3%}" if share < 0.1 else f"{share:.1%}"


def _causes(result: dict[str, Any]) -> Table:
    title = f"causes, each switched off alone and on alone: {unit(result)} and differing spikes"
    figures = map(FIGURE, ("off: points", "spikes", "on: points", "spikes"))
    table = _table(title, "cause", *figures, "what")
    table.add_row("(all on)", "", _spikes(result["program"]), "", "", "the program")
    for row in result["causes"]:
        cells = []
        for side in (row["off_alone"], row["on_alone"]):
            cells += [_points(side), _spikes(side)] if "points" in side else ["not run", "-"]
        table.add_row(row["cause"], *cells, row["meaning"])
    table.caption = f"{result['note']}; (+ - : samples mended and broken)"
    return table


def _mends(result: dict[str, Any]) -> Table:
    """What was compiled and run otherwise, and gave something back."""
    share = "accuracy" if result["labels"] else "agreement"
    heads = ("mend", "of", FIGURE(share), FIGURE("points"))
    table = _table("what gives some of it back: compiled and run on these samples", *heads)
    for m in result["mends"]:
        table.add_row(m["text"], m["cause"], f"{m[share]:.2%}", _points(m))
    return table


def smallest_input(found: dict[str, Any]) -> str:
    """The smallest failing input in a sentence."""
    what = "one prediction flips" if found["differs_in"] == "prediction" else "a spike differs"
    size = f"{counted(found['nonzero'], 'nonzero value')} of sample {found['sample']}'s {found['nonzero_before']}"
    if not found["nonzero"]:
        size = "the blank one, for which biases alone suffice"
    classes = f"graph: class {found['graph_predicts']}, program: class {found['program_predicts']}"
    return f"smallest input found for which {what}: {size} ({classes})"


def first_difference(first: dict[str, Any]) -> str:
    """The first difference in a sentence."""
    does, other = ("fires", "does not") if first["float_fires"] else ("does not fire", "does")
    neuron = ", ".join(map(str, first["neuron"]))
    cause = ", ".join(first["removed_by"]) or "no single cause"
    side = "above" if first["float_margin"] > 0 else "below"
    return (
        f"first difference: timestep {first['timestep']}, population {first['population']}, neuron ({neuron}), sample "
        f"{first['sample']}: the graph {does}, v lies {abs(first['float_margin']):.2g} of the threshold {side} it; the "
        f"program {other}, v = {first['integer_v']} against {first['integer_threshold']}; removed by mending: {cause}"
    )


def _made(result: dict[str, Any]) -> str:
    """Where the differences arise, not where they are largest."""
    shares = means(result["divergence"]["populations"])
    most = max(shares, key=lambda name: shares[name][1])
    return f"most differences of its own: {most}, {shares[most][1]:.3%} of its neurons per timestep"


def _populations(result: dict[str, Any]) -> Table:
    rows, steps = result["divergence"]["populations"], result["divergence"]["timesteps"]
    drawn = sorted({round(k * (steps - 1) / (DRAWN - 1)) for k in range(DRAWN)}) if steps > DRAWN else [*range(steps)]
    figures = map(FIGURE, (*(f"t = {t}" for t in drawn), "mean", "own"))
    table = _table("differing spikes, share of all neurons and samples", "population", *figures)
    kept = rows if len(rows) <= 2 * SHARED else rows[:SHARED] + rows[-SHARED:]
    for row, (mean, own) in zip(kept, means(kept).values(), strict=True):
        table.add_row(row["population"], *map(_percent, (*(row["fraction"][t] for t in drawn), mean, own)))
    hidden = (steps - len(drawn), "timestep"), (len(rows) - len(kept), "population")
    left = " and ".join(counted(n, noun) for n, noun in hidden if n)
    said = "own: what it would differ in if all that feeds it did not"
    table.caption = f"{said}; not shown: {left} (--json has all)" if left else said
    return table
