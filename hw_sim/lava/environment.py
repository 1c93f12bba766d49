"""The Lava worker's own Python 3.10: finds it, probes it, builds it.

lava-nc 0.10 needs Python 3.10 and numpy < 2, so Lava never shares an interpreter with the toolchain.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snnas.hw_sim.commands import answer, clean_environment
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.files import write_text
from snnas.hw_sim.system_calls import take

PINS = ("lava-nc==0.10.0", "numpy==1.26.4", "scipy==1.15.3", "networkx==2.8.7")
PINS_DL = ("lava-dl==0.6.0", "torch==2.3.1")
OWNER, READY = "snnas-lava-environment", "snnas-ready.json"  # files in the environment: ours to remove; complete
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_PROBE = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": "%d.%d.%d" % sys.version_info[:3]}
for key, name in (("numpy", "numpy"), ("lava", "lava-nc"), ("lava_dl", "lava-dl")):
    try:
        found[key] = version(name)
    except PackageNotFoundError:
        found[key] = None
try:
    import lava.proc.lif.models
    found["reason"] = None
except BaseException as error:
    found["reason"] = "%s: %s" % (type(error).__name__, str(error).split(chr(10))[0][:200])
print(json.dumps(found))
"""


def default_environment() -> Path:
    """Where ``snnas lava setup`` puts the worker's environment: $SNNAS_LAVA_ENV, else under the user's data home."""
    named = os.environ.get("SNNAS_LAVA_ENV")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(named).expanduser() if named else Path(home).expanduser() / "snnas" / "lava"


def find_python(explicit: str | os.PathLike[str] | None = None) -> tuple[Path | None, str]:
    """The worker's interpreter and where it was found, or None and why not.

    In order: ``explicit``, SNNAS_LAVA_PYTHON, the environment that ``setup`` made. One that was named is not silently
    replaced by another. Whether Lava works in it is for ``probe`` to say.
    """
    for given, place in ((explicit, "--python"), (os.environ.get("SNNAS_LAVA_PYTHON"), "SNNAS_LAVA_PYTHON")):
        if given:
            path = Path(given).expanduser().absolute()
            if os.access(path, os.X_OK) and path.is_file():
                return path, place
            return None, f"{place} names {path}, which is not an executable file"
    made = default_environment()
    if (made / READY).is_file() and (python := made / "bin" / "python").is_file():
        return python, f"the environment {made}"
    return None, f"no Lava environment in {made}; make one with: snnas lava setup"


def find_base_python(explicit: str | os.PathLike[str] | None = None) -> tuple[Path | None, str]:
    """A Python 3.10 to build the environment on, or None and what was tried.

    In order: ``explicit``, SNNAS_LAVA_PYTHON, python3.10 on PATH, pyenv's versions (PYENV_ROOT, ~/.pyenv, and where a
    shim on PATH lies), ``uv python find 3.10``. Each must run: pyenv's shim exists, and fails, where no 3.10 is
    selected.
    """
    named = explicit or os.environ.get("SNNAS_LAVA_PYTHON")
    if named:
        path = Path(named).expanduser().absolute()
        why = _why_not(path)
        return (path, "named") if why is None else (None, f"{path} {why}")
    reasons = []
    for path, place in _candidates():
        why = _why_not(path)
        if why is None:
            return path, place
        reasons.append(f"{path} {why}")
    tried = "; ".join(reasons) or "there is no python3.10 on PATH, in pyenv or from uv"
    return None, f"{tried}; install Python 3.10, or name one: snnas lava setup --python"


def _candidates() -> Iterator[tuple[Path, str]]:
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / "python3.10"
        if folder and path.is_file():
            yield path, "python3.10 on PATH"
            if path.parent.name == "shims":  # pyenv's; PYENV_ROOT is not set everywhere
                roots.append(path.absolute().parents[1])
    for version in sorted({v for root in roots for v in (root / "versions").glob("3.10*")}, reverse=True):
        yield version / "bin" / "python3.10", f"pyenv's {version.name}"
    if uv := shutil.which("uv"):
        found, _ = _ran([uv, "python", "find", "3.10"], 30.0)
        if found.strip():
            yield Path(found.strip()), "uv"


def _why_not(python: Path) -> str | None:
    """Why it is not a Python 3.10 that runs: what it said itself, on one line; None where it is one."""
    found, why = _ran([str(python), "-I", "-c", _VERSION], 20.0)
    if why is not None:
        return f"does not run: {why}"
    return None if found.strip() == "3.10" else f"is Python {found.strip()[:20]}"


