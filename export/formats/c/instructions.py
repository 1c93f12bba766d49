"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, on 19 networks in the emulator (zig 0.17's clang, -O2): random genotypes, programs of
every kind of map, and the network of examples/foreign_nmnist (tests/studies/fit_instructions.py). What none held stands
by its likeness to what they did: sums of 64 bits, a host stage as a matrix, readouts that weigh timesteps.
tests/studies/instructions.py compares the model with the emulator on networks that it was not fitted on: 9 of them,
random genotypes and programs, were off by 4.3 % (Cortex-M4) and 3.5 % (RV32IMC) on average, by 11 % at most; of a
trained network of digits it said 18 % and 15 % too little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.25  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 10.27, "answer": 8.12, "chunk": 9.07, "cleared": 0.49, "cleared_count": 0.76, "clip": 13.16,
        "constant": 0.93, "counted": 14.09, "current": 11, "division": 2.32, "entry_0": 13.95, "entry_0_of_4": 17.95,
        "entry_0_of_6": 23.95, "entry_1": 9.95, "entry_1_of_4": 14, "entry_1_of_6": 18, "entry_2": 3.31,
        "entry_2_of_4": 12, "entry_2_of_6": 17, "entry_host": 8, "event": 1.82, "four_0": 32, "four_0_of_4": 41,
        "four_0_of_6": 46, "four_1": 13.83, "four_1_of_4": 24, "four_1_of_6": 28, "four_2": 8.2, "four_2_of_4": 18,
        "four_2_of_6": 24.57, "four_g": 8.43, "four_g_of_4": 11.33, "four_g_of_6": 18.41, "gathered": 1.15,
        "hosted": 4.04, "late": 3, "leak": 4.46, "leak_more": 4.32, "leak_wide": 13.88, "listed": 9.88,
        "listed_of_4": 13, "listed_of_6": 20, "long_row": 33.68, "membrane": 7.97, "moved": 1.27, "neuron": 1.84,
        "one_0_weight": 15.7, "one_0_weight_of_4": 19.7, "one_0_weight_of_6": 25.7, "one_2_weight": 15.7,
        "one_2_weight_of_4": 19.7, "one_2_weight_of_6": 25.7, "one_weight": 11.7, "one_weight_of_4": 14,
        "one_weight_of_6": 21.51, "packed": 4.49, "packed_in_pixels": 5.81, "packed_singly": 8, "pair": 1.5,
        "pixel": 8.92, "place": 0.15, "pooled": 5.27, "pooled_pixel": 9.14, "population": 1.37, "read": 4.51,
        "read_pair": 4.8, "row": 4.26, "step": 33.38, "strided": 15.87, "tap": 11.24, "tap_flat": 10,
        "tap_listed": 12.57, "tap_singly": 11.95, "turn": 13.16, "turn_of_row": 4, "unit": 3.88, "weighed": 12,
        "wide": 10, "window": 13.18, "window_row": 14.6, "word": 5.91, "word_g": 3.62,
    },
    "rv32imc": {
        "added": 9.87, "answer": 11.57, "chunk": 17.09, "cleared": 3.33, "cleared_count": 0.08, "clip": 12.23,
        "constant": 1.4, "counted": 14.74, "current": 13.75, "division": 3.73, "entry_0": 13.78,
        "entry_0_of_4": 18.78, "entry_0_of_6": 26.28, "entry_1": 8.78, "entry_1_of_4": 17.5, "entry_1_of_6": 22.5,
        "entry_2": 3.65, "entry_2_of_4": 15, "entry_2_of_6": 21.25, "entry_host": 10, "event": 5.41, "four_0": 40,
        "four_0_of_4": 51.25, "four_0_of_6": 57.5, "four_1": 19.54, "four_1_of_4": 30, "four_1_of_6": 35,
        "four_2": 9.71, "four_2_of_4": 22.5, "four_2_of_6": 28.66, "four_g": 8.17, "four_g_of_4": 14.16,
        "four_g_of_6": 24.34, "gathered": 4.74, "hosted": 1.25, "late": 3.75, "leak": 7.15, "leak_more": 4.25,
        "leak_wide": 14.46, "listed": 12.5, "listed_of_4": 16.25, "listed_of_6": 25, "long_row": 50.47,
        "membrane": 9.1, "moved": 1.97, "neuron": 3.38, "one_0_weight": 16.69, "one_0_weight_of_4": 21.69,
        "one_0_weight_of_6": 29.19, "one_2_weight": 16.69, "one_2_weight_of_4": 21.69, "one_2_weight_of_6": 29.19,
        "one_weight": 11.69, "one_weight_of_4": 17.5, "one_weight_of_6": 26.08, "packed": 5.61,
        "packed_in_pixels": 5.76, "packed_singly": 10, "pair": 4.25, "pixel": 10.38, "pooled": 9.16,
        "population": 13.4, "read": 4.96, "read_pair": 4.96, "row": 7.08, "step": 44.96, "strided": 12.94,
        "synapse": 5.44, "tap": 8.91, "tap_flat": 12.5, "tap_listed": 11.28, "tap_singly": 12.22, "turn": 12.23,
        "turn_of_row": 5, "unit": 5.83, "weighed": 15, "wide": 12.5, "window": 18.72, "window_row": 16.42,
        "word": 6.63, "word_g": 6.23,
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
