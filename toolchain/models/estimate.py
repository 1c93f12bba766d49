"""``snnas estimate``: a program or anybody's graph priced on a chip, without run folder and without torch.

Counts are of the integer program, on the samples given. Intervals are 95 % bootstrap intervals over these samples;
the band of an energy is that of its profile's constants. The two are never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np

from snnas.hw_sim.energy import compare_ann
from snnas.hw_sim.energy.price import Bill
from snnas.hw_sim.energy.profile import Profile, load_profile
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.map.fitting import advice
from snnas.hw_sim.map.mapping import Mapping as Placement
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.map.system import System
from snnas.hw_sim.program import INPUT, Program
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.expected import expected_counts
from snnas.hw_sim.simulate.sampling import Ran, SampleCounter, latency_spread, singles
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.hw_sim.tables import known
from snnas.toolchain.data.statistics import bootstrap
from snnas.toolchain.models import microcontroller
from snnas.toolchain.models.microcontroller import InFlash, Rested, check_profile, for_system, place, priced
from snnas.toolchain.models.open import Subject, graph_layers
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.silent import explained
from snnas.toolchain.models.simulate import accuracy, head, runs
from snnas.toolchain.output.stderr import Narrator

SCHEMA = "snnas.estimate/1"
PLACING_SAMPLES = 32  # whose rates weight the hops
TIMED_SAMPLES = 32  # of which each one's latency is estimated
CHIP_OF = "loihi1"  # what the shipped profiles of a chip price
PROFILE_OF = {CHIP_OF: CHIP_OF, "generic": "analytic45_int8", **microcontroller.PROFILE_OF}
PARTS = ("encode", "dynamic", "floor", "total")


def estimate(subject: Subject, pricing: Pricing, narrator: Narrator) -> dict[str, Any]:
    """Counts, fit, latency, energy and the ANN's work. Where it does not fit: the fit and advice, no joule."""
    profile = profile_of(pricing)
    system = load_system(pricing.system)
    program = for_system(subject.program, system, () if subject.x is None else (subject.x,))
    subject = replace(subject, program=program)
    if pricing.rate is not None and not 0 <= pricing.rate <= 1:
        raise UsageError(f"--rate {pricing.rate:g}: expected spikes per neuron and timestep in 0..1")
    _check_reset(program, system)
    narrator.say(f"mapping on {system.name}")
    rates = _rates(subject) if pricing.rate is None else None
    mapping, device = place(program, system, rates=rates)
    result = {"schema": SCHEMA, **head(subject), "fit": _fit(program, mapping, device)}
    if not mapping.fits:
        return result | {"energy_uJ": None, "latency_us": None}
    counter: SampleCounter | None = None
    rested: dict[str, float] | None = None
    predictions, first, silence = None, list[Ran](), None
    if pricing.rate is None:
        resting = Rested(program, device)
        counter, predictions, answers, first = _count(subject, mapping, resting, narrator)
        rested = resting.shares
        counts = counter.result()
        silence = explained(answers.with_spikes(counts.fired), program, subject.samples, subject.graph)
    else:
        assumed = {p.id: pricing.rate for p in program.populations} | {INPUT: pricing.rate}
        counts = expected_counts(program, mapping, assumed)
    found = priced(program, counts, mapping, device, profile, rested)
    latency, bill = found.latency, found.bill
    times = latency_spread(program, mapping, first, profile) if profile and device is None else None
    energy = _energy(bill, profile)
    if counter is not None and profile is not None and energy["dynamic"] is not None and device is None:
        energy["dynamic_interval"] = list(bootstrap(counter.dynamic_energy(counts, profile), subject.seed))
    return result | {
        "assumed_rate": pricing.rate,
        "accuracy": accuracy(predictions, subject.y),
        "silence": silence.to_json() if silence is not None else None,
        **({} if found.device is None else {"instructions": _band(found.device.instructions)}),
        **_activity(counts, subject.seed if counter is not None else None),
        "latency_us": _band(latency.inference_us) if latency else None,
        "latency_samples_us": times.to_json() if times else None,
        "throughput_per_s": _band(latency.throughput) if latency else None,
        "energy_uJ": energy,
        "profiles": [
            _row(priced(program, counts, mapping, device, named, rested).bill, named)
            for named in map(load_profile, _rows(system))
        ]
        if pricing.every
        else None,
        "ann": _ann(subject, counts, silence),
        "provenance": {
            "accuracy": "simulated",
            "activity": "simulated" if pricing.rate is None else "assumed",
            "work": "simulated" if pricing.rate is None else "estimated",
            "fit": "estimated",
            "latency_us": "estimated",
            "energy_uJ": "estimated",
            "ann": "estimated",
        },
    }


