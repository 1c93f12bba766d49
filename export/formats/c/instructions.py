"""Instructions of a model in C: loop bodies (``work``) times what each takes on a core, fitted on emulated runs."""

from __future__ import annotations

from collections.abc import Mapping

ERROR = 0.1  # of the whole, on networks that the constants were not fitted on (tests/studies/instructions.py)
COSTS: dict[str, dict[str, float]] = {
    "cortex-m4": {
        "window": 25, "chunk": 12, "window_row": 14, "long_row": 20, "gathered": 9, "four_g": 5.6, "added": 4,
        "event": 12, "split": 28, "row": 10, "tap": 4, "four_2": 11.2, "four_1": 14, "four_0": 24, "entry": 8,
    },
}  # fmt: skip
COSTS["rv32imc"] = COSTS["cortex-m4"]


def instructions(work: Mapping[str, float], core: str = "cortex-m4") -> float:
    """Of loop bodies, on a core."""
    costs = COSTS[core]
    return sum(count * costs.get(name, 0.0) for name, count in work.items())
