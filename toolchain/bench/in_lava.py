"""One run of a program in stock Lava, compared with what was recorded of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.lava.run import Comparison, compare, run_worker
from snnas.hw_sim.program import Program


def compare_in_lava(
    program: Program, golden: Mapping[str, np.ndarray], python: Path
) -> tuple[Comparison, dict[str, Any]]:
    """The comparison, and what the worker says of its run; all samples of golden go back to back in one run."""
    samples = len(golden["logits"])
    with tempfile.TemporaryDirectory(prefix="snnas-bench-") as place:
        folder = Path(place)
        write_program(folder / "program.npz", program)
        write_npz(folder / "golden.npz", golden)
        result = run_worker(folder, folder / "lava", samples=samples, python=python)
        return compare(golden, result["arrays"], program, samples), result
