"""A reader's result as a file: versioned JSON without times and paths: who runs it again gets the same."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from conformance.conventions import CONVENTIONS
from conformance.judge import DIFFERS, EQUAL, OTHER, OUTCOMES, STOPS, Verdict

SILENT = (DIFFERS, OTHER, STOPS, EQUAL)  # what misleads most stands first
FORMAT = "nir-conformance.result/1"


class BadResultError(Exception):
    """A file that is no result, in one line."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """reader: MODULE:FUNCTION. name: the table's column. vectors: their digest. verdicts: {case: verdict}."""

    reader: str
    name: str
    convention: str
    vectors: str
    versions: dict[str, str]
    verdicts: dict[str, Verdict]

    @property
    def counts(self) -> dict[str, int]:
        """{outcome: cases}, every outcome."""
        seen = Counter(v.outcome for v in self.verdicts.values())
        return {outcome: seen[outcome] for outcome in OUTCOMES}

    @property
    def nearest(self) -> tuple[str, int]:
        """The convention that most cases agree with, and with how many; the asked one where none has more."""
        seen = Counter(name for v in self.verdicts.values() for name in v.conventions)
        best = max(CONVENTIONS, key=lambda name: (seen[name], name == self.convention))
        return best, seen[best]


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, Python's among them; 'not installed' where it is so."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in (*packages, "nir", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def write(path: Path, result: Result) -> None:
    """Whole or not at all."""
    document: dict[str, Any] = {"format": FORMAT, **asdict(result), "counts": result.counts}
    for verdict in document["verdicts"].values():
        verdict["conventions"] = list(verdict["conventions"])
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(path)


def read(path: Path) -> Result:
    """BadResultError for what is no result of this version."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.get("format") != FORMAT:
            raise BadResultError(f"{path}: format {str(document.get('format'))[:40]!r}; expected {FORMAT!r}")
        if document["convention"] not in CONVENTIONS:
            raise ValueError(f"convention {document['convention']!r} is unknown")
        given = {key: _text(document[key]) for key in ("reader", "name", "convention", "vectors")}
        versions = {package: _text(number) for package, number in document["versions"].items()}
        verdicts = {name: _verdict(v) for name, v in document["verdicts"].items()}
        return Result(verdicts=verdicts, versions=versions, **given)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())[:120]
        raise BadResultError(f"{path}: not a result ({type(error).__name__}: {said})") from None


def merged(found: Sequence[Result]) -> Result:
    """Several runs of one reader as one result: a graph of which they differ takes the outcome that misleads most.

    That is the first of SILENT that a run had; what is found says which outcomes there were. BadResultError where the
    runs are not of one reader, its versions and these vectors.
    """
    first = found[0]
    for other in found[1:]:
        if _of(other) != _of(first) or set(other.verdicts) != set(first.verdicts):
            raise BadResultError(
                f"{other.name}: not a run of {first.reader} like the first, in its versions and graphs"
            )
    verdicts = dict[str, Verdict]()
    for name in first.verdicts:
        runs = [result.verdicts[name] for result in found]
        worst = min(runs, key=lambda verdict: SILENT.index(verdict.outcome))
        seen = [f"{outcome} {count} of {len(runs)}" for outcome, count in Counter(v.outcome for v in runs).items()]
        said = f"varies from run to run ({', '.join(sorted(seen))}): {worst.found}"
        verdicts[name] = worst if len(seen) == 1 else replace(worst, found=said)
    return replace(first, verdicts=verdicts)


def _of(result: Result) -> tuple[object, ...]:
    return result.reader, result.name, result.convention, result.vectors, result.versions


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _verdict(given: dict[str, Any]) -> Verdict:
    conventions = tuple(given["conventions"])
    if given["outcome"] not in OUTCOMES or not set(conventions) <= set(CONVENTIONS):
        raise ValueError(f"outcome {given['outcome']!r} or one of the conventions {conventions!r} is unknown")
    if given["outcome"] == OTHER and not conventions:
        raise ValueError(f"outcome {OTHER!r} names no convention")
    if type(given["shown"]) is not int:
        raise TypeError(f"shown {given['shown']!r:.40} is no whole number")
    return Verdict(given["outcome"], _text(given["found"]), conventions, given["shown"])


def summary(result: Result) -> str:
    """One line for a person."""
    counts, (best, most) = result.counts, result.nearest
    total = len(result.verdicts)
    words = f"{counts['equal']} of {total} equal, {counts[OTHER]} as another convention, "
    words += f"{counts['differs']} different without a word, {counts['stops']} stopped"
    return words + (f"; nearest convention: {best} ({most})" if best != result.convention else "")
