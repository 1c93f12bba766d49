"""Changes to .npy headers, to the members of an .npz, and to the records of the zip around them; pickles that act."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from tests.faults.hostile_bytes import scrambled
from tests.faults.hostile_trees import as_json, changed

DTYPES = (
    "|O", "|O8", "<f8", ">f8", "<f2", "<f4", ">i4", "<i8", "|u1", "|i1", "|b1", "<c16", "<U10", "|S5", "|V8", "<M8[s]",
    "<m8[ns]", "<g16", "f", "x", "", "<f99999999", "('<f4', (2,))", "<f4,<f4", "O", "<f0", "|V0", "<U0",
)  # fmt: skip
SHAPES = (
    "()", "(0,)", "(1,)", "(-1,)", "(2**40,)", "(1099511627776, 1099511627776)", "(4294967296, 4294967296, 4)",
    "(9223372036854775807,)", "(3, -3)", "(True,)", "(1.5,)", "('a',)", "((2,),)", "[2, 2]", "2", "None",
    "(2,2,2,2,2,2,2)",
    "(" + "1, " * 40 + ")", "(" + "(" * 90 + ")" * 90 + ",)", "(1" + "0" * 5000 + ",)", "(0, 9223372036854775807)",
    "__import__('os').system('true')", "(1, 0, 4096, 4096)",
)  # fmt: skip
KEYS = ("../out.npy", "/tmp/out.npy", "x.npy", "y.npy", "x", ".npy", "a\x1b[31m.npy", "a\nb.npy", "..\\out.npy",
        "C:out.npy", "x" * 3000 + ".npy", "x.npy\0.npy", "program.json.npy", "é.npy", "dir/", "\u202e.npy")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pickled:
    """What writes ``path`` when it is unpickled."""

    path: str

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@dataclass(slots=True)
class Member:
    """A file in the archive: what its .npy header says, and its bytes."""

    name: str
    descr: str
    fortran: str
    shape: str
    data: bytes
    version: tuple[int, int] = (1, 0)
    extra: str = ""
    length: int | None = None  # of the header, where it lies
    content: bytes | None = None  # instead of an .npy

    def npy(self) -> bytes:
        if self.content is not None:
            return self.content
        text = f"{{'descr': {self.descr}, 'fortran_order': {self.fortran}, 'shape': {self.shape}, {self.extra}}}"
        header = text.encode("latin-1", "replace") + b" " * (-(len(text) + 11) % 64) + b"\n"
        form = "<H" if self.version[0] == 1 else "<I"
        limit = 256 ** struct.calcsize(form) - 1
        length = struct.pack(form, min(len(header) if self.length is None else self.length, limit))
        return b"\x93NUMPY" + bytes(self.version) + length + header + self.data


def members(arrays: dict[str, np.ndarray]) -> list[Member]:
    return [
        Member(f"{name}.npy", repr(a.dtype.str), str(a.flags.f_contiguous and a.ndim > 1), str(a.shape), a.tobytes("A"))
        for name, a in arrays.items()
    ]


def hostile_npz(rng: Random, arrays: dict[str, np.ndarray], canary: str) -> bytes:
    """A hostile .npz made of healthy arrays; what its pickles write if they are loaded is ``canary``."""
    found = members(arrays)
    kind = rng.random()
    if kind < 0.6:
        for _ in range(rng.randint(1, 2)):
            _change_member(rng, found, canary)
    elif kind < 0.75:
        found = members(changed_arrays(rng, arrays))
    data = zipped(rng, found)
    if kind >= 0.9 or rng.random() < 0.1:
        return scrambled(rng, data)
    return lying_zip(rng, data) if kind >= 0.75 else data


def hostile_npy(rng: Random, array: np.ndarray, canary: str) -> bytes:
    """A hostile .npy."""
    found = members({"x": array})
    _change_member(rng, found, canary, alone=True)
    data = found[0].npy() if found else b""
    return scrambled(rng, data, front=128) if rng.random() < 0.3 else data


def _change_member(  # noqa: C901 (a list of changes)
    rng: Random, found: list[Member], canary: str, *, alone: bool = False
) -> None:
    if not found:
        return
    at = rng.randrange(len(found))
    m, kind = found[at], rng.randrange(7 if alone else 12)
    if kind == 0:
        m.descr = rng.choice((repr(rng.choice(DTYPES)), "[('a', '<f4'), ('b', '|O')]", "'|O'", "1", "None"))
    elif kind == 1:
        m.shape = rng.choice(SHAPES)
    elif kind == 2:
        m.fortran = rng.choice(("True", "False", "1", "None", "'x'", "[]"))
    elif kind == 3:
        m.version = (rng.choice((0, 1, 2, 3, 9, 255)), rng.choice((0, 1)))
        m.extra = rng.choice(("", "'more': 1", "'shape': (1,)", "(" * 200, "'a': '" + "x" * 70_000 + "'"))
    elif kind == 4:
        m.length = rng.choice((0, 1, 10, 64, 128, 10_000, 65_535, 2**31, 2**32 - 1))
    elif kind == 5:
        m.data = rng.choice((b"", m.data[:-1], m.data + b"x", m.data * 2, m.data[: len(m.data) // 2]))
    elif kind == 6:
        m.descr, m.shape, m.data = "'|O'", rng.choice(("()", "(1,)")), pickle.dumps(Pickled(canary))
    elif kind == 7:
        m.name = rng.choice(KEYS)
    elif kind == 8:
        found.pop(at)
    elif kind == 9:
        found.insert(at, Member(rng.choice((m.name, *KEYS)), m.descr, m.fortran, m.shape, m.data))
    elif kind == 10:
        m.content = rng.choice(
            (b"", b"\x93NUMPY", pickle.dumps(Pickled(canary)), b"PK\x05\x06" + bytes(18), bytes(100))
        )
    else:
        _bomb(rng, m)


def _bomb(rng: Random, m: Member) -> None:
    """Zeros that pack a thousandfold, rarely many of them; or a size that is declared alone."""
    size = rng.choice((1 << 16, 1 << 18, 1 << 20)) if rng.random() < 0.98 else 1 << 26
    m.descr, m.data = "'|u1'", bytes(size)
    m.shape = rng.choice((f"({size},)", f"({size // 4}, 4)", f"({size << 20},)", f"(1, 1, {size // 256}, 256)"))


def changed_arrays(rng: Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Honest headers, other contents: types, shapes, extremes, NaN; arrays dropped, swapped or renamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of casts that lose something: they are meant to
        return _changed_arrays(rng, arrays)


def _changed_arrays(rng: Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = dict(arrays)
    for _ in range(rng.randint(1, 3)):
        if not out:
            return out
        name, kind = rng.choice(list(out)), rng.randrange(6)
        array = out[name]
        if kind == 0:
            other = rng.choice(
                ("f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u8", "?", ">i4", ">f4", "c8", "U3")
            )
            out[name] = array.astype(other) if array.dtype.kind != "U" else array
        elif kind == 1:
            shapes = [(-1,), (1, -1), (-1, 1), array.shape[::-1], (1, *array.shape), (*array.shape, 1)]
            shape = rng.choice(shapes)
            out[name] = array.reshape(shape) if array.size or -1 not in shape else array
        elif kind == 2 and array.size and array.dtype.kind in "iuf":
            out[name] = _extreme(rng, array)
        elif kind == 3:
            parts = (
                (array[:0], array[:1], array[..., :-1], array[::-1], np.concatenate([array, array]))
                if array.ndim
                else ()
            )
            out[name] = rng.choice(parts) if parts else array
        elif kind == 4:
            del out[name]
        else:
            other = rng.choice(list(out))
            out[name], out[other] = out[other], out[name]
    return out


def _extreme(rng: Random, array: np.ndarray) -> np.ndarray:
    out = array.copy()
    if out.dtype.kind == "f":
        value: Any = rng.choice((np.nan, np.inf, -np.inf, -1.0, 1e30, 2.0, 5e-324))
    else:
        info = np.iinfo(out.dtype)
        value = rng.choice((info.min, info.max, 0, 1, 2, 3))
    if rng.random() < 0.3:
        out[...] = value
    else:
        out.reshape(-1)[rng.randrange(out.size)] = value
    return out


# -------------------------------------------------------------------------------------------------------------- the zip


def zipped(rng: Random, found: list[Member]) -> bytes:
    """A zip that no checks went into: names as they are, each member stored or deflated."""
    out, central = io.BytesIO(), io.BytesIO()
    for m in found:
        content = m.npy()
        deflate = rng.random() < 0.2 or len(content) > 1 << 15
        pack = zlib.compressobj(1, zlib.DEFLATED, -15)
        packed = pack.compress(content) + pack.flush() if deflate else content
        name = m.name.encode("utf-8", "surrogatepass")[:65_000]
        head = struct.pack("<HHHHHIIIHH", 20, 1 << 11, 8 if deflate else 0, 0, 33, zlib.crc32(content), len(packed),
                           len(content), len(name), 0)  # fmt: skip
        central.write(b"PK\x01\x02" + b"\x14\x03" + head + struct.pack("<HHHII", 0, 0, 0, 0, out.tell()) + name)
        out.write(b"PK\x03\x04" + head + name + packed)
    start, directory = out.tell(), central.getvalue()
    end = struct.pack("<HHHHIIH", 0, 0, len(found), len(found), len(directory), start, 0)
    return out.getvalue() + directory + b"PK\x05\x06" + end


# Offsets in a central record: flags, compression, crc, sizes, lengths of name, extra and comment, offset.
_FIELDS = ((8, "H"), (10, "H"), (16, "I"), (20, "I"), (24, "I"), (28, "H"), (30, "H"), (32, "H"), (42, "I"), (38, "I"))


def lying_zip(rng: Random, data: bytes) -> bytes:
    """Fields of the directory, of a local header or of the end record that say something else: sizes, encryption."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 2)):
        signature, shift = rng.choice(
            ((b"PK\x01\x02", 0), (b"PK\x01\x02", 0), (b"PK\x03\x04", -2), (b"PK\x05\x06", None))
        )
        places = [found.start() for found in re.finditer(re.escape(signature), bytes(out))]
        if not places:
            continue
        at = rng.choice(places)
        offset, form = rng.choice(_FIELDS) if shift is not None else (rng.choice((8, 10, 12, 16)), "H")
        place = at + offset + (shift or 0)
        size = struct.calcsize(form)
        if place + size > len(out):
            continue
        before = int.from_bytes(out[place : place + size], "little")
        values = (0, 1, 8, 9, 12, 14, 93, 99, before + 1, before - 1, before * 2, 0xFFFF, 0xFFFFFFFF, before | 1)
        out[place : place + size] = (rng.choice(values) & (256**size - 1)).to_bytes(size, "little")
    return bytes(out)


# ---------------------------------------------------------------------------------------------------------- program.npz


def hostile_program(rng: Random, arrays: dict[str, np.ndarray], canary: str) -> bytes:
    """A hostile program.npz: its document changed field by field, its arrays, or the file around them."""
    if rng.random() < 0.25:
        return hostile_npz(rng, arrays, canary)
    out = dict(arrays)
    if rng.random() < 0.75:
        document = changed(rng, json.loads(arrays["program.json"].tobytes()))
        text = as_json(document).encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:
            text = scrambled(rng, text)
        out["program.json"] = np.frombuffer(text, np.uint8)
    if rng.random() < 0.4:
        out = changed_arrays(rng, out)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for m in members(out):
            archive.writestr(m.name, m.npy())
    return buffer.getvalue()
