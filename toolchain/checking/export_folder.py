"""A folder that snnas export wrote: whole, valid, each part doing what was recorded of it.

Hashes find damage; a signature they are not: who re-writes the manifest too is found by the runs, not by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.program_file import read_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json, sha256
from snnas.hw_sim.program import Program
from snnas.toolchain.checking import folder_runs
from snnas.toolchain.checking.arrival import POINTER, is_pointer, refuse_pointer
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.graph_rules import check_version, describe
from snnas.toolchain.checking.onnx_rules import open_onnx
from snnas.toolchain.exporting.onnx import SCHEMA as ONNX_FORMAT
from snnas.toolchain.exporting.pipeline import FORMAT

FILES = ("model.nir", "program.npz", "golden.npz", "stimulus.npz", "run_lava.py")
ONNX_FILES = ("model.nir", "model.onnx", "stimulus.npz", "report.json")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,200}", re.ASCII)
Tree = Mapping[str, Any]


def check_folder(book: Book) -> dict[str, float | None]:
    """SN1xx to SN3xx and SN6xx of an export; its figures, empty where it cannot be read."""
    folder = book.subject
    manifest = book.attempt("SN105", "manifest", lambda: read_manifest(folder))
    if manifest is None:
        return {}
    book.add("SN103", "manifest", "passed", str(manifest["format"]))
    _check_files(book, manifest)
    if not book.healthy:
        return {}
    graph = book.attempt("SN105", "graph", lambda: read_nir(folder / "model.nir"), folder / "model.nir")
    if graph is not None:
        book.add("SN105", "graph", "passed", describe(graph), folder / "model.nir")
        check_version(book, graph, folder / "model.nir")
    if manifest["format"] == ONNX_FORMAT:
        return _check_onnx(book, graph)
    place = folder / "program.npz"
    program = book.attempt("SN117", "program", lambda: read_program(place), place)
    if program is not None:
        counted = folder_runs.described(program)
        book.add("SN117", "program", "passed", counted, place)
    if graph is None or program is None or book.bad("SN1", "SN2"):
        return {}
    return _check_parts(book, graph, program, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json with a table of files; InvalidFileError where it is absent (SN103), newer (SN102) or none."""
    path = folder / "manifest.json"
    if not path.is_file():
        if any((folder / name).is_file() for name in (*FILES, *ONNX_FILES)):
            raise InvalidFileError(f"{path}: no such file; export again, and keep the whole folder", code="SN103")
        raise InvalidFileError(
            f"{folder}: nothing of an export in it (no manifest.json, no model.nir); name a folder that snnas export "
            "wrote, a .nir or an .onnx",
            code="SN103",
        )
    refuse_pointer(path)
    manifest = read_json(path)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found not in (FORMAT, ONNX_FORMAT):
        newer = any(str(found).rpartition("/")[0] == known.rpartition("/")[0] for known in (FORMAT, ONNX_FORMAT))
        raise InvalidFileError(
            f"{path}: not the manifest of an export: format {str(found)[:40]!r}; this version reads {FORMAT} and "
            f"{ONNX_FORMAT}",
            code="SN102" if newer else None,
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        raise InvalidFileError(f"{path}: not the manifest of an export: no table of files and hashes")
    return dict(manifest)


def _check_files(book: Book, manifest: Tree) -> None:
    wanted = ONNX_FILES if manifest["format"] == ONNX_FORMAT else FILES
    recorded = manifest["files"]
    for name in dict.fromkeys((*wanted, *recorded)):
        path = book.subject / name
        if not _PLAIN_NAME.fullmatch(name) or path.is_symlink():
            book.add("SN115", f"file {name}", "invalid", "leads out of the folder; export again", path)
        elif not path.is_file():
            book.add("SN103", f"file {name}", "invalid", "missing; export again", path)
        elif is_pointer(path):
            book.add("SN101", f"file {name}", "invalid", POINTER, path)
        elif recorded.get(name) != sha256(path):
            why = "its hash is not the manifest's; the file was changed or damaged, export again"
            book.add("SN104", f"file {name}", "invalid", why, path)
        else:
            book.add("SN104", f"file {name}", "passed", recorded[name][:12], path)


def _check_parts(book: Book, graph: Graph, program: Program, manifest: Tree) -> dict[str, float | None]:
    folder = book.subject
    book.attempt("SN207", "program against graph", lambda: folder_runs.check_structure(book, graph, program))
    book.attempt("SN208", "ranges", lambda: folder_runs.check_ranges(book, program))
    book.attempt("SN209", "resolution", lambda: folder_runs.check_resolution(book, graph, program))
    book.attempt("SN301", "recorded spikes", lambda: folder_runs.check_program(book, program))
    book.attempt("SN301", "graph's spikes", lambda: folder_runs.check_graph(book, graph, program, manifest))
    book.attempt("SN307", "recorded resources", lambda: folder_runs.check_resources(book, program, manifest))
    return (
        book.attempt("SN307", "recorded figures", lambda: folder_runs.check_figures(book, folder, program, manifest))
        or {}
    )


def _check_onnx(book: Book, graph: Graph | None) -> dict[str, float | None]:
    opened = open_onnx(book, book.subject / "model.onnx")
    if graph is None or opened is None:
        return {}
    found = book.attempt("SN301", "ONNX against NIR", lambda: folder_runs.check_onnx(book, graph, opened[0]))
    return found or {}
