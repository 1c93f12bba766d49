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


COUNTER, PRICE = "hw_sim/simulate/counter.py", "hw_sim/energy/price.py"
LATENCY = "hw_sim/energy/latency.py"

EQUIVALENT: tuple[Equivalent, ...] = (
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
