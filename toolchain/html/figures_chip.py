"""The chip: which cores hold the program, how full they are, and what an inference costs."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import Any

from snnas.hw_sim.energy.price import Bill, Line
from snnas.hw_sim.map.mapping import Mapping
from snnas.hw_sim.map.system import RESOURCES, UNLIMITED
from snnas.toolchain.html.bands import Row, bars
from snnas.toolchain.html.material import LAVA, C, Material, Missing
from snnas.toolchain.output.c import ENDS
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table
from snnas.toolchain.output.report import short, span
from snnas.toolchain.output.svg import WIDTH, Picture, box, dot, picture, rule, text, thinned, ticks

CHIPS = 4  # that are drawn
CORES = 200  # dots per resource
SHADES = 6
ENERGY, PARTS = "Energy by part", ("encode", "dynamic", "floor", "total")
WORDS = {
    "compartments": "neurons",
    "synapse_bytes": "synaptic memory",
    "in_axons": "incoming axons",
    "out_axons": "outgoing axons",
}


def section(material: Material) -> Raw:
    """Placement and utilisation, estimated from the published limits of a core."""
    _of_a_chip(material)
    placed = material.placement
    words = f"{placed.cores} of {placed.chips * placed.system.cores} cores of {placed.chips} {placed.system.name} chip"
    words += f"{'s' if placed.chips != 1 else ''} ({material.provenance('resources')}): packed in layer order, then "
    words += "moved so that messages take fewer hops."
    if placed.hops is not None and placed.hops.after < placed.hops.before:
        words += (
            f" Of {placed.hops.before:,.0f} hops {placed.hops.after:,.0f} are left, one spike of every neuron counted."
        )
    misfits = [note(str(m), class_="warn") for m in placed.misfits]
    return join(note(words), misfits, el("div", _chips(placed), _utilisation(placed), class_="grid"))


def _of_a_chip(material: Material) -> None:
    if material.target == C:
        raise Missing(f"The last export is C, which needs no chip: snnas export {material.run.name} --target {LAVA}")


def _fullest(usage: dict[str, tuple[int, int]]) -> tuple[str, float]:
    """The fullest resource of a core, of those with a limit, and how full."""
    known = [r for r in RESOURCES if usage[r][1] < UNLIMITED]
    name = max(known, key=lambda r: usage[r][0] / usage[r][1])
    return name, usage[name][0] / usage[name][1]


def _chips(placed: Mapping) -> Raw:
    """Tiles of a chip with their cores; the number is the core's, the shade how full its fullest resource is."""
    system, used = placed.system, placed.cores
    chips = min(placed.chips_used, CHIPS)
    columns = -(-system.cores // (system.tile_cores * system.mesh_rows))
    across = 2 if system.tile_cores > 1 else 1
    down = -(-system.tile_cores // across)
    tile = (WIDTH - 4) / columns
    size = (tile - 5) / across
    high = down * size + 5
    holds: list[list[str]] = [[] for _ in range(used)]
    for s in placed.slices:
        if s.population not in holds[s.core]:
            holds[s.core].append(s.population)
    parts, top = list[Raw](), 0.0
    for chip in range(chips):
        if placed.chips_used > 1:
            parts.append(text(2, top + 12, f"chip {chip}", class_="name"))
            top += 18
        for local in range(system.cores):
            core = chip * system.cores + local
            _, column, row = system.position(core)
            k = local % system.tile_cores
            x, y = 2 + column * tile + 2 + (k % across) * size, top + row * high + 2 + (k // across) * size
            if core >= used:
                parts.append(box(x + 0.75, y + 0.75, size - 1.5, size - 1.5, "none"))
                continue
            name, share = _fullest(placed.usage[core])
            shade = f"s{min(SHADES, 1 + int(share * SHADES))}"
            hint = f"core {core}: {', '.join(holds[core])}; {WORDS[name]} {share:.0%}"
            parts.append(box(x + 0.75, y + 0.75, size - 1.5, size - 1.5, shade, hint))
            if size >= 14 and core < 1000:
                parts.append(text(x + size / 2, y + size / 2 + 4, str(core), at="middle", class_=f"on small {shade}"))
        top += system.mesh_rows * high + 6
    rows = [_core_row(placed, core, holds[core]) for core in thinned(used, 200)]
    head = ("core", "chip, column, row", "populations", *(WORDS[r] for r in RESOURCES))
    notes = "A square is a core, with its number; the stronger the shade, the fuller its fullest resource."
    if placed.chips_used > chips:
        notes += f" The first {chips} of {placed.chips_used} chips are drawn."
    drawn = picture("Placement", f"{used} cores on {placed.chips_used} chips", top, parts)
    return figure("Placement", drawn, notes, data=table(head, rows, label="cores", left=3))


def _core_row(placed: Mapping, core: int, holds: list[str]) -> list[str]:
    def share(resource: str) -> str:
        used, limit = placed.usage[core][resource]
        return f"{used:,} of {limit:,} ({used / limit:.0%})" if limit < UNLIMITED else f"{used:,}"

    where = ", ".join(map(str, placed.system.position(core)))
    return [str(core), where, ", ".join(holds), *(share(r) for r in RESOURCES)]


def _utilisation(placed: Mapping) -> Raw:
    """Every core as a dot on the scale of each resource, and their mean."""
    found = placed.utilisation
    shares = {r: [u[r][0] / u[r][1] for u in placed.usage] for r in RESOURCES if found[r].limit is not None}
    top = max(1.0, *(v for values in shares.values() for v in values))
    left, row = 122.0, 40.0
    height = row * len(shares) + 40
    parts = []
    for value in ticks(0, top, 4):
        x = left + value / top * (WIDTH - left - 16)
        parts.append(rule(x, 6, x, height - 32, "guide"))
        parts.append(text(x, height - 18, f"{100 * value:.0f} %", at="middle", class_="tick"))
    parts.append(text(WIDTH - 16, height - 3, "share of a core's limit", at="end", class_="name"))
    for k, (resource, values) in enumerate(shares.items()):
        y = 6 + row * (k + 0.5)
        mean = left + sum(values) / len(values) / top * (WIDTH - left - 16)
        parts.append(text(left - 8, y + 4, WORDS[resource], at="end"))
        parts.append(rule(mean, y - 13, mean, y + 13, "mark"))
        # Dots of equal cores fan out a little, so that they can be counted.
        for n, core in enumerate(thinned(len(values), CORES)):
            x = left + values[core] / top * (WIDTH - left - 16)
            parts.append(dot(x, y - 6 + 3 * (n % 5), "c1 light", size=3, hint=f"core {core}: {values[core]:.0%}"))
    rows = []
    for r in RESOURCES:
        u = found[r]
        limit = "unpublished" if u.limit is None else f"{u.limit:,}"
        filled = ("-" if share is None else f"{share:.1%}" for share in (u.mean, u.highest))
        rows.append((WORDS[r], f"{u.used:,}", limit, *filled, str(u.binds)))
    head = ("resource", "used", "limit of a core", "mean", "highest", "cores that it fills most")
    notes = "A dot is a core, the upright line their mean."
    notes += f" Most cores are bound by {WORDS[placed.binds]}."
    drawn = picture("Core utilisation", f"{placed.cores} cores, {len(shares)} resources", height, parts)
    return figure("Core utilisation", drawn, notes, data=table(head, rows, label="utilisation"))


def energy(material: Material) -> Raw:
    """The bill: parts with their bands, then every line with its constant's basis and source."""
    _of_a_chip(material)
    report = material.report["energy_uJ"]
    if report["total"]["nominal"] is None:
        raise Missing("No energy: the program fits no system, or the profile prices nothing of it.")
    words = f"uJ per inference at batch 1, {material.provenance('energy_uJ')}; profile {report['profile']}, "
    words += f"evidence: {report['evidence']} (the weakest constant used). A band's ends are the ends of every "
    words += "constant's own range, added as if they moved together."
    unpriced = note(f"Not priced by {report['profile']}: {', '.join(map(str, report['unpriced']))}.")
    parts = [_parts(report)]
    try:
        bill = material.bill
        parts.append(_items(bill))
        lines = join(el("h3", "The bill, line by line"), _lines(bill))
    except Missing as missing:
        lines = note(f"Not itemised. {missing}")
    return join(note(words), el("div", parts, class_="grid"), lines, unpriced if report["unpriced"] else None)


def draw_energy(energy: dict[str, Any]) -> Picture:
    """Its parts with their bands; a part that is not priced is None, or has no nominal value."""
    none: dict[str, float | None] = dict.fromkeys(ENDS)
    bands: dict[str, dict[str, float | None]] = {name: energy[name] or none for name in PARTS}
    lines = [
        Row.of(n, b, "not priced" if b["nominal"] is None else span(b), heavy=n == "total") for n, b in bands.items()
    ]
    return bars(ENERGY, "uJ per inference", lines, left=66, right=148)


def _parts(report: dict[str, dict[str, float | None]]) -> Raw:
    rows = [(name, *(short(report[name][end]) for end in ENDS)) for name in PARTS]
    return figure(
        ENERGY,
        draw_energy(report),
        "The bar is the band, the upright line the nominal value. Encode: the host stage and injected spikes. Floor: "
        "idle and running power times latency.",
        data=table(("part", "low", "nominal", "high"), rows, label=ENERGY),
    )


def _items(bill: Bill) -> Raw:
    lines = sorted(bill.lines, key=lambda line: -line.energy.nominal)
    title = "Energy by item"
    rows = [(line.item, *map(short, astuple(line.energy))) for line in lines]
    drawn = [Row.of(line.item, asdict(line.energy), short(line.energy.nominal)) for line in lines]
    return figure(
        title,
        bars(title, "uJ per inference", drawn, left=110, right=50),
        "The same for every constant that priced something, with its nominal value.",
        data=table(("item", "low", "nominal", "high"), rows, label=title),
    )


def _lines(bill: Bill) -> Raw:
    def row(line: Line) -> tuple[str, ...]:
        return line.item, line.part, line.basis, f"{line.count:,.1f}", *map(short, astuple(line.energy)), line.source

    head = ("item", "part", "basis", "count / inference", "low, uJ", "nominal", "high", "source of the constant")
    rows = [row(line) for line in bill.lines]
    if bill.total is not None:
        version = f"{bill.profile} v{bill.profile_version}"
        rows.append(("total", "", bill.evidence or "", "", *map(short, astuple(bill.total)), version))
    return table(head, rows, label="energy bill", left=3, class_="bill", ends=frozenset({len(bill.lines) - 1}))
