"""How the cost of a graph grows: CPU seconds of compile, map, simulate and count, prove and diagnose.

    python -m tests.studies.growth [--rounds N]

Against neurons, edges, populations and samples, each over sizes that double; the exponent is the slope of the last
three in logarithms, of the least of ``--rounds`` runs. docs/reliability.md holds the table. Exit code 1 where an
exponent is beyond 1.2.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
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
    "samples": (64, 128, 256, 512, 1024),
}
COUNTED = 8  # samples, where these do not grow


def graph_of_size(axis: str, size: int) -> nir.NIRGraph:
    rng = np.random.default_rng(0)

    def kernel(out: int, into: int, k: int) -> np.ndarray:
        return rng.normal(0.1, 0.4, (out, into, k, k)).astype(np.float32)

    if axis == "edges":
        weight = rng.normal(0.0, 2 / np.sqrt(size), (size, size)).astype(np.float32)
        nodes: dict[str, Any] = {"a": lif(size), "w": nir.Linear(weight=weight), "b": lif(size)}
        shape: tuple[int, ...] = (size,)
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


def costs(axis: str, size: int, folder: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of each stage."""
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
    return {name: min(_cpu(stage) for _ in range(rounds)) for name, stage in stages.items()}


def _compiled(graph: Graph) -> Any:
    return compile_graph(graph, timesteps=TIMESTEPS, input_kind="spikes")


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of the last three points in logarithms."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(np.maximum(seconds[-3:], 1e-6)), 1)[0])


def command(rounds: Annotated[int, typer.Option(help="Runs of each, of which the least counts.")] = 6) -> None:
    """Print the table of exponents, and the seconds of the largest size."""
    print_text("| against | stage | smallest (CPU s) | largest (CPU s) | exponent |\n|---|---|--:|--:|--:|")
    beyond = []
    for axis, sizes in SIZES.items():
        with tempfile.TemporaryDirectory() as name:
            found = [costs(axis, size, Path(name), rounds) for size in sizes]
        doubled = [2.0**k for k in range(len(sizes))]
        for stage in found[0]:
            seconds = [f[stage] for f in found]
            slope = exponent(doubled, seconds)
            print_text(f"| {axis} | {stage} | {seconds[0]:.4f} | {seconds[-1]:.4f} | {slope:.2f} |")
            beyond += [f"{stage} against {axis}: {slope:.2f}"] if slope > MOST else []
    if beyond:
        raise GateError(f"beyond {MOST}: {'; '.join(beyond)}")


if __name__ == "__main__":
    main(command)
