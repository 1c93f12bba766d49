"""The guarded child of ``hdf5_guard``: reads one HDF5 file under limits and writes plain data to stdout.

    python -I hdf5_child.py PATH LIMIT_BYTES SECONDS

Takes hard links, plain datasets of numbers and strings, nothing else: no soft or external links, no virtual or
external storage, no object references, at most 32 levels. Sizes are checked before anything is read.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

resource: Any
try:
    import resource
except ImportError:  # Windows: whoever asked ends a child that takes too long
    resource = None

NOT_STARTED = 71  # the exit code that says nothing of the file
MAX_ITEMS, MAX_DEPTH, MAX_TEXT, MAX_STRINGS = 100_000, 32, 1 << 26, 1 << 20


class Refused(Exception):
    """The file holds something that this reader does not take; the text goes to the user."""


def limit(limit_bytes: int, seconds: int) -> None:
    """Memory: the data twice over and the libraries; CPU seconds; no core file; no file beyond the answer's size."""
    if resource is None:
        return
    lower(resource.RLIMIT_CPU, seconds, 1)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 2 * limit_bytes)
    try:
        lower(resource.RLIMIT_AS, 2 * limit_bytes + (2 << 30))
    except (OSError, ValueError):  # macOS takes none
        if sys.platform == "linux":
            raise


def lower(kind: int, value: int, more: int = 0) -> None:
    """The limits become ``value`` and, the hard one, ``more`` above it, where they are not lower: they stay then."""
    _, hard = resource.getrlimit(kind)
    most = value + more if hard == resource.RLIM_INFINITY else min(value + more, hard)
    resource.setrlimit(kind, (min(value, most), most))


class Outside(Refused):
    """The file points to something that is not in it."""


class Reader:
    """Walks a file; gathers the arrays' bytes in ``chunks``."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.chunks: list[bytes] = []
        self.offset = 0
        self.text = 0
        self.strings = 0
        self.items = 0

    def group(self, group: Any, depth: int) -> dict[str, Any]:
        """Of an open group. By HDF5's own calls: h5py's objects ask the file six times as often (1,600 layers: 5 s)."""
        from h5py import h5d, h5g, h5l, h5o  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without stubs

        if depth > MAX_DEPTH:
            raise Refused(f"groups nested over {MAX_DEPTH} deep")
        out, here = {}, group.id
        for name in group:
            self.items += 1
            if self.items > MAX_ITEMS:
                raise Refused(f"over {MAX_ITEMS} entries")
            link = name.encode("utf-8", "surrogateescape")
            if here.links.get_info(link).type != h5l.TYPE_HARD:
                raise Outside(f"{name!r} is a soft or external link; only plain entries are read")
            item = h5o.open(here, link)
            if isinstance(item, h5g.GroupID):
                out[name] = self.subgroup(item, depth + 1)
            elif isinstance(item, h5d.DatasetID):
                out[name] = self.dataset(name, item)
            else:
                raise Refused(f"{name!r} is neither a group nor a dataset")
        return {"group": out}

    def subgroup(self, item: Any, depth: int) -> dict[str, Any]:
        import h5py

        return self.group(h5py.Group(item), depth)

    def dataset(self, name: str, item: Any) -> dict[str, Any]:
        """item: the dataset, open."""
        import h5py
        import numpy as np
        from h5py import h5d, h5s  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without stubs

        stored = item.get_create_plist()
        if stored.get_layout() == h5d.VIRTUAL or stored.get_external_count():
            raise Outside(f"{name!r} keeps its data outside the file")
        space = item.get_space().get_simple_extent_type()
        if space == h5s.NULL:
            raise Refused(f"{name!r} is empty")
        shape, dtype = item.shape, item.dtype
        number = 1
        for axis in shape:
            number *= axis
        if number * dtype.itemsize > self.limit_bytes - self.offset:
            raise Refused(f"{name!r} declares {number * dtype.itemsize} bytes; at most {self.limit_bytes} are read")
        if h5py.check_string_dtype(dtype) is not None or dtype.kind == "S":
            self.strings += number
            if self.strings > MAX_STRINGS:  # an empty one takes a byte in the file and a hundred here and behind
                raise Refused(f"over {MAX_STRINGS} strings")
            value = h5py.Dataset(item)[()]
            flat = [value] if shape == () else list(np.asarray(value).reshape(-1))
            texts = [t.decode("utf-8", "surrogateescape") if isinstance(t, bytes) else str(t) for t in flat]
            self.text += sum(len(t) for t in texts)
            if self.text > MAX_TEXT:
                raise Refused(f"over {MAX_TEXT} characters of text")
            return {"strings": texts, "shape": list(shape)}
        if dtype.kind not in "fiub" or dtype.hasobject:
            raise Refused(f"{name!r} holds {dtype}, expected numbers or text")
        value = np.empty(shape, dtype)
        if number:
            item.read(h5s.ALL, h5s.ALL, value)
        return self.array(value, list(shape))

    def array(self, value: Any, shape: list[int]) -> dict[str, Any]:
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        entry = {"dtype": value.dtype.newbyteorder("<").str, "shape": shape, "offset": self.offset}
        self.chunks.append(data)
        self.offset += len(data)
        return entry


def main(path: str, limit_bytes: int, seconds: int, kind: type[Reader] = Reader) -> int:
    try:
        import h5py  # before the limits: importing it is not the file's doing
    except (ImportError, OSError, MemoryError):
        return NOT_STARTED

    def read(reader: Reader) -> dict[str, Any]:
        with h5py.File(path, "r") as f:
            return reader.group(f, 0)

    return respond(kind(limit_bytes), seconds, read)


def respond(reader: Reader, seconds: int, read: Callable[[Reader], dict[str, Any]], what: str = "HDF5 file") -> int:
    """Sets the limits, then answers with what ``read`` makes, or why it cannot; does not return."""
    limit(reader.limit_bytes, seconds)
    try:
        header: dict[str, Any] = {"tree": read(reader)}
    except Refused as error:
        header, reader.chunks = {"error": str(error), "outside": isinstance(error, Outside)}, []
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, UnicodeError) as error:
        header, reader.chunks = {"error": f"not a readable {what} ({type(error).__name__}: {error})"}, []
    text = json.dumps(header).encode()
    out = sys.stdout.buffer
    out.write(len(text).to_bytes(8, "little") + text)
    for chunk in reader.chunks:
        out.write(chunk)
    out.flush()
    os._exit(0)  # closing a damaged file at exit may crash; everything is written


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
