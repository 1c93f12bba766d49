"""A .nir by itself: valid, portable, firing as its recording says; its program for the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from snnas.export.dialects.steps import read_dialect
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir
from snnas.export.graph import digest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, SnnasError
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.program import Program
from snnas.toolchain.checking import again, determinism, recording, replay
from snnas.toolchain.checking.deployable import check_deployable
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.folder_runs import check_resolution, described
from snnas.toolchain.checking.graph_rules import check_portability, check_version, describe, neurons_of
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.recording import Recording
from snnas.toolchain.models.calibrate import Split, compile_opened, split_of
from snnas.toolchain.models.open import Subject, open_graph, subject_of
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.models.reading_options import ReadingOptions, edges_of

ANSWERS = 1e-9  # float64, summed in another order


@dataclass(frozen=True, slots=True)
class Lone:
    """What of a lone graph is measured: its program on the recorded samples. None where there is no program.

    why: what keeps it from being measured.
    """

    subject: Subject | None
    recording: Path | None
    why: str = "no recording"


def check_nir(book: Book, options: CheckOptions) -> Lone:
    """SN1xx to SN3xx and SN6xx."""
    path = book.subject
    making = again.to_record(path, options)
    old = again.replaced(making, options)
    kept = None if making else replay.found_for(book, path, options.recording)
    known = replay.read_for(book, kept)
    wanted = again.reading(making, old, options.reading) if making and old else _as_recorded(options.reading, known)
    graph = book.attempt("SN105", "graph", lambda: _read(path, wanted), asked=known is None)
    if graph is None:
        return Lone(None, None)
    book.add("SN105", "graph", "passed", describe(graph))
    check_version(book, graph, path)
    check_deployable(book, graph, wanted.input_kind or graph.meta.get("input_kind"), options.pricing.system)
    check_portability(book, graph, path)
    if book.bad("SN1", "SN2"):
        return Lone(None, None)
    if making:
        kept, known = making, _record(book, making, wanted, old)
    if kept is None or known is None:
        book.unchecked += ["spikes and answers", "program and fit", "figures"]
        return Lone(None, None)
    replayed = replace(wanted, data=str(kept), limit=None)
    opened = book.attempt("SN301", "recording", lambda: open_graph(path, replayed), kept)
    if opened is None or opened.x is None:
        return Lone(None, None)
    x, run = opened.x, partial(_run, opened)
    fired = run(x, 128)
    replay.check_replay(book, known, fired, tolerance=ANSWERS, place=kept)
    changes = (
        digest.changed(known.content, digest.of_graph(opened.graph)),
        again.says_otherwise(recording.said(opened.graph.meta), known.says, "its metadata's"),
        again.says_otherwise({"input_kind": opened.kind}, known.options, "read otherwise:"),
    )
    book.judge("SN306", "content", next(filter(None, changes), None), "as recorded")
    determinism.check_runs(book, "graph", run, x, fired, tolerance=ANSWERS)
    split = split_of(opened, replayed)
    compiled = _compiled(book, opened, split, wanted.bits, options.pricing.system)
    if isinstance(compiled, str):
        book.unchecked += ["program and fit", "figures"]
        return Lone(None, kept, compiled)
    return Lone(subject_of(path, opened, split, compiled), kept)


def _as_recorded(wanted: ReadingOptions, known: Recording | None) -> ReadingOptions:
    """The command line's options, and where it gives none the recording's."""
    if known is None:
        return wanted
    then = known.wanted
    return replace(wanted, **{n: getattr(wanted, n) or getattr(then, n) for n in again.READING})


def _read(path: Path, wanted: ReadingOptions) -> Graph:
    delayed = edges_of(wanted)
    if wanted.dialect is not None:
        return read_dialect(path, wanted.dialect, delayed=delayed, own=wanted.own)
    return read_nir(path, delayed=delayed, convention=wanted.answers)


def _run(opened: Opened, x: np.ndarray, batch: int) -> Fired:
    done = interpreter.run(opened.graph, x, opened.timesteps, batch=batch)
    return Fired({name: done.spikes[name] for name in neurons_of(opened.graph)}, done.answers)


def _record(book: Book, out: Path, wanted: ReadingOptions, old: Recording | None) -> Recording:
    """Runs the graph on the samples asked for, the recorded or drawn ones, and writes what it fires."""
    path = book.subject
    again_from = str(out) if old and wanted.data is None else wanted.data
    few = replace(wanted, data=again_from, limit=wanted.limit or recording.SAMPLES, samples=again_from is not None)
    try:
        opened = open_graph(path, few)
    except InvalidFileError as error:
        if old is None:
            raise
        raise again.other(out, str(error)) from None
    if opened.x is None:
        shape = opened.graph.shapes()[opened.graph.input]
        boxed = shape if len(shape) == 3 else (*shape, 1, 1)
        number = few.limit or recording.SAMPLES
        x, y = recording.drawn(boxed, opened.timesteps, opened.kind, opened.range, opened.seed, number), None
        source = f"{len(x)} samples drawn with seed {opened.seed}"
    else:
        x, y = opened.x[: few.limit], None if opened.y is None else opened.y[: few.limit]
        source = f"{len(x)} samples of {Path(opened.data).name}"
    if old is not None:
        source = old.source
        if wanted.data is not None:
            again.must_be_recorded(out, old, x, y, wanted.data)
        then = {**recording.said(old.options), **old.says}
        odd = again.says_otherwise(recording.said(opened.graph.meta), then, "its metadata's")
        if odd:
            raise again.other(out, odd)
    settled = replace(wanted, timesteps=opened.timesteps, input_kind=opened.kind)
    fired = _run(opened, x, 128)
    made = recording.make(x, y, fired, digest.of_graph(opened.graph), settled, source, opened.graph.meta)
    return again.keep(book, out, made, old)


def _compiled(book: Book, opened: Opened, split: Split, bits: int | None, system: str) -> Program | str:
    """The graph's program for the system, or why there is none, of which SN207 warns."""
    chip = load_system(system)

    def compile_it() -> Program:
        return compile_opened(opened, split, name=book.subject.name, bits=bits, soft_reset=chip.soft_reset)

    try:
        program = compile_it()
    except SnnasError as error:
        why = f"it has no program for {chip.name}: {error}"
        book.add("SN207", "program", "warned", why)
        return why
    book.add("SN207", "program", "passed", f"{described(program)}; {split.note}")
    check_resolution(book, opened.graph, program)
    determinism.check_compile(book, compile_it, program)
    return program
