"""SN309 and SN310: whether a run measured anything at all."""

from __future__ import annotations

from pathlib import Path

from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book

ENOUGH = 8  # samples whose answers do not all tie by chance


def check_reach(book: Book, run: Fired, place: Path) -> None:
    """What of a run on the recorded samples never fires, and whether its answers tell samples apart."""
    answers = Answers()
    answers.add(run.answers.reshape(len(run.answers), -1))
    found = answers.with_spikes({name: int(fired.sum()) for name, fired in run.spikes.items()})
    silent = found.never_fired
    book.add("SN309", "recording reaches", "warned" if silent else "passed", silent or "all fire", place)
    dead = found.populations > 0 and len(found.silent) == found.populations
    problem = found.no_measurement if found.samples >= ENOUGH or dead else None
    if problem and silent:
        problem += "; snnas simulate and estimate name the likely cause of the silence"
    book.judge("SN310", "answers", problem, f"{found.samples - found.ties} of {found.samples} are no ties", place)
