"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, on 20 networks in the emulator (zig 0.17's clang, -O2): random genotypes, programs of
every kind of map, the network of examples/foreign_nmnist and a trained one of digits (tests/studies/fit_instructions).
What none held stands by its likeness to what they did: sums of 64 bits, a host stage as a matrix, readouts that weigh
timesteps. tests/studies/instructions.py compares the model with the emulator on networks that it was not fitted on: 9
random ones were off by 3.9 % (Cortex-M4) and 3.3 % (RV32IMC) on average, by 8.8 % at most. Wide rows of weights are the
outliers: of the trained network it says 13 % and 10 % too little, of another one (Cortex-M4) 13 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.25  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 10.27, "answer": 8.05, "chunk": 9.07, "cleared": 0.48, "cleared_count": 0.79, "clip": 12.84,
        "constant": 0.85, "counted": 14, "current": 11, "division": 2.57, "entry_0": 13.89, "entry_0_of_4": 17.89,
        "entry_0_of_6": 23.89, "entry_1": 9.89, "entry_1_of_4": 14, "entry_1_of_6": 18, "entry_2": 3.36,
        "entry_2_of_4": 12, "entry_2_of_6": 17, "entry_host": 8, "event": 1.1, "four_0": 32, "four_0_of_4": 41,
        "four_0_of_6": 46, "four_1": 15.21, "four_1_of_4": 24, "four_1_of_6": 28, "four_2": 10.4, "four_2_of_4": 18,
        "four_2_of_6": 27.19, "four_g": 8.43, "four_g_of_4": 11.33, "four_g_of_6": 18.41, "gathered": 1.15, "heard": 4,
        "hosted": 3.93, "late": 3, "leak": 4.35, "leak_more": 4.34, "leak_wide": 13.61, "listed": 9.89,
        "listed_of_4": 13, "listed_of_6": 20, "long_row": 33.68, "membrane": 8.26, "moved": 1.27, "neuron": 2.75,
        "one_0_weight": 15.67, "one_0_weight_of_4": 19.67, "one_0_weight_of_6": 25.67, "one_2_weight": 15.67,
        "one_2_weight_of_4": 19.67, "one_2_weight_of_6": 25.67, "one_weight": 11.67, "one_weight_of_4": 14,
        "one_weight_of_6": 21.74, "packed": 4.49, "packed_in_pixels": 5.81, "packed_singly": 8, "pair": 1.87,
        "pixel": 8.24, "place": 0.59, "pooled": 5.27, "pooled_pixel": 10.84, "read": 4.46, "read_pair": 3.72,
        "resting": 8, "row": 4.53, "step": 33.33, "strided": 15.6, "tap": 8.59, "tap_flat": 10, "tap_listed": 13.25,
        "tap_singly": 11.86, "turn": 12.84, "turn_of_row": 4, "unit": 3.88, "weighed": 12, "wide": 10,
        "window": 13.18, "window_row": 14.6, "word": 5.79, "word_g": 3.62,
    },
    "rv32imc": {
        "added": 9.86, "answer": 11.48, "chunk": 17, "cleared": 3.32, "cleared_count": 0.14, "clip": 11.88,
        "constant": 1.33, "counted": 14.37, "current": 13.75, "division": 3.87, "entry_0": 13.61,
        "entry_0_of_4": 18.61, "entry_0_of_6": 26.11, "entry_1": 8.61, "entry_1_of_4": 17.5, "entry_1_of_6": 22.5,
        "entry_2": 3.69, "entry_2_of_4": 15, "entry_2_of_6": 21.25, "entry_host": 10, "event": 3.98, "four_0": 40,
        "four_0_of_4": 51.25, "four_0_of_6": 57.5, "four_1": 20.72, "four_1_of_4": 30, "four_1_of_6": 35,
        "four_2": 11.88, "four_2_of_4": 22.5, "four_2_of_6": 31.22, "four_g": 8.17, "four_g_of_4": 14.16,
        "four_g_of_6": 24.34, "gathered": 4.73, "heard": 5, "hosted": 1.27, "late": 3.75, "leak": 7, "leak_more": 4.29,
        "leak_wide": 14.19, "listed": 12.51, "listed_of_4": 16.25, "listed_of_6": 25, "long_row": 50.47,
        "membrane": 8.79, "moved": 1.97, "neuron": 4.93, "one_0_weight": 16.49, "one_0_weight_of_4": 21.49,
        "one_0_weight_of_6": 28.99, "one_2_weight": 16.49, "one_2_weight_of_4": 21.49, "one_2_weight_of_6": 28.99,
        "one_weight": 11.49, "one_weight_of_4": 17.5, "one_weight_of_6": 26.29, "packed": 5.61,
        "packed_in_pixels": 5.76, "packed_singly": 10, "pair": 6.09, "pixel": 7.06, "pooled": 9.27,
        "population": 7.58, "read": 4.9, "read_pair": 3.87, "resting": 10, "row": 8.06, "step": 45, "strided": 12.43,
        "synapse": 5.84, "tap": 6.15, "tap_flat": 12.5, "tap_listed": 12.6, "tap_singly": 11.97, "turn": 11.88,
        "turn_of_row": 5, "unit": 5.82, "weighed": 15, "wide": 12.5, "window": 18.73, "window_row": 16.44,
        "word": 6.48, "word_g": 6.22,
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
