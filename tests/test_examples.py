"""Every script of examples/ runs as its first line says, in a folder of its own; what searches does so in small."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(script: str, *arguments: str | Path, folder: Path, small: tuple[str, str] | None = None) -> str:
    """What a script prints; without Lava, which has tests of its own.

    small: a text of the script, which is there once, and what stands in its place here.
    """
    environment = {**os.environ, "SNNAS_LAVA_ENV": str(folder / "absent"), "OMP_NUM_THREADS": "1"}
    environment.pop("SNNAS_LAVA_PYTHON", None)
    environment["PYTHONPATH"] = str(EXAMPLES.parent)
    path = EXAMPLES / script
    if small is not None:
        code = path.read_text()
        assert code.count(small[0]) == 1
        path = folder / script
        path.write_text(code.replace(*small))
    command = [sys.executable, "-W", "error::UserWarning", str(path), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of the first example; another one prices its export."""
    folder = tmp_path_factory.mktemp("examples")
    small = '"trainings": 8, "short_epochs": 2, "epochs": 4', '"trainings": 4, "short_epochs": 1, "epochs": 3'
    return folder, run("search_and_export.py", folder, folder=folder, small=small)


@pytest.mark.slow
def test_search_and_export(searched: tuple[Path, str]) -> None:
    folder, out = searched
    assert (folder / "digits-trained-001/export/lava/program.npz").is_file()
    training, on_target = (float(x) for x in re.findall(r"([\d.]+)% ", out)[:2])
    assert training > 50
    assert abs(training - on_target) < 10
    assert "spikes that differ: 0 in NIR" in out


@pytest.mark.slow
def test_own_data(tmp_path: Path) -> None:
    out = run("own_data.py", tmp_path, folder=tmp_path, small=("trainings=8, epochs=15", "trainings=4, epochs=8"))
    assert float(re.search(r"accuracy ([\d.]+)%", out)[1]) > 50  # type: ignore[index]
    run_folder = tmp_path / "runs/bars-trained-001"
    assert (run_folder / "weights.safetensors").is_file()
    assert tomllib.loads((run_folder / "run.toml").read_text())["search"]["score"] > 0.5


def test_estimate_nir(tmp_path: Path) -> None:
    out = run("estimate_nir.py", tmp_path, folder=tmp_path)
    assert "convention unverified" in out
    assert re.search(r"energy: .*'nominal': [\d.]+", out)


@pytest.mark.slow
def test_own_profile(searched: tuple[Path, str], tmp_path: Path) -> None:
    export = searched[0] / "digits-trained-001/export/lava"
    out = run("own_profile.py", export, tmp_path, folder=tmp_path)
    assert "mychip: dynamic" in out
    assert "evidence: measured" in out
    assert "host_mac" in out.splitlines()[-1]


def test_own_profile_says_what_it_takes(tmp_path: Path) -> None:
    script = str(EXAMPLES / "own_profile.py")
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python own_profile.py EXPORT")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_run_onnx(searched: tuple[Path, str], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from snnas.toolchain.cli.app import run_command

    run_folder = searched[0] / "digits-trained-001"
    assert run_command(["export", str(run_folder), "--target", "onnx", "--samples", "4", "-q"]) == 0
    onnx = run_folder / "export/onnx"
    out = run("run_onnx.py", onnx / "model.onnx", onnx / "stimulus.npz", folder=tmp_path)
    assert len(out.split()) == 360  # the whole test split fits


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_is_of_a_screen_and_tested_here(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
    assert f'"{path.name}"' in Path(__file__).read_text()


def test_designs_and_recipes_are_good() -> None:
    from snnas.search.network.design import Design
    from snnas.toolchain.training import load_recipe

    designs, recipes = (sorted((EXAMPLES / "designs").glob(f"*.{kind}")) for kind in ("json", "toml"))
    assert len(designs) == 5
    assert len(recipes) == 6
    for path in designs:
        assert Design.from_json(path.read_text()).to_json() == path.read_text()
        assert f"--genotype {path.name}" in (EXAMPLES / "designs/README.md").read_text()
    for path in recipes:
        design = path.with_name(f"{path.stem.partition('_')[0]}.json")
        timesteps = Design.from_json(design.read_text()).timesteps
        assert [steps for steps, _ in load_recipe(path).stages][-1:] in ([], [timesteps])
