"""Every snippet of docs/python.md, of the package's docstring and every notebook runs from top to bottom, in small."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

import snnas

pytest.importorskip("torch")
pytest.importorskip("spikingjelly", reason="spikingjelly is not installed")
ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.slow
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "SNNAS_LAVA_ENV": "/nonexistent", "OMP_NUM_THREADS": "1"}
SMALL_NETWORK = 'method="lightsnn", channels=4, hidden=32, timesteps=2, epochs=1, batch=16'
SMALL_NOTEBOOKS = {
    "first_result": {"epochs=6": "epochs=2"},
    "search_within_budget": {"candidates=40": "candidates=16", "epochs=4": "epochs=1"},
    "own_snntorch_model": {"range(20)": "range(8)", "90%": "50%"},
}


def smaller(text: str, replaced: Mapping[str, str]) -> str:
    """The text with sizes, each of which is there once, replaced by small ones, and gates by those that these pass."""
    for real, small in replaced.items():
        assert text.count(real) == 1, real
        text = text.replace(real, small)
    return text


def ran(code: str, folder: Path) -> str:
    """What a script prints in a folder of its own; without Lava, which has tests of its own."""
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("SNNAS_LAVA_PYTHON", None)
    (folder / "page.py").write_text(code)
    command = [sys.executable, "-W", "error::UserWarning", "page.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page(tmp_path: Path) -> None:
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 7
    out = ran(smaller("\n".join(blocks), {"timesteps=3, epochs=4": "timesteps=3, epochs=2"}), tmp_path)
    assert "read as spikingjelly (verified)" in out
    assert "2 search_network: no option 'chanels'; did you mean 'channels'?" in out
    assert "did you mean" in out.splitlines()[-1]


def test_the_packages_own_example(tmp_path: Path) -> None:
    lines = [line[4:] for line in (snnas.__doc__ or "").splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    code = "import snnas\n" + textwrap.dedent("\n".join(lines))
    ran(smaller(code, {'network("digits", ': f'network("digits", {SMALL_NETWORK}, ', "90%": "5%"}), tmp_path)


def test_the_readmes_example(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    ran(smaller(code, {"trainings=8, short_epochs=2, epochs=4": SMALL_NETWORK, "50%": "5%"}), tmp_path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient", reason="nbclient is not installed (the extra [dev])")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (the extra [dev])")
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs/notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(notebook.parent, tmp_path / "small")
    small = tmp_path / "small" / notebook.name
    small.write_text(smaller(notebook.read_text(encoding="utf-8"), SMALL_NOTEBOOKS[notebook.stem]), encoding="utf-8")
    found = runner.execute(small, tmp_path / "run")
    texts = json.dumps(found)
    assert "data:image/svg+xml;base64," in texts
    assert str(tmp_path) not in texts


def test_notebooks_are_kept_run_and_small() -> None:
    assert len(NOTEBOOKS) == 3
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert len(text) < 200_000, path.name
        assert not re.search(r"/(home|tmp|work|root|Users)/", text), path.name
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), path.name
        assert any(cell["outputs"] for cell in cells), path.name
        assert not any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
