"""A shaded cell for every population and timestep: populations down, timesteps across."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snnas.toolchain.output.svg import LEFT, ROW, WIDTH, Picture, box, picture, row_label, text, thinned

TIMESTEPS = 64  # drawn at most
TOP = 22.0
# (population's place, timestep, a cell's width) -> (class of its shade, hint, what is written in it or None)
Cell = Callable[[int, int, float], tuple[str, str, str | None]]


def heat(title: str, description: str, names: Sequence[str], timesteps: Sequence[int], cell: Cell) -> Picture:
    """names: of the populations drawn. timesteps: those drawn."""
    wide = (WIDTH - LEFT - 4) / len(timesteps)
    parts = []
    for k in thinned(len(timesteps), 12):
        parts.append(text(LEFT + (k + 0.5) * wide, 14, str(timesteps[k]), at="middle", class_="tick"))
    for k, name in enumerate(names):
        y = TOP + k * ROW
        parts.append(row_label(y + 14, name))
        for column, t in enumerate(timesteps):
            shade, hint, said = cell(k, t, wide)
            parts.append(box(LEFT + column * wide + 0.75, y + 0.75, wide - 1.5, ROW - 1.5, shade, hint))
            if said is not None:
                parts.append(text(LEFT + (column + 0.5) * wide, y + 14, said, at="middle", class_=f"on {shade}"))
    return picture(title, description, TOP + ROW * len(names) + 4, parts)
