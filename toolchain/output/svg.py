"""A small toolkit of pictures: a plane with axes, lines, dots, bars, bands, arrows, and images of one byte a pixel.

Pictures are ``WIDTH`` units wide and shown at about that many pixels, on a telephone and on a desk, so that their text
is never small. Colours are classes of the style sheet (``c1`` .. ``c6``, ``s0`` .. ``s9``), which knows both themes.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from snnas.toolchain.output.markup import Part, Raw, el, join, number

Item = TypeVar("Item")
WIDTH = 400
LEFT = 124.0  # units that names of populations take
ROW = 20.0
MOST = 48  # populations that are drawn


class Picture(Raw):
    """An image of ``width`` times ``height`` units: in a page as it is, or ``at`` a place of a larger one."""

    __slots__ = ("height", "width")
    width: float
    height: float

    def at(self, x: float, y: float) -> Raw:
        place = f'x="{number(x)}" y="{number(y)}" width="{number(self.width)}" height="{number(self.height)}"'
        return Raw(f"<svg {place}{self.removeprefix('<svg')}")


def picture(
    title: str, description: str, height: float, *parts: Part | Iterable[Part], width: float = WIDTH
) -> Picture:
    """An image with a name and a description for who does not see it."""
    drawn = Picture(
        el(
            "svg",
            el("title", title),
            el("desc", description),
            *parts,
            viewBox=f"0 0 {number(width)} {number(height)}",
            role="img",
            aria_label=f"{title}: {description}",
            xmlns="http://www.w3.org/2000/svg",
        )
    )
    drawn.width, drawn.height = width, height
    return drawn


def text(x: float, y: float, said: str, *, at: str = "start", class_: str | None = None) -> Raw:
    """at: which end of the text stands at x: start, middle or end."""
    return el("text", said, x=x, y=y, text_anchor=None if at == "start" else at, class_=class_)


def rule(x1: float, y1: float, x2: float, y2: float, class_: str) -> Raw:
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str, hint: str | None = None) -> Raw:
    """A filled rectangle; a hint is shown under the pointer."""
    inner = el("title", hint) if hint else None
    return el("rect", inner, x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=class_)


def dot(x: float, y: float, class_: str, *, kind: int = 0, size: float = 3.2, hint: str | None = None) -> Raw:
    """A marker: 0 a disc, 1 a square, 2 a ring, 3 a cross. Series differ in it, not in colour alone."""
    inner = el("title", hint) if hint else None
    if kind == 1:
        return el("rect", inner, x=x - size, y=y - size, width=2 * size, height=2 * size, class_=class_)
    if kind == 3:
        arm = f"M{number(x - size)} {number(y - size)}l{number(2 * size)} {number(2 * size)}m0 {number(-2 * size)}"
        return el("path", inner, d=f"{arm}l{number(-2 * size)} {number(2 * size)}", class_=f"{class_} open")
    return el("circle", inner, cx=x, cy=y, r=size, class_=f"{class_} open" if kind == 2 else class_)


def path(points: Iterable[tuple[float, float]], class_: str) -> Raw:
    """A line through points."""
    return el("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points), class_=class_)


def dashes(marks: Iterable[tuple[float, float]], length: float, class_: str) -> Raw:
    """Many short horizontal strokes as one path: a raster."""
    return el("path", d="".join(f"M{number(x)} {number(y)}h{number(length)}" for x, y in marks), class_=class_)


def image(pixels: np.ndarray, x: float, y: float, width: float, height: float, label: str) -> Raw:
    """Grey levels, uint8 (rows, columns), as a PNG inside the page, its pixels kept sharp."""
    data = base64.b64encode(png(pixels)).decode()
    return el(
        "image", el("title", label), href=f"data:image/png;base64,{data}", x=x, y=y, width=width, height=height,
        class_="pixels", image_rendering="pixelated", preserveAspectRatio="none",
    )  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    """A greyscale PNG of uint8 (rows, columns); the same bytes for the same pixels."""
    rows, columns = pixels.shape
    lines = b"".join(b"\0" + np.ascontiguousarray(row, dtype=np.uint8).tobytes() for row in pixels)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(lines, 9)))
    chunks = (
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in (*parts, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values in low .. high, about ``count`` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """The powers of ten in low .. high, both positive."""
    ends = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(ends[0], ends[1] + 1)]


def finite(value: object) -> float:
    """A number of a log or a file; nan where there is none, so that it is drawn nowhere."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def brief(value: float) -> str:
    """A tick's label."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e-")
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


@dataclass(slots=True)
class Plane:
    """A rectangle with a horizontal and a vertical scale; what is drawn on it is collected in ``parts``.

    log: both scales are logarithmic; their values are positive.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    height: float = 216
    left: float = 46
    right: float = 12
    top: float = 24
    bottom: float = 40
    parts: list[Raw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x, self.y = _spread(self.x), _spread(self.y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        across = self._share(x, *self.x) * (WIDTH - self.left - self.right)
        up = self._share(y, *self.y) * (self.height - self.top - self.bottom)
        return self.left + across, self.height - self.bottom - up

    def _share(self, value: float, low: float, high: float) -> float:
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low)

    def _ticks(self, span: tuple[float, float], count: int) -> list[float]:
        return powers(*span) if self.log else ticks(*span, count)

    def axes(self, xlabel: str, ylabel: str, *, whole: bool = False, percent: bool = False) -> None:
        """Grid lines, ticks and names. whole: x in whole numbers. percent: y is a fraction."""
        floor = self.height - self.bottom
        for value in self._ticks(self.y, 4):
            y = self.at(self.x[0], value)[1]
            self.parts.append(rule(self.left, y, WIDTH - self.right, y, "guide"))
            said = f"{100 * value:.4g} %" if percent else brief(value)
            self.parts.append(text(self.left - 6, y + 4, said, at="end", class_="tick"))
        for value in self._ticks(self.x, 6):
            if whole and not float(value).is_integer():
                continue
            x = self.at(value, self.y[0])[0]
            self.parts.append(rule(x, floor, x, floor + 4, "axis"))
            self.parts.append(text(x, floor + 16, brief(value), at="middle", class_="tick"))
        self.parts.append(rule(self.left, floor, WIDTH - self.right, floor, "axis"))
        self.parts.append(text(WIDTH - self.right, self.height - 6, xlabel, at="end", class_="name"))
        self.parts.append(text(2, 10, ylabel, class_="name"))

    def line(self, xs: Sequence[float], ys: Sequence[float], class_: str, *, kind: int = 0, marks: bool = True) -> None:
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
        if len(points) > 1:
            self.parts.append(path(points, f"line {class_}" + (" dashed" if kind else "")))
        if marks or len(points) == 1:
            self.parts += [dot(x, y, class_, kind=kind) for x, y in points]

    def draw(self, title: str, description: str) -> Picture:
        return picture(title, description, self.height, self.parts)


def _spread(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    if high > low:
        return low, high
    room = abs(low) * 0.05 or 0.5
    return low - room, low + room


def around(values: Iterable[float], *, room: float = 0.06) -> tuple[float, float]:
    """A span a little larger than the values; 0 .. 1 of none."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    return low - room * (high - low), high + room * (high - low)


def around_logs(values: Iterable[float]) -> tuple[float, float]:
    """A span a little larger than the values, all positive, on a logarithmic scale."""
    low, high = around([math.log(value) for value in values])
    return math.exp(low), math.exp(high)


@dataclass(frozen=True, slots=True)
class Key:
    """A series in a legend. kind: of its marker, -1 for a bar; line: whether its points are joined."""

    name: str
    class_: str
    kind: int = 0
    line: bool = True

    def sample(self) -> Raw:
        if self.kind < 0:
            return box(2, 2, 22, 10, self.class_)
        stroke = rule(1, 7, 25, 7, f"line {self.class_}" + (" dashed" if self.kind else "")) if self.line else None
        return join(stroke, dot(13, 7, self.class_, kind=self.kind))


def legend(*keys: Key) -> Raw:
    """Names of series, in HTML above a picture, so that they wrap."""
    return sampled((key.sample(), key.name) for key in keys)


def sampled(entries: Iterable[tuple[Raw, str]]) -> Raw:
    """Samples of 26 times 14 units, each with its name."""
    lines = [el("li", el("svg", drawn, viewBox="0 0 26 14", aria_hidden="true"), name) for drawn, name in entries]
    return el("ul", lines, class_="legend")


def thinned(count: int, most: int) -> list[int]:
    """At most ``most`` places of 0 .. count - 1, evenly spread, both ends kept."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def picked(items: Sequence[Item], most: int = MOST) -> list[Item]:
    """``thinned``, of the items themselves."""
    return [items[k] for k in thinned(len(items), most)]


def row_label(y: float, name: str) -> Raw:
    """The name of a population, left of what is drawn of it."""
    return text(LEFT - 8, y, clip(name), at="end")


def clip(name: str, most: int = 19) -> str:
    """A name that fits, its middle left out."""
    return name if len(name) <= most else f"{name[: most - 8]}…{name[-7:]}"


def left_out(drawn: int, there: int, what: str) -> str | None:
    """What is to be said of a figure that does not draw everything."""
    return f"Thinned: {drawn} of {there} {what} are drawn; all are in the numbers." if drawn < there else None
