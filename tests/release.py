"""A release, built and tried: ``python -m tests.release`` (``make release``).

Builds the sdist and, from it, the wheel, as an index would get them. Each Python from 3.11 to 3.14 that is found then
gets two clean environments, one for each file, in which the base install guards a graph, runs it, prices it and exports
it. Says which Pythons ran, and which were not there. Nothing is published.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
COMMANDS = (
    "check graph.nir --baseline baseline.json",
    "simulate graph.nir --data graph.nir.check.npz -q",
    "estimate graph.nir --data graph.nir.check.npz -q",
    "export graph.nir --data graph.nir.check.npz --out made -q",
    "check made -q",
)


def main(work: Path) -> int:
    """Exit code 1 where something failed on a Python that is here, or none is."""
    shutil.rmtree(work, ignore_errors=True)
    dist = work / "dist"
    dist.mkdir(parents=True)
    build(work, dist)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    faults = misplaced(wheel, sdist)
    for fault in faults:
        print(f"FAILED  {fault}")
    ran = []
    for name in PYTHONS:
        python = found(name)
        if python is None:
            print(f"        Python {name}: not here, not tried")
            continue
        for file in (wheel, sdist):
            fault = tried(python, file, work / f"{name}-{file.suffix[1:]}")
            faults += [fault] if fault else []
            print(f"{'FAILED' if fault else 'ok':<8}Python {name}, {file.name}{': ' + fault if fault else ''}")
        ran.append(name)
    for file in (wheel, sdist):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"{file}  {file.stat().st_size:,} bytes  sha256 {digest}")
    return int(bool(faults) or not ran)


def build(work: Path, dist: Path) -> None:
    """The sdist, and the wheel out of it: what is not in the sdist is missing in both."""
    said([sys.executable, "-m", "venv", str(work / "build")])
    python = work / "build/bin/python"
    said([str(python), "-m", "pip", "install", "--quiet", "build"])
    said([str(python), "-m", "build", "--outdir", str(dist), str(ROOT)])


def misplaced(wheel: Path, sdist: Path) -> list[str]:
    """What a wheel must hold and must not, and that the sdist holds no link."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    faults = [f"{wheel.name} installs {n}" for n in names if n.split("/")[0] != "snnas" and ".dist-info/" not in n]
    for needed in ("snnas/py.typed", "snnas/toolchain/html/style.css", "snnas/hw_sim/energy/profiles/loihi1.toml"):
        faults += [] if needed in names else [f"{wheel.name} lacks {needed}"]
    with tarfile.open(sdist) as tar:
        faults += [f"{sdist.name} holds the link {member.name}" for member in tar if member.issym() or member.islnk()]
    return faults


def found(name: str) -> Path | None:
    """The interpreter of that version, on the PATH or among pyenv's, where it starts."""
    places = [shutil.which(f"python{name}"), *sorted(Path.home().glob(f".pyenv/versions/{name}.*/bin/python"))]
    for place in filter(None, places):
        asked = [str(place), "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.stdout.strip() == name:
            return Path(place)
    return None


def tried(python: Path, file: Path, folder: Path) -> str | None:
    """What went wrong with the base install of ``file`` in a clean environment; None where nothing did."""
    try:
        said([str(python), "-m", "venv", str(folder)])
        own = folder / "bin/python"
        said([str(own), "-m", "pip", "install", "--quiet", str(file)])
        if subprocess.run([str(own), "-c", "import torch"], capture_output=True, check=False).returncode == 0:
            return "torch is there: not the base install"
        gate = folder / "gate"
        shutil.copytree(ROOT / "examples/ci_gate", gate)
        said([str(own), "-c", "import snnas, sys; sys.exit('snnas' not in snnas.__file__)"], cwd=gate)
        for command in COMMANDS:
            said([str(folder / "bin/snnas"), *command.split()], cwd=gate)
    except subprocess.CalledProcessError as error:
        text = f"{error.stdout}\n{error.stderr}".strip().splitlines()
        return f"{' '.join(map(str, error.cmd[-6:]))}: {text[-1] if text else error.returncode}"
    return None


def said(command: list[str], cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    sys.exit(main(ROOT / "build/release"))
