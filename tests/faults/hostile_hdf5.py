"""Changes to HDF5: links out of the file, sizes that are declared alone, types nobody expects, cycles; and to bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from tests.faults.hostile_bytes import scrambled
from tests.faults.hostile_trees import STRINGS, as_json, changed

KEY = "metadata/snnas"  # one dataset of many, with a tree of its own
NAMES = (
    "a/b",
    "\x1b[31m",
    "a\nb",
    "\u202e",
    "x" * 2000,
    ".",
    "é",
    "input",
    "node",
    "nodes",
    "type",
    "edges",
    "metadata",
)


def hostile_hdf5(rng: Random, data: bytes, work: Path) -> bytes:
    """A hostile file made of a healthy one; external links and storage lead to ``work/secret``."""
    if rng.random() < 0.45:
        return scrambled(rng, data, changes=12, front=8192)
    path = work / "edited.h5"
    path.write_bytes(data)
    with h5py.File(path, "r+") as f:
        places: list[str] = []
        f.visit(places.append)
        for _ in range(rng.randint(1, 3)):
            try:
                described = [p for p in places if p.endswith(KEY)] if rng.random() < 0.1 else []
                _change(rng, f, rng.choice(described or places) if places else "/", work)
            except (ValueError, TypeError, OSError, KeyError, RuntimeError, OverflowError, AttributeError, MemoryError):
                continue  # h5py itself refuses to write this one
    out = path.read_bytes()
    path.unlink()
    return scrambled(rng, out, front=8192) if rng.random() < 0.1 else out


def _change(rng: Random, f: Any, place: str, work: Path) -> None:
    if KEY in place and rng.random() < 0.8:
        place = place[: place.index(KEY) + len(KEY)]
        _values(rng, f[place])
        return
    item = f.get(place, getclass=True)
    group, _, name = place.rpartition("/")
    parent = f[group] if group else f
    if item is h5py.Dataset and rng.random() < 0.35:
        if (f[place].size or 0) < 100_000 and f[place].dtype.itemsize < 100:
            _values(rng, f[place])
        return
    kind = rng.randrange(4)
    if kind == 0:
        del f[place]
        return
    where = parent if rng.random() < 0.7 else f
    new = name if rng.random() < 0.6 else rng.choice(NAMES)
    if new in where:
        if kind == 1:
            where.move(new, rng.choice(NAMES))
            return
        del where[new]
    rng.choice(MAKERS)(rng, where, new, work)


def _values(rng: Random, item: Any) -> None:
    """Other contents in the same type."""
    if item.dtype.kind in "fiu" and item.size:
        value = item[()]
        flat = np.atleast_1d(value).reshape(-1).copy()
        with np.errstate(all="ignore"):
            extreme = np.float64(rng.choice((np.nan, np.inf, -1, 0, 1e30, 2**31, 2**62, -(2**62), 3, 1e-30)))
            place = rng.randrange(flat.size) if rng.random() < 0.5 else slice(None)
            flat[place] = (extreme if item.dtype.kind == "f" else np.nan_to_num(extreme)).astype(flat.dtype)
        item[...] = flat.reshape(np.shape(value))
    elif item.size and h5py.check_string_dtype(item.dtype) is not None:
        texts = np.atleast_1d(item[()]).reshape(-1)
        at = rng.randrange(texts.size)
        described = bytes(texts[at])[:1] == b"{"
        text = as_json(changed(rng, json.loads(texts[at]))) if described else rng.choice(STRINGS)
        texts[at] = text.replace("\0", "").encode("utf-8", "replace")
        item[...] = texts.reshape(item.shape) if item.shape else texts[0]


def _huge(rng: Random, where: Any, name: str, work: Path) -> None:
    shape = rng.choice(((1 << 40,), (1 << 20, 1 << 20), (1 << 31, 4), (1 << 62,), (1 << 21,), (0, 1 << 40), (1,) * 32))
    kind = rng.choice(("f8", "i1", "S10", "S1000000"))
    where.create_dataset(name, shape=shape, dtype=kind, chunks=tuple(min(n, 64) or 1 for n in shape))


def _bomb(rng: Random, where: Any, name: str, work: Path) -> None:
    """Zeros that are not written, or packed; some within the limit on bytes."""
    size = rng.choice((1 << 16, 1 << 20, 1 << 24)) if rng.random() < 0.97 else 1 << 26
    how = rng.choice((None, "gzip", "lzf"))
    item = where.create_dataset(name, shape=(size,), dtype=rng.choice(("f4", "i1")), chunks=(1 << 16,), compression=how)
    if how and size <= 1 << 20:
        item[...] = 0


def _strings(rng: Random, where: Any, name: str, work: Path) -> None:
    """Strings that take more on the way than in the file."""
    size = rng.choice((0, 1, 5, 1000, 200_000)) if rng.random() < 0.97 else 1 << 25
    where.create_dataset(name, shape=(size,), dtype=h5py.string_dtype(), chunks=(max(1, min(size, 1 << 14)),))


def _typed(rng: Random, where: Any, name: str, work: Path) -> None:
    dtypes = (
        np.dtype([("a", "f4"), ("b", "S3")]), h5py.ref_dtype, h5py.regionref_dtype, h5py.vlen_dtype(np.float32),
        h5py.enum_dtype({"A": 1}), np.dtype("V7"), np.dtype("f2"), np.dtype(">f8"), np.dtype("c8"), np.dtype("?"),
        np.dtype("u8"), h5py.string_dtype("ascii", 4), np.dtype(("f4", (2, 3))), np.dtype("longdouble"),
    )  # fmt: skip
    where.create_dataset(name, shape=rng.choice(((), (1,), (2, 2), (0,))), dtype=rng.choice(dtypes))


def _scalar(rng: Random, where: Any, name: str, work: Path) -> None:
    value: Any = rng.choice((0, -1, 1.5, np.nan, 2**63 - 1, True, rng.choice(STRINGS).replace("\0", ""), b"\xff\xfe",
                             np.zeros((2, 2)), np.zeros((0, 2)), [[1]], np.ones((1, 1, 3, 3)), h5py.Empty("f4"),
                             ["a", "b"], [["a", "b"], ["b", "c"]], -np.inf, np.float32(1e-45)))  # fmt: skip
    where[name] = value


def _named(rng: Random, where: Any, name: str, work: Path) -> None:
    where[name] = np.dtype("f4")


def _cycle(rng: Random, where: Any, name: str, work: Path) -> None:
    """A group within itself, once or a hundred times."""
    for number in range(rng.choice((1, 2, 100))):
        where[f"{name}{number}"] = where if rng.random() < 0.7 else where.file["/"]


def _deep(rng: Random, where: Any, name: str, work: Path) -> None:
    for _ in range(rng.choice((10, 31, 33, 500))):
        where = where.create_group("d")
    where[name] = 1


def _many(rng: Random, where: Any, name: str, work: Path) -> None:
    group = where.create_group(name)
    for number in range(rng.choice((10, 2000))):
        group.create_group(f"g{number}")


def _filtered(rng: Random, where: Any, name: str, work: Path) -> None:
    """A filter that is not there, or chunks larger than the data."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((16,))
    plist.set_filter(rng.choice((305, 32015, 32004)), h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    space = h5py.h5s.create_simple((64,))
    h5py.h5d.create(where.id, name.encode(), h5py.h5t.NATIVE_FLOAT, space, plist)


def _soft(rng: Random, where: Any, name: str, work: Path) -> None:
    where[name] = h5py.SoftLink(rng.choice(("/node", "/nowhere", f"/{name}", "..", "/" * 500)))


def _external_link(rng: Random, where: Any, name: str, work: Path) -> None:
    target = rng.choice((str(work / "secret.h5"), "/etc/passwd", "../secret.h5", "/dev/zero", "file.nir"))
    where[name] = h5py.ExternalLink(target, "/")


def _external_data(rng: Random, where: Any, name: str, work: Path) -> None:
    target = rng.choice((str(work / "secret"), "/etc/passwd", "/dev/zero"))
    where.create_dataset(name, shape=(64,), dtype="u1", external=[(target, 0, h5py.h5f.UNLIMITED)])


def _virtual(rng: Random, where: Any, name: str, work: Path) -> None:
    layout = h5py.VirtualLayout(shape=(64,), dtype="u1")
    layout[:] = h5py.VirtualSource(rng.choice((str(work / "secret.h5"), ".")), "data", shape=(64,))
    where.create_virtual_dataset(name, layout)


def _attributes(rng: Random, where: Any, name: str, work: Path) -> None:
    where.attrs[name] = rng.choice((1, "x" * 60_000, np.zeros(1000)))


MAKERS: tuple[Callable[[Random, Any, str, Path], None], ...] = (
    _huge, _bomb, _strings, _typed, _typed, _scalar, _scalar, _scalar, _named, _cycle, _deep, _many, _filtered, _soft,
    _external_link, _external_data, _virtual, _attributes,
)  # fmt: skip
