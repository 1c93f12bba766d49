"""What lies in an export folder, is no part of it, and would be taken for one: nothing compares it with anything.

A folder of one target with the files of another one's in it, and what the manifest does not list beside what it does.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from snnas.export.formats.c import SOURCES
from snnas.export.formats.c.encoder import SOURCES as ENCODER

# Those without which an export is none: of a program, and of an ONNX model.
FILES = ("model.nir", "program.npz", "golden.npz", "stimulus.npz", "run_lava.py", "report.json")
ONNX_FILES = ("model.nir", "model.onnx", "stimulus.npz", "report.json")
_PROGRAM = (*FILES, "calibration.npz", "counts.json", "floats.npz", "model.net")
WRITTEN = {
    "lava": frozenset(_PROGRAM),
    "c": frozenset((*_PROGRAM, *SOURCES, *ENCODER)),
    "onnx": frozenset((*ONNX_FILES, "encoder.onnx")),
}
# Names that people give to files of their own; calibration.npz an older export has no use for, and none reads it.
_PLAIN = frozenset(("README.md", "Makefile", "calibration.npz"))
_MADE_FIRST = frozenset(("GNUmakefile", "makefile"))  # make takes them in place of a Makefile


def stray(folder: Path, target: str, listed: Collection[str]) -> dict[str, str]:
    """{name: what is wrong with it}. target: of the manifest, as is ``listed``, the names of its files."""
    wrong = {
        name: f"no export with --target {target} has it, so that nothing compares it; export again"
        for name in sorted(set(listed) - WRITTEN[target])
    }
    ours = frozenset().union(*WRITTEN.values()) - _PLAIN
    ours |= _MADE_FIRST if target == "c" else frozenset()
    for name in sorted({path.name for path in folder.iterdir()} & ours - set(listed)):
        wrong[name] = "the manifest does not list it, so that nothing compares it; take it away, or export again"
    return wrong
