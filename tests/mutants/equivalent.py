"""Mutants of ``campaign`` that no test can kill, each with the argument why: they count neither way.

``old`` and ``new`` are the mutated line without its indentation; ``test_hand`` holds that ``old`` still stands in the
module.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Equivalent:
    module: str
    old: str
    new: str
    argument: str


SIMULATOR, COUNTER = "hw_sim/simulate/simulator.py", "hw_sim/simulate/counter.py"
SCHEDULE, PRICE = "export/compiler/schedule.py", "hw_sim/energy/price.py"
LATENCY = "hw_sim/energy/latency.py"
_FLOATS = 'if s.map.kind in ("conv", "pooled_conv") and _largest_sum(s.map) < 1 << 24:'
_SLOWER = "a smaller bound sends more maps to apply, in float64: the same integers, which float32 holds too"
_WEIGHT = "weight = 1 + (len(sizes) + 1) * (1 + period * max(distance for _, _, distance in links))"
_ABOVE = (
    "the weight has to be above any depth, which is below len(sizes) times what one link adds; it still is (distances "
    "are 0 or 1, so P ** distance >= P * distance; 1 | x is x or x + 1; 2 n >= n + 1), and by how much decides nothing"
)

EQUIVALENT: tuple[Equivalent, ...] = (
    *(
        Equivalent(SIMULATOR, _FLOATS, _FLOATS.replace("1 << 24", smaller), _SLOWER)
        for smaller in ("1 ^ 24", "0 << 24", "1 ** 24")
    ),
    Equivalent(SCHEDULE, _WEIGHT, _WEIGHT.replace("(len(sizes) + 1)", "(len(sizes) << 1)"), _ABOVE),
    Equivalent(SCHEDULE, _WEIGHT, _WEIGHT.replace("1 + (len", "1 | (len"), _ABOVE),
    Equivalent(SCHEDULE, _WEIGHT, _WEIGHT.replace("period * max", "period ** max"), _ABOVE),
    Equivalent(
        SCHEDULE,
        "*((_ROOT, name, 0) for name in sizes),",
        "*((_ROOT, name, -1) for name in sizes),",
        "no other bound names the root: it may lie one step higher, all else as before, and the largest depth is "
        "counted from there on, a constant; the depths themselves begin at 0 in least_depths",
    ),
    Equivalent(
        SCHEDULE,
        "longest[src] = max(longest.get(src, 0), period * distance + depth[dst] - depth[src] - 1)",
        "longest[src] = max(longest.get(src, -1), period * distance + depth[dst] - depth[src] - 1)",
        "a slack is never negative: the depths keep every bound",
    ),
    Equivalent(
        SCHEDULE,
        "return max(period * distance + behind[dst] - 1 for src, dst, distance in links if src == source)",
        "return max(period * distance + behind[dst] - 2 for src, dst, distance in links if src == source)",
        "fewer relays are thought unavoidable, so the linear programme is asked more often; where the least depths "
        "need no more than they must, it gives them too",
    ),
    Equivalent(
        COUNTER,
        "each[1] += _per_sample(state) if keep else 0",
        "each[1] += _per_sample(state) if keep else 1",
        "without keep, what was added up is thrown away at the end",
    ),
    Equivalent(
        PRICE,
        "bands = [line.energy for line in lines if line.part == part]",
        "bands = [line.energy for line in lines if line.part is part]",
        "the names of the parts are literals of this module and PARTS's, which Python keeps once",
    ),
    Equivalent(
        LATENCY,
        "if len(needed) < len(keys):",
        "if len(needed) != len(keys):",
        "needed is what was found of keys: never more of them",
    ),
)


def argument_for(module: str, old: str, new: str) -> str | None:
    return next((e.argument for e in EQUIVALENT if (e.module, e.old, e.new) == (module, old, new)), None)
