"""A matrix by its entries is the matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnas.hw_sim.entries import (
    Entries,
    added,
    columns_in,
    product,
    row_sums,
    same_places,
    total,
    values_of,
    whole,
    with_values,
)
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.readout import Reading, Readout

ROWS, COLUMNS = 7, 11


def drawn(seed: int = 0) -> tuple[np.ndarray, Entries]:
    """Whole and by its entries; the rows 0, 3 and the last hold nothing."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-120, 120, (ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.4).astype(np.int64)
    matrix[[0, 3, ROWS - 1]] = 0
    rows, columns = np.nonzero(matrix)
    order = rng.permutation(len(rows))
    entries = added(rows[order], columns[order], matrix[rows, columns][order].astype(np.float64), matrix.shape)
    return matrix, with_values(entries, entries.values.astype(np.int8))  # type: ignore[return-value]


def test_it_is_the_matrix() -> None:
    matrix, entries = drawn()
    assert entries.shape == matrix.shape
    assert np.array_equal(whole(entries), matrix)
    assert np.array_equal(row_sums(entries), np.abs(matrix).sum(axis=1))
    assert np.array_equal(row_sums(entries), row_sums(matrix))
    entries.verify()


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64])
@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_products_are_equal(kind: type, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnas.hw_sim.entries.CELLS", cells)
    matrix, entries = drawn()
    x = np.random.default_rng(1).integers(-9, 9, (2, 3, COLUMNS)).astype(kind)
    found = product(x, entries)
    assert found.dtype == kind
    assert np.array_equal(found, x @ matrix.T)
    assert np.array_equal(product(x, matrix.astype(np.int8)), x @ matrix.T)
    nothing = added(np.zeros(0, int), np.zeros(0, int), np.zeros(0), matrix.shape)
    assert not product(x, nothing).any()


def test_columns_are_chosen_and_moved() -> None:
    matrix, entries = drawn()
    for wanted in (np.random.default_rng(2).permutation(COLUMNS), np.array([9, 0, 4])):
        chosen = columns_in(entries, wanted)
        assert isinstance(chosen, Entries)
        chosen.verify()
        assert np.array_equal(whole(chosen), matrix[:, wanted])


def test_sums_of_ways() -> None:
    (a, x), (b, y) = drawn(0), drawn(1)
    both = total([x, y])
    assert isinstance(both, Entries)
    assert np.array_equal(whole(both), a + b)
    assert np.array_equal(np.asarray(total([x, b])), a + b)
    assert same_places(x, replace(x, values=-x.values))
    assert not same_places(x, y)
    assert not same_places(x, a)


def test_a_response_for_every_row() -> None:
    """The reach of an answer, without the matrix."""
    matrix, entries = drawn()
    bias = np.arange(ROWS, dtype=np.int64).reshape(1, -1)
    by, at_once = (
        Readout(readings=(Reading(src="a", weight=weight),), bias=bias, scale=1.0)
        for weight in (entries, matrix.astype(np.int8))
    )
    assert by.reach(5) == at_once.reach(5)
    assert by.connections == np.count_nonzero(matrix)
    by.verify(5, {"a": COLUMNS})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"columns": COLUMNS - 5}, "leave its"),
        ({"indptr": np.array([0, 3, 2, 4], np.int32)}, "do not fill its rows"),
        ({"indptr": np.array([], np.int32)}, "do not fill"),
        ({"values": np.zeros(3, np.int8)}, "do not fill"),
        ({"indices": None}, "do not ascend"),
        ({"indices": -1}, "leave its"),
    ],
)
def test_what_is_no_matrix_is_refused(changed: dict, said: str) -> None:  # type: ignore[type-arg]
    _, entries = drawn()
    if changed.get("indices", 0) is None:
        changed = {"indices": np.zeros_like(entries.indices)}
    elif "indices" in changed:
        changed = {"indices": np.where(np.arange(entries.indices.size) == 0, -1, entries.indices)}
    with pytest.raises(InvalidFileError, match=said):
        replace(entries, **changed).verify()


def test_rows_that_descend_are_refused() -> None:
    _, entries = drawn()
    indptr = entries.indptr.copy()
    indptr[1] = indptr[2] + 1
    with pytest.raises(InvalidFileError, match="descend"):
        replace(entries, indptr=indptr).verify()
    assert values_of(entries) is entries.values
