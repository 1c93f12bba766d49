"""``python -m conformance``: run a reader over the vectors, or show what result files hold.

Exit codes: 0 every graph is equal; 1 one is not; 2 the reader or an option is unusable; 3 a file is no vectors or no
result.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance import results, table, vectors
from conformance.badge import badge
from conformance.conventions import BASE, CONVENTIONS
from conformance.judge import EQUAL, OTHER, BadReaderError, Read, Verdict, judged
from conformance.results import BadResultError, Result

BAD_USE, BAD_FILE = 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if given.table:
            known = vectors.load()
            found = [results.read(path) for path in given.table]
            sys.stdout.write(table.table(known, found) + "\n" + table.versions(found))
            return 0
        if given.merge:
            if given.json is None:
                parser.error("--merge RESULT.json ... takes --json OUT.json")
            result = results.merged([results.read(path) for path in given.merge])
            results.write(given.json, result)
            sys.stdout.write(f"{result.name}: {results.summary(result)}\n")
            return 0
        if given.list or given.extract:
            return _show(given)
        if given.reader is None:
            parser.error("--reader MODULE:FUNCTION is needed (or --list, --extract DIR, --table RESULT.json ...)")
        return _run(given)
    except BadReaderError as error:
        sys.stderr.write(f"conformance: {error}\n")
        return BAD_USE
    except (vectors.BadVectorsError, BadResultError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return BAD_FILE
    except OSError as error:
        sys.stderr.write(f"conformance: {error.filename or ''}: {error.strerror or error}\n")
        return BAD_USE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description="What a tool makes of a NIR graph.")
    parser.add_argument("--reader", metavar="MODULE:FUNCTION", help="read(path, x) -> {'output': array, ...}")
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="write the result")
    parser.add_argument("--badge", metavar="OUT.svg", type=Path, help="write a badge")
    parser.add_argument("--name", help="of the result (default: the module's last part)")
    parser.add_argument(
        "--convention", default=BASE, choices=CONVENTIONS, metavar="NAME",
        help=f"what counts as equal: {', '.join(CONVENTIONS)} (default: {BASE})",
    )  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="graphs or groups, as 'lif*'")
    parser.add_argument("--list", action="store_true", help="every graph, and what it is about")
    parser.add_argument("--extract", metavar="DIR", type=Path, help="write the graphs as .nir and .npz files")
    parser.add_argument("--table", nargs="+", metavar="RESULT.json", type=Path, help="results as a Markdown table")
    parser.add_argument(
        "--merge", nargs="+", metavar="RESULT.json", type=Path, help="runs of one reader as one result, in --json"
    )
    return parser


def _show(given: argparse.Namespace) -> int:
    known = vectors.load()
    if given.extract:
        vectors.extract(known, given.extract)
        sys.stdout.write(f"{len(known.cases)} graphs in {given.extract}\n")
        return 0
    for case in _wanted(known, given.only):
        sys.stdout.write(f"{case.name:18}  {case.group:15}  {case.words}\n")
    return 0


def _wanted(known: vectors.Vectors, only: list[str]) -> tuple[vectors.Vector, ...]:
    wanted = known.matching(only)
    if not wanted:
        raise BadReaderError(f"--only {' '.join(only)}: names no graph and no group; --list shows them")
    return wanted


def _run(given: argparse.Namespace) -> int:
    known = vectors.load()
    wanted = _wanted(known, given.only)
    for path in (given.json, given.badge):
        if path is not None and not path.absolute().parent.is_dir():
            raise BadReaderError(f"{path}: its folder is not there; make it first")
    read, packages = reader_of(given.reader)
    verdicts: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="nir-conformance-") as folder:
        for case in wanted:
            verdicts[case.name] = verdict = judged(read, case, Path(folder), given.convention)
            if verdict.outcome != EQUAL:
                said = f"as {', '.join(verdict.conventions)}" if verdict.outcome == OTHER else verdict.outcome
                sys.stdout.write(f"{case.name:18}  {said}: {verdict.found}\n")
    result = Result(
        reader=given.reader, name=given.name or given.reader.partition(":")[0].rpartition(".")[2],
        convention=given.convention, vectors=known.digest, versions=results.versions_of(packages), verdicts=verdicts,
    )  # fmt: skip
    if given.json is not None:
        results.write(given.json, result)
    if given.badge is not None:
        given.badge.write_text(badge(result), encoding="utf-8")
    sys.stdout.write(f"{result.name}: {results.summary(result)}\n")
    return 0 if result.counts[EQUAL] == len(verdicts) else 1


def reader_of(named: str) -> tuple[Read, tuple[str, ...]]:
    """The function, and the packages whose versions its module names; BadReaderError where there is none."""
    module_name, _, function = named.partition(":")
    if not module_name or not function:
        raise BadReaderError(f"--reader {named!r}: expected MODULE:FUNCTION, as conformance.readers.norse:read")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a stranger's module does as it is imported
        said = " ".join(str(error).split())[:200]
        raise BadReaderError(
            f"--reader {named}: cannot import {module_name} ({type(error).__name__}: {said})"
        ) from None
    found = getattr(module, function, None)
    if not callable(found):
        names = [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]
        what = "is no function" if hasattr(module, function) else "is not in it"
        raise BadReaderError(f"--reader {named}: {function} {what}; {module_name} has {', '.join(names) or 'none'}")
    try:
        inspect.signature(found).bind("graph.nir", None)
    except TypeError as error:
        raise BadReaderError(
            f"--reader {named}: {error}; it is called with a path and the inputs, read(path, x)"
        ) from None
    except ValueError:
        pass  # one written in C may have no signature
    return found, tuple(getattr(module, "VERSIONS", ()))


if __name__ == "__main__":
    sys.exit(main())
