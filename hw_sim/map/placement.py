"""Moves cores between tiles so that messages take fewer hops: a deterministic local search after packing.

A message costs the tiles between its cores; one that leaves the chip costs ``CROSSING`` tiles. Messages are one per
(spike, destination core), by the spikes of each source where they are known, else one spike of every neuron. Each
core in turn swaps places with the core that saves the most, until a pass saves little (pairwise exchange for the
quadratic assignment problem, Heffley 1972; a local optimum). What a core holds is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from snnas.hw_sim.map.wiring import Box, Wiring, box_slices
from snnas.hw_sim.program import Shape

CROSSING = 12  # a chip of Loihi 1 is 8 x 4 tiles: more than crossing it takes
MAX_CORES = 512  # beyond, the packer's order stays: a pass takes cores**3 operations
PASSES = 4
WORTH = 0.01  # a pass that saves less of the cost ends the search

Position = Callable[[int], tuple[int, int, int]]  # core -> (chip, column, row)
Rates = Mapping[str, Any]  # {population: spikes per neuron, a number or an array of its shape}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """Tiles that messages travel, and messages that leave a chip, before and after the search.

    weights: ``spikes`` where rates were given (then per timestep, mean over samples), else ``connections``.
    """

    before: float
    after: float
    crossings_before: float
    crossings_after: float
    weights: Literal["spikes", "connections"]


def traffic(
    wires: Sequence[Wiring],
    parts: Mapping[str, Sequence[tuple[int, Box]]],
    shapes: Mapping[str, Shape],
    cores: int,
    rates: Rates | None,
) -> np.ndarray:
    """Messages from core to core, float64 (cores, cores). parts: {population: its (core, box)}."""
    messages: np.ndarray = np.zeros((cores, cores))
    for source, shape in shapes.items():
        reached: dict[int, list[tuple[Wiring, Box]]] = {}
        for wire in wires:
            for core, box in parts[wire.dst] if wire.src == source else ():
                reached.setdefault(core, []).append((wire, box))
        if not reached:
            continue
        home = np.zeros(shape, dtype=np.int64)
        for core, box in parts[source]:
            home[box_slices(box)] = core
        sent = np.broadcast_to(np.asarray(1.0 if rates is None else rates.get(source, 0.0), dtype=np.float64), shape)
        for core, joined in reached.items():
            hit = np.zeros(shape, dtype=bool)
            for wire, box in joined:
                hit[wire.reached(box)] = True
            messages[:, core] += np.bincount(home[hit], weights=sent[hit], minlength=cores)
    return messages


def improve(messages: np.ndarray, position: Position, weighted: bool) -> tuple[np.ndarray, Hops]:
    """Places for cores: (place of each core, what it saves)."""
    cores = len(messages)
    chip, column, row = np.array([position(k) for k in range(cores)]).T
    inside = chip[:, None] == chip
    tiles = np.abs(column[:, None] - column) + np.abs(row[:, None] - row)
    cost = np.where(inside, tiles, CROSSING).astype(np.float32)
    both = (messages + messages.T).astype(np.float32)
    np.fill_diagonal(both, 0.0)
    place = np.arange(cores)
    for _ in range(PASSES):
        if not _exchange(both, cost, place):
            break

    def measured(at: np.ndarray) -> tuple[float, float]:
        here = np.ix_(at, at)
        return float((messages * (tiles * inside)[here]).sum()), float((messages * ~inside[here]).sum())

    before, after = measured(np.arange(cores)), measured(place)
    hops = Hops(
        before=before[0],
        after=after[0],
        crossings_before=before[1],
        crossings_after=after[1],
        weights="spikes" if weighted else "connections",
    )
    return place, hops


def _exchange(both: np.ndarray, cost: np.ndarray, place: np.ndarray) -> bool:
    """One pass of best swaps, in place. both: symmetric messages; cost: between places. False: little was saved."""
    saved = 0.0
    own = (both * cost[np.ix_(place, place)]).sum(axis=1)  # what each core's messages cost where it is
    whole = float(own.sum())
    for a in range(len(place)):
        at_others = _elsewhere(both[a], cost, place)
        others_here = both @ cost[place[a], place]
        gain = at_others - own[a] + others_here - own + 2 * both[a] * cost[place[a], place]
        b = int(gain.argmin())
        if gain[b] < -1e-5 * own[a]:  # float32 sums
            old_a, old_b = cost[place[a], place].copy(), cost[place[b], place].copy()
            place[a], place[b] = place[b], place[a]
            own += both[a] * (cost[place[a], place] - old_a) + both[b] * (cost[place[b], place] - old_b)
            own[a], own[b] = both[a] @ cost[place[a], place], both[b] @ cost[place[b], place]
            saved -= 2 * float(gain[b])
    return saved > WORTH * whole


def _elsewhere(messages: np.ndarray, cost: np.ndarray, place: np.ndarray) -> np.ndarray:
    """What a core with these messages would cost at the place of every core."""
    by_place = np.zeros(len(place), dtype=np.float32)
    by_place[place] = messages
    return (cost @ by_place)[place]
