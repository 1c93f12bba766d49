"""One sample on its way through the program: its input, every population's spikes, what the host reads."""

from __future__ import annotations

import numpy as np

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.program import Population
from snnas.hw_sim.readout import Readout
from snnas.toolchain.html.material import Material, Missing
from snnas.toolchain.output import svg
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table

SAMPLE = 0
POPULATIONS = 32
NEURONS = 40  # of each population
STEPS = 160
CLASSES = 20


def section(material: Material) -> Raw:
    """The first recorded sample: its input, every population's spikes by hardware step, and what the host reads."""
    program = material.program
    ordered = program.in_order
    shown = svg.picked(ordered, POPULATIONS)
    spikes = {p.id: material.spikes(p.id)[SAMPLE] for p in shown}
    label = int(material.golden["labels"][SAMPLE])
    logits = material.golden["logits"][SAMPLE]
    words = f"Sample {SAMPLE} of the recorded ones, as the program runs it (simulated): label {label}, predicted "
    words += f"{int(logits.argmax())}. Every population starts as its depth in the schedule says, so a timestep runs "
    words += "down the picture to the right."
    side = join(_input(material), _logits(logits, label, program.readout))
    return join(note(words), el("div", _raster(material, shown, spikes), el("div", side), class_="grid"))


def _raster(material: Material, shown: list[Population], spikes: dict[str, np.ndarray]) -> Raw:
    program, schedule = material.program, material.program.schedule
    steps = (program.timesteps - 1) * schedule.period + schedule.total_depth
    drawn_steps = min(steps, STEPS)
    wide = (svg.WIDTH - svg.LEFT - 6) / drawn_steps
    marks: list[tuple[float, float]] = []
    parts: list[Raw] = []
    y, few, rows = 6.0, False, []
    for population in shown:
        places = svg.thinned(population.size, NEURONS)
        few |= len(places) < population.size
        fired, depth = spikes[population.id], schedule.depth[population.id]
        high = max(12.0, len(places) + 2.0)
        parts.append(svg.box(svg.LEFT, y, svg.WIDTH - svg.LEFT - 6, high, "strip"))
        parts.append(svg.row_label(y + high / 2 + 4, population.id))
        for t in range(program.timesteps):
            step = t * schedule.period + depth
            if step < drawn_steps:
                hits = np.flatnonzero(fired[t, places])
                x = svg.LEFT + (step + 0.06) * wide
                marks += [(x, y + 1.5 + float(k) * (high - 2) / len(places)) for k in hits]
        rows.append((population.id, f"{population.size:,}", str(depth), *(f"{n:,}" for n in fired.sum(axis=1)[:STEPS])))
        y += high + 4
    for value in svg.ticks(0, drawn_steps, 8):
        if float(value).is_integer() and value < drawn_steps:
            x = svg.LEFT + (value + 0.5) * wide
            parts.append(svg.text(x, y + 10, svg.brief(value), at="middle", class_="tick"))
    parts.append(svg.text(svg.WIDTH - 6, y + 24, "hardware step", at="end", class_="name"))
    parts.append(svg.dashes(marks, wide * 0.88, "spikes"))
    notes = f"A dash is a spike. At most {NEURONS} neurons of a population are drawn, evenly spread." if few else None
    if drawn_steps < steps:
        notes = f"{notes or ''} The first {drawn_steps} of {steps} hardware steps."
    total = sum(int(s.sum()) for s in spikes.values())
    picture_ = svg.picture("Spike raster", f"{total} spikes of {len(shown)} populations", y + 30, parts)
    head = ("population", "neurons", "depth", *(f"t = {t}" for t in range(min(STEPS, program.timesteps))))
    more = svg.left_out(len(shown), len(program.populations), "populations")
    return figure("Spike raster", picture_, notes, more, data=table(head, rows, label="spikes per timestep"))


def _input(material: Material) -> Raw:
    """What the network saw: the mean over channels, the sum over timesteps."""
    try:
        x = read_npz(material.exported("stimulus.npz"), what="stimulus")["x"][SAMPLE].astype(np.float64)
    except Missing as missing:
        return note(str(missing))
    shape = " x ".join(map(str, x.shape))
    how = ["sum over timesteps"] * (x.ndim == 4) + ["mean of channels"] * (x.shape[-3] > 1)
    frame = x.sum(axis=0) if x.ndim == 4 else x
    grey = frame.mean(axis=0)
    low, high = float(grey.min()), float(grey.max())
    levels = np.round(255 * (grey - low) / (high - low or 1.0)).astype(np.uint8)
    tall, wide = levels.shape
    scale = min(160 / tall, 320 / wide)
    parts = svg.image(levels, (svg.WIDTH - wide * scale) / 2, 4, wide * scale, tall * scale, f"{wide} x {tall} pixels")
    said = f"{wide} x {tall} pixels, {low:.3g} black to {high:.3g} white"
    drawn = svg.picture("Input", said, tall * scale + 8, parts)
    row = (shape, f"{low:.4g}", f"{high:.4g}", f"{grey.mean():.4g}")
    data = table(("shape", "lowest", "highest", "mean"), [row], label="input")
    return figure("Input", drawn, f"Drawn: {', '.join(how)}." if how else None, data=data)


def _logits(logits: np.ndarray, label: int, readout: Readout) -> Raw:
    """What the host reads, per class, in units of the float network's output."""
    values = logits / (64.0 * readout.scale)
    order = list(range(len(values)))
    if len(order) > CLASSES:
        order = sorted(np.argsort(-values, kind="stable")[:CLASSES].tolist())
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    left, reach = 30.0, svg.WIDTH - 30.0 - 130.0
    unit = reach / ((high - low) or 1.0)
    zero = left - low * unit
    parts, best = [svg.rule(zero, 4, zero, 8 + 16 * len(order), "axis")], int(logits.argmax())
    for k, c in enumerate(order):
        y, value = 6 + 16.0 * k, float(values[c])
        parts.append(svg.text(left - 8, y + 11, str(c), at="end"))
        colour = "bar c1" if c == best else "bar c6"
        parts.append(svg.box(min(zero, zero + value * unit), y + 1, abs(value) * unit, 12, colour))
        words = [f"{value:.3g}"] + ["predicted"] * (c == best) + ["label"] * (c == label)
        parts.append(svg.text(zero + max(0.0, value) * unit + 5, y + 11, ", ".join(words), class_="tick"))
    drawn = svg.picture("Output of each class", f"Highest: class {best}", 12 + 16 * len(order), parts)
    rows = [(str(c), f"{float(values[c]):.5g}", f"{int(logits[c]):,}") for c in range(len(values))]
    data = table(("class", "output", "1/64 weight units"), rows, label="outputs")
    few = svg.left_out(len(order), len(values), "classes")
    read = {"sum": "summed over timesteps", "last": "at the last timestep", "max": "its largest value"}[readout.read]
    return figure(f"Output of each class, {read}", drawn, few, data=data)
