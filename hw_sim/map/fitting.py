"""Three ways to make a program fit that does not, each with a number: channels, bits, tiles or chips."""

from __future__ import annotations

import math

from snnas.hw_sim.map.mapping import Mapping, Misfit, map_program
from snnas.hw_sim.map.wiring import Box, Wiring, wirings
from snnas.hw_sim.program import Program

FEWER_BITS = (4, 2, 1)
REMAP_NEURONS = 300_000  # a program of more is not mapped again for advice: that takes a minute each time


def advice(program: Program, mapping: Mapping) -> list[str]:
    """Sentences on the worst misfit: fewer channels, fewer bits, more tiles. Nothing where the program fits."""
    if mapping.fits:
        return []
    worst = max(mapping.misfits, key=lambda m: m.used / m.limit)
    if mapping.system.core is not None:
        keep = math.floor(100 * worst.limit / worst.used)
        what = {"flash": "weights", "ram": "neurons"}[worst.resource]
        bits = ["bits: --bits 4 halves the weights"] if worst.resource == "flash" and program.weight_bits == 8 else []
        return [f"{what}: keep about {keep} % of them: fewer channels, or a smaller head", *bits]
    return _on_cores(program, mapping, worst) if worst.resource == "cores" else _on_a_neuron(program, mapping, worst)


def _on_cores(program: Program, mapping: Mapping, misfit: Misfit) -> list[str]:
    share = misfit.limit / misfit.used
    found = mapping.utilisation
    keep = max(1, math.floor(100 * (math.sqrt(share) if mapping.binds == "synapse_bytes" else share)))
    channels = f"channels: keep about {keep} % of them in every layer ({mapping.binds} bind most cores)"
    chips = -(-misfit.used // mapping.system.cores)
    tiles = (
        f"chips: {chips} of {mapping.system.name} would hold it, the largest system has {mapping.system.chips[-1]}; "
        f"its cores are {found['compartments'].mean or 0:.0%} full of neurons"
    )
    bits = "bits: not tried, the program is too large to map again"
    if sum(p.size for p in program.populations) <= REMAP_NEURONS:
        fewer = [b for b in FEWER_BITS if b < program.weight_bits]
        tried = {b: map_program(program, mapping.system, weight_bits=b).cores for b in fewer}
        enough = next((b for b, cores in tried.items() if cores <= misfit.limit), None)
        counts = ", ".join(f"{cores} core{'' if cores == 1 else 's'} at {b}" for b, cores in tried.items())
        bits = f"bits: {'enough at ' + str(enough) if enough else 'not enough'} ({counts})"
    return [channels, bits, tiles]


def _on_a_neuron(program: Program, mapping: Mapping, misfit: Misfit) -> list[str]:
    """Cutting ended at one neuron (or one row), so only what reaches that neuron can shrink."""
    share = misfit.limit / misfit.used
    place, into = misfit.place, [w for w in wirings(program).values() if w.dst == misfit.place]
    if not into:
        return [f"neurons: the host alone feeds {place}; make it smaller, or let its readers lie on fewer cores"]
    largest = max(into, key=lambda w: w.memory(_neuron(w)))
    c, h, w = largest.src_shape
    keep = math.floor(c * share)
    how = f"at most {keep} of its {c} channels" if keep else f"at most {math.floor(c * h * w * share)} neurons"
    channels = f"channels: let {place} read {how}"
    if h * w > 1:
        side = math.ceil(math.sqrt(misfit.used / misfit.limit))
        channels += f", or max-pool its {h}x{w} input by {side} (to {c * (h // side) * (w // side)} neurons)"
    bits = "bits: they change no axon"
    if misfit.resource == "synapse_bytes":
        sizes = {
            b: sum(x.memory(_neuron(x)) for x in _at(program, place, b)) for b in FEWER_BITS if b < program.weight_bits
        }
        enough = next((b for b, size in sizes.items() if size <= misfit.limit), None)
        shown = ", ".join(f"{size} bytes at {b}" for b, size in sizes.items())
        why = "" if enough else "; a source's list takes a word of 64 bits, however short"
        bits = f"bits: {'enough at ' + str(enough) if enough else 'not enough'} ({shown}{why})"
    parts = math.ceil(misfit.used / misfit.limit)
    tiles = (
        f"tiles: more cores do not help, one neuron's fan-in lies on one core; put a population between, "
        f"{parts} groups that read 1/{parts} of the inputs each"
    )
    if misfit.resource == "out_axons":
        tiles = f"tiles: {place} reaches too many cores; its readers must lie on at most {share:.0%} of them"
    return [channels, bits, tiles]


def _at(program: Program, place: str, bits: int) -> list[Wiring]:
    return [w for w in wirings(program, bits).values() if w.dst == place]


def _neuron(wire: Wiring) -> Box:
    """One neuron in the middle, where nothing of its window is padding."""
    (h, w) = wire.dst_shape[1] // 2, wire.dst_shape[2] // 2
    return (0, 1, h, h + 1, w, w + 1)
