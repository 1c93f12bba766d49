"""Event recordings of one's own: written by one library, read by another, event for event."""

from __future__ import annotations

import csv
import os
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets import recording_file
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.evt3 import read_evt3
from snnas.toolchain.data.datasets.frames import FrameOptions, to_frames
from snnas.toolchain.data.datasets.recording_file import probe, read_recordings
from tests.official_files import aedat3

WIDTH, HEIGHT = 40, 30


def made(seed: int = 0, count: int = 300, width: int = WIDTH, height: int = HEIGHT) -> Events:
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(0, high, count) for high in (width, height, 2))
    t = np.sort(rng.integers(0, 100_000, count))
    t[0] = 0  # faery counts from the first event
    return Events(x, y, p, t)


def read(path: Path) -> Events:
    ((place, events),) = read_recordings([probe(path)])
    assert place == 0
    return events


def equal(found: Events, wanted: Events) -> bool:
    return all(np.array_equal(getattr(found, key), getattr(wanted, key)) for key in "xypt")


def by_faery(path: Path, events: Events, **options: Any) -> Path:
    faery = pytest.importorskip("faery", reason="faery, which writes event files, is not installed")
    table = np.zeros(len(events), faery.EVENTS_DTYPE)
    for key in "xypt":
        table[key if key != "p" else "on"] = getattr(events, key)
    faery.events_stream_from_array(table, (WIDTH, HEIGHT)).to_file(path, **options)
    return path


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("a.aedat", {}, "aedat4"),
        ("a.aedat4", {}, "aedat4"),
        ("a.dat", {"version": "dat2"}, "dat"),
        ("a.raw", {"version": "evt2"}, "evt2"),
        ("b.raw", {"version": "evt3"}, "evt3"),
    ],
)
def test_what_faery_writes_is_read_event_for_event(tmp_path: Path, name: str, options: dict, kind: str) -> None:
    if kind in recording_file.LIBRARIES:
        pytest.importorskip(recording_file.LIBRARIES[kind])
    if name.endswith(".aedat4"):  # faery goes by the suffix .aedat
        path = by_faery(tmp_path / "a.aedat", made(), **options).rename(tmp_path / name)
    else:
        path = by_faery(tmp_path / name, made(), **options)
    found = probe(path)
    assert (found.format, found.sensor) == (kind, (WIDTH, HEIGHT))
    assert equal(read(path), made())


@pytest.mark.oracle
def test_what_dv_processing_writes_is_read_event_for_event(tmp_path: Path) -> None:
    dv = pytest.importorskip("dv_processing")
    pytest.importorskip("aedat")
    wanted, store = made(), dv.EventStore()
    for x, y, p, t in zip(wanted.x, wanted.y, wanted.p, wanted.t, strict=True):
        store.push_back(int(t) + 10**15, int(x), int(y), bool(p))
    config = dv.io.MonoCameraWriter.EventOnlyConfig("DVXplorer", (WIDTH, HEIGHT))
    writer = dv.io.MonoCameraWriter(str(tmp_path / "a.aedat4"), config)
    writer.writeEvents(store)
    del writer
    found = read(tmp_path / "a.aedat4")
    assert probe(tmp_path / "a.aedat4").sensor == (WIDTH, HEIGHT)
    assert equal(Events(found.x, found.y, found.p, found.t - 10**15), wanted)


EVT3 = Path(os.environ.get("SNNAS_DATA") or "no such folder") / "events" / "evt3_sample.raw"


@pytest.mark.skipif(not EVT3.is_file(), reason="SNNAS_DATA names no folder with events/evt3_sample.raw")
def test_a_real_recording_as_another_reader_decoded_it() -> None:
    """That reader, expelliarmus, adds 4,096 us whenever the lower half of the time falls: here 11 times too often."""
    found = read(EVT3)
    assert len(found) == 219_596
    with np.load(EVT3.with_suffix(".npz")) as wanted:
        for key in "xyp":
            assert np.array_equal(getattr(found, key), wanted[key])
        late = wanted["t"] - found.t
        assert set(late) == {4096 * k for k in range(12)}
        assert (np.diff(late) >= 0).all()


