"""A program run layer by layer: each population is driven by what the graph fired, not by what the program did.

Rounding adds up from layer to layer, and where few spikes come through many layers it may leave nothing in common with
the graph. Driven by the graph's spikes, each population shows its own rounding alone; wrong weights, thresholds, delays
or joints show in the population that has them, however deep it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import CLOCK, INPUT, Population, Program
from snnas.hw_sim.simulate import simulator

Spikes = dict[str, np.ndarray]


def driven_by(program: Program, x: np.ndarray, graphs: Mapping[str, np.ndarray]) -> tuple[Spikes, Spikes]:
    """What each population fires, and what it hands on, bool (B, T, C, H, W) each.

    x: samples, as ``simulate_input`` takes them. graphs: what the graph fired on them, by population; it is what these
    hand on. A relay, and what else the graph knows nothing of, hands on what it fires.
    """
    whole = len(x)
    injected = next(currents for _, currents in simulator.simulate_input(program, x, batch=whole))
    sent, handed = {INPUT: x > 0}, dict(graphs)
    currents: Spikes = {}
    fired: Spikes = {}
    # Whatever comes in: what a register holds is judged elsewhere.
    alone = replace(program, synapses=(), meta={**program.meta, "observed": []})
    waiting = list(program.in_order)
    while waiting:
        known = {CLOCK, INPUT, *handed}
        ready = [p for p in waiting if {s.src for s in program.into(p.id)} <= known]
        if not ready:
            raise InvalidFileError("program: populations that are no neurons of the graph wait for one another")
        for p in ready:
            currents[p.id] = _current(program, p, handed | sent, whole)
            currents[p.id] += injected.get(p.id, np.zeros(1, np.int64))
        fired = simulator.simulate(alone, currents=currents).spikes
        handed |= {p.id: fired[p.id] for p in ready if p.id not in handed}
        waiting = [p for p in waiting if p.id not in currents]
    return fired, handed


def _current(program: Program, p: Population, handed: Spikes, batch: int) -> np.ndarray:
    """What the synapses bring to a population at each timestep, int64 (B, T, C, H, W) in weight units."""
    steps = program.timesteps
    total = np.zeros((batch, steps, *p.shape), np.int64)
    for s in program.into(p.id):
        source = np.ones((batch, steps, 1, 1, 1), bool) if s.src == CLOCK else handed[s.src]
        late = steps - s.distance
        rows = source[:, :late].reshape(batch * late, *source.shape[2:])
        brought = apply(s.map, rows, p.shape).astype(np.int64) << s.exponent
        total[:, s.distance :] += brought.reshape(batch, late, *p.shape)
    return total
