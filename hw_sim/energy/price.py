"""Prices counts: the bill of one inference at batch 1.

What a profile leaves out is ``unpriced``, never zero. The bill's parts, in microjoules:

* **encode**: host MACs, comparisons of an encoder, and spikes that the host injects.
* **dynamic**: synops, updates (fill and drain of the pipeline included), spikes, messages, hops, all on the chip.
* **floor**: (idle x chips of the system + run x chips used) x latency of one inference.
* **total**: the sum of the priced parts.

The constants' bands are added end to end, as if they moved together. Evidence: the weakest basis among the constants
that priced something, in the order measured > calibrated > simulated > derived > analytic.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from snnas.hw_sim.energy.latency import Latency
from snnas.hw_sim.energy.profile import Band, Constant, Profile, weakest
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import CLOCK, INPUT
from snnas.hw_sim.simulate.counts import Counts

PARTS = ("encode", "dynamic", "floor")
ZERO = Band(low=0.0, nominal=0.0, high=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item of the bill. count: per inference (of power: chips). energy: microjoules per inference."""

    part: str
    item: str
    count: float
    energy: Band
    basis: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Microjoules per inference. A part is None where something is there and nothing of it is priced."""

    profile: str
    profile_version: int
    scope: str
    banner: str
    provenance: str
    evidence: str | None
    encode: Band | None
    dynamic: Band | None
    floor: Band | None
    total: Band | None
    lines: tuple[Line, ...]
    unpriced: tuple[tuple[str, float], ...]

    @property
    def partial(self) -> bool:
        """Whether something happened that has no price here."""
        return bool(self.unpriced)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {**asdict(self), "partial": self.partial}


def work(counts: Counts) -> list[tuple[str, str, int]]:
    """(part, constant, count over all samples) of everything that happened, floor excluded."""
    synops: dict[str, int] = dict.fromkeys(("energy.synop_conv", "energy.synop_dense", "energy.synop_sparse"), 0)
    for s in counts.synapses:
        synops[f"energy.synop_{'conv' if s.kind == 'pooled_conv' else s.kind}"] += s.synops
    sent = [s for s in counts.sources if s.id not in (INPUT, CLOCK)]
    return [
        ("encode", "energy.host_mac", counts.host_macs),
        ("encode", "energy.host_comparison", counts.host_comparisons),
        ("encode", "energy.input_spike", sum(s.injected for s in counts.sources)),
        *(("dynamic", key, n) for key, n in synops.items()),
        ("dynamic", "energy.update_active", sum(p.active + p.fill_active for p in counts.populations)),
        ("dynamic", "energy.update_idle", sum(p.idle + p.fill_idle for p in counts.populations)),
        ("dynamic", "energy.spike_generation", sum(s.spikes for s in sent)),
        ("dynamic", "energy.message", counts.messages),
        ("dynamic", "energy.hop_ew", sum(s.hops_ew for s in counts.sources)),
        ("dynamic", "energy.hop_ns", sum(s.hops_ns for s in counts.sources)),
        ("dynamic", "energy.crossing", sum(s.crossings for s in counts.sources)),
    ]


def price(counts: Counts, profile: Profile, latency: Latency | None) -> Bill:
    """The bill of one inference. latency: of the same profile; None leaves the floor unpriced.

    UnsupportedError where the network fits no system: what cannot run gets no joule.
    """
    if counts.misfits:
        raise UnsupportedError(f"no energy on {counts.system}: {counts.misfits[0]}; make the network fit first")
    lines: list[Line] = []
    unpriced: list[tuple[str, float]] = []
    for part, key, n in work(counts):
        constant, count = profile.get(key), n / counts.samples
        if n and constant is None:
            unpriced.append((key.removeprefix("energy."), count))
        elif n and constant is not None:
            lines.append(_line(part, key, count, constant.band * (count * 1e-6), constant))  # pJ to uJ
    for key, chips in (("power.idle", counts.chips), ("power.run", counts.chips_used)):
        constant = profile.get(key)
        if constant is None or latency is None:
            unpriced.append((f"floor_{key.removeprefix('power.')}", float(chips)))
            continue
        t, p = latency.inference_us, constant.band * (chips * 1e-3)  # mW x us = nJ; x 1e-3 = uJ
        energy = Band(low=p.low * t.low, nominal=p.nominal * t.nominal, high=p.high * t.high)
        lines.append(_line("floor", key, float(chips), energy, constant))
    missing = {part for part, key, n in work(counts) if n} | {"floor"}
    bands: dict[str, list[Band]] = {part: [] for part in PARTS}
    for line in lines:
        bands[line.part].append(line.energy)
    sums = {part: sum(of, ZERO) if of or part not in missing else None for part, of in bands.items()}
    priced = [band for band in sums.values() if band is not None]
    bases = [line.basis for line in lines]
    if latency is not None and any(line.part == "floor" for line in lines):
        bases.append(latency.evidence)
    return Bill(
        profile=profile.name,
        profile_version=profile.version,
        scope=profile.scope,
        banner=profile.banner,
        provenance="estimated",
        evidence=weakest(bases),
        **sums,
        total=sum(priced, ZERO) if lines else None,
        lines=tuple(lines),
        unpriced=tuple(unpriced),
    )


def _line(part: str, key: str, count: float, energy: Band, constant: Constant) -> Line:
    item = key.split(".")[1]
    return Line(part=part, item=item, count=count, energy=energy, basis=constant.basis, source=constant.source)
