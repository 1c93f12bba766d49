"""Writes vectors.zip: ``python -m conformance.make``. numpy and nir alone, and the same arrays every time.

Of every graph the inputs are drawn anew until no membrane of any convention is so near its threshold that a tool's
float32 could decide otherwise; only where both meet exactly, in binary fractions, may they meet.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np

from conformance.conventions import BASE, CONVENTIONS
from conformance.graphs import KEY, Case, cases
from conformance.reference import Played, play
from conformance.vectors import FILE, FORMAT

NEAREST = 1e-4  # of |v - threshold| where they do not meet exactly; float32 sums of ours are good to 1e-6
TRIES = 400


@dataclass(frozen=True)
class Recorded:
    """A case with its inputs and, by convention, what the reference gives."""

    case: Case
    x: np.ndarray
    played: dict[str, Played]


def recorded(case: Case) -> Recorded:
    """ValueError for a graph that is dead under the plain convention, or never clear of its thresholds."""
    for attempt in range(TRIES):
        rng = np.random.default_rng([*case.name.encode(), attempt])
        draws = rng.random((case.samples, case.steps, *case.shape))
        x = (np.floor(draws * 17) / 16 if case.analogue else draws < 0.4).astype(np.float32)
        played = {n: play(case.graph, x, c, frozenset(case.delayed)) for n, c in CONVENTIONS.items()}
        alive = all(0 < s.mean() < 1 for s in played[BASE].spikes.values())
        if alive and all(_clear(case, name, p) for name, p in played.items()):
            return Recorded(case, x, played)
    raise ValueError(f"{case.name}: no inputs of {TRIES} give a graph that is alive and clear of its thresholds")


def _clear(case: Case, convention: str, played: Played) -> bool:
    leaks = any(hasattr(node, "tau") or hasattr(node, "tau_mem") for node in case.graph.nodes.values())
    rounds = not case.exact or (leaks and CONVENTIONS[convention].decay == "exact")
    return played.nearest >= NEAREST and not (rounds and played.ties)


def arrays_of(found: Recorded) -> dict[str, np.ndarray]:
    """x, and what ``vectors`` says of the rest; spikes as uint8, the others as float32."""
    kept = {"x": found.x}
    base = _named(found.played[BASE])
    for name, played in found.played.items():
        arrays = _named(played)
        if name == BASE or any(not np.array_equal(a, base[key]) for key, a in arrays.items()):
            kept |= {f"{name}/{key}": a for key, a in arrays.items()}
    return kept


def _named(played: Played) -> dict[str, np.ndarray]:
    found = {"output": played.output.astype(np.float32)}
    found |= {f"spikes/{n}": s.astype(np.uint8) for n, s in played.spikes.items()}
    return found | {f"membrane/{n}": v.astype(np.float32) for n, v in played.membranes.items()}


def file_of(case: Case) -> bytes:
    """The .nir file. A cycle's waiting edge stands in the metadata, for who looks there."""
    if case.delayed:
        case.graph.metadata = {KEY: json.dumps({"delayed": [list(e) for e in case.delayed]})}
    buffer = io.BytesIO()
    nir.write(buffer, case.graph, compression=None)
    return buffer.getvalue()


def content() -> dict[str, bytes]:
    """Every file of vectors.zip."""
    every = cases()
    files: dict[str, bytes] = {}
    index = []
    for case in every:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays_of(recorded(case)))  # type: ignore[arg-type]
        files |= {f"{case.name}.nir": file_of(case), f"{case.name}.npz": buffer.getvalue()}
        index.append({"name": case.name, "words": case.words, "group": case.group, "exact": case.exact,
                      "delayed": [list(e) for e in case.delayed]})  # fmt: skip
    files["cases.json"] = json.dumps({"format": FORMAT, "cases": index}, indent=1).encode()
    return files


def write(path: Path = FILE) -> int:
    """Bytes written; no file is left half."""
    whole = path.with_suffix(".new")
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(content().items()):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    whole.replace(path)
    return path.stat().st_size


if __name__ == "__main__":
    sys.stdout.write(f"{FILE}: {write()} bytes\n")
