"""Every row of the table against its tool's update, written out neuron by neuron; and the way back into our graphs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnas.export.dialects.conventions import Convention
from snnas.export.dialects.run import play, run
from snnas.export.dialects.steps import steps, to_graph
from snnas.export.dialects.table import TABLE, Dialect, elementary, named, neighbours
from snnas.export.executors import interpreter
from snnas.export.graph.graph import CubaLif, Graph, I, If, Input, Lif, Linear, Output
from snnas.hw_sim.errors import UnsupportedError, UsageError

N, T, B = 4, 14, 3


def full(value: float) -> np.ndarray:
    return np.full(N, value, np.float32)


def lif(tau: float, r: float = 1.0, threshold: float = 0.5, v_reset: float = 0.0, v_leak: float = 0.0) -> Lif:
    return Lif(tau=full(tau), r=full(r), v_leak=full(v_leak), v_threshold=full(threshold), v_reset=full(v_reset))


def cuba(tau_syn: float, tau_mem: float, r: float = 1.0, w_in: float = 1.0) -> CubaLif:
    mem = {"tau_mem": full(tau_mem), "r": full(r), "v_leak": full(0), "v_threshold": full(0.5), "v_reset": full(0)}
    return CubaLif(tau_syn=full(tau_syn), w_in=full(w_in), **mem)


def graph(*neurons: Any, weight: np.ndarray | None = None) -> Graph:
    """in -> neuron -> (weights -> neuron) ... -> out."""
    nodes: dict[str, Any] = {"in": Input(shape=(N,)), "n0": neurons[0]}
    names = ["in", "n0"]
    for k, node in enumerate(neurons[1:], 1):
        nodes[f"w{k}"] = Linear(weight=np.eye(N, dtype=np.float32) if weight is None else weight, bias=None)
        nodes[f"n{k}"] = node
        names += [f"w{k}", f"n{k}"]
    names.append("out")
    nodes["out"] = Output(shape=(N,))
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(names)))


def frames(seed: int, scale: float) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(0.4, 0.5, (B, T, N))).astype(np.float32)


# -------------------------------------------------------------------- the tools' updates, after their sources, per cell


def snntorch(x: np.ndarray, beta: float, th: float) -> Iterator[float]:
    mem = 0.0
    for value in x:
        reset = float(mem > th)
        mem = beta * mem + value - reset * th
        yield float(mem > th)


def snntorch_now(x: np.ndarray, beta: float, th: float) -> Iterator[float]:
    mem = 0.0
    for value in x:
        reset = float(mem > th)
        mem = beta * mem + value - reset * th
        spike = float(mem > th)
        mem -= (spike - reset) * th
        yield spike


def snntorch_zero_late(x: np.ndarray, beta: float, th: float) -> Iterator[float]:
    mem = 0.0
    for value in x:
        reset = float(mem > th)
        mem = (beta * mem + value) * (1 - reset)
        yield float(mem > th)


def norse_box(x: np.ndarray, tau: float, th: float) -> Iterator[float]:
    v = 0.0
    for value in x:
        v += 1e-3 / tau * (value - v)
        z = float(v > th)
        v *= 1 - z
        yield z


def norse_lif(x: np.ndarray, tau_syn: float, tau_mem: float, th: float) -> Iterator[float]:
    v = i = 0.0
    for value in x:
        jumped = i + value
        v += 1e-3 / tau_mem * (jumped - v)
        i = jumped - 1e-3 / tau_syn * jumped
        z = float(v > th)
        v *= 1 - z
        yield z


def sinabs(x: np.ndarray, tau: float, th: float, norm: bool, single: bool, zero: bool) -> Iterator[float]:
    v, alpha = 0.0, math.exp(-1 / tau)
    for value in x:
        v = alpha * v + (1 - alpha if norm else 1) * value
        n = float(v >= th) if single else max(math.trunc(v / th), 0)
        v = (0.0 if n else v) if zero else v - n * th
        yield n


def spikingjelly(x: np.ndarray, tau: float, th: float, v_reset: float, decay_input: bool) -> Iterator[float]:
    v = v_reset
    for value in x:
        v = v + (value - (v - v_reset)) / tau if decay_input else v - (v - v_reset) / tau + value
        z = float(v >= th)
        v = v_reset if z else v
        yield z


def rockpool(x: np.ndarray, tau_syn: float, tau_mem: float, dt: float, th: float) -> Iterator[float]:
    v = i = 0.0
    for value in x:
        i = (i + value) * math.exp(-dt / tau_syn)
        v = v * math.exp(-dt / tau_mem) + i
        n = math.floor(v / th) if v >= th else 0
        v -= n * th
        yield n


BETA, TAU, DT = 0.8, 7e-3, 2e-3
CASES: dict[str, tuple[str, Any, Any]] = {
    "snntorch": ("snntorch", lif(1e-4 / (1 - BETA), 1 / (1 - BETA)), lambda x: snntorch(x, BETA, 0.5)),
    "snntorch-now": ("snntorch-now", lif(1e-4 / (1 - BETA), 1 / (1 - BETA)), lambda x: snntorch_now(x, BETA, 0.5)),
    "snntorch-zero-late": (
        "snntorch-zero-late", lif(1e-4 / (1 - BETA), 1 / (1 - BETA)), lambda x: snntorch_zero_late(x, BETA, 0.5),
    ),
    "norse": ("norse", lif(1e-3 * TAU), lambda x: norse_box(x, TAU, 0.5)),
    "norse in seconds": ("norse-seconds", lif(TAU), lambda x: norse_box(x, TAU, 0.5)),
    "norse LIFCell": ("norse", cuba(1e-3 * 3e-3, 1e-3 * TAU), lambda x: norse_lif(x, 3e-3, TAU, 0.5)),
    "sinabs": ("sinabs", lif(4.0), lambda x: sinabs(x, 4.0, 0.5, True, False, False)),
    "sinabs raw": ("sinabs-raw", lif(4.0), lambda x: sinabs(x, 4.0, 0.5, False, False, False)),
    "sinabs single zero": ("sinabs-single-zero", lif(4.0), lambda x: sinabs(x, 4.0, 0.5, True, True, True)),
    "spikingjelly": ("spikingjelly", lif(3e-4), lambda x: spikingjelly(x, 3.0, 0.5, 0.0, True)),
    "spikingjelly v_reset": (
        "spikingjelly", lif(3e-4, 3.0, 0.5, -0.25, -0.25), lambda x: spikingjelly(x, 3.0, 0.5, -0.25, False),
    ),
    "rockpool": (
        "rockpool", cuba(5e-3, 9e-3, 9e-3 * math.exp(-DT / 9e-3) / DT), lambda x: rockpool(x, 5e-3, 9e-3, DT, 0.5),
    ),
}  # fmt: skip


def theirs(update: Any, x: np.ndarray) -> np.ndarray:
    out = np.zeros(x.shape)
    for b in range(B):
        for n in range(N):
            out[b, :, n] = list(update(x[b, :, n].astype(np.float64)))
    return out


@pytest.mark.parametrize("case", CASES)
def test_a_row_does_what_its_tool_does(case: str) -> None:
    name, node, update = CASES[case]
    made = graph(node)
    for seed in range(5):
        x = frames(seed, 3.0)
        found = run(made, x, TABLE[name], T).spikes["n0"]
        np.testing.assert_array_equal(found, theirs(update, x))
    assert found.any()


def test_no_other_named_row_does_the_same() -> None:
    """The cases above are told apart by their spikes, so that none of them passes for another."""
    for case, (name, node, update) in CASES.items():
        made, x = graph(node), np.concatenate([frames(s, 3.0) for s in range(5)])
        wanted = np.concatenate([theirs(update, x[k : k + B]) for k in range(0, len(x), B)])
        own = {n: s.key(ties=False) for n, s in steps(made, TABLE[name]).items()}
        for other in TABLE.values():
            try:
                found = steps(made, other)
            except UnsupportedError:
                continue
            if {n: s.key(ties=False) for n, s in found.items()} != own:
                assert (play(made, found, x, T).spikes["n0"] != wanted).any(), (case, other.name)


def test_ties_tell_at_least_from_above() -> None:
    """IF, dyadic weights: the membrane meets the threshold exactly, in both precisions."""
    made = graph(If(r=full(1e4), v_threshold=full(1.0), v_reset=full(0.0)))
    x = np.full((1, 4, N), 0.5, np.float32)
    assert run(made, x, TABLE["spikingjelly"], 4).spikes["n0"][0, :, 0].tolist() == [0, 1, 0, 1]
    assert run(made, x, TABLE["nir"], 4).spikes["n0"][0, :, 0].tolist() == [0, 0, 1, 0]
    recorded = {"n0": run(made, x, TABLE["spikingjelly"], 4).spikes["n0"]}
    played = play(made, steps(made, TABLE["nir"]), x, 4, recorded=recorded)
    assert played.differing
    assert played.ties
    assert not played.doubtful


def test_a_spike_within_rounding_is_taken_from_the_recording() -> None:
    made = graph(lif(3e-4, 3.0, threshold=0.3))  # unit gain, three times 0.1 is not quite 0.3
    x = np.zeros((1, 3, N), np.float32)
    x[:, 0] = np.nextafter(np.float32(0.3), np.float32(1))
    for spikes in (0, 1):
        recorded = np.zeros((1, 3, N))
        recorded[:, 0] = spikes
        played = play(made, steps(made, TABLE["nir"]), x, 3, recorded={"n0": recorded})
        assert (played.differing, played.doubtful) == (0, N)
        assert (played.spikes["n0"] == recorded).all()
    x[:, 0] = 0.301
    assert play(made, steps(made, TABLE["nir"]), x, 3, recorded={"n0": np.zeros((1, 3, N))}).differing == N


def test_a_doubtful_spike_of_a_node_that_was_not_recorded_spoils_its_sample_alone() -> None:
    made = graph(lif(3e-4, 3.0, threshold=0.3), lif(3e-4, 3.0, threshold=0.3))
    x = np.full((2, 3, N), 1.0, np.float32)
    x[0] = np.nextafter(np.float32(0.3), np.float32(1))
    recorded = {"n1": np.zeros((2, 3, N))}
    played = play(made, steps(made, TABLE["nir"]), x, 3, recorded=recorded)
    assert (played.compared, played.doubtful, played.differing) == (3 * N, 3 * N, 3 * N)


def test_analogue_outputs_are_compared_by_value() -> None:
    made = graph(I(r=full(1e4)))
    x = frames(0, 1.0)
    ours = run(made, x, TABLE["nir"], T).output
    assert play(made, steps(made, TABLE["nir"]), x, T, output=ours * 1.0001).differing == 0
    assert play(made, steps(made, TABLE["nir"]), x, T, output=ours * 1.1).differing > 0


@pytest.mark.parametrize("case", CASES)
def test_back_into_a_graph_of_ours(case: str) -> None:
    """The interpreter gives the dialect's spikes on the rewritten graph, or the node is refused with a mend."""
    name, node, _ = CASES[case]
    dialect = TABLE[name]
    made, x = graph(node), frames(7, 3.0)
    late = dialect.when == "late" and dialect.convention.reset == "subtract"
    if dialect.many or (dialect.when != "now" and not late):
        with pytest.raises(UnsupportedError, match=r"node n0: .*(one spike a timestep|reset to zero)"):
            to_graph(made, dialect)
        return
    ours = to_graph(made, dialect)
    assert ours.convention.decay == "euler"
    assert ours.convention.compare == ">"
    assert ours.convention.reset == ("late" if late else dialect.convention.reset)
    np.testing.assert_array_equal(interpreter.run(ours, x, T).spikes["n0"], run(made, x, dialect, T).spikes["n0"] > 0)


