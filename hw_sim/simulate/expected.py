"""Counts of a program that was not run, from spike rates: what a network of that activity would do on its cores.

For programs too large to simulate here, and for ``what if it spiked at 10 %``. Every population fires evenly, over its
neurons and over time. A bound where an even rate cannot tell: every compartment counts as active on every step.
Messages are as ``counter`` counts them. Nothing is unrolled; memory grows with the number of boxes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.mapping import Mapping as Placement
from snnas.hw_sim.map.mapping import Slice
from snnas.hw_sim.map.wiring import READOUT, Wiring, readout_depth, wirings
from snnas.hw_sim.program import CLOCK, HOSTED, Program
from snnas.hw_sim.signals import encoder_comparisons
from snnas.hw_sim.simulate.counter import Due
from snnas.hw_sim.simulate.counts import CoreCount, Counts, PopulationCount, SourceCount, SynapseCount

SAMPLES = 1000  # counts are integers: of so many inferences, so that a rounded mean keeps three digits


def expected_counts(program: Program, mapping: Placement, rates: Mapping[str, float]) -> Counts:
    """rates: spikes per neuron and timestep of every population, and of ``input`` where the program has one."""
    wires = wirings(program)
    sources = dict.fromkeys([p.id for p in program.populations] + [w.src for w in wires.values()])
    rate = {name: 1.0 if name == CLOCK else float(rates.get(name, -1.0)) for name in sources}
    for name, value in rate.items():
        if not 0 <= value <= 1:
            raise UsageError(f"rates: {name} has {rates.get(name)}; expected spikes per timestep in 0..1")
    schedule, steps = program.schedule, program.timesteps
    depth = {**schedule.depth, READOUT: readout_depth(program)}
    distance: dict[str, int] = dict.fromkeys(wires, 0)
    distance.update((s.id, s.distance) for s in program.synapses)
    total = steps * schedule.period + schedule.total_depth
    synops, messages = np.zeros((2, mapping.cores, total))
    slices: dict[str, list[Slice]] = {}
    for s in mapping.slices:
        slices.setdefault(s.population, []).append(s)
    sent, injected = {}, dict[str, float]()
    for name in sources:
        network = _Network(program, mapping, name, slices.get(name, []))
        reached: dict[tuple[int, Due | None], list[tuple[Wiring, Slice]]] = {}
        for made, w in wires.items():
            if w.src == name:
                due: Due | None = (depth[w.dst], distance[made]) if name in HOSTED else None
                for s in slices[w.dst]:
                    reached.setdefault((s.core, due), []).append((w, s))
        for (core, due), joined in reached.items():
            first, late = due or (depth[name] + 1, 0)
            at = np.arange(late, steps) * schedule.period + first
            messages[core, at] += rate[name] * network.reach(core, joined, (steps - late) / steps)
            synops[core, at] += rate[name] * sum(w.connections(s.box) for w, s in joined)
        spikes = rate[name] * math.prod(program.source_shape(name))
        sent[name] = (spikes, *(rate[name] * n for n in network.totals))
        injected[name] = spikes * sum(steps - late for _, late in {due for _, due in reached if due is not None})
    host_macs = sum(int(fan_out(h.map, program.input_shape).sum()) for h in program.host)  # of a static image
    shapes = {p.id: p.size for p in program.populations} | {READOUT: program.readout.classes}
    fired = sum(sent[p.id][0] for p in program.populations if p.role == "neuron") * steps
    acting = {name: steps - (distance[name] if w.src in HOSTED else 0) for name, w in wires.items()}
    reach = {name: int(fan_out(w.map, w.src_shape).sum()) for name, w in wires.items()}
    events = {name: rate[w.src] * acting[name] * reach[name] for name, w in wires.items()}
    return Counts(
        samples=SAMPLES,
        timesteps=steps,
        period=schedule.period,
        blank=schedule.blank,
        depth=schedule.total_depth,
        host_macs=host_macs * SAMPLES,
        host_comparisons=encoder_comparisons(program.meta, program.input_shape[0]) * SAMPLES,
        system=mapping.system.name,
        chips=mapping.chips,
        chips_used=mapping.chips_used,
        misfits=tuple(map(str, mapping.misfits)),
        populations=tuple(
            PopulationCount(
                id=name,
                role="readout" if name == READOUT else program.population(name).role,
                neurons=size,
                spikes=(_whole(sent[name][0]) if name in sent else 0,) * steps,
                active=SAMPLES * size * schedule.period * (steps + schedule.blank),
                idle=0,
                fill_active=SAMPLES * size * schedule.total_depth,
                fill_idle=0,
            )
            for name, size in shapes.items()
        ),
        synapses=tuple(
            SynapseCount(
                id=name,
                src=w.src,
                dst=w.dst,
                kind=w.map.kind,
                connections=reach[name],
                synops=_whole(events[name]),
            )
            for name, w in wires.items()
        ),
        sources=tuple(
            SourceCount(
                id=name,
                spikes=_whole(steps * s),
                injected=_whole(injected[name]),
                messages=_whole(steps * m),
                hops_ew=_whole(steps * ew),
                hops_ns=_whole(steps * ns),
                crossings=_whole(steps * out),
            )
            for name, (s, m, ew, ns, out) in sent.items()
        ),
        cores=tuple(_cores(mapping, synops, messages)),
        sample_spikes=(round(fired),) * SAMPLES,
        sample_synops=(round(sum(events.values())),) * SAMPLES,
    )


def _whole(mean: float) -> int:
    return round(mean * SAMPLES)


def _cores(mapping: Placement, synops: np.ndarray, messages: np.ndarray) -> list[CoreCount]:
    steps = synops.shape[1]
    found = []
    for core, usage in enumerate(mapping.usage):
        n = usage["compartments"][0]
        found.append(
            CoreCount(
                compartments=n,
                synops=tuple(np.rint(synops[core] * SAMPLES).astype(np.int64).tolist()),
                active=(n * SAMPLES,) * steps,
                messages=tuple(np.rint(messages[core] * SAMPLES).astype(np.int64).tolist()),
            )
        )
    return found


class _Network:
    """Messages of one source, one spike per neuron: totals of messages, hops east-west, north-south, crossings."""

    def __init__(self, program: Program, mapping: Placement, source: str, slices: list[Slice]) -> None:
        self.position, self.shape, self.slices = mapping.system.position, program.source_shape(source), slices
        self.boxes = np.array([s.box for s in slices], dtype=np.int64).reshape(-1, 6)
        places = np.array([self.position(s.core) for s in slices], dtype=np.int64).reshape(-1, 3)
        # Of each chip its slices and their columns and rows: a large source lies on hundreds, and hops are within one.
        self.on = {int(chip): np.flatnonzero(places[:, 0] == chip) for chip in np.unique(places[:, 0])}
        self.columns, self.rows = places[:, 1], places[:, 2]
        self.home: np.ndarray | None = None  # each neuron's slice, made where it is needed
        self.totals = [0.0, 0, 0, 0]

    def reach(self, core: int, joined: list[tuple[Wiring, Slice]], share: float) -> int:
        """The source neurons that reach a core, each counted once; adds their messages to the totals.

        share: of the timesteps whose spikes are sent at all; below 1 for the host's alone.
        """
        index = joined[0][0].reached(joined[0][1].box)
        if len(joined) > 1:
            hit = np.zeros(self.shape, dtype=bool)
            for wire, part in joined:
                hit[wire.reached(part.box)] = True
            index = np.nonzero(hit)
        count = int(np.broadcast(*index).size)
        self.totals[0] += count * share
        if not self.slices:
            return count  # the host's: no hops
        chip, column, row = self.position(core)
        near = self.on.get(chip, np.zeros(0, dtype=np.int64))
        here = self._per_slice(index, near)
        self.totals[1] += int(here @ np.abs(self.columns[near] - column))
        self.totals[2] += int(here @ np.abs(self.rows[near] - row))
        self.totals[3] += count - int(here.sum())
        return count

    def _per_slice(self, index: tuple[np.ndarray, ...], slices: np.ndarray) -> np.ndarray:
        """How many of these neurons lie in each of some slices of the source."""
        if index[0].ndim == 1:  # scattered
            if self.home is None:
                self.home = np.zeros(self.shape, dtype=np.int64)
                for k, part in enumerate(self.slices):
                    self.home[part.where] = k
            counted: np.ndarray = np.bincount(self.home[index], minlength=len(self.slices))[slices]
            return counted
        boxes = self.boxes[slices]
        near = np.ones(len(boxes), dtype=np.int64)
        for axis, values in enumerate(index):  # a product of three sets: count each axis by a running sum
            running = np.zeros(self.shape[axis] + 1, dtype=np.int64)
            running[values.ravel() + 1] = 1
            running = running.cumsum()
            near *= running[boxes[:, 2 * axis + 1]] - running[boxes[:, 2 * axis]]
        return near
