"""What is read at a graph's end: the same in the interpreter, in torch, by the formula, and in whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.readout import quantise_readout
from snnas.export.dialects.conventions import OURS, Convention
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from tests.export.nir_nets import graph_of

DT, STEPS = 1e-4, 12
READS = ("sum", "last", "max")


def full(value: float, size: int = 3) -> np.ndarray:
    return np.full(size, value, np.float32)


def spread(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


ENDS: dict[str, Callable[[], Any] | None] = {
    "nothing": None,
    "I": lambda: nir.I(r=full(1 / DT)),
    "LI": lambda: nir.LI(tau=full(4 * DT), r=full(2), v_leak=full(0)),
    "LI with a leak, per class": lambda: nir.LI(
        tau=spread(2, 4, 8) * np.float32(DT), r=spread(1, 2, 0.5), v_leak=spread(0.5, 0, -1)
    ),
    "CubaLI": lambda: nir.CubaLI(
        tau_syn=full(2 * DT), tau_mem=full(4 * DT), r=full(1), v_leak=full(0.25), w_in=full(1)
    ),
}


def neurons(size: int) -> nir.IF:
    return nir.IF(r=full(1 / DT, size), v_threshold=full(0.75, size), v_reset=full(0, size))


def written(tmp_path: Path, end: Any, bias: bool = True, **convention: Any) -> Graph:
    """spikes -> IF -> Affine -> end, of short binary fractions: the program's spikes are the graph's."""
    rng = np.random.default_rng(5)
    weight = rng.integers(-6, 7, (3, 6)).astype(np.float32) / 8
    out = nir.Affine(weight=weight, bias=spread(0.25, -0.5, 0) * bias)
    nodes = {
        "w": nir.Linear(weight=rng.integers(-3, 5, (6, 5)).astype(np.float32) / 4), "n": neurons(6), "out": out,
    }  # fmt: skip
    if end is not None:
        nodes["read"] = end
    nir.write(tmp_path / "m.nir", graph_of((5,), nodes, (3,)))
    return read_nir(tmp_path / "m.nir", convention=replace(OURS, **convention))


def stimulus(samples: int = 6) -> np.ndarray:
    return (np.random.default_rng(1).random((samples, STEPS, 5)) < 0.5).astype(np.float32)


def both(program: Program, x: np.ndarray) -> np.ndarray:
    """Logits in real units, the same of all simulators."""
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

    spikes = x.reshape(*x.shape[:2], *program.input_shape) > 0
    trace = simulate(program, spikes_in=spikes)
    torch = TorchSimulator(program)
    assert np.array_equal(torch.run(spikes_in=spikes).logits, trace.logits)
    assert np.array_equal(torch.tally(spikes_in=spikes).logits, trace.logits)
    return trace.logits / (64 * program.readout.scale)


def by_formula(graph: Graph, spikes: np.ndarray) -> np.ndarray:
    """The membrane of each class at each timestep from the equations, class by class in Python's numbers."""
    out, end = graph.nodes["out"], graph.nodes.get("read")
    y = np.zeros((*spikes.shape[:2], 3))
    for sample, fired in enumerate(spikes):
        for c in range(3):
            v = i = 0.0
            for t, s in enumerate(fired):
                x = float(sum(w for w, on in zip(out.weight[c].tolist(), s, strict=True) if on) + out.bias[c])  # type: ignore[union-attr]
                p = {} if end is None else {k: float(getattr(end, k)[c]) for k in type(end).__slots__}  # type: ignore[attr-defined]
                if end is None:
                    v = x
                elif "tau" not in p and "tau_mem" not in p:
                    v += DT * p["r"] * x
                else:
                    if "tau_syn" in p:
                        i += DT / p["tau_syn"] * (p["w_in"] * x - i)
                        x = i
                    v += DT / p.get("tau", p.get("tau_mem", 0)) * (p["v_leak"] - v + p["r"] * x)
                y[sample, t, c] = v
    return y


