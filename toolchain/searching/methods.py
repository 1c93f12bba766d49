"""The search methods by name. A new method is one entry of ``RUNNERS``."""

from __future__ import annotations

from collections.abc import Iterable

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.searching.cell_methods import CELL_METHODS
from snnas.toolchain.searching.motif_methods import MseNas
from snnas.toolchain.searching.runner import Runner
from snnas.toolchain.searching.trained_method import TrainedMethod

RUNNERS: dict[str, Runner] = {**CELL_METHODS, "mse_nas": MseNas(), "trained": TrainedMethod()}


def takers(option: str) -> tuple[str, ...]:
    """The methods that take an option which not every method takes; () of one that all take."""
    found = tuple(name for name, runner in RUNNERS.items() if option in runner.takes)
    return found if len(found) < len(RUNNERS) else ()


def refuse_foreign(method: str, options: Iterable[str]) -> None:
    """UsageError for the first of the options, as ``SearchOptions`` has them, that ``method`` does not take."""
    for option in options:
        others = takers(option)
        if others and method not in others:
            raise UsageError(
                f"--{option.replace('_', '-')}: {method} does not take it; leave it out, or take "
                f"--method {' or '.join(others)}"
            )
