"""What the edges of a graph say by themselves: order, cycles, what is cut off. Plain names, no nodes' meaning."""

from __future__ import annotations

from collections.abc import Collection, Iterable

Edge = tuple[str, str]


def order(names: Iterable[str], edges: Iterable[Edge]) -> tuple[list[str], list[str]]:
    """Names in topological order of ``edges``, by name where free; and the names that a cycle keeps from it."""
    successors: dict[str, list[str]] = {n: [] for n in names}
    pending = dict.fromkeys(successors, 0)
    for s, d in edges:
        successors[s].append(d)
        pending[d] += 1
    ready = sorted((n for n, k in pending.items() if k == 0), reverse=True)
    done: list[str] = []
    while ready:
        name = ready.pop()
        done.append(name)
        freed = []
        for d in successors[name]:
            pending[d] -= 1
            if pending[d] == 0:
                freed.append(d)
        ready = sorted(set(ready) | set(freed), reverse=True)
    return done, sorted(set(successors) - set(done))


def cycle(names: Collection[str], edges: Iterable[Edge]) -> list[str]:
    """One shortest-named cycle among ``names``, each name followed by the one that it feeds; [] where there is none."""
    inside = set(names)
    kept = [(s, d) for s, d in edges if s in inside and d in inside]
    while True:  # what nothing feeds, or feeds nothing, is on no cycle
        on = {s for s, _ in kept} & {d for _, d in kept}
        fewer = [(s, d) for s, d in kept if s in on and d in on]
        if len(fewer) == len(kept):
            break
        kept = fewer
    follows: dict[str, str] = {}
    for s, d in sorted(kept, reverse=True):
        follows[s] = d
    if not follows:
        return []
    walked: list[str] = []
    at = min(follows)
    while at not in walked:
        walked.append(at)
        at = follows[at]
    return walked[walked.index(at) :]


def reached(start: Iterable[str], edges: Iterable[Edge], *, backward: bool = False) -> set[str]:
    """What a way leads to from ``start`` (or from, where ``backward``)."""
    onward: dict[str, list[str]] = {}
    for s, d in edges:
        onward.setdefault(d if backward else s, []).append(s if backward else d)
    found = set(start)
    pending = list(found)
    while pending:
        fresh = [n for n in onward.get(pending.pop(), ()) if n not in found]
        found.update(fresh)
        pending += fresh
    return found