def test_a_membrane_may_see_the_current_before(tmp_path: Path) -> None:
    make = ENDS["CubaLI"]
    assert make is not None
    now, late = (written(tmp_path, make(), current=current) for current in ("now", "late"))
    x = stimulus()
    run = interpreter.run(late, x, STEPS)
    program = compile_graph(late, timesteps=STEPS, input_kind="spikes")
    assert np.allclose(both(program, x), run.answers, rtol=0, atol=1e-7)
    assert np.abs(interpreter.run(now, x, STEPS).answers - run.answers).max() > 0.1


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", ENDS)
def test_everything_reads_the_same(name: str, read: str, tmp_path: Path) -> None:
    from snnas.export.executors.deployed import run_deployed

    make = ENDS[name]
    graph = written(tmp_path, make() if make else None, readout=read)
    x = stimulus()
    run = interpreter.run(graph, x, STEPS)
    y = by_formula(graph, run.spikes["n"])
    wanted = {"sum": y.sum(axis=1), "last": y[:, -1], "max": y.max(axis=1)}[read]
    assert np.allclose(run.answers, wanted, rtol=0, atol=1e-12)
    assert np.allclose(run_deployed(graph, x, STEPS)[1], run.answers, rtol=0, atol=1e-12)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    got = both(program, x)
    exact = name in ("nothing", "I")  # a tau in seconds is no short binary fraction
    assert np.array_equal(got, run.answers) if exact else np.allclose(got, run.answers, rtol=0, atol=1e-7)
    write_program(tmp_path / "p.npz", program)
    assert np.array_equal(both(read_program(tmp_path / "p.npz"), x), got)


def test_an_li_is_the_sum_of_what_it_still_holds(tmp_path: Path) -> None:
    """logits = sum over t of k r (1 - k)^(T-1-t) (W s(t) + b)."""
    graph = written(tmp_path, nir.LI(tau=full(4 * DT), r=full(2), v_leak=full(0)))
    x = stimulus()
    run, out = interpreter.run(graph, x, STEPS), graph.nodes["out"]
    k = DT / np.float64(np.float32(4 * DT))
    held = k * 2 * (1 - k) ** np.arange(STEPS)[::-1]
    brought = run.spikes["n"].astype(float) @ out.weight.T.astype(float) + out.bias  # type: ignore[union-attr]
    assert np.allclose(run.answers, (held[:, None] * brought).sum(axis=1), rtol=0, atol=1e-12)
    assert np.abs(run.answers - brought.sum(axis=1)).max() > 0.5  # it does forget


def test_what_is_read_is_told_by_the_end_and_by_the_convention(tmp_path: Path) -> None:
    li = nir.LI(tau=full(4 * DT), r=full(2), v_leak=full(0))
    assert written(tmp_path, None).read == "sum"
    assert written(tmp_path, li).read == "last"
    kept = written(tmp_path, li, readout="max")
    write_nir(tmp_path / "again.nir", kept)
    assert read_nir(tmp_path / "again.nir").read == "max"
    assert "max" in str(kept.convention)


def test_rounded_weights_move_answers_by_their_rounding_alone(tmp_path: Path) -> None:
    graph = written(tmp_path, nir.LI(tau=full(3 * DT), r=full(1), v_leak=full(0.1)))
    out = replace(graph.nodes["out"], weight=np.random.default_rng(2).normal(size=(3, 6)).astype(np.float32))  # type: ignore[type-var]
    graph = replace(graph, nodes={**graph.nodes, "out": out})
    run = interpreter.run(graph, stimulus(), STEPS)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    step = float(np.abs(out.weight).max()) / 127  # type: ignore[union-attr]
    assert 1e-6 < np.abs(both(program, stimulus()) - run.answers).max() < 6 * step / 2


