"""An attestation: what a check of an export found, in one document that a second machine can make again and compare.

It holds nothing of the machine, the time or the version that made it: hashes of the export's files, digests of the
samples, what the prices are taken from, every figure as it was measured again, every verdict. Equal folders give equal
attestations; ``digest`` is of all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.hw_sim.files import read_json, sha256
from snnas.hw_sim.tables import shipped
from snnas.toolchain.checking.check import check
from snnas.toolchain.checking.export_folder import read_manifest
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.samples import LIMIT_BYTES, of_arrays
from snnas.toolchain.models.estimate import profile_of
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.runs.run import meant_by

SCHEMA = "snnas.attestation/1"
DIGITS = 9  # of a figure: sums of constants in float64 may differ in the last ones between machines
SAID = ("files", "samples", "priced", "figures", "checks")


def attest(folder: Path, pricing: Pricing) -> tuple[dict[str, Any], Book]:
    """The attestation of an export, and the check that it rests on. UsageError for what is no folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder that snnas export wrote{meant_by(folder)}")
    book = check(folder, CheckOptions(graphs=(folder,), pricing=pricing, measure=True, budgets=False))
    profile, files = profile_of(pricing), _files(folder, book)
    stimulus = None
    if "stimulus.npz" in files:
        arrays = read_npz(folder / "stimulus.npz", limit_bytes=LIMIT_BYTES, what="stimulus.npz")
        samples = of_arrays(arrays) if "x" in arrays else None
        stimulus = samples and {"number": len(samples), "stimulus": samples.stimulus, "labels": samples.labels}
    prices = {"name": profile.name, "sha256": sha256(shipped(_name(pricing), "profiles"))} if profile else None
    document: dict[str, Any] = {
        "files": files,
        "samples": stimulus,
        "priced": {
            "system": {"name": pricing.system, "sha256": sha256(shipped(pricing.system, "systems"))},
            "profile": prices,
        },
        "figures": {name: _rounded(figure.value) for name, figure in sorted(book.figures.items())},
        "checks": sorted([f.code, f.name, f.status] for f in book.findings),
    }
    return {"schema": SCHEMA, "exit_code": book.exit_code, "digest": digest_of(document), **document}, book


def _name(pricing: Pricing) -> str:
    from snnas.hw_sim.map.mapping import load_system
    from snnas.toolchain.models.estimate import PROFILE_OF

    return pricing.profile or PROFILE_OF[load_system(pricing.system).name]


def _files(folder: Path, book: Book) -> dict[str, str]:
    """Hashes of the files that the manifest lists, as they are; empty where the check could not take them."""
    if book.bad("SN1"):
        return {}
    return {name: sha256(folder / name) for name in sorted(read_manifest(folder)["files"])}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 of what an attestation says."""
    said = {name: document.get(name) for name in SAID}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_attestation(path: Path) -> dict[str, Any]:
    """InvalidFileError where it is none, or was edited: its digest is not that of what it says."""
    if not path.is_file():
        raise UsageError(f"--compare {path}: no such file; write it with snnas attest EXPORT --out {path}")
    table = read_json(path)
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        found = table.get("schema") if isinstance(table, dict) else table
        raise InvalidFileError(f"{path}: not an attestation: schema {brief(found)}; expected {SCHEMA}")
    if table.get("digest") != digest_of(table):
        raise InvalidFileError(f"{path}: its digest is not that of what it says: it was edited; attest again")
    return table


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What two attestations say otherwise, a line each."""
    mine, other = (dict(_entries({**_said(one), "exit_code": one.get("exit_code")})) for one in (ours, theirs))
    names = list(dict.fromkeys([*mine, *other]))
    return [
        f"{name}: {brief(mine.get(name, 'nothing'))} here, {brief(other.get(name, 'nothing'))} there"
        for name in names
        if mine.get(name) != other.get(name) or (name in mine) != (name in other)
    ]


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: document.get(name) for name in SAID}
    checks = said["checks"]
    rows = [row for row in checks if isinstance(row, list) and len(row) == 3] if isinstance(checks, list) else []
    return said | {"checks": {f"{code} {name}": status for code, name, status in rows}}


def _entries(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _entries(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree
