"""Mutants by a tool (cosmic-ray's operators), module by module: which of them the tests let live.

    python -m tests.mutants.campaign --out FOLDER [--sample N] [--draw N] [--again] [MODULE ...]

Of each module ``--sample`` mutants are tried (all where left out), drawn without return in one order that the module's
name seeds: a later run with a larger number extends the sample. ``--draw 2`` is a sample of its own, in another order
and without the mutants of other draws: what lived of one draw gets tests, and the next one says what they are worth.
``tests/mutants/results.jsonl`` holds each that was tried, by a digest of what it makes of its module: those of another
state of the code no longer count, and none is tried twice.
``--again`` tries those of all draws that lived, and are not named equivalent, once more, and no others. FOLDER holds
the copy of the tree and what each test reaches.

Those that lived are named in ``equivalent.py``, with an argument, or count.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from snnas.toolchain.data.statistics import wilson
from tests.mutants.equivalent import argument_for
from tests.mutants.hand import COPIED, ROOT
from tests.mutants.places import Mutant, mutants_of, places_of, statement_lines

RESULTS = ROOT / "tests/mutants/results.jsonl"
# By folder, of its modules' mutants: made by hand, and one by one.
KILLED = {
    "hw_sim": (
        "tests/mutants/test_killed.py", "tests/mutants/test_by_value.py", "tests/mutants/test_by_value_lava.py",
        "tests/mutants/test_by_value_script.py"
    ),
    "export": (
        "tests/mutants/test_killed.py", "tests/mutants/test_by_value.py", "tests/mutants/test_by_value_compiler.py"
    ),
    "toolchain": (
        "tests/mutants/test_by_value_check.py", "tests/mutants/test_by_value_drift.py",
        "tests/mutants/test_by_value_folder.py", "tests/mutants/test_by_value_figures.py"
    ),
}  # fmt: skip
SIMULATED = ("tests/hw_sim/simulate/test_simulator.py", "tests/hw_sim/simulate/test_soft_reset.py")
PRICED = ("tests/hw_sim/energy/test_energy.py",)
# A module, and the tests that are to kill its mutants beside KILLED.
MODULES: dict[str, tuple[str, ...]] = {
    "hw_sim/kernels.py": ("tests/hw_sim/test_kernels.py", *SIMULATED),
    "hw_sim/simulate/simulator.py": SIMULATED,
    "export/compiler/schedule.py": (
        "tests/export/compiler/test_schedule.py", "tests/export/compiler/test_schedule_of_graphs.py"
    ),
    "export/compiler/quantise.py": (
        "tests/export/compiler/test_quantise.py", "tests/export/compiler/test_bits.py",
    ),
    "export/compiler/ranges.py": ("tests/export/compiler/test_ranges.py",),
    "hw_sim/simulate/counter.py": ("tests/hw_sim/simulate/test_counts.py", "tests/hw_sim/simulate/test_sampling.py"),
    "hw_sim/energy/price.py": PRICED,
    "hw_sim/energy/latency.py": PRICED,
    "hw_sim/map/mapping.py": ("tests/hw_sim/map/test_mapping.py", "tests/hw_sim/map/test_placement.py"),
    "export/compiler/fold.py": ("tests/export/compiler/test_fold.py",),
    "hw_sim/lava/run.py": (),
    "hw_sim/lava/run_lava.py": (
        "tests/hw_sim/lava/test_run_lava.py", "tests/hw_sim/lava/test_run_lava_files.py",
        "tests/hw_sim/lava/test_run_lava_main.py", "tests/hw_sim/test_early_exit.py",
    ),
    "toolchain/checking/same_network.py": ("tests/toolchain/checking/test_same_network.py",),
    "toolchain/checking/layer_by_layer.py": ("tests/toolchain/checking/test_spike_tolerance.py",),
    "toolchain/checking/remake.py": (),
    "toolchain/checking/folder_runs.py": (),
    "toolchain/checking/rules/rules.py": (),
    "toolchain/checking/rules/rule.py": (),
    "toolchain/checking/equivalence.py": (),
    "toolchain/checking/drift.py": ("tests/toolchain/checking/test_baseline_bands.py",),
}  # fmt: skip
MARKS = "not slow and not lava"  # pytest's -m of what is run against mutants


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Of a mutant that was tried.

    state: a digest of the module that it is of, which had so many ``places`` for a mutant. draw: in which it was drawn.
    outcome: killed, late or alive; first: what it was then. old, new: its line.
    """

    module: str
    key: str
    state: str
    places: int
    draw: int
    row: int
    first: str
    outcome: str
    old: str
    new: str

    @property
    def current(self) -> bool:
        return self.state == state_of(self.module)

    @property
    def argument(self) -> str | None:
        return argument_for(self.module, self.old, self.new) if self.outcome == "alive" else None


