"""Fits the constants of the cost model of C, function by function: python -m tests.studies.fit_instructions"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import nnls

from snnas.export.formats.c.instructions import COSTS
from snnas.export.formats.c.work import parts
from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.c import compilers
from snnas.hw_sim.c.model import CModel
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.models.in_c import InC, prepare, rates_of
from tests.studies.command import main, tell
from tests.studies.instructions import FITTED, SAMPLES, emulated, networks

SCHEMA = "snnas.study.fit_instructions/1"
APART = re.compile(r"^static void (?=(?:synapse|neurons|read|host|pack)(?:_\d+)?\()", re.MULTILINE)
STEP = "snnas_step"  # with what is not a function of its own
PULL = 0.03
UNKNOWN = 6.0  # instructions of a body that has no price yet
LEAST = 50.0  # instructions: what is shorter weighs no more


def rows_of(genotypes: int, programs: int, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Each function's loop bodies and the instructions that it took: {"network", "core", "work", "taken", "whole"}."""
    rows = []
    for name, c in (*networks(FITTED, genotypes, programs), *map(_exported, folders)):
        rates, frames = rates_of(c)
        works: dict[str, Counter[str]] = {}
        for function, times, once in parts(c.plan, rates, frames):
            works.setdefault(function, Counter()).update({k: v * times for k, v in once.items()})
        for core in compilers.CORES.values():
            taken = Counter[str]()
            for function, count in emulated(_apart(c.model), c, core).functions.items():
                taken[STEP if function not in works else function] += count / len(c.given)
            rows += [
                {"network": name, "core": core.name, "work": work, "taken": taken[function], "whole": taken.total()}
                for function, work in works.items()
                if any(work.values())
            ]
    return rows


def _exported(folder: Path) -> tuple[str, InC]:
    """An export to C, on two of its recorded samples."""
    x = read_npz(folder / "stimulus.npz", what="record")["x"][:SAMPLES]
    return folder.name, prepare(read_program(folder / "program.npz"), x)


def _apart(model: CModel) -> CModel:
    """Functions that no compiler melts into the step."""
    return replace(model, source=APART.sub("__attribute__((noinline)) static void ", model.source))


def fit(rows: list[dict[str, Any]], core: str, before: Mapping[str, float]) -> dict[str, float]:
    """Instructions of each loop body, none negative: least squares of what each function is off, relative to the
    geometric mean of what it takes itself and what its network does. What the networks hardly tell stays as it was
    ``before``: each body is pulled there a little.
    """
    mine = [r for r in rows if r["core"] == core]
    names = sorted({*before, *(k for r in mine for k, v in r["work"].items() if v)})
    work = np.array([[r["work"].get(k, 0.0) for k in names] for r in mine])
    taken = np.array([r["taken"] for r in mine])
    weight = 1 / np.sqrt(np.maximum(taken, LEAST) * np.array([r["whole"] for r in mine]))
    unit = np.array([before.get(k, UNKNOWN) for k in names])  # unknowns: multiples of it
    seen = np.vstack([work * weight[:, None] * unit, PULL * np.eye(len(names))])
    found, _ = nnls(seen, np.concatenate([taken * weight, np.full(len(names), PULL)]))
    return {name: round(float(value), 2) for name, value in zip(names, found * unit, strict=True) if value >= 0.005}


def command(
    genotypes: Annotated[int, typer.Option(min=1, help="Random genotypes.")] = 20,
    programs: Annotated[int, typer.Option(min=0, help="Random programs of every kind of map.")] = 20,
    also: Annotated[list[Path] | None, typer.Option(metavar="FOLDER", help="An export to C, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Constants for export/formats/c/instructions.py; tests.studies.instructions tests them on other networks."""
    rows = rows_of(genotypes, programs, also or ())
    costs = {core: fit(rows, core, COSTS[core]) for core in compilers.CORES}
    tell({"schema": SCHEMA, "functions": len(rows), "costs": costs}, as_json, lambda r: print(r["costs"]), good=True)


if __name__ == "__main__":
    main(command)
