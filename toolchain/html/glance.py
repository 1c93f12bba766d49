"""A run at a glance, as a notebook shows it: the pictures of its page that say what was found."""

from __future__ import annotations

from collections.abc import Iterator

from snnas.hw_sim.errors import SnnasError
from snnas.toolchain.html import figures_cell
from snnas.toolchain.html.figures_search import ACCURACY, draw_curves, drawn_epochs
from snnas.toolchain.html.material import DAMAGE, Material, Missing
from snnas.toolchain.output.drawing import Panel
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.front_picture import measured


def glance(run: Run) -> Iterator[Panel]:
    """Its cells, the curve of its training and its trained front; what is not there or damaged is left out."""
    material = Material(run)
    for panels in (_cells, _training, _front):
        try:
            yield from panels(material)
        except (Missing, SnnasError, *DAMAGE):
            continue


def _cells(material: Material) -> list[Panel]:
    titles = figures_cell.titled(material.genotype.cells)
    return [Panel(title, figures_cell.draw(cell, title)) for cell, title in titles.items()]


def _training(material: Material) -> list[Panel]:
    title, *keys = ACCURACY
    epochs, best = drawn_epochs(material), material.section("training").get("best_epoch")
    return [draw_curves(title, epochs, (keys[0], keys[1]), best, percent=True)]


def _front(material: Material) -> list[Panel]:
    trained = [p for p in material.front["points"] if isinstance(p.get("measured"), dict)]
    name = next((str(n) for n in material.front.get("objectives", ()) if n != "score"), "energy_total")
    return [measured(trained, name, intervals=True)] if trained else []