@pytest.mark.oracle
@pytest.mark.skipif(not EVT3.is_file(), reason="SNNAS_DATA names no folder with events/evt3_sample.raw")
def test_a_real_recording_as_faery_decodes_it() -> None:
    """faery lets no time fall back behind a stray word: by 11 us at the most."""
    faery = pytest.importorskip("faery")
    found, wanted = read(EVT3), faery.events_stream_from_file(EVT3).to_array()
    for key in "xy":
        assert np.array_equal(getattr(found, key), wanted[key])
    assert np.array_equal(found.p, wanted["on"])
    late = wanted["t"].astype(np.int64) - found.t
    assert (late.min(), late.max()) == (0, 11)


def evt3(*words: tuple[int, int]) -> bytes:
    return b"% evt 3.0\n% end\n" + np.array([kind << 12 | value for kind, value in words], "<u2").tobytes()


def test_evt3_by_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Column 5; then a vector of 12 that begins at column 20, goes on with one of 8; the clock runs over."""
    on = 1 << 11
    first = [(2, 9), (8, 4095), (6, 7), (2, 9), (0, 3), (2, 5 | on), (3, 20), (4, 0b1000_0000_0001), (5, 0b11)]
    content = evt3(*first, (14, 1), (8, 0), (6, 1), (2, 6), (3, 50 | on), (5, 0b1000_0000))
    clock, later = 4095 << 12 | 7, 1 << 24 | 1
    rows = [
        (5, 1, clock),
        (20, 0, clock),
        (31, 0, clock),
        (32, 0, clock),
        (33, 0, clock),
        (6, 0, later),
        (57, 1, later),
    ]
    for chunk in (1 << 20, 1, 2, 3, 5, 7):  # what holds is carried over, wherever the words are parted
        monkeypatch.setattr("snnas.toolchain.data.datasets.evt3._CHUNK", chunk)
        found = read_evt3(content, "here")
        assert list(zip(found.x, found.p, found.t, strict=True)) == rows
        assert set(found.y) == {3}
    assert len(read_evt3(evt3(*first[:4]), "here")) == 0  # no row was said
    assert read_evt3(evt3((8, 1), (0, 3), (2, 5)), "here").t.tolist() == [4096]  # faery begins so
    assert len(read_evt3(content + b"\1", "here")) == 7  # half a word
    with pytest.raises(InvalidFileError, match="header has no end"):
        read_evt3(b"% evt 3.0", "here")


def as_npz(path: Path, events: Events, **changes: Any) -> Path:
    np.savez(path, **{**{key: getattr(events, key) for key in "xypt"}, **changes})
    return path


def as_npy(path: Path, events: Events) -> Path:
    table = np.zeros(len(events), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
    for key in "xypt":
        table[key] = getattr(events, key)
    np.save(path, table)
    return path


def as_group(path: Path, events: Events) -> Path:
    with h5py.File(path, "w") as file:
        for key in "xypt":
            file[f"davis/events/{key}s"] = getattr(events, key)
    return path


def as_table(path: Path, events: Events) -> Path:
    as_npy(path.with_suffix(".npy"), events)
    with h5py.File(path, "w") as file:
        file["CD/events"] = np.load(path.with_suffix(".npy"))
    return path


def as_nmnist(path: Path, events: Events) -> Path:
    rows = [(x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255) for x, y, p, t in _rows(events)]
    path.write_bytes(np.array(rows, np.uint8).tobytes())
    return path


def as_davis(path: Path, events: Events) -> Path:
    """jAER's address of a DAVIS240, from its specification; and a word of a frame, which is no event."""
    rows = [((179 - y) << 22 | (239 - x) << 12 | p << 11, t) for x, y, p, t in _rows(events)]
    rows.insert(3, (1 << 31, 5))
    head = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    path.write_bytes(head + b"".join(struct.pack(">II", address, t) for address, t in rows))
    return path


