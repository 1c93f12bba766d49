import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data.datasets.events import Events, read_aedat2, read_aedat3, read_nmnist
from snnas.toolchain.data.datasets.frames import FrameOptions, to_frames
from tests import official_files
from tests.official_files import aedat2, aedat3, draw_events, expect, nmnist_bin, nmnist_members, tar, written, zipped

SENSOR = (2, 34, 34)


def rows(events: Events) -> list[list[int]]:
    return np.column_stack([events.x, events.y, events.p, events.t]).tolist()


def test_formats_give_back_what_was_written() -> None:
    assert rows(read_nmnist(nmnist_bin(draw_events(0, 200, 34)), "it")) == draw_events(0, 200, 34).tolist()
    for write, read in ((aedat2, read_aedat2), (aedat3, read_aedat3)):
        assert rows(read(write(draw_events(1, 333, 128)), "it")) == draw_events(1, 333, 128).tolist()


def test_clocks_that_run_over() -> None:
    events = np.array([[1, 2, 0, 5], [0, 240, 0, 0], [3, 4, 1, 6], [0, 240, 0, 0], [3, 4, 1, 7]])
    assert read_nmnist(nmnist_bin(events), "it").t.tolist() == [5, 6 + 2**13, 7 + 2**14]
    late = np.array([[1, 2, 0, 2**31 + 9], [1, 2, 0, 2**31 + 10]])
    assert read_aedat3(aedat3(late), "it").t.tolist() == [2**31 + 9, 2**31 + 10]


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (read_nmnist, b"", "has 0 bytes"),
        (read_nmnist, bytes(7), "multiple of 5"),
        (read_nmnist, nmnist_bin(np.array([[34, 0, 0, 1]])), "column 34, row 0"),
        (read_nmnist, nmnist_bin(np.array([[0, 200, 0, 1]])), "row 200"),
        (read_aedat2, b"", "starts with b''"),
        (read_aedat2, b"#!AER-DAT3.1\r\n" + bytes(16), r"expected #!AER-DAT2\."),
        (read_aedat2, b"#!AER-DAT2.0\r\n" + bytes(12), "multiple of 8"),
        (read_aedat2, b"#!AER-DAT2.0\r\n", "multiple of 8"),
        (read_aedat2, b"#!AER-DAT2.0", "no end"),
        (read_aedat3, aedat2(draw_events(0, 9, 34)), r"expected #!AER-DAT3\."),
        (read_aedat3, b"#!AER-DAT3.1\r\n# more\r\n", "no end"),
        (read_aedat3, b"#!AER-DAT3.1\r\n" + b"# more\r\n" * 5000 + b"#!END-HEADER\r\n", "no end"),
        (read_aedat3, b"#!AER-DAT3.1\r\n#!END-HEADER\r\n", "no polarity events"),
        (read_aedat3, aedat3(draw_events(0, 9, 34))[:-3], "bytes are left"),
        (read_aedat3, aedat3(draw_events(0, 9, 34)) + bytes(9), "within the header"),
        (read_aedat3, aedat3(np.array([[128, 1, 0, 5]])), "column 128"),
    ],
)
def test_broken_recordings(read, content: bytes, words: str) -> None:
    with pytest.raises(InvalidFileError, match=words) as caught:
        read(content, "this.file")
    assert "this.file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "capacity", "number"), [(8, 2**32 - 1, 1), (2**32 - 1, 2**32 - 1, 1), (8, 1, 2), (0, 9, 9), (16, 1, 1)]
)
def test_packets_that_lie_cost_nothing(size: int, capacity: int, number: int) -> None:
    packet = struct.pack("<HHIIIIII", 1, 1, size, 4, 0, capacity, number, number)
    with pytest.raises(InvalidFileError, match=r"declares|events of"):
        read_aedat3(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet + bytes(16), "it")


