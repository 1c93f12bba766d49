"""What of a lone graph's program is judged: its figures on the recorded samples, by metric."""

from __future__ import annotations

from snnas.export.graph.graph import parameters_of
from snnas.hw_sim.energy.profile import Band
from snnas.toolchain.checking.folder_runs import memory_of
from snnas.toolchain.checking.made import Made, leaf, number
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.open import Subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.output import silence
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.searching.budgets import GATED

OVER_SAMPLES = {
    "accuracy": ("accuracy",),
    "sar": ("sar",),
    "spikes": ("spikes_per_inference",),
    "synops": ("work", "synops_per_inference"),
}


def of_program(subject: Subject, pricing: Pricing) -> Made:
    """Figures by the names of ``budgets.GATED``; None where there is none (no labels, no price, no fit)."""
    found = estimate(subject, pricing, Narrator(quiet=True))
    program = subject.program
    fit = found["fit"]

    def at(*path: str) -> float | None:
        return number(found, path)

    figures = {
        "accuracy": None if silence.why_none(silence.of(found)) else at("accuracy", "on_target"),
        "energy_total": at("energy_uJ", "total", "high"),
        "energy_dynamic": at("energy_uJ", "dynamic", "high"),
        "latency": at("latency_us", "high"),
        "sar": at("sar", "mean"),
        "cores": at("fit", "cores") if fit["fits"] else None,
        "chips": at("fit", "chips") if fit["fits"] else None,
        "neurons": float(sum(p.size for p in program.populations if p.role == "neuron")),
        "parameters": float(parameters_of(subject.graph)) if subject.graph is not None else None,
        "memory": float(memory_of(program)),
        "spikes": at("spikes_per_inference", "mean"),
        "synops": at("work", "synops_per_inference", "mean"),
    }
    if "microcontroller" in fit:
        figures |= {name: at("fit", "microcontroller", f"{name}_bytes") for name in ("flash", "ram")}
        figures["instructions"] = at("instructions", "high")
    over = {name: leaf(found, (*path, "interval")) for name, path in OVER_SAMPLES.items()}
    intervals = {name: (float(ends[0]), float(ends[1])) for name, ends in over.items() if ends}
    banded = {name: leaf(found, metric.figure[:-1]) for name, metric in GATED.items() if metric.banded}
    bands = {
        name: Band(**{end: band[end] for end in ("low", "nominal", "high")}) for name, band in banded.items() if band
    }
    return Made(figures=figures, intervals=intervals, bands=bands, samples=len(subject.samples))
