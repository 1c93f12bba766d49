"""Mutants by a tool (cosmic-ray), module by module: which of them the tests let live.

    python -m tests.mutants.campaign --out FOLDER [--seconds N] [--sample N] [MODULE ...]

Everything happens in a copy of the tree under FOLDER, where a session per module (an SQLite file) holds what was tried:
ended, or out of ``--seconds``, the next call goes on with what is pending. ``--sample``: of each module so many, drawn.
``FOLDER/score.md`` is the table of docs/reliability.md, ``FOLDER/alive.txt`` each mutant that lived, as a patch. Hours
for all modules.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.hand import COPIED, ROOT

TIMEOUT = 120.0  # seconds of one mutant's tests: one that loops for ever is killed by it
KILLED = "tests/mutants/test_killed.py"
# A module, and the tests that are to kill its mutants: those of its own folder, and what once survived them.
MODULES: dict[str, tuple[str, ...]] = {
    "hw_sim/kernels.py": ("tests/hw_sim/test_kernels.py", "tests/hw_sim/simulate/test_soft_reset.py"),
    "hw_sim/simulate/simulator.py": (
        "tests/hw_sim/simulate/test_simulator.py", "tests/hw_sim/simulate/test_soft_reset.py"
    ),
    "export/compiler/schedule.py": ("tests/export/compiler/test_schedule.py",),
    "export/compiler/quantise.py": ("tests/export/compiler/test_quantise.py", "tests/export/compiler/test_bits.py"),
    "export/compiler/ranges.py": ("tests/export/compiler/test_ranges.py",),
    "hw_sim/simulate/counter.py": ("tests/hw_sim/simulate/test_counts.py", "tests/hw_sim/simulate/test_sampling.py"),
    "hw_sim/energy/price.py": ("tests/hw_sim/energy/test_energy.py",),
    "hw_sim/energy/latency.py": ("tests/hw_sim/energy/test_energy.py",),
    "hw_sim/map/mapping.py": ("tests/hw_sim/map/test_mapping.py", "tests/hw_sim/map/test_placement.py"),
    "export/compiler/fold.py": ("tests/export/compiler/test_rewrites.py",),
    "hw_sim/lava/run_lava.py": ("tests/hw_sim/lava/test_lava.py",),
    "toolchain/checking/remake.py": ("tests/toolchain/checking/test_check_fooled.py",),
    "toolchain/checking/same_network.py": ("tests/toolchain/checking/test_check_fooled.py",),
    "toolchain/checking/folder_runs.py": ("tests/toolchain/checking/test_check_faults.py",),
    "toolchain/checking/equivalence.py": ("tests/toolchain/checking/test_check_faults.py",),
    "toolchain/checking/drift.py": ("tests/toolchain/checking/test_check_faults.py",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of a module: mutants in all, those that were tried, and those of them that lived."""

    module: str
    mutants: int
    tried: int
    alive: int

    def row(self) -> str:
        share = f"{1 - self.alive / self.tried:.1%}" if self.tried else "-"
        return f"| {self.module} | {self.mutants} | {self.tried} | {self.alive} | {share} |"


def copy_tree(tree: Path) -> None:
    """The tree as it is, afresh; sessions lie beside it."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / part)


def session_of(out: Path, module: str) -> Path:
    return out / f"{module.replace('/', '-')}.sqlite"


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types are written, as (row, column) from and to: nobody evaluates them, so a mutant there does nothing."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
    return [
        ((a.lineno, a.col_offset), (a.end_lineno or a.lineno, a.end_col_offset or a.col_offset))
        for a in found if a is not None
    ]  # fmt: skip


def leave_out_annotations(session: Path, source: str) -> None:
    spans = annotations(source)
    with sqlite3.connect(session) as db:
        places = db.execute("select job_id, start_pos_row, start_pos_col from mutation_specs").fetchall()
        idle = {job for job, row, column in places if any(start <= (row, column) < end for start, end in spans)}
        _delete(db, idle)


def _delete(db: sqlite3.Connection, jobs: set[str]) -> None:
    for table in ("mutation_specs", "work_items"):
        db.executemany(f"delete from {table} where job_id = ?", [(job,) for job in jobs])


def draw(session: Path, number: int) -> None:
    """Keeps ``number`` mutants of a session, drawn with a seed of 0."""
    with sqlite3.connect(session) as db:
        order = "select job_id from mutation_specs order by operator_name, occurrence, start_pos_row, start_pos_col"
        jobs = [job for (job,) in db.execute(order).fetchall()]
        _delete(db, set(jobs) - set(random.Random(0).sample(jobs, min(number, len(jobs)))))


def campaign(out: Path, modules: Sequence[str], seconds: float | None, sample: int | None = None) -> None:
    """Tries what is pending of the modules, for ``seconds`` at most."""
    until = None if seconds is None else time.monotonic() + seconds
    for module in modules:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            return
        tree = out / "tree"
        copy_tree(tree)
        config, session = out / f"{session_of(out, module).stem}.toml", session_of(out, module)
        tests = " ".join((*MODULES[module], KILLED))
        command = f"{sys.executable} -m pytest -n 0 -q -x -p no:cacheprovider {tests}"
        config.write_text(
            f'[cosmic-ray]\nmodule-path = "{module}"\ntimeout = {TIMEOUT}\nexcluded-modules = []\n'
            f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
        )
        tool = [sys.executable, "-m", "cosmic_ray.cli"]
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        if not session.exists():
            subprocess.run([*tool, "init", str(config), str(session)], cwd=tree, env=environment, check=True)
            leave_out_annotations(session, (tree / module).read_text())
            if sample is not None:
                draw(session, sample)
        print(f"{module}: {score_of(session, module).row()}", flush=True)
        try:
            subprocess.run(
                [*tool, "exec", str(config), str(session)], cwd=tree, env=environment, check=True, timeout=left
            )
        except subprocess.TimeoutExpired:
            return


def score_of(session: Path, module: str) -> Score:
    """What a session holds. A mutant whose tests ran out of time is dead: nothing ends by itself there."""
    with sqlite3.connect(session) as db:
        (mutants,) = db.execute("select count(*) from work_items").fetchone()
        found = dict(db.execute("select test_outcome, count(*) from work_results group by test_outcome").fetchall())
    tried = sum(found.values())
    alive = sum(n for outcome, n in found.items() if str(outcome).upper().endswith("SURVIVED"))
    return Score(module=module, mutants=mutants, tried=tried, alive=alive)


def alive_of(session: Path) -> list[str]:
    """The patch of each mutant that lived."""
    with sqlite3.connect(session) as db:
        rows = db.execute("select test_outcome, diff from work_results").fetchall()
    return [diff for outcome, diff in rows if str(outcome).upper().endswith("SURVIVED") and diff]


def write_scores(out: Path) -> str:
    """score.md and alive.txt of all sessions that there are; the table."""
    known = [m for m in MODULES if session_of(out, m).exists()]
    rows = [score_of(session_of(out, m), m).row() for m in known]
    table = "\n".join(["| module | mutants | tried | lived | killed |", "|---|---:|---:|---:|---:|", *rows, ""])
    (out / "score.md").write_text(table)
    (out / "alive.txt").write_text("\n\n".join(diff for m in known for diff in alive_of(session_of(out, m))))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--sample", type=int)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all where left out")
    given = parser.parse_args(arguments)
    if unknown := set(given.modules) - set(MODULES):
        parser.error(f"{sorted(unknown)[0]}: expected some of {', '.join(MODULES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    campaign(given.out.resolve(), given.modules or list(MODULES), given.seconds, given.sample)
    print(write_scores(given.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
