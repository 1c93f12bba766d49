"""How far a program's spikes part from its graph's: per population and timestep, and where the first one differs.

The first difference of a sample is made where it shows: whatever feeds that neuron has been equal until then. So one
sample, run with one cause exact at that population alone, says which of them turns that spike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from snnas.toolchain.diagnosing import hybrid
from snnas.toolchain.diagnosing.hybrid import CAUSES, Outcome
from snnas.toolchain.diagnosing.pairing import Joint, Unit


@dataclass(frozen=True, slots=True)
class First:
    """Where a sample's spikes part first. depth: of the population among those that compute."""

    sample: int
    timestep: int
    depth: int
    neuron: tuple[int, ...]

    @property
    def when(self) -> tuple[int, int]:
        return self.timestep, self.depth


@dataclass(slots=True)
class Divergence:
    """Differing spikes of a program against its graph, summed over batches.

    differing: {population: (T,)}. own: likewise, of each population fed with what the program's others fired, so that
    nothing is inherited. first: the earliest timestep's shallowest population.
    """

    samples: int = 0
    differing: dict[str, np.ndarray] = field(default_factory=dict)
    own: dict[str, np.ndarray] = field(default_factory=dict)
    first: First | None = None

    def add(self, joint: Joint, graph: Outcome, program: Outcome, alone: Outcome) -> None:
        """One batch: what the graph did, the program, and each population of the graph on the program's spikes."""
        before = self.samples
        for depth, unit in enumerate(joint.units):
            if unit.group is None:
                continue
            parted = graph.spikes[unit.id] != program.spikes[unit.id]
            self._count(self.differing, unit.id, parted)
            self._count(self.own, unit.id, alone.spikes[unit.id] != program.spikes[unit.id])
            found = _earliest(parted, depth, before)
            if found is not None and (self.first is None or found.when < self.first.when):
                self.first = found
        self.samples += len(graph.answers)

    def _count(self, totals: dict[str, np.ndarray], name: str, parted: np.ndarray) -> None:
        totals[name] = totals.get(name, 0) + parted.sum(axis=(0, *range(2, parted.ndim)))

    def to_json(self, joint: Joint) -> dict[str, Any]:
        """Plain numbers: what a picture and a report are drawn from.

        {samples, timesteps, populations: [{population, node, role, neurons, differing, fraction, own_fraction}]}, each
        of the last three a list over timesteps; ``own_fraction`` is what the population adds by itself.
        """
        rows = []
        for unit in joint.units:
            if unit.id not in self.differing:
                continue
            slots = max(1, self.samples * unit.population.size)
            rows.append(
                {
                    "population": unit.id,
                    "node": unit.node,
                    "role": unit.population.role,
                    "neurons": unit.population.size,
                    "differing": [int(n) for n in self.differing[unit.id]],
                    "fraction": [float(n) / slots for n in self.differing[unit.id]],
                    "own_fraction": [float(n) / slots for n in self.own[unit.id]],
                }
            )
        return {"samples": self.samples, "timesteps": joint.program.timesteps, "populations": rows}


def _earliest(parted: np.ndarray, depth: int, before: int) -> First | None:
    """parted: bool (B, T, C, H, W)."""
    when = np.flatnonzero(parted.any(axis=(0, *range(2, parted.ndim))))
    if not when.size:
        return None
    t = int(when[0])
    sample, *neuron = (int(n) for n in np.argwhere(parted[:, t])[0])
    return First(before + sample, t, depth, tuple(neuron))


def three_runs(joint: Joint, given: hybrid.Stimulus) -> tuple[Outcome, Outcome, Outcome]:
    """The graph's run, the program's, and each population of the graph on the program's spikes."""
    exact = hybrid.everywhere(joint, CAUSES)
    program = hybrid.run_hybrid(joint, given)
    alone = hybrid.run_hybrid(joint, given, exact, forced=program.spikes)
    return hybrid.run_hybrid(joint, given, exact), program, alone


def explain(joint: Joint, x: np.ndarray, first: First) -> dict[str, Any]:
    """The first difference in full: membranes on both sides, and which causes, exact there alone, remove it."""
    unit = joint.units[first.depth]
    given = hybrid.stimulus(joint, x[first.sample : first.sample + 1])
    at = (0, first.timestep, *first.neuron)
    graph = hybrid.run_hybrid(joint, given, hybrid.everywhere(joint, CAUSES), watch=unit.id)
    program = hybrid.run_hybrid(joint, given, watch=unit.id)
    assert graph.watched is not None
    assert program.watched is not None
    threshold = unit.population.vth << 6
    wanted = bool(graph.spikes[unit.id][at])
    mended = {c: hybrid.run_hybrid(joint, given, frozenset({(unit.id, c)})) for c in CAUSES if c != "readout"}
    value = float(graph.watched[at])
    return {
        "population": unit.id,
        "node": unit.node,
        "timestep": first.timestep,
        "neuron": list(first.neuron),
        "sample": first.sample,
        "float_fires": wanted,
        "float_v_over_threshold": value,
        "float_margin": value - 1,
        "node_threshold": _node_threshold(joint, unit, first.neuron),
        "integer_v": round(float(program.watched[at]) * threshold),
        "integer_threshold": threshold,
        "removed_by": [cause for cause, run in mended.items() if bool(run.spikes[unit.id][at]) == wanted],
    }


def _node_threshold(joint: Joint, unit: Unit, neuron: tuple[int, ...]) -> float:
    """The neuron's threshold as the graph's file has it."""
    node = joint.graph.nodes[unit.node]
    values = getattr(node, "v_threshold", None)
    if values is None:
        values = node.threshold  # type: ignore[union-attr]
    own = joint.circuit.parts.get(unit.id)
    flat = values.reshape(-1) if own is None else values.reshape(-1)[own]
    return float(flat.reshape(unit.population.shape)[neuron])
