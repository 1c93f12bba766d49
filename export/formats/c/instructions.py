"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, on 40 networks in the emulator (zig 0.17's clang, -O2): random genotypes and programs of
every kind of map. A body that another one always comes with has no price of its own. On 19 networks that the fit did
not see it is off by 11 % (Cortex-M4) and 8 % (RV32IMC) on average, by 25 % at most: tests/studies/instructions.py
compares it with the emulator on networks drawn anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.25  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 7.13, "chunk": 35.45, "cleared": 0.43, "clip": 10.3, "constant": 1.18, "current": 11.14,
        "division": 0.97, "entry": 18.71, "entry_of_4": 7.87, "entry_of_6": 17.93, "four_1": 31.08,
        "four_1_of_4": 19.03, "four_1_of_6": 13.38, "four_2": 15.46, "four_2_of_4": 20.87,
        "four_2_of_6": 29.09, "four_g": 7.9, "four_g_of_4": 12.75, "four_g_of_6": 18.7, "hosted": 4.43,
        "leak": 3.23, "leak_more": 4.47, "leak_wide": 16.95, "long_row": 33.27, "membrane": 9.15,
        "moved": 0.61, "neuron": 0.78, "packed": 4.55, "packed_singly": 8.17, "pair": 3, "pixel": 5, "place": 8.84,
        "pooled": 53.73, "pooled_window": 2.76, "population": 2.11, "read": 5.01, "read_pair": 0.71,
        "step": 8.41, "synapse": 19.65, "tap": 8.19, "turn": 10.3, "unit": 4.98, "window": 12.42,
        "window_row": 15.83, "word": 3.21,
    },
    "rv32imc": {
        "added": 5.75, "chunk": 30.49, "cleared": 3.31, "clip": 5.65, "constant": 1.76, "current": 12.3,
        "division": 0.99, "entry": 20.45, "entry_of_4": 10.65, "entry_of_6": 21.44, "event": 11.62,
        "four_1": 34.35, "four_1_of_4": 23.01, "four_1_of_6": 28.26, "four_2": 17.92, "four_2_of_4": 30.25,
        "four_2_of_6": 35.89, "four_g": 7.19, "four_g_of_4": 13.11, "four_g_of_6": 23.44, "gathered": 7.29,
        "hosted": 2.25, "leak": 3.11, "leak_more": 5.64, "leak_wide": 18.26, "long_row": 37.36,
        "membrane": 10.36, "moved": 1.68, "neuron": 3.87, "packed": 5.57, "packed_singly": 6.55, "pair": 6,
        "pixel": 5.7, "place": 10.05, "pooled": 18.14, "pooled_window": 5.4, "population": 6.26,
        "read": 2.22, "read_pair": 2.57, "step": 9.14, "synapse": 38.73, "tap": 3.12, "turn": 5.65,
        "unit": 7.25, "window": 12.38, "window_row": 15.08, "word": 4.31,
    },
}  # fmt: skip


class Work(defaultdict[str, float]):
    """How often each loop body runs, by its name; 0 where it does not."""

    def __init__(self, given: Mapping[str, float] | None = None) -> None:
        super().__init__(float, given or {})

    def __add__(self, other: Mapping[str, float]) -> Work:
        return Work({name: self.get(name, 0.0) + other.get(name, 0.0) for name in {**self, **other}})


def instructions(work: Mapping[str, float], core: str = "cortex-m4") -> float:
    """Of loop bodies, on a core of ``hw_sim/c/compilers.py``."""
    costs = COSTS[core]
    return sum(count * costs.get(name, 0.0) for name, count in work.items())
