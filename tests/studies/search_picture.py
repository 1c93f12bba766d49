"""Draws what ``trained_search`` found at several budgets: accuracy on target by the energy that is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json
from snnas.toolchain.output.drawing import Panel, check_picture, write_drawing
from snnas.toolchain.output.svg import Key, Plane, around
from tests.studies.command import main
from tests.studies.trained_search import SCHEMA

# What is drawn, in this order, as what.
NAMES = {
    "trained": "snnas search",
    "random": "random draws of its space",
    "one-conv": "one convolution per cell, other axes free",
    "papers": "the papers' space, random",
    "papers-one-conv": "one convolution per cell, T = 5",
}


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """A line per arm through its means; an .svg."""
    results = sorted(results, key=_limit)
    means = {
        arm: [(_limit(result), row["on_target"]) for result in results for row in result["rows"] if row["arm"] == arm]
        for arm in NAMES
    }
    means = {arm: points for arm, points in means.items() if points}
    every = [accuracy for points in means.values() for _, accuracy in points]
    plane = Plane((0.0, max(map(_limit, results)) * 1.05), around(every))
    plane.axes(
        "uJ per inference that are allowed, upper end of the band", "accuracy on target, test split", percent=True
    )
    keys = []
    for number, (arm, points) in enumerate(means.items()):
        kind = int(arm != "trained")
        plane.line([x for x, _ in points], [y for _, y in points], f"c{number + 1}", kind=kind)
        keys.append(Key(NAMES[arm], f"c{number + 1}", kind))
    title = f"Ways to choose a network, {results[0]['dataset']}"
    seeds = min(row["seeds"] for result in results for row in result["rows"])
    note = f"Means of {seeds} seeds or more, {results[0]['trainings']} short trainings each."
    panel = Panel(title, plane.draw(title, "accuracy on target by energy that is allowed"), tuple(keys), (note,))
    write_drawing(path, f"{title} (measured)", [panel])


def _limit(result: dict[str, Any]) -> float:
    from snnas.toolchain.searching.budgets import parse_limits

    return float(parse_limits(result["budget"])["energy_total"])


def picture(
    results: Annotated[list[Path], typer.Argument(help="What trained_search wrote with --out, one per budget.")],
    plot: Annotated[Path, typer.Option(help="The .svg.")],
) -> None:
    """Draw accuracy on target by the energy that is allowed, a line per way to choose a network."""
    check_picture(plot, "--plot")
    found = [read_json(path) for path in results]
    for path, result in zip(results, found, strict=True):
        if not isinstance(result, dict) or result.get("schema") != SCHEMA:
            raise InvalidFileError(f"{path}: expected {SCHEMA}; write it with trained_search --out")
    if len({(result["dataset"], result["trainings"]) for result in found}) > 1:
        raise UsageError("the results are of several data sets or numbers of trainings, expected one")
    draw(found, plot)


if __name__ == "__main__":
    main(picture)
