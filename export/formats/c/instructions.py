"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, in the emulator (zig 0.17's clang, -O2; tests/studies/fit_instructions): to 30 random
genotypes, 30 programs of every kind of map, a network of digits and the one of examples/foreign_nmnist. On 37 networks
that it did not see it is off by 5.3 % (Cortex-M4) and 3.6 % (RV32) on average, 13.2 and 8.5 % at most. What none held
stands by its likeness to what they did. ``ERROR`` holds gcc's code as well, which takes more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.25  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 29.8, "answer": 8.09, "chunk": 7.71, "cleared": 0.9, "clip": 9.92, "constant": 1.46, "counted":
        12.26, "current": 11.33, "division": 3.65, "entry_0": 13.89, "entry_0_of_4": 17.89, "entry_0_of_6": 23.89,
        "entry_1": 5.04, "entry_1_of_4": 14, "entry_1_of_6": 9.74, "entry_2": 5.09, "entry_2_of_4": 10.65,
        "entry_2_of_6": 6.5, "entry_host": 5.54, "event": 0.29, "four_0": 32, "four_0_of_4": 41, "four_0_of_6": 46,
        "four_1": 14.75, "four_1_of_4": 24, "four_1_of_6": 24.59, "four_2": 11.72, "four_2_of_4": 17.44,
        "four_2_of_6": 24.05, "four_g": 7.36, "four_g_of_4": 12.1, "four_g_of_6": 18.36, "gathered": 1.3, "heard": 4,
        "hosted": 4.06, "late": 3, "leak": 5.21, "leak_more": 4.1, "leak_wide": 21.37, "listed": 9.45, "listed_of_4":
        16.45, "listed_of_6": 15.54, "long_row": 24.61, "membrane": 6.54, "moved": 1.27, "neuron": 0.78,
        "one_0_weight": 15.67, "one_0_weight_of_4": 19.67, "one_0_weight_of_6": 25.67, "one_2_weight": 15.67,
        "one_2_weight_of_4": 19.67, "one_2_weight_of_6": 25.67, "one_weight": 16.95, "one_weight_of_4": 26.79,
        "one_weight_of_6": 26.29, "packed": 4.49, "packed_in_pixels": 4.98, "packed_singly": 8, "pair": 2.05, "pixel":
        8.13, "pooled": 5.05, "pooled_pixel": 16.41, "population": 1.74, "read": 4.12, "read_pair": 4.48, "resting":
        8, "step": 37.45, "stored": 1.05, "strided": 17.88, "synapse": 1.27, "tap": 13.14, "tap_flat": 14.69,
        "tap_listed": 18.81, "tap_singly": 12.02, "together": 1.94, "turn": 9.92, "turn_of_row": 4, "unit": 3.73,
        "weighed": 12, "wide": 10, "window": 11.33, "window_row": 11.45, "word": 7.54, "word_g": 0.17,
    },
    "rv32imc": {
        "added": 25.03, "answer": 12.08, "chunk": 19.48, "cleared": 2.57, "cleared_count": 0.08, "clip": 4.93,
        "constant": 0.32, "counted": 13.6, "current": 12.74, "division": 2.72, "entry_0": 13.61, "entry_0_of_4":
        18.61, "entry_0_of_6": 26.11, "entry_1": 6.03, "entry_1_of_4": 17.5, "entry_1_of_6": 11.35, "entry_2": 5.88,
        "entry_2_of_4": 8.96, "entry_2_of_6": 12.99, "entry_host": 7.88, "event": 7.15, "four_0": 40, "four_0_of_4":
        51.25, "four_0_of_6": 57.5, "four_1": 20.33, "four_1_of_4": 30, "four_1_of_6": 26.41, "four_2": 12.78,
        "four_2_of_4": 23.01, "four_2_of_6": 27.05, "four_g": 5.7, "four_g_of_4": 11.72, "four_g_of_6": 22.42,
        "gathered": 11.35, "heard": 5, "hosted": 3.01, "injected": 0.17, "late": 3.75, "leak": 4.2, "leak_more": 5.05,
        "leak_wide": 25.98, "listed": 12.56, "listed_of_4": 19.56, "listed_of_6": 21.92, "long_row": 26.73,
        "membrane": 9.51, "moved": 2.23, "neuron": 2.54, "neuron_row": 1.24, "one_0_weight": 16.49,
        "one_0_weight_of_4": 21.49, "one_0_weight_of_6": 28.99, "one_2_weight": 16.49, "one_2_weight_of_4": 21.49,
        "one_2_weight_of_6": 28.99, "one_weight": 17.69, "one_weight_of_4": 30.92, "one_weight_of_6": 29.33, "packed":
        5.61, "packed_in_pixels": 5.59, "packed_singly": 10, "pair": 6.37, "pixel": 7.13, "pooled": 8.96,
        "pooled_pixel": 4.22, "population": 6.06, "read": 3.63, "read_pair": 4.55, "resting": 10, "step": 53.51,
        "stored": 1.04, "strided": 12.37, "synapse": 2.74, "tap": 12.58, "tap_flat": 16.57, "tap_listed": 13.47,
        "tap_singly": 12.4, "together": 3.19, "turn": 4.93, "turn_of_row": 5, "unit": 5.4, "weighed": 15, "wide":
        12.5, "window": 15.37, "window_row": 9.6, "word": 10.14, "word_g": 1.58,
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
