"""A front as a table."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from snnas.toolchain.searching.budgets import with_unit
from snnas.toolchain.searching.cost import figure


def table(front: dict[str, Any]) -> Table:
    """One row per point: what it was chosen by, and what came of it."""
    others = [name for name in front["objectives"] if name != "score"]
    out = Table(title=f"{front['run']}: front of {front['priced']} networks", title_justify="left")
    for head in ("point", "cell", "score", *(f"{with_unit(name)} predicted" for name in others)):
        out.add_column(head)
    for head in ("validation", "on target", *(f"{with_unit(name)} measured" for name in others), "beaten"):
        out.add_column(head)
    for p in front["points"]:
        row = [str(p["n"]), short_name(p["genotype"]), f"{p['score']:.5g}"]
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


def short_name(genotype: dict[str, Any]) -> str:
    """A network's cells in short: the motifs, or how many convolutions each has."""
    if "fan_in" in genotype:
        return "+".join(str(cell["motif"]) for cell in genotype["cells"]) + f" of {genotype['fan_in']}"
    counts = [sum("conv" in op for op in cell["forward"].values()) for cell in genotype["cells"]]
    return "+".join(map(str, counts)) + " conv"


def _span(cost: dict[str, Any], name: str) -> str:
    band = cost["energy_uJ"] if name == "energy_total" else cost["latency_us"] if name == "latency" else None
    value = figure(cost, name)
    return f"{value:.4g} ({band['low']:.4g} .. {band['high']:.4g})" if band else f"{value:.4g}"
