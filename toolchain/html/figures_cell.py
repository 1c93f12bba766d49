"""The searched cell as a graph: four nodes in a row, forward edges above and solid, backward ones below and dashed."""

from __future__ import annotations

from collections.abc import Sequence

from snnas.search.network.genotype import CONV_KERNELS, NODES, ZEROIZE, Cell, Edge, edge_name
from snnas.toolchain.html.material import Material, Missing
from snnas.toolchain.output.markup import Raw, el, figure, join, note, number, table
from snnas.toolchain.output.svg import WIDTH, Picture, box, picture, sampled, text

# Colours of the style sheet; the name of the operation stands on the edge besides.
CLASSES = {"skip": "c6", "conv1x1": "c3", "conv3x3": "c1", "avgpool3x3": "c4", "conv5x5": "c2", "conv3x3d2": "c5"}
FULL = {
    "skip": "skip: the value itself",
    "conv1x1": "conv1x1: LIF, convolution 1 x 1, BN",
    "conv3x3": "conv3x3: LIF, convolution 3 x 3, BN",
    "conv5x5": "conv5x5: LIF, convolution 5 x 5, BN",
    "conv3x3d2": "conv3x3d2: LIF, convolution 3 x 3 of every second pixel, BN",
    "avgpool3x3": "avgpool3x3: mean of 3 x 3",
}
MARGIN, RADIUS = 34, 17
PLACES = [MARGIN + k * (WIDTH - 2 * MARGIN) / 3 for k in NODES]
RISE = {1: 40.0, 2: 80.0, 3: 122.0}  # how far an edge bows, by the nodes it spans
ASIDE = {1: 14.0, 2: 5.0, 3: -5.0}  # from a node's middle to where an edge touches it: edges stay apart


def section(material: Material) -> Raw:
    """The cells, and how to read them."""
    words = "Node 0 is the cell's input, node 3 its output. Values are added at a node. A forward edge acts within the "
    words += "timestep; a backward edge (dashed) carries what a node did one timestep earlier."
    return join(note(words), cells(material))


def cells(material: Material) -> Raw:
    """One figure per distinct cell."""
    genotype = _genotype(material)
    if isinstance(genotype, Raw):
        return genotype
    return el("div", [_figure(cell, title) for cell, title in titled(genotype).items()], class_="grid")