def profiles() -> list[str]:
    """The shipped profiles."""
    return known("profiles")


def profile_of(pricing: Pricing) -> Profile | None:
    """The profile to price with; None on a chip that none is public of. Raises where profile and chip do not agree."""
    chip = load_system(pricing.system)
    system = chip.name
    if pricing.profile is None:
        return load_profile(PROFILE_OF[system]) if system in PROFILE_OF else None
    profile = load_profile(pricing.profile)
    check_profile(chip, profile)
    if system != CHIP_OF and profile.name.startswith(CHIP_OF) and pricing.profile in profiles():
        raise UnsupportedError(
            f"profile {profile.name} prices {CHIP_OF}, the program is mapped on {system}; bring a measured profile of "
            "that chip (snnas estimate --new-profile FILE), or leave --profile out for counts alone"
        )
    return profile


def _rows(system: System) -> list[str]:
    """The profiles that may be compared: not a chip's for what it cannot run."""
    if system.core is not None:
        return [name for name in profiles() if load_profile(name).get("energy.cycle") is not None]
    chips = [name for name in profiles() if load_profile(name).get("energy.cycle") is None]
    return [name for name in chips if not (system.soft_reset and name.startswith(CHIP_OF))]


def _check_reset(program: Program, system: System) -> None:
    for p in program.populations:
        if p.taken and not system.soft_reset:
            raise UnsupportedError(
                f"population {p.id}: its reset subtracts, which no neuron of {system.name} does; fine-tune the network "
                "with a reset to zero, or price its arithmetic alone with --system generic"
            )


def _rates(subject: Subject) -> Mapping[str, float]:
    few = min(PLACING_SAMPLES, subject.batch)
    trace, _ = next(simulate_input(subject.program, subject.samples[:few], batch=few))
    return {name: float(s.mean()) for name, s in trace.spikes.items()}


def _count(
    subject: Subject, mapping: Placement, rested: Rested, narrator: Narrator
) -> tuple[SampleCounter, np.ndarray, Answers, list[Ran]]:
    """What all samples did, predictions and answers, and what the first samples did each."""
    program, total = subject.program, len(subject.samples)
    first, answers = list[Ran](), Answers()
    counter, predictions = SampleCounter(program, mapping), list[np.ndarray]()
    with narrator.progress(f"integer simulation of {total:,} samples") as advance:
        for ran in runs(subject):
            trace, spikes_in, currents = ran
            counter.add(trace, currents=currents, spikes_in=spikes_in)
            predictions.append(trace.predictions)
            answers.add(trace.logits)
            rested.add(trace.spikes, spikes_in)
            if len(first) < TIMED_SAMPLES:
                first += islice(singles([ran]), TIMED_SAMPLES - len(first))
            advance(sum(map(len, predictions)), total)
    return counter, np.concatenate(predictions), answers, first