def _ran(command: list[str], seconds: float) -> tuple[str, str | None]:
    """What a command prints, and why it failed: its own first line, or that it hangs or is not there; None else."""
    found = answer(command, seconds)
    if found.code == 0:
        return found.text, None
    return "", found.first if found.code is None else f"exit code {found.code}: {found.first[:200]}"


def probe(python: str | os.PathLike[str], seconds: float = 60.0) -> dict[str, Any]:
    """Versions in an interpreter: keys usable, python, numpy, lava, lava_dl (None where absent), reason (or None)."""
    nothing: dict[str, Any] = {"usable": False, "python": None, "numpy": None, "lava": None, "lava_dl": None}
    text, why = _ran([os.fspath(python), "-I", "-c", _PROBE], seconds)
    try:
        found = json.loads(text.strip().splitlines()[-1])
        found = nothing | {k: found[k] for k in ("python", "numpy", "lava", "lava_dl", "reason")}
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return nothing | {"reason": f"{os.fspath(python)} does not run: {why or 'it answers something else'}"}
    if found["reason"] is None and not str(found["python"]).startswith("3.10."):
        found["reason"] = f"Python {found['python']}; lava-nc 0.10 runs on 3.10"
    return found | {"usable": found["reason"] is None}


def setup(
    python: str | os.PathLike[str] | None = None,
    with_dl: bool = False,
    report: Callable[[str], object] = lambda text: None,
) -> Path:
    """Makes the worker's environment in ``default_environment()``; its interpreter. A second where it is made.

    A marker written last says that it is complete, so a killed set-up is begun anew; a lock keeps two from building at
    once. UsageError where the place holds something else, UnsupportedError where Python 3.10 or a package is missing.
    """
    place = default_environment()
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.parent / f".{place.name}.lock", report):
        return _setup(place, python, with_dl, report)


def _setup(place: Path, python: str | os.PathLike[str] | None, with_dl: bool, report: Callable[[str], object]) -> Path:
    made, wanted = place / "bin" / "python", [*PINS, *(PINS_DL if with_dl else ())]
    ready = _read_marker(place / READY)
    works = bool(ready) and probe(made)["usable"]
    if set(wanted) <= set(ready) and works:
        report(f"the Lava environment in {place} is ready")
        return made
    if place.exists() and any(place.iterdir()) and not (place / OWNER).is_file():
        raise UsageError(f"{place} exists and is no environment of ours; remove it or name another in SNNAS_LAVA_ENV")
    log = place.parent / f".{place.name}.log"
    if not works:
        base, found = find_base_python(python)
        if base is None:
            raise UnsupportedError(f"Lava needs Python 3.10: {found}")
        report(f"making an environment in {place} with {base} ({found})")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / OWNER).write_text("made by snnas lava setup; it may be removed\n")
        _logged([str(base), "-m", "venv", str(place)], log, "python -m venv")
    wanted = sorted({*wanted, *ready})
    (place / READY).unlink(missing_ok=True)
    report(f"installing {', '.join(wanted)}")
    pip = [str(made), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *wanted]
    _logged(pip, log, "pip install")
    if reason := probe(made)["reason"]:
        raise UnsupportedError(f"{place} was made but Lava does not start in it: {reason}; see {log}")
    write_text(place / READY, json.dumps(wanted))
    return made


def _read_marker(path: Path) -> list[str]:
    try:
        pins = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [str(p) for p in pins] if isinstance(pins, list) else []


def _logged(command: list[str], log: Path, what: str) -> None:
    with log.open("wb") as file:
        try:
            code = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                check=False,
            ).returncode
        except OSError as error:
            raise UnsupportedError(f"{what}: {error.strerror}") from None
    if code:
        raise UnsupportedError(f"{what} failed with {code}: {last_line(log)}; see {log}")


@contextlib.contextmanager
def _locked(path: Path, report: Callable[[str], object]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            take(file)
        except OSError:
            report("another set-up is running; waiting for it")
            take(file, wait=True)
        yield


def last_line(log: Path) -> str:
    """The last line of a log that says something, at most 300 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [" ".join(line.split()) for line in file.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        lines = []
    return next((line[:300] for line in reversed(lines) if line), "nothing was printed")
