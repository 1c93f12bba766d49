"""What no network of a search can take less than: a budget below that is refused before anything is scored or trained.

The bound is of the network around the cells (stem, reductions, head), which every candidate has, with cells that hold
as little as a cell can, without a single spike, every neuron idle, without relays, and with cores that have nothing to
wait for: what is left is the host stage, the idle updates of neurons that are there, and the idle power of one chip
while the barriers pass. Neurons, parameters and memory are counted on the same networks, cores by the neurons alone.

What lies above that bound may be out of reach all the same: the smallest networks that a search has are priced as it
prices all, and a budget that they miss by far is refused too. On digits the cheapest of hundreds that were drawn was
among the first few of these, in every figure but cores (1.25 times as many).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.errors import GateError, SnnasError
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.counts import CoreCount, PopulationCount
from snnas.hw_sim.simulate.expected import expected_counts
from snnas.toolchain.exporting.on_target import program_kind
from snnas.toolchain.searching.budgets import OF_DEVICE, Limits, amounts, excesses
from snnas.toolchain.searching.cost import Predictor, known_early

if TYPE_CHECKING:
    from snnas.search.kinds import Architecture, Sizes

EARLY = ("neurons", "parameters", "memory")  # known before a network is built
PRICED = ("energy_total", "energy_dynamic", "latency", "cores")
GROWING = (*EARLY, *PRICED, "chips", "spikes", "synops", *OF_DEVICE)  # with the network; an activity rate does not
FAR = 1.5  # times the limit: what the smallest networks take at the least where a budget is refused
FEW = 6  # of the smallest networks

# A network that holds less than candidates do, and the sizes that it is built with.
Floor = tuple["Architecture", "Sizes"]


def refuse_hopeless(limits: Limits, floors: Sequence[Floor], predictor: Predictor, mend: str) -> None:
    """GateError where no candidate can keep the limits.

    floors: every candidate holds more than one of them; () where none is known. mend: how the error ends.
    """
    wanted = {name for name in (*EARLY, *PRICED) if name in limits}
    found = least(floors, predictor, wanted)
    over = excesses({name: limits[name] for name in found}, dict(found))
    if over:
        name = over[0].metric
        raise GateError(
            f"search: no network of these sizes keeps {amounts({name: limits[name]})}: with empty cells and not a "
            f"single spike it is {amounts({name: found[name]}, measured=True)}; {mend}"
        )


def refuse_unlikely(limits: Limits, smallest: Iterable[Any], predictor: Predictor, mend: str) -> None:
    """GateError where the smallest candidates miss a limit by far, as they are predicted.

    smallest: priced one after the other, until each limit is near. mend: how the error ends.
    """
    far = {name: FAR * limit for name, limit in limits.items() if name in GROWING}
    nearest: dict[str, float] = {}
    for candidate in smallest if far else ():
        (cost,) = predictor([candidate])
        if isinstance(cost, str):
            continue  # it has no program before training
        for name in far:
            nearest[name] = min(nearest.get(name, math.inf), _or_infinite(cost.figures[name]))
        if not excesses(far, dict(nearest)):
            return
    over = [excess for excess in excesses(far, dict(nearest)) if excess.value is not None]
    if over:
        name = over[0].metric
        raise GateError(
            f"search: no network of these sizes is likely to keep {amounts({name: limits[name]})}: of the smallest the "
            f"cheapest is predicted to take {amounts({name: nearest[name]}, measured=True)}; {mend}"
        )


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def least(floors: Sequence[Floor], predictor: Predictor, wanted: set[str]) -> dict[str, float]:
    """Lower bounds of the figures that budgets bind on, upper ends of bands; of what nothing bounds there is none."""
    every = []
    for genotype, sizes in floors:
        early = known_early(genotype, sizes, predictor.widths)
        found = {name: float(early[name] or 0) for name in EARLY}
        every.append(found | (_priced(genotype, sizes, predictor) if wanted & {*PRICED} else {}))
    names = set[str].intersection(wanted, *map(set, every)) if every else ()
    return {name: min(found[name] for found in every) for name in sorted(names)}


def _priced(genotype: Architecture, sizes: Sizes, predictor: Predictor) -> dict[str, float]:
    """What one network takes at the least; {} where it has no program or fits no system."""
    from snnas.toolchain.training import build

    network = build(genotype, sizes, seed=predictor.seed).eval()
    kind = program_kind(network.config.input_kind)
    try:
        program = compile_graph(
            fold(network.layers()),
            timesteps=network.config.timesteps,
            input_kind=kind,
            input_range=predictor.input_range,
        )
    except SnnasError:
        return {}
    system, profile = predictor.chip.system, predictor.chip.profile
    there = [p for p in program.populations if p.role != "relay"]
    bounds = {"cores": float(math.ceil(sum(p.size for p in there) / system.compartments))}
    mapping = map_program(program, system)
    if profile is None or not mapping.fits:
        return bounds
    counts = expected_counts(program, mapping, {INPUT: 0.0} | {p.id: 0.0 for p in program.populations})
    nothing = tuple(np.zeros(counts.steps, int).tolist())
    free = CoreCount(compartments=0, synops=nothing, active=nothing, messages=nothing)
    idle = tuple(_idle(p) for p in counts.populations if p.role != "relay")
    counts = replace(counts, populations=idle, cores=(free,), chips_used=1, chips=min(system.chips))
    latency = estimate_latency(counts, profile)
    bill = price(counts, profile, latency)
    bands = (bill.total, bill.dynamic, latency.inference_us if latency else None)
    return bounds | {name: band.high for name, band in zip(PRICED[:3], bands, strict=True) if band is not None}


def _idle(count: PopulationCount) -> PopulationCount:
    """The same neurons, none of which any input reaches."""
    return replace(
        count,
        active=0,
        idle=count.active + count.idle,
        fill_active=0,
        fill_idle=count.fill_active + count.fill_idle,
    )