def as_dvs128(path: Path, events: Events) -> Path:
    """jAER's address of a DVS128, from its extractor; and a signal from outside, which is no event of a pixel."""
    rows = [((127 - y) << 8 | (127 - x) << 1 | 1 - p, t) for x, y, p, t in _rows(events)]
    rows.insert(3, (1 << 15 | 5 << 8, 5))
    head = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    path.write_bytes(head + b"".join(struct.pack(">II", address, t) for address, t in rows))
    return path


def as_libcaer(path: Path, events: Events) -> Path:
    path.write_bytes(aedat3(np.array(_rows(events))))
    return path


def _rows(events: Events) -> list[tuple[int, int, int, int]]:
    return list(zip(*(getattr(events, key).tolist() for key in "xypt"), strict=True))


@pytest.mark.parametrize("write", [as_dvs128, as_libcaer])
def test_a_dvs128_is_read_upright(tmp_path: Path, write) -> None:
    """AEDAT 2, which was laid on its side as CIFAR10-DVS is, and AEDAT 3.1: a folder gives the events' frames."""
    wanted = {}
    for label, name in enumerate(("left", "right")):
        (tmp_path / name).mkdir()
        for k in range(3):
            events = made(10 * label + k, width=128, height=128)
            path = write(tmp_path / name / f"{k}.aedat", events)
            assert probe(path).sensor == (128, 128)
            assert equal(read(path), events)
            wanted[to_frames(events, (2, 128, 128), FrameOptions(frames=2)).tobytes()] = label
    loaded = data.load(tmp_path, seed=0, frames=2)
    parts = ((loaded.x_train, loaded.y_train), (loaded.x_val, loaded.y_val), (loaded.x_test, loaded.y_test))
    found = {x.astype(np.uint8).tobytes(): int(y) for xs, ys in parts for x, y in zip(xs, ys, strict=True)}
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", as_npz),
        ("a.npy", as_npy),
        ("a.h5", as_group),
        ("a.hdf5", as_table),
        ("a.bin", as_nmnist),
        ("a.aedat", as_davis),
    ],
)
def test_plain_files_are_read_event_for_event(tmp_path: Path, name: str, write) -> None:
    assert equal(read(write(tmp_path / name, made(height=30, width=34))), made(height=30, width=34))


def test_polarities_and_times_as_people_write_them(tmp_path: Path) -> None:
    events = made()
    signed = as_npz(tmp_path / "a.npz", events, p=2 * events.p - 1, t=events.t / 1e6)
    assert equal(read(signed), events)  # polarity -1 and 1, time in seconds


@pytest.mark.oracle
def test_a_davis_as_tonic_reads_it(tmp_path: Path) -> None:
    tonic_io = pytest.importorskip("tonic.io")
    path = as_davis(tmp_path / "a.aedat", made())
    content = path.read_bytes().replace(b"DAVIS240C", b"Davis346B").replace(struct.pack(">II", 1 << 31, 5), b"")
    path.write_bytes(content.replace(b"# AEChip", b"# Creation time: 5 0 0 7\r\n# AEChip"))
    _, _, wanted = tonic_io.read_davis_346(str(path))
    found = read(path)
    assert len(found) == 300
    for key in "xypt":
        assert np.array_equal(getattr(found, key), wanted[key])


def classes(folder: Path, each: int = 4, **changes: Any) -> Path:
    for label, name in enumerate(("left", "right")):
        (folder / name).mkdir(parents=True)
        for k in range(each):
            as_npz(folder / name / f"{k}.npz", made(10 * label + k), **changes)
    return folder


