"""Pictures and folders as people have them: transparency, formats, other files, and splits that are there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data import load as data
from snnas.toolchain.data import split
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.split import copies_in_test

Image = pytest.importorskip("PIL.Image")


def folder(root: Path, save: Callable[[Path, int], None], *parts: str, each: int = 5) -> Path:
    """Two classes, a and b; ``save`` is given a path without suffix and 10 k, or 100 + 10 k."""
    for part in parts or ("",):
        for label, name in enumerate("ab"):
            place = root / part / name
            place.mkdir(parents=True)
            for k in range(each):
                save(place / str(k), 100 * label + 10 * k)
    return root


def plain(path: Path, value: int) -> None:
    Image.new("RGB", (4, 4), (value, 0, 0)).save(path.with_suffix(".png"))


def samples(loaded: Dataset) -> np.ndarray:
    x = np.concatenate([loaded.x_train, loaded.x_val, loaded.x_test])
    return np.unique(np.rint(x * 255).astype(int).reshape(len(x), -1), axis=0)


def drawn_in_alpha(path: Path, value: int) -> None:
    levels = np.zeros((4, 4, 4), np.uint8)
    levels[1, :, 3] = value + 5
    Image.fromarray(levels).save(path.with_suffix(".png"))


def test_what_is_drawn_in_alpha_is_seen(tmp_path: Path) -> None:
    folder(tmp_path, drawn_in_alpha)
    loaded = data.load(tmp_path, seed=0)
    found = samples(loaded)
    assert len(found) == 10  # they became 20 equal pictures
    assert sorted(found.min(1)) == sorted(255 - v - 5 for label in (0, 100) for v in range(label, label + 50, 10))
    assert loaded.notes == ("10 pictures are transparent in part: composited over white (--data background=)",)
    with pytest.raises(InvalidFileError, match="cannot be seen over black; give --data background=white"):
        data.load(tmp_path, seed=0, background="black")


def test_half_of_a_colour_is_half_of_it(tmp_path: Path) -> None:
    folder(
        tmp_path,
        lambda path, v: Image.new("RGBA", (4, 4), (200, v, 0, 128)).save(path.with_suffix(".webp"), lossless=True),
    )
    over = {name: data.load(tmp_path, seed=0, background=name) for name in ("white", "black")}
    reds = {name: set(samples(loaded)[:, 0].tolist()) for name, loaded in over.items()}
    assert reds == {"white": {227}, "black": {100}}  # (200 * 128 + 255 * 127) / 255 = 227.39 and 100.39
    assert over["black"].options == {"background": "black"}
    with pytest.raises(UsageError, match="background=pink: expected white or black"):
        data.load(tmp_path, seed=0, background="pink")


def _palette(path: Path, value: int) -> None:
    image = Image.fromarray(np.eye(4, dtype=np.uint8), "P")
    image.putpalette([value, value, value, 30, 60, value])
    image.save(path.with_suffix(".png"), transparency=0)


def _grey_alpha(path: Path, value: int) -> None:
    levels = np.stack([np.full((4, 4), value), np.full((4, 4), 255)], axis=-1).astype(np.uint8)
    Image.fromarray(levels, "LA").save(path.with_suffix(".png"))


def _cmyk(path: Path, value: int) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, value)).save(path.with_suffix(".tif"))


def _png_called_jpg(path: Path, value: int) -> None:
    plain(path, value)
    path.with_suffix(".png").rename(path.with_suffix(".jpg"))


def _jpeg_called_png(path: Path, value: int) -> None:
    with path.with_suffix(".png").open("wb") as file:  # Pillow goes by the suffix
        Image.new("RGB", (4, 4), (value, value, value)).save(file, format="JPEG", quality=100)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize(
    ("save", "first", "note"),
    [
        (_palette, [30, 255, 255, 255], "10 pictures are transparent in part"),
        (_grey_alpha, [0, 0, 0, 0], ""),  # opaque throughout: as if it had no alpha
        (_cmyk, [255] * 4, "10 pictures are CMYK"),
        (_png_called_jpg, [0] * 4, "10 PNG files under the name .jpg, read as what they are"),
        (_jpeg_called_png, [140] * 4, "10 JPEG files under the name .png, read as what they are"),
        (lambda p, v: Image.new("RGB", (4, 4), (v, 0, 0)).save(p.with_suffix(".bmp")), [0] * 4, ""),
        (lambda p, v: Image.new("1", (4, 4), v % 20 == 0).save(p.with_suffix(".TIFF")), [255] * 4, ""),
    ],
)  # fmt: skip
def test_formats_and_modes(tmp_path: Path, save: Callable, first: list[int], note: str) -> None:
    folder(tmp_path, save)
    loaded = data.load(tmp_path, seed=0)
    x = np.concatenate([loaded.x_train, loaded.x_val, loaded.x_test])
    assert any(np.array_equal(np.rint(row[0, 0] * 255), first) for row in x)
    assert "".join(loaded.notes).startswith(note)
    assert len(loaded.notes) == bool(note)


def test_several_pictures_in_a_file_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, plain)
    frames = [Image.new("L", (4, 4), k) for k in range(3)]
    frames[0].save(tmp_path / "a/9.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidFileError, match=r"9\.tif holds 3 pictures, expected one"):
        data.load(tmp_path, seed=0)


def test_a_camera_held_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the picture is turned by a quarter before anybody looks at it."""
    folder(tmp_path, plain)
    stored = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 10).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "a/9.png", exif=exif)
    wanted = np.rot90(np.arange(16).reshape(4, 4) * 10, -1)
    loaded = data.load(tmp_path, seed=0)
    x = np.rint(np.concatenate([loaded.x_train, loaded.x_val, loaded.x_test])[:, 0] * 255)
    assert any(np.array_equal(image, wanted) for image in x)


