"""A front as a table, and as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.table import Table

from hw_sim.errors import UnsupportedError
from toolchain.extras import install
from toolchain.files import whole
from toolchain.front import figure, units
from toolchain.report import wilson


def table(front: dict[str, Any]) -> Table:
    """One row per point: what it was chosen by, and what came of it."""
    others = [name for name in front["objectives"] if name != "score"]
    out = Table(title=f"{front['run']}: front of {front['priced']} networks", title_justify="left")
    for head in ("point", "cell", "score", *(f"{units(name)} predicted" for name in others)):
        out.add_column(head)
    for head in ("validation", "on target", *(f"{units(name)} measured" for name in others), "beaten"):
        out.add_column(head)
    for p in front["points"]:
        row = [str(p["n"]), convolutions(p["genotype"]), f"{p['score']:.5g}"]
        row += [_span(p["predicted"], name) for name in others]
        if p["measured"] is None:
            row += ["", "", *("" for _ in others), ""]
        else:
            row += [f"{p['validation_accuracy']:.2%}", f"{p['measured']['accuracy']:.2%}"]
            row += [_span(p["measured"], name) for name in others]
            row.append({True: "yes", False: "", None: ""}[p["beaten"]])
        out.add_row(*row)
    found = front["rank_correlation"]
    if found:
        named = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        out.caption = f"Spearman of predicted and measured: {named}"
    return out


def convolutions(genotype: dict[str, Any]) -> str:
    """How many convolutions each cell has: a short name of a network."""
    counts = [sum("conv" in op for op in cell["forward"].values()) for cell in genotype["cells"]]
    return "+".join(map(str, counts)) + " conv"


def _span(cost: dict[str, Any], name: str) -> str:
    band = cost["energy_uJ"] if name == "energy_total" else cost["latency_us"] if name == "latency" else None
    value = figure(cost, name)
    return f"{value:.4g} ({band['low']:.4g} .. {band['high']:.4g})" if band else f"{value:.4g}"


def picture(front: dict[str, Any], path: Path) -> None:
    """Draw all candidates with the front, and beside them the trained points; a PNG, whole or not at all.

    Of several objectives the first after the score is drawn. UnsupportedError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"a picture takes matplotlib ({error}); mend: {install('plot')}") from None

    name = next(name for name in front["objectives"] if name != "score")
    drawing = Figure(figsize=(11, 4.4), layout="constrained", dpi=110)
    FigureCanvasAgg(drawing)
    chosen, trained = drawing.subplots(1, 2)
    points = front["points"]
    chosen.scatter(
        [c[1] for c in front["candidates"]], [c[0] for c in front["candidates"]], s=8, color="0.75", label="scored"
    )
    chosen.plot(
        [figure(p["predicted"], name) for p in points], [p["score"] for p in points], "o-", color="C0", label="front"
    )
    chosen.set(xlabel=f"{units(name)}, predicted before training", ylabel="score", title="the search")
    chosen.legend()
    done = [p for p in points if p["measured"] is not None]
    for p in done:
        x, y, samples = figure(p["measured"], name), p["measured"]["accuracy"], p["measured"]["samples"]
        low, high = wilson(round(y * samples), samples)
        colour = "0.6" if p["beaten"] else "C0"
        trained.plot([x, x], [100 * low, 100 * high], color=colour, linewidth=0.6, alpha=0.6)
        trained.plot([x], [100 * y], "o", color=colour)
        trained.annotate(
            str(p["n"]), (x, 100 * y), textcoords="offset points", xytext=(6, -11 if p["beaten"] else 4), color=colour
        )
    best = sorted((figure(p["measured"], name), 100 * p["measured"]["accuracy"]) for p in done if not p["beaten"])
    trained.step([x for x, _ in best], [y for _, y in best], where="post", color="C0", linewidth=1)
    samples = done[0]["measured"]["samples"] if done else 0
    trained.set(
        xlabel=f"{units(name)}, on target",
        ylabel=f"accuracy on target, % ({samples} validation samples)",
        title="trained; grey: beaten; bars: 95 %",
    )
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    with whole(path) as file:
        file.write(buffer.getvalue())
