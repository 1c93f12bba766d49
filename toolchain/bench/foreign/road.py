"""A drawn graph taken through the whole road, and what came of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import nir
import numpy as np

from snnas.export.compiler.circuit import trace as circuit_of
from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.exactness import exact_for, obstacles
from snnas.export.compiler.parts import own_spikes
from snnas.export.compiler.schedule import schedule
from snnas.export.dialects.conventions import Convention
from snnas.export.executors import interpreter
from snnas.export.formats import hdf5_child, hdf5_guard
from snnas.export.formats.nir_file import graph_of, read_nir
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.bench.foreign.random_graphs import Foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A population beside its graph: how many of its spikes differ, of how many, and what keeps it from being exact.

    early, early_differing: of one that is exact for some first timesteps alone, its spikes there.
    """

    inexact: str
    differing: int
    spikes: int
    early: int = 0
    early_differing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """decisions: spikes compared with the literal interpreter's; float_differing: of them; output: the largest gap.

    refusal: why there is no program. populations: of the program, but its gates and relays. x: as the program takes it.
    """

    decisions: int
    float_differing: int
    output: float
    refusal: str = ""
    program: Program | None = None
    populations: dict[str, Told] | None = None
    x: np.ndarray | None = None

    @property
    def told(self) -> list[Told]:
        return list((self.populations or {}).values())

    @property
    def exact(self) -> list[Told]:
        """Those of which no spike may differ."""
        return [p for p in self.told if not p.inexact]


def read(foreign: Foreign, *, guarded: bool = False) -> Graph:
    """Written by nir and read by us. guarded: by the child process, as strangers' files are; it takes a second."""
    with tempfile.TemporaryDirectory(prefix="snnas-foreign-") as place:
        path = Path(place) / "foreign.nir"
        nir.write(path, foreign.graph)
        convention = Convention(dt=foreign.dt)
        if guarded:
            return read_nir(path, delayed=foreign.delayed, convention=convention)
        return graph_of(tree_of(path), path, delayed=foreign.delayed, convention=convention)


def tree_of(path: Path) -> hdf5_guard.Tree:
    """What the child process would hand back, without one: for files of our own."""
    reader = hdf5_child.Reader(1 << 30)
    with h5py.File(path) as file:
        header = json.dumps({"tree": reader.group(file, 0)}).encode()
    return hdf5_guard.decode(len(header).to_bytes(8, "little") + header + b"".join(reader.chunks), str(path))


def take(foreign: Foreign, *, guarded: bool = False) -> Taken:
    """Read, run by our interpreter, compiled and simulated."""
    graph = read(foreign, guarded=guarded)
    x = foreign.x.reshape(*foreign.x.shape[:2], *graph.shapes()[graph.input])
    steps = x.shape[1]
    ours = interpreter.run(graph, x, steps)
    theirs = foreign.played
    wrong = sum(int((ours.spikes[n].reshape(s.shape) != s).sum()) for n, s in theirs.spikes.items())
    decisions = sum(s.size for s in theirs.spikes.values())
    gap = float(np.abs(ours.output.reshape(theirs.output.shape) - theirs.output).max())
    try:
        spikes = calibration_spikes(graph, x, steps, foreign.input_kind)
        program = compile_graph(graph, timesteps=steps, input_kind=foreign.input_kind, spikes=spikes)
    except UnsupportedError as error:
        return Taken(decisions=decisions, float_differing=wrong, output=gap, refusal=str(error))
    boxed = x.reshape(*x.shape[:2], *program.input_shape)
    trace, _ = next(simulate_input(program, boxed, batch=len(x)))
    circuit = schedule(circuit_of(graph, foreign.input_kind)).circuit
    inexact, held = obstacles(circuit, program), exact_for(circuit, program)
    populations = {}
    for name, node in program.meta["node_of"].items():
        fired = trace.spikes[name]
        wanted = own_spikes(program, name, ours.spikes[node]).reshape(fired.shape)
        wrong_at = (fired != wanted).sum(axis=(0, 2, 3, 4))
        first = held[name] if inexact[name] else 0
        populations[name] = Told(
            inexact=inexact[name],
            differing=int(wrong_at.sum()),
            spikes=fired.size,
            early=fired[:, :first].size,
            early_differing=int(wrong_at[:first].sum()),
        )
    return Taken(
        decisions=decisions, float_differing=wrong, output=gap, program=program, populations=populations, x=boxed
    )