@given(st.binary(max_size=300), st.sampled_from([read_nmnist, read_aedat2, read_aedat3]))
def test_any_bytes_are_read_or_refused(content: bytes, read) -> None:
    start = {read_nmnist: b"", read_aedat2: b"#!AER-DAT2.0\r\n", read_aedat3: b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"}
    try:
        events = read(start[read] + content, "it")
    except InvalidFileError:
        return
    side = 34 if read is read_nmnist else 128
    assert all(((v >= 0) & (v < side)).all() for v in (events.x, events.y))


def by_hand(events: np.ndarray, options: FrameOptions) -> np.ndarray:
    frames = np.zeros(options.shape(SENSOR), dtype=np.int64)
    t = events[:, 3]
    for i, (x, y, p, when) in enumerate(events.tolist()):
        index = i / len(events) if options.split_by == "count" else (when - t.min()) / (np.ptp(t) + 1)
        frames[int(index * options.frames + 1e-9), p, y // options.downsample, x // options.downsample] += 1
    return np.minimum(frames, 255 if options.counts else 1)


@given(
    st.integers(1, 200), st.integers(1, 20), st.sampled_from(["count", "time"]), st.integers(1, 5), st.booleans()
)  # fmt: skip
def test_frames_are_those_counted_by_hand(count: int, frames: int, split_by, downsample: int, counts: bool) -> None:
    drawn = draw_events(count, count, 34)
    options = FrameOptions(frames=frames, split_by=split_by, downsample=downsample, counts=counts)
    made = to_frames(Events(*drawn.T), SENSOR, options)
    assert made.dtype == np.uint8
    assert np.array_equal(made, by_hand(drawn, options))


def test_every_frame_has_its_share_and_counts_saturate() -> None:
    same = np.tile([[3, 4, 1, 7]], (1030, 1))
    made = to_frames(Events(*same.T), SENSOR, FrameOptions(frames=4, counts=True))
    assert made.reshape(4, -1).max(axis=1).tolist() == [255] * 4
    assert (made > 0).sum() == 4
    few = to_frames(Events(*same[:10].T), SENSOR, FrameOptions(frames=4, counts=True))
    assert few.reshape(4, -1).sum(axis=1).tolist() == [3, 2, 3, 2]


def test_tonic_agrees(tmp_path: Path) -> None:
    tonic_io, transforms = pytest.importorskip("tonic.io"), pytest.importorskip("tonic.transforms")
    drawn = draw_events(4, 320, 34)
    drawn[:, 3] = 100 + np.arange(320) * 2  # equal bins and equal shares: tonic leaves out what is over
    (tmp_path / "it.bin").write_bytes(nmnist_bin(drawn))
    theirs = tonic_io.read_mnist_file(
        str(tmp_path / "it.bin"), dtype=np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    )
    ours = read_nmnist(nmnist_bin(drawn), "it")
    assert rows(ours) == np.column_stack([theirs[k] for k in "xypt"]).tolist()
    frames = transforms.ToFrame(sensor_size=(34, 34, 2), n_event_bins=16)(theirs)
    assert np.array_equal(to_frames(ours, SENSOR, FrameOptions(counts=True)), frames)
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize("options", [{"frames": 0}, {"frames": 1001}, {"split_by": "number"}, {"downsample": 0}])
def test_options_out_of_range(tmp_path: Path, options: dict) -> None:
    with pytest.raises(UsageError, match="expected"):
        data.load("nmnist", seed=0, data_dir=tmp_path, **options)


def lay(folder: Path, layout: str) -> Path:
    place = folder / layout / "nmnist"
    place.mkdir(parents=True)
    members = nmnist_members("Train") | nmnist_members("Test", each=2)
    if layout == "two":
        zipped(place / "Train.zip", nmnist_members("Train"))
        zipped(place / "Test.zip", nmnist_members("Test", each=2))
    elif layout == "one":
        zipped(place / "nmnist.zip", dict(reversed(members.items())))
    else:
        written(place, members)
    return folder / layout


def test_nmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    calls: list[tuple[int, int]] = []
    loaded = {
        layout: data.load("nmnist", seed=0, data_dir=lay(tmp_path, layout), advance=lambda *a: calls.append(a))
        for layout in ("two", "one", "unpacked")
    }
    assert len({part.digest for part in loaded.values()}) == 1
    one = loaded["two"]
    assert one.x_test.shape == (20, 16, 2, 34, 34)
    assert (one.input_kind, one.range, one.x_train.dtype) == ("spikes", (0.0, 1.0), np.float32)
    assert calls[-1] == (50, 50)
    first = read_nmnist(nmnist_members("Test", each=2)["Test/0/00000.bin"], "it")
    assert np.array_equal(one.x_test[0], to_frames(first, SENSOR, FrameOptions()))
    assert one.y_test.tolist() == [k // 2 for k in range(20)]
    assert sorted(np.concatenate([one.y_train, one.y_val]).tolist()) == sorted(list(range(10)) * 3)


def test_options_make_other_frames_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    given_options = {"frames": 3, "split_by": "time", "downsample": 2, "counts": True}
    loaded = data.load("nmnist", seed=0, data_dir=place, **given_options)
    assert loaded.x_train.shape[1:] == (3, 2, 17, 17)
    assert (loaded.input_kind, loaded.range[0]) == ("counts", 0.0)
    assert 1 < max(loaded.x_train.max(), loaded.x_val.max()) == loaded.range[1] >= loaded.x_test.max()
    assert loaded.options == {**given_options, "data_dir": str(place)}
    assert data.load("nmnist", seed=0, **loaded.options).digest == loaded.digest


def test_the_range_of_counts_is_not_set_by_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    bright = nmnist_bin(np.tile([[3, 4, 1, 7]], (400, 1)))
    zipped(place / "nmnist/Test.zip", {**nmnist_members("Test", each=2), "Test/0/00000.bin": bright})
    loaded = data.load("nmnist", seed=0, data_dir=place, counts=True)
    assert loaded.x_test.max() == loaded.range[1] == max(loaded.x_train.max(), loaded.x_val.max()) < 20


def test_the_cache_serves_and_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    decoded: list[int] = []

    def load(**options) -> data.Dataset:
        decoded.clear()
        return data.load("nmnist", seed=0, data_dir=place, advance=lambda done, total: decoded.append(done), **options)

    first = load()
    assert len(decoded) == 50
    assert load().digest == first.digest
    assert not decoded
    load(frames=4)
    assert len(decoded) == 50
    (frames,) = (path for path in (place / ".cache").glob("*.npy") if path.stat().st_size > 1_000_000)
    whole = frames.read_bytes()
    for content in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1]), whole.replace(b"(50", b"(90", 1)):
        frames.write_bytes(content)
        assert load().digest == first.digest
        assert len(decoded) == 50
    for text in ("{", '{"labels": 3}', "[]"):
        frames.with_suffix(".json").write_text(text)
        assert load().digest == first.digest
        assert len(decoded) == 50
    zipped(place / "nmnist/Test.zip", {**nmnist_members("Test", each=2), "Test/0/00000.bin": bytes(5)})
    assert load().digest != first.digest
    assert not list((place / ".cache").glob("*.part"))


