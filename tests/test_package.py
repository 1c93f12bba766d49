"""What is installed: one name, that no file of the user's folder can stand in for, and never half of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("toolchain", "search", "export", "hw_sim")
HOSTILE = "raise SystemExit('the file of the user was imported in place of snnas')\n"


def copy_of_the_source(place: Path) -> Path:
    """What a checkout holds of the package, links kept; a build writes beside its source."""
    place.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    for name in ("snnas", *FOLDERS):
        shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", *arguments, "--no-deps", "--no-index", "--disable-pip-version-check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def wheel(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return pip("wheel", "--no-build-isolation", "--wheel-dir", str(out), str(source))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone was installed."""
    work = tmp_path_factory.mktemp("package")
    built = wheel(copy_of_the_source(work / "source"), work / "wheels")
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (work / "wheels").glob("*.whl")
    done = pip("install", "--target", str(work / "site"), str(found))
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "site"


def test_the_wheel_holds_snnas_and_nothing_else(site: Path) -> None:
    assert {path.name.split("-")[0] for path in site.iterdir()} - {"bin"} == {"snnas"}
    installed = {path.relative_to(site / "snnas") for path in (site / "snnas").rglob("*") if path.is_file()}
    tracked = {path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()}
    tracked |= {path.relative_to(ROOT / "snnas") for path in (ROOT / "snnas").iterdir() if path.is_file()}
    left_out = {path for path in tracked - installed if "__pycache__" not in path.parts}
    assert left_out == set()
    assert len(installed) > 250


@pytest.mark.parametrize("path", ["", "."])
def test_files_of_the_users_folder_do_not_stand_in_for_it(site: Path, tmp_path: Path, path: str) -> None:
    for name in ("export.py", "toolchain.py", "errors.py", "kernels.py", "search/__init__.py", "hw_sim/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HOSTILE)
    for name in ("graph.nir", "graph.nir.check.npz"):
        shutil.copy(ROOT / "examples/ci_gate" / name, tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, str(site))))}
    done = subprocess.run(
        [sys.executable, str(site / "bin/snnas"), "check", "graph.nir"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where = [sys.executable, "-c", "import snnas; print(snnas.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == site / "snnas/__init__.py"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_checkout_without_links_builds_nothing(tmp_path: Path, folder: str) -> None:
    source = copy_of_the_source(tmp_path / "source")
    (source / "snnas" / folder).unlink()
    (source / "snnas" / folder).write_text(f"../{folder}")  # what git makes of a link where it may not
    built = wheel(source, tmp_path / "wheels")
    assert built.returncode != 0
    assert f"snnas/{folder} is no link to the folder {folder}" in built.stdout + built.stderr
    assert not list((tmp_path / "wheels").glob("*.whl"))
