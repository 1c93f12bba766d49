"""A panel of a drawing as a figure of the page."""

from __future__ import annotations

from snnas.toolchain.output.drawing import Panel
from snnas.toolchain.output.markup import Raw, figure, join
from snnas.toolchain.output.svg import legend


def panel_figure(panel: Panel, data: Raw) -> Raw:
    """data: the numbers behind it, as a table."""
    drawn = join(legend(*panel.keys), panel.drawn) if panel.keys else panel.drawn
    return figure(panel.title, drawn, *panel.notes, data=data)
