"""What other tools leave in their graphs and has one meaning all the same: batch axes, further outputs, own delays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler import paths
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.parts import differing
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.graph.graph import Delay, Graph
from snnas.export.graph.reshaping import MAX_DELAYS
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UnsupportedError
from snnas.hw_sim.map.wiring import Wiring
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

DT, STEPS = 1e-4, 10


def eighths(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-3, 7, shape) / 8).astype(np.float32)


def neurons(*shape: int, threshold: float = 0.75) -> nir.IF:
    full = lambda value: np.full(shape, value, np.float32)  # noqa: E731
    return nir.IF(r=full(1 / DT), v_threshold=full(threshold), v_reset=full(0))


def read(tmp_path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]] | None = None, **more: Any) -> Graph:
    names = list(nodes)
    edges = list(zip(names, names[1:], strict=False)) if edges is None else edges  # noqa: RUF007
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes=nodes, edges=edges, type_check=False))
    return read_nir(tmp_path / "m.nir", **more)


def ends(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[nir.Input, nir.Output]:
    return nir.Input(input_type={"input": np.array(shape)}), nir.Output(output_type={"output": np.array(out)})


def agree(graph: Graph) -> None:
    """Every spike of the graph is the program's, in NumPy and torch, and so are the answers."""
    shape = graph.shapes()[graph.input]
    x = (np.random.default_rng(1).random((4, STEPS, *shape)) < 0.4).astype(np.float32)
    run = interpreter.run(graph, x, STEPS)
    assert all(0.02 < s.mean() < 0.98 for s in run.spikes.values())
    fired, answers = run_deployed(graph, x, STEPS)
    assert all(np.array_equal(fired[n], s) for n, s in run.spikes.items())
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    boxed = x.reshape(*x.shape[:2], *program.input_shape) > 0
    trace = simulate(program, spikes_in=boxed)
    assert differing(program, trace.spikes, run.spikes)[0] == 0
    assert np.allclose(trace.logits / (64 * program.readout.scale), run.answers, rtol=0, atol=1e-9)
    fast = TorchSimulator(program).run(spikes_in=boxed)
    assert all(np.array_equal(fast.spikes[n], s) for n, s in trace.spikes.items())
    assert np.allclose(answers, run.answers)


# ------------------------------------------------------------------------------------------------- axes of length 1