MEMBRANES = {
    "LIF": lambda n: nir.LIF(tau=full(4 * DT, n), r=full(1, n), v_leak=full(0, n), v_threshold=full(0.4, n)),
    "IF": lambda n: nir.IF(r=full(1 / DT, n), v_threshold=full(0.4, n)),
    "CubaLIF": lambda n: nir.CubaLIF(
        tau_syn=full(2 * DT, n), tau_mem=full(4 * DT, n), r=full(1, n), v_leak=full(0, n), v_threshold=full(0.4, n)
    ),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", MEMBRANES)
def test_a_last_neuron_is_read_by_its_membrane(name: str, read: str, tmp_path: Path) -> None:
    """As snntorch's Leaky(reset_mechanism="none") is: its file holds a neuron with a threshold."""
    spiking = MEMBRANES[name](3)
    kind = {"LIF": nir.LI, "IF": nir.I, "CubaLIF": nir.CubaLI}[name]
    plain = kind(
        **{k: getattr(spiking, k) for k in ("tau", "tau_syn", "tau_mem", "r", "v_leak") if hasattr(spiking, k)}
    )
    x = stimulus()
    ours = interpreter.run(written(tmp_path, spiking, readout=f"membrane-{read}"), x, STEPS)
    theirs = interpreter.run(written(tmp_path, plain, readout=read), x, STEPS)
    assert np.array_equal(ours.answers, theirs.answers)
    assert set(ours.spikes) == {"n"}
    fires = interpreter.run(written(tmp_path, spiking), x, STEPS)
    assert fires.spikes["read"].any()


def test_a_membrane_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="out: a Linear before the output has no membrane"):
        written(tmp_path, None, readout="membrane-last")


def branches(*, skip: str | None = None, late: bool = False) -> tuple[Graph, np.ndarray]:
    """Two populations, both read: the second's weights, and the first's through a layer of its own or bare."""
    rng = np.random.default_rng(8)
    quarter = lambda *shape: rng.integers(-3, 5, shape).astype(np.float32) / 4  # noqa: E731
    nodes = {
        "input": nir.Input(np.array((5,))), "w": nir.Linear(weight=quarter(3, 5)), "a": neurons(3),
        "v": nir.Linear(weight=quarter(4, 3)), "b": neurons(4), "out": nir.Linear(weight=quarter(3, 4)),
        "output": nir.Output(np.array((3,))),
    }  # fmt: skip
    edges = [("input", "w"), ("w", "a"), ("a", "v"), ("v", "b"), ("b", "out"), ("out", "output")]
    if skip == "weighted":
        nodes["s"] = nir.Affine(weight=quarter(3, 3), bias=np.zeros(3, np.float32))
        edges += [("a", "s"), ("s", "output")]
    elif skip == "late":
        nodes["s"] = nir.Delay(delay=full(2 * DT))
        edges += [("a", "s"), ("s", "output")]
    elif skip == "bare":
        edges.append(("a", "output"))
    return nodes, edges  # type: ignore[return-value]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("skip", ["weighted", "late", "bare"])
def test_two_paths_into_the_output_are_added(skip: str, read: str, tmp_path: Path) -> None:
    nodes, edges = branches(skip=skip)
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes=nodes, edges=edges))
    graph = read_nir(tmp_path / "m.nir", convention=replace(OURS, readout=read))
    x = stimulus()
    run = interpreter.run(graph, x, STEPS)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    assert {(r.src, r.distance) for r in program.readout.readings} == {("a", 2 if skip == "late" else 0), ("b", 0)}
    assert np.array_equal(both(program, x), run.answers)


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    nodes, edges = branches(skip="bare")
    nodes["read"] = nir.LI(tau=full(4 * DT), r=full(1), v_leak=full(0))
    edges = [(s, "read") if d == "output" and s == "out" else (s, d) for s, d in edges] + [("read", "output")]
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes=nodes, edges=edges))
    graph = read_nir(tmp_path / "m.nir", convention=Convention())
    with pytest.raises(UnsupportedError, match="node read: its membrane and another path are read"):
        compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    nodes, edges = branches()
    nodes["direct"] = nir.Linear(weight=np.ones((3, 5), np.float32))
    edges += [("input", "direct"), ("direct", "output")]
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes=nodes, edges=edges))
    with pytest.raises(UnsupportedError, match="the input input reaches the output without a neuron"):
        compile_graph(read_nir(tmp_path / "m.nir"), timesteps=STEPS, input_kind="spikes")


def test_many_timesteps_leave_a_response_of_fewer_bits(tmp_path: Path) -> None:
    graph = written(tmp_path, nir.LI(tau=full(40 * DT), r=full(1), v_leak=full(0)))
    from snnas.export.compiler.circuit import trace

    real = trace(graph, "spikes").readout
    short, long = quantise_readout(real, 8), quantise_readout(real, 4000)
    assert long.reach(4000) < 2.0**62
    assert long.response[1000] > 0
    assert np.allclose(long.response / long.response[0], real.response(4000), rtol=0, atol=1e-9)
    assert len(short.response) == 8
