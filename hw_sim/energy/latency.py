"""How long an inference takes, in closed form, from the same profile's times.

A hardware step lasts as long as its slowest core, ``max over cores (updates x ns + synops x ns + messages x ns)``,
plus the barrier; each core does its updates, synapses and messages one after the other. An inference at batch 1 takes
``T * P + depth`` steps. The load of a core is its mean over the samples, so a step's time is that of the mean load.
Throughput, samples back to back: ``P * (T + blank)`` steps with every stage busy, a core's load spread evenly.

Low and high: the constants' ends, and -25 % and +25 % of the model's own error (SANA-FE's simple rule, which this is,
stays within about 10 % of its detailed and cycle-accurate timing on small networks; chips were not compared).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snnas.hw_sim.energy.profile import Band, Profile, weakest
from snnas.hw_sim.simulate.counts import Counts

MODEL_ERROR = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """inference_us: batch 1. step_us: its mean step. throughput: inferences per second, back to back."""

    steps: int
    step_us: Band
    inference_us: Band
    throughput: Band
    evidence: str
    provenance: str = "estimated"

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


def estimate_latency(counts: Counts, profile: Profile) -> Latency | None:
    """None where the profile lacks a time of synapses, updates or barrier. A message's time is optional."""
    keys = ("time.update_active", "time.update_idle", "time.synop", "time.barrier")
    found = [profile.get(key) for key in keys]
    needed = [c for c in found if c is not None]
    if None in found:
        return None
    message = profile.get("time.message")
    used = [*needed, message] if message is not None else needed
    columns = [np.array([getattr(core, name) for core in counts.cores]) for name in ("active", "synops", "messages")]
    active, synops, messages = (column / counts.samples for column in columns)  # (cores, steps)
    idle = np.array([core.compartments for core in counts.cores])[:, None] - active
    back_to_back = counts.period * (counts.timesteps + counts.blank)

    def times(end: str, error: float) -> tuple[float, float]:
        """(inference, inference back to back) in microseconds at one end of the constants' ranges."""
        t_active, t_idle, t_synop, barrier = (float(getattr(c, end)) for c in needed)
        t_message = float(getattr(message, end)) if message is not None else 0.0
        busy = active * t_active + idle * t_idle + synops * t_synop + messages * t_message
        alone = busy.max(axis=0) + barrier
        filled = busy.sum(axis=1).max() / counts.steps + barrier
        return float(alone.sum() * error * 1e-3), float(filled * back_to_back * error * 1e-3)

    low, nominal, high = times("low", 1 - MODEL_ERROR), times("value", 1.0), times("high", 1 + MODEL_ERROR)
    inference = Band(low=low[0], nominal=nominal[0], high=high[0])
    return Latency(
        steps=counts.steps,
        step_us=inference * (1 / counts.steps),
        inference_us=inference,
        throughput=Band(low=1e6 / high[1], nominal=1e6 / nominal[1], high=1e6 / low[1]),
        evidence=weakest([c.basis for c in used]) or "",
    )
