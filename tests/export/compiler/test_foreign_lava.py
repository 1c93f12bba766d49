"""Stock Lava as the witness of what foreign graphs need beyond ours: current memory, no leak, long delays, matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.parts import differing
from snnas.export.dialects.conventions import OURS
from snnas.export.executors import interpreter
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import Trace, simulate_input
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from snnas.toolchain.exporting.on_target import recorded
from tests.export.nir_nets import conv, cuba, dyadic, full, graph_of, integrate_and_fire, lif, read

STEPS, SAMPLES = 10, 4


def everything() -> nir.NIRGraph:
    """All spiking nodes, a self-loop, a delay of three timesteps, a leak to elsewhere, per-neuron parameters."""
    rng = np.random.default_rng(5)
    own = nir.IF(
        r=np.array([1, 2, 1, 2, 1, 2], np.float32) / np.float32(1e-4), v_threshold=np.linspace(1.1, 1.6, 6, dtype="f4")
    )
    nodes = {
        "a": nir.Affine(weight=dyadic(rng, 9, 8), bias=dyadic(rng, 9, step=1 / 16)),
        "slow": cuba(9, leak=0.125),
        "loop": nir.Linear(weight=dyadic(rng, 9, 9, low=-3, high=4)),
        "b": nir.Linear(weight=dyadic(rng, 8, 9)),
        "count": integrate_and_fire(8),
        "late": nir.Delay(delay=full((8,), 3e-4)),
        "c": nir.Linear(weight=dyadic(rng, 8, 8)),
        "now": nir.Linear(weight=dyadic(rng, 8, 8)),
        "gate": nir.Threshold(threshold=full((8,), 0.6)),
        "scale": nir.Scale(scale=dyadic(rng, 8, low=1, high=5)),
        "d": nir.Linear(weight=dyadic(rng, 6, 8, low=-2)),
        "own": own,
        "e": nir.Linear(weight=dyadic(rng, 4, 6, low=-2)),
        "end": lif(4, tau=3, r=2.0),
    }
    edges = [("input", "a"), ("a", "slow"), ("slow", "loop"), ("loop", "slow"), ("slow", "b"), ("b", "count")]
    edges += [("count", "late"), ("late", "c"), ("c", "gate"), ("count", "now"), ("now", "gate")]
    edges += [("gate", "scale"), ("scale", "d"), ("d", "own"), ("own", "e"), ("e", "end"), ("end", "output")]
    return graph_of((8,), nodes, (4,), edges)


def divided() -> nir.NIRGraph:
    """Populations of several time constants in a loop, currents that are seen late, own delays, two layers read."""
    rng = np.random.default_rng(9)
    slow = cuba(9, leak=0.125)
    slow.tau_syn[::2] *= 2
    mixed = lif(8, tau=2)
    mixed.tau[:] = np.resize(np.float32((2e-4, 4e-4, 8e-4)), 8)
    nodes = {
        "a": nir.Affine(weight=dyadic(rng, 9, 8), bias=dyadic(rng, 9, step=1 / 16)),
        "slow": slow,
        "loop": nir.Linear(weight=dyadic(rng, 9, 9, low=-3, high=4)),
        "late": nir.Delay(delay=np.resize(np.float32((0, 1e-4, 3e-4)), 9)),
        "b": nir.Affine(weight=dyadic(rng, 8, 9), bias=dyadic(rng, 8, step=1 / 16)),
        "mixed": mixed,
        "c": nir.Linear(weight=dyadic(rng, 4, 8, low=-2)),
        "skip": nir.Linear(weight=dyadic(rng, 4, 9, low=-2)),
        "end": nir.CubaLI(
            tau_syn=full((4,), 3e-4),
            tau_mem=full((4,), 5e-4),
            r=full((4,), 1),
            v_leak=full((4,), 0),
            w_in=full((4,), 1),
        ),
    }
    edges = [("input", "a"), ("a", "slow"), ("slow", "loop"), ("loop", "slow"), ("slow", "late"), ("late", "b")]
    edges += [("b", "mixed"), ("mixed", "c"), ("c", "end"), ("slow", "skip"), ("skip", "end"), ("end", "output")]
    return graph_of((8,), nodes, (4,), edges)


@pytest.mark.lava
@pytest.mark.parametrize("current", ["now", "late"])
@pytest.mark.parametrize("kind", ["spikes", "analogue"])
def test_divided_populations_are_exact_in_stock_lava(
    kind: str, current: str, lava_python: Path, tmp_path: Path
) -> None:
    waits, convention = frozenset({("loop", "slow")}), replace(OURS, current=current)  # type: ignore[arg-type]
    graph = read(tmp_path, divided(), delayed=waits, convention=convention)
    x = np.random.default_rng(1).random((SAMPLES, STEPS, 8)).astype(np.float32)
    x = (x < 0.4).astype(np.float32) if kind == "spikes" else x
    program = compile_graph(graph, timesteps=STEPS, input_kind=kind)  # type: ignore[arg-type]
    assert {len(r.weight[0]) for r in program.readout.readings} == {2, 3, 4, 5}
    run = in_lava(program, x.reshape(SAMPLES, STEPS, 8, 1, 1), lava_python, tmp_path)
    wanted = interpreter.run(graph, x, STEPS)
    wrong, total = differing(program, run.spikes, wanted.spikes)
    assert wrong <= 0.03 * total
    assert all(0.02 < s.mean() < 0.98 for s in wanted.spikes.values())


def in_lava(program: Program, x: np.ndarray, python: Path, tmp_path: Path) -> Trace:
    """What the simulators gave, alike, and Lava too."""
    write_program(tmp_path / "program.npz", program)
    program, samples = read_program(tmp_path / "program.npz"), len(x)
    trace, currents = next(simulate_input(program, x, batch=samples))
    other = next(TorchSimulator(program).run_input(x))[0]
    assert all(np.array_equal(trace.spikes[p.id], other.spikes[p.id]) for p in program.populations)  # type: ignore[union-attr]
    assert np.array_equal(trace.logits, other.logits)
    golden = recorded(
        trace.spikes, trace.logits, currents, None if program.input_kind == "analogue" else x > 0, samples
    )
    write_npz(tmp_path / "golden.npz", golden)
    result = lava.run_worker(tmp_path, tmp_path / "lava", samples=samples, python=python)
    comparison = lava.compare(golden, result["arrays"], program, samples)
    assert comparison.differing_spikes == 0, comparison.first
    return trace


@pytest.mark.lava
def test_padded_convolutions_in_a_row_are_exact_in_stock_lava(lava_python: Path, tmp_path: Path) -> None:
    """A kernel and its border, where a population is several and where it is one."""
    rng = np.random.default_rng(2)
    mixed = lif(4, 9, 8, tau=2, threshold=2.5)
    mixed.tau[::2] = np.float32(4e-4)
    nodes = {
        "a": conv(dyadic(rng, 4, 2, 3, 3), padding=1),
        "b": conv(dyadic(rng, 4, 4, 3, 3), padding=1, bias=dyadic(rng, 4)),
        "mixed": mixed,
        "c": conv(dyadic(rng, 4, 1, 3, 3), padding=1, groups=4),
        "d": conv(dyadic(rng, 2, 4, 3, 3), padding=1, stride=2),
        "n": integrate_and_fire(2, 5, 4, threshold=9.3),
    }
    graph = read(tmp_path, graph_of((2, 9, 8), nodes, (2, 5, 4)))
    x = (np.random.default_rng(1).random((SAMPLES, STEPS, 2, 9, 8)) < 0.3).astype(np.float32)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    assert sum(s.id.endswith("_border") for s in program.synapses) == 4
    in_lava(program, x, lava_python, tmp_path)
    for name, spikes in interpreter.run(graph, x, STEPS).spikes.items():
        assert 0.02 < spikes.mean() < 0.98, name


@pytest.mark.lava
@pytest.mark.parametrize("kind", ["spikes", "analogue"])
def test_every_kind_of_neuron_is_exact_in_stock_lava(kind: str, lava_python: Path, tmp_path: Path) -> None:
    graph = read(tmp_path, everything(), delayed=frozenset({("loop", "slow")}))
    x = np.random.default_rng(1).random((SAMPLES, STEPS, 8)).astype(np.float32)
    x = (x < 0.4).astype(np.float32) if kind == "spikes" else x
    program = compile_graph(graph, timesteps=STEPS, input_kind=kind)  # type: ignore[arg-type]
    assert {p.du for p in program.populations if p.id == "slow"} == {1023}
    assert program.population("count").dv == 0
    in_lava(program, x.reshape(SAMPLES, STEPS, 8, 1, 1), lava_python, tmp_path)
    run = interpreter.run(graph, x, STEPS)
    for name, spikes in run.spikes.items():
        assert 0 < spikes.mean() < 1, name
