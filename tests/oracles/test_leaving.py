"""The programs of docs/leaving.md, run in their tools, end in a verified program of the accuracy that they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from snnas.toolchain.cli.app import run_command
from tests.oracles.nir_peers import WRITERS

pytestmark = pytest.mark.oracle
PAGE = Path(__file__).parents[2] / "docs/leaving.md"


def programs() -> dict[str, str]:
    """Each block by the name in its first line."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return {block.splitlines()[0].removeprefix("# "): block for block in blocks}


@pytest.mark.parametrize("tool", WRITERS)
def test_a_network_leaves_its_tool(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = os.environ.get(f"SNNAS_{tool.upper()}_PYTHON")
    if not python:
        pytest.skip(f"set SNNAS_{tool.upper()}_PYTHON to a Python that has {tool}, nirtorch and scikit-learn")
    monkeypatch.chdir(tmp_path)
    for name in ("digits.py", tool):
        Path(name if name.endswith(".py") else "leave.py").write_text(programs()[name], encoding="utf-8")
    done = subprocess.run([python, "leave.py"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    trained = float(re.findall(r"accuracy ([\d.]+)%", done.stdout)[0])
    assert trained > 90
    assert run_command(["whose", "model.nir", "--expect", "recorded.npz"]) == 0
    line = next(t for t in capsys.readouterr().err.splitlines() if t.startswith("next: snnas "))
    command = shlex.split(line.removeprefix("next: snnas ").replace("FILE.npz", "test.npz"))
    if command[0] == "export":
        command += ["--calibration", "calibration.npz"]
    assert run_command([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "convention verified by recording" in err
    on_target = float(re.findall(r'"on_target": ([\d.]+)', out)[0])
    assert on_target == pytest.approx(trained / 100, abs=0.02)
