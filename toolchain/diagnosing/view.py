"""A diagnosis for a person: tables for the terminal, and a picture of where spikes part."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from hw_sim.errors import UnsupportedError
from toolchain.files import whole

SHARED = 10  # populations that the terminal's table holds


def headline(result: dict[str, Any]) -> str:
    """One line: what was lost, and the first cause to look at."""
    n, labels = result["samples"], result["labels"]
    if labels:
        before, after = result["graph"]["accuracy"], result["program"]["accuracy"]
        lost = f"{before:.2%} as a graph, {after:.2%} as a program, {n} samples"
    else:
        lost = f"{result['program']['agreement']:.2%} of predictions as the graph's, {n} samples"
    faults = result["faults"]
    if faults:
        worst = max(faults, key=_order)
        return f"{lost}: {_count(len(faults), 'fault')}; worst: {worst['population']}, {worst['kind']}"
    if not result["program"]["differing_spikes"]:
        return f"{lost}: no fault, and no spike differs"
    causes = [r for r in result["causes"] if r["off_alone"].get("spikes", 0) > 0]
    leading = max(causes, key=lambda r: r["off_alone"]["spikes"], default=None)
    most = "" if leading is None else f"; most differing spikes come of: {leading['cause']}"
    return f"{lost}: no fault{most}"


def _order(fault: dict[str, Any]) -> tuple[float, float]:
    return fault["mended"].get("points", 0.0), fault["mended"].get("spikes", 0)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def tables(result: dict[str, Any]) -> Iterator[Table | str]:
    """What the command prints, in order."""
    yield headline(result)
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
    if result["smallest"] is not None:
        yield smallest_input(result["smallest"])
    ties = result["checks"]["exact_differs_from_interpreter"]
    if ties:
        yield f"{_count(ties, 'spike')} of the graph hang on a float64's last bit: membranes exactly at their threshold"


def _faults(result: dict[str, Any]) -> Table:
    table = Table(title="numbers that are not the graph's", title_justify="left")
    points = "points" if result["labels"] else "points of agreement"
    for head in ("population", "fault", "what", f"{points} if mended", "differing spikes if mended"):
        table.add_column(head, overflow="fold")
    for f in result["faults"]:
        mended = f["mended"]
        shown = (_points(mended), _spikes(mended)) if "points" in mended else ("-", "-")
        place = f"{f['where']}: " if f["where"] else ""
        table.add_row(f["population"], f["kind"], place + f["text"], *shown)
    return table


def _points(worth: dict[str, Any]) -> str:
    return f"{worth['points']:+.2f} (+{worth['mended']} -{worth['broken']})"


def _spikes(share: dict[str, Any]) -> str:
    return f"{share['differing_spikes']:,} ({share['differing_fraction']:.3%})"


def _causes(result: dict[str, Any]) -> Table:
    table = Table(title="causes, each switched alone", title_justify="left")
    unit = "points" if result["labels"] else "points of agreement"
    heads = ("cause", "what", f"off alone: {unit}", "differing spikes", f"on alone: {unit}", "differing spikes")
    for head in heads:
        table.add_column(head)
    table.add_row("(all on)", "the program", "", _spikes(result["program"]), "", "")
    for row in result["causes"]:
        cells = []
        for side in (row["off_alone"], row["on_alone"]):
            cells += [_points(side), _spikes(side)] if "points" in side else ["not run", "-"]
        table.add_row(row["cause"], row["meaning"], *cells)
    table.caption = f"{result['note']}; (+ - : samples mended and broken)"
    return table


def smallest_input(found: dict[str, Any]) -> str:
    """The smallest failing input in a sentence."""
    what = "one prediction flips" if found["differs_in"] == "prediction" else "a spike differs"
    return (
        f"smallest input found for which {what}: {_count(found['nonzero'], 'nonzero value')} of sample "
        f"{found['sample']}'s {found['nonzero_before']} (graph: class {found['graph_predicts']}, program: class "
        f"{found['program_predicts']})"
    )


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
    shares = {
        r["population"]: sum(r["own_fraction"]) / len(r["own_fraction"]) for r in result["divergence"]["populations"]
    }
    most = max(shares, key=lambda name: shares[name])
    return f"most differences of its own: {most}, {shares[most]:.3%} of its neurons per timestep"


def _populations(result: dict[str, Any]) -> Table:
    rows, steps = result["divergence"]["populations"], result["divergence"]["timesteps"]
    table = Table(title="differing spikes, share of all neurons and samples", title_justify="left")
    drawn = sorted({round(k * (steps - 1) / 5) for k in range(6)}) if steps > 6 else list(range(steps))
    for head in ("population", *(f"t = {t}" for t in drawn), "mean", "its own share"):
        table.add_column(head)
    kept = rows if len(rows) <= 2 * SHARED else rows[:SHARED] + rows[-SHARED:]
    for row in kept:
        shown = [f"{row['fraction'][t]:.3%}" for t in drawn]
        mean, own = (sum(row[k]) / steps for k in ("fraction", "own_fraction"))
        table.add_row(row["population"], *shown, f"{mean:.3%}", f"{own:.3%}")
    said = "its own share: what it would differ in if all that feeds it did not"
    table.caption = said if len(kept) == len(rows) else f"{said}; {len(rows) - len(kept)} populations left out"
    return table


def picture(result: dict[str, Any], path: Path) -> None:
    """Depth against time, coloured by the differing share; and per population, what it adds and what it inherits.

    PNG or SVG by the name's ending, whole or not at all. UnsupportedError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"a picture takes matplotlib ({error}); pip install 'snnas[plot]'") from None

    rows, steps = result["divergence"]["populations"], result["divergence"]["timesteps"]
    drawing = Figure(figsize=(11, max(3.2, 1.6 + 0.3 * len(rows))), layout="constrained", dpi=110)
    FigureCanvasAgg(drawing)
    over_time, bars = drawing.subplots(1, 2, width_ratios=(1.35, 1), sharey=True)
    names, places = [row["population"] for row in rows], range(len(rows))
    shares = [[100 * v for v in row["fraction"]] for row in rows]
    image = over_time.imshow(shares, aspect="auto", cmap="magma_r", vmin=0, interpolation="nearest")
    drawing.colorbar(image, ax=over_time, label="differing spikes, % of neurons")
    over_time.set(xlabel="timestep", title="where program and graph part", yticks=list(places), yticklabels=names)
    over_time.set_xticks(range(0, steps, max(1, steps // 10)))
    total = [100 * sum(row["fraction"]) / steps for row in rows]
    own = [100 * sum(row["own_fraction"]) / steps for row in rows]
    bars.barh(places, total, color="0.82", label="all of it")
    bars.barh(places, own, color="#b5367a", height=0.45, label="made here")
    faulty = {f["population"]: f["kind"] for f in result["faults"]}
    for k, name in enumerate(names):
        if name in faulty:
            bars.annotate(faulty[name], (max(total[k], own[k]), k), xytext=(4, 0), textcoords="offset points",
                          va="center", fontsize=9, color="#b5367a", weight="bold")  # fmt: skip
    bars.set(xlabel="differing spikes, % (mean over time)", title="inherited, or made here")
    bars.set_xlim(0, max(1e-9, *total, *own) * (1.45 if faulty else 1.1))
    bars.legend(loc="upper right")
    buffer = io.BytesIO()
    drawing.savefig(buffer, format=path.suffix.lstrip(".") or "png")
    with whole(path) as file:
        file.write(buffer.getvalue())
