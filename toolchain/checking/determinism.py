"""SN6xx: what is done again gives the same again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from snnas.export.formats.program_file import write_program
from snnas.hw_sim.files import sha256
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.equivalence import Fired, answers_differ, first_difference
from snnas.toolchain.checking.findings import Book

OTHER_BATCH = 7

Run = Callable[[np.ndarray, int], Fired]  # samples and batch size -> what fires


def check_runs(book: Book, name: str, run: Run, x: np.ndarray, first: Fired, *, tolerance: float = 0.0) -> None:
    """SN601 and SN602: the samples once more, backwards, in batches of another size.

    Only where that differs are they run a third time as at first, to say which of the two it is. tolerance: of answers.
    """
    other = run(x[::-1], OTHER_BATCH)
    problem = _unlike(first, Fired({n: s[::-1] for n, s in other.spikes.items()}, other.answers[::-1]), tolerance)
    again = _unlike(first, run(x, max(1, len(x))), tolerance) if problem else None
    book.judge("SN601", f"{name} repeated", again, f"{first.total()} spikes equal in a second run")
    shuffled = None if again else problem
    book.judge("SN602", f"{name} reordered", shuffled, f"equal backwards and in batches of {OTHER_BATCH}")


def _unlike(first: Fired, second: Fired, tolerance: float) -> str | None:
    difference = first_difference(first.packed(), second, first.spikes)
    if difference is not None:
        return difference.text()
    return answers_differ(first.answers, second.answers, tolerance=tolerance)


def check_compile(book: Book, compile_it: Callable[[], Program], first: Program) -> None:
    """SN603: the compiled program twice, as bytes."""
    before, after = program_hash(first), program_hash(compile_it())
    problem = None if before == after else f"two compilations give {before[:12]} and {after[:12]}"
    book.judge("SN603", "program recompiled", problem, f"{before[:12]} twice")


def program_hash(program: Program) -> str:
    """SHA-256 of the program's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.npz"
        write_program(path, program)
        return sha256(path)
