"""Why our own readers stay: what tonic 1.7 makes of files that are whole (docs/data_events.md has words for upstream).

Strict: where a later tonic reads them, the tests fail, and the reader of ours beside it can go.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.events import Events, read_aedat2_dvs128, read_aedat3, read_nmnist
from snnas.toolchain.data.datasets.frames import FrameOptions, to_frames
from tests.official_files import aedat3, draw_events, nmnist_bin
from tests.toolchain.data.test_own_recordings import as_dvs128, equal, made

io = pytest.importorskip("tonic.io")
WANTED = made(width=128, height=128)


def dvs128(path: Path) -> Path:
    return as_dvs128(path, WANTED)


def gesture(path: Path) -> Path:
    path.write_bytes(aedat3(np.column_stack([WANTED.x, WANTED.y, WANTED.p, WANTED.t])))
    return path


@pytest.mark.parametrize(
    ("write", "ours", "theirs"),
    [(dvs128, read_aedat2_dvs128, "read_dvs_128"), (gesture, read_aedat3, "read_dvs_ibm")],
)
def test_readers_that_unpack_two_of_three_values(
    tmp_path: Path, write: Callable[[Path], Path], ours: Callable[[bytes, str], Events], theirs: str
) -> None:
    """Every file ends so: the header's reader has given three values since it gives the time of the recording too."""
    path = write(tmp_path / "a.aedat")
    assert equal(ours(path.read_bytes(), "a"), WANTED)
    assert len(io.read_aedat_header_from_file(str(path))) == 3
    with pytest.raises(ValueError, match="too many values to unpack"):
        getattr(io, theirs)(str(path))


def test_packets_are_read_to_their_capacity_whatever_they_hold(tmp_path: Path) -> None:
    """What lies under ``read_dvs_ibm``: unused places of a packet, and packets of another type, become events."""
    path = gesture(tmp_path / "a.aedat")
    _, start, _ = io.read_aedat_header_from_file(str(path))
    found = io.get_aer_events_from_file(str(path), 3.1, start)
    assert len(read_aedat3(path.read_bytes(), "a")) == 300
    assert len(found) > 300


NMNIST = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


@pytest.mark.parametrize(
    ("content", "events", "words"),
    [
        (b"", 0, "has 0 bytes"),
        (nmnist_bin(np.array([[200, 3, 0, 1], [3, 4, 1, 7]])), 2, "at column 200"),
    ],
)
def test_damaged_recordings_of_nmnist_are_taken_without_a_word(
    tmp_path: Path, content: bytes, events: int, words: str
) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert len(io.read_mnist_file(str(tmp_path / "a.bin"), dtype=NMNIST)) == events
    with pytest.raises(InvalidFileError, match=words):
        read_nmnist(content, "a.bin")


def test_frames_of_tonic_leave_events_out(tmp_path: Path) -> None:
    """What is over of n events in T frames; ours are as full as they can be."""
    content = nmnist_bin(draw_events(4, 323, 34))
    (tmp_path / "a.bin").write_bytes(content)
    table = io.read_mnist_file(str(tmp_path / "a.bin"), dtype=NMNIST)
    frames = pytest.importorskip("tonic.transforms").ToFrame(sensor_size=(34, 34, 2), n_event_bins=16)(table)
    assert frames.sum((1, 2, 3)).tolist() == [20] * 16
    ours = to_frames(read_nmnist(content, "a.bin"), (2, 34, 34), FrameOptions(counts=True))
    assert (ours.sum(), set(ours.sum((1, 2, 3)))) == (323, {20, 21})
