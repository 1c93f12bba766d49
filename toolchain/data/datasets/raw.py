"""What every reader of a data set returns, before it is split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnas.hw_sim.signals import SignalInput

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A data set as it is stored.

    x: uint8 or float32, (N, C, H, W) or (N, T, C, H, W); a float is its own value, a byte stands for byte / ``unit``.
    y: int64 (N,). test, val: bool (N,), the set's own splits, or None where there is none; then ``test_share`` of the
    samples, or a share to validate, is drawn. input_kind: 'analogue', 'spikes' (every value 0 or 1) or 'counts'.
    class_names: by label, or (). groups: int64 (N,), which samples belong together (a subject, a recording): no draw
    parts them. signal: x is (N, L, C) in units of its own, and this is what becomes of it. redraw: gives x of some
    rows, (n, T, C, H, W), drawn anew by seed and epoch. notes: what was read otherwise than a user may think, or left
    out, a line each.
    """

    x: Array
    y: Array
    test: Array | None = None
    val: Array | None = None
    test_share: float = 0.2
    unit: int = 1
    input_kind: str = "analogue"
    classes: int
    class_names: tuple[str, ...] = ()
    groups: Array | None = None
    signal: SignalInput | None = None
    redraw: Callable[[Array, int, int], Array] | None = None
    notes: tuple[str, ...] = ()


def digest(x: Array, y: Array) -> str:
    """SHA-256 of the arrays: dtype, shape and values, whatever file, order or packing held them."""
    state = hashlib.sha256()
    for array in (x, y):
        state.update(f"{array.dtype.name} {array.shape};".encode())
        for k in range(0, len(array), 256):  # in pieces: a copy of the whole would double the memory
            state.update(np.ascontiguousarray(array[k : k + 256], dtype=array.dtype.newbyteorder("<")).tobytes())
    return state.hexdigest()


def own_split(parts: Array) -> dict[str, Any]:
    """{'test': its mask, 'val': likewise} of parts (N,), 'train', 'val' or 'test'; None where nothing is of it."""
    return {part: parts == part if (parts == part).any() else None for part in ("test", "val")}


def cut_note(sources: Array) -> str:
    """A line on samples that are slices; sources: (N,), which recording each is of."""
    return f"{int(sources.max()) + 1:,} recordings were cut into {len(sources):,} samples; those of one stay together"


def byte_unit(x: Array) -> int:
    """What a byte of a user's array is divided by: 255, or 1 where it holds nothing but 0 and 1 (spikes, masks).

    An image of 256 levels that is as dark as that shows nothing. Floats: 1.
    """
    return 255 if x.dtype == np.uint8 and x.size and int(x.max()) > 1 else 1


def floats(x: Array, unit: int) -> Array:
    """Samples as float32: bytes divided by ``unit``, floats as they are."""
    return x if x.dtype == np.float32 else x.astype(np.float32) / np.float32(unit)
