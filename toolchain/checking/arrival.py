"""SN101, before a file is opened: whether it is there, and is the file itself and not what stands for it."""

from __future__ import annotations

from pathlib import Path

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.runs.run import meant_by

_HEAD = b"version https://git-lfs.github.com/spec/"
POINTER = "a git-lfs pointer, not the file: git lfs pull"
KINDS = {".nir": "graph", ".onnx": "ONNX model", "": "export folder"}


def kind_of(path: Path) -> str:
    """By the name alone; UsageError for what a check does not take, whether it is there or not."""
    if path.is_dir():
        return "export folder"
    kind = KINDS.get(path.suffix)
    if kind is None or (kind == "export folder" and path.exists()):
        raise UsageError(f"{path}: expected a folder that snnas export wrote, a .nir or an .onnx")
    return kind


def check_arrival(book: Book) -> bool:
    """Whether the subject is there; where not, the finding of it."""
    return book.attempt("SN101", "file", lambda: _arrived(book.subject)) is not None


def _arrived(path: Path) -> bool:
    if not path.exists():
        mend = meant_by(path) or "; name a .nir, an .onnx or a folder that snnas export wrote"
        raise InvalidFileError(f"{path}: no such file or folder{mend}")
    refuse_pointer(path)
    return True


def refuse_pointer(path: Path) -> None:
    """InvalidFileError (SN101) for a git-lfs pointer."""
    if is_pointer(path):
        raise InvalidFileError(f"{path}: {POINTER}", code="SN101")


def is_pointer(path: Path) -> bool:
    """Whether it is what git-lfs checks out in place of a file that it did not fetch."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD
