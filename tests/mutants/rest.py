"""Mutants of everything else in export/ and hw_sim/: one sample over all modules that ``campaign`` does not list.

    python -m tests.mutants.rest --out FOLDER [--sample N] [--draw N] [--again] [--table]

Of all places of these modules, in one order that the draw seeds, the first ``--sample`` settle how many mutants each
module has. All tests of export/ and hw_sim/ (but slow ones and Lava's) run once, over functions that tell that they are
entered; a module's mutants are asked of the tests that enter it, of one without functions of those that import it.
Results, ``--draw`` and ``--again`` are ``campaign``'s; the table has a row per folder.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from snnas.toolchain.data.statistics import wilson
from tests.mutants.campaign import (
    KILLED,
    MARKS,
    MODULES,
    Result,
    collect,
    copy_tree,
    in_tree,
    read_results,
    tell_alive,
    tried_of,
    try_mutants,
    unexplained,
)
from tests.mutants.hand import ROOT
from tests.mutants.places import Mutant, mutants_of, places_of

FOLDERS = ("export", "hw_sim")
BY_VALUE = (*(file for folder in FOLDERS for file in KILLED[folder]), "tests/mutants/test_by_value_rest.py")
TESTS = ("tests/export", "tests/hw_sim", *dict.fromkeys(BY_VALUE))


@functools.cache
def modules() -> tuple[str, ...]:
    """Of FOLDERS, those that ``campaign`` does not list."""
    found = (str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return tuple(sorted(set(found) - set(MODULES)))


def shares(places: Mapping[str, int], sample: int, draw: int) -> Counter[str]:
    """How many of ``sample`` mutants each module has: a larger sample has no fewer of any."""
    order = [module for module in sorted(places) for _ in range(places[module])]
    random.Random(f"rest {draw}").shuffle(order)
    return Counter(order[:sample])


def wanted_of(out: Path, sample: int, again: bool, draw: int) -> dict[str, list[Mutant]]:
    """By module, what is to be tried."""
    places = {module: len(places_of(module)) for module in modules()}
    found = {}
    for module, number in shares(places, sample, draw).items() if not again else places.items():
        known = collect(out, module, draw)
        if again:
            mutants = [m for m in tried_of(module, known) if unexplained(known[m.key])]
        else:
            mutants, _ = mutants_of(module, number, draw, {r.key for r in known.values() if r.draw != draw})
        found[module] = [m for m in mutants if again or m.key not in known]
    return {module: mutants for module, mutants in found.items() if mutants}


def traced(out: Path) -> Path:
    """A folder with what each test enters of every module, made where it is not there for today's code and tests."""
    tests = [file for t in TESTS for file in ([ROOT / t] if t.endswith(".py") else sorted((ROOT / t).rglob("*.py")))]
    files = [*(ROOT / module for module in modules()), *tests]
    folder = out / f"rest-{hashlib.sha256(b''.join(file.read_bytes() for file in files)).hexdigest()[:16]}"
    if not folder.exists():
        making = folder.with_suffix(".part")
        making.mkdir(exist_ok=True)
        job = {"traces": {m: str(making / f"{m.replace('/', '-')}.json") for m in modules()}, "tests": TESTS}
        (out / "rest.job.json").write_text(json.dumps(job))
        in_tree(out / "tree", "tests.mutants.rest", "--trace", str(out / "rest.job.json"))
        making.rename(folder)
    return folder


def tests_of(module: str, trace: Path) -> list[str]:
    """The files of the tests that enter a module, else of those that import it; ``trace`` is left with theirs alone."""
    found = json.loads(trace.read_text())
    entering = {name for name, test in found["tests"].items() if test["lines"]}
    if not entering:
        dotted = "snnas." + module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        folder, _, name = dotted.rpartition(".")
        said = (f"from {dotted} import", f"from {folder} import {name}", f"import {dotted}")
        files = {name.partition("::")[0] for name in found["tests"]}
        importing = {file for file in files if any(words in (ROOT / file).read_text() for words in said)}
        entering = {name for name in found["tests"] if name.partition("::")[0] in importing}
    trace.write_text(json.dumps({**found, "tests": {name: found["tests"][name] for name in sorted(entering)}}))
    return sorted({name.partition("::")[0] for name in entering})


def try_all(out: Path, sample: int, again: bool, draw: int) -> None:
    wanted = wanted_of(out, sample, again, draw)
    print(f"{sum(map(len, wanted.values()))} mutants of {len(wanted)} modules to try", flush=True)
    if not wanted:
        return
    copy_tree(out / "tree")
    folder = traced(out)
    for module, mutants in wanted.items():
        trace = folder / f"{module.replace('/', '-')}.json"
        tests = tests_of(module, trace)
        print(f"{module}: {len(mutants)} mutants, {len(tests)} files of tests", flush=True)
        try_mutants(out, mutants, tests, trace, draw)


def table(results: Iterable[Result]) -> str:
    """The table of docs/reliability.md: a row per folder, of the last draw; and what is killed now, of all draws."""
    rows = [
        "| folder | drawn | equivalent | killed at first | 95 % interval | killed now |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    mine = [r for r in results if r.module not in MODULES and r.current]
    last = max((r.draw for r in mine), default=0)
    folders = sorted({str(PurePosixPath(r.module).parent) for r in mine})
    for name, of in [(f, [r for r in mine if str(PurePosixPath(r.module).parent) == f]) for f in folders] + [
        ("all", mine)
    ]:
        drawn = [r for r in of if r.draw == last]
        judged, every = ([r for r in each if r.argument is None] for each in (drawn, of))
        if judged:
            first, now = sum(r.first != "alive" for r in judged), sum(r.outcome != "alive" for r in every)
            low, high = wilson(first, len(judged))
            rows.append(
                f"| {name} | {len(drawn)} | {len(drawn) - len(judged)} | {first / len(judged):.1%} "
                f"| {low:.1%} to {high:.1%} | {now} of {len(every)} |"
            )
    return "\n".join((*rows, ""))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--draw", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true", help="only show what is known")
    parser.add_argument("--trace", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.trace:
        from tests.mutants.trial import trace

        job = json.loads(Path(given.trace).read_text())
        return trace(job["traces"], job["tests"], MARKS)
    if not given.out:
        parser.error("--out FOLDER is needed")
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        try_all(given.out.resolve(), given.sample, given.again, given.draw)
    results = [r for r in read_results().values() if r.module not in MODULES]
    print(table(results))
    tell_alive(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