def _activity(counts: Counts, seed: int | None) -> dict[str, Any]:
    n = counts.samples
    slots = sum(p.neurons for p in counts.populations if p.role == "neuron") * counts.timesteps
    fired, events = np.array(counts.sample_spikes, dtype=np.float64), np.array(counts.sample_synops, dtype=np.float64)

    def spread(values: np.ndarray) -> dict[str, Any]:
        interval = list(bootstrap(values, seed)) if seed is not None else None
        return {"mean": float(values.mean()), "interval": interval}

    sources = counts.sources
    return {
        "sar": spread(fired / max(1, slots)),
        "sar_per_population": counts.sar_of,
        "spikes_per_inference": spread(fired),
        "overhead_spikes_per_inference": counts.overhead_spikes / n,
        "work": {
            "synops_per_inference": spread(events),
            "host_macs": counts.host_macs / n,
            "host_comparisons": counts.host_comparisons / n,
            "updates_active": sum(p.active + p.fill_active for p in counts.populations) / n,
            "updates_idle": sum(p.idle + p.fill_idle for p in counts.populations) / n,
            "messages": counts.messages / n,
            "hops_ew": sum(s.hops_ew for s in sources) / n,
            "hops_ns": sum(s.hops_ns for s in sources) / n,
            "crossings": sum(s.crossings for s in sources) / n,
            "neurobench": counts.neurobench,
        },
    }


def _fit(program: Program, mapping: Placement, device: InFlash | None) -> dict[str, Any]:
    system = mapping.system
    memory = None if device is None else {
        "flash_bytes": device.footprint.flash,
        "flash_limit": system.flash,
        "ram_bytes": device.footprint.ram,
        "ram_limit": system.ram,
    }  # fmt: skip
    return {
        **({} if memory is None else {"microcontroller": memory}),
        "system": mapping.system.name,
        "fits": mapping.fits,
        "cores": mapping.cores,
        "chips": mapping.chips,
        "chips_used": mapping.chips_used,
        "binds": mapping.binds,
        "utilisation": {name: asdict(u) for name, u in mapping.utilisation.items()},
        "hops": asdict(mapping.hops) if mapping.hops else None,
        "misfits": [str(m) for m in mapping.misfits],
        "advice": advice(program, mapping),
    }


def _band(band: Any) -> dict[str, float] | None:
    return None if band is None else asdict(band)


def _energy(bill: Bill | None, profile: Profile | None) -> dict[str, Any]:
    if bill is None or profile is None:
        unpriced = {"profile": None, "evidence": None, "banner": "no per-operation energy of this chip is public"}
        return {**unpriced, **dict.fromkeys(PARTS), "lines": [], "unpriced": []}
    return {
        "profile": profile.name,
        "evidence": bill.evidence,
        "banner": bill.banner,
        **{part: _band(getattr(bill, part)) for part in PARTS},
        "lines": [asdict(line) for line in bill.lines],
        "unpriced": [{"item": item, "count": count} for item, count in bill.unpriced],
    }


def _row(bill: Bill | None, profile: Profile) -> dict[str, Any]:
    assert bill is not None
    return {"profile": profile.name, "evidence": bill.evidence, "banner": profile.banner} | {
        **{part: _band(getattr(bill, part)) for part in PARTS},
        "unpriced": [item for item, _ in bill.unpriced],
    }


def _ann(subject: Subject, counts: Counts, silence: Silence | None) -> dict[str, Any]:
    """The work of an ANN of the same shape, and both sides' arithmetic under one compute-only profile."""
    program, graph = subject.program, subject.graph
    macs = compare_ann.program_macs(program) if graph is None else compare_ann.dense_macs(graph_layers(graph))
    host = compare_ann.host_macs(program)
    synops = counts.synops / counts.samples
    found = compare_ann.compare(
        synops=synops,
        connections=sum(s.connections for s in counts.synapses),
        ann_macs=macs,
        ann_macs_host=host,
        timesteps=program.timesteps,
    )
    prices = load_profile("analytic45_int8")
    add, mac = (prices.constants[f"energy.{name}"].value * 1e-6 for name in ("synop", "host_mac"))
    compute = {"snn_uJ": synops * add + counts.host_macs / counts.samples * mac, "ann_uJ": macs * mac}
    shape_from = "graph" if graph is not None else "program"
    made = found.to_json() | {"shape_from": shape_from, "compute_only": {**compute, "banner": prices.banner}}
    why = None if silence is None else silence.no_measurement
    return made if why is None else made | {"verdict": f"none; {why}"}