def test_a_soft_reset_stays_in_the_convention() -> None:
    made, x = graph(lif(4.0)), frames(8, 3.0)
    ours = to_graph(made, TABLE["sinabs-single"])
    assert ours.convention.reset == "subtract"
    wanted = run(made, x, TABLE["sinabs-single"], T).spikes["n0"]
    np.testing.assert_array_equal(interpreter.run(ours, x, T).spikes["n0"], wanted > 0)


def test_an_if_keeps_its_ties_too() -> None:
    made = graph(If(r=full(1e4), v_threshold=full(1.0), v_reset=full(0.0)))
    x = np.full((1, 4, N), 0.5, np.float32)
    for name in ("spikingjelly", "nir"):
        wanted = run(made, x, TABLE[name], 4).spikes["n0"] > 0
        np.testing.assert_array_equal(interpreter.run(to_graph(made, TABLE[name]), x, 4).spikes["n0"], wanted)


def test_exact_ties_stay_exact_in_the_graph_of_ours() -> None:
    """beta = 1/2 and a threshold of 1 without '>=': a tau of two steps must halve exactly in float32's dt."""
    made = graph(lif(2e-4, 2.0, threshold=1.0))
    x = np.full((1, 6, N), 0.5, np.float32)
    x[:, 3:] = 1.0
    wanted = run(made, x, TABLE["snntorch-zero"], 6).spikes["n0"]
    np.testing.assert_array_equal(
        interpreter.run(to_graph(made, TABLE["snntorch-zero"]), x, 6).spikes["n0"], wanted > 0
    )
    made = graph(lif(2e-4, 2.0, threshold=0.75))
    wanted = run(made, x, TABLE["snntorch-zero"], 6).spikes["n0"]
    assert wanted[0, :, 0].tolist() == [0, 0, 1, 1, 1, 1]  # .5, .75 (no), .875, ...
    np.testing.assert_array_equal(
        interpreter.run(to_graph(made, TABLE["snntorch-zero"]), x, 6).spikes["n0"], wanted > 0
    )


