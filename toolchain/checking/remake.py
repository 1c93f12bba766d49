"""Makes an export's figures again: its program run on its samples, counted, mapped and priced by what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnas.export.graph.graph import Graph, parameters_of
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import Band, Profile, load_profile
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.folder_runs import memory_of
from snnas.toolchain.checking.made import OF_SAMPLES, Made, bands_of, leaf, number
from snnas.toolchain.checking.said import beside, first_unlike, other_rows, rests_on, unlike
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.data.statistics import bootstrap, wilson
from snnas.toolchain.exporting.on_target import Figures, run_program
from snnas.toolchain.exporting.report import on_chip
from snnas.toolchain.models.estimate import CHIP_OF, profile_of, profiles
from snnas.toolchain.models.microcontroller import of_device
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.searching.budgets import GATED

WORK = 5e11  # synaptic operations, if all spiked, that figures are made with: minutes
TORCH_WORTH = 2e10  # from here on the torch simulator repays the loading of torch
SEED = 0  # of bootstrap intervals
Tree = Mapping[str, Any]


def remake(graph: Graph, program: Program, samples: Samples, pricing: Pricing, report: Tree) -> Made:
    """The figures of a program on the samples; UsageError for a pricing that there is not.

    Where the program cannot be run, those that need no samples. report: report.json, for what is claimed and compared.
    """
    profile, system = profile_of(pricing), load_system(pricing.system)
    claimed = _claimed(report)
    reported = _number(report, "accuracy", "samples")
    fixed = {
        "parameters": float(parameters_of(graph)),
        "memory": float(memory_of(program)),
        "neurons": float(sum(p.size for p in program.populations if p.role == "neuron")),
    }
    few = samples.first(affordable(program, len(samples)))
    work = len(few) * work_of(program)
    labels = np.full(len(few), -1) if few.y is None else few.y
    try:
        run = run_program(program, few.x, labels, profile, system, torch=work > TORCH_WORTH)
    except UnsupportedError as error:
        return Made(
            figures={**dict.fromkeys(OF_SAMPLES - {"instructions"}), **_placed(map_program(program, system)), **fixed},
            claimed=claimed, reported=reported, judged=samples, why=str(error),
        )  # fmt: skip
    counts, n = run.counts, len(few)
    bands = bands_of(run.bill, run.latency)
    upper = {name: band.high for name, band in bands.items()}
    figures: dict[str, float | None] = {
        "accuracy": None if few.y is None or run.silence.no_measurement else run.accuracy,
        "energy_total": upper.get("energy_total"),
        "energy_dynamic": upper.get("energy_dynamic"),
        "latency": upper.get("latency"),
        "sar": counts.sar,
        "spikes": counts.spikes / n,
        "synops": counts.synops / n,
        **_placed(run.mapping),
        **fixed,
        **of_device(run.device),
    }
    fired, events = (np.array(each, np.float64) for each in (counts.sample_spikes, counts.sample_synops))
    intervals = {"spikes": bootstrap(fired, SEED), "synops": bootstrap(events, SEED)}
    slots = max(1.0, fixed["neurons"] * program.timesteps)
    intervals["sar"] = (intervals["spikes"][0] / slots, intervals["spikes"][1] / slots)
    if figures["accuracy"] is not None:
        intervals["accuracy"] = wilson(int((run.predictions == few.y).sum()), n)
    # The report is of its own chip, and of the program as it is.
    same = system.name == CHIP_OF and run.program is program
    whole = n == reported and samples.given is None and same
    return Made(
        figures=figures, intervals=intervals, claimed=claimed, samples=n, reported=reported, judged=samples,
        recorded=_unlike(graph, report, run, figures, few) if whole else None, elsewhere=not same,
        bands=bands,
    )  # fmt: skip


def work_of(program: Program) -> float:
    """Synaptic operations of one sample in which everything fires at every timestep."""
    maps = [(s.map, program.source_shape(s.src)) for s in program.synapses]
    once = sum(float(fan_out(each, shape).sum()) for each, shape in maps) + sum(p.size for p in program.populations)
    return once * program.timesteps


def affordable(program: Program, number: int) -> int:
    """How many of so many samples are run, one at least."""
    return max(1, min(number, int(WORK / max(1.0, work_of(program)))))


def _placed(mapping: Any) -> dict[str, float | None]:
    fits = mapping.fits
    return {"cores": float(mapping.cores) if fits else None, "chips": float(mapping.chips) if fits else None}


def _claimed(report: Tree) -> dict[str, float]:
    """What the report says of the metrics that are made of samples."""
    found = {name: number(report, metric.figure) for name, metric in GATED.items() if name in OF_SAMPLES}
    return {name: value for name, value in found.items() if value is not None}


def _number(report: Tree, *path: str) -> int:
    return int(number(report, path) or 0)


def _unlike(
    graph: Graph, report: Tree, run: Figures, figures: Mapping[str, float | None], samples: Samples
) -> str | None:
    """The first figure of the report that is not what its own samples and profile give."""
    made = {"timesteps": run.program.timesteps, **on_chip(graph, run.program, run.mapping, run.counts)}
    made["sar"] = {"per_population": {
        p.id: {"on_target": run.counts.sar_of[p.id], "neurons": p.neurons}
        for p in run.counts.populations if p.role == "neuron"
    }}  # fmt: skip
    rows = made["sar"]["per_population"]
    if wrong := other_rows(leaf(report, ("sar", "per_population")), rows, "sar.per_population"):
        return wrong
    if wrong := first_unlike(report, made) or first_unlike(report, beside(report, run, samples)):
        return wrong
    for name in ("accuracy", "sar", "spikes", "synops"):
        path = GATED[name].figure
        if figures[name] is not None and (wrong := _other(report, path, figures[name])):
            return wrong
    priced = profile_in(report)
    if priced is None:
        return None
    latency = estimate_latency(run.counts, priced)
    if wrong := _band(report, ("latency_us",), latency.inference_us if latency else None):
        return wrong
    bill = price(run.counts, priced, latency) if run.mapping.fits else None
    for part in ("encode", "dynamic", "floor", "total"):
        if wrong := _band(report, ("energy_uJ", part), getattr(bill, part) if bill else None):
            return wrong
    return first_unlike(report, rests_on(bill))


def profile_in(report: Tree) -> Profile | None:
    """The profile that the report is priced by; None for one that is not shipped: its prices cannot be made again."""
    name = leaf(report, ("energy_uJ", "profile"))
    return load_profile(name) if name in profiles() else None


def _band(report: Tree, path: tuple[str, ...], band: Band | None) -> str | None:
    for end in ("low", "nominal", "high"):
        if wrong := _other(report, (*path, end), getattr(band, end) if band else None):
            return wrong
    return None


def _other(report: Tree, path: tuple[str, ...], measured: float | None) -> str | None:
    return unlike(number(report, path), None if measured is None else float(measured), ".".join(path))
