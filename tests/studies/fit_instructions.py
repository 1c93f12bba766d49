"""Fits the constants of the cost model of C, function by function: python -m tests.studies.fit_instructions"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer
from scipy.optimize import nnls

from snnas.export.formats.c.work import parts
from snnas.hw_sim.c import compilers
from snnas.hw_sim.c.model import CModel
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.models.in_c import rates_of
from tests.studies.command import main, tell
from tests.studies.instructions import FITTED, emulated, networks

SCHEMA = "snnas.study.fit_instructions/1"
APART = re.compile(r"^static void (?=(?:synapse|neurons|read|host|pack)(?:_\d+)?\()", re.MULTILINE)
STEP = "snnas_step"  # with what is not a function of its own
LEAST = 50.0  # instructions: what is shorter weighs no more


def rows_of(genotypes: int, programs: int) -> list[dict[str, Any]]:
    """Each function's loop bodies and the instructions that it took: {"network", "core", "work", "taken", "whole"}."""
    rows = []
    for name, c in networks(FITTED, genotypes, programs):
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


def _apart(model: CModel) -> CModel:
    """Functions that no compiler melts into the step."""
    return replace(model, source=APART.sub("__attribute__((noinline)) static void ", model.source))


def fit(rows: list[dict[str, Any]], core: str) -> dict[str, float]:
    """Instructions of each loop body, none negative: least squares of what each function is off, relative to the
    geometric mean of what it takes itself and what its network does."""
    mine = [r for r in rows if r["core"] == core]
    names = sorted({k for r in mine for k, v in r["work"].items() if v})
    work = np.array([[r["work"].get(k, 0.0) for k in names] for r in mine])
    taken = np.array([r["taken"] for r in mine])
    weight = 1 / np.sqrt(np.maximum(taken, LEAST) * np.array([r["whole"] for r in mine]))
    found, _ = nnls(work * weight[:, None], taken * weight)
    return {name: round(float(value), 2) for name, value in zip(names, found, strict=True) if value >= 0.005}


def command(
    genotypes: Annotated[int, typer.Option(min=1, help="Random genotypes.")] = 20,
    programs: Annotated[int, typer.Option(min=0, help="Random programs of every kind of map.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Constants for export/formats/c/instructions.py; tests.studies.instructions tests them on other networks."""
    rows = rows_of(genotypes, programs)
    costs = {core: fit(rows, core) for core in compilers.CORES}
    tell({"schema": SCHEMA, "functions": len(rows), "costs": costs}, as_json, lambda r: print(r["costs"]), good=True)


if __name__ == "__main__":
    main(command)
