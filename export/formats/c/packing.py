"""Integers as C arrays: rows of weights packed for the loops that add them up, and tables of constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.plan import ROWS, up

TYPES = ((np.int8, "int8_t"), (np.int16, "int16_t"), (np.int32, "int32_t"), (np.int64, "int64_t"))
PER_LINE = 24


def array(kind: str, name: str, values: np.ndarray) -> str:
    """``static const kind name[] = {...};``; C has no empty arrays."""
    flat = values.ravel().tolist() or [0]
    hexed = kind.startswith("u") and kind != "uint8_t"
    suffix = "LL" if kind == "int64_t" else ""
    shown = [f"0x{v:x}u" if hexed else f"{v}{suffix}" for v in flat]
    lines = [",".join(shown[k : k + PER_LINE]) for k in range(0, len(shown), PER_LINE)]
    return f"static const {kind} {name}[{len(flat)}] = {{\n" + ",\n".join(lines) + "\n};\n"


def smallest(values: np.ndarray) -> tuple[type[np.generic], str]:
    """The smallest signed type that holds the values."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return next((kind, c) for kind, c in TYPES if np.iinfo(kind).min < low and high <= np.iinfo(kind).max)


# ------------------------------------------------------------------------------------------------------------- weights

ROW_TYPE = {8: "uint32_t", 6: "uint8_t", 4: "uint16_t"}
ROW_STEP = {8: 1, 6: 3, 4: 1}  # array elements of a row of four


def rows(weight: np.ndarray, bits: int) -> tuple[str, np.ndarray]:
    """(..., n) weights as (type, elements), biased to be unsigned, four together.

    8 bits: bytes 0, 2, 1, 3 of a word, so that two of them lie 16 bits apart. 6 bits: four in three bytes. 4 bits: four
    in a half word.
    """
    n = weight.shape[-1]
    filled = np.pad(weight.astype(np.int64), [(0, 0)] * (weight.ndim - 1) + [(0, up(n, ROWS) - n)])
    w = (filled + (1 << bits - 1)).reshape(-1, ROWS)
    if bits == 8:
        return ROW_TYPE[8], w[:, 0] | w[:, 2] << 8 | w[:, 1] << 16 | w[:, 3] << 24
    packed = w @ (1 << bits * np.arange(ROWS))
    if bits == 4:
        return ROW_TYPE[4], packed
    return ROW_TYPE[6], np.stack([packed >> shift & 255 for shift in (0, 8, 16)], axis=-1).ravel()


def singles(weight: np.ndarray, bits: int) -> tuple[str, np.ndarray]:
    """Weights one after the other, as ``snnas_w6`` and ``snnas_w4`` read them; int8 as they are."""
    w = weight.astype(np.int64).ravel()
    if bits == 8:
        return "int8_t", w
    filled = np.pad(w + (1 << bits - 1), (0, up(max(len(w), 1), ROWS) - len(w)))
    packed = filled.reshape(-1, ROWS) @ (1 << bits * np.arange(ROWS))
    each = np.stack([packed >> shift & 255 for shift in range(0, ROWS * bits, 8)], axis=-1).ravel()
    return "uint8_t", np.append(each, 0)  # of 6 bits, two bytes are read


def single(name: str, index: str, bits: int) -> str:
    """The expression that reads one of ``singles``, int32."""
    return f"(int32_t){name}[{index}]" if bits == 8 else f"snnas_w{bits}({name}, {index})"


# -------------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class Table:
    """A constant per neuron, with as few numbers as it has."""

    declared: str
    """C, perhaps nothing."""
    at: Callable[[str, str], str]
    """The expression for a neuron, of its index and its channel."""
    zero: bool = False


def table(name: str, values: np.ndarray, factor: int = 1) -> Table:
    """values: int (C, H, W) or (C, 1, 1), times ``factor``."""
    first = int(values.ravel()[0])
    if (values == first).all():
        return Table("", lambda k, c: str(first * factor), zero=first == 0)
    times = f" * {factor}" if factor != 1 else ""
    per_channel = (values == values[:, :1, :1]).all()
    if per_channel:  # few numbers: the product itself
        values, times = values * factor, ""
    flat = values[:, 0, 0] if per_channel else np.moveaxis(values, 0, -1).ravel()
    kind = smallest(flat)[1]
    cast = "" if kind == "int32_t" else "(int32_t)"
    return Table(array(kind, name, flat), lambda k, c: f"{cast}{name}[{c if per_channel else k}]{times}", zero=False)
