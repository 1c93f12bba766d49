"""Samples of a user's for a program of anybody's."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.signals import SignalInput
from snnas.toolchain.data.user_samples import check_range, read_arrays, read_files, scaled, sliced_arrays


def test_other_byte_orders_and_a_column_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(16, dtype=">f4").reshape(4, 1, 2, 2), y=np.arange(4, dtype=">i8")[:, None])
    x, y = read_arrays(str(path))
    assert x.dtype.isnative
    assert x.ravel().tolist() == list(range(16))
    assert y is not None
    assert y.tolist() == [0, 1, 2, 3]


def test_text_beside_the_samples_is_left_alone(tmp_path: Path) -> None:
    """The names of subjects, as docs/data_arrays.md writes them; objects are read nowhere."""
    path = tmp_path / "a.npz"
    x, subject = np.zeros((2, 1, 2, 2), np.uint8), np.array(["anna", "ben"])
    np.savez(path, x=x, y=np.arange(2), subject=subject, coded=subject.astype("S"))
    assert read_arrays(str(path))[0].shape == x.shape
    np.savez(path, x=x, y=subject)
    with pytest.raises(InvalidFileError, match="y holds text; expected numbers"):
        read_arrays(str(path))
    with pytest.raises(InvalidFileError, match="entry 'y' has an unknown array header"):
        read_npz(path)  # of ours no array is text
    np.savez(path, x=x, y=np.arange(2), subject=subject.astype(object))
    with pytest.raises(InvalidFileError, match="entry 'subject' has an unknown array header, or holds objects"):
        read_arrays(str(path))


def test_ranges_are_exact() -> None:
    x = np.full((1, 1, 1, 1), 1.0000001, np.float32)
    program = SimpleNamespace(input_kind="analogue", input_range=(0.0, 1.0))
    with pytest.raises(InvalidFileError, match=r"lies in 1\.0000001\.\.1\.0000001; the program takes 0\.\.1"):
        check_range(x, program, "a.npz")
    with pytest.raises(InvalidFileError, match=r"lie in 1\.0000001\.\.1\.0000001; expected 0 and 1 alone"):
        scaled(x, "spikes")


def test_long_recordings_are_cut_for_a_program_that_was_trained_on_slices(tmp_path: Path) -> None:
    """One after the other, so that they may be run in a row."""
    meta = {"signal": SignalInput(window=0, length=3, sliced=True).to_json()}
    x, y = np.arange(14.0).reshape(2, 7), np.array([1, 0])
    found, labels = sliced_arrays(x, y, meta)
    assert found.tolist() == [[0, 1, 2], [3, 4, 5], [7, 8, 9], [10, 11, 12]]
    assert labels is not None
    assert labels.tolist() == [1, 1, 0, 0]
    assert sliced_arrays(x, None, {"signal": SignalInput(window=0, length=3).to_json()}) == (x, None)
    for name, rows in (("left", 7), ("right", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("".join(f"{row}\n" for row in range(rows)))
    found, labels = read_files(str(tmp_path), meta)
    assert (found[..., 0].tolist(), labels.tolist()) == ([[0, 1, 2], [3, 4, 5], [0, 1, 1]], [0, 0, 1])
