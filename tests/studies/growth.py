"""How the cost of a graph grows: CPU seconds of compile, map, simulate and count, prove and diagnose.

    python -m tests.studies.growth [--rounds N] [--axis AXIS] [--stage STAGE]
    python -m tests.studies.growth --work    calls and bytes in place of seconds: the same however busy a machine is

Against neurons, edges, populations in a row and side by side, outputs without a linear layer and samples, each over
sizes that double; the exponent is the slope of the last three in logarithms, of the least of ``--rounds`` runs.
docs/reliability.md holds the table. Exit code 1 where an exponent is beyond 1.2.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import nir
import numpy as np
import typer

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.ranges import prove
from snnas.export.formats.nir_file import read_nir
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.stdout import print_text
from tests.export.nir_nets import conv, graph_of, lif
from tests.studies.command import main

MOST = 1.2
TIMESTEPS = 4
SIZES = {
    "neurons": (24, 34, 48, 68, 96),  # the side of four maps: their neurons double
    "edges": (256, 362, 512, 724, 1024),  # neurons of two dense layers: their connections double
    "populations": (16, 32, 64, 128, 256),
    "fan": (16, 32, 64, 128, 256),  # populations that all read one, and that one reads
    "outputs": (48, 68, 96, 136, 192),  # the side of a map whose every neuron is read
    "samples": (64, 128, 256, 512, 1024),
}
Figures = tuple[float, ...]
COUNTED = 8  # samples, where these do not grow


def graph_of_size(axis: str, size: int) -> nir.NIRGraph:
    rng = np.random.default_rng(0)

    def kernel(out: int, into: int, k: int) -> np.ndarray:
        return rng.normal(0.1, 0.4, (out, into, k, k)).astype(np.float32)

    if axis == "outputs":
        whole = (1, size, size)
        return graph_of(whole, {"a": lif(*whole)}, whole)
    if axis == "edges":
        weight = rng.normal(0.0, 2 / np.sqrt(size), (size, size)).astype(np.float32)
        nodes: dict[str, Any] = {"a": lif(size), "w": nir.Linear(weight=weight), "b": lif(size)}
        shape: tuple[int, ...] = (size,)
    elif axis == "fan":
        return _fan(size, kernel)
    else:
        layers, side = (size, 4) if axis == "populations" else (2, size if axis == "neurons" else 12)
        shape, nodes = (4, side, side), {}
        for k in range(layers):
            nodes[f"c{k}"] = conv(kernel(4, 4, 3), padding=1, input_shape=(side, side))
            nodes[f"n{k}"] = lif(4, side, side)
        nodes["flat"] = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0)
    flat = int(np.prod(shape))
    nodes["out"] = nir.Linear(weight=rng.normal(0, 0.3, (4, flat)).astype(np.float32))
    return graph_of(shape, nodes, (4,))


def _fan(branches: int, kernel: Callable[[int, int, int], np.ndarray]) -> nir.NIRGraph:
    """One population, so many that read it, one that reads all of these."""
    side = 4
    names = [f"{k}" for k in range(branches)]
    nodes: dict[str, Any] = {}
    for name in ("root", *names, "join"):
        nodes[f"c{name}"] = conv(kernel(4, 4, 3), padding=1, input_shape=(side, side))
        nodes[f"n{name}"] = lif(4, side, side)
    nodes["flat"] = nir.Flatten(input_type={"input": np.array((4, side, side))}, start_dim=0)
    nodes["out"] = nir.Linear(weight=kernel(4, 4, side).reshape(4, -1))
    edges = [("input", "croot"), ("njoin", "flat"), ("flat", "out"), ("out", "output")]
    edges += [(f"c{name}", f"n{name}") for name in ("root", *names, "join")]
    edges += [edge for name in names for edge in (("nroot", f"c{name}"), (f"n{name}", "cjoin"))]
    return graph_of((4, side, side), nodes, (4,), edges)


def costs(
    axis: str, size: int, folder: Path, measure: Callable[[Callable[[], object]], Figures], wanted: Sequence[str]
) -> dict[str, Figures]:
    """What ``measure`` finds of each stage, or of those that are wanted."""
    samples = size if axis == "samples" else COUNTED
    path, data = folder / "graph.nir", folder / "data.npz"
    nir.write(path, graph_of_size(axis, size))
    graph = read_nir(path)
    program = _compiled(graph)
    x = (np.random.default_rng(1).random((samples, TIMESTEPS, *program.input_shape)) < 0.3).astype(np.float32)
    np.savez(data, x=x, y=np.zeros(samples, np.int64))
    mapping = map_program(program, load_system("generic"))

    def count() -> None:
        counter = Counter(program, mapping)
        for trace, _ in simulate_input(program, x, batch=64):
            counter.add(trace, spikes_in=x[: len(trace.logits)] > 0)

    def diagnose() -> None:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            asked = ["diagnose", str(path), "--data", str(data), "--limit", str(samples), "--no-reduce", "--quiet"]
            code = run_command([*asked, "--out", str(folder / "diagnosis")])
        if code not in (0, 1):
            raise GateError(f"diagnose ended with {code}: {said.getvalue()[-200:]}")

    stages: dict[str, Callable[[], object]] = {
        "compile": lambda: _compiled(graph),
        "map": lambda: map_program(program, load_system("generic")),
        "simulate and count": count,
        "prove": lambda: prove(program),
        "diagnose": diagnose,
    }
    return {name: measure(stage) for name, stage in stages.items() if name in (wanted or stages)}


def _compiled(graph: Graph) -> Any:
    return compile_graph(graph, timesteps=TIMESTEPS, input_kind="spikes")


def _seconds(work: Callable[[], object], rounds: int) -> Figures:
    """CPU seconds of the quickest run."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return (min(once() for _ in range(rounds)),)


