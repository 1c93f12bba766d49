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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Schedule

MAX_RELAY_NEURONS = 1 << 24
_ROOT, _TOP = "\0root", "\0top"  # hardware step 0, and the largest depth
Bound = tuple[str, str, int]  # (a, b, least): b runs at least so many steps behind a


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
                slack = self.schedule.period * link.distance + depth[link.dst] - depth[link.src] - 1
                if slack:
                    raise AssertionError(f"{link.id}: slack {slack} after scheduling")


def schedule(circuit: Circuit) -> Scheduled:
    """Depths, period and relays of a circuit."""
    period, depth = solve(
        {group.id: int(np.prod(group.shape)) for group in circuit.groups},
        [(k.src, k.dst, k.distance) for k in circuit.links if k.src not in (INPUT, CLOCK)],
    )
    groups, links = list(circuit.groups), list(circuit.links)
    needed: dict[str, int] = {}
    relays = dict(circuit.relays)
    for k, link in enumerate(links):
        if link.src in (INPUT, CLOCK):
            continue
        slack = period * link.distance + depth[link.dst] - depth[link.src] - 1
        if slack:
            needed[link.src] = max(needed.get(link.src, 0), slack)
            links[k] = replace(link, src=_relay_name(link.src, slack))
    if sum(circuit.group(s).bias.size * n for s, n in needed.items()) > MAX_RELAY_NEURONS:
        raise UnsupportedError(f"the schedule needs over {MAX_RELAY_NEURONS} relay neurons; use fewer channels")
    for source, count in needed.items():
        shape = circuit.group(source).shape
        previous = source
        for n in range(1, count + 1):
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


def solve(sizes: dict[str, int], links: Sequence[tuple[str, str, int]]) -> tuple[int, dict[str, int]]:
    """The period and the depths of populations of ``sizes`` neurons; links: (source, target, distance).

    ValueError where a cycle has no distance: no period computes it.
    """
    for period in range(1, len(sizes) + 1):  # a cycle that some period allows is allowed by one of its length
        late = [(src, dst, 1 - period * distance) for src, dst, distance in links]
        depth = least_depths(sizes, late)
        if depth is not None:
            break
    else:
        raise ValueError("a cycle of links without a distance")
    longest = _chains(links, period, depth)
    if not all(steps <= _unavoidable(source, links, period, late) for source, steps in longest.items() if steps):
        depth = _with_fewest_relays(sizes, links, period, late)
    return period, depth


def least_depths(names: Iterable[str], bounds: Sequence[Bound]) -> dict[str, int] | None:
    """The least depths from 0 on that keep the bounds; None where a cycle of them gains steps without end."""
    return _settled(dict.fromkeys(names, 0), bounds)


def _settled(depth: dict[str, int], bounds: Sequence[Bound]) -> dict[str, int] | None:
    """The least depths, none below those given, that keep the bounds; what no bound leads to from them has none."""
    for _ in range(len({name for a, b, _ in bounds for name in (a, b)}) + 1):
        moved = False
        for a, b, least in bounds:
            if a in depth and (b not in depth or depth[a] + least > depth[b]):
                depth[b] = depth[a] + least
                moved = True
        if not moved:
            return depth
    return None


def _chains(links: Sequence[tuple[str, str, int]], period: int, depth: dict[str, int]) -> dict[str, int]:
    """The relays behind each source: its links share a chain as long as the largest slack."""
    longest: dict[str, int] = {}
    for src, dst, distance in links:
        longest[src] = max(longest.get(src, 0), period * distance + depth[dst] - depth[src] - 1)
    return longest


def _unavoidable(source: str, links: Sequence[tuple[str, str, int]], period: int, late: Sequence[Bound]) -> int:
    """The relays behind a source whatever the depths: a target runs no sooner behind it than the longest path says.

    Where the least depths need no more of any source, they are the answer: no other depths are smaller anywhere.
    """
    behind = _settled({source: 0}, late)
    assert behind is not None, "the period was found to allow depths"
    return max(period * distance + behind[dst] - 1 for src, dst, distance in links if src == source)


def _with_fewest_relays(
    sizes: dict[str, int], links: Sequence[tuple[str, str, int]], period: int, late: list[Bound]
) -> dict[str, int]:
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
        *((_ROOT, name, 0) for name in sizes),
        *((name, _TOP, 0) for name in sizes),
        *((end, _TOP, -1) for end in ends.values()),  # the last relay stands a step before its chain's end
    ]
    weight = 1 + (len(sizes) + 1) * (1 + period * max(distance for _, _, distance in links))
    demand = dict.fromkeys([*sizes, *ends.values()], 0) | {_ROOT: -1, _TOP: 1}
    for src, end in ends.items():
        demand[end] += weight * sizes[src]
        demand[src] -= weight * sizes[src]
    graph = networkx.DiGraph()
    for name, amount in demand.items():
        graph.add_node(name, demand=amount)
    tightest: dict[tuple[str, str], int] = {}
    for a, b, least in bounds:
        tightest[a, b] = max(least, tightest.get((a, b), least))
    for (a, b), least in tightest.items():
        if a != b:
            graph.add_edge(a, b, weight=-least)
    _, flow = networkx.network_simplex(graph)
    equal = [(b, a, -least) for (a, b), least in tightest.items() if a != b and flow[a][b]]
    depth = least_depths([*demand], [*bounds, *equal])
    assert depth is not None, "an optimum keeps its own equations"
    return {name: depth[name] for name in sizes}
