"""Which hardware step computes which timestep of which population (modulo scheduling), and the relays it needs.

Every synapse takes one hardware step, so a link has ``slack = P * distance + depth(dst) - depth(src) - 1`` hardware
steps to spare, filled by relay neurons that the links of one source share; a negative one would be too late. Without
this a skip or a backward edge is not the trained network: 7 to 16 % of spikes differ (measured). Solved in this order:

1. the smallest period P for which any depths have no negative slack: those without a cycle that gains steps
   (Rau 1994, "Iterative modulo scheduling", section 2.3; a longest-path search finds the cycle or the depths);
2. of the depths for that P, those with the fewest relay neurons; 3. of these, the smallest largest depth.

2 and 3 are one linear programme over differences of depths. Its dual is a minimum-cost flow; where that flow runs, the
differences are tight in every optimum, so the least depths under these equations are the answer, whatever flow was
found. Taking depths as early as possible over links of distance 0 alone, and P from them, made ten of sixteen periods
of random recurrent circuits too long (measured).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Schedule

MAX_RELAY_NEURONS = 1 << 24
_ROOT, _TOP = "\0root", "\0top"  # hardware step 0, and the largest depth
Bound = tuple[str, str, int]  # (a, b, least): b runs at least so many steps behind a
Ends = tuple[str, str, int]  # a link's source, target and distance


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A circuit with its relays, and when each of its populations runs."""

    circuit: Circuit
    schedule: Schedule
    relays: dict[str, str]  # relay population -> the population whose spikes it passes on

    def verify(self) -> None:
        """No link between populations has a step to spare or is late."""
        depth = self.schedule.depth
        for link in self.circuit.links:
            if link.src not in (INPUT, CLOCK):
                left = slack((link.src, link.dst, link.distance), self.schedule.period, depth)
                if left:
                    raise AssertionError(f"{link.id}: slack {left} after scheduling")


def slack(link: Ends, period: int, depth: Mapping[str, int]) -> int:
    """The hardware steps that a link has to spare; below 0 where it is late."""
    src, dst, distance = link
    return period * distance + depth[dst] - depth[src] - 1


def schedule(circuit: Circuit) -> Scheduled:
    """Depths, period and relays of a circuit."""
    period, depth = solve(
        {group.id: int(np.prod(group.shape)) for group in circuit.groups},
        [(k.src, k.dst, k.distance) for k in circuit.links if k.src not in (INPUT, CLOCK)],
    )
    groups, links = list(circuit.groups), list(circuit.links)
    needed: dict[str, list[int]] = {}
    relays = dict(circuit.relays)
    for k, link in enumerate(links):
        if link.src in (INPUT, CLOCK):
            continue
        left = slack((link.src, link.dst, link.distance), period, depth)
        if left:
            needed.setdefault(link.src, []).append(left)
            links[k] = replace(link, src=_relay_name(link.src, left))
    if sum(circuit.group(s).bias.size * max(steps) for s, steps in needed.items()) > MAX_RELAY_NEURONS:
        raise UnsupportedError(f"the schedule needs over {MAX_RELAY_NEURONS} relay neurons; use fewer channels")
    for source, steps in needed.items():
        shape = circuit.group(source).shape
        previous = source
        for n in range(1, max(steps) + 1):
            name = _relay_name(source, n)
            groups.append(Group(id=name, shape=shape, alpha=1.0, threshold=0.5, bias=np.zeros(shape), role="relay"))
            identity = LinearMap(kind="conv", weight=np.ones((shape[0], 1, 1, 1)), groups=shape[0])
            links.append(Link(id=f"{previous}__{name}", src=previous, dst=name, map=identity))
            depth[name] = depth[source] + n
            relays[name] = source
            previous = name
    recurrent = any(k.distance for k in links) or any(g.late and g.drive is not None for g in groups)
    scheduled = Scheduled(
        replace(circuit, groups=tuple(groups), links=tuple(links)),
        Schedule(period=period, depth=depth, blank=int(recurrent)),
        relays,
    )
    scheduled.verify()
    return scheduled


