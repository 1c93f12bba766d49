"""A graph of anybody's that Python holds: a .nir, or a torch module, read in its tool's convention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.observed_currents import Ranges
from snnas.export.formats.npz_file import write_npz
from snnas.export.graph.graph import SPIKING, Graph
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.commands.check import Findings, Limit, check
from snnas.toolchain.commands.convention import ConventionOptions, reading_of
from snnas.toolchain.commands.convention import find_convention as find
from snnas.toolchain.commands.export import GraphExportOptions, export_graph
from snnas.toolchain.commands.exported import Export
from snnas.toolchain.commands.given import path_of, several
from snnas.toolchain.commands.program import Program, compiled
from snnas.toolchain.commands.scratch import Scratch, nameless
from snnas.toolchain.data.user_samples import given_arrays, read_arrays
from snnas.toolchain.models.calibrate import CALIBRATION_SAMPLES, Split, compile_opened
from snnas.toolchain.models.confirm_convention import Confirmed, confirm
from snnas.toolchain.models.find_convention import Verdict
from snnas.toolchain.models.open import Subject, is_ours, open_graph, read_as
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken, spoken_class
from snnas.toolchain.output.telling import Progress, narrator_of

if TYPE_CHECKING:
    from rich.table import Table


@spoken_class
@dataclass(frozen=True, repr=False, eq=False)
class Model(Shown):
    """A float graph and how it is read. Made by ``read_graph`` and ``from_torch``."""

    path: Path
    """The .nir; of a torch module in a folder that goes with the model."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """What the file leaves open: convention, timesteps, input kind."""
    folder: Scratch | None = None
    """What holds the file where nobody named one."""

    @cached_property
    def graph(self) -> Graph:
        """The plain data: nodes, edges, convention."""
        return read_as(self.path, self.reading)

    @cached_property
    def confirmed(self) -> Confirmed | None:
        """The recording that the convention gives; None without one. GateError (1) where it does not."""
        return None if self.reading.expect is None else confirm(self.path, self.reading, self.graph)

    @property
    def verified(self) -> bool:
        """Whether a recording, or metadata of ours, has confirmed the convention."""
        ours = is_ours(self.graph) and self.graph.meta.get("verified", True) is True
        return self.confirmed is not None or ours

    @property
    def timesteps(self) -> int | None:
        """T of an inference; None where neither file nor reader has said it yet, so that frames will."""
        return self.reading.timesteps or self.graph.meta.get("timesteps")

    @property
    def input_kind(self) -> str | None:
        """analogue, spikes or counts; None where neither file nor reader has said it yet, so that samples will."""
        return self.reading.input_kind or self.graph.meta.get("input_kind")

    def run(self, x: Any) -> np.ndarray:
        """What the float graph answers, float64 (N, classes), by our interpreter; x as of ``Program.simulate``."""
        from snnas.export.executors import interpreter

        opened = self._open(x)
        assert opened.x is not None
        return interpreter.run(opened.graph, opened.x, opened.timesteps, batch=128).answers.reshape(len(opened.x), -1)

    def compile(
        self,
        calibration: Any = None,
        *,
        bits: int = 8,
        ranges: Ranges = "auto",
        input_range: tuple[float, float] | None = None,
    ) -> Program:
        """The integer program of the graph.

        calibration: samples (N, ...), or an .npz of them, of which the first 256 steer scales and rounding; None: none
        do, and the program says so. bits: of a weight, 8, 6 or 4. ranges: whether registers are proved for all input
        (proved), hold what was observed with a margin (observed), or the first where it costs no bits (auto).
        input_range: the values that an input may take; None: the file's, else 0..1 widened to the samples.
        UnsupportedError (4) names what no chip does.
        """
        opened, share = self._open(calibration), "there are no samples"
        if opened.x is not None:
            share = f"{min(len(opened.x), CALIBRATION_SAMPLES)} samples of {opened.data}"
        if input_range is not None:
            opened = replace(opened, range=input_range)
        x = None if opened.x is None else opened.x[:CALIBRATION_SAMPLES]
        split = Split(x=None, y=None, calibration=x, share=share)
        program = compile_opened(opened, split, name=self.path.name, bits=bits, ranges=ranges, soft_reset=True)
        subject = Subject(
            path=self.path, program=program, graph=opened.graph, x=None, y=None, data="none", seed=opened.seed,
            notes=(*opened.notes, split.note), verified=opened.verified, confirmed=opened.confirmed,
            label=self.path.name if self.folder else "",
        )  # fmt: skip
        return compiled(subject, self.folder)

    def export(
        self,
        x: Any,
        y: Any = None,
        *,
        out: str | Path,
        target: str = "lava",
        calibration: Any = None,
        bits: int = 8,
        ranges: Ranges = "auto",
        host: str | None = None,
        samples: int = 32,
        finetune: int | None = None,
        early_exit: str | None = None,
        profile: str = "loihi1",
        force: bool = False,
        progress: Progress = None,
    ) -> Export:
        """Takes the graph through the whole chain to an export folder, every joint compared. As ``snnas export``.

        x, y: what is measured; without ``calibration`` a fifth of it, drawn, calibrates. out: the folder to write.
        target: lava, c or onnx. host, samples, finetune, early_exit: as of ``Run.export``. GateError (1) names the
        first spike that differs, UnsupportedError (4) what the target cannot do.
        """
        with TemporaryDirectory(prefix="snnas-") as folder:
            reading = replace(self.reading, data=_as_file(Path(folder) / "samples.npz", x, y))
            if calibration is not None:
                reading = replace(reading, calibration=_as_file(Path(folder) / "calibration.npz", calibration, None))
            options = GraphExportOptions(
                graph=self.path, reading=reading, out=Path(out), target=target, bits=bits,
                ranges=ranges, host=host, samples=samples, finetune=finetune, early_exit=early_exit,
                profile=profile, force=force,
            )  # fmt: skip
            with nameless(folder):
                return export_graph(options, narrator_of(progress))

    def check(
        self,
        *,
        max: Mapping[str, Limit] | None = None,
        min: Mapping[str, Limit] | None = None,
        record: bool = False,
        force: bool = False,
        new_recording: bool = False,
        strict: bool = False,
        ignore: str | Sequence[str] = (),
        system: str = "loihi1",
        progress: Progress = None,
    ) -> Findings:
        """``snnas.check`` of the .nir itself."""
        return check(
            self.path, max=max, min=min, record=record, force=force, new_recording=new_recording, strict=strict,
            ignore=ignore, system=system, progress=progress, reading=replace(self.reading, expect=None),
        )  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Writes the graph as a .nir of ours, whose metadata says all that was settled: any command reads it so."""
        from snnas.toolchain.exporting.foreign_folder import rewrite

        path = Path(path)
        if path.suffix != ".nir":
            raise UsageError(f"{path}: expected a name that ends in .nir")
        rewrite(self.path, self._open(None), path)
        return path

    def _open(self, x: Any) -> Opened:
        """With samples, an array or an .npz, or without."""
        given = None if x is None else read_arrays(str(x)) if isinstance(x, str | Path) else given_arrays(x)
        return open_graph(self.path, replace(self.reading, samples=False), given)

    @property
    def headline(self) -> str:
        graph = self.graph
        shape = " x ".join(map(str, graph.shapes()[graph.input]))
        said = self.reading.said or "nir"
        settled = [f"T = {self.timesteps}"] * (self.timesteps is not None)
        return ", ".join(
            [
                f"{len(graph.nodes)} nodes",
                f"{len(graph.of_type(SPIKING))} of them spike",
                f"input {shape}{f' ({self.input_kind})' if self.input_kind else ''}",
                *settled,
                f"read as {said} ({'verified' if self.verified else 'unverified'})",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        graph = self.graph
        return {
            "path": str(self.path),
            "convention": graph.convention.to_metadata(),
            "of": self.reading.said or None,
            "verified": self.verified,
            "timesteps": self.timesteps,
            "input_kind": self.input_kind,
            "nodes": {name: {"type": type(node).__name__} for name, node in graph.nodes.items()},
            "edges": [list(edge) for edge in graph.edges],
            "delayed": sorted(map(list, graph.delayed)),
        }

    def tables(self) -> Iterator[Table]:
        from rich.table import Table

        graph = self.graph
        shapes = graph.shapes()
        out = Table("node", "type", "shape", "fed by")
        for name in graph.order():
            kind, shape = type(graph.nodes[name]).__name__, " x ".join(map(str, shapes[name]))
            late = [f"{s} (a step late)" if (s, name) in graph.delayed else s for s in graph.sources(name)]
            out.add_row(name, kind, shape, ", ".join(late))
        yield out


@spoken
def read_graph(
    path: str | Path,
    *,
    convention: str | Verdict | None = None,
    timesteps: int | None = None,
    input_kind: str | None = None,
    expect: str | Path | None = None,
    delayed: str | Sequence[str] = (),
    dt: float | None = None,
    decay: str | None = None,
    compare: str | None = None,
    reset: str | None = None,
    current: str | None = None,
    readout: str | None = None,
) -> Model:
    """Reads anybody's .nir. A file of ours says all of this itself.

    convention: the tool's that wrote it, by name, or what ``find_convention`` found, with all that it settles; dt to
    readout: single answers in place of the
    tool's (docs/nir.md). timesteps: T of an inference. input_kind: analogue (currents, such as pixels), spikes or
    counts. expect: a recording that the convention must give. delayed: SRC:DST, edges that wait a timestep.
    UsageError (2) names what is missing, InvalidFileError (3) what cannot be read, GateError (1) a recording that
    differs.
    """
    if isinstance(convention, Verdict):
        found = reading_of(convention)
        if found is None:
            raise UsageError(f"convention: {convention.headline}; name what is known with dt, decay, compare, reset")
        convention, readout = found.convention, readout or found.readout
        timesteps, input_kind = timesteps or found.timesteps, input_kind or found.input_kind
        delayed = delayed or found.delayed
    reading = ReadingOptions(
        convention=convention, timesteps=timesteps, input_kind=input_kind, delayed=several(delayed), dt=dt, decay=decay,
        compare=compare, reset=reset, current=current, readout=readout, expect=path_of(expect),
    )  # fmt: skip
    return opened(Model(Path(path), reading))


def opened(model: Model) -> Model:
    """The model, read: what is wrong with it is said here, not where it is first used."""
    model.reading.check()
    model.graph.shapes()
    _ = model.confirmed
    return model


@spoken
def find_convention(model: Model | str | Path, recorded: str | Path | Mapping[str, Any]) -> Verdict:
    """Which tool's convention (timestep, decay, reset, comparison) gives recorded spikes. As ``snnas whose``.

    model: a .nir. recorded: an .npz, or its arrays: ``x``, and ``output`` or ``spikes.NODE``, time second
    (docs/whose.md). ``verdict.status`` is named, ambiguous or none, and ``str(verdict)`` says which.
    """
    path = model.path if isinstance(model, Model) else Path(model)
    if not isinstance(recorded, Mapping):
        return find(ConventionOptions(model=path, expect=Path(recorded)))
    with TemporaryDirectory(prefix="snnas-") as folder, nameless(folder):
        file = Path(folder) / "recorded.npz"
        write_npz(file, {name: np.asarray(values) for name, values in recorded.items()})
        return find(ConventionOptions(model=path, expect=file))


def _as_file(path: Path, x: Any, y: Any) -> str:
    """Samples as a file, as commands take them; a name of one is left alone."""
    if isinstance(x, str | Path):
        return str(x)
    x, y = given_arrays(x, y)
    write_npz(path, {"x": x} if y is None else {"x": x, "y": y})
    return str(path)
