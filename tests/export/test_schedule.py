"""Depths, period and relays on random circuits, self-loops and parallel links among them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from export.circuit import Circuit, Group, Link
from export.schedule import schedule
from hw_sim.program import INPUT, LinearMap

SHAPE = (1, 1, 1)
ONE = LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1)))


def circuit(size: int, forward: list[tuple[int, int]], backward: list[tuple[int, int]]) -> Circuit:
    groups = tuple(Group(id=f"p{k}", shape=SHAPE, alpha=0.75, threshold=1.0, bias=np.zeros(SHAPE)) for k in range(size))
    links = [
        Link(id=f"l{n}", src=f"p{i}", dst=f"p{j}", map=ONE, distance=distance)
        for n, (i, j, distance) in enumerate([(i, j, 0) for i, j in forward] + [(i, j, 1) for i, j in backward])
    ]
    return Circuit(
        groups=groups,
        links=tuple(links),
        host=(Link(id="h", src=INPUT, dst="p0", map=ONE),),
        input_shape=SHAPE,
        input_kind="analogue",
        readout_src=f"p{size - 1}",
        readout_weight=np.ones((1, 1)),
        readout_bias=np.zeros(1),
        node_of={},
    )


@st.composite
def circuits(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    size = draw(st.integers(1, 7))
    node = st.integers(0, size - 1)
    forward = draw(st.lists(st.tuples(node, node).filter(lambda e: e[0] < e[1]), max_size=14)) if size > 1 else []
    backward = draw(st.lists(st.tuples(node, node), max_size=6))
    return size, forward, backward


@settings(max_examples=300, deadline=None, derandomize=True)
@given(circuits())
def test_every_link_takes_one_hardware_step_and_the_period_is_the_least(
    drawn: tuple[int, list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    size, forward, backward = drawn
    plan = schedule(circuit(size, forward, backward))
    depth, period = plan.schedule.depth, plan.schedule.period
    for link in plan.circuit.links:
        assert period * link.distance + depth[link.dst] - depth[link.src] == 1
    # Follow each link back through its relays: it still starts where it started, and waits as many timesteps.
    chain = {k.dst: k.src for k in plan.circuit.links if "relay" in k.dst}
    found = []
    for link in plan.circuit.links:
        if "relay" not in link.dst:
            source = link.src
            while source in chain:
                source = chain[source]
            found.append((source, link.dst, link.distance))
    wanted = [(f"p{i}", f"p{j}", 0) for i, j in forward] + [(f"p{i}", f"p{j}", 1) for i, j in backward]
    assert sorted(found) == sorted(wanted)
    # One relay population per source and step, shared by all its links; the least period that lets all be in time.
    assert len(plan.circuit.groups) == len({g.id for g in plan.circuit.groups})
    slowest = max((depth[f"p{i}"] - depth[f"p{j}"] + 1 for i, j in backward), default=1)
    assert period == max(1, slowest)
    assert plan.schedule.blank == bool(backward)


def test_a_plain_chain_needs_nothing() -> None:
    plan = schedule(circuit(4, [(0, 1), (1, 2), (2, 3)], []))
    assert plan.schedule.period == 1
    assert plan.schedule.depth == {"p0": 0, "p1": 1, "p2": 2, "p3": 3}
    assert len(plan.circuit.groups) == 4


def test_two_skips_from_one_source_share_relays() -> None:
    plan = schedule(circuit(4, [(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)], []))
    assert sorted(g.id for g in plan.circuit.groups if g.role == "relay") == ["p0_relay1", "p0_relay2"]


def test_a_self_loop_fits_in_one_step() -> None:
    plan = schedule(circuit(1, [], [(0, 0)]))
    assert plan.schedule.period == 1
    assert plan.schedule.blank == 1