FLAT = {
    "input and output": ((1, 6), (5,), (1, 3)),
    "neurons": ((6,), (1, 5), (3,)),
    "all": ((1, 6), (1, 5), (1, 3)),
    "none": ((6,), (5,), (3,)),
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", FLAT)
def test_a_batch_axis_of_one_changes_nothing(name: str, first: bool, tmp_path: Path) -> None:
    shape, middle, out = FLAT[name]
    begin, end = ends(shape, out)
    nodes: dict[str, Any] = {"input": begin}
    if first:
        nodes["a"] = neurons(*shape)
    nodes |= {"w": nir.Affine(weight=eighths(5, 6), bias=eighths(5, seed=3) / 2), "n": neurons(*middle),
              "v": nir.Linear(weight=eighths(3, 5, seed=1)), "output": end}  # fmt: skip
    graph = read(tmp_path, nodes)
    assert {graph.shapes()[n] for n in ("input", "n", "output")} == {(6,), (5,), (3,)}
    write_nir(tmp_path / "again.nir", graph)
    assert read_nir(tmp_path / "again.nir").shapes() == graph.shapes()
    if not first:  # an IF that sees nothing but spikes fires with each
        agree(graph)


def test_a_batch_of_one_image_is_left_out(tmp_path: Path) -> None:
    begin, end = ends((1, 2, 5, 5), (1, 3, 3, 3))
    conv = nir.Conv2d(input_shape=(5, 5), weight=eighths(3, 2, 3, 3), stride=1, padding=0, dilation=1, groups=1,
                      bias=np.zeros(3, np.float32))  # fmt: skip
    graph = read(tmp_path, {"input": begin, "c": conv, "n": neurons(1, 3, 3, 3), "output": end})
    assert graph.shapes() == {"input": (2, 5, 5), "c": (3, 3, 3), "n": (3, 3, 3), "output": (3, 3, 3)}
    agree(graph)


def test_a_batch_of_one_line_is_told_from_an_image_of_one_channel(tmp_path: Path) -> None:
    begin, end = ends((1, 4, 9), (1, 3, 7))
    conv = nir.Conv1d(input_shape=9, weight=eighths(3, 4, 3), stride=1, padding=0, dilation=1, groups=1,
                      bias=np.zeros(3, np.float32))  # fmt: skip
    graph = read(tmp_path, {"input": begin, "c": conv, "n": neurons(1, 3, 7), "output": end})
    assert graph.shapes()["input"] == (4, 1, 9)
    agree(graph)


@pytest.mark.parametrize("shape", [(2, 6), (2, 2, 5, 5), (0, 6)])
def test_a_batch_of_more_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    begin, end = ends(shape, (3,))
    with pytest.raises(SnnasError):
        read(tmp_path, {"input": begin, "w": nir.Linear(weight=eighths(3, 6)), "n": neurons(3), "output": end})


# --------------------------------------------------------------------------------------------------- further outputs


def two_outputs(tmp_path: Path, *, parallel: bool) -> Graph:
    begin, end = ends((6,), (3,))
    nodes: dict[str, Any] = {
        "input": begin, "w": nir.Linear(weight=eighths(5, 6)), "a": neurons(5), "v": nir.Linear(weight=eighths(3, 5)),
        "b": neurons(3), "output": end, "shown": nir.Output(output_type={"output": np.array((5,))}),
    }  # fmt: skip
    edges = [("input", "w"), ("w", "a"), ("a", "v"), ("v", "b"), ("b", "output"), ("a", "shown")]
    if parallel:
        nodes["u"], nodes["c"] = nir.Linear(weight=eighths(5, 6, seed=5)), neurons(5)
        edges = [*edges[:-1], ("input", "u"), ("u", "c"), ("c", "shown")]
    return read(tmp_path, nodes, edges)


def test_an_output_that_shows_a_layer_on_the_way_is_left_out(tmp_path: Path) -> None:
    graph = two_outputs(tmp_path, parallel=False)
    assert graph.output == "output"
    assert "shown" not in graph.nodes
    agree(graph)


def test_two_outputs_side_by_side_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"2 Output nodes \(output, shown\)"):
        two_outputs(tmp_path, parallel=True)


# ----------------------------------------------------------------------------------------------------------- delays


def delayed(tmp_path: Path, waits: np.ndarray, *, where: str = "spikes", after: int = 4) -> Graph:
    """Delays per neuron: of spikes, or of the currents behind the weights."""
    begin, end = ends((6,), (after,))
    held = nir.Delay(delay=(waits * DT).astype(np.float32))
    nodes: dict[str, Any] = {"input": begin, "w": nir.Linear(weight=eighths(5, 6)), "a": neurons(5)}
    nodes |= {"d": held} if where == "spikes" else {}
    nodes["v"] = nir.Linear(weight=eighths(after, 5, seed=1))
    nodes |= {"d": held} if where == "currents" else {}
    return read(tmp_path, nodes | {"b": neurons(after), "output": end})


@pytest.mark.parametrize("where", ["spikes", "currents"])
def test_a_delay_per_neuron_is_one_path_for_each(where: str, tmp_path: Path) -> None:
    waits = np.array([0, 3, 1, 3, 0]) if where == "spikes" else np.array([2, 0, 1, 2])
    graph = delayed(tmp_path, waits, where=where)
    assert sorted(graph.nodes[n].steps for n in graph.of_type(Delay)) == sorted(set(waits.tolist()) - {0})  # type: ignore[union-attr]
    agree(graph)
    x = (np.random.default_rng(1).random((4, STEPS, 6)) < 0.4).astype(np.float32)
    run = interpreter.run(graph, x, STEPS)
    v = eighths(4, 5, seed=1).astype(float)
    late = np.zeros((4, STEPS, 5))
    fired = run.spikes["a"].astype(float)
    current = np.zeros((4, STEPS, 4))
    for k, wait in enumerate(waits):
        if where == "spikes":
            late[:, wait:, k] = fired[:, : STEPS - wait, k]
        else:
            current[:, wait:, k] = (fired @ v[k])[:, : STEPS - wait]
    current = late @ v.T if where == "spikes" else current
    membrane, wanted = np.zeros((4, 4)), np.zeros((4, STEPS, 4), bool)
    for t in range(STEPS):
        membrane += current[:, t]
        wanted[:, t] = membrane > 0.75
        membrane[wanted[:, t]] = 0
    assert np.array_equal(run.spikes["b"], wanted)
    write_nir(tmp_path / "again.nir", graph)
    again = interpreter.run(read_nir(tmp_path / "again.nir"), x, STEPS)
    assert np.array_equal(again.spikes["b"], wanted)