def _relay_name(source: str, steps: int) -> str:
    return f"{source}_relay{steps}"


def solve(sizes: dict[str, int], links: Sequence[Ends]) -> tuple[int, dict[str, int]]:
    """The period and the depths of populations of ``sizes`` neurons.

    ValueError where a cycle has no distance: no period computes it.
    """
    for period, _ in enumerate(sizes, start=1):  # a cycle that some period allows is allowed by one of its length
        late = [(src, dst, 1 - period * distance) for src, dst, distance in links]
        depth = least_depths(sizes, late)
        if depth is not None:
            break
    else:
        raise ValueError("a cycle of links without a distance")
    # The links of one source share a chain as long as their largest slack. It is never shorter than where the targets
    # run as soon behind the source as the longest paths let them; if none is longer, no depths need fewer relays.
    leaving: dict[str, list[Ends]] = {}
    for link in links:
        leaving.setdefault(link[0], []).append(link)
    for source, own in leaving.items():
        chain = max(slack(link, period, depth) for link in own)
        if chain:
            behind = _settled({source: depth[source]}, late)
            assert behind is not None, "the period was found to allow depths"
            if chain > max(slack(link, period, behind) for link in own):
                return period, _with_fewest_relays(sizes, links, period, late)
    return period, depth


def least_depths(names: Iterable[str], bounds: Sequence[Bound]) -> dict[str, int] | None:
    """The least depths from 0 on that keep the bounds; None where a cycle of them gains steps without end."""
    return _settled(dict.fromkeys(names, 0), bounds)


def _settled(depth: dict[str, int], bounds: Sequence[Bound]) -> dict[str, int] | None:
    """The least depths, none below those given, that keep the bounds; what no bound leads to from them has none."""
    for _ in (None, *{name for a, b, _ in bounds for name in (a, b)}):  # a longest path, and a round without a change
        moved = False
        for a, b, least in bounds:
            if a in depth and (b not in depth or depth[a] + least > depth[b]):
                depth[b] = depth[a] + least
                moved = True
        if not moved:
            return depth
    return None


def _with_fewest_relays(sizes: dict[str, int], links: Sequence[Ends], period: int, late: list[Bound]) -> dict[str, int]:
    """Minimise ``weight * relay neurons + largest depth``: the weight is above any depth.

    A source's chain of relays ends at ``end = depth + 1 + its length``, at least 1 behind the source and at least
    ``P * distance`` after which each of its targets runs: all of it differences of two unknowns.
    """
    import networkx  # pure Python, and only where a relay is needed at all

    ends = {src: f"\0end {src}" for src, _, _ in links}
    bounds = [
        *late,
        *((src, end, 1) for src, end in ends.items()),
        *((dst, ends[src], period * distance) for src, dst, distance in links),
    ]
    weight = sum(abs(least) for _, _, least in bounds)  # more than a path through them, which takes none twice
    demand = dict.fromkeys([*sizes, *ends.values()], 0) | {_ROOT: -1, _TOP: 1}
    graph = networkx.DiGraph()
    for src, end in ends.items():
        demand[end] += weight * sizes[src]
        demand[src] -= weight * sizes[src]
        graph.add_edge(end, _TOP, weight=1)  # the last relay stands a step before its chain's end
    for name in sizes:
        graph.add_edge(_ROOT, name)
        graph.add_edge(name, _TOP)
    networkx.set_node_attributes(graph, demand, "demand")
    tightest: dict[tuple[str, str], int] = {}
    for a, b, least in bounds:
        tightest[a, b] = max(least, tightest.get((a, b), least))
    graph.add_weighted_edges_from((a, b, -least) for (a, b), least in tightest.items())
    _, flow = networkx.network_simplex(graph)
    equal = [(b, a, -least) for (a, b), least in tightest.items() if flow[a][b]]
    depth = least_depths([*sizes, *ends.values()], [*bounds, *equal])
    assert depth is not None, "an optimum keeps its own equations"
    return {name: depth[name] for name in sizes}
