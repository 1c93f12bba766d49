"""A readout's matrix: whole, or by its entries where nearly all of it is zero.

An identity or a pool without a linear layer behind it has a class per neuron: whole, its matrix takes the square of the
neurons. ``Matrix`` is either; the functions here are what a reader needs of both, so that nobody asks which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from snnas.hw_sim.errors import InvalidFileError

CELLS = 1 << 22  # products at once: 32 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A matrix by what is not zero, row after row: row r has ``values`` from ``indptr[r]`` to ``indptr[r + 1]``.

    values: (nnz,). indices: int32 (nnz,), their columns, ascending in a row. indptr: int32 (rows + 1,). columns: how
    many the matrix has.
    """

    values: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, self.columns

    def verify(self) -> None:
        """InvalidFileError where the arrays are no matrix: of each row no column twice, and none beyond the last."""
        held = self.values.size
        if not self.indptr.size or self.indptr[0] or self.indptr[-1] != held or self.indices.size != held:
            raise InvalidFileError(f"program: the readout's {held} entries do not fill its rows")
        if (np.diff(self.indptr.astype(np.int64)) < 0).any():
            raise InvalidFileError("program: the readout's rows of entries descend")
        inside = not held or 0 <= int(self.indices.min()) <= int(self.indices.max()) < self.columns
        first = self.rows[1:] != self.rows[:-1]
        if not inside or not (first | (np.diff(self.indices.astype(np.int64)) > 0)).all():
            raise InvalidFileError(
                f"program: the readout's entries leave its {self.columns} columns, or do not ascend in a row"
            )

    @property
    def rows(self) -> np.ndarray:
        """The row of every entry, int64 (nnz,)."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


Matrix: TypeAlias = np.ndarray | Entries


def added(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Entries:
    """Entries in any order; those of one place are added, in the order given."""
    places, at = np.unique(rows.astype(np.int64) * shape[1] + columns, return_inverse=True)
    indptr = np.searchsorted(places, np.arange(shape[0] + 1, dtype=np.int64) * shape[1]).astype(np.int32)
    total = np.zeros(len(places))
    np.add.at(total, at, values)
    return Entries(values=total, indices=(places % shape[1]).astype(np.int32), indptr=indptr, columns=shape[1])


def values_of(matrix: Matrix) -> np.ndarray:
    """All numbers that it holds, in its own shape."""
    return matrix.values if isinstance(matrix, Entries) else matrix


def with_values(matrix: Matrix, values: np.ndarray) -> Matrix:
    """The same places with other numbers, shaped like ``values_of``."""
    return replace(matrix, values=values) if isinstance(matrix, Entries) else values


def same_places(a: Matrix, b: Matrix) -> bool:
    """Whether both hold numbers at the same places."""
    if a.shape != b.shape or isinstance(a, Entries) != isinstance(b, Entries):
        return False
    if isinstance(a, Entries) and isinstance(b, Entries):
        return np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)
    return True


def equal(a: Matrix, b: Matrix) -> bool:
    return same_places(a, b) and np.array_equal(values_of(a), values_of(b))


def row_sums(matrix: Matrix) -> np.ndarray:
    """Float64 (rows,): of the absolute values."""
    if isinstance(matrix, Entries):
        return np.bincount(matrix.rows, np.abs(matrix.values.astype(np.float64)), len(matrix.indptr) - 1)
    return np.asarray(np.abs(matrix.astype(np.float64)).sum(axis=1))


def product(x: np.ndarray, matrix: Matrix) -> np.ndarray:
    """``x @ matrix.T``, (..., columns) -> (..., rows), in the type that x has."""
    if not isinstance(matrix, Entries):
        return np.asarray(np.matmul(x, matrix.astype(x.dtype).T))
    flat = x.reshape(-1, matrix.columns)
    out = np.zeros((len(flat), len(matrix.indptr) - 1), x.dtype)
    filled = np.flatnonzero(np.diff(matrix.indptr))
    together = max(1, CELLS // max(1, matrix.values.size))
    for first in range(0, len(flat) if filled.size else 0, together):
        brought = flat[first : first + together, matrix.indices] * matrix.values.astype(x.dtype)
        out[first : first + together, filled] = np.add.reduceat(brought, matrix.indptr[filled], axis=1)
    return out.reshape(*x.shape[:-1], out.shape[1])


def columns_in(matrix: Matrix, wanted: np.ndarray) -> Matrix:
    """``matrix[:, wanted]``, where no column is wanted twice."""
    if not isinstance(matrix, Entries):
        return matrix[:, wanted]
    place = np.full(matrix.columns, -1, np.int32)
    place[wanted] = np.arange(len(wanted), dtype=np.int32)
    indices, rows = place[matrix.indices], matrix.rows
    order = np.lexsort((indices, rows))
    order = order[indices[order] >= 0]
    indptr = np.searchsorted(rows[order], np.arange(len(matrix.indptr))).astype(np.int32)
    return Entries(values=matrix.values[order], indices=indices[order], indptr=indptr, columns=len(wanted))


def whole(matrix: Matrix) -> np.ndarray:
    """With its zeros: (rows, columns)."""
    if not isinstance(matrix, Entries):
        return matrix
    out = np.zeros(matrix.shape, matrix.values.dtype)
    out[matrix.rows, matrix.indices] = matrix.values
    return out


def total(parts: Sequence[Matrix]) -> Matrix:
    """The sum of matrices of one shape, float64: by entries where all of them are."""
    entries = [part for part in parts if isinstance(part, Entries)]
    if len(entries) < len(parts):
        return np.asarray(sum(whole(part).astype(np.float64) for part in parts))
    rows, columns, values = (
        np.concatenate(each) for each in zip(*((e.rows, e.indices, e.values) for e in entries), strict=True)
    )
    return added(rows, columns, values, entries[0].shape)
