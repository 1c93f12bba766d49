"""What is installed: one name, that no file of the user's folder can stand in for, and never half of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


# Bytes of what a base install downloads (Python 3.11, x86-64 Linux, the versions of constraints.txt), and of our wheel.
WHEELS = {
    "annotated-doc": 5_286, "annotated-types": 13_427, "h5py": 5_027_150, "markdown-it-py": 96_951, "mdurl": 9_979,
    "networkx": 2_068_504, "nir": 27_422, "numpy": 16_918_164, "pydantic": 494_071, "pydantic-core": 2_253_434,
    "pygments": 1_250_147, "rich": 310_654, "shellingham": 9_755, "tomli-w": 6_675, "typer": 121_041,
    "typing-extensions": 45_571, "typing-inspection": 14_874, "snnas": 1_155_209,
}  # fmt: skip


def needed(names: list[str]) -> set[str]:
    """Those packages, and all that they need in turn, on this Python."""
    found: set[str] = set()
    while names:
        requirement = Requirement(names.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            names += metadata.requires(name) or []
    return found


def test_a_base_install_downloads_less_than_30_megabytes() -> None:
    """Another package has to be weighed before it is let in: ``make light`` downloads and weighs them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        base = tomllib.load(file)["project"]["dependencies"]
    assert needed(list(base)) == set(WHEELS) - {"snnas"}
    assert sum(WHEELS.values()) < 30_000_000


def test_what_we_bring_is_what_was_weighed(site: Path) -> None:
    """Within a tenth: a wheel is its files, packed."""
    with zipfile.ZipFile(site.parent / "weighed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (site / "snnas").rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                archive.write(path, path.relative_to(site))
    assert (site.parent / "weighed.zip").stat().st_size < 1.1 * WHEELS["snnas"]