@pytest.mark.parametrize("layout", ["two", "unpacked"])
def test_another_file_is_another_entry_wherever_the_folder_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path / ".cache", layout)
    first = data.load("nmnist", seed=0, data_dir=place).digest
    changed = {**nmnist_members("Test", each=2), "Test/0/00000.bin": bytes(5)}
    if layout == "two":
        zipped(place / "nmnist/Test.zip", changed)
    else:
        (place / "nmnist/Test/0/00000.bin").write_bytes(bytes(5))
    assert data.load("nmnist", seed=0, data_dir=place).digest != first


def test_a_failed_decoding_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    zipped(place / "nmnist/Test.zip", {**nmnist_members("Test", each=2), "Test/9/00019.bin": bytes(4)})
    with pytest.raises(InvalidFileError, match=r"Test/9/00019\.bin of .*Test\.zip has 4 bytes"):
        data.load("nmnist", seed=0, data_dir=place)
    assert {path.suffix for path in (place / ".cache").iterdir()} == {".lock"}


def test_a_read_only_folder_is_served_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    wanted = data.load("nmnist", seed=0, data_dir=lay(tmp_path, "one")).digest
    place.chmod(0o555)
    try:
        assert data.load("nmnist", seed=0, data_dir=place).digest == wanted
        assert not (place / ".cache").exists()
    finally:
        place.chmod(0o755)


