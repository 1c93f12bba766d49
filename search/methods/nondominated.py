"""Non-dominated sorting, crowding and hypervolume, by pymoo; objectives are all to be small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Rows = Sequence[Sequence[float]]


def by_rank_and_crowding(rows: Rows) -> list[int]:
    """Return the places of finite ``rows``, best first: by the front they are on, then the emptiest surroundings.

    Of equal ones the first stands first.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    if not rows:
        return []
    values, order = np.array(rows, dtype=float), list[int]()
    for front in NonDominatedSorting().do(values):
        distances = calc_crowding_distance(values[front])
        order += [int(at) for _, at in sorted(zip(-distances, front, strict=True))]
    return order


def hypervolume(rows: Rows, box: Rows) -> float:
    """Return the share of a box that ``rows`` dominate: 1 where one is best in all objectives.

    box: rows whose smallest and largest values are its corners, but for the first objective, an error, which runs from
    0 to 1. An objective in which all are equal is left out.
    """
    from pymoo.indicators.hv import HV

    ends = np.array(box, dtype=float)
    low, high = ends.min(0), ends.max(0)
    low[0], high[0] = 0.0, 1.0
    wide = high > low
    if not rows:
        return 0.0
    scaled = (np.array(rows, dtype=float)[:, wide] - low[wide]) / (high - low)[wide]
    volume: Any = HV(ref_point=np.ones(int(wide.sum())))(scaled)
    return float(volume)
