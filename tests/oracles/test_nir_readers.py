"""The tools' columns of docs/conformance.md: our .nir of every case, read and run by each tool.

What is the tool's defect is a strict xfail, so that a version that mends it is noticed.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import write_nir
from tests.oracles.nir_peers import READERS, interpreter_of, worker
from tests.studies.conformance_matrix import CASES, STEPS, Case, outcome
from tests.studies.conformance_readers import DIFFERS, EQUAL, FILE, REASONS, STOPS, TOOLS, measured

pytestmark = pytest.mark.oracle
assert READERS == TOOLS
Found = dict[str, dict[str, str]]  # {case: {outcome, found}}


@pytest.fixture(scope="module")
def found_by(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """tool -> what it gave for every case, and its version; each tool is run once."""
    known: dict[str, tuple[Found, str]] = {}

    def run(tool: str) -> tuple[Found, str]:
        interpreter_of(tool)  # a skip, if it is one, before all cases are run
        if tool not in known:
            folder = tmp_path_factory.mktemp(tool)
            runs = [written(case, folder / f"{k:02}") for k, case in enumerate(CASES)]
            worker(tool, "read", folder)
            cells = {
                c.name: compared(ours, folder / f"{k:02}") for k, (c, ours) in enumerate(zip(CASES, runs, strict=True))
            }
            known[tool] = cells, json.loads((folder / "versions.json").read_text())[tool]
        return known[tool]

    return run


def written(case: Case, stem: Path) -> interpreter.Run:
    graph, x = case.graph(), outcome(case).x
    x = x.reshape(*x.shape[:2], *graph.shapes()[graph.input])
    write_nir(stem.with_suffix(".nir"), graph)
    np.savez(stem.with_suffix(".npz"), x=x)
    return interpreter.run(graph, x, STEPS)


def compared(ours: interpreter.Run, stem: Path) -> dict[str, str]:
    if (error := stem.with_suffix(".error")).exists():
        return {"outcome": STOPS, "found": error.read_text()}
    with np.load(stem.with_suffix(".out.npz")) as theirs:
        wanted = {f"spikes.{n}": s for n, s in ours.spikes.items()}
        missing = [n for n, s in wanted.items() if n not in theirs or theirs[n].size != s.size]
        if missing:
            return {"outcome": DIFFERS, "found": f"{', '.join(missing)} missing"}
        differing = sum(int((theirs[n].reshape(s.shape) != s).sum()) for n, s in wanted.items())
        if differing:
            total = sum(s.size for s in wanted.values())
            return {"outcome": DIFFERS, "found": f"{differing} of {total} spikes"}
        same = theirs["output"].size == ours.output.size
        same = same and np.allclose(theirs["output"].reshape(ours.output.shape), ours.output, rtol=0, atol=1e-5)
    return {"outcome": EQUAL, "found": ""} if same else {"outcome": DIFFERS, "found": "the output"}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_file_is_current(tool: str, found_by: Any, update_golden: bool) -> None:
    cells, version = found_by(tool)
    if update_golden:
        known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"versions": {}, "cells": {}}
        kept = known["cells"]
        known["versions"][tool] = version
        known["cells"] = {n: {t: c for t, c in kept.get(n, {}).items() if t != tool} | {tool: cells[n]} for n in cells}
        FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return
    assert measured()["versions"][tool] == version
    assert set(measured()["cells"]) == set(cells)
    for name, cell in cells.items():
        known = measured()["cells"][name][tool]
        # what becomes of a node that norse leaves out depends on where its objects lie in memory
        defect = (tool in REASONS.get(name, {})) and REASONS[name][tool].defect
        assert known == cell or (defect and EQUAL not in (known["outcome"], cell["outcome"])), name


@pytest.mark.parametrize(("tool", "case"), list(itertools.product(TOOLS, CASES)), ids=lambda v: getattr(v, "name", v))
def test_a_cell(tool: str, case: Case, found_by: Any, request: pytest.FixtureRequest) -> None:
    reason = REASONS.get(case.name, {}).get(tool)
    if reason is not None and reason.defect:
        request.applymarker(pytest.mark.xfail(strict=True, reason=f"{tool} {reason.text}"))
    cell = found_by(tool)[0][case.name]
    assert (cell["outcome"] == EQUAL) == (reason is None or reason.defect), cell
