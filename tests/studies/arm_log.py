"""The log of a study's arm: what was recorded under the same settings, and what is new."""

from __future__ import annotations

import hashlib
from typing import Any

from snnas.toolchain.runs.log import JsonLines


def settings_key(measured: object) -> str:
    """A name for settings, by which a log tells them apart. measured: its ``repr`` says all that records depend on."""
    return hashlib.sha256(repr(measured).encode()).hexdigest()[:16]


class ArmLog:
    """Records of one arm of one seed, as a search takes and gives them; ``records`` are those of before and of now.

    log: of the study, None where nothing is kept. key: of the settings.
    """

    def __init__(self, log: JsonLines | None, key: str, arm: str, seed: int) -> None:
        self.log, self.about = log, {"settings": key, "arm": arm, "seed_of_search": seed}
        self.records: list[dict[str, Any]] = []
        if log is not None:
            log.mend()
            self.records = [record for record in log.read() if record.get("settings") == key]

    def of(self, event: str) -> list[dict[str, Any]]:
        """Those of an event."""
        return [record for record in self.records if record.get("event") == event]

    def __call__(self, record: dict[str, Any]) -> None:
        """Keep one more."""
        self.records.append(record)
        if self.log is not None:
            self.log.append({**self.about, **record})
