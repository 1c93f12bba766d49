"""Append-only logs, one JSON object a line: what a search or a training says as it goes, and resumes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import naming, parse_json, read_bytes
from snnas.hw_sim.system_calls import READING

LOG_BYTES = 1 << 30


class JsonLines:
    """An append-only log; a last line that a kill cut short is dropped on reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """One line in one write, flushed, so that a kill loses at most the line being written."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | READING  # of a FIFO too: it does not wait for a reader
        with naming(self.path), os.fdopen(os.open(self.path, flags, 0o666), "ab") as f:
            f.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            f.flush()
            os.fsync(f.fileno())

    def read(self) -> list[dict[str, Any]]:
        """All records; none where there is no file. InvalidFileError names the line that is none."""
        return list(self._records()) if self.path.exists() else []

    def _records(self) -> Iterator[dict[str, Any]]:
        lines = read_bytes(self.path, LOG_BYTES).split(b"\n")
        for number, line in enumerate(lines[:-1], start=1):
            try:
                record = parse_json(line.decode())
            except (ValueError, RecursionError):
                raise InvalidFileError(
                    f"{self.path}: line {number} is not JSON; move the file away to start again"
                ) from None
            if not isinstance(record, dict):
                raise InvalidFileError(f"{self.path}: line {number} is not a JSON object")
            yield record

    def mend(self) -> None:
        """Cuts off a last line without its end, so that the next append starts a new one."""
        if self.path.exists():
            data = read_bytes(self.path, LOG_BYTES)
            kept = data.rfind(b"\n") + 1
            if kept != len(data):
                with self.path.open("r+b") as f:
                    f.truncate(kept)