def test_choices_that_say_nothing_of_a_graph_give_equal_steps() -> None:
    integrates = graph(If(r=full(1.0), v_threshold=full(1.0), v_reset=full(0.0)))
    keys = {n: steps(integrates, TABLE[n])["n0"].key() for n in ("sinabs", "sinabs-raw", "norse", "norse-seconds")}
    assert keys["sinabs"] == keys["sinabs-raw"] != keys["norse"] == keys["norse-seconds"]
    late = replace(TABLE["snntorch"], drive="unit")
    assert steps(integrates, late)["n0"].key() == steps(integrates, replace(late, when="now"))["n0"].key()


def test_a_tau_below_dt_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"node n0: tau 0\.0003 is too short for a timestep of 0\.001"):
        steps(graph(lif(3e-4)), TABLE["norse-seconds"])
    with pytest.raises(UnsupportedError, match="r -1 says no timestep"):
        steps(graph(lif(3e-4, -1.0)), TABLE["rockpool"])


def test_unknown_names_are_listed() -> None:
    with pytest.raises(UsageError, match=r"'brian': expected snntorch, .*rockpool"):
        named("brian")
    assert named("sinabs-raw-single").tool == "sinabs"
    assert named("sinabs-raw-single").note == "norm_input=False, SingleSpike"