@functools.cache
def state_of(module: str) -> str:
    return hashlib.sha256((ROOT / module).read_bytes()).hexdigest()[:8]


def copy_tree(tree: Path) -> None:
    """The tree as it is, afresh."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / part)


def read_results() -> dict[str, Result]:
    """By key."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {r.key: r for r in (Result(**json.loads(line)) for line in lines)}


def write_results(results: Iterable[Result]) -> None:
    fields = ("module", "key", "state", "places", "draw", "row", "first", "outcome", "old", "new")
    place = {module: at for at, module in enumerate(MODULES)}
    ordered = sorted(results, key=lambda r: (place.get(r.module, len(place)), r.module, r.row, r.key))
    RESULTS.write_text("".join(json.dumps({f: getattr(r, f) for f in fields}) + "\n" for r in ordered))


def unexplained(result: Result) -> bool:
    return result.outcome == "alive" and result.argument is None


def try_module(out: Path, module: str, sample: int | None, again: bool, draw: int = 1) -> None:
    """Tries what the sample lacks, or ``again`` what lived; what it finds is written as it is found."""
    known = collect(out, module, draw)
    if again:
        drawn = tried_of(module, known)
        wanted = [m for m in drawn if unexplained(known[m.key])]
    else:
        drawn, _ = mutants_of(module, sample, draw, {r.key for r in known.values() if r.draw != draw})
        wanted = [m for m in drawn if m.key not in known]
    print(f"{module}: {len(drawn)} drawn, {len(wanted)} to try", flush=True)
    if wanted:
        copy_tree(out / "tree")
        tests = [*MODULES[module], *KILLED[module.partition("/")[0]]]
        state = hashlib.sha256(b"".join((ROOT / f).read_bytes() for f in (module, *tests))).hexdigest()[:16]
        try_mutants(out, wanted, tests, out / f"trace-{module.replace('/', '-')}-{state}.json", draw)


def try_mutants(out: Path, wanted: Sequence[Mutant], tests: Sequence[str], trace: Path, draw: int) -> None:
    """Tries mutants of one module in the copy of the tree. trace: what each test enters, made where it is not there.

    Without a test all live.
    """
    module, tree = wanted[0].module, out / "tree"
    name, source, places = module.replace("/", "-"), (ROOT / module).read_text(), len(places_of(module))
    (out / f"{name}.known.json").write_text(json.dumps({m.key: [places, m.row, *m.change()] for m in wanted}))
    if not tests:
        alive = (json.dumps({"key": m.key, "outcome": "alive"}) + "\n" for m in wanted)
        (out / f"{name}.jsonl").write_text("".join(alive))
        collect(out, module, draw)
        return
    told = [{"key": m.key, "source": m.source, "lines": statement_lines(source, m.row)} for m in wanted]
    job = {
        "module": module, "tests": list(tests), "marks": MARKS, "mutants": told, "trace": str(trace),
        "out": str(out / f"{name}.jsonl"),
    }  # fmt: skip
    (out / f"{name}.job.json").write_text(json.dumps(job))
    try:
        in_tree(tree, "tests.mutants.trial", str(out / f"{name}.job.json"))
    finally:
        collect(out, module, draw)


