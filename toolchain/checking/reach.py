"""SN309 and SN310: whether a run measured anything at all."""

from __future__ import annotations

from pathlib import Path

from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book

ENOUGH = 8  # samples whose answers do not all tie by chance


def check_reach(book: Book, run: Fired, place: Path, *, labels: bool, unheard: bool = False) -> None:
    """What of a run on the recorded samples never fires, and whether its answers tell samples apart.

    labels: an accuracy is judged by these answers, and is none where they all tie; else that is a warning. unheard:
    nothing that the readout reads fires, which is no matter of what was recorded.
    """
    answers = Answers()
    answers.add(run.answers.reshape(len(run.answers), -1))
    found = answers.with_spikes({name: int(fired.sum()) for name, fired in run.spikes.items()})
    silent = found.never_fired
    text = silent or "all fire"
    if unheard:
        text += "; nothing that the readout reads fires: it is the same answer whatever comes in"
    book.add("SN309", "recording reaches", "failed" if unheard else "warned" if silent else "passed", text, place)
    problem = found.no_measurement if found.samples >= ENOUGH or len(found.silent) == found.populations else None
    if problem is None:
        book.add("SN310", "answers", "passed", f"{found.samples - found.ties} of {found.samples} are no ties", place)
    else:
        why = f"{problem}; snnas simulate and estimate name the likely cause of a silence" if silent else problem
        book.add("SN310", "answers", "failed" if labels else "warned", why, place)
