"""Writes graph.nir, a network that tells four directions of a bar, and bars.npz, samples with labels.

    python make_graph.py [FOLDER]

Stands for whatever trains your network: four oriented 3x3 filters, a spiking layer behind them, a vote per direction.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from snnas.export.dialects.conventions import deployed_threshold, tau_seconds
from snnas.export.formats.nir_file import write_nir
from snnas.export.graph.graph import Conv, Flatten, Graph, Input, Lif, Linear, Output

SIZE, TIMESTEPS, SAMPLES = 8, 6, 32
LINES = np.array(
    [
        [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
        [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
        [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],
        [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],
    ],
    np.float32,
)


def lif(shape: tuple[int, ...], threshold: float) -> Lif:
    """A membrane that forgets half of itself at every timestep."""

    def full(value: float) -> np.ndarray:
        return np.full(shape, value, np.float32)

    return Lif(
        tau=full(tau_seconds(2.0)),
        r=full(1.0),
        v_leak=full(0.0),
        v_threshold=full(deployed_threshold(threshold)),
        v_reset=full(0.0),
    )


def graph() -> Graph:
    """Edges in topological order; the metadata say how the graph is run."""
    votes = np.zeros((4, 4 * SIZE * SIZE), np.float32)
    for direction in range(4):
        votes[direction, direction * SIZE * SIZE : (direction + 1) * SIZE * SIZE] = 0.25
    nodes = {
        "input": Input(shape=(1, SIZE, SIZE)),
        "lines": Conv(weight=LINES[:, None] / 4, bias=np.zeros(4, np.float32), pad=(1, 1)),
        "edges": lif((4, SIZE, SIZE), 1.0),
        "flat": Flatten(),
        "votes": Linear(weight=votes, bias=None),
        "ballot": lif((4,), 0.5),
        "readout": Linear(weight=np.eye(4, dtype=np.float32), bias=np.zeros(4, np.float32)),
        "output": Output(shape=(4,)),
    }
    names = list(nodes)
    return Graph(
        nodes=nodes,
        edges=tuple(pairwise(names)),
        meta={"timesteps": TIMESTEPS, "input_kind": "analogue", "input_range": [0.0, 1.0], "verified": True},
    )


def bars(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (N, 1, 8, 8) in 0..1 of one bar in some noise, and its direction."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.2, (number, 1, SIZE, SIZE)).astype(np.float32)
    y = rng.integers(0, 4, number)
    for image, direction in zip(x[:, 0], y, strict=True):
        at, along = int(rng.integers(1, SIZE - 1)), np.arange(SIZE)
        shift = int(rng.integers(-2, 3))
        if direction == 0:
            image[at, :] = 1
        elif direction == 1:
            image[:, at] = 1
        else:
            across = along + shift if direction == 2 else SIZE - 1 - along + shift
            inside = (across >= 0) & (across < SIZE)
            image[along[inside], across[inside]] = 1
    return x, y


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    write_nir(folder / "graph.nir", graph())
    images, labels = bars(SAMPLES, seed=7)
    np.savez_compressed(folder / "bars.npz", x=images, y=labels)
