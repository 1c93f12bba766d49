"""What a trained network, the deployed one and Lava have to agree in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.program import Program
from tests.programs import recorded


def check_deployed(graph: Graph, x: np.ndarray, timesteps: int, seen: Mapping[str, Tensor]) -> None:
    """The deployed network fires what the trained one did: ``seen``, (T, B, ...) by population."""
    spikes, _ = run_deployed(graph, x, timesteps)
    merged = graph.meta.get("merged", {})
    for name, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        assert np.mean(ours != spikes[merged.get(name, name)].reshape(ours.shape)) < 1e-3  # float32 against float64


def check_in_lava(folder: Path, program: Program, samples: int, python: Path) -> dict[str, Any]:
    """Lava fires the program's spikes on random samples; what the worker brought back."""
    golden, _ = recorded(program, samples)
    write_program(folder / "program.npz", program)
    write_npz(folder / "golden.npz", golden)
    result = lava.run_worker(folder, folder / "out", samples=samples, python=python)
    assert lava.compare(golden, result["arrays"], program, samples).equal
    assert result["differing_spikes"] == 0
    return result