def test_a_part_of_nmnist_is_named_by_its_index(tmp_path: Path) -> None:
    members = nmnist_members("Train") | nmnist_members("Test", each=2)
    place = tmp_path / "nmnist_subset"
    place.mkdir()
    zipped(place / "nmnist_subset.zip", members)
    with pytest.raises(InvalidFileError, match="30 recordings to train and 20 to test, expected 60000 and 10000"):
        data.load("nmnist", seed=0, data_dir=tmp_path)
    listed = [name for name in members if not name.endswith("00029.bin")]
    index = "split,path\n" + "".join(f"{name.split('/')[0].lower()},{name}\n" for name in listed)
    (place / "index.csv").write_text(index)
    for data_dir in (tmp_path, place):
        loaded = data.load("nmnist", seed=0, data_dir=data_dir)
        assert [len(y) for y in (loaded.y_train, loaded.y_val, loaded.y_test)] == [19, 10, 20]
    (place / "index.csv").write_text(index + "train,Train/3/99999.bin\n")
    with pytest.raises(InvalidFileError, match="29 recordings to train and 20 to test, expected 30 and 20"):
        data.load("nmnist", seed=0, data_dir=place)
    (place / "index.csv").write_text("split,path\ntrain,../../etc/passwd\n")
    with pytest.raises(InvalidFileError, match=r"index\.csv: expected rows"):
        data.load("nmnist", seed=0, data_dir=place)


def test_a_recording_that_is_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    zipped(place / "nmnist/nmnist.zip", nmnist_members("Train", each=1))
    with pytest.raises(InvalidFileError, match=r"Train/0/00000\.bin is in .* expected once"):
        data.load("nmnist", seed=0, data_dir=place)


@pytest.mark.parametrize("packed", [True, False])
def test_gesture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    expect(monkeypatch, "dvs128_gesture", train=33, test=11)
    members, recordings = official_files.gesture_members()
    place = tmp_path / "dvs128_gesture"
    place.mkdir()
    if packed:
        tar(place / "DvsGesture.tar.gz", members)
    for name, content in members.items() if not packed else ():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(content)
    loaded = data.load("dvs128_gesture", seed=0, data_dir=tmp_path, frames=4, downsample=4)
    assert loaded.x_train.shape[1:] == (4, 2, 32, 32)
    assert (loaded.classes, loaded.class_names[0]) == (11, "hand clapping")
    assert loaded.y_test.tolist() == list(range(11))
    third = recordings["user03_led"][80:120]
    wanted = to_frames(Events(*third.T), (2, 128, 128), FrameOptions(frames=4, downsample=4))
    assert np.array_equal(loaded.x_test[2], wanted)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("user00_led_labels.csv", b"class,a,b\n12,1,2\n", r"user00_led_labels\.csv .* \(row"),
        ("user00_led_labels.csv", b"class,a,b\n1,7,7\n", "start and end in microseconds"),
        ("user00_led_labels.csv", b"class,a,b\n1,x,7\n", "invalid literal"),
        ("user00_led_labels.csv", None, "it is missing"),
        ("user00_led_labels.csv", b"class,a,b\n1,1,20\n", "23 gestures to train and 11 to test"),
        ("user01_led.aedat", None, r"user01_led\.aedat is missing"),
        ("user01_led.aedat", b"GIF89a", r"user01_led\.aedat of .* starts with b'GIF89a'"),
        ("trials_to_test.txt", None, r"trials_to_test\.txt is missing"),
    ],
)
def test_broken_gestures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None, words: str
) -> None:
    expect(monkeypatch, "dvs128_gesture", train=33, test=11)
    members, _ = official_files.gesture_members()
    changed = {**members, f"DvsGesture/{name}": content}
    tar(tmp_path / "DvsGesture.tar.gz", {k: v for k, v in changed.items() if v is not None})
    with pytest.raises(InvalidFileError, match=words):
        data.load("dvs128_gesture", seed=0, data_dir=tmp_path)


