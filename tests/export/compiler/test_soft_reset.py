"""A reset by subtraction, at once or a timestep later: in float, as a program, and where it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.dialects.conventions import Convention, Reset
from snnas.export.dialects.run import play
from snnas.export.dialects.steps import steps, to_graph
from snnas.export.dialects.table import TABLE
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.simulate.simulator import simulate
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.simulate import simulate as simulate_subject
from snnas.toolchain.output.stderr import Narrator
from tests.export.nir_nets import cuba, dyadic, graph_of, integrate_and_fire, lif, read, written

STEPS = 12
RESETS: list[Reset] = ["subtract", "late"]
NODES = {"lif": lambda n: lif(n, tau=4, r=2.0), "if": integrate_and_fire, "cuba": cuba}


def net(node: Any = lif) -> nir.NIRGraph:
    rng = np.random.default_rng(5)
    nodes = {
        "w": nir.Affine(weight=dyadic(rng, 9, 6, low=-3), bias=dyadic(rng, 9, step=1 / 16)),
        "n": node(9),
        "v": nir.Linear(weight=dyadic(rng, 4, 9, low=-3)),
        "last": node(4),
    }
    return graph_of((6,), nodes, (4,))


def spikes_in(samples: int = 5) -> np.ndarray:
    return np.random.default_rng(1).random((samples, STEPS, 6)) < 0.6


def by_hand(graph: Graph, name: str, currents: np.ndarray) -> np.ndarray:
    """Spikes (B, T, n) of a LIF of gain 2 whose reset subtracts, in plain numbers."""
    node, late = graph.nodes[name], graph.convention.reset == "late"
    k, threshold = 1 / 4, float(np.float32(0.97))
    v, owed, fired = np.zeros(currents[:, 0].shape), 0.0, []
    for x in currents.swapaxes(0, 1):
        v = v + k * (2 * x - v) - owed
        spike = v > threshold
        owed = threshold * spike if late else 0.0
        v = v if late else v - threshold * spike
        fired.append(spike)
    assert node.shape == v.shape[1:]  # type: ignore[union-attr]
    return np.stack(fired, axis=1)


@pytest.mark.parametrize("reset", RESETS)
def test_the_interpreter_is_the_formula(reset: Reset, tmp_path: Path) -> None:
    graph = read(tmp_path, net(NODES["lif"]), convention=Convention(reset=reset))
    run = interpreter.run(graph, spikes_in(), STEPS)
    first = graph.nodes["w"]
    currents = spikes_in() @ first.weight.T.astype(float) + first.bias  # type: ignore[union-attr]
    assert 0.05 < run.spikes["n"].mean() < 0.95
    np.testing.assert_array_equal(run.spikes["n"], by_hand(graph, "n", currents))
    hard = interpreter.run(replace(graph, convention=Convention()), spikes_in(), STEPS)
    assert (hard.spikes["n"] != run.spikes["n"]).any()


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("kind", NODES)
def test_torch_and_the_program_agree_with_it(kind: str, reset: Reset, tmp_path: Path) -> None:
    """The program's leaks are twelve bits and its states whole numbers: few spikes may differ."""
    pytest.importorskip("torch")
    from snnas.export.executors.deployed import run_deployed

    graph = read(tmp_path, net(NODES[kind]), convention=Convention(reset=reset))
    run = interpreter.run(graph, spikes_in(40), STEPS)
    torch_spikes, _ = run_deployed(graph, spikes_in(40).astype(np.float32), STEPS)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", spikes=run.spikes, soft_reset=True)
    assert all(p.taken > 0 for p in program.populations)
    trace = simulate(program, spikes_in=spikes_in(40).reshape(40, STEPS, *program.input_shape))
    for name, spikes in run.spikes.items():
        assert 0.03 < spikes.mean() < 0.97
        np.testing.assert_array_equal(torch_spikes[name], spikes)
        assert (trace.spikes[name].reshape(spikes.shape) != spikes).mean() < 0.01, name


