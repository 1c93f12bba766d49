"""Where a foreign graph's export goes, and the graph that lies there: laid open, with all that was settled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import sha256
from snnas.toolchain.models.opened import Opened


def folder_of(path: Path, out: Path | None, target: str = "lava") -> Path:
    """Where the artefacts go."""
    final = out if out is not None else Path(f"{path.stem}-{target}")
    if final.exists() and not (final.is_dir() and ((final / "manifest.json").is_file() or not any(final.iterdir()))):
        raise UsageError(f"{final} exists and is no export of ours; name another folder with --out")
    return final


def rewritten(path: Path, opened: Opened, stage: Path) -> Graph:
    """``rewrite`` to model.nir of the folder; read back."""
    rewrite(path, opened, stage / "model.nir")
    return read_nir(stage / "model.nir")


def rewrite(path: Path, opened: Opened, final: Path) -> None:
    """Writes the graph laid open, with everything that was settled as its metadata. path: where it came from."""
    meta = {
        "timesteps": opened.timesteps,
        "input_kind": opened.kind,
        "input_range": list(opened.range),
        "verified": opened.verified,
        "origin": {"file": path.name, "sha256": sha256(path)},
    }
    write_nir(final, replace(opened.graph, meta=meta))
