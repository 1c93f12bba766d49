"""What a program did on its cores: exact integers, no prices, and their JSON. ``counter`` counts them.

Sums over all samples; divide by ``samples`` for one inference. Hardware steps of one inference: ``T * P`` that
compute, ``depth`` that fill and drain the pipeline, ``blank * P`` between samples.

* **synops**: one per spike and synapse it reaches, edge-aware (``linear.fan_out``), zero weights included. The clock's
  count (they are spikes); biases in registers do not. The readout's are the entry ``READOUT``.
* **messages**: one per (spike, destination core), the core of its own included; hops are tiles between them.
* **updates**: every compartment is touched on every hardware step: ``N * P * (T + blank)`` active or idle, and
  ``N * depth`` more in ``fill_*``. *Active*: input arrived, a bias acts, or the state may be nonzero, which is taken
  from the last arrival until the next spike: an upper bound (currents may cancel, a state may decay to zero).
* **host MACs**: edge-aware, once per static image or per frame. **Host comparisons**: of an encoder of signals.

The readout's accumulators (role ``readout``) are touched like neurons; they count in no spiking activity rate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from snnas.hw_sim.errors import InvalidFileError, brief

# 1 had no ``injected``: what the host injects several times was billed once. 2 had no ``host_comparisons``.
FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationCount:
    """One population: spikes per timestep, and updates on the steps of the module's docstring."""

    id: str
    role: Literal["neuron", "or", "relay", "readout"]
    neurons: int
    spikes: tuple[int, ...]
    active: int
    idle: int
    fill_active: int
    fill_idle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SynapseCount:
    """One synapse. connections: all that the map holds, edge-aware (so ``T * connections`` is its dense count)."""

    id: str
    src: str
    dst: str
    kind: Literal["conv", "dense", "sparse", "pooled_conv"]
    connections: int
    synops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCount:
    """What a source sends. crossings: messages that leave the chip; hops are of the others. 0 hops for the host's.

    injected: spikes of the input or the clock that the host drives in: once for each hardware step on which they are
    due, as readers of different depth or distance need them; 0 of a population.
    """

    id: str
    spikes: int
    injected: int
    messages: int
    hops_ew: int
    hops_ns: int
    crossings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreCount:
    """One core's load on each of the ``T * P + depth`` hardware steps of an inference."""

    compartments: int
    synops: tuple[int, ...]
    active: tuple[int, ...]
    messages: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """See the module's docstring. sample_spikes (of role neuron) and sample_synops serve bootstrap intervals."""

    samples: int
    timesteps: int
    period: int
    blank: int
    depth: int
    host_macs: int
    host_comparisons: int
    system: str
    chips: int
    chips_used: int
    misfits: tuple[str, ...]
    populations: tuple[PopulationCount, ...]
    synapses: tuple[SynapseCount, ...]
    sources: tuple[SourceCount, ...]
    cores: tuple[CoreCount, ...]
    sample_spikes: tuple[int, ...]
    sample_synops: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Hardware steps of one inference, fill and drain included, blank steps not."""
        return self.timesteps * self.period + self.depth

    @property
    def synops(self) -> int:
        return sum(s.synops for s in self.synapses)

    @property
    def messages(self) -> int:
        return sum(s.messages for s in self.sources)

    @property
    def spikes(self) -> int:
        """Spikes of the populations that stand for a LIF."""
        return sum(sum(p.spikes) for p in self.populations if p.role == "neuron")

    @property
    def fired(self) -> dict[str, int]:
        """Spikes of each of them."""
        return {p.id: sum(p.spikes) for p in self.populations if p.role == "neuron"}

    @property
    def overhead_spikes(self) -> int:
        """Spikes of OR and relay neurons."""
        return sum(sum(p.spikes) for p in self.populations if p.role in ("or", "relay"))

    @property
    def sar(self) -> float:
        """Spikes / (neurons x timesteps x samples) over the populations that stand for a LIF."""
        neurons = sum(p.neurons for p in self.populations if p.role == "neuron")
        return self.spikes / max(1, neurons * self.timesteps * self.samples)

    @property
    def sar_of(self) -> dict[str, float]:
        """The same per population, overhead included, readout not."""
        per = self.timesteps * self.samples
        return {p.id: sum(p.spikes) / (p.neurons * per) for p in self.populations if p.role != "readout"}

    @property
    def neurobench(self) -> dict[str, float]:
        """Under NeuroBench 2.3's names, per inference; its Effective_ACs leaves zero weights out, ours does not."""
        connections = sum(s.connections for s in self.synapses)
        return {
            "SynapticOperations.Effective_ACs": self.synops / self.samples,
            "SynapticOperations.Effective_MACs": self.host_macs / self.samples,
            "SynapticOperations.Dense": connections * self.timesteps + self.host_macs / self.samples,
            "ActivationSparsity": 1.0 - self.sar,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``: the fields above and ``format``."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Counts:
        """What ``to_json`` gave. InvalidFileError names the entry that is missing, extra or no count."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise InvalidFileError(f"counts: format {brief(found)}; this version reads {FORMAT}; count again")
        counts: Counts = _read(cls, {k: v for k, v in data.items() if k != "format"}, "counts")
        if min(counts.samples, counts.timesteps, counts.period, counts.chips) < 1:
            raise InvalidFileError("counts: samples, timesteps, period and chips must be >= 1; count again")
        return counts


def _read(kind: Any, value: Any, place: str) -> Any:
    """``value`` as the annotated type: a dataclass of ours, tuple[X, ...], Literal, str or a count."""
    if get_origin(kind) is tuple:
        if isinstance(value, (list, tuple)):
            return tuple(_read(get_args(kind)[0], v, f"{place}[{i}]") for i, v in enumerate(value))
    elif get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
    elif kind is str:
        if isinstance(value, str):
            return value
    elif kind is int:
        if type(value) is int and value >= 0:
            return value
    elif isinstance(value, dict):
        names = {f.name for f in fields(kind)}
        if set(value) != names:
            raise InvalidFileError(
                f"{place}: entries {brief(sorted(set(value) ^ names))} are missing or unknown; count again"
            )
        hints = get_type_hints(kind)
        return kind(**{name: _read(hints[name], value[name], f"{place}.{name}") for name in names})
    raise InvalidFileError(f"{place}: {brief(value)} is not what belongs there; count again")