def counted_work(work: Callable[[], object]) -> Figures:
    """Its calls, Python's and C's, and the bytes that it allocates: between two calls, by how much the peak rises.

    Array code writes what it computes, so that its bytes grow as its work does, but in products of matrices.
    """
    work()  # what is loaded or kept once is no work of this size
    calls = written = held = 0

    def seen(frame: FrameType | None, event: str, arg: object) -> None:
        nonlocal calls, written, held
        now, peak = tracemalloc.get_traced_memory()
        calls, written, held = calls + (event in ("call", "c_call")), written + peak - held, now
        tracemalloc.reset_peak()

    tracemalloc.start()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    return calls, written


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of the last three points in logarithms."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(np.maximum(seconds[-3:], 1e-6)), 1)[0])


def command(
    rounds: Annotated[int, typer.Option(help="Runs of each, of which the least counts.")] = 6,
    work: Annotated[bool, typer.Option("--work", help="Count calls and bytes.")] = False,
    axis: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(SIZES)}; all where left out.")] = None,
    stage: Annotated[list[str] | None, typer.Option(help="One by its name in the table; all where left out.")] = None,
) -> None:
    """Print the table of exponents, and the seconds, or the work, of the smallest and the largest size."""
    titles = ("calls", "bytes") if work else ("CPU s",)
    print_text("| against | stage |" + "".join(f" {title}, smallest | largest | exponent |" for title in titles))
    print_text("|---|---|" + "--:|--:|--:|" * len(titles))
    beyond = []
    for name in axis or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure = counted_work if work else partial(_seconds, rounds=rounds)
            found = [costs(name, size, Path(folder), measure, stage or ()) for size in SIZES[name]]
        for each in found[0]:
            row = f"| {name} | {each} |"
            for values in zip(*(f[each] for f in found), strict=True):
                slope = exponent([2.0**k for k in range(len(values))], values)
                row += f" {values[0]:,.4g} | {values[-1]:,.4g} | {slope:.2f} |"
                beyond += [f"{each} against {name}: {slope:.2f}"] if slope > MOST else []
            print_text(row)
    if beyond:
        raise GateError(f"beyond {MOST}: {'; '.join(beyond)}")


if __name__ == "__main__":
    main(command)
