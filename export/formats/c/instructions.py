"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, on 21 networks in the emulator (zig 0.17's clang, -O2): random genotypes and programs of
every kind of map (tests/studies/fit_instructions.py). What none of them held stands by its likeness to what they did:
weights of 4 and 6 bits beside those of 8, sums of 64 bits, a host stage as a matrix, readouts that weigh timesteps. A
body that another one always comes with has no price of its own. tests/studies/instructions.py compares the model with
the emulator on networks that it was not fitted on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.2  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 21.56, "answer": 8.14, "chunk": 9.29, "cleared": 0.5, "clip": 10.3, "constant": 0.87,
        "counted": 15.69, "current": 11.14, "division": 2.28, "entry_0": 12.36, "entry_0_of_4": 16.94,
        "entry_0_of_6": 21.52, "entry_1": 8.36, "entry_1_of_4": 12.94, "entry_1_of_6": 17.52, "entry_2": 8.36,
        "entry_2_of_4": 12.94, "entry_2_of_6": 17.52, "entry_host": 8, "event": 1.12, "four_0": 26.08,
        "four_0_of_4": 36.33, "four_0_of_6": 42.36, "four_1": 13.04, "four_1_of_4": 23.29, "four_1_of_6": 29.32,
        "four_2": 7.81, "four_2_of_4": 18.06, "four_2_of_6": 24.09, "four_g": 8.14, "four_g_of_4": 11.33,
        "four_g_of_6": 18.46, "hosted": 4.16, "late": 3, "leak": 3.96, "leak_more": 4.5, "leak_wide": 11.19,
        "listed": 9.86, "listed_of_4": 13.2, "listed_of_6": 19.02, "long_row": 43.4, "membrane": 8.03, "moved": 1.06,
        "neuron": 1.76, "one_0_weight": 18.1, "one_0_weight_of_4": 22.68, "one_0_weight_of_6": 27.26,
        "one_2_weight": 18.1, "one_2_weight_of_4": 22.68, "one_2_weight_of_6": 27.26, "one_weight": 13.1,
        "one_weight_of_4": 17.68, "one_weight_of_6": 22.26, "packed": 4.5, "packed_singly": 8.17, "pair": 1.35,
        "pixel": 9.2, "pooled": 5.65, "pooled_pixel": 0.97, "read": 4.42, "read_pair": 4.91, "row": 1.05,
        "step": 41.01, "strided": 19.12, "tap": 13.11, "tap_listed": 13.21, "tap_singly": 19.97, "turn": 10.3,
        "turn_of_row": 4, "unit": 3.5, "weighed": 12, "wide": 10, "window_row": 8.27, "word": 6.83,
    },
    "rv32imc": {
        "added": 27.28, "answer": 12.01, "chunk": 18.83, "cleared": 3.42, "clip": 5.65, "constant": 1.51,
        "counted": 17.05, "current": 12.3, "division": 3.89, "entry_0": 10.89, "entry_0_of_4": 17.98,
        "entry_0_of_6": 25.06, "entry_1": 6.89, "entry_1_of_4": 13.98, "entry_1_of_6": 21.06, "entry_2": 6.89,
        "entry_2_of_4": 13.98, "entry_2_of_6": 21.06, "entry_host": 8, "event": 6.56, "four_0": 38.74,
        "four_0_of_4": 47.76, "four_0_of_6": 57.74, "four_1": 19.37, "four_1_of_4": 28.39, "four_1_of_6": 38.37,
        "four_2": 9.68, "four_2_of_4": 18.7, "four_2_of_6": 28.68, "four_g": 5.37, "four_g_of_4": 11.48,
        "four_g_of_6": 22.05, "gathered": 12.43, "hosted": 0.92, "late": 3, "leak": 4.37, "leak_more": 5.37,
        "leak_wide": 16.41, "listed": 12.55, "listed_of_4": 17.66, "listed_of_6": 26.72, "long_row": 24.55,
        "membrane": 8.39, "moved": 2.48, "neuron": 4.67, "one_0_weight": 18.09, "one_0_weight_of_4": 25.18,
        "one_0_weight_of_6": 32.26, "one_2_weight": 18.09, "one_2_weight_of_4": 25.18, "one_2_weight_of_6": 32.26,
        "one_weight": 13.09, "one_weight_of_4": 20.18, "one_weight_of_6": 27.26, "packed": 5.4, "packed_singly": 6.55,
        "pair": 4.33, "pixel": 10.23, "pooled": 9.22, "population": 3.08, "read": 3.79, "read_pair": 4.21,
        "row": 3.02, "step": 64.25, "strided": 14.87, "tap": 10.34, "tap_listed": 9.9, "tap_singly": 21, "turn": 5.65,
        "turn_of_row": 4, "unit": 4.55, "weighed": 12, "wide": 10, "window_row": 7.04, "word": 8.29,
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
