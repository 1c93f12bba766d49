"""Files of signals, read without trust: ``.ts`` as aeon and sktime write them, and folders of ``.csv``.

What comes out is one array (L, C) per sample, float32, in the order of the files; lengths may differ.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.archives import readable
from snnas.toolchain.data.datasets.npz import MAX_ARRAY_BYTES, MAX_CLASSES
from snnas.toolchain.data.datasets.raw import Array
from snnas.toolchain.data.datasets.tree import Tree, read_tree

MAX_FILE_BYTES = 2 * 2**30
MAX_SAMPLES = 1_000_000
TIME_NAMES = ("t", "time", "timestamp", "timestamps", "seconds")
_CSV_HOW = "expected a folder of .csv files for each class, or that below train/ and test/ or val/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Signals. samples: (L, C) each. parts: of each sample, 'train', 'val' or 'test'. tree: of a folder of .csv files.

    notes: what was left out.
    """

    samples: list[Array]
    y: Array
    parts: Array
    class_names: tuple[str, ...]
    tree: Tree | None = None
    notes: tuple[str, ...] = ()


def is_series(path: Path) -> bool:
    """Whether ``path`` is a .ts file, or a folder of such, or of class folders of .csv files and no other samples."""
    if path.suffix == ".ts":
        return True
    try:
        if not path.is_dir():
            return False
        if any(path.glob("*.ts")):
            return True
        inside = {file.suffix.lower() for below in ("*/*", "*/*/*", "*/*/*/*") for file in path.glob(below)}
        return ".csv" in inside and not inside & {".png", ".jpg", ".jpeg", ".npy"}
    except OSError:  # a name too long for a file
        return False


def read_series(path: Path) -> Series:
    """Read a .ts file (and the one of the other split beside it), a folder of them, or a folder of .csv files."""
    if path.suffix == ".ts":
        return _read_ts(_pair(path))
    pairs = sorted(path.glob("*.ts"))
    return _read_ts(_pair(_chosen(path, pairs))) if pairs else _read_csv_folder(path)


def _chosen(folder: Path, files: Sequence[Path]) -> Path:
    """The training file of a folder: NAME_TRAIN.ts of the folder's name, or the only one."""
    training = [file for file in files if file.stem.upper().endswith("_TRAIN")] or list(files)
    named = [file for file in training if file.stem[: -len("_TRAIN")] == folder.name]
    if len(named or training) > 1:
        names = ", ".join(file.name for file in training[:4])
        raise InvalidFileError(f"{folder} holds {names}; name the one that is meant: --dataset {training[0]}")
    return (named or training)[0]


def _pair(file: Path) -> tuple[Path, Path | None]:
    """The training file and that of the test split, None where there is none beside it."""
    for own, other in (("_TRAIN", "_TEST"), ("_TEST", "_TRAIN")):
        if file.stem.upper().endswith(own):
            beside = file.with_name(f"{file.stem[: -len(own)]}{other}{file.suffix}")
            if beside.is_file():
                return (file, beside) if own == "_TRAIN" else (beside, file)
    return file, None


def _read_ts(files: tuple[Path, Path | None]) -> Series:
    first, second = files
    samples, labels, names = _ts_file(first)
    parts = ["train"] * len(samples)
    if second is not None:
        more, others, known = _ts_file(second)
        if set(known) != set(names):
            raise InvalidFileError(
                f"the classes of {second} are {_some(known)}, those of {first} {_some(names)}; expected the same"
            )
        parts += ["test"] * len(more)
        samples, labels = samples + more, labels + others
    _same_channels(samples, first)
    places = {name: place for place, name in enumerate(names)}
    y = np.array([places[label] for label in labels], np.int64)
    return Series(samples=samples, y=y, parts=np.array(parts), class_names=tuple(names))


def _ts_file(path: Path) -> tuple[list[Array], list[str], list[str]]:
    """The samples of a .ts file, their labels, and the labels that its header lists."""
    samples: list[Array] = []
    labels: list[str] = []
    header: dict[str, list[str]] = {}
    with readable(path, "a .ts file of aeon or sktime"):
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidFileError(f"{path} has {path.stat().st_size} bytes, expected at most {MAX_FILE_BYTES}")
        with path.open(encoding="utf-8", errors="replace") as file:
            inside, names = False, list[str]()
            for number, line in enumerate(file, start=1):
                words = line.strip()
                if not words or (words.startswith("#") and not inside):
                    continue
                if inside:
                    *dimensions, label = words.split(":")
                    samples.append(_ts_sample(dimensions, f"{path}, line {number}"))
                    labels.append(label.strip())
                    if len(samples) > MAX_SAMPLES:
                        raise InvalidFileError(f"{path} holds more than {MAX_SAMPLES} samples")
                elif words.lower() == "@data":
                    inside = True
                    names = _ts_classes(header, path)
                elif words.startswith("@"):
                    key, *values = words[1:].split()
                    header[key.lower()] = values
                else:
                    raise InvalidFileError(f"{path}, line {number}: {words[:40]!r}, expected '@...' until @data")
    if not samples:
        raise InvalidFileError(f"{path} holds no samples behind @data; expected a .ts file of aeon or sktime")
    for number, label in enumerate(labels, start=1):
        if label not in names:
            raise InvalidFileError(f"{path}: sample {number} has the label {label[:40]!r}, expected {_some(names)}")
    return samples, labels, names


