"""Faults planted in exported programs are named with their population and cause; healthy programs have none."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Conv, Graph, If, Input, Linear, Node, Output
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Population, Program
from snnas.toolchain.diagnosing import causes, faults, mends
from snnas.toolchain.diagnosing.faults import Fault
from snnas.toolchain.diagnosing.pairing import hard, pair
from tests.export.compiler.test_resolution import cuba, stack
from tests.networks import images, random_network

T = 5
CONV = "cell2_n0_lif__red2_lif__0"  # of the network below: 8 to 8 channels, 3 x 3
INTO, FIRST, LAST = "red2_lif", "cell1_n0_lif", "head_lif"
DENSE = "red2_pool__head_lif__0"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return fold(random_network("lightsnn", 0).layers())


def compiled(graph: Graph, **options: Any) -> Program:
    calibration = interpreter.run(graph, images(32, 1), T)
    return compile_graph(graph, timesteps=T, spikes=calibration.spikes, **options)


@pytest.fixture(scope="module")
def program(graph: Graph) -> Program:
    return compiled(graph)


def found(graph: Graph, program: Program) -> list[Fault]:
    return faults.find(pair(graph, program))


def population(program: Program, name: str, **changes: Any) -> Program:
    changed = [replace(p, **changes) if p.id == name else p for p in program.populations]
    return replace(program, populations=tuple(changed))


def weights(program: Program, name: str, change: Callable[[np.ndarray], np.ndarray], **changes: Any) -> Program:
    synapses = []
    for s in program.synapses:
        if s.id == name:
            stored = np.ascontiguousarray(change(s.map.weight.copy())).astype(np.int8)
            s = replace(s, map=replace(s.map, weight=stored), **changes)
        synapses.append(s)
    return replace(program, synapses=tuple(synapses))


def one(weight: np.ndarray, value: Callable[[int], int]) -> np.ndarray:
    """The largest weight changed."""
    at = np.unravel_index(int(np.abs(weight.astype(int)).argmax()), weight.shape)
    weight[at] = value(int(weight[at]))
    return weight


def swapped(values: np.ndarray, axis: int) -> np.ndarray:
    order = np.arange(values.shape[axis])
    order[[1, 2]] = order[[2, 1]]
    return np.take(values, order, axis)


def doubled_and_clipped(program: Program) -> Program:
    """A scale twice too large for the range of the weights."""
    p = program.population(INTO)
    program = population(program, INTO, scale=2 * p.scale, vth=2 * p.vth, bias_exponent=p.bias_exponent + 1)
    for s in list(program.into(INTO)):
        program = weights(program, s.id, lambda w: (2 * w.astype(int)).clip(-128, 127))
    return program


def conv(change: Callable[[np.ndarray], np.ndarray], **changes: Any) -> Callable[[Program], Program]:
    return lambda program: weights(program, CONV, change, **changes)


def into(**changes: Callable[[Population], Any]) -> Callable[[Program], Program]:
    def plant(program: Program) -> Program:
        p = program.population(INTO)
        return population(program, INTO, **{name: change(p) for name, change in changes.items()})

    return plant


PLANTED: dict[str, tuple[Callable[[Program], Program], str, str, str]] = {
    "threshold one too high": (into(vth=lambda q: q.vth + 1), INTO, "threshold off", "threshold"),
    "threshold one too low": (into(vth=lambda q: q.vth - 1), INTO, "threshold off", "threshold"),
    "transposed": (conv(lambda w: w.transpose(0, 1, 3, 2)), INTO, "kernel transposed", "weights"),
    "flipped": (conv(lambda w: w[:, :, ::-1, ::-1]), INTO, "kernel flipped", "weights"),
    "mirrored": (conv(lambda w: w[..., ::-1]), INTO, "kernel mirrored", "weights"),
    "exponent": (conv(lambda w: w, exponent=1), INTO, "wrong exponent", "weights"),
    "weights clipped": (doubled_and_clipped, INTO, "weights saturated", "saturation"),
    "sign of one": (conv(lambda w: one(w, lambda n: max(-128, -n))), INTO, "sign flipped", "weights"),
    "sign of all": (conv(lambda w: -w.clip(-127)), INTO, "sign flipped", "weights"),
    "one lost": (conv(lambda w: one(w, lambda n: 0)), INTO, "synapse lost", "weights"),
    "all zero": (conv(lambda w: 0 * w), INTO, "synapse lost", "weights"),
    "synapse removed": (
        lambda p: replace(p, synapses=tuple(s for s in p.synapses if s.id != CONV)), INTO, "synapse lost", "timing",
    ),
    "output channels": (conv(lambda w: swapped(w, 0)), INTO, "output channels permuted", "weights"),
    "input channels": (conv(lambda w: swapped(w, 1)), INTO, "input channels permuted", "weights"),
    "channels exchanged": (conv(lambda w: w.swapaxes(0, 1)), INTO, "channels transposed", "weights"),
    "flattened as H, W, C": (
        lambda p: weights(p, DENSE, lambda w: w.reshape(len(w), 8, 2, 2).transpose(0, 2, 3, 1).reshape(w.shape)),
        LAST, "flattened otherwise", "weights",
    ),
    "dt halved": (into(dv=lambda q: q.dv // 2), INTO, "dt or tau wrong", "leak"),
    "no leak": (into(dv=lambda q: 0), INTO, "dt or tau wrong", "leak"),
    "synaptic memory": (into(du=lambda q: 2000), INTO, "synaptic tau wrong", "leak"),
    "bias lost": (into(bias=lambda q: 0 * q.bias), INTO, "bias lost", "bias"),
    "bias sign": (into(bias=lambda q: -q.bias), INTO, "bias sign flipped", "bias"),
    "host scaled": (
        lambda p: replace(p, host=tuple(replace(h, gain=2.0) if h.dst == FIRST else h for h in p.host)),
        FIRST, "scaled", "input",
    ),
    "host by 255": (
        lambda p: replace(p, host=tuple(replace(h, gain=1 / 255) if h.dst == FIRST else h for h in p.host)),
        FIRST, "scaled", "input",
    ),
    "readout rows": (
        lambda p: replace(p, readout=replace(p.readout, readings=tuple(
            replace(r, weight=swapped(r.weight, 0)) for r in p.readout.readings
        ))),
        "readout", "rows permuted", "readout",
    ),
    "timesteps": (lambda p: p, FIRST, "timesteps", "timing"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named_with_population_and_cause(name: str, graph: Graph, program: Program) -> None:
    plant, where, kind, cause = PLANTED[name]
    if name == "timesteps":
        graph = replace(graph, meta={**graph.meta, "timesteps": T + 1})
    named = found(graph, plant(program))
    assert {(f.population, f.kind, f.cause) for f in named} == {(where, kind, cause)}, named
    assert "  " not in named[0].text


def test_a_bias_beyond_its_register_is_named(graph: Graph, program: Program) -> None:
    name = next(n for n, node in graph.nodes.items() if isinstance(node, Conv) and (n, INTO) in graph.edges)
    node = graph.nodes[name]
    assert isinstance(node, Conv)
    bias = np.zeros(len(node.weight), np.float32) if node.bias is None else node.bias.copy()
    bias[3] += 40
    larger = replace(graph, nodes={**graph.nodes, name: replace(node, bias=bias)})
    stored = np.broadcast_to(program.population(INTO).bias, (8, 1, 1)).copy()
    stored[3] = 4095
    (fault,) = found(larger, population(program, INTO, bias=stored))
    assert (fault.population, fault.kind, fault.cause) == (INTO, "bias saturated", "bias")


def test_a_soft_reset_read_as_a_hard_one_is_named(graph: Graph, program: Program) -> None:
    soft = replace(graph, convention=replace(graph.convention, reset="subtract"))
    (fault,) = found(soft, program)
    assert (fault.kind, fault.cause) == ("reset read wrongly", "reset")
    assert found(hard(soft), program) == []


def chain(*, late: bool, threshold: float = 1.3) -> Graph:
    """input -> If -> Linear -> If -> Linear, whole weights, no leak; ``late``: the edge between waits a timestep."""
    rng = np.random.default_rng(3)
    r = np.float32(1e4)

    def neurons(n: int) -> If:
        return If(r=np.full(n, r), v_threshold=np.full(n, threshold, np.float32), v_reset=np.zeros(n, np.float32))

    def linear(rows: int, columns: int) -> Linear:
        return Linear(weight=(rng.integers(-6, 9, (rows, columns)) / 8).astype(np.float32), bias=None)

    nodes: dict[str, Node] = {
        "input": Input(shape=(6,)), "in": linear(8, 6), "a": neurons(8), "mid": linear(8, 8), "b": neurons(8),
        "last": linear(3, 8), "output": Output(shape=(3,)),
    }  # fmt: skip
    names = list(nodes)
    edges = tuple(itertools.pairwise(names))
    return Graph(nodes=nodes, edges=edges, delayed=frozenset({("a", "mid")}) if late else frozenset())


@pytest.mark.parametrize(("late", "kind"), [(True, "delay lost"), (False, "delay added")])
def test_a_delay_lost_or_added_is_named(late: bool, kind: str) -> None:
    program = compile_graph(chain(late=not late), timesteps=T, input_kind="spikes")
    (fault,) = found(chain(late=late), program)
    assert (fault.population, fault.kind, fault.cause) == ("b", kind, "timing")


@pytest.mark.parametrize("compare", [">", ">="])
def test_a_comparison_off_by_a_tie_is_named(compare: Any) -> None:
    meant = chain(late=False, threshold=1.5)
    meant = replace(meant, convention=replace(meant.convention, compare=compare))
    program = compile_graph(meant, timesteps=T, input_kind="spikes")
    assert found(meant, program) == []
    other = replace(meant, convention=replace(meant.convention, compare=">" if compare == ">=" else ">="))
    named = found(other, program)
    assert {(f.population, f.kind, f.cause) for f in named} == {
        ("a", "comparison", "threshold"),
        ("b", "comparison", "threshold"),
    }


def test_a_leak_that_is_not_shared_between_hardware_steps_is_named() -> None:
    graph = fold(random_network("lightsnn", 1, backward=True).layers())
    program = compiled(graph)
    assert program.schedule.period > 1
    dv = round(4096 * (1 - (1 - program.population(FIRST).dv / 4096) ** program.schedule.period))
    (fault,) = found(graph, population(program, FIRST, dv=dv))
    assert (fault.population, fault.kind) == (FIRST, "dt or tau wrong")
    assert "not shared" in fault.text


def test_a_relay_that_passes_nothing_on_is_named() -> None:
    graph = fold(random_network("lightsnn", 1, backward=True).layers())
    program = compiled(graph)
    relay = next(p.id for p in program.populations if p.role == "relay")
    named = found(graph, population(program, relay, vth=2))
    assert (relay, "relay broken", "timing") in [(f.population, f.kind, f.cause) for f in named]


def test_a_wrong_scale_is_named_once(graph: Graph, program: Program) -> None:
    (fault,) = found(graph, population(program, FIRST, scale=2 * program.population(FIRST).scale))
    assert (fault.population, fault.kind, fault.cause) == (FIRST, "wrong scale", "input")


def healthy(seed: int) -> Graph:
    space = ("lightsnn", "snasnet")[seed % 4 == 3]
    return fold(random_network(space, seed, backward=seed % 2 == 1).layers())


@pytest.mark.parametrize("seed", range(24))
def test_a_healthy_program_has_no_fault(seed: int) -> None:
    graph = healthy(seed)
    for bits in (8, 4):
        if (seed, bits) == (15, 4):  # untrained weights, 1,300 times apart
            with pytest.raises(UnsupportedError, match="rounds to 0"):
                compiled(graph, bits=bits)
            continue
        assert found(graph, compiled(graph, bits=bits)) == []
    if seed < 6:
        assert found(graph, compile_graph(graph, timesteps=T)) == []


def test_training_that_moved_the_weights_is_no_fault_but_a_lost_leak_is(graph: Graph, program: Program) -> None:
    rng = np.random.default_rng(0)
    moved = weights(program, CONV, lambda w: (w + rng.integers(-9, 10, w.shape)).clip(-128, 127))
    moved = population(moved, INTO, vth=program.population(INTO).vth + 3)
    assert found(graph, moved)
    tuned = replace(moved, meta={**moved.meta, "finetuned": {"epoch": 3}})
    assert found(graph, tuned) == []
    (leak,) = found(graph, population(tuned, INTO, dv=0))
    assert leak.cause == "leak"
    (other,) = found(graph, weights(tuned, CONV, lambda w: w.transpose(0, 1, 3, 2)))
    assert other.kind == "kernel transposed"


def test_mending_a_fault_gives_back_what_it_cost(graph: Graph, program: Program) -> None:
    broken = weights(program, CONV, lambda w: w[:, :, ::-1, ::-1])
    joint = pair(graph, broken)
    named = faults.find(joint)
    measured = causes.measure(joint, images(24, 2), named)
    assert measured.mended[0].differing < 0.5 * measured.program.differing
    healthy_one = causes.measure(pair(graph, program), images(24, 2), [])
    assert measured.mended[0].differing <= healthy_one.program.differing


def test_another_graphs_program_is_refused(graph: Graph) -> None:
    from snnas.hw_sim.errors import InvalidFileError

    other = compile_graph(chain(late=False), timesteps=T, input_kind="spikes")
    with pytest.raises(InvalidFileError, match="not one of this graph"):
        pair(replace(graph), other)


def test_weights_of_few_bits_are_named_and_what_gives_them_back_is_tried() -> None:
    """1,000 inputs and a slow current: no input may overflow it, and three bits are left."""
    rng = np.random.default_rng(0)
    slow = cuba(4, syn=600, mem=20, threshold=0.02)
    graph = stack((rng.normal(0, 0.1, (4, 1000)), slow))
    options: dict[str, Any] = {"timesteps": 400, "input_kind": "spikes"}
    spikes = {"input": rng.random((4, 400, 1000)) < 0.002}
    coarse = compile_graph(graph, **options)
    (fault,) = found(graph, coarse)
    assert (fault.population, fault.kind, fault.cause) == ("n0", "few bits left", "weights")
    assert re.fullmatch(r"[23] of 8 bits left: largest weight \d, \d different, .*--ranges observed", fault.text)
    assert "--ranges observed" in [m.text for m in mends._candidates(pair(graph, coarse))]
    fine = compile_graph(graph, **options, spikes=spikes)
    assert found(graph, fine) == []
    assert "--ranges observed" not in [m.text for m in mends._candidates(pair(graph, fine))]