def test_a_gesture_without_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "dvs128_gesture", train=23, test=11)
    members, _ = official_files.gesture_members()
    members["DvsGesture/user00_led_labels.csv"] = b"class,a,b\n1,1,20\n"
    tar(tmp_path / "DvsGesture.tar.gz", members)
    with pytest.raises(InvalidFileError, match="recording 0 holds no events"):
        data.load("dvs128_gesture", seed=0, data_dir=tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_dvs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    official = expect(monkeypatch, "cifar10_dvs", train=110)
    for label, name in enumerate(official.class_names):
        members = {f"{name}/cifar10_{name}_{k}.aedat": aedat2(draw_events(11 * label + k, 50, 128)) for k in range(11)}
        if packed:
            zipped(tmp_path / f"{name}.zip", members)
        for member, content in members.items() if not packed else ():
            (tmp_path / member).parent.mkdir(exist_ok=True)
            (tmp_path / member).write_bytes(content)
    loaded = data.load("cifar10_dvs", seed=0, data_dir=tmp_path, frames=2, downsample=4)
    # No official split: 10 % test, 8 % to validate, of each class alike.
    assert np.bincount(loaded.y_test).tolist() == [2] + [1] * 9
    assert len(loaded.y_val) == 10
    assert loaded.x_train.shape[1:] == (2, 2, 32, 32)
    wanted = {
        to_frames(Events(*draw_events(k, 50, 128).T), (2, 128, 128), FrameOptions(frames=2, downsample=4)).tobytes(): k
        for k in range(110)
    }
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_test, loaded.y_test)):
        assert [wanted[row.astype(np.uint8).tobytes()] // 11 for row in x] == y.tolist()
    if packed:
        (tmp_path / "frog.zip").unlink()
        with pytest.raises(InvalidFileError, match=r"frog\.zip \(size not known\) is not in .*figshare"):
            data.load("cifar10_dvs", seed=0, data_dir=tmp_path)
    else:
        (tmp_path / "bird/cifar10_bird_3.aedat").unlink()
        with pytest.raises(InvalidFileError, match=r"bird holds 10 \.aedat recordings, expected 11"):
            data.load("cifar10_dvs", seed=0, data_dir=tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_shd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    expect(monkeypatch, "shd", train=60, test=40)
    official_files.shd(tmp_path / "shd_train.h5", 60)
    units = official_files.shd(tmp_path / "shd_test.h5", 40)
    for name in ("shd_train.h5", "shd_test.h5") if packed else ():
        zipped(tmp_path / f"{name}.zip", {name: (tmp_path / name).read_bytes()})
        (tmp_path / name).unlink()
    loaded = data.load("shd", seed=0, data_dir=tmp_path, frames=10, downsample=5)
    assert loaded.x_test.shape == (40, 10, 1, 1, 140)
    assert loaded.y_test.tolist() == [k % 20 for k in range(40)]
    for sample, row in zip(loaded.x_test, units, strict=True):
        assert np.flatnonzero(sample.any(axis=(0, 1, 2))).tolist() == np.unique(row // 5).tolist()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 59}, r"\(59,\) labels, expected \(60,\)"),
        ({"units_below": 900}, r"units 0 \.\. 8\d\d"),
        ({"labels_below": 30}, r"labels 0 \.\. 29"),
        ({"more_times": 1}, "times and units differ"),
    ],
)
def test_shd_with_other_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, words: str) -> None:
    expect(monkeypatch, "shd", train=60, test=40)
    official_files.shd(tmp_path / "shd_train.h5", **{"count": 60, **changes})
    official_files.shd(tmp_path / "shd_test.h5", 40)
    with pytest.raises(InvalidFileError, match=words):
        data.load("shd", seed=0, data_dir=tmp_path)


def test_damaged_hdf5_is_refused_in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "shd", train=60, test=40)
    official_files.shd(tmp_path / "shd_test.h5", 40)
    official_files.shd(tmp_path / "shd_train.h5", 60)
    whole = (tmp_path / "shd_train.h5").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"nothing"):
        (tmp_path / "shd_train.h5").write_bytes(content)
        with pytest.raises(InvalidFileError, match=r"shd_train\.h5: not a readable HDF5 file"):
            data.load("shd", seed=0, data_dir=tmp_path)
    zipped(tmp_path / "shd_train.h5.zip", {"other.h5": b""})
    (tmp_path / "shd_train.h5").unlink()
    with pytest.raises(InvalidFileError, match=r"shd_train\.h5 is missing in .*zip"):
        data.load("shd", seed=0, data_dir=tmp_path)


def test_what_does_not_fit_is_refused_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(monkeypatch, "nmnist", train=30, test=20)
    place = lay(tmp_path, "two")
    monkeypatch.setattr("snnas.toolchain.data.datasets.cache.MAX_BYTES", 50 * 16 * 2 * 34 * 34 - 1)
    with pytest.raises(UsageError, match="fewer --data frames=, or --data downsample=2"):
        data.load("nmnist", seed=0, data_dir=place)
    monkeypatch.undo()
    expect(monkeypatch, "nmnist", train=30, test=20)
    monkeypatch.setattr("snnas.toolchain.data.load.MAX_ARRAY_BYTES", 50 * 16 * 2 * 34 * 34)
    with pytest.raises(UsageError, match="GB as float32"):
        data.load("nmnist", seed=0, data_dir=place)
    assert data.load("nmnist", seed=0, data_dir=place, compact=True).x_train.dtype == np.uint8
