"""What no network of a search can take less than: a budget below that is refused before anything is scored.

The bound is of the network around the cells (stem, reductions, head), which every candidate has, with cells that hold
nothing but a skip, without a single spike, and with cores that have nothing to wait for: what is left is the host
stage, the updates of neurons that are there, and the idle power of one chip while the barriers pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.errors import GateError, SnnasError
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.counts import CoreCount
from snnas.hw_sim.simulate.expected import expected_counts
from snnas.toolchain.exporting.on_target import program_kind
from snnas.toolchain.searching.budgets import Limits, amounts, excesses
from snnas.toolchain.searching.cost import Predictor

if TYPE_CHECKING:
    from snnas.search.network.genotype import Genotype

BOUNDED = ("energy_total", "energy_dynamic", "latency")


def refuse_hopeless(limits: Limits, genotype: Genotype | None, predictor: Predictor) -> None:
    """GateError where no candidate can keep the limits. genotype: with the emptiest cells; None where none is known."""
    if genotype is None or not limits.keys() & set(BOUNDED):
        return
    found = least(genotype, predictor)
    over = excesses({name: limits[name] for name in limits.keys() & found.keys()}, dict(found))
    if over:
        name = over[0].metric
        raise GateError(
            f"search: no network of these sizes keeps {amounts({name: limits[name]})}: with empty cells and not a "
            f"single spike it is {amounts({name: found[name]}, measured=True)}; raise the budget, or search smaller "
            "networks with --channels, --hidden and -T"
        )


def least(genotype: Genotype, predictor: Predictor) -> dict[str, float]:
    """Lower bounds of the upper ends that budgets bind on, by metric; {} where nothing prices them."""
    from snnas.toolchain.training import build

    profile = predictor.chip.profile
    if profile is None:
        return {}
    network = build(genotype, predictor.config, seed=predictor.seed).eval()
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
    mapping = map_program(program, predictor.chip.system)
    if not mapping.fits:
        return {}
    counts = expected_counts(program, mapping, {INPUT: 0.0} | {p.id: 0.0 for p in program.populations})
    nothing = tuple(np.zeros(counts.steps, int).tolist())
    free = CoreCount(compartments=0, synops=nothing, active=nothing, messages=nothing)
    counts = replace(counts, cores=(free,), chips_used=1, chips=min(predictor.chip.system.chips))
    latency = estimate_latency(counts, profile)
    bill = price(counts, profile, latency)
    bands = zip(BOUNDED, (bill.total, bill.dynamic, latency.inference_us if latency else None), strict=True)
    return {name: band.high for name, band in bands if band is not None}
