"""What of a lone graph's program is judged: its figures on the recorded samples, by metric."""

from __future__ import annotations

import math
from typing import Any

from snnas.export.graph.graph import parameters_of
from snnas.toolchain.checking.folder_runs import memory_of
from snnas.toolchain.checking.made import Made
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.open import Subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.output import silence
from snnas.toolchain.output.stderr import Narrator


def of_program(subject: Subject, pricing: Pricing) -> Made:
    """Figures by the names of ``budgets.GATED``; None where there is none (no labels, no price, no fit)."""
    found = estimate(subject, pricing, Narrator(quiet=True))
    program = subject.program
    fit = found["fit"]

    def at(*path: str) -> float | None:
        tree: Any = found
        for key in path:
            tree = tree.get(key) if isinstance(tree, dict) else None
        return float(tree) if type(tree) in (int, float) and math.isfinite(tree) else None

    def interval(*path: str) -> tuple[float, float] | None:
        ends: Any = found
        for key in path:
            ends = ends.get(key) if isinstance(ends, dict) else None
        return (float(ends[0]), float(ends[1])) if ends else None

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
    over = {
        "accuracy": interval("accuracy", "interval"),
        "sar": interval("sar", "interval"),
        "spikes": interval("spikes_per_inference", "interval"),
        "synops": interval("work", "synops_per_inference", "interval"),
    }
    intervals = {name: ends for name, ends in over.items() if ends is not None}
    return Made(figures=figures, intervals=intervals, samples=len(subject.samples))
