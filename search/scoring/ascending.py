"""Threshold-ascending depth of a design: a rule without a network, where cells have thresholds of their own.

On SpikeNAS-Bench, where every operation has a threshold, no training-free score ranks better (docs/results.md). Here a
cell has one for all its neurons: along a path of convolutions from node 0 to node 3 what its first adds its last takes
away, and what is left tells apart cells whose path begins or ends with a skip.
"""

from __future__ import annotations

from snnas.search.network.design import Design
from snnas.search.network.design_space import threshold_of
from snnas.search.network.genotype import CONV_KERNELS
from snnas.search.scoring.proxies import ascending_length, longest_path


def asc(design: Design) -> float:
    """Return the sum over cells of the largest sum of ``ascending_length`` along a path; other operations add 0."""
    total = 0.0
    for number, cell in enumerate(design.cells):
        threshold = threshold_of(design, number)
        total += longest_path(
            {
                edge: ascending_length(edge, threshold) if op in CONV_KERNELS else 0.0
                for edge, op in cell.live().items()
                if edge[0] < edge[1]
            }
        )
    return total
