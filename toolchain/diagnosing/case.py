"""What ``snnas diagnose`` is pointed at: a graph, a program that is said to be its, and samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.compiler.quantise import check_bits
from snnas.export.formats.program_file import read_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UsageError
from snnas.hw_sim.program import Program
from snnas.toolchain import runs
from snnas.toolchain.data import user_samples
from snnas.toolchain.diagnosing.pairing import hard
from snnas.toolchain.models.calibrate import compile_opened, split_of
from snnas.toolchain.models.open import open_graph, open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.report import is_foreign, read_report

DEFAULT_LIMIT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """x: (N, C, H, W) or (N, T, C, H, W), as the program takes them. y: (N,) or None. notes: for the user.

    file: the program's, None where it was compiled here. run: whose export it is. export: the figures of the report
    beside it, on all of the export's samples.
    """

    subject: str
    graph: Graph
    program: Program
    x: np.ndarray
    y: np.ndarray | None
    data: str
    seed: int
    notes: tuple[str, ...] = ()
    file: Path | None = None
    run: runs.Run | None = None
    export: dict[str, Any] | None = None


def open_case(
    subject: str | None, wanted: ReadingOptions, *, program: Path | None = None, runs_dir: Path | None = None
) -> Case:
    """A run's name or folder (its newest export), an export folder, or a .nir with its samples or its program.

    None is the newest run. UsageError names what is missing; InvalidFileError and UnsupportedError as reading and
    compiling do.
    """
    if wanted.limit is None:
        wanted = replace(wanted, limit=DEFAULT_LIMIT)
    if subject is None:
        if program is not None:
            raise UsageError(f"--program {program}: goes with a .nir; name it: snnas diagnose model.nir --program ...")
        return _of_newest_export(runs.find(runs.directory(runs_dir), None, having="a program"), wanted)
    path = Path(subject)
    if path.suffix == ".nir":
        return _of_graph(path, wanted, program)
    if path.suffix == ".npz":
        raise UsageError(
            f"{path}: a program alone does not say what it stands for; give its graph.nir --program {path}"
        )
    if program is not None:
        raise UsageError(f"--program {program}: goes with a .nir; {subject} has its own program, leave the option out")
    if path.is_dir() and (path / "program.npz").is_file():
        return _of_export(path, wanted)
    if path.is_dir() and not (path / "run.toml").is_file():
        raise InvalidFileError(f"{path}: no program.npz in it; name a run, or a folder that snnas export wrote")
    return _of_newest_export(runs.find(runs.directory(runs_dir), subject), wanted)


def _of_newest_export(run: runs.Run, wanted: ReadingOptions) -> Case:
    exports = sorted(run.path.glob("export/*/program.npz"), key=lambda p: p.stat().st_mtime)
    if not exports:
        run.require_network()
        raise UsageError(f"run {run.name} has no export with a program; make one with: snnas export {run.spoken}")
    return _of_export(exports[-1].parent, wanted, run)


def _of_export(folder: Path, wanted: ReadingOptions, run: runs.Run | None = None) -> Case:
    if not (folder / "model.nir").is_file():
        raise InvalidFileError(f"{folder}: no model.nir in it; a program alone does not say what it stands for")
    opened = open_subject(folder, replace(wanted, samples=run is None))
    assert opened.graph is not None
    x, y, data, notes = opened.x, opened.y, opened.data, opened.notes
    if x is None:
        assert run is not None
        x, y, data, note = _of_run(run, folder, wanted, opened.program)
        notes = (*notes, *note)
    return Case(
        subject=str(folder), graph=opened.graph, program=opened.program, x=x, y=y, data=data, seed=opened.seed,
        notes=notes, file=folder / "program.npz", run=run,
        export=_figures(folder, len(x)) if wanted.data is None else None,
    )  # fmt: skip


def _figures(folder: Path, taken: int) -> dict[str, Any] | None:
    """What report.json says of all samples; data: the name of what ``--data`` would take for them, '' of a run's."""
    try:
        report = read_report(folder / "report.json")
        accuracy, foreign = report["accuracy"], is_foreign(report)
        figures = {key: accuracy[key] for key in ("samples", "training", "on_target")}
        agreement = accuracy.get("agreement")
        return {**figures, "agreement": agreement, "taken": taken, "data": str(report["dataset"]) if foreign else ""}
    except (SnnasError, OSError):  # an export is diagnosed without its report too
        return None


def _of_run(
    run: runs.Run, folder: Path, wanted: ReadingOptions, program: Program
) -> tuple[np.ndarray, np.ndarray | None, str, tuple[str, ...]]:
    """The run's test split, or the samples that its export kept where the data set is not here."""
    from snnas.toolchain.runs.dataset import dataset_of

    try:
        data = dataset_of(run)
    except (SnnasError, OSError) as error:
        kept = open_subject(folder, wanted)
        note = f"the run's data are not here ({error}); taken are the samples that the export kept"
        return kept.samples, kept.y, kept.data, (note,)
    x = data.batch(data.x_test[: wanted.limit])
    x = user_samples.repeated(x, program.timesteps, program.input_kind)
    return x, data.y_test[: wanted.limit], f"{data.name}, test split", ()


def _of_graph(path: Path, wanted: ReadingOptions, file: Path | None) -> Case:
    """With a program: the graph is read as the options say, and everything else is the program's."""
    program = None if file is None else read_program(file)
    if program is not None:
        if wanted.bits not in (None, program.weight_bits):
            raise UsageError(
                f"--bits {wanted.bits}: {file} is compiled for {program.weight_bits}; leave the option out"
            )
        wanted = replace(wanted, timesteps=program.timesteps, input_kind=program.input_kind)
    if wanted.data is None:
        raise UsageError(f"{path}: no samples; give --data FILE.npz or --data digits")
    if wanted.bits is not None:
        check_bits(wanted.bits)
    opened = open_graph(path, wanted)
    assert opened.x is not None
    graph, notes, split = opened.graph, list(opened.notes), split_of(opened, wanted)
    x, y = split.x, split.y
    if program is None:
        if graph.convention.reset == "subtract":
            notes.append("compiled with a reset to zero, since no Loihi's LIF subtracts: what that costs is shown")
        program = compile_opened(opened, split, name=path.name, graph=hard(graph), bits=wanted.bits)
        notes.append(split.note)
    else:
        x, y = opened.x[: wanted.limit], None if opened.y is None else opened.y[: wanted.limit]
        notes.append(f"the program is {file}'s")
    user_samples.check_range(opened.x, program, opened.data)
    assert x is not None
    return Case(
        subject=str(path), graph=graph, program=program, x=x, y=y, data=opened.data, seed=opened.seed,
        notes=tuple(notes), file=file,
    )  # fmt: skip
