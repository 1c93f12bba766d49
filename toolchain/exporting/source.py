"""What goes into the export pipeline: a trained run (``of_run``) or anybody's graph (``of_graph``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from snnas.export.graph.graph import Graph
from snnas.hw_sim.program import Program
from snnas.toolchain.exporting.float_run import NirRun, Trained
from snnas.toolchain.output.stderr import Narrator

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.exporting.measured import Measured
    from snnas.toolchain.exporting.options import ExportOptions
    from snnas.toolchain.finetuning.options import Finetuning
    from snnas.toolchain.finetuning.tune import Tuned


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a network comes from, as its report says it."""

    name: str
    """Of the run, or the stem of the graph's file."""
    seed: int | None
    dataset: str | None
    method: str | None
    search: dict[str, Any] = field(default_factory=dict)
    """[search] of run.toml."""
    versions: dict[str, Any] = field(default_factory=dict)
    """Of what the network was made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floats:
    """The float side of an export, run on every sample that is measured."""

    graph: Graph
    """What was written as model.nir."""
    read: Graph
    """The same, read again: what is compiled."""
    x: np.ndarray
    """(N, C, H, W) or (N, T, C, H, W): the samples that are measured."""
    y: np.ndarray | None
    """int (N,); None where nobody has labelled them: the float network's answers stand for them."""
    trained: Trained
    nir: NirRun

    @property
    def labels(self) -> np.ndarray:
        """Int (N,): what a prediction is compared with."""
        return self.trained.predictions if self.y is None else self.y


def meta_of(data: Dataset, name: str, timesteps: int) -> dict[str, Any]:
    """What a graph of ours says of itself. name: of its run."""
    said = {"run": name, "timesteps": timesteps, "input_kind": data.input_kind, "input_range": list(data.range)}
    return said if data.signal is None else {**said, "signal": data.signal.to_json()}


class Source(Protocol):
    """A network on its way to a target; the pipeline asks in this order."""

    folder: Path
    """Where the artefacts go."""
    bits: int
    """Of a weight, where the options leave it open."""
    inputs: dict[str, Any]
    """What decides the export beside its options: hashes of files, seeds, what was asked for."""
    hashed: tuple[str, ...]
    """Those of the inputs that the report repeats."""
    origin: Origin

    def floats(self, stage: Path, options: ExportOptions, narrator: Narrator) -> Floats:
        """Writes model.nir, and runs what it holds beside what it came from; GateError where these differ."""
        ...

    @property
    def calibration(self) -> np.ndarray:
        """(N, C, H, W) or (N, T, C, H, W): the samples that ``compile`` calibrates with."""
        ...

    @property
    def seen(self) -> Sequence[np.ndarray]:
        """All samples that may say how large the values of a channel are; none of those that are measured."""
        ...

    @property
    def held_back(self) -> np.ndarray:
        """Samples that a confidence is chosen on: measured on by nothing, and of a run not trained on."""
        ...

    def compile(self, floats: Floats, options: ExportOptions) -> Program:
        """The calibrated program."""
        ...

    def tune(self, program: Program, floats: Floats, asked: Finetuning, narrator: Narrator) -> Tuned:
        """The program, trained on."""
        ...

    def trained(self, floats: Floats, program: Program) -> Trained:
        """The float counts of the neurons that the program counts as such."""
        ...

    def amend(self, report: dict[str, Any], measured: Measured, stage: Path, narrator: Narrator) -> None:
        """Says what this source's report says otherwise."""
        ...

    def conventions(self, report: dict[str, Any]) -> dict[str, Any]:
        """``conventions`` of the manifest."""
        ...
