"""The tools' columns of docs/conformance.md: every reader of conformance/, run again in its tool's environment."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from conformance import known, results
from conformance.judge import EQUAL
from tests.oracles.nir_peers import interpreter_of

pytestmark = pytest.mark.oracle
ROOT = Path(__file__).parents[2]
RESULTS = [p for p in sorted((ROOT / "conformance/results").glob("*.json")) if p.stem != "snnas"]


def _python(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [interpreter_of(tool), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: p.stem)
def test_a_column_is_current(path: Path, tmp_path: Path) -> None:
    kept = results.read(path)
    tool = kept.reader.split(":")[0].rpartition(".")[2]
    again = tmp_path / "again.json"
    done = _python(tool, "-m", "conformance", "--reader", kept.reader, "--name", kept.name, "--json", again)
    assert done.returncode == 1, done.stderr
    found = results.read(again)
    assert found.versions[tool.replace("_", "-")] == kept.versions[tool.replace("_", "-")]
    for name, verdict in found.verdicts.items():
        # what becomes of a node that the two leave out depends on where its objects lie in memory
        drops = tool in ("norse", "sinabs") and EQUAL not in (verdict.outcome, kept.verdicts[name].outcome)
        assert verdict.outcome == kept.verdicts[name].outcome or drops, name


@pytest.mark.parametrize("deviation", known.deviations(), ids=lambda d: d.name)
def test_a_minimal_case_still_deviates(deviation: known.Deviation) -> None:
    done = _python(deviation.tools[0].replace("-", "_"), "-W", "ignore", known.FOLDER / f"{deviation.name}.py")
    assert done.returncode == 0, done.stderr
    said = done.stdout.strip().splitlines()[-1].partition("expected ")[2].split(", got ")
    wanted, got = ([float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", part)] for part in said)
    assert got
    assert len(wanted) >= len(got)
    assert wanted[-len(got) :] != got, "mended: the deviation can go"