def test_a_folder_of_recordings_becomes_frames(tmp_path: Path) -> None:
    loaded = data.load(classes(tmp_path), seed=0, sensor="40x30", frames=6, split_by="time")
    assert (loaded.classes, loaded.class_names, loaded.input_kind) == (2, ("left", "right"), "spikes")
    assert loaded.x_train.shape[1:] == (6, 2, HEIGHT, WIDTH)
    assert loaded.options == {"frames": 6, "split_by": "time", "sensor": "40x30"}
    how = FrameOptions(frames=6, split_by="time")
    wanted = {to_frames(made(10 * label + k), (2, 30, 40), how).tobytes(): label for label in (0, 1) for k in range(4)}
    parts = ((loaded.x_train, loaded.y_train), (loaded.x_val, loaded.y_val), (loaded.x_test, loaded.y_test))
    found = {x.astype(np.uint8).tobytes(): int(y) for xs, ys in parts for x, y in zip(xs, ys, strict=True)}
    assert found == wanted
    again = data.load(tmp_path, seed=0, **loaded.options)  # of the cache
    assert again.digest == loaded.digest
    assert np.array_equal(again.x_test, loaded.x_test)


def test_a_sensor_that_nobody_names_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidFileError, match=r"0\.npz does not say how large its sensor is \(its events reach 40x30\)"
    ):
        data.load(classes(tmp_path), seed=0)
    with pytest.raises(
        InvalidFileError, match=r"an event lies at column 39, row 29 at the most, expected within 39 x 30"
    ):
        data.load(tmp_path, seed=0, sensor="39x30")
    for sensor in ("40", "40x", "0x30", "40x99999", "x"):
        with pytest.raises(UsageError, match=f"sensor={sensor}: expected WIDTHxHEIGHT"):
            data.load(tmp_path, seed=0, sensor=sensor)


def test_a_table_of_labels(tmp_path: Path) -> None:
    rows = [("path", "label", "subject", "split")]
    for k in range(12):
        (tmp_path / f"day{k % 2}").mkdir(exist_ok=True)
        as_npz(tmp_path / f"day{k % 2}/{k}.npz", made(k))
        rows.append((f"day{k % 2}/{k}.npz", str(10 * (k % 2)), f"person {k // 2}", "test" if k > 9 else "train"))
    _write(tmp_path, rows)
    loaded = data.load(tmp_path, seed=0, sensor="40x30", frames=2, groups="subject")
    assert (loaded.class_names, loaded.own_test) == (("0", "10"), True)
    assert (len(loaded.y_train), len(loaded.y_val), len(loaded.y_test)) == (8, 2, 2)
    assert sorted(loaded.y_val) == [0, 1]
    wanted = to_frames(made(11), (2, 30, 40), FrameOptions(frames=2))
    assert np.array_equal(loaded.x_test[loaded.y_test == 1][0], wanted)
    for bad, words in (
        ([("path", "class")], "expected 'label' among them"),
        ([*rows, ("day9/1.npz", "0", "", "")], r"line 14: 'day9/1.npz' is no recording"),
        ([*rows, ("../x.npz", "0", "", "")], r"line 14: '../x.npz' is no recording"),
        ([*rows, rows[1]], "line 14: 'day0/0.npz' is listed twice"),
        ([*rows[:-1], (*rows[-1][:3], "dev")], "line 13: split 'dev', expected train, val or test"),
        ([rows[0], *[(row[0], "1", "", "") for row in rows[1:]]], "has 1 labels, expected 2"),
    ):
        _write(tmp_path, bad)
        with pytest.raises(InvalidFileError, match=words):
            data.load(tmp_path, seed=0, sensor="40x30")