def in_tree(tree: Path, module: str, *arguments: str) -> None:
    """Run a module of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=tree, env=environment, check=True)


def collect(out: Path, module: str, draw: int) -> dict[str, Result]:
    """Adds what a trial wrote to the results; all of them."""
    known, name = read_results(), module.replace("/", "-")
    found, drawn = out / f"{name}.jsonl", out / f"{name}.known.json"
    if found.exists():
        of = json.loads(drawn.read_text())
        for line in found.read_text().splitlines():
            told = json.loads(line)
            if told["key"] in of:
                places, row, old, new = of[told["key"]]
                before = known.get(told["key"])
                known[told["key"]] = Result(
                    module=module,
                    key=told["key"],
                    state=state_of(module),
                    places=places,
                    draw=draw if before is None else before.draw,
                    row=row,
                    first=told["outcome"] if before is None else before.first,
                    outcome=told["outcome"],
                    old=old,
                    new=new,
                )
        write_results(known.values())
        found.unlink()
    return known


def table(results: Iterable[Result]) -> str:
    """The table of docs/reliability.md: of each module its last draw, and what of all its draws is killed now.

    All modules: their last draws, each weighted by its module's places. Its variance takes two more mutants of each, of
    which one is killed, so that a module of which none lived does not count as certain.
    """
    head = "| module | places | drawn | equivalent | killed at first | 95 % interval | killed now |"
    rows, by = [head, "|---|--:|--:|--:|--:|--:|--:|"], [r for r in results if r.current]
    lasts, now, total = list[tuple[int, int, int, int]](), 0, 0
    for module in MODULES:
        of = [r for r in by if r.module == module]
        last = [r for r in of if r.draw == max(r.draw for r in of)]
        judged, every = ([r for r in each if r.argument is None] for each in (last, of))
        if judged:
            at_first, alive = sum(r.first != "alive" for r in judged), sum(r.outcome == "alive" for r in every)
            lasts.append((last[0].places, len(last), len(judged), at_first))
            now, total = now + len(every) - alive, total + len(every)
            low, high = wilson(at_first, len(judged))
            rows.append(
                f"| {module} | {last[0].places:,} | {len(last)} | {len(last) - len(judged)} "
                f"| {at_first / len(judged):.1%} | {low:.1%} to {high:.1%} | {len(every) - alive} of {len(every)} |"
            )
    if lasts:
        places = sum(n for n, *_ in lasts)
        share = sum(n * killed / judged for n, _, judged, killed in lasts) / places
        drawn, equivalent = sum(d for _, d, *_ in lasts), sum(d - judged for _, d, judged, _ in lasts)
        guesses = [(n / places, (killed + 1) / (judged + 2), judged + 2) for n, _, judged, killed in lasts]
        spread = 1.96 * math.sqrt(sum(w * w * p * (1 - p) / n for w, p, n in guesses))
        rows.append(
            f"| all, by places | {places:,} | {drawn:,} | {equivalent} | {share:.1%} "
            f"| {share - spread:.1%} to {min(1.0, share + spread):.1%} | {now:,} of {total:,} |"
        )
    return "\n".join((*rows, ""))


def tried_of(module: str, known: dict[str, Result]) -> list[Mutant]:
    """The mutants of today's module that have a result."""
    draws = Counter(r.draw for r in known.values() if r.module == module and r.current)
    found = list[Mutant]()
    for draw, number in draws.items():
        drawn, _ = mutants_of(module, number, draw, {r.key for r in known.values() if r.draw != draw})
        found += [m for m in drawn if m.key in known]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--draw", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true", help="only show what is known")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all where left out")
    given = parser.parse_args(arguments)
    if unknown := set(given.modules) - set(MODULES):
        parser.error(f"{sorted(unknown)[0]}: expected some of {', '.join(MODULES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        for module in given.modules or MODULES:
            try_module(given.out.resolve(), module, given.sample, given.again, given.draw)
    results = read_results().values()
    print(table(results))
    tell_alive(r for r in results if r.module in MODULES)
    return 0


def tell_alive(results: Iterable[Result]) -> None:
    for r in results:
        if r.current and unexplained(r):
            print(f"{r.module}:{r.row}\n- {r.old}\n+ {r.new}\n")


if __name__ == "__main__":
    sys.exit(main())
