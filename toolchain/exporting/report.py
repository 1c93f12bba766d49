"""report.json of an export: one set of figures, each with its provenance."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from snnas.export.graph.graph import Graph, parameters_of
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import Bill, price
from snnas.hw_sim.energy.profile import Band
from snnas.hw_sim.map.mapping import Mapping
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.sampling import latency_spread
from snnas.toolchain.data.statistics import balanced_accuracy, uneven, wilson
from snnas.toolchain.exporting import early_exit
from snnas.toolchain.output.report import PROVENANCE, SCHEMA

if TYPE_CHECKING:
    from snnas.toolchain.exporting.measured import Measured
    from snnas.toolchain.exporting.source import Origin


def build_report(origin: Origin, m: Measured) -> dict[str, Any]:
    """report.json: accuracies and rates are fractions, absent figures are null."""
    counts, program = m.target.counts, m.program
    latency = estimate_latency(counts, m.profile)
    bill = price(counts, m.profile, latency) if m.mapping.fits else None
    exits = early_exit.figures(m, bill)
    spread = latency_spread(program, m.mapping, m.target.recorded, m.profile)
    samples = counts.samples
    hits = int((m.target.predictions == m.labels).sum())
    right, was_right = m.target.predictions == m.labels, m.trained.predictions == m.labels
    changed = m.target.predictions != m.trained.predictions
    search = origin.search
    node_of = program.meta.get("node_of", {})
    training_of = {
        p: m.trained.spikes[n] / (m.trained.sizes[n] * counts.timesteps * samples)
        for p, n in node_of.items()
        if n in m.trained.spikes and p not in program.meta.get("parts", {})
    }
    mapped_neurons = sum(m.trained.sizes.values())
    return {
        "schema": SCHEMA,
        "run": origin.name,
        "seed": origin.seed,
        "dataset": origin.dataset,
        "method": origin.method,
        "timesteps": program.timesteps,
        "search": {
            "seconds": search.get("seconds"),
            "evaluations": search.get("evaluations"),
            "device": origin.versions.get("device"),
            "architecture": search.get("architecture"),
        },
        "accuracy": {
            "training": float(was_right.mean()),
            "nir": float((m.nir.predictions == m.labels).mean()),
            "on_target": hits / samples,
            "samples": samples,
            "interval": list(wilson(hits, samples)),
            "flips": int(changed.sum()),
            "flips_to_wrong": int((changed & was_right).sum()),
            "flips_to_right": int((changed & right).sum()),
            **_balanced(m),
        },
        "silence": {"training": m.trained.silence.to_json(), "on_target": m.silence.to_json()},
        "sar": {
            "training": sum(m.trained.spikes.values()) / max(1, mapped_neurons * counts.timesteps * samples),
            "on_target": counts.sar,
            "lightsnn": m.trained.first_batch_sar,
            "per_population": {
                p.id: {"training": training_of.get(p.id), "on_target": counts.sar_of[p.id], "neurons": p.neurons}
                for p in counts.populations
                if p.role == "neuron"
            },
        },
        "spikes_per_inference": {
            "training": sum(m.trained.spikes.values()) / samples,
            "on_target": counts.spikes / samples,
            "overhead": counts.overhead_spikes / samples,
        },
        "synops_per_inference": counts.synops / samples,
        "latency_us": _band(latency.inference_us) if latency else _NO_BAND,
        "latency_samples_us": spread.to_json() if spread else None,
        "energy_uJ": _energy(bill, m),
        **on_chip(m.graph, program, m.mapping, counts),
        "checks": {
            "fold_differing_spikes": m.trained.differing_from_deployed,
            "nir_differing_spikes": 0,
            "nir_smallest_margin": m.nir.margin if math.isfinite(m.nir.margin) else None,
            "ranges_proved": sum(r.status == "proved" for r in m.ranges.values()),
            "ranges_populations": len(m.ranges),
            "lava_samples": m.lava.samples if m.lava else 0,
            "lava_differing_spikes": m.lava.differing_spikes if m.lava else None,
            "lava_spikes_compared": m.lava.spikes if m.lava else None,
            "lava": m.lava_note,
        },
        "finetune": m.finetune,
        "quantisation": {name: error.to_json() for name, error in m.errors.items()},
        "ranges": {name: found.to_json() for name, found in m.ranges.items()},
        **({"host": m.host} if m.host is not None else {}),
        **({"c": m.c} if m.c is not None else {}),
        **({"early_exit": exits} if exits is not None else {}),
        "provenance": PROVENANCE,
        "versions": origin.versions,
    }


def on_chip(graph: Graph, program: Program, mapping: Mapping, counts: Counts) -> dict[str, Any]:
    """``resources`` and ``schedule``: what check makes again of an export, too."""
    neurons = sum(p.size for p in program.populations if p.role == "neuron")
    return {
        "resources": {
            "parameters": parameters_of(graph),
            "neurons": neurons,
            "overhead_neurons": sum(p.size for p in program.populations) - neurons,
            "synapses": sum(s.connections for s in counts.synapses),
            "cores": mapping.cores,
            "chips": mapping.chips,
            "weight_bits": program.weight_bits,
            "fits": mapping.fits,
            "misfits": [str(x) for x in mapping.misfits],
        },
        "schedule": {
            "period": program.schedule.period,
            "depth": program.schedule.total_depth,
            "relays": _relays(counts),
        },
    }


def _balanced(m: Measured) -> dict[str, float]:
    """Balanced accuracies, where classes are uneven and accuracy alone would flatter."""
    if not uneven(m.labels):
        return {}
    parts = {"balanced_training": m.trained.predictions, "balanced_on_target": m.target.predictions}
    return {name: balanced_accuracy(predictions, m.labels) for name, predictions in parts.items()}


_NO_BAND: dict[str, float | None] = {"low": None, "nominal": None, "high": None}


def _band(band: Band | None) -> dict[str, float | None]:
    return dict(asdict(band)) if band is not None else dict(_NO_BAND)


def _energy(bill: Bill | None, m: Measured) -> dict[str, Any]:
    evidence, unpriced = (None, []) if bill is None else (bill.evidence, [name for name, _ in bill.unpriced])
    head = {"profile": m.profile.name, "evidence": evidence, "unpriced": unpriced}
    return head | {part: _band(getattr(bill, part, None)) for part in ("encode", "dynamic", "floor", "total")}


def _relays(counts: Counts) -> dict[str, float]:
    """What the relays cost: populations, neurons, and per inference the spikes and synops that they add."""
    relays = {p.id: p for p in counts.populations if p.role == "relay"}
    spikes = sum(sum(p.spikes) for p in relays.values())
    synops = sum(s.synops for s in counts.synapses if s.dst in relays)
    return {
        "populations": len(relays),
        "neurons": sum(p.neurons for p in relays.values()),
        "spikes_per_inference": spikes / counts.samples,
        "synops_per_inference": synops / counts.samples,
    }
