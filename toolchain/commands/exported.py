"""An export that Python holds: its report, its program, and what can be asked of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json
from snnas.toolchain.commands.check import Findings, Limit, check
from snnas.toolchain.commands.diagnose import Diagnosed, DiagnoseOptions, diagnose
from snnas.toolchain.commands.given import path_of
from snnas.toolchain.commands.outcomes import Bill, EarlyExit, Simulation
from snnas.toolchain.commands.program import Program, read_program
from snnas.toolchain.exporting.formats import ONNX_FORMAT
from snnas.toolchain.output import report
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken_class
from snnas.toolchain.output.telling import Progress, narrator_of

if TYPE_CHECKING:
    from rich.table import Table

    from snnas.toolchain.output.drawing import Panel


@spoken_class
@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Export(Shown):
    """An export on disk: the program on target, measured, with every joint of the chain compared."""

    report: dict[str, Any]
    """report.json: figures of training and on target, checks, energy (docs/report.md)."""
    folder: Path
    """Where model.nir, program.npz, manifest.json and the rest lie."""
    notes: tuple[str, ...] = ()
    """What a user must know of how the graph was read."""
    next_commands: tuple[str, ...] = ()
    """What one would type next, behind ``snnas``."""

    @property
    def is_onnx(self) -> bool:
        """Whether it is the float network as ONNX, which is no program."""
        return bool(self.report["schema"] == ONNX_FORMAT)

    @property
    def accuracy(self) -> float | None:
        """Accuracy on target, in 0..1: simulated on the program. None without labels, and of ONNX."""
        found = self.report.get("accuracy", {}).get("on_target")
        return None if found is None else float(found)

    @property
    def energy(self) -> tuple[float, float, float] | None:
        """Microjoules per inference: low, nominal, high; None where nothing fits, or the profile prices no total."""
        total = self.report.get("energy_uJ", {}).get("total", {"nominal": None})
        return None if total["nominal"] is None else (total["low"], total["nominal"], total["high"])

    @property
    def early_exit(self) -> EarlyExit | None:
        """When inferences end; None of an export without ``early_exit``, and of ONNX."""
        return EarlyExit.of(self.report.get("early_exit"), int(self.report.get("timesteps", 0)))

    @property
    def program(self) -> Program:
        """The integer program, with the samples that the export keeps; UsageError (2) of ONNX."""
        if self.is_onnx:
            raise UsageError(f"{self.folder}: ONNX holds the float network, no program; export with target='lava'")
        return read_program(self.folder)

    def simulate(
        self, x: Any = None, y: Any = None, *, stream: int | None = None, progress: Progress = None
    ) -> Simulation:
        """``program.simulate``; without x on the samples that the export keeps."""
        return self.program.simulate(x, y, stream=stream, progress=progress)

    def estimate(
        self,
        x: Any = None,
        y: Any = None,
        *,
        system: str = "loihi1",
        profile: str | None = None,
        all_profiles: bool = False,
        rate: float | None = None,
        progress: Progress = None,
    ) -> Bill:
        """``program.estimate``; without x on the samples that the export keeps."""
        return self.program.estimate(
            x, y, system=system, profile=profile, all_profiles=all_profiles, rate=rate, progress=progress
        )

    def check(
        self,
        *,
        max: Mapping[str, Limit] | None = None,
        min: Mapping[str, Limit] | None = None,
        budget: str | Path | None = None,
        baseline: str | Path | None = None,
        tolerance: Mapping[str, Limit] | None = None,
        update_baseline: bool = False,
        data: str | None = None,
        trust_report: bool = False,
        strict: bool = False,
        ignore: str | Sequence[str] = (),
        progress: Progress = None,
    ) -> Findings:
        """``snnas.check`` of this export."""
        return check(
            self.folder, max=max, min=min, budget=budget, baseline=baseline, tolerance=tolerance,
            update_baseline=update_baseline, data=data, trust_report=trust_report, strict=strict, ignore=ignore,
            progress=progress,
        )  # fmt: skip

    def diagnose(self, *, reduce: bool = True, out: str | Path | None = None, progress: Progress = None) -> Diagnosed:
        """Where program and graph part, which loss does it, and which numbers are wrong. As ``snnas diagnose``."""
        options = DiagnoseOptions(subject=str(self.folder), reduce=reduce, out=path_of(out))
        return diagnose(options, narrator_of(progress))

    @property
    def headline(self) -> str:
        if self.is_onnx:
            return str(self.folder)
        accuracy = "no labels" if self.accuracy is None else f"accuracy on target {self.accuracy:.2%}"
        energy = "no energy" if self.energy is None else f"{self.energy[1]:.3g} uJ per inference"
        return f"{self.folder}: {accuracy}, {energy}"

    def to_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.report)

    def table(self) -> Table:
        """The report as a person reads it."""
        from snnas.toolchain.exporting import onnx

        return onnx.table(self.report) if self.is_onnx else report.table(self.report)

    def tables(self) -> Iterator[Table]:
        yield self.table()

    def pictures(self) -> Iterator[Panel]:
        from snnas.toolchain.html.figures_activity import draw_rates
        from snnas.toolchain.html.figures_chip import ENERGY, draw_energy
        from snnas.toolchain.output.drawing import Panel

        if self.is_onnx:
            return
        per_population = self.report["sar"]["per_population"]
        pairs = {name: (found["training"], float(found["on_target"])) for name, found in per_population.items()}
        drawn, keys = draw_rates(pairs)
        yield Panel("Spiking activity rate", drawn, keys)
        if self.energy is not None:
            yield Panel(ENERGY, draw_energy(self.report["energy_uJ"]))


def read_export(folder: Path) -> Export:
    """A folder that ``snnas export`` wrote; InvalidFileError (3) where its report is damaged."""
    path = folder / "report.json"
    onnx = (folder / "model.onnx").is_file()
    figures = read_json(path) if onnx else report.read_report(path)
    if onnx and (not isinstance(figures, dict) or figures.get("schema") != ONNX_FORMAT):
        raise InvalidFileError(f"{path}: no report of an ONNX export; export again with --force")
    return Export(report=figures, folder=folder, notes=tuple(figures.get("notes", ())))
