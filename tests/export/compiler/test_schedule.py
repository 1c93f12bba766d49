"""Depths, period and relays on random circuits, self-loops and parallel links among them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler import schedule as scheduling
from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.export.compiler.readout import RealReading, RealReadout
from snnas.export.compiler.schedule import schedule, solve
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import INPUT, LinearMap

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
        readout=RealReadout(
            readings=(RealReading(src=f"p{size - 1}", weight=np.ones((1, 1))),),
            constant=np.zeros(1),
            membrane=None,
            read="sum",
        ),
        node_of={},
    )


@st.composite
def circuits(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
    size = draw(st.integers(1, 7))
    node = st.integers(0, size - 1)
    forward = draw(st.lists(st.tuples(node, node).filter(lambda e: e[0] < e[1]), max_size=14)) if size > 1 else []
    backward = draw(st.lists(st.tuples(node, node), max_size=6))
    return size, forward, backward


@settings(max_examples=300, derandomize=True)
@given(circuits())
def test_every_link_takes_one_hardware_step(
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
    # One relay population per source and step, shared by all its links.
    assert len(plan.circuit.groups) == len({g.id for g in plan.circuit.groups})
    assert plan.schedule.blank == bool(backward)


@st.composite
def weighted(draw: st.DrawFn) -> tuple[dict[str, int], list[tuple[str, str, int]]]:
    """Populations of uneven sizes and links of distances 0 and 1, without a cycle that has no distance."""
    count = draw(st.integers(1, 4))
    sizes = {f"p{k}": draw(st.integers(1, 5)) for k in range(count)}
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.integers(0, 1))
    drawn = draw(st.lists(ends.filter(lambda e: e[2] == 1 or e[0] < e[1]), min_size=1, max_size=8, unique=True))
    return sizes, [(f"p{i}", f"p{j}", distance) for i, j, distance in drawn]


def cost(
    sizes: dict[str, int], links: list[tuple[str, str, int]], period: int, depth: dict[str, int]
) -> tuple[int, int] | None:
    """Relay neurons and the largest depth, relays included; None where a link is late. Written from the definition."""
    chains = dict.fromkeys(sizes, 0)
    for src, dst, distance in links:
        slack = period * distance + depth[dst] - depth[src] - 1
        if slack < 0:
            return None
        chains[src] = max(chains[src], slack)
    return sum(sizes[p] * n for p, n in chains.items()), max(depth[p] + chains[p] for p in sizes)


@settings(max_examples=400, derandomize=True)
@given(weighted())
def test_period_relays_and_depth_are_the_best_in_this_order(
    drawn: tuple[dict[str, int], list[tuple[str, str, int]]],
) -> None:
    """Against every assignment of depths: a simple path through all populations bounds what can help."""
    sizes, links = drawn
    for period in range(1, len(sizes) + 1):
        every = itertools.product(range(len(sizes) * period + 1), repeat=len(sizes))
        found = [c for at in every if (c := cost(sizes, links, period, dict(zip(sizes, at, strict=True)))) is not None]
        if found:
            break
    got, depth = solve(sizes, links)
    assert got == period
    assert cost(sizes, links, period, depth) == min(found)
    assert min(depth.values()) == 0


def test_the_depths_do_not_depend_on_the_order_of_links() -> None:
    sizes = {"a": 3, "b": 1, "c": 2, "d": 5}
    links = [("a", "b", 0), ("b", "c", 0), ("c", "d", 0), ("a", "d", 0), ("d", "b", 1), ("a", "c", 1), ("c", "c", 1)]
    assert len({str(solve(sizes, list(order))) for order in itertools.permutations(links)}) == 1


def test_a_delay_without_a_cycle_leaves_the_period_at_one() -> None:
    """Three populations in a row, their end a timestep late into a fourth: every hardware step can be a timestep."""
    assert solve(dict.fromkeys("abcd", 1), [("a", "b", 0), ("b", "c", 0), ("c", "d", 1), ("a", "d", 0)])[0] == 1
    period, depth = solve(dict.fromkeys("abcd", 7), [("a", "b", 0), ("b", "c", 0), ("c", "d", 1)])
    assert (period, depth) == (1, {"a": 0, "b": 1, "c": 2, "d": 2})


def test_a_late_link_back_to_the_front_needs_the_length_of_its_cycle() -> None:
    assert solve(dict.fromkeys("abc", 1), [("a", "b", 0), ("b", "c", 0), ("c", "a", 1)])[0] == 3
    assert solve(dict.fromkeys("abcd", 1), [("a", "b", 0), ("b", "c", 0), ("c", "d", 0), ("d", "c", 1)])[0] == 2


def test_a_cycle_without_a_distance_has_no_period() -> None:
    with pytest.raises(ValueError, match="without a distance"):
        solve({"a": 1, "b": 1}, [("a", "b", 0), ("b", "a", 0)])


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


def test_relays_are_identities_that_forget() -> None:
    plan = schedule(circuit(3, [(0, 1), (1, 2), (0, 2)], []))
    (relay,) = [g for g in plan.circuit.groups if g.role == "relay"]
    assert (relay.id, relay.shape, relay.alpha, relay.threshold) == ("p0_relay1", SHAPE, 1.0, 0.5)
    assert (relay.bias.shape, relay.bias.any(), relay.decay, relay.taken) == (SHAPE, False, 1.0, 0.0)
    (link,) = [k for k in plan.circuit.links if k.dst == relay.id]
    assert (link.id, link.src, link.distance) == ("p0__p0_relay1", "p0", 0)
    assert (link.map.kind, link.map.weight.tolist(), link.map.groups) == ("conv", [[[[1.0]]]], 1)
    assert (plan.relays, plan.schedule.depth[relay.id]) == ({relay.id: "p0"}, 1)


def test_relays_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six neurons held back by two steps, in a chain that three links share: twelve."""
    plain = circuit(4, [(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)], [])
    wide = replace(plain.groups[0], shape=(6, 1, 1), bias=np.zeros((6, 1, 1)))
    six = LinearMap(kind="conv", weight=np.ones((1, 6, 1, 1)))
    links = tuple(replace(k, map=six) if k.src == "p0" else k for k in plain.links)
    made = replace(plain, groups=(wide, *plain.groups[1:]), links=links, host=())
    monkeypatch.setattr(scheduling, "MAX_RELAY_NEURONS", 12)
    plan = schedule(made)
    assert sorted(plan.relays) == ["p0_relay1", "p0_relay2"]
    maps = [k.map for k in plan.circuit.links if k.dst in plan.relays]
    assert [(m.groups, m.weight.shape, m.weight.min()) for m in maps] == [(6, (6, 1, 1, 1), 1.0)] * 2
    monkeypatch.setattr(scheduling, "MAX_RELAY_NEURONS", 11)
    with pytest.raises(UnsupportedError, match="needs over 11 relay neurons; use fewer channels"):
        schedule(made)


