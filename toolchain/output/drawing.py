"""Pictures as files: the panels that a report's page shows too, side by side in one .svg that needs nothing else.

Its style sheet holds the colours of the page's light theme, written out, for many programs that show or convert an SVG
know no variables of CSS.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_text
from snnas.toolchain.output.markup import Raw, el
from snnas.toolchain.output.svg import WIDTH, Key, Picture, box, picture, text

MARGIN, GAP = 24.0, 36.0
LINE, LETTER = 16.0, 6.6  # the height of a line, and the usual width of a letter, in units
SAMPLE = 32.0  # a marker and the room behind it


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with what is said of it: its caption above, the names of its series, and notes below."""

    title: str
    drawn: Picture
    keys: tuple[Key, ...] = ()
    notes: tuple[str | None, ...] = ()


def check_picture(path: Path, option: str) -> None:
    """UsageError where a picture is asked for by another ending than .svg."""
    if path.suffix.lower() != ".svg":
        raise UsageError(f"{option} {path}: pictures are SVG; name it {path.with_suffix('.svg')}")


def write_drawing(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write the panels beside each other as an .svg, whole or not at all; equal panels give equal bytes."""
    write_text(path, f"{drawing(title, panels)}\n")


def drawing(title: str, panels: Sequence[Panel]) -> Raw:
    """The panels beside each other as an SVG that needs nothing else; an empty title takes no room."""
    width = 2 * MARGIN + len(panels) * WIDTH + (len(panels) - 1) * GAP
    parts: list[Raw] = [text(MARGIN, MARGIN + 10, title, class_="heading")] if title else []
    lowest, top = 0.0, MARGIN + (38 if title else 10)
    for k, panel in enumerate(panels):
        drawn, bottom = _placed(panel, MARGIN + k * (WIDTH + GAP), top)
        parts += drawn
        lowest = max(lowest, bottom)
    height = lowest + MARGIN - LINE / 2
    style = el("style", Raw(files("snnas.toolchain.output").joinpath("drawing.css").read_text(encoding="utf-8")))
    paper = box(0, 0, width, height, "paper")
    said = "; ".join(panel.title for panel in panels)
    return picture(title or said, said, height, style, paper, parts, width=width).at(0, 0)


def _placed(panel: Panel, x: float, y: float) -> tuple[list[Raw], float]:
    """The panel's parts with its upper left corner there, and where the next would begin."""
    parts = [text(x, y, panel.title, class_="caption")]
    y += 8
    across = x
    for key in panel.keys:
        wide = SAMPLE + LETTER * len(key.name) + 12
        if across > x and across + wide > x + WIDTH:
            across, y = x, y + LINE + 2
        parts.append(el("g", key.sample(), transform=f"translate({across:g} {y:g})"))
        parts.append(text(across + SAMPLE, y + 11, key.name, class_="note"))
        across += wide
    y += LINE + 6 if panel.keys else 4
    parts.append(panel.drawn.at(x, y))
    y += panel.drawn.height + 4
    for line in (line for note in panel.notes if note for line in textwrap.wrap(note, int(WIDTH / 5.6))):
        y += LINE
        parts.append(text(x, y - 4, line, class_="note"))
    return parts, y + LINE / 2