def _ts_classes(header: dict[str, list[str]], path: Path) -> list[str]:
    said = header.get("classlabel", [])
    if said[:1] != ["true"] or not 2 <= len(said) - 1 <= MAX_CLASSES or len(set(said)) < len(said):
        raise InvalidFileError(
            f"{path}: @classLabel is {' '.join(said)[:60] or 'missing'!r}, expected 'true' and the names of the classes"
        )
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise InvalidFileError(
            f"{path}: @timeStamps true, expected evenly sampled values; write it without time stamps"
        )
    return sorted(said[1:], key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0))


def _ts_sample(dimensions: Sequence[str], where: str) -> Array:
    columns = [_numbers(dimension.split(","), where) for dimension in dimensions]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise InvalidFileError(
            f"{where}: {len(columns)} dimensions of {_some(map(str, sorted(lengths)))} values, expected one length"
        )
    return np.stack(columns, axis=1)


def _numbers(words: Sequence[str], where: str) -> Array:
    try:
        with np.errstate(over="ignore"):
            values = np.array([float(word) for word in words]).astype(np.float32)
    except ValueError:
        odd = next(word for word in words if not _is_number(word))
        raise InvalidFileError(
            f"{where}: {odd.strip()[:30]!r}, expected numbers; fill or leave out such samples"
        ) from None
    if not np.isfinite(values).all():
        raise InvalidFileError(f"{where}: NaN or infinity, expected finite numbers; fill or leave out such samples")
    return values


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_csv_folder(folder: Path) -> Series:
    tree = read_tree(folder, (".csv",), _CSV_HOW)
    if sum(file.stat().st_size for file in tree.files) > MAX_FILE_BYTES:
        raise InvalidFileError(f"{folder} has over {MAX_FILE_BYTES} bytes of .csv files, expected at most that")
    heads, samples = [], []
    for file in tree.files:
        head, sample = _csv_file(file)
        heads.append(head)
        samples.append(sample)
        if head != heads[0]:
            raise InvalidFileError(
                f"{file} has the columns {_some(head)}, {tree.files[0]} {_some(heads[0])}; expected one set"
            )
    _same_channels(samples, folder)
    notes = tree.notes
    if heads[0] and heads[0][0].lower() in TIME_NAMES and samples[0].shape[1] > 1:
        samples = [sample[:, 1:] for sample in samples]
        notes = (*notes, f"the column {heads[0][0]!r} was left out")
    return Series(
        samples=samples,
        y=np.array(tree.labels, np.int64),
        parts=np.array(tree.parts),
        class_names=tuple(tree.names),
        tree=tree,
        notes=notes,
    )


def _csv_file(path: Path) -> tuple[list[str], Array]:
    """The names of the columns, none where the first row has numbers, and the values (L, C): a row is a sample."""
    with readable(path, "a .csv file"), path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        mark = max(",;\t", key=first.count)
        file.seek(0)
        rows = [row for row in csv.reader(file, delimiter=mark) if any(cell.strip() for cell in row)]
    head: list[str] = []
    if rows and not all(map(_is_number, rows[0])):
        head = [cell.strip() for cell in rows.pop(0)]
    if not rows:
        raise InvalidFileError(f"{path} holds no row of numbers, expected a row for every sample of the signal")
    widths = {len(row) for row in rows} | ({len(head)} if head else set())
    if len(widths) != 1:
        raise InvalidFileError(
            f"{path}: rows of {_some(map(str, sorted(widths)))} columns, expected one number of them"
        )
    return head, np.stack([_numbers(row, f"{path}, row {k}") for k, row in enumerate(rows, start=1)])


def _same_channels(samples: Sequence[Array], path: Path) -> None:
    """InvalidFileError unless all samples have as many channels, and fit in memory once they are as long."""
    channels = {sample.shape[1] for sample in samples}
    if len(channels) != 1:
        raise InvalidFileError(f"{path}: samples of {_some(map(str, sorted(channels)))} channels, expected one number")
    needed = 4 * len(samples) * max(len(sample) for sample in samples) * channels.pop()
    if needed > MAX_ARRAY_BYTES:
        raise InvalidFileError(f"{path} takes {needed} bytes, expected at most {MAX_ARRAY_BYTES}; use fewer samples")


def _some(words: object) -> str:
    found = list(words)  # type: ignore[call-overload]
    return ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
