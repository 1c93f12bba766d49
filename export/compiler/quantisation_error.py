"""What quantisation did to each population: weights, threshold, leaks, bias, and the spikes that came out otherwise.

The integers are compared with the circuit that the graph is before any number becomes one. Errors are relative to what
they belong to (weights to the RMS of the weights, bias to the threshold), so that populations can be set beside each
other. Differing spikes are the effect: those of a population hold what it inherited from the ones before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group, trace
from snnas.export.compiler.exactness import brought, obstacles
from snnas.export.compiler.grids import grid_of
from snnas.export.compiler.parts import own_spikes
from snnas.export.compiler.resolution import Resolution, resolution
from snnas.export.compiler.schedule import schedule
from snnas.export.graph.graph import Graph
from snnas.hw_sim import limits
from snnas.hw_sim.program import Population, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationError:
    """A population of the program against that of the graph.

    weight: RMS of the rounding / RMS of the weights, over all its synapses. threshold: relative; integer currents fall
    on whole weight units and the threshold just below one half of one, which rounds currents like any others. 0 where
    the neurons see whole steps alone and the threshold lies between the same two of them as the graph's.
    leak, current_decay: kept share of a timestep, program less graph. bias: the largest, in thresholds.
    resolution: the bits that its weights really have; None where no weights are rounded.
    inexact: what keeps it from firing the graph's spikes on every input (``exactness.py``); '' where nothing does.
    differing, spikes: recorded spikes that differ, of so many (a spike or none per neuron, timestep and sample).
    """

    weight: float
    threshold: float
    leak: float
    current_decay: float
    bias: float
    resolution: Resolution | None = None
    inexact: str = ""
    differing: int = 0
    spikes: int = 0

    @property
    def share(self) -> float:
        """The share of the recorded spikes that differ."""
        return self.differing / max(1, self.spikes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def quantisation_errors(graph: Graph, program: Program) -> dict[str, PopulationError]:
    """The errors of each population that stands for a node of the graph; relays stand for none and are exact."""
    soft_reset = any(p.taken for p in program.populations)
    circuit = schedule(trace(graph, program.input_kind, soft_reset=soft_reset)).circuit
    inexact = obstacles(circuit, program)
    return {
        p.id: replace(_of(circuit, circuit.group(p.id), p, program), inexact=inexact[p.id])
        for p in program.in_order
        if p.id in program.meta.get("node_of", {})
    }


def short_of_bits(errors: Mapping[str, PopulationError], program: Program) -> list[str]:
    """A line for each population whose weights have few bits left."""
    return [
        f"population {name}: {e.resolution.text(program.weight_bits)}"
        for name, e in errors.items()
        if e.resolution is not None and e.resolution.few
    ]


def with_spikes(
    errors: Mapping[str, PopulationError],
    program: Program,
    golden: Mapping[str, np.ndarray],
    floats: Mapping[str, np.ndarray],
) -> dict[str, PopulationError]:
    """The errors with the spikes that differ on recorded samples.

    golden: ``spikes.<population>``, packed along neurons, as golden.npz keeps them. floats: the graph's spikes by node,
    bool (B, T, *shape), of the same samples or more.
    """
    node_of = program.meta.get("node_of", {})
    out = dict(errors)
    for name, error in errors.items():
        theirs = floats.get(node_of[name])
        if theirs is None:
            continue
        ours = np.unpackbits(golden[f"spikes.{name}"], axis=-1, count=program.population(name).size).astype(bool)
        differing = int((ours != own_spikes(program, name, theirs[: len(ours)]).reshape(ours.shape)).sum())
        out[name] = replace(error, differing=differing, spikes=int(ours.size))
    return out


def _of(circuit: Circuit, group: Group, p: Population, program: Program) -> PopulationError:
    real = p.scale * group.threshold
    gate = p.role != "neuron"  # its numbers mean no current: one spike is enough, whatever they are
    kept = (1 - p.dv / limits.DECAY_ONE) ** program.schedule.period
    return PopulationError(
        weight=0.0 if gate else _weights(circuit, p, program),
        threshold=0.0 if gate or _decides_alike(p, program, real) else p.vth / real - 1,
        leak=0.0 if gate else kept - (1 - group.alpha),
        current_decay=0.0 if gate else (limits.NO_MEMORY - p.du) / limits.DECAY_ONE - (1 - group.decay),
        bias=0.0 if gate else _bias(group, p, program),
        resolution=resolution(p, [k for k in circuit.links if k.dst == p.id], list(program.into(p.id))),
    )


def _decides_alike(p: Population, program: Program, threshold: float) -> bool:
    """Whether the threshold lies between the same two currents as the graph's, of those that there are at all."""
    grid = grid_of(p, program.into(p.id), hosted=any(h.dst == p.id for h in program.host))
    fine = 1 << limits.STATE_SHIFT
    return grid > 0 and np.floor(threshold * fine / grid) == (p.vth * fine) // grid


def _weights(circuit: Circuit, p: Population, program: Program) -> float:
    links = {k.id: k.map.weight for k in circuit.links if k.dst == p.id}
    error = total = 0.0
    for s in program.into(p.id):
        if s.id in links:
            real = links[s.id]
            error += float(np.square(s.map.weight * ((1 << s.exponent) / p.scale) - real).sum())
            total += float(np.square(real).sum())
    return float(np.sqrt(error / total)) if total else 0.0


def _bias(group: Group, p: Population, program: Program) -> float:
    """The largest error of what is added at every timestep, in thresholds."""
    real = group.bias + (0.0 if group.drive is None else group.drive)
    ours = brought(p, program) / (1 << limits.STATE_SHIFT)
    return float(np.abs(ours / p.scale - real).max()) / group.threshold
