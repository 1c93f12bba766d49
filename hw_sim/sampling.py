"""What single samples did, and bootstrap intervals of their means: how far other samples would move a figure.

Separate from the band of a profile's constants, which no sample narrows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hw_sim.counter import Counter
from hw_sim.counts import Counts
from hw_sim.energy import Profile
from hw_sim.linear import fan_out
from hw_sim.mapping import Mapping as Placement
from hw_sim.program import CLOCK, INPUT, Program
from hw_sim.simulator import Trace
from hw_sim.wiring import wirings

DRAWS = 1000
_CHUNK = 100  # draws at a time: bounds the memory


def bootstrap(values: np.ndarray, seed: int, *, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean over samples; values: (N,)."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    rng = np.random.default_rng(np.random.SeedSequence([seed, n]))
    means = [
        rng.multinomial(n, np.full(n, 1 / n), size=_CHUNK).astype(np.float64) @ values / n
        for _ in range(DRAWS // _CHUNK)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class SampleCounter(Counter):
    """A counter that remembers what each sample did: its spikes per source, its active updates."""

    def __init__(self, program: Program, mapping: Placement) -> None:
        super().__init__(program, mapping)
        self._weights = _synop_maps(program)
        self.active: list[int] = []  # updates, per sample
        self.sent: dict[str, list[int]] = {name: [] for name in self._weights}  # spikes, per source and sample
        self.events: dict[str, list[int]] = {}  # synops, per format and sample

    def add(
        self, trace: Trace, *, spikes_in: np.ndarray | None = None, currents: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """As ``Counter.add``, one sample after the other."""
        for k in range(len(trace.logits)):
            one = Trace({name: s[k : k + 1] for name, s in trace.spikes.items()}, trace.logits[k : k + 1])
            given = None if spikes_in is None else spikes_in[k : k + 1]
            before = self._active()
            super().add(one, spikes_in=given, currents={n: c[k : k + 1] for n, c in (currents or {}).items()} or None)
            self.active.append(self._active() - before)
            self._remember(one, given)

    def _remember(self, one: Trace, given: np.ndarray | None) -> None:
        events: dict[str, int] = {}
        for name, weights in self._weights.items():
            if name == CLOCK:
                spikes = np.full((1, 1, 1), self.program.timesteps)
            else:
                spikes = (given if name == INPUT else one.spikes[name])[0].sum(axis=0)  # type: ignore[index]
            self.sent[name].append(int(spikes.sum()))
            for kind, reach in weights.items():
                events[kind] = events.get(kind, 0) + int((reach * spikes).sum())
        for kind, n in events.items():
            self.events.setdefault(kind, []).append(n)

    def _active(self) -> int:
        """Active updates so far, fill and drain included."""
        populations = [self._population(c) for c in self._cells] if self._sample_synops else []
        return sum(p.active + p.fill_active for p in populations)

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
            hosted = s.id in (INPUT, CLOCK)
            network = s.messages * cost("message") + s.hops_ew * cost("hop_ew") + s.hops_ns * cost("hop_ns")
            network += s.crossings * cost("crossing") + (0.0 if hosted else s.spikes * cost("spike_generation"))
            if s.spikes:
                total += np.array(self.sent[s.id]) * (network / s.spikes)
        return total * 1e-6


def _synop_maps(program: Program) -> dict[str, dict[str, np.ndarray]]:
    """{source: {format: synops that a spike of each neuron causes, (C, H, W)}} for every source that is counted."""
    found: dict[str, dict[str, np.ndarray]] = {p.id: {} for p in program.populations}
    for wire in wirings(program).values():
        kind = "conv" if wire.map.kind == "pooled_conv" else wire.map.kind
        maps = found.setdefault(wire.src, {})
        maps[kind] = maps.get(kind, 0) + fan_out(wire.map, wire.src_shape)
    return found
