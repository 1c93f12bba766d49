"""The vectors as they lie in vectors.zip: cases.json, NAME.nir and NAME.npz of every graph, read without trust.

NAME.npz holds ``x`` (B, T, *input shape) float32 and, for every convention that changes something, ``C/output``,
``C/spikes/NODE`` and ``C/membrane/NODE`` (B, T, *shape); a convention that it lacks gives what ``nir`` gives.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from conformance.conventions import BASE, CONVENTIONS

FILE = Path(__file__).with_name("vectors.zip")
FORMAT = "nir-conformance.vectors/1"


class BadVectorsError(Exception):
    """The vectors are not those that were published, in one line."""


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A graph with what must come out of it. nir: the file's bytes; expected: {convention: {key: array}}."""

    name: str
    words: str
    group: str
    exact: bool
    delayed: tuple[tuple[str, str], ...]
    nir: bytes
    x: np.ndarray
    expected: dict[str, dict[str, np.ndarray]]

    def under(self, convention: str) -> dict[str, np.ndarray]:
        """'output', 'spikes/NODE', 'membrane/NODE' -> (B, T, *shape)."""
        return self.expected.get(convention, self.expected[BASE])

    def exact_under(self, convention: str) -> bool:
        """Whether no rounding may differ: an exponential is no short fraction."""
        return self.exact and (convention not in self.expected or CONVENTIONS[convention].decay == "euler")


@dataclass(frozen=True)
class Vectors:
    """digest: SHA-256 of every file's content, which results name."""

    cases: tuple[Vector, ...]
    digest: str

    def matching(self, patterns: Sequence[str]) -> tuple[Vector, ...]:
        """Those whose name or group one of the patterns names; all without a pattern."""
        wanted = [c for c in self.cases if any(fnmatch(c.name, p) or fnmatch(c.group, p) for p in patterns)]
        return tuple(wanted) if patterns else self.cases


def load(path: Path = FILE) -> Vectors:
    """BadVectorsError where a file is missing, is damaged or is of another version."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
            index = json.loads(content["cases.json"])
            if index["format"] != FORMAT:
                raise BadVectorsError(f"{path}: format {str(index['format'])[:40]!r}; expected {FORMAT!r}")
            return Vectors(tuple(_vector(case, content) for case in index["cases"]), digest_of(content))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:120]
        raise BadVectorsError(f"{path}: no vectors ({type(error).__name__}: {said}); fetch the folder again") from None


def digest_of(content: dict[str, bytes]) -> str:
    """Of the arrays, not of the .npz around them: a zip of another zlib holds the same vectors."""
    total = hashlib.sha256()
    for name in sorted(content):
        total.update(name.encode() + b"\0")
        if not name.endswith(".npz"):
            total.update(hashlib.sha256(content[name]).digest())
            continue
        for key, array in sorted(_arrays(content[name]).items()):
            total.update(f"{key} {array.dtype.str} {array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {str(key): arrays[key] for key in arrays.files}


def _vector(case: dict[str, Any], content: dict[str, bytes]) -> Vector:
    arrays = _arrays(content[f"{case['name']}.npz"])
    expected: dict[str, dict[str, np.ndarray]] = {name: {} for name in CONVENTIONS}
    for key, array in arrays.items():
        convention, _, what = key.partition("/")
        if what:
            expected[convention][what] = array
    delayed = tuple((str(s), str(d)) for s, d in case["delayed"])
    return Vector(
        name=case["name"], words=case["words"], group=case["group"], exact=case["exact"], delayed=delayed,
        nir=content[f"{case['name']}.nir"], x=arrays["x"], expected={k: v for k, v in expected.items() if v},
    )  # fmt: skip


def extract(vectors: Vectors, folder: Path) -> None:
    """NAME.nir and NAME.npz of every case, for whoever wants files."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in vectors.cases:
        (folder / f"{case.name}.nir").write_bytes(case.nir)
        kept = {f"{c}/{key}": a for c, arrays in case.expected.items() for key, a in arrays.items()}
        np.savez_compressed(folder / f"{case.name}.npz", x=case.x, **kept)  # type: ignore[arg-type]
