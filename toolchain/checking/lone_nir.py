"""A .nir by itself: valid, portable, firing as its recording says; its program for the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export import interpreter
from export.compile import compile_graph
from export.dialect_steps import read_dialect
from export.graph import Graph
from export.nir_file import read_nir
from hw_sim.errors import SnnasError
from hw_sim.program import Program
from toolchain.checking import content, determinism, recording
from toolchain.checking.equivalence import Fired
from toolchain.checking.findings import Book
from toolchain.checking.graph_rules import check_portability, check_version, describe, neurons_of
from toolchain.checking.options import Options
from toolchain.checking.recording import Recording
from toolchain.checking.replay import check_replay, keep, to_record
from toolchain.subjects import Opened, Subject, Wanted, edges_of, open_graph

ANSWERS = 1e-9  # float64, summed in another order


@dataclass(frozen=True, slots=True)
class Lone:
    """What of a lone graph is measured: its program on the recorded samples. None where there is no program."""

    subject: Subject | None
    recording: Path | None


def check_nir(book: Book, options: Options) -> Lone:
    """SN1xx to SN3xx and SN6xx."""
    path = book.subject
    making = to_record(path, options)
    kept = None if making else recording.found_for(book, path, options.recording)
    known = recording.read_for(book, kept)
    wanted = _settled(options.wanted, known)
    graph = book.attempt("SN105", "graph", lambda: _read(path, wanted), asked=known is None)
    if graph is None:
        return Lone(None, None)
    book.add("SN105", "graph", "passed", describe(graph))
    check_version(book, graph, path)
    check_portability(book, graph, path)
    if book.bad("SN1", "SN2"):
        return Lone(None, None)
    if making:
        kept, known = making, _record(book, making, wanted, options)
    if kept is None or known is None:
        return Lone(None, None)
    replayed = replace(wanted, data=str(kept), limit=None)
    opened = book.attempt("SN301", "recording", lambda: open_graph(path, replayed), kept)
    if opened is None or opened.x is None:
        return Lone(None, None)
    x = opened.x

    def run(samples: np.ndarray, batch: int) -> Fired:
        return _run(opened, samples, batch)

    fired = run(x, 128)
    check_replay(book, "SN302", known, fired, tolerance=ANSWERS, place=kept)
    book.judge("SN306", "content", content.changed(known.content, content.of_graph(opened.graph)), "as recorded")
    determinism.check_runs(book, "graph", run, x, fired, tolerance=ANSWERS)
    program = _compiled(book, opened)
    return Lone(None if program is None else _subject(path, opened, program), kept)


def _settled(wanted: Wanted, known: Recording | None) -> Wanted:
    """The command line's options, and where it gives none the recording's."""
    if known is None:
        return wanted
    then = known.wanted
    names = ("timesteps", "input_kind", "convention", "dt", "decay", "compare", "reset", "delayed")
    return replace(wanted, **{n: getattr(wanted, n) or getattr(then, n) for n in names})


def _read(path: Path, wanted: Wanted) -> Graph:
    delayed = edges_of(wanted)
    if wanted.dialect is not None:
        return read_dialect(path, wanted.dialect, delayed=delayed)
    return read_nir(path, delayed=delayed, convention=wanted.answers)


def _run(opened: Opened, x: np.ndarray, batch: int) -> Fired:
    done = interpreter.run(opened.graph, x, opened.timesteps, batch=batch)
    return Fired({name: done.spikes[name] for name in neurons_of(opened.graph)}, done.answers)


def _record(book: Book, out: Path, wanted: Wanted, options: Options) -> Recording:
    """Runs the graph on the samples asked for, or drawn ones, and writes what it fires."""
    path = book.subject
    few = replace(wanted, limit=wanted.limit or recording.SAMPLES, samples=wanted.data is not None)
    opened = open_graph(path, few)
    if opened.x is None:
        shape = opened.graph.shapes()[opened.graph.input]
        boxed = shape if len(shape) == 3 else (*shape, 1, 1)
        low, high = opened.range
        x, y = recording.drawn(boxed, opened.timesteps, opened.kind, low, high, opened.seed), None
        source = f"{len(x)} samples drawn with seed {opened.seed}"
    else:
        x, y, source = opened.x, opened.y, f"{len(opened.x)} samples of {Path(opened.data).name}"
    settled = replace(wanted, timesteps=opened.timesteps, input_kind=opened.kind)
    fired = _run(opened, x, 128)
    return keep(book, out, recording.make(x, y, fired, content.of_graph(opened.graph), settled, source))


def _compiled(book: Book, opened: Opened) -> Program | None:
    """The graph's program; SN207 warns where it has none."""

    def compile_it() -> Program:
        return compile_graph(
            opened.graph,
            timesteps=opened.timesteps,
            input_kind=opened.kind,
            input_range=opened.range,
            meta={"graph": book.subject.name},
        )

    try:
        program = compile_it()
    except SnnasError as error:
        book.add("SN207", "program", "warned", f"it has no program for Loihi: {error}")
        return None
    book.add("SN207", "program", "passed", f"{len(program.populations)} populations, {len(program.synapses)} synapses")
    determinism.check_compile(book, compile_it, program)
    return program


def _subject(path: Path, opened: Opened, program: Program) -> Subject:
    return Subject(
        path=path,
        program=program,
        graph=opened.graph,
        x=opened.x,
        y=opened.y,
        data=opened.data,
        seed=opened.seed,
        notes=opened.notes,
    )
