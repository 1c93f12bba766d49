"""Counts what a program did on its cores: adds up its traces on one mapping; ``counts`` defines each figure.

Compartments are followed by where input arrived; connections, messages and hops come from the program's wiring and the
mapping's slices, so nothing is unrolled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from snnas.hw_sim import kernels
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.mapping import Mapping
from snnas.hw_sim.map.wiring import READOUT, Wiring, readout_depth, wirings
from snnas.hw_sim.program import CLOCK, HOSTED, INPUT, Program, Shape
from snnas.hw_sim.signals import encoder_comparisons
from snnas.hw_sim.simulate.counts import CoreCount, Counts, PopulationCount, SourceCount, SynapseCount
from snnas.hw_sim.simulate.simulator import Trace

Due = tuple[int, int]  # depth of a reader, and how many timesteps late it reads


class _Cells:
    """A population's (or the readout's) compartments and their running sums over samples."""

    def __init__(
        self, id_: str, shape: Shape, depth: int, timesteps: int, forgets: bool, biased: np.ndarray, lingers: bool
    ) -> None:
        self.id, self.shape, self.depth, self.forgets, self.biased = id_, shape, depth, forgets, biased
        self.lingers = lingers  # a current with memory goes on after the spike that it caused; so does a soft reset's v
        self.active = np.zeros((timesteps, *shape), dtype=np.int64)  # on the timestep's own hardware step
        self.carried = np.zeros((timesteps, *shape), dtype=np.int64)  # on the steps until the next one
        self.drained = np.zeros(shape, dtype=np.int64)  # on the steps after the last one
        self.each: np.ndarray | None = None  # (3, B): the same of each sample of the last batch, where it is kept

    def add(self, arrived: np.ndarray, late: np.ndarray, spikes: np.ndarray | None, *, keep: bool = False) -> None:
        """arrived: bool (B, T, *shape). late: bool (B, *shape), delayed input after the last timestep.

        keep: what each sample did, too.
        """
        state = np.zeros(late.shape, dtype=bool)
        each = np.zeros((3, len(late)), dtype=np.int64) if keep else None
        for t in range(arrived.shape[1]):
            state = state | self.biased | arrived[:, t]
            self.active[t] += state.sum(axis=0)
            if each is not None:
                each[0] += _per_sample(state)
            if spikes is not None and not self.lingers:
                state = state & ~spikes[:, t]
            if self.forgets:
                state = np.zeros_like(state)
            self.carried[t] += state.sum(axis=0)
            if each is not None:
                each[1] += _per_sample(state)
        state = state | self.biased | late
        self.drained += state.sum(axis=0)
        if each is not None:
            each[2] += _per_sample(state)
        self.each = each


def _per_sample(state: np.ndarray) -> np.ndarray:
    return np.asarray(np.count_nonzero(state.reshape(len(state), -1), axis=1))


class Counter:
    """Adds up traces of one program on one mapping; order and batch size do not matter."""

    keeps_samples = False  # whether compartments keep what each sample of the last batch did

    def __init__(self, program: Program, mapping: Mapping) -> None:
        self.program, self.mapping = program, mapping
        self._wires = wirings(program)
        self._distance: dict[str, int] = dict.fromkeys(self._wires, 0)
        self._distance.update((s.id, s.distance) for s in program.synapses)
        # What would be due behind the last timestep is not injected; a population's last spikes are on the chip.
        self._unsent = {name: self._distance[name] if w.src in HOSTED else 0 for name, w in self._wires.items()}
        steps, depth = program.timesteps, program.schedule.depth
        self._cells = [
            _Cells(
                p.id,
                p.shape,
                depth[p.id],
                steps,
                p.role != "neuron",  # a gate fires or holds nothing that could be told from 0
                np.broadcast_to(kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent) != 0, p.shape),
                p.current_decays or p.taken > 0,
            )
            for p in program.in_order
        ]
        classes = (program.readout.classes, 1, 1)
        none = np.zeros(classes, dtype=bool)
        self._cells.append(_Cells(READOUT, classes, readout_depth(program), steps, False, none, False))
        self._depth = {c.id: c.depth for c in self._cells}
        self._steps = steps * program.schedule.period + program.schedule.total_depth
        self._hosted = {h.dst for h in program.host}
        self._spikes = {
            name: np.zeros((steps, *program.source_shape(name)), dtype=np.int64)
            for name in dict.fromkeys([p.id for p in program.populations] + [w.src for w in self._wires.values()])
        }
        self._arrivals: dict[str, np.ndarray] = {}  # per synapse: arrivals by source timestep, summed over samples
        self._sample_spikes: list[int] = []
        self._sample_synops: list[int] = []
        self._frames = 0

    def add(
        self, trace: Trace, *, spikes_in: np.ndarray | None = None, currents: dict[str, np.ndarray] | None = None
    ) -> None:
        """A batch. spikes_in: the bool (B, T, C, H, W) that drove it, where the input is spikes.

        currents: as ``host_currents`` gave them; without them a static image is assumed, whose current arrives at
        every neuron at every timestep.
        """
        spikes = dict(trace.spikes)
        batch, steps = next(iter(spikes.values())).shape[:2]
        spikes[CLOCK] = np.ones((batch, steps, 1, 1, 1), dtype=bool)
        if spikes_in is not None:
            spikes[INPUT] = spikes_in != 0
        for name, total in self._spikes.items():
            if name not in spikes:
                raise UsageError(f"counts: the spikes of {name} are missing; pass them (spikes_in for the input's)")
            if spikes[name].shape != (batch, *total.shape):
                raise UsageError(f"counts: {name} has spikes {spikes[name].shape}; expected {(batch, *total.shape)}")
            total += spikes[name].sum(axis=0)
        synops = np.zeros(batch, dtype=np.int64)
        arrived: dict[str, list[tuple[Wiring, np.ndarray, int]]] = {c.id: [] for c in self._cells}
        for name, wire in self._wires.items():
            source = spikes[wire.src]
            a = wire.arrivals(source.reshape(batch * steps, *wire.src_shape))
            a = a.reshape(batch, steps, *a.shape[1:])
            if self._unsent[name]:
                a = a.copy()
                a[:, steps - self._unsent[name] :] = 0
            targets = math.prod(wire.dst_shape) // math.prod(a.shape[2:])  # that share each entry of a
            synops += targets * a.sum(axis=(1, 2, 3, 4), dtype=np.float64).astype(np.int64)
            self._arrivals[name] = self._arrivals.get(name, 0) + a.sum(axis=0, dtype=np.float64).astype(np.int64)
            arrived[wire.dst].append((wire, a > 0, self._distance[name]))
        for cells in self._cells:
            here, late = self._arrived(cells, arrived[cells.id], (batch, steps), currents)
            cells.add(here, late, trace.spikes.get(cells.id), keep=self.keeps_samples)
        self._sample_synops += synops.tolist()
        counted = [trace.spikes[p.id] for p in self.program.populations if p.role == "neuron"]
        self._sample_spikes += sum((s.reshape(batch, -1).sum(axis=1) for s in counted), np.zeros(batch, int)).tolist()
        self._frames += batch * max((self._computed(n, c) for n, c in (currents or {}).items()), default=1)

    def _computed(self, name: str, current: np.ndarray) -> int:
        """How many frames the host computed for this current: of a still image one, however late it is injected."""
        late = max((h.distance for h in self.program.host if h.dst == name), default=0)
        still = late > 0 and bool((current[:, late:] == current[:, late : late + 1]).all())
        return 1 if still else current.shape[1]

    def _arrived(
        self,
        cells: _Cells,
        arrived: list[tuple[Wiring, np.ndarray, int]],
        size: tuple[int, int],
        currents: dict[str, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where input arrived: bool (B, T, *shape), and (B, *shape) after the last timestep."""
        here: np.ndarray = np.zeros((*size, *cells.shape), dtype=bool)
        late: np.ndarray = np.zeros((size[0], *cells.shape), dtype=bool)
        for wire, a, distance in arrived:
            flat = wire.spread(a.reshape(-1, *a.shape[2:]))
            there = flat.reshape(*size, *cells.shape)
            if distance:
                here[:, 1:] |= there[:, :-1]
                late |= there[:, -1]
            else:
                here |= there
        if cells.id in self._hosted:
            here |= currents[cells.id] != 0 if currents and cells.id in currents else True
        return here, late

    def result(self) -> Counts:
        """The counts of all that was added. UsageError where nothing was."""
        if not self._sample_synops:
            raise UsageError("counts: no sample was added; run the program on at least one")
        program, m = self.program, self.mapping
        messages, sources = self._messages()
        return Counts(
            samples=len(self._sample_synops),
            timesteps=program.timesteps,
            period=program.schedule.period,
            blank=program.schedule.blank,
            depth=program.schedule.total_depth,
            host_macs=self._frames * sum(int(fan_out(h.map, program.input_shape).sum()) for h in program.host),
            host_comparisons=len(self._sample_synops) * encoder_comparisons(program.meta, program.input_shape[0]),
            system=m.system.name,
            chips=m.chips,
            chips_used=m.chips_used,
            misfits=tuple(map(str, m.misfits)),
            populations=tuple(self._population(c) for c in self._cells),
            synapses=tuple(self._synapse(name, w) for name, w in self._wires.items()),
            sources=tuple(sources),
            cores=tuple(self._core_counts(messages)),
            sample_spikes=tuple(self._sample_spikes),
            sample_synops=tuple(self._sample_synops),
        )

    def _population(self, cells: _Cells) -> PopulationCount:
        schedule, samples = self.program.schedule, len(self._sample_synops)
        steps = self.program.timesteps
        neurons = math.prod(cells.shape)
        active, filling = self._active(cells, *(int(n.sum()) for n in (cells.active, cells.carried, cells.drained)))
        filling += cells.depth * int(cells.biased.sum()) * samples
        role: Literal["neuron", "or", "relay", "readout"] = "readout"
        spikes = [0] * steps
        if cells.id != READOUT:
            role = self.program.population(cells.id).role
            spikes = self._spikes[cells.id].sum(axis=(1, 2, 3)).tolist()
        return PopulationCount(
            id=cells.id,
            role=role,
            neurons=neurons,
            spikes=tuple(spikes),
            active=active,
            idle=neurons * samples * schedule.period * (steps + schedule.blank) - active,
            fill_active=filling,
            fill_idle=neurons * samples * schedule.total_depth - filling,
        )

    def _active(self, cells: _Cells, active: Any, carried: Any, drained: Any) -> tuple[Any, Any]:
        """Active updates on the timesteps' hardware steps, and after the last one while the pipeline drains."""
        schedule = self.program.schedule
        own = active + (schedule.period - 1) * carried + schedule.blank * schedule.period * drained
        return own, (schedule.total_depth - cells.depth) * drained

    def _synapse(self, name: str, wire: Wiring) -> SynapseCount:
        reach = fan_out(wire.map, wire.src_shape)
        sent = self._spikes[wire.src][: self.program.timesteps - self._unsent[name]]
        synops = int((sent.sum(axis=0) * reach).sum())
        return SynapseCount(
            id=name, src=wire.src, dst=wire.dst, kind=wire.map.kind, connections=int(reach.sum()), synops=synops
        )

    def _messages(self) -> tuple[np.ndarray, list[SourceCount]]:
        """Messages into each core by hardware step, and each source's totals."""
        into = np.zeros((self.mapping.cores, self._steps), dtype=np.int64)
        return into, [self._sent(name, into) for name in self._spikes]

    def _sent(self, name: str, into: np.ndarray) -> SourceCount:
        """A source's messages, each to every core that holds a target; adds them to ``into``.

        What the host drives in comes once for each hardware step on which it is due.
        """
        spikes, steps = self._spikes[name], self.program.timesteps
        reached: dict[tuple[int, Due | None], list[tuple[Wiring, Any]]] = {}
        for made, wire in self._wires.items():
            if wire.src == name:
                due: Due | None = (self._depth[wire.dst], self._distance[made]) if name in HOSTED else None
                for part in self.mapping.of(wire.dst):
                    reached.setdefault((part.core, due), []).append((wire, part.box))
        injected = {due for _, due in reached if due is not None}
        totals = dict.fromkeys(("messages", "hops_ew", "hops_ns", "crossings"), 0)
        placed = self._places(name)
        for (core, due), parts in reached.items():
            hit = np.zeros(spikes.shape[1:], dtype=bool)
            for wire, box in parts:
                hit[wire.reached(box)] = True
            at = self._arrival_steps(name, due)
            sent = spikes[: len(at), hit]  # (T, neurons)
            totals["messages"] += int(sent.sum())
            into[core, at] += sent.sum(axis=1)
            if placed is not None:
                chip, column, row = self.mapping.system.position(core)
                there = placed[:, hit]
                near = sent.sum(axis=0) * (there[0] == chip)
                totals["hops_ew"] += int((near * np.abs(there[1] - column)).sum())
                totals["hops_ns"] += int((near * np.abs(there[2] - row)).sum())
                totals["crossings"] += int(sent.sum() - near.sum())
        driven = sum(int(spikes[: steps - distance].sum()) for _, distance in injected)
        return SourceCount(id=name, spikes=int(spikes.sum()), injected=driven, **totals)

    def _places(self, name: str) -> np.ndarray | None:
        """(chip, column, row) of each neuron of a population, (3, C, H, W); None of the host's."""
        if name in HOSTED:
            return None
        places = np.zeros((3, *self.program.source_shape(name)), dtype=np.int64)
        for part in self.mapping.of(name):
            places[(slice(None), *part.where)] = np.reshape(self.mapping.system.position(part.core), (3, 1, 1, 1))
        return places

    def _arrival_steps(self, source: str, due: Due | None) -> np.ndarray:
        """The hardware step on which the spikes of each timestep arrive: one after they were sent.

        due: depth and distance of the reader, where the host drives them in a step before it.
        """
        timesteps, period = self.program.timesteps, self.program.schedule.period
        if due is None:
            return np.arange(timesteps) * period + self._depth[source] + 1
        depth, distance = due
        return np.arange(distance, timesteps) * period + depth

    def _core_counts(self, messages: np.ndarray) -> Iterator[CoreCount]:
        size = (self.mapping.cores, self._steps)
        synops, active = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        compartments = np.zeros(size[0], dtype=np.int64)
        period, timesteps, samples = self.program.schedule.period, self.program.timesteps, len(self._sample_synops)
        for cells in self._cells:
            for part in self.mapping.of(cells.id):
                box = part.where
                compartments[part.core] += cells.drained[box].size
                row = active[part.core]
                row[: cells.depth] += int(cells.biased[box].sum()) * samples
                for t in range(timesteps):
                    start = t * period + cells.depth
                    row[start] += int(cells.active[(t, *box)].sum())
                    row[start + 1 : start + period] += int(cells.carried[(t, *box)].sum())
                row[timesteps * period + cells.depth :] += int(cells.drained[box].sum())
        for name, wire in self._wires.items():
            due = (self._depth[wire.dst], self._distance[name]) if wire.src in HOSTED else None
            at = self._arrival_steps(wire.src, due)
            spread = wire.spread(self._arrivals[name])[: len(at)]
            for part in self.mapping.of(wire.dst):
                where = part.where
                synops[part.core, at] += spread[(slice(None), *where)].reshape(len(at), -1).sum(axis=1)
        for core in range(size[0]):
            yield CoreCount(
                compartments=int(compartments[core]),
                synops=tuple(synops[core].tolist()),
                active=tuple(active[core].tolist()),
                messages=tuple(messages[core].tolist()),
            )