def test_a_masked_path_holds_no_zeros(tmp_path: Path) -> None:
    program = compile_graph(delayed(tmp_path, np.array([0, 3, 1, 3, 0])), timesteps=STEPS, input_kind="spikes")
    into = [s for s in program.synapses if s.dst == "b"]
    assert len(into) == 3
    assert sum(int((s.map.weight != 0).sum()) for s in into) == int((eighths(4, 5, seed=1) != 0).sum())


def test_too_many_delays_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"node d: 17 different delays; at most 16 are taken"):
        delayed(tmp_path, np.arange(MAX_DELAYS + 1), where="currents", after=MAX_DELAYS + 1)
    with pytest.raises(UnsupportedError, match=r"node d: delays of 0..0.5 timesteps"):
        delayed(tmp_path, np.array([0, 0.5, 0, 0, 0]))


# ------------------------------------------------------------------------------------------- convolutions in a row


def conv(o: int, i: int, *kernel: int, bias: float = 0.0, **more: Any) -> nir.Conv2d:
    """Weights of -1, 0 and 1: 8 bits hold the products of two such layers."""
    weight = np.random.default_rng(o + i).integers(-1, 2, (o, i, *kernel)).astype(np.float32)
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "input_shape": (8, 8)} | more
    return nir.Conv2d(weight=weight, bias=np.full(o, bias, np.float32), **given)


def depthwise(channels: int, **more: Any) -> nir.Conv2d:
    return conv(channels, 1, 3, 3, padding=1, groups=channels, **more)


def pool(k: int) -> nir.SumPool2d:
    return nir.SumPool2d(kernel_size=np.array([k, k]), stride=np.array([k, k]), padding=np.array([0, 0]))