def titled(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Each distinct cell, and what is said of which it is."""
    same: dict[Cell, list[int]] = {}
    for k, cell in enumerate(cells, start=1):
        same.setdefault(cell, []).append(k)
    return {
        cell: f"Cell {ks[0]}" if len(ks) == 1 else f"Cells {', '.join(map(str, ks))} (the same)"
        for cell, ks in same.items()
    }


def _genotype(material: Material) -> tuple[Cell, ...] | Raw:
    """The cells, or what is shown of an architecture without such cells."""
    try:
        return material.genotype.cells
    except Missing as missing:
        plain = material.plain_genotype
        rows = [
            (f"cell {k}", str(cell.get("motif", "-")), ", ".join(f"{e} {v}" for e, v in cell["kernels"].items()))
            for k, cell in enumerate(plain.get("cells", ()), start=1)
            if isinstance(cell, dict) and isinstance(cell.get("kernels"), dict)
        ]
        if not rows:
            raise
        links = f", links {plain['links']}" if plain.get("links") else ""
        head = note(f"{missing} Its motifs instead; fan-in {plain.get('fan_in')}{links}.")
        return join(head, table(("cell", "motif", "kernel of each synapse"), rows, label="motifs", left=3))


def _figure(cell: Cell, title: str) -> Raw:
    live, ops = cell.live(), cell.ops()
    drawn = {edge: op for edge, op in ops.items() if op != ZEROIZE}
    dead = sorted(set(drawn) - set(live))
    rows = [(edge_name(e), op, "yes" if e in live else "no") for e, op in ops.items() if e[0] < e[1] or op != ZEROIZE]
    convolutions = sum(op in CONV_KERNELS for op in live.values())
    return figure(
        f"{title}: {convolutions} convolution{'s' if convolutions != 1 else ''}, {len(live)} live edges",
        join(_legend(drawn), draw(cell, title)),
        "Grey: an edge on no way from input to output, which does nothing." if dead else None,
        data=table(("edge", "operation", "live"), rows, label=f"edges of {title}", left=3),
    )


def draw(cell: Cell, title: str) -> Picture:
    """One cell."""
    live = cell.live()
    drawn = {edge: op for edge, op in cell.ops().items() if op != ZEROIZE}
    backward = any(i > j for i, j in drawn)
    above = max([RISE[j - i] for i, j in drawn if i < j and j - i > 1], default=10.0)
    below = max([RISE[i - j] for i, j in drawn if i > j], default=10.0)
    level = above + 34
    parts = [_edge(edge, op, level, dead=edge not in live) for edge, op in drawn.items()]
    parts += [_node(k, level) for k in NODES]
    said = ", ".join(f"{edge_name(e)} {op}" for e, op in live.items()) or "no edge from input to output"
    return picture(title, said, level + below + (30 if backward else 22), parts)


def _legend(drawn: dict[Edge, str]) -> Raw:
    return sampled((_line("M1 7H25", CLASSES[op]), FULL[op]) for op in dict.fromkeys(drawn.values()))


def _line(d: str, class_: str, *, dashed: bool = False) -> Raw:
    return el("path", d=d, class_=f"edge {class_}" + (" dashed" if dashed else ""))


def _node(k: int, level: float) -> Raw:
    x = PLACES[k]
    role = {0: "in", 3: "out"}.get(k)
    ring = el("circle", cx=x, cy=level, r=RADIUS, class_="node")
    return join(ring, text(x, level + 4.5, role or str(k), at="middle", class_="strong"))


def _edge(edge: Edge, op: str, level: float, *, dead: bool) -> Raw:
    """An arc with its arrow and the name of its operation at the apex."""
    i, j = edge
    back, reach = i > j, abs(j - i)
    x0, x1, sign = PLACES[i], PLACES[j], 1 if back else -1
    middle, class_ = (x0 + x1) / 2, "dead" if dead else CLASSES[op]
    ahead = 1 if x1 > x0 else -1
    if not back and reach == 1:
        end, tip = x1 - RADIUS - 2, (1.0, 0.0)
        line = f"M{number(x0 + RADIUS)} {number(level)}H{number(end - 7)}"
        head, label_y = (end, level), level - 10
    else:
        # A cubic's apex lies three quarters of the way to its control points.
        lift = sign * RISE[reach] / 0.75
        aside = ASIDE[reach]
        rim = sign * (RADIUS**2 - aside**2) ** 0.5
        start, stop = (x0 + ahead * aside, level + rim), (x1 - ahead * aside, level + rim + sign * 2)
        away = (x1 - ahead * (aside + 10), level + lift)
        norm = max(1e-9, ((stop[0] - away[0]) ** 2 + (stop[1] - away[1]) ** 2) ** 0.5)
        tip = ((stop[0] - away[0]) / norm, (stop[1] - away[1]) / norm)
        last = (stop[0] - 6 * tip[0], stop[1] - 6 * tip[1])
        curve = (*start, start[0] + ahead * 10, level + lift, *away, *last)
        line = "M{} {}C{} {} {} {} {} {}".format(*map(number, curve))
        head, label_y = stop, level + 0.75 * lift + 0.25 * rim
    wide = 7.1 * len(op) + 8
    plate = box(middle - wide / 2, label_y - 8.5, wide, 17, "plate")
    name = text(middle, label_y + 4, op, at="middle", class_=f"op {class_}")
    return join(_line(line, class_, dashed=back), _arrow(head, tip, class_), plate, name)


def _arrow(head: tuple[float, float], way: tuple[float, float], class_: str) -> Raw:
    (x, y), (dx, dy) = head, way
    left, right = (x - 9 * dx - 4 * dy, y - 9 * dy + 4 * dx), (x - 9 * dx + 4 * dy, y - 9 * dy - 4 * dx)
    corners = (number(v) for point in ((x, y), left, right) for v in point)
    return el("path", d="M{} {}L{} {}L{} {}Z".format(*corners), class_=f"arrow {class_}")
