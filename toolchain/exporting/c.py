"""``snnas export --target c``: what the export of a program as C adds to the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.c import write_c
from snnas.hw_sim.program import Program
from snnas.toolchain.models.in_c import prepare, run_in_c
from snnas.toolchain.output.stderr import Narrator


def export_c(
    stage: Path, program: Program, x: np.ndarray, logits: np.ndarray, keep: int, narrator: Narrator
) -> dict[str, Any]:
    """Writes the C of a program and returns ``c`` of report.json; GateError where one spike or logit differs.

    x: all samples that are measured; logits: what the simulator made of them; keep: how many are recorded.
    """
    c = prepare(program, x[:keep])
    write_c(stage, c.plan, c.model, c.given, c.trace)
    narrator.say(f"C: model.c, {len(c.plan.units)} populations")
    return run_in_c(c, x, logits, narrator)
