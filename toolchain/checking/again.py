"""Making a recording, and making it again: a recording says what a graph should do, and is not replaced by accident.

``--force`` runs a changed graph on the recorded samples, read as it was recorded; what the command line says otherwise
is refused. ``--new-recording`` is the consent to put other samples or another reading in its place; ``--in-ci`` that to
write where a pipeline judges.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.graph import digest
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.checking import recording
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.recording import Recording
from snnas.toolchain.models.reading_options import ReadingOptions

READING = ("timesteps", "input_kind", "delayed", "convention", "dt", "decay", "compare", "reset", "current", "readout")


def to_record(graph: Path, options: CheckOptions) -> Path | None:
    """The file that --record asks for; UsageError where it would be overwritten, or where a pipeline would write it."""
    if options.record is None:
        return None
    out = recording.path_of(graph) if options.record == "auto" else Path(options.record)
    if out.suffix != ".npz":
        raise UsageError(f"--record {options.record}: expected auto, or the name of an .npz to write")
    refuse_in_ci("--record", options.in_ci)
    if out.exists() and not (options.force or options.new_recording):
        raise UsageError(
            f"--record: {out} exists, and is what checks go by; --force records its samples again, --new-recording "
            "puts another in its place"
        )
    return out


def refuse_in_ci(option: str, in_ci: bool) -> None:
    """UsageError where a pipeline would set its own expectations."""
    if os.environ.get("CI") not in (None, "", "0", "false") and not in_ci:
        raise UsageError(
            f"{option}: the environment variable CI is set, and a pipeline that writes what it is judged by judges "
            "nothing; write it at your desk and commit it, or add --in-ci"
        )


def replaced(out: Path | None, options: CheckOptions) -> Recording | None:
    """The recording that is made again; None where there is none yet, or another is to take its place."""
    if out is None or options.new_recording or not out.exists():
        return None
    try:
        return recording.read(out)
    except InvalidFileError as error:
        raise UsageError(f"--record: its samples cannot be taken again: {error}") from None


def reading(out: Path, old: Recording, wanted: ReadingOptions) -> ReadingOptions:
    """How ``old`` was recorded; UsageError where the command line says otherwise."""
    then = old.wanted
    odd = [
        f"--{name.replace('_', '-')} {_said(getattr(wanted, name))} (recorded: {_said(getattr(then, name))})"
        for name in READING
        if getattr(wanted, name) not in (None, (), getattr(then, name))
    ]
    if wanted.data is None and wanted.seed is not None:
        odd.append(f"--seed {wanted.seed} (its samples are recorded)")
    if wanted.limit not in (None, len(old.x)):
        odd.append(f"--limit {wanted.limit} (recorded: {len(old.x)} samples)")
    if odd:
        raise other(out, ", ".join(odd))
    return replace(wanted, **{name: getattr(then, name) for name in READING}, limit=len(old.x))


def other(out: Path, what: str) -> UsageError:
    """What is raised where something given is not as recorded."""
    return UsageError(f"--record: {what}: not as in {out}; leave it out, or add --new-recording")


def must_be_recorded(out: Path, old: Recording, x: np.ndarray, y: np.ndarray | None, data: str) -> None:
    """UsageError where samples given by name are not the recorded ones, or bring or lack labels."""
    labels = (y is None) == (old.y is None) and (y is None or old.y is None or np.array_equal(y, old.y))
    if not (np.array_equal(x, old.x) and labels):
        raise other(out, f"--data {data}: other samples or labels ({_told(x, y)}; recorded: {_told(old.x, old.y)})")


def says_otherwise(now: Mapping[str, Any], then: Mapping[str, Any], whose: str) -> str | None:
    """The first entry of ``now`` that ``then`` has otherwise."""
    for key, value in now.items():
        if key in then and then[key] != value:
            return f"{whose} {key} is {str(value)[:40]}, recorded was {str(then[key])[:40]}"
    return None


def keep(book: Book, out: Path, made: Recording, old: Recording | None) -> Recording:
    """Writes the recording, and says so, with what is no longer as it was."""
    recording.write(out, made)
    book.note(f"recording: {out}, {made.source}")
    if old is not None:
        change = digest.changed(old.content, made.content) or "nothing of the graph changed"
        book.note(f"recorded again on the same {len(made.x)} samples; {change}{_fires(old, made)}")
    return made


def _fires(old: Recording, made: Recording) -> str:
    same = old.nodes == made.nodes and all(np.array_equal(old.spikes[n], made.spikes[n]) for n in made.nodes)
    return "; it fires as before" if same else "; it fires otherwise than before"


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "not given" if value is None else str(value)


def _told(x: np.ndarray, y: np.ndarray | None) -> str:
    return f"{len(x)} samples {'without' if y is None else 'with'} labels"
