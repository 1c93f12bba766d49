"""Reading what the study ``spikenas`` measures on: a table of trained accuracies, and images with labels."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data.load import read_npz
from snnas.toolchain.data.seeds import stream

Array = np.ndarray[Any, np.dtype[Any]]

MAX_BYTES = 1 << 26
EDGES = 6
OPS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One trained architecture: its six digits in the order of the edges, and its test accuracy in percent."""

    ops: str
    test_acc: float


def read_table(path: Path, *, epochs: int) -> list[Row]:
    """Read the rows of a .csv with the columns ``ops`` (six digits) or ``id``, and ``test_acc``.

    id is the sum of digit k times 5^k. Where there is a column ``epochs``, only rows of ``epochs`` are kept (0: all):
    longer training reads higher. Raises InvalidFileError naming the line.
    """
    rows: list[Row] = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidFileError(f"{path}: {path.stat().st_size} bytes, expected at most {MAX_BYTES} in a table")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            if "test_acc" not in columns or not {"ops", "id"} & set(columns):
                raise InvalidFileError(
                    f"{path} has the columns {', '.join(columns)[:80] or 'none'}, expected test_acc and ops (or id)"
                )
            for record in reader:
                row, trained = _row(record, f"{path}, line {reader.line_num}")
                if not epochs or trained in (None, epochs):
                    rows.append(row)
    except FileNotFoundError:
        raise InvalidFileError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidFileError(f"{path}: not a table ({' '.join(str(error).split())[:120]})") from None
    seen: set[str] = set()
    for row in rows:
        if row.ops in seen:
            raise InvalidFileError(f"{path}: architecture {row.ops} stands twice, expected one row each")
        seen.add(row.ops)
    return rows


def _row(record: dict[str, Any], where: str) -> tuple[Row, int | None]:
    try:
        ops = str(record["ops"]) if record.get("ops") else digits(int(record["id"]))
        accuracy = float(record["test_acc"])
        epochs = int(record["epochs"]) if record.get("epochs") else None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFileError(f"{where}: {error}; expected ops or id, test_acc and epochs as numbers") from None
    if len(ops) != EDGES or not set(ops) <= set("01234"):
        raise InvalidFileError(f"{where}: ops {ops[:20]!r}, expected six digits 0 to 4 (read and write them as text)")
    if not (math.isfinite(accuracy) and 0 <= accuracy <= 100):
        raise InvalidFileError(f"{where}: test_acc {accuracy}, expected percent, 0 to 100")
    return Row(ops, accuracy), epochs


def digits(number: int) -> str:
    """Return the six digits of architecture ``number``, the least significant first."""
    if not 0 <= number < OPS**EDGES:
        raise ValueError(f"id {number} is not in 0 .. {OPS**EDGES - 1}")
    return "".join(str(number // OPS**k % OPS) for k in range(EDGES))


def choose(rows: list[Row], count: int, *, seed: int) -> list[Row]:
    """Return ``count`` rows drawn at random (0: all); a larger count holds the rows of a smaller one."""
    order = stream(seed, "rows").permutation(len(rows))
    return [rows[k] for k in order[: count or None]]


def read_images(path: Path, *, size: int) -> tuple[Array, Array]:
    """Return images float32 (N, C, size, size), every channel of mean 0 and deviation 1, and labels (N,).

    The file is a data set as ``snnas search --dataset`` takes it; larger images are averaged down to ``size``.
    """
    x, y = read_npz(path)
    height, width = x.shape[-2:]
    if x.ndim != 4 or height != width or height % size or size % 4:
        raise UsageError(
            f"images of shape {x.shape[1:]} at --size {size}: expected (C, H, H) with H a multiple of the size, and "
            f"the size one of 4"
        )
    step = height // size
    small = x.reshape(*x.shape[:2], size, step, size, step).mean((3, 5), dtype=np.float64)
    mean, std = small.mean((0, 2, 3), keepdims=True), small.std((0, 2, 3), keepdims=True)
    return ((small - mean) / np.maximum(std, 1e-6)).astype(np.float32), y