def test_every_row_is_its_own_and_says_what_it_is() -> None:
    choices = {tuple(d.choices.items()): d.name for d in TABLE.values()}
    assert choices[tuple(TABLE["snntorch-zero"].choices.items())] == "nir"  # the one pair that means the same
    assert len(choices) == len(TABLE) - 1
    assert all(d.tool and d.note for d in TABLE.values())


def test_the_search_holds_the_table_and_more() -> None:
    made = graph(cuba(1e-3, 1e-3))
    tried = {tuple(d.choices.items()) for d in elementary(made)}
    assert len(tried) > 1000
    for d in TABLE.values():
        if d.when != "twice" and not d.start_at_reset:
            assert tuple(d.choices.items()) in tried, d.name
    exact = Dialect(convention=Convention(decay="exact"))
    assert [n for n, d in neighbours(exact) if d.choices["decay"] == "euler"] == ["decay"]


@pytest.mark.parametrize("neurons", [lif(1e30), cuba(1e-3, 1e30), cuba(1e30, 1e-3)], ids=["tau", "tau_mem", "tau_syn"])
def test_a_time_constant_that_leaves_nothing_to_leak_is_refused_by_name(neurons: Any) -> None:
    found = graph(neurons)
    with pytest.raises(UnsupportedError, match=r"node n0: its t.* too long"):
        to_graph(found, named("norse"))