def test_a_table_beside_pictures_is_no_table_of_recordings(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for k in range(4):
            image.new("L", (4, 4), k).save(tmp_path / name / f"{k}.png")
    (tmp_path / "labels.csv").write_text("a,b\n")
    assert data.load(tmp_path, seed=0).notes == ("not read: 1 .csv files",)


def test_groups_of_folders_of_recordings(tmp_path: Path) -> None:
    for k in range(12):
        place = tmp_path / ("left", "right")[k % 2] / f"person {k // 2}" / "day 1"
        place.mkdir(parents=True)
        as_npz(place / "a.npz", made(k))
    loaded = data.load(tmp_path, seed=0, sensor="40x30", groups="folder")
    assert sorted(loaded.y_test.tolist()) in ([0, 1], [0, 0, 1, 1])
    assert sorted(loaded.y_val.tolist()) in ([0, 1], [0, 0, 1, 1])


def _write(folder: Path, rows: list) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("9.aedat", b"nothing", "starts with b'nothing', expected #!AER-DAT2"),
        ("9.aedat", b"#!AER-DAT2.0\n# of no camera\n", "names no camera of DVS128"),
        ("9.raw", b"% evt 2.1\n% end\n", "names EVT 2.1, expected EVT 2.0 or 3.0"),
        ("9.raw", b"% evt 4.0\n% end\n", "names EVT 4.0, expected EVT 2.0 or 3.0"),
        ("9.raw", b"", "names no EVT version"),
        ("9.h5", b"\x89HDF\r\n\x1a\nnothing", "not a readable recording"),
        ("9.npz", b"nothing", "cannot be read"),
        ("9.bin", b"1234", "4 bytes, expected a multiple of 5"),
        ("9.bin", b"", "0 bytes"),
    ],
)
def test_damaged_recordings_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (classes(tmp_path) / "left" / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match=words) as caught:
        data.load(tmp_path, seed=0, sensor="40x30")
    assert name in str(caught.value)
    assert not list((tmp_path / ".cache").glob("*.npy"))


def test_what_needs_prophesees_plug_in_is_refused_by_name(tmp_path: Path) -> None:
    path = classes(tmp_path) / "left/9.h5"
    with h5py.File(path, "w") as file:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((4,))
        how.set_filter(36559, h5py.h5z.FLAG_OPTIONAL, ())  # ECF, as Metavision writes it
        kind = h5py.h5t.py_create(np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]))
        h5py.h5d.create(file.create_group("CD").id, b"events", kind, h5py.h5s.create_simple((4,)), how)
    with pytest.raises(InvalidFileError, match=r"9\.h5.* packed by ECF of Prophesee, which is not installed; repack"):
        data.load(tmp_path, seed=0, sensor="40x30")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"t": np.array([])}, "one value per event"),
        ({"x": np.array([{}] * 300, object)}, "holds object"),
        ({"x": np.full(300, -1)}, r"columns -1 \.\. -1"),
        ({"x": np.full(300, np.nan)}, "x is float64 and not finite"),
        ({"x": np.zeros((300, 1), int)}, "expected one number per event"),
        ({key: np.zeros(0, int) for key in "xypt"}, r"0\.npz holds no events"),
    ],
)
def test_arrays_that_are_no_events_are_named(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(InvalidFileError, match=words):
        data.load(classes(tmp_path, **changes), seed=0, sensor="40x30")


def test_a_reader_that_dies_is_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many recordings that a child reads, the one that kills it is named."""
    for k in range(3):
        as_group(tmp_path / f"{k}.h5", made(k))
    child = tmp_path / "child.py"
    child.write_text("import os, sys\nif '1.h5' in open(sys.argv[1]).read(): os.abort()\n" + _forward())
    monkeypatch.setattr(recording_file, "CHILD", child)
    read_so_far = []
    with pytest.raises(InvalidFileError, match=r"1\.h5: not a readable file \(its reader ended by signal 6\)"):
        read_so_far += [place for place, _ in read_recordings([probe(tmp_path / f"{k}.h5") for k in range(3)])]


def _forward() -> str:
    real = recording_file.CHILD
    return f"import runpy\nruntime = runpy.run_path({str(real)!r}, run_name='__main__')\n"


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.raw").write_bytes(b"% evt 2.0\n% geometry 40x30\n% end\n")
    monkeypatch.setattr(recording_file, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"EVT2 recordings needs expelliarmus; .* the extra \[events\]"):
        data.load(tmp_path, seed=0)


def test_options_of_recordings_are_for_recordings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data sensor= is for event recordings of your own, and digits is none"):
        data.load("digits", seed=0, sensor="40x30")
    with pytest.raises(UsageError, match="--data background= is for a folder of pictures"):
        data.load(classes(tmp_path), seed=0, background="white")
