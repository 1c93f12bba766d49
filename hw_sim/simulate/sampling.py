"""What single samples did: what intervals over samples are made of.

Separate from the band of a profile's constants, which no sample narrows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.profile import Profile
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.mapping import Mapping as Placement
from snnas.hw_sim.map.wiring import wirings
from snnas.hw_sim.program import CLOCK, HOSTED, INPUT, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.simulator import Trace

Ran = tuple[Trace, np.ndarray | None, dict[str, np.ndarray] | None]
"""What a program did, the bool (B, T, C, H, W) that drove it, and the currents, where there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySpread:
    """Latency over samples, nominal. A step lasts as long as its slowest core, and which one that is changes with the
    sample: the mean is no less than the latency of the mean load, which ``estimate_latency`` gives.
    """

    mean: float
    """Microseconds of one inference."""
    p95: float
    """The 95th percentile, microseconds."""
    samples: int

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def singles(ran: Iterable[Ran]) -> Iterator[Ran]:
    """The same, one sample after the other."""
    for trace, spikes_in, currents in ran:
        for k in range(len(trace.logits)):
            one = Trace({name: s[k : k + 1] for name, s in trace.spikes.items()}, trace.logits[k : k + 1])
            given = None if spikes_in is None else spikes_in[k : k + 1]
            yield one, given, {n: c[k : k + 1] for n, c in (currents or {}).items()} or None


def latency_spread(program: Program, mapping: Placement, ran: Iterable[Ran], profile: Profile) -> LatencySpread | None:
    """How long each sample takes; None without samples, or where the profile lacks a time."""
    found = []
    for trace, spikes_in, currents in singles(ran):
        counter = Counter(program, mapping)
        counter.add(trace, spikes_in=spikes_in, currents=currents)
        latency = estimate_latency(counter.result(), profile)
        if latency is None:
            return None
        found.append(latency.inference_us.nominal)
    if not found:
        return None
    return LatencySpread(mean=float(np.mean(found)), p95=float(np.percentile(found, 95)), samples=len(found))


class SampleCounter(Counter):
    """A counter that remembers what each sample did: its spikes per source, its active updates."""

    keeps_samples = True

    def __init__(self, program: Program, mapping: Placement) -> None:
        super().__init__(program, mapping)
        self._weights = _synop_maps(program)
        self.active: list[int] = []  # updates, per sample
        self.sent: dict[str, list[int]] = {name: [] for name in self._weights}  # spikes, per source and sample
        self.events: dict[str, list[int]] = {}  # synops, per format and sample

    def add(
        self, trace: Trace, *, spikes_in: np.ndarray | None = None, currents: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """As ``Counter.add``."""
        super().add(trace, spikes_in=spikes_in, currents=dict(currents) if currents else None)
        updates = np.zeros(len(trace.logits), dtype=np.int64)
        for cells in self._cells:
            assert cells.each is not None
            own, draining = self._active(cells, *cells.each)
            updates += own + draining + cells.depth * int(cells.biased.sum())
        self.active += updates.tolist()
        self._remember(trace, spikes_in)

    def _remember(self, trace: Trace, given: np.ndarray | None) -> None:
        batch, steps = len(trace.logits), self.program.timesteps
        events: dict[str, np.ndarray] = {}
        for name, weights in self._weights.items():
            if name == CLOCK:
                spikes: np.ndarray = np.ones((batch, steps, 1, 1, 1), dtype=bool)
            else:
                spikes = given if name == INPUT else trace.spikes[name]  # type: ignore[assignment]
            self.sent[name] += np.count_nonzero(spikes.reshape(batch, -1), axis=1).tolist()
            for (kind, unsent), reach in weights.items():
                fired = spikes[:, : steps - unsent].sum(axis=1, dtype=np.int64)
                events[kind] = events.get(kind, 0) + (reach * fired).sum(axis=(1, 2, 3))
        for kind, n in events.items():
            self.events.setdefault(kind, []).extend(n.tolist())

    def dynamic_energy(self, counts: Counts, profile: Profile) -> np.ndarray:
        """Nominal microjoules of each sample, (N,); their mean is the bill's ``dynamic``.

        Synops and updates are the sample's own; a source's messages and hops are shared out by its spikes.
        """

        def cost(key: str) -> float:
            constant = profile.get(f"energy.{key}")
            return constant.value if constant is not None else 0.0

        updates = sum(p.active + p.idle + p.fill_active + p.fill_idle for p in counts.populations) / counts.samples
        active = np.array(self.active, dtype=np.float64)
        total = active * cost("update_active") + (updates - active) * cost("update_idle")
        for kind, n in self.events.items():
            total += np.array(n) * cost(f"synop_{kind}")
        for s in counts.sources:
            hosted = s.id in HOSTED
            network = s.messages * cost("message") + s.hops_ew * cost("hop_ew") + s.hops_ns * cost("hop_ns")
            network += s.crossings * cost("crossing") + (0.0 if hosted else s.spikes * cost("spike_generation"))
            if s.spikes:
                total += np.array(self.sent[s.id]) * (network / s.spikes)
        return total * 1e-6


def _synop_maps(program: Program) -> dict[str, dict[tuple[str, int], np.ndarray]]:
    """{source: {(format, unsent): synops that a spike of each neuron causes, (C, H, W)}} of every source.

    unsent: the last timesteps whose spikes cause none, since the host does not drive them in.
    """
    distance = {s.id: s.distance for s in program.synapses}
    found: dict[str, dict[tuple[str, int], np.ndarray]] = {p.id: {} for p in program.populations}
    for name, wire in wirings(program).items():
        kind = "conv" if wire.map.kind == "pooled_conv" else wire.map.kind
        key = kind, distance[name] if wire.src in HOSTED else 0
        maps = found.setdefault(wire.src, {})
        maps[key] = maps.get(key, 0) + fan_out(wire.map, wire.src_shape)
    return found
