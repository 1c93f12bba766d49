"""Anybody's graph as the source of an export (``snnas export GRAPH.nir``).

There is no training side: its column holds what the graph itself does, run in float by the NumPy interpreter. Part of
the samples calibrates the scales and is left out of every figure.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.circuit import trace
from snnas.export.formats import netx_file
from snnas.export.graph import digest
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.files import sha256
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.program import Program
from snnas.toolchain.data import load as datasets
from snnas.toolchain.data import user_samples as samples
from snnas.toolchain.exporting.float_run import Trained, run_graph
from snnas.toolchain.exporting.foreign_folder import folder_of, rewritten
from snnas.toolchain.exporting.measured import Measured
from snnas.toolchain.exporting.options import ExportOptions, check_options
from snnas.toolchain.exporting.pipeline import export
from snnas.toolchain.exporting.source import Floats, Origin
from snnas.toolchain.exporting.split import ExportSplit, export_split
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.models.calibrate import compile_opened
from snnas.toolchain.models.open import ASKED, open_graph
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.extras import install
from snnas.toolchain.runs.versions import fingerprint

if TYPE_CHECKING:
    from snnas.toolchain.finetuning.tune import Tuned


def export_graph(
    path: Path, wanted: ReadingOptions, options: ExportOptions, narrator: Narrator, *, out: Path | None = None
) -> dict[str, Any]:
    """Exports a .nir and returns its report. out: the folder, ``<stem>-<target>`` by default.

    InvalidFileError (3) and UnsupportedError (4) name node and mend; GateError (1) the first spike that differs.
    """
    check_options(options)
    _check(path, wanted, options)
    return export(OfGraph(path, wanted, folder_of(path, out, options.target), options), options, narrator)


class OfGraph:
    """A foreign graph (``source.Source``), or one of ours without its run."""

    hashed: tuple[str, ...] = ("graph", "data")
    bits = WEIGHT_BITS

    def __init__(self, path: Path, wanted: ReadingOptions, folder: Path, options: ExportOptions) -> None:
        self.path, self.wanted, self.folder = path, wanted, folder
        self.opened = opened = open_graph(path, wanted)
        self.finetuned = options.finetune is not None
        trace(opened.graph, opened.kind)  # what no chip can do is refused before anything runs
        file = Path(opened.data)
        self.inputs: dict[str, Any] = {
            "graph": sha256(path),
            "data": sha256(file) if file.is_file() else opened.data,
            "limit": wanted.limit,
            "timesteps": opened.timesteps,
            "input_kind": opened.kind,
            # What the options ask for and what came of it: the same file means other things in other tools.
            "asked": {"convention": wanted.convention, **wanted.single},
            "reading": digest.of_graph(opened.graph),
            "expect": None if opened.confirmed is None else opened.confirmed.sha256,
            "calibration": None if wanted.calibration is None else sha256(Path(wanted.calibration)),
            "seed": opened.seed,
        }
        self.origin = Origin(
            name=path.stem,
            seed=opened.seed,
            dataset=file.name,
            method=f"a foreign graph, read as {wanted.said or 'nir'}",
            versions=fingerprint("cpu"),
        )

    @cached_property
    def split(self) -> ExportSplit:
        return export_split(self.opened, self.wanted, finetuned=self.finetuned)

    def floats(self, stage: Path, options: ExportOptions, narrator: Narrator) -> Floats:
        x, y = self.split.x, self.split.y
        narrator.say("graph -> NIR of ours")
        graph = rewritten(self.path, self.opened, stage)
        trained, nir = run_graph(self.opened.graph, graph, x, self.opened.timesteps, options.samples, narrator)
        return Floats(graph=graph, read=graph, x=x, y=y, trained=trained, nir=nir)

    @property
    def calibration(self) -> np.ndarray:
        return self.split.calibration

    held_back = calibration
    seen: tuple[np.ndarray, ...] = ()  # a fifth of a file is too little to know: as the range says

    def compile(self, floats: Floats, options: ExportOptions) -> Program:
        name, bits = self.path.name, options.bits or self.bits
        program = compile_opened(
            self.opened, self.split, name=name, graph=floats.read, bits=bits, ranges=options.ranges
        )
        samples.check_range(floats.x, program, self.opened.data)
        return program

    def tune(self, program: Program, floats: Floats, asked: Finetuning, narrator: Narrator) -> Tuned:
        from snnas.toolchain.finetuning import exported

        assert self.split.learnt is not None
        return exported.of_graph(program, floats.read, self.split.learnt, asked, self.opened.seed, narrator)

    def trained(self, floats: Floats, program: Program) -> Trained:
        """ORs are overhead in both columns."""
        node_of = program.meta["node_of"]
        return floats.trained.only({node_of[p.id] for p in program.populations if p.role == "neuron"})

    def amend(self, report: dict[str, Any], measured: Measured, stage: Path, narrator: Narrator) -> None:
        """No unfolded network, perhaps no labels, and a convention; model.net where lava-dl can hold the program."""
        report["checks"]["fold_differing_spikes"] = None
        report["convention"] = {
            **self.opened.graph.convention.to_metadata(),
            "verified": self.opened.verified,
            "recording": None if self.opened.confirmed is None else asdict(self.opened.confirmed),
            "of": self.wanted.said or None,
            "input_kind": self.opened.kind,
            "timesteps": self.opened.timesteps,
        }
        report["notes"] = list(self.opened.notes)
        report["calibration"] = self.split.share
        if self.split.y is None:
            accuracy = report["accuracy"]
            accuracy["agreement"] = float((measured.target.predictions == measured.nir.predictions).mean())
            if report.get("early_exit"):
                report["early_exit"]["accuracy"] = None
            for name in ("balanced_training", "balanced_on_target"):
                accuracy.pop(name, None)
            accuracy |= dict.fromkeys(("training", "nir", "on_target", "interval", "flips_to_wrong", "flips_to_right"))
        report["netx"] = "model.net"
        reason = netx_file.why_not(measured.program)
        if reason is None:
            netx_file.write_net(stage / "model.net", measured.program)
        else:
            narrator.say(f"  no model.net: {reason}")
            report["netx"] = reason

    def conventions(self, report: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = report["convention"]
        return found


def _check(path: Path, wanted: ReadingOptions, options: ExportOptions) -> None:
    """Raises before any work is done."""
    if wanted.calibration is not None and options.finetune is not None:
        raise UsageError("--calibration: of an export without --finetune, which trains on a part of --data")
    if wanted.calibration is not None and not Path(wanted.calibration).is_file():
        raise UsageError(f"--calibration {wanted.calibration}: no such file; name an .npz with x")
    if wanted.calibration is not None and wanted.data in datasets.NAMES:
        raise UsageError(f"--calibration: {wanted.data} is calibrated on its own training split; leave it out")
    if options.finetune is not None and find_spec("torch") is None:
        raise UnsupportedError(f"--finetune needs torch, which is not installed; leave it out, or {install('search')}")
    if wanted.data is None:
        raise UsageError(f"{path}: no samples; give --data FILE.npz (x and, for accuracy, y) or --data digits{ASKED}")
