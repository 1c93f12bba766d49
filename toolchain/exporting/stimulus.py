"""stimulus.npz: the samples that an export is measured on, as many as fit, so that others can measure it again.

``x`` (N, C, H, W) or (N, T, C, H, W) as the program takes it, float32, or uint8 where the input is spikes; ``y`` (N,)
where there are labels. The first of them are those of golden.npz.

calibration.npz: ``x``, the training samples that the scales and the rounding came from: with them the graph compiles to
this very program, integer for integer.
"""

from __future__ import annotations

import numpy as np

LIMIT_BYTES = 16_000_000


def kept(x: np.ndarray, y: np.ndarray | None, least: int, *, whole: bool) -> dict[str, np.ndarray]:
    """The arrays to write: the samples that ``LIMIT_BYTES`` hold before compression; at least ``least`` in any case.

    whole: x holds whole numbers, of which a byte each is enough up to 255.
    """
    small = whole and bool(((x >= 0) & (x <= np.iinfo(np.uint8).max) & (x == np.rint(x))).all())
    kind = np.dtype(np.uint8 if small else np.float32)
    number = min(len(x), max(least, LIMIT_BYTES // max(1, x[0].size * kind.itemsize)))
    arrays = {"x": np.ascontiguousarray(x[:number], dtype=kind)}
    return arrays if y is None else {**arrays, "y": y[:number]}
