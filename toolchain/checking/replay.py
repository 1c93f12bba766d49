"""Comparing a run of a lone graph with its recording."""

from __future__ import annotations

import shlex
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking import recording
from snnas.toolchain.checking.arrival import refuse_pointer
from snnas.toolchain.checking.equivalence import Fired, answers_differ, first_difference
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.reach import check_reach
from snnas.toolchain.checking.recording import Recording


def found_for(book: Book, graph: Path, named: Path | None) -> Path | None:
    """The recording to replay: the named one, or the one beside the graph; a finding where there is none."""
    if named is not None and not named.is_file():
        raise UsageError(f"--recording {named}: no such file; make it with --record {named}")
    path = named or recording.path_of(graph)
    if path.is_file():
        out = "auto" if named is None else shlex.quote(str(named))
        book.meant = f"snnas check {shlex.quote(str(graph))} --record {out} --force"
        return path
    why = f"no recording: nothing says what the graph should do; make {path.name} with --record auto"
    book.add("SN301", "recording", "warned", why)
    return None


def read_for(book: Book, path: Path | None) -> Recording | None:
    """The recording, or the finding why not."""
    return None if path is None else book.attempt("SN301", "recording", lambda: _read(path), path)


def _read(path: Path) -> Recording:
    refuse_pointer(path)
    return recording.read(path)


def check_replay(book: Book, known: Recording, run: Fired, *, tolerance: float, place: Path) -> None:
    """SN302 (spikes), SN305 (answers), SN309 and SN310 (silence) of a run on the recording's samples."""
    if {name: fired.shape[2:] for name, fired in run.spikes.items()} != dict(known.nodes):
        book.add("SN302", "recorded spikes", "failed", _other_layers(known, run), place)
        return
    steps = {fired.shape[1] for fired in run.spikes.values()}
    if steps != {known.timesteps}:
        other = f"{amount_of(min(steps), 'timestep')}, recorded were {known.timesteps}"
        book.add("SN302", "recorded spikes", "failed", other, place)
        return
    difference = first_difference(known.spikes, run, run.spikes)
    problem = difference.text() if difference is not None else _miscounted(known, run)
    good = f"0 of {run.total():,} differ, {amount_of(len(known.x), 'sample')}"
    book.judge("SN302", "recorded spikes", problem, good, place)
    classes = known.answers.shape[1]
    alike = known.answers.shape == run.answers.shape
    wrong = answers_differ(known.answers, run.answers, tolerance=tolerance) if alike else "another shape"
    book.judge("SN305", "recorded answers", wrong, f"{classes} class{'' if classes == 1 else 'es'}", place)
    check_reach(book, run, place, labels=known.y is not None)


def _other_layers(known: Recording, run: Fired) -> str:
    """On which side a layer is missing, or how its shapes differ."""
    for one, other, where in ((known.nodes, run.spikes, "recording"), (run.spikes, known.nodes, "graph")):
        alone = sorted(set(one) - set(other))
        if alone:
            lacking = "graph" if where == "recording" else "recording"
            counted = amount_of(len(alone), "spiking node")
            return f"{counted} of the {where} not in the {lacking}: {', '.join(alone[:4])}"
    odd = next(name for name, shape in known.nodes.items() if run.spikes[name].shape[2:] != shape)
    return f"node {odd} has the shape {run.spikes[odd].shape[2:]}, recorded was {known.nodes[odd]}"


def _miscounted(known: Recording, run: Fired) -> str | None:
    """The first layer whose recorded counts are not those of its spikes."""
    for name, counted in recording.counts_of(run).items():
        wrong = (known.counts[name] != counted).nonzero()[0]
        if len(wrong):
            t = int(wrong[0])
            fires = f"node {name} fires {amount_of(int(counted[t]), 'spike')} at timestep {t}"
            return f"{fires}, the recording counts {known.counts[name][t]}"
    return None