def test_what_is_not_read_is_counted_and_named(tmp_path: Path) -> None:
    folder(tmp_path, plain)
    (tmp_path / "a/more").mkdir()
    plain(tmp_path / "a/more/7", 250)
    (tmp_path / "a/notes.txt").touch()
    (tmp_path / "b/x.gif").touch()
    (tmp_path / "b/._x.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "b/.DS_Store").touch()
    (tmp_path / "__MACOSX/a").mkdir(parents=True)
    (tmp_path / "README").touch()
    loaded = data.load(tmp_path, seed=0)
    assert loaded.class_names == ("a", "b")
    assert 250 in samples(loaded)[:, 0]
    assert loaded.notes == (
        "not read: 1 files like 'README', 1 __MACOSX folder (an archive's leftover), 1 .txt files, 1 ._* files (of "
        "macOS), 1 .gif files",
        "1 files in folders below a class's own are read as of that class",
    )
    assert loaded.summary.startswith(f"{tmp_path.name}: 11 samples")


@pytest.mark.parametrize(("names", "test", "drawn"), [
    (("train", "val", "test"), 10, False), (("Train", "Validation", "TEST"), 10, False), (("train", "valid"), 2, True),
])  # fmt: skip
def test_a_validation_folder_validates(tmp_path: Path, names: tuple, test: int, drawn: bool) -> None:
    folder(tmp_path, plain, *names)
    plain(tmp_path / names[1] / "a/9", 201)
    loaded = data.load(tmp_path, seed=0)
    assert len(loaded.y_val) == 11
    assert 201 in np.rint(loaded.x_val * 255)
    assert (len(loaded.y_test), loaded.own_test) == (test, not drawn)
    assert len(loaded.y_train) == 10 - (test if drawn else 0)


def test_a_part_that_is_missed_is_named(tmp_path: Path) -> None:
    folder(tmp_path / "one", plain, "train")
    with pytest.raises(InvalidFileError, match=r"holds train/ and no test/ or val/ beside it; add it, or name"):
        data.load(tmp_path / "one", seed=0)
    folder(tmp_path / "two", plain, "test", "val")
    with pytest.raises(InvalidFileError, match=r"holds test/, val/ and no train/ beside it"):
        data.load(tmp_path / "two", seed=0)
    folder(tmp_path / "three", plain, "train", "val", "valid")
    with pytest.raises(InvalidFileError, match=r"holds both val/ and valid/, expected one"):
        data.load(tmp_path / "three", seed=0)


def arrays(samples: int = 20, high: int = 256, *, start: int = 0) -> dict[str, np.ndarray]:
    x = np.random.default_rng(start).integers(0, high, (samples, 3, 2, 4, 4)).astype(np.uint8)
    return {"x": x, "y": np.arange(samples) % 2}


def test_a_validation_file_validates(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        np.savez(tmp_path / f"{part}.npz", **arrays(start=seed))
    loaded = data.load(tmp_path, seed=0)
    assert np.array_equal(loaded.x_val, arrays(start=1)["x"].astype(np.float32) / np.float32(255))
    assert [len(y) for y in (loaded.y_train, loaded.y_val, loaded.y_test)] == [20, 20, 20]
    (tmp_path / "test.npz").unlink()
    assert [len(y) for y in (data.load(tmp_path, seed=0).y_train, data.load(tmp_path, seed=0).y_test)] == [16, 4]


def test_spikes_beside_counts_are_not_thinned(tmp_path: Path) -> None:
    """The spikes of the one file became 1/255, because the other held counts."""
    np.savez(tmp_path / "train.npz", **arrays(high=2))
    np.savez(tmp_path / "test.npz", **arrays(high=5))
    with pytest.raises(
        InvalidFileError, match=r"train\.npz holds nothing but 0 and 1, test\.npz bytes up to 4: a 1 is"
    ):
        data.load(tmp_path, seed=0)
    loaded = data.load(tmp_path, seed=0, counts=True)
    assert (loaded.input_kind, loaded.range, float(loaded.x_train.max())) == ("counts", (0, 1), 1)
    assert float(loaded.x_test.max()) == 1  # cut off at the largest count of the rest, as of a named set


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32"])
def test_counts_of_ones_own_mean_what_they_are(tmp_path: Path, kind: str) -> None:
    held = arrays(high=5)
    np.savez(tmp_path / "mine.npz", x=held["x"].astype(kind), y=held["y"])
    if kind != "float32":
        guessed = data.load(tmp_path / "mine.npz", seed=0)
        assert (guessed.input_kind, float(guessed.x_train.max())) == ("analogue", np.float32(4) / np.float32(255))
        assert "whole numbers up to 4, divided by 255; of counts give --data counts=true" in guessed.notes[0]
    told = data.load(tmp_path / "mine.npz", seed=0, counts=True)
    assert (told.input_kind, told.range, told.notes, float(told.x_train.max())) == ("counts", (0, 4), (), 4)
    np.savez(tmp_path / "mine.npz", x=held["x"] / 2, y=held["y"])
    with pytest.raises(InvalidFileError, match=r"has fractions, expected frames|lies in \[0, 2\]"):
        data.load(tmp_path / "mine.npz", seed=0, counts=True)


def test_counts_are_of_frames(tmp_path: Path) -> None:
    folder(tmp_path / "pictures", plain)
    with pytest.raises(
        InvalidFileError, match=r"has shape \(10, 3, 4, 4\), expected frames .* with --data counts=true"
    ):
        data.load(tmp_path / "pictures", seed=0, counts=True)
    held = arrays(high=5)["x"]
    folder(tmp_path / "frames", lambda path, v: np.save(path.with_suffix(".npy"), held[v % 20]))
    told = data.load(tmp_path / "frames", seed=0, counts=True)
    assert (told.input_kind, float(told.x_train.max())) == ("counts", 4)


def test_axes_in_another_order(tmp_path: Path) -> None:
    held = arrays()
    np.savez(tmp_path / "a.npz", **held)
    wanted = data.load(tmp_path / "a.npz", seed=0)
    for layout, order in (("NCTHW", (0, 2, 1, 3, 4)), ("NTHWC", (0, 1, 3, 4, 2)), ("NTCHW", (0, 1, 2, 3, 4))):
        np.savez(tmp_path / "b.npz", x=held["x"].transpose(order), y=held["y"])
        loaded = data.load(tmp_path / "b.npz", seed=0, layout=layout)
        assert np.array_equal(loaded.x_train, wanted.x_train)
        assert loaded.digest == wanted.digest
    with pytest.raises(UsageError, match="layout=NCHH: expected N and then"):
        data.load(tmp_path / "a.npz", seed=0, layout="NCHH")
    with pytest.raises(InvalidFileError, match="expected 4 axes for --data layout=NHWC"):
        data.load(tmp_path / "a.npz", seed=0, layout="NHWC")
    with pytest.raises(UsageError, match=r"--data layout= is for a \.npz file of your own, and digits is none"):
        data.load("digits", seed=0, layout="NHWC")


@pytest.mark.parametrize("kind", ["numbers", "names"])
def test_no_group_is_parted(tmp_path: Path, kind: str) -> None:
    subject = np.repeat(np.arange(12), 10)
    x = np.broadcast_to(subject.astype(np.uint8)[:, None, None, None], (120, 1, 4, 4))
    named = subject if kind == "numbers" else np.array([f"person {s}" for s in subject])
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(120) % 2, subject=named)
    loaded = data.load(tmp_path / "a.npz", seed=0, groups="subject")
    held = [set(np.rint(x[:, 0, 0, 0] * 255).tolist()) for x in (loaded.x_train, loaded.x_val, loaded.x_test)]
    assert [len(part) for part in held] == [8, 1, 3]
    assert loaded.summary.endswith("; 12 groups by subject, none parted: 8 training, 1 validation, 3 test")
    assert "groups" not in data.load(tmp_path / "a.npz", seed=0).summary
    assert set.union(*held) == set(range(12))
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    assert all(set(y) == {0, 1} for y in (loaded.y_train, loaded.y_val, loaded.y_test))
    again = data.load(tmp_path / "a.npz", seed=0, **loaded.options)
    assert np.array_equal(again.x_test, loaded.x_test)
    other = data.load(tmp_path / "a.npz", seed=3, groups="subject")
    assert not np.array_equal(other.x_test, loaded.x_test)
    with pytest.raises(InvalidFileError, match=r"array 'person' is missing in .*it holds subject, x, y"):
        data.load(tmp_path / "a.npz", seed=0, groups="person")


def test_groups_on_both_sides_of_a_users_split_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", **arrays(), who=np.arange(20) // 5)
    np.savez(tmp_path / "test.npz", **arrays(start=1), who=np.arange(20) // 5 + 3)
    with pytest.raises(InvalidFileError, match=r"1 groups are in train and in test \(the first has 10 samples\)"):
        data.load(tmp_path, seed=0, groups="who")
    np.savez(tmp_path / "test.npz", **arrays(start=1), who=np.arange(20) // 5 + 4)
    assert len(data.load(tmp_path, seed=0, groups="who").y_val) == 5


def test_groups_of_folders(tmp_path: Path) -> None:
    for who in range(6):
        folder(tmp_path / "made", lambda path, v, who=who: plain(path, v + who), str(who), each=2)
    for file in (tmp_path / "made").rglob("*.png"):
        who, label = file.parts[-3:-1]
        (tmp_path / "set" / label / who).mkdir(parents=True, exist_ok=True)
        file.rename(tmp_path / "set" / label / who / file.name)
    loaded = data.load(tmp_path / "set", seed=0, groups="folder")
    held = [set((np.rint(x[:, 0, 0, 0] * 255) % 10).tolist()) for x in (loaded.x_train, loaded.x_val, loaded.x_test)]
    assert not held[0] & held[2] | held[0] & held[1] | held[1] & held[2]
    plain(tmp_path / "set/a/9", 0)
    with pytest.raises(InvalidFileError, match=r"9\.png lies in its class's own folder, expected in a folder of its"):
        data.load(tmp_path / "set", seed=0, groups="folder")


def test_class_weights_make_classes_equal(tmp_path: Path) -> None:
    y = (np.arange(100) >= 80).astype(int)
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((100, 1, 4, 4)), y=y)
    loaded = data.load(tmp_path / "a.npz", seed=0, class_weights="balanced")
    counts = np.bincount(loaded.y_train)
    assert loaded.class_weights == pytest.approx(counts.sum() / (2 * counts), rel=1e-12)
    assert loaded.options == {"class_weights": "balanced"}
    assert data.load(tmp_path / "a.npz", seed=0).class_weights == ()
    with pytest.raises(UsageError, match="class_weights=even: expected balanced"):
        data.load(tmp_path / "a.npz", seed=0, class_weights="even")


def test_copies_of_training_samples_are_counted() -> None:
    train = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert copies_in_test(train, train[[1, 1, 3]]) == 3
    assert copies_in_test(train, train[:, ::-1]) == 0


def test_copies_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where there are none; nor of so many bytes that nobody looked."""
    train = np.arange(8, dtype=np.float32).reshape(4, 2)
    test = np.concatenate([train[[1, 1, 3]], train[:, ::-1]])
    said = [
        "3 of 7 test samples are copies of training samples: they tell nothing about new ones; remove them, or keep "
        "what belongs together on one side (--data groups=)"
    ]
    assert split.test_copies_note(train, test) == said
    assert split.test_copies_note(train, train[:, ::-1]) == []
    for limit, wanted in ((train.nbytes + test.nbytes, said), (train.nbytes + test.nbytes - 1, [])):
        monkeypatch.setattr(split, "COUNTED_BYTES", limit)
        assert split.test_copies_note(train, test) == wanted
