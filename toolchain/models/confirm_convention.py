"""``--expect RECORDED.npz``: whether the reading of a graph that the options name gives a tool's own recording.

The dialect is played in float64 and float32 side by side, as ``snnas whose`` does; what is doubtful does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnas.export.dialects.conventions import Convention
from snnas.export.dialects.run import Played, limit_of
from snnas.export.dialects.steps import steps
from snnas.export.dialects.table import Dialect
from snnas.export.formats.nir_file import read_nir
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.files import sha256
from snnas.toolchain.models.dialect_rows import replay
from snnas.toolchain.models.reading_options import ReadingOptions, edges_of
from snnas.toolchain.models.recording import Recording, read_recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The recording that the reading gives: its decisions compared, and those too near a threshold to count."""

    file: str
    sha256: str
    compared: int
    doubtful: int

    def __str__(self) -> str:
        doubtful = f", {self.doubtful} doubtful" if self.doubtful else ""
        return f"{self.file}: 0 of {self.compared:,} decisions differ{doubtful}"


def confirm(path: Path, wanted: ReadingOptions, graph: Graph) -> Confirmed:
    """Plays the recording of ``wanted.expect`` in the convention that the options name.

    graph: as it was read. GateError (1) names the first spike that differs, or says that the recording settles nothing.
    """
    assert wanted.expect is not None
    dialect = wanted.dialect
    if dialect is None:
        dialect = Dialect(convention=graph.convention)
    else:  # the file itself, not what became of it under our convention: ties stay ties
        readable = Convention(dt=dialect.convention.dt, decay="exact", readout=dialect.convention.readout)
        graph = read_nir(path, delayed=edges_of(wanted), convention=readable)
    recording = read_recording(wanted.expect, graph)
    if recording.membrane:
        raise GateError(
            f"{wanted.expect}: its output is no spikes; where it is the membrane of the last neurons, and they never "
            "reset, say --readout membrane-last (or membrane-max, membrane-sum)"
        )
    own = steps(graph, dialect, wanted.own)
    played = replay(graph, own, recording)
    if played.differing:
        for other, _ in recording.read_otherwise():
            again = replay(graph, own, other)
            if not again.differing:
                recording, played = other, again
                break
    if played.differing:
        raise GateError(
            f"{path}: {wanted.said or 'the convention assumed'} is not what {wanted.expect} recorded: "
            f"{played.differing:,} of {played.compared:,} decisions differ, first at "
            f"{_first(graph, recording, played)}; find the convention with: snnas whose"
        )
    if recording.silent or played.compared == 0 or played.doubtful > played.compared:
        why = "no spike" if recording.silent else f"{played.doubtful} doubtful decisions, {played.compared} to compare"
        raise GateError(f"{wanted.expect}: holds {why}, which confirms no convention; record a stronger input")
    return Confirmed(
        file=wanted.expect.name, sha256=sha256(wanted.expect), compared=played.compared, doubtful=played.doubtful
    )


def _first(graph: Graph, recording: Recording, played: Played) -> str:
    """The earliest difference, at its first node in the graph's order."""
    found: list[tuple[int, int, str]] = []
    for rank, name in enumerate(graph.order()):
        if name in recording.spikes:
            ours, theirs = played.spikes[name], recording.spikes[name]
            wrong = ours != theirs
        elif name == graph.output and recording.output is not None:
            ours, theirs = played.output, recording.output
            wrong = np.abs(ours - theirs) > limit_of(theirs)
        else:
            continue
        if wrong.any():
            where = np.argwhere(wrong)
            sample, t, *index = (int(i) for i in where[where[:, 1].argmin()])
            at = (sample, t, *index)
            what = f"node {name}, sample {sample}, timestep {t}, index {tuple(index)}"
            found.append((t, rank, f"{what}: recorded {theirs[at]:g}, here {ours[at]:g}"))
    return min(found)[2]
