"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core.

Fitted, function by function, in the emulator (zig 0.17's clang, -O2; tests/studies/fit_instructions): to 20 networks,
then, since neurons are updated eight to a turn, from there to 12 more: programs of every kind of map, random genotypes,
three trained networks of digits and the one of examples/foreign_nmnist, which it meets to within 10 %. What none held
stands by its likeness to what they did. ``ERROR`` holds gcc's code as well, which takes more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

ERROR = 0.25  # of the whole
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "added": 13.22, "answer": 7.93, "chunk": 7.68, "cleared": 0.97, "cleared_count": 0.44, "clip": 13.21,
        "constant": 1.03, "counted": 12.5, "current": 11, "division": 3.35, "entry_0": 13.89, "entry_0_of_4": 17.89,
        "entry_0_of_6": 23.89, "entry_1": 9.89, "entry_1_of_4": 14, "entry_1_of_6": 18, "entry_2": 3.71,
        "entry_2_of_4": 12, "entry_2_of_6": 17, "entry_host": 8, "event": 0.22, "four_0": 32, "four_0_of_4": 41,
        "four_0_of_6": 46, "four_1": 17.18, "four_1_of_4": 24, "four_1_of_6": 28, "four_2": 11.32, "four_2_of_4": 18,
        "four_2_of_6": 26.16, "four_g": 8.46, "four_g_of_4": 11.33, "four_g_of_6": 18.35, "gathered": 1.13,
        "heard": 4, "hosted": 3.49, "late": 3, "leak": 4.01, "leak_more": 4.54, "leak_wide": 14.03, "listed": 9.33,
        "listed_of_4": 13, "listed_of_6": 20, "long_row": 19.49, "membrane": 7.47, "moved": 1.25, "neuron": 2.32,
        "one_0_weight": 15.67, "one_0_weight_of_4": 19.67, "one_0_weight_of_6": 25.67, "one_2_weight": 15.67,
        "one_2_weight_of_4": 19.67, "one_2_weight_of_6": 25.67, "one_weight": 15.22, "one_weight_of_4": 14,
        "one_weight_of_6": 22.63, "packed": 4.49, "packed_in_pixels": 5.94, "packed_singly": 8, "pair": 2.21,
        "pixel": 8.66, "place": 0.4, "pooled": 4.74, "pooled_pixel": 10.24, "population": 4.18, "read": 4.5,
        "read_pair": 3.62, "resting": 8, "step": 34.95, "stored": 1.57, "strided": 20.35, "synapse": 1.94,
        "tap": 11.56, "tap_flat": 10, "tap_listed": 19.42, "tap_singly": 14.01, "turn": 13.21, "turn_of_row": 4,
        "unit": 3.97, "weighed": 12, "wide": 10, "window": 12.64, "window_row": 15.59, "word": 4.11, "word_g": 3.07,
    },
    "rv32imc": {
        "added": 10.49, "answer": 11.71, "chunk": 15.46, "cleared": 2.77, "cleared_count": 0.12, "clip": 11.12,
        "constant": 0.42, "counted": 13.29, "current": 13.75, "division": 3.4, "entry_0": 13.61,
        "entry_0_of_4": 18.61, "entry_0_of_6": 26.11, "entry_1": 8.61, "entry_1_of_4": 17.5, "entry_1_of_6": 22.5,
        "entry_2": 4.42, "entry_2_of_4": 15, "entry_2_of_6": 21.25, "entry_host": 10, "event": 2.18, "four_0": 40,
        "four_0_of_4": 51.25, "four_0_of_6": 57.5, "four_1": 21.89, "four_1_of_4": 30, "four_1_of_6": 35,
        "four_2": 13.09, "four_2_of_4": 22.5, "four_2_of_6": 29.99, "four_g": 7.69, "four_g_of_4": 14.16,
        "four_g_of_6": 23.71, "gathered": 7.32, "heard": 5, "hosted": 1.79, "injected": 0.57, "late": 3.75,
        "leak": 4.5, "leak_more": 4.98, "leak_wide": 13.1, "listed": 12.15, "listed_of_4": 16.25, "listed_of_6": 25,
        "long_row": 18.11, "membrane": 8.97, "moved": 1.98, "neuron": 4.46, "neuron_row": 1.15, "one_0_weight": 16.49,
        "one_0_weight_of_4": 21.49, "one_0_weight_of_6": 28.99, "one_2_weight": 16.49, "one_2_weight_of_4": 21.49,
        "one_2_weight_of_6": 28.99, "one_weight": 16.86, "one_weight_of_4": 17.5, "one_weight_of_6": 28.99,
        "packed": 5.61, "packed_in_pixels": 5.8, "packed_singly": 10, "pair": 8.06, "pixel": 5.6, "pooled": 8.87,
        "pooled_pixel": 3.79, "population": 7.09, "read": 4.77, "read_pair": 3.13, "resting": 10, "step": 47.43,
        "stored": 1.11, "strided": 17.99, "synapse": 3.32, "tap": 10.83, "tap_flat": 12.5, "tap_listed": 17.77,
        "tap_singly": 15.83, "together": 2.34, "turn": 11.12, "turn_of_row": 5, "unit": 5.83, "weighed": 15,
        "wide": 12.5, "window": 19.12, "window_row": 19.86, "word": 7.63, "word_g": 5.82,
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
