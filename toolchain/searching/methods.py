"""The search methods by name. A new method is one entry of ``RUNNERS``."""

from __future__ import annotations

from snnas.toolchain.searching.cell_methods import CELL_METHODS
from snnas.toolchain.searching.motif_methods import MseNas
from snnas.toolchain.searching.runner import Runner
from snnas.toolchain.searching.trained_method import TrainedMethod

RUNNERS: dict[str, Runner] = {**CELL_METHODS, "mse_nas": MseNas(), "trained": TrainedMethod()}