PER_CHANNEL = nir.Scale(scale=np.resize(np.float32((1, 2)), (4, 1, 1)) * np.ones((4, 12, 12), np.float32))
ROWS: dict[str, tuple[list[Any], tuple[int, ...], str]] = {
    "depthwise, pointwise": ([depthwise(8), conv(6, 8, 1, 1)], (6, 12, 12), "conv"),
    "pointwise, depthwise": ([conv(6, 8, 1, 1), depthwise(6)], (6, 12, 12), "conv"),
    "strided": ([depthwise(8, stride=2), conv(6, 8, 1, 1, stride=2)], (6, 3, 3), "conv"),
    "valid, valid": ([conv(4, 8, 3, 3), conv(5, 4, 3, 2, stride=(2, 1))], (5, 4, 9), "conv"),
    "a pool between": ([conv(4, 8, 3, 3), pool(2), conv(5, 4, 2, 2)], (5, 4, 4), "conv"),
    "pools around": ([pool(2), conv(4, 8, 1, 1), conv(5, 4, 2, 2), pool(2)], (5, 2, 2), "pooled_conv"),
    "a factor between": ([conv(4, 8, 1, 1), PER_CHANNEL, conv(5, 4, 2, 2)], (5, 11, 11), "conv"),
    "other borders": ([conv(2, 8, 3, 3, padding=1), conv(2, 2, 3, 3, padding=1)], (2, 12, 12), "conv sparse"),
    "other borders, strided": (
        [conv(4, 8, 3, 3, padding=1, stride=2), conv(5, 4, 3, 3, padding=1, stride=2)],
        (5, 3, 3),
        "conv sparse",
    ),
    "other borders behind a pool": (
        [pool(2), conv(4, 8, 3, 3, padding=1), conv(5, 4, 3, 3, padding=1)],
        (5, 6, 6),
        "pooled_conv sparse",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_convolutions_in_a_row_are_one(name: str, tmp_path: Path) -> None:
    layers, out, kind = ROWS[name]
    begin, end = ends((8, 12, 12), out)
    x = (np.random.default_rng(1).random((2, STEPS, 8, 12, 12)) < 0.4).astype(np.float32)
    for threshold in (0.5, 1.5, 3.5, 8.5, 20.5, 50.5):  # one at which some fire
        nodes = {"input": begin, **{f"l{k}": layer for k, layer in enumerate(layers)}}
        graph = read(tmp_path, nodes | {"n": neurons(*out, threshold=threshold), "output": end})
        if 0.02 < interpreter.run(graph, x, STEPS).spikes["n"].mean() < 0.5:
            break
    program = compile_graph(graph, timesteps=3, input_kind="spikes")
    assert all(s.map.kind in kind.split() for s in program.synapses)
    agree(graph)


def test_a_separable_block_of_any_size_is_taken(tmp_path: Path) -> None:
    """16 x 34 x 34, of which a matrix would have 3.4e8 entries."""
    begin, end = ends((16, 34, 34), (16, 34, 34))
    layers = {"d": depthwise(16), "p": conv(16, 16, 1, 1, bias=0.125)}
    graph = read(tmp_path, {"input": begin, **layers, "n": neurons(16, 34, 34, threshold=3.5), "output": end})
    program = compile_graph_of(graph)
    (synapse,) = program.synapses
    assert synapse.map.kind == "conv"
    assert synapse.map.weight.shape == (16, 16, 3, 3)
    assert Wiring(synapse.map, "input", "n", (16, 34, 34), (16, 34, 34)).connections((0, 16, 0, 34, 0, 34)) == (
        16 * 16 * (3 * 34 - 2) ** 2  # every window of 3 x 3, less what hangs over: as written out one by one
    )
    fires_alike(graph, program)


def test_padded_convolutions_in_a_row_of_any_size_are_a_kernel_and_a_border(tmp_path: Path) -> None:
    begin, end = ends((16, 34, 34), (16, 34, 34))
    layers = {"a": conv(16, 16, 3, 3, padding=1), "b": conv(16, 16, 3, 3, padding=1)}
    graph = read(tmp_path, {"input": begin, **layers, "n": neurons(16, 34, 34, threshold=20.5), "output": end})
    program = compile_graph_of(graph)
    kernel, ring = program.synapses
    assert kernel.map.weight.shape == (16, 16, 5, 5)
    assert (ring.id, ring.map.kind) == ("input__n__0_border", "sparse")
    pixels = np.unique(np.repeat(np.arange(16 * 34 * 34), np.diff(ring.map.indptr)) % (34 * 34))
    inner = np.pad(np.zeros((32, 32), bool), 1, constant_values=True)
    assert set(pixels) == set(np.flatnonzero(inner))  # the outermost ring, and no other pixel
    written_out = 16 * 16 * (5 * 34 - 2 * 3) ** 2  # at most: some entries are 0
    assert kernel.map.weight.size + ring.map.weight.size < written_out / 30
    fires_alike(graph, program)


def fires_alike(graph: Graph, program: Program) -> None:
    x = (np.random.default_rng(1).random((2, 3, 16, 34, 34)) < 0.3).astype(np.float32)
    wanted = interpreter.run(graph, x, 3).spikes["n"]
    assert 0.05 < wanted.mean() < 0.95
    assert np.array_equal(simulate(program, spikes_in=x > 0).spikes["n"], wanted)


def test_a_border_that_would_be_too_large_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_EXPANDED", 100)
    begin, end = ends((2, 12, 12), (2, 12, 12))
    layers = {"a": conv(2, 2, 3, 3, padding=1), "b": conv(2, 2, 3, 3, padding=1)}
    graph = read(tmp_path, {"input": begin, **layers, "n": neurons(2, 12, 12), "output": end})
    with pytest.raises(UnsupportedError, match="node b: a, b make one matrix of 288 x 288, over 100 entries"):
        compile_graph(graph, timesteps=3, input_kind="spikes")


def compile_graph_of(graph: Graph) -> Any:
    """Its readout would be too large: read through a small layer."""
    from dataclasses import replace

    from snnas.export.graph.graph import Flatten, Linear, Output, Pool

    nodes = {
        **graph.nodes, "q": Pool(kernel=(34, 34), stride=(34, 34)), "f": Flatten(),
        "out": Linear(weight=eighths(2, 16), bias=None), "output": Output(shape=(2,)),
    }  # fmt: skip
    edges = (*(e for e in graph.edges if e[1] != "output"), ("n", "q"), ("q", "f"), ("f", "out"), ("out", "output"))
    return compile_graph(replace(graph, nodes=nodes, edges=edges), timesteps=3, input_kind="spikes")