def test_links_of_the_host_among_others_wait_for_nothing() -> None:
    plain = circuit(3, [(0, 1), (1, 2), (0, 2)], [])
    driven = replace(plain, links=(Link(id="in", src=INPUT, dst="p2", map=ONE), *plain.links))
    plan = schedule(driven)
    assert sorted(plan.relays) == ["p0_relay1"]
    assert [k for k in plan.circuit.links if k.id == "in"] == [driven.links[0]]


@pytest.mark.parametrize(("late", "driven", "blank"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_a_drive_that_comes_late_needs_a_blank(late: bool, driven: bool, blank: int) -> None:
    plain = circuit(2, [(0, 1)], [])
    group = replace(plain.groups[1], late=late, drive=np.ones(SHAPE) if driven else None)
    assert schedule(replace(plain, groups=(plain.groups[0], group))).schedule.blank == blank


@settings(max_examples=40, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    links=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)).filter(lambda e: e[2] > 0 or e[0] < e[1]),
        min_size=2, max_size=6, unique=True,
    ),
)  # fmt: skip
def test_links_may_wait_for_several_timesteps(sizes: list[int], links: list[tuple[int, int, int]]) -> None:
    """The least relays, against every assignment of depths."""
    named = [(f"p{i}", f"p{j}", distance) for i, j, distance in links]
    sized = {f"p{k}": n for k, n in enumerate(sizes)}
    period, depth = solve(sized, named)
    every = (dict(zip(sized, at, strict=True)) for at in itertools.product(range(10), repeat=3))
    assert cost(sized, named, period, depth) == min(
        c for at in every if (c := cost(sized, named, period, at)) is not None
    )
