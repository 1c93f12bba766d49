"""Result files as one Markdown table: a row for each graph, a column for each reader."""

from __future__ import annotations

from conformance.judge import DIFFERS, EQUAL, OTHER, STOPS, Verdict
from conformance.results import BadResultError, Result
from conformance.vectors import Vectors

MARKS = {EQUAL: "equal", DIFFERS: "**differs**", STOPS: "stops"}


def table(vectors: Vectors, results: list[Result]) -> str:
    """BadResultError where a result is of other vectors, or of part of them, or two have one name."""
    for result in results:
        if result.vectors != vectors.digest:
            raise BadResultError(f"{result.name}: its result is of other vectors; run it again with --json")
        if set(result.verdicts) != {c.name for c in vectors.cases}:
            raise BadResultError(
                f"{result.name}: its result holds {len(result.verdicts)} of {len(vectors.cases)} graphs"
            )
    names = [r.name for r in results]
    if len(set(names)) < len(names):
        raise BadResultError(f"two results of one name among {', '.join(names)}; give one --name")
    lines = [_row("graph", "what it is about", *names), "|" + "---|" * (len(names) + 2)]
    lines.append(_row("**equal**", f"of {len(vectors.cases)}", *(f"**{r.counts[EQUAL]}**" for r in results)))
    lines.append(_row("as another convention", "", *(str(r.counts[OTHER]) for r in results)))
    lines.append(_row("**differs**", "without a word", *(str(r.counts[DIFFERS]) for r in results)))
    lines.append(_row("stops", "an exception", *(str(r.counts[STOPS]) for r in results)))
    for case in vectors.cases:
        words = case.words + (" (exact)" if case.exact else "")
        lines.append(_row(f"`{case.name}`", words, *(_cell(r.verdicts[case.name]) for r in results)))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(verdict: Verdict) -> str:
    if verdict.outcome == OTHER:
        return f"as {verdict.conventions[0]}"
    return MARKS[verdict.outcome]


def versions(results: list[Result]) -> str:
    """What each result was made with, in one paragraph."""
    skipped = {"python", "numpy"}
    lines = [f"{r.name}: " + ", ".join(f"{p} {v}" for p, v in r.versions.items() if p not in skipped) for r in results]
    return "; ".join(lines) + ".\n"
