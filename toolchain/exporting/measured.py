"""What an export measured: everything that its report is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnas.export.compiler.quantisation_error import PopulationError
from snnas.export.compiler.ranges import Range
from snnas.export.graph.graph import Graph
from snnas.hw_sim.energy.profile import Profile
from snnas.hw_sim.lava.run import Comparison
from snnas.hw_sim.map.mapping import Mapping
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.silence import Silence
from snnas.toolchain.exporting.float_run import NirRun, Trained
from snnas.toolchain.exporting.on_target import OnTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that the report is written from.

    silence: on target, with the likely cause.
    ranges, errors: by population, of the program as it was read again. finetune, host, c: of report.json.
    """

    graph: Graph
    program: Program
    ranges: dict[str, Range]
    errors: dict[str, PopulationError]
    mapping: Mapping
    profile: Profile
    trained: Trained
    nir: NirRun
    target: OnTarget
    labels: np.ndarray
    silence: Silence
    lava: Comparison | None
    lava_note: str
    finetune: dict[str, Any] | None = None
    host: dict[str, Any] | None = None
    c: dict[str, Any] | None = None
