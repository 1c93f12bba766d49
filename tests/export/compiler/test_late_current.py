"""``current = "late"``: a membrane that sees the synaptic current of the timestep before, from graph to program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.dialects.conventions import OURS
from snnas.export.dialects.run import play
from snnas.export.dialects.steps import read_dialect, steps
from snnas.export.dialects.table import Dialect, named
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import CubaLif, Graph, Input, Linear, Node, Output
from snnas.hw_sim.program import CLOCK
from snnas.hw_sim.simulate.simulator import host_currents, simulate
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

DT, STEPS = np.float32(1e-4), 12
LATE = replace(OURS, current="late")


def cuba(size: int, **other: float) -> CubaLif:
    given = {"tau_syn": 4 * DT, "tau_mem": 2 * DT, "r": 2, "v_leak": 0, "w_in": 4, "v_threshold": 0.97, "v_reset": 0}
    return CubaLif(**{k: np.full(size, v, np.float32) for k, v in (given | other).items()})


def graph(*, bias: bool = False, back: bool = False, **other: float) -> Graph:
    rng = np.random.default_rng(4)
    eighths = lambda *shape: (rng.integers(-4, 9, shape) / 8).astype(np.float32)  # noqa: E731
    nodes: dict[str, Node] = {
        "input": Input(shape=(6,)),
        "w": Linear(weight=eighths(8, 6), bias=eighths(8) / 8 if bias else None),
        "n": cuba(8, **other),
        "v": Linear(weight=eighths(5, 8), bias=None),
        "m": cuba(5),
        "output": Output(shape=(5,)),
    }
    edges = [("input", "w"), ("w", "n"), ("n", "v"), ("v", "m"), ("m", "output")]
    delayed = frozenset[tuple[str, str]]()
    if back:
        nodes["u"] = Linear(weight=eighths(8, 8) / 4, bias=None)
        edges += [("n", "u"), ("u", "n")]
        delayed = frozenset({("n", "u")})
    return Graph(nodes=nodes, edges=tuple(edges), delayed=delayed, convention=LATE)


def stimulus(samples: int = 4) -> np.ndarray:
    return (np.random.default_rng(2).random((samples, STEPS, 6)) < 0.4).astype(np.float32)


def by_hand(g: Graph, x: np.ndarray) -> np.ndarray:
    """The first population from its equations: v with the current that was there before."""
    w, n = g.nodes["w"], g.nodes["n"]
    assert isinstance(w, Linear)
    assert isinstance(n, CubaLif)
    k, s = 1e-4 / float(n.tau_mem[0]), 1e-4 / float(n.tau_syn[0])
    out = np.zeros((*x.shape[:2], 8), bool)
    for sample, frames in enumerate(x):
        for j in range(8):
            i = v = 0.0
            for t, frame in enumerate(frames):
                drive = float(frame @ w.weight[j].astype(float)) + (0.0 if w.bias is None else float(w.bias[j]))
                v += k * (float(n.v_leak[0]) - v + float(n.r[0]) * i)
                i += s * (float(n.w_in[0]) * drive - i)
                if v > n.v_threshold[j]:
                    out[sample, t, j], v = True, 0.0
    return out


CASES: dict[str, dict[str, Any]] = {
    "plain": {}, "a bias": {"bias": True}, "a leak": {"v_leak": 0.125}, "a self-loop": {"back": True},
    "all": {"bias": True, "v_leak": 0.25, "back": True}, "a current of one timestep": {"tau_syn": DT, "bias": True},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_interpreter_does_what_the_equations_say(name: str) -> None:
    if CASES[name].get("back"):
        return
    g, x = graph(**CASES[name]), stimulus()
    run = interpreter.run(g, x, STEPS)
    assert 0.05 < run.spikes["n"].mean() < 0.9
    assert np.array_equal(run.spikes["n"], by_hand(g, x))
    now = interpreter.run(replace(g, convention=OURS), x, STEPS)
    assert not np.array_equal(now.spikes["n"], run.spikes["n"])


@pytest.mark.parametrize("name", CASES)
def test_torch_dialect_and_program_do_as_the_interpreter(name: str, tmp_path: Path) -> None:
    g, x = graph(**CASES[name]), stimulus()
    run = interpreter.run(g, x, STEPS)
    fired, answers = run_deployed(g, x, STEPS)
    assert all(np.array_equal(fired[n], s) for n, s in run.spikes.items())
    assert np.allclose(answers, run.answers)
    played = play(g, steps(g, Dialect(convention=LATE)), x, STEPS)
    assert all(np.array_equal(played.spikes[n] > 0, s) for n, s in run.spikes.items())
    program = compile_graph(g, timesteps=STEPS, input_kind="spikes")
    assert all(s.distance == 1 for s in program.synapses if s.src == CLOCK)
    boxed = x.reshape(*x.shape, 1, 1) > 0
    trace = simulate(program, spikes_in=boxed)
    differing = sum(int((trace.spikes[n].reshape(s.shape) != s).sum()) for n, s in run.spikes.items())
    assert differing <= 0.01 * sum(s.size for s in run.spikes.values())
    fast = TorchSimulator(program).run(spikes_in=boxed)
    assert all(np.array_equal(fast.spikes[n], s) for n, s in trace.spikes.items())
    write_program(tmp_path / "p.npz", program)
    again = simulate(read_program(tmp_path / "p.npz"), spikes_in=boxed)
    assert all(np.array_equal(again.spikes[n], s) for n, s in trace.spikes.items())


@pytest.mark.parametrize("frames", [False, True])
def test_an_analogue_input_is_injected_a_timestep_late(frames: bool, tmp_path: Path) -> None:
    g = graph(bias=True)
    x = np.random.default_rng(0).random((4, STEPS, 6) if frames else (4, 6)).astype(np.float32)
    run = interpreter.run(g, x, STEPS)
    program = compile_graph(g, timesteps=STEPS, input_kind="analogue")
    write_program(tmp_path / "p.npz", program)
    program = read_program(tmp_path / "p.npz")
    currents = host_currents(program, x.reshape(*x.shape, 1, 1))
    assert currents["n"].shape[1] == STEPS
    assert not currents["n"][:, 0].any()
    trace = simulate(program, currents=currents)
    differing = sum(int((trace.spikes[n].reshape(s.shape) != s).sum()) for n, s in run.spikes.items())
    assert run.spikes["m"].any()
    assert differing <= 0.02 * sum(s.size for s in run.spikes.values())
    fast = TorchSimulator(program).run(currents=currents)
    assert all(np.array_equal(fast.spikes[n], s) for n, s in trace.spikes.items())


def test_a_file_keeps_it_and_a_row_of_the_table_has_it(tmp_path: Path) -> None:
    g, x = graph(), stimulus()
    write_nir(tmp_path / "m.nir", g)
    assert read_nir(tmp_path / "m.nir").convention == LATE
    write_nir(tmp_path / "bare.nir", replace(g, convention=OURS))
    row = named("nir-late")
    foreign = read_dialect(tmp_path / "bare.nir", row)
    assert foreign.convention.current == "late"
    assert np.array_equal(interpreter.run(foreign, x, STEPS).spikes["n"], interpreter.run(g, x, STEPS).spikes["n"])
    assert "timestep before" in str(row)
