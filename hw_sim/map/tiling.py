"""Cuts populations into boxes (channels x rows x columns) that fit a core alone, and says what a box needs there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from snnas.hw_sim.map.system import RESOURCES, System
from snnas.hw_sim.map.wiring import Box, Wiring, box_size, box_slices
from snnas.hw_sim.program import Shape


def cut_all(shapes: dict[str, Shape], system: System, joined: list[Wiring]) -> dict[str, list[Box]]:
    """Boxes that fit a core alone, as far as cutting helps.

    Cutting a target adds axons to its sources, hence the loop. It ends because boxes only get smaller, or because
    there are more of them than cores anywhere.
    """
    boxes: dict[str, list[Box]] = {n: [(0, s[0], 0, s[1], 0, s[2])] for n, s in shapes.items()}
    most = system.cores * system.chips[-1]
    changed = True
    while changed and sum(map(len, boxes.values())) <= most:
        changed = False
        for name in reversed(boxes):  # targets first: their cuts decide their sources' axons
            slots = slots_per_neuron(name, shapes[name], joined, system, boxes)
            into = [w for w in joined if w.dst == name]
            cut: list[Box] = []
            for box in boxes[name]:
                parts = list(_cut(box, need_of(box, into, system, slots), system))
                changed |= len(parts) > 1
                cut += parts
            boxes[name] = cut
    return boxes


def _cut(box: Box, need: dict[str, int], system: System) -> Iterator[Box]:
    """The box in one piece where it fits (or is one neuron), else cut along one axis.

    Memory is cut by channels, because a kernel is stored per output channel on each core; everything else by rows or
    columns, because a neuron then reaches few boxes of its targets.
    """
    ratio = {r: need[r] / getattr(system, r) for r in RESOURCES}
    resource = "synapse_bytes" if ratio["synapse_bytes"] > 1 else max(ratio, key=lambda r: ratio[r])
    sizes = [box[2 * a + 1] - box[2 * a] for a in range(3)]
    if ratio[resource] <= 1 or max(sizes) == 1:
        yield box
        return
    spatial = max((1, 2), key=lambda a: sizes[a])
    axis = 0 if (resource == "synapse_bytes" or sizes[spatial] == 1) and sizes[0] > 1 else spatial
    # A large excess is spread over rows and columns, the other one next time; a small one makes strips: fewer boxes.
    wanted = ratio[resource] if axis == 0 or ratio[resource] <= 4 else math.sqrt(ratio[resource])
    edges = np.linspace(box[2 * axis], box[2 * axis + 1], min(sizes[axis], math.ceil(wanted)) + 1).astype(int).tolist()
    for low, high in pairwise(edges):
        part = list(box)
        part[2 * axis : 2 * axis + 2] = [low, high]
        yield (part[0], part[1], part[2], part[3], part[4], part[5])


def slots_per_neuron(
    name: str, shape: Shape, joined: list[Wiring], system: System, boxes: dict[str, list[Box]]
) -> np.ndarray:
    """Out-axon slots of each neuron of a population, (C, H, W)."""
    slots = np.zeros(shape, dtype=np.int64)
    for w in joined:
        if w.src == name:
            w.add(slots, boxes[w.dst], 2 if w.population_axons(system.in_axons) else 1)
    return slots


def need_of(box: Box, into: list[Wiring], system: System, slots: np.ndarray) -> dict[str, int]:
    """What a box takes of each resource. into: the wirings that end in it; slots: as ``slots_per_neuron`` gives."""
    return {
        "compartments": box_size(box),
        "synapse_bytes": sum(w.memory(box) for w in into),
        "in_axons": sum(w.in_axons(box, system.in_axons) for w in into),
        "out_axons": int(slots[box_slices(box)].sum()),
    }
