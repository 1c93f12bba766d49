"""A trained run as the source of an export: its network, deployed; its data set; the whole test split is measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.hw_sim.files import read_text, sha256, write_text
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.program import Program
from snnas.toolchain.exporting import kept_floats
from snnas.toolchain.exporting.float_run import Trained, run_floats
from snnas.toolchain.exporting.measured import Measured
from snnas.toolchain.exporting.on_target import bits_of, calibration_of, compile_calibrated
from snnas.toolchain.exporting.options import ExportOptions, check_options
from snnas.toolchain.exporting.pipeline import export
from snnas.toolchain.exporting.source import Floats, Origin, meta_of
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run
from snnas.toolchain.training.restore import network_at

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.finetuning.tune import Tuned


def export_run(run: Run, options: ExportOptions, narrator: Narrator, *, timesteps: int | None = None) -> dict[str, Any]:
    """Exports a run and returns its report; GateError (exit 1) names the first spike that differs.

    timesteps: that the network runs, instead of those that it was trained with.
    """
    check_options(options)
    report = export(OfRun(run, options.target, timesteps), options, narrator)
    # The run's own counts.json and report.json are those of its newest export, which holds them too.
    for name in ("counts.json", "report.json"):
        write_text(run.path / name, read_text(run.export(options.target) / name))
    return report


class OfRun:
    """A run (``source.Source``)."""

    hashed: tuple[str, ...] = ("weights", "genotype", "data")

    def __init__(self, run: Run, target: str, timesteps: int | None = None) -> None:
        self.run = run
        self.network, other_time = network_at(run, timesteps)
        self.folder = run.export(target)
        self.bits = bits_of(self.network.genotype, run.section("chip").get("bits", WEIGHT_BITS))
        config, self.timesteps = run.config(), int(self.network.config.timesteps)
        self.inputs: dict[str, Any] = {
            "weights": sha256(run.weights),
            "genotype": sha256(run.genotype),
            "network": config.get("network"),
            "data": run.section("data").get("sha256"),
            "seed": config.get("seed"),
            **other_time,
        }
        self.origin = Origin(
            name=run.name,
            seed=config.get("seed"),
            dataset=run.section("data").get("name"),
            method=run.section("method").get("name"),
            search=run.section("search"),
            versions=config.get("versions", {}),
        )

    @cached_property
    def data(self) -> Dataset:
        return dataset_of(self.run)

    @property
    def meta(self) -> dict[str, Any]:
        """What a graph of ours says of itself."""
        return meta_of(self.data, self.run.name, self.timesteps)

    def floats(self, stage: Path, options: ExportOptions, narrator: Narrator) -> Floats:
        from snnas.export.compiler.fold import fold

        narrator.say("deployed network -> NIR")
        architecture = self.network.genotype.architecture_id
        deployed = fold(self.network.layers(), meta={**self.meta, "architecture": architecture})
        write_nir(stage / "model.nir", deployed)
        read = read_nir(stage / "model.nir", use_metadata=False, delayed=deployed.delayed)
        x, y = self.data.x_test, self.data.y_test
        key = kept_floats.came_from(self.inputs, deployed, read, x, self.timesteps)
        others = [self.run.export(target) for target in ("lava", "c") if target != options.target]
        known = None if options.force else kept_floats.find(others, key, options.samples)
        if known is not None:
            narrator.say("  float run: as for the other target's export, of the same network, samples and versions")
        trained, nir = known or run_floats(
            self.network, deployed, read, x, self.timesteps, options.samples, narrator
        )  # fmt: skip
        kept_floats.write(stage, key, trained, nir)
        return Floats(graph=deployed, read=read, x=x, y=y, trained=trained, nir=nir)

    @property
    def calibration(self) -> np.ndarray:
        return calibration_of(self.data)

    @property
    def seen(self) -> Sequence[np.ndarray]:
        return self.data.x_train, self.data.x_val

    @property
    def held_back(self) -> np.ndarray:
        return self.data.x_val

    def compile(self, floats: Floats, options: ExportOptions) -> Program:
        bits, of_c = options.bits or self.bits, options.target == "c"
        return compile_calibrated(
            floats.read, self.data, self.timesteps, self.meta, with_rates=of_c, bits=bits, ranges=options.ranges
        )

    def tune(self, program: Program, floats: Floats, asked: Finetuning, narrator: Narrator) -> Tuned:
        from snnas.toolchain.finetuning import exported

        return exported.of_run(self.run, self.network, program, floats.read, self.data, asked, narrator)

    def trained(self, floats: Floats, program: Program) -> Trained:
        return floats.trained

    def amend(self, report: dict[str, Any], measured: Measured, stage: Path, narrator: Narrator) -> None:
        """A run's report is the report."""

    def conventions(self, report: dict[str, Any]) -> dict[str, Any]:
        return {
            "dt": conventions.DT,
            "compare": ">",
            "reset": "zero",
            "thresholds": "one float32 below the trained >=",
            "input_kind": self.data.input_kind,
            "timesteps": self.timesteps,
        }