def test_without_a_leak_and_on_the_grid_nothing_differs(tmp_path: Path) -> None:
    """Taking the threshold at once or a timestep later is then the same, and the integers hold all of it."""
    graph = read(tmp_path, net(lambda n: integrate_and_fire(n, threshold=1.25)), convention=Convention(reset="late"))
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", soft_reset=True)
    x = spikes_in(20)
    trace = simulate(program, spikes_in=x.reshape(20, STEPS, *program.input_shape))
    for reset in RESETS:
        run = interpreter.run(replace(graph, convention=Convention(reset=reset)), x, STEPS)
        for name, spikes in run.spikes.items():
            np.testing.assert_array_equal(trace.spikes[name].reshape(spikes.shape), spikes)


def test_snntorchs_default_is_read_as_what_it_does(tmp_path: Path) -> None:
    """Through the dialect's own executor, which knows nothing of conventions."""
    graph, dialect = read(tmp_path, net(lambda n: lif(n, tau=4, r=4.0))), TABLE["snntorch"]
    x = spikes_in().astype(np.float32)
    played = play(graph, steps(graph, dialect), x, STEPS)
    ours = to_graph(graph, dialect)
    assert ours.convention.reset == "late"
    run = interpreter.run(ours, x, STEPS)
    for name, spikes in run.spikes.items():
        assert spikes.any()
        np.testing.assert_array_equal(spikes, played.spikes[name] > 0)
    with pytest.raises(UnsupportedError, match=r"node n: a soft reset.*reset_mechanism='zero'.*--system generic"):
        compile_graph(ours, timesteps=STEPS, input_kind="spikes")


def test_a_pool_and_a_neuron_that_subtracts_are_no_or(tmp_path: Path) -> None:
    nodes = {"p": nir.SumPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0)), "n": lif(1, 2, 2, threshold=0.25)}
    chain = graph_of((1, 4, 4), nodes, (1, 2, 2))
    for reset, role in (("zero", "or"), ("subtract", "neuron")):
        graph = read(tmp_path, chain, convention=Convention(reset=reset))  # type: ignore[arg-type]
        program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", soft_reset=True)
        assert program.populations[0].role == role


def test_what_keeps_no_membrane_cannot_subtract_later(tmp_path: Path) -> None:
    graph = read(tmp_path, net(lambda n: lif(n, tau=1)), convention=Convention(reset="late"))
    with pytest.raises(UnsupportedError, match="node n: forgets its membrane in a timestep"):
        compile_graph(graph, timesteps=STEPS, input_kind="spikes", soft_reset=True)


def test_the_commands_end_in_a_price_or_a_mend(tmp_path: Path) -> None:
    path, quiet = written(tmp_path, net(lambda n: lif(n, tau=4, r=4.0))), Narrator(quiet=True)
    np.savez(tmp_path / "data.npz", x=spikes_in(20).astype(np.uint8), y=np.arange(20) % 4)
    wanted = ReadingOptions(data=str(tmp_path / "data.npz"), convention="snntorch")
    subject = open_subject(path, wanted)
    assert simulate_subject(subject, quiet)["sar"]["mean"] > 0
    result = estimate(subject, Pricing(system="generic", every=True), quiet)
    energy = result["energy_uJ"]
    assert (energy["profile"], energy["evidence"]) == ("analytic45_int8", "analytic")
    assert energy["total"]["nominal"] == pytest.approx(
        result["work"]["synops_per_inference"]["mean"] * 0.03e-6, rel=1e-6
    )
    assert [row["profile"] for row in result["profiles"]] == ["analytic45_int8"]
    for system in ("loihi1", "loihi2"):
        with pytest.raises(UnsupportedError, match=f"its reset subtracts, which no neuron of {system} does; .*generic"):
            estimate(subject, Pricing(system=system), quiet)
    with pytest.raises(UnsupportedError, match="prices loihi1, the program is mapped on generic"):
        estimate(subject, Pricing(system="generic", profile="loihi1"), quiet)
