"""The readers by the names that the campaign knows them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.judge import Target

OWN = ("json", "jsonl", "toml", "csv", "npz", "idx", "program")  # parsers of ours, or of Python's own library
GUARDED = ("hdf5", "onnx", "safetensors", "events", "commands")  # what native libraries read, and whole commands


def targets(reader: str, work: Path) -> Sequence[Target]:
    """The targets of a reader. work: for healthy files; ``work/canary`` is what a loaded pickle would write."""
    canary = str(work / "canary")
    # Each brings in what it needs alone: a small process forks fast.
    if reader in ("json", "jsonl", "toml", "csv"):
        from tests.faults import readers_text

        of_text = {"json": readers_text.json_targets, "jsonl": readers_text.jsonl_targets}
        of_text |= {"toml": readers_text.toml_targets, "csv": readers_text.csv_targets}
        return of_text[reader]()
    if reader in ("npz", "idx", "program"):
        from tests.faults import readers_arrays

        if reader == "idx":
            return readers_arrays.idx_targets()
        return readers_arrays.npz_targets(canary) if reader == "npz" else readers_arrays.program_targets(canary, work)
    from tests.faults import readers_native

    return readers_native.targets(reader, work)
