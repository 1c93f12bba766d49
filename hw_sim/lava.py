"""The Lava worker seen from the toolchain: finds or makes its Python 3.10, runs it, and checks what it brings back.

lava-nc 0.10 needs Python 3.10 and numpy < 2, so Lava lives in an environment and a process of its own: files in, files
out (``lava_worker/run_lava.py``). Lava forks one process per population and synapse, hangs where a model raises, and
leaks shared memory when killed; so the worker is the leader of a process group that is ended as a whole, within a
deadline. Its verdict is not believed: the recorded spikes are compared here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hw_sim.errors import InvalidFileError, UnsupportedError, UsageError, WorkerError
from hw_sim.lava_worker import run_lava
from hw_sim.program import Program

PINS = ("lava-nc==0.10.0", "numpy==1.26.4", "scipy==1.15.3", "networkx==2.8.7")
PINS_DL = ("lava-dl==0.6.0", "torch==2.3.1")
OWNER, READY = "snnas-lava-environment", "snnas-ready.json"  # files in the environment: ours to remove; complete
LOG_BYTES, RESULT_BYTES, SPIKES_BYTES = 16 << 20, 4 << 20, 1 << 30
GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL; Lava's resource tracker needs .3 s to unlink its shared memory
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


# ---------------------------------------------------------------------------------------------------- environments


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

    In order: ``explicit``, SNNAS_LAVA_PYTHON, python3.10 on PATH, pyenv's versions, ``uv python find 3.10``. Each must
    run: pyenv's shim exists, and fails, where no 3.10 is selected.
    """
    named = explicit or os.environ.get("SNNAS_LAVA_PYTHON")
    if named:
        path = Path(named).expanduser().absolute()
        return (path, "named") if _is_310(path) else (None, f"{path} is not a Python 3.10 that runs")
    tried = 0
    for path, place in _candidates():
        tried += 1
        if _is_310(path):
            return path, place
    return None, f"none of {tried} candidates on PATH, in pyenv and from uv runs; install one or name it: --python"


def _candidates() -> Iterator[tuple[Path, str]]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder) / "python3.10"
        if folder and path.is_file():
            yield path, "python3.10 on PATH"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in sorted(pyenv.glob("3.10*"), reverse=True):
        yield version / "bin" / "python3.10", f"pyenv's {version.name}"
    if uv := shutil.which("uv"):
        yield Path(_output([uv, "python", "find", "3.10"], 30.0).strip() or "missing"), "uv"


def _is_310(python: Path) -> bool:
    return _output([str(python), "-I", "-c", _VERSION], 20.0).strip() == "3.10"


def _output(command: list[str], seconds: float) -> str:
    """What a command prints; empty where it fails, hangs or does not exist."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=seconds,
            env=_clean_environment(),
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _clean_environment() -> dict[str, str]:
    """Ours without what belongs to this interpreter (PYTHONPATH of 3.11 breaks 3.10)."""
    ours = ("PYTHON", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return kept | {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def probe(python: str | os.PathLike[str], seconds: float = 60.0) -> dict[str, Any]:
    """Versions in an interpreter: keys usable, python, numpy, lava, lava_dl (None where absent), reason (or None)."""
    nothing: dict[str, Any] = {"usable": False, "python": None, "numpy": None, "lava": None, "lava_dl": None}
    text = _output([os.fspath(python), "-I", "-c", _PROBE], seconds)
    try:
        found = json.loads(text.strip().splitlines()[-1])
        found = nothing | {k: found[k] for k in ("python", "numpy", "lava", "lava_dl", "reason")}
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return nothing | {"reason": f"{os.fspath(python)} does not run, or not within {seconds:.0f} s"}
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
    partial = place / f"{READY}.part"
    partial.write_text(json.dumps(wanted))
    os.replace(partial, place / READY)
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
                env=_clean_environment(),
                check=False,
            ).returncode
        except OSError as error:
            raise UnsupportedError(f"{what}: {error.strerror}") from None
    if code:
        raise UnsupportedError(f"{what} failed with {code}: {_last_line(log)}; see {log}")


@contextlib.contextmanager
def _locked(path: Path, report: Callable[[str], object]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report("another set-up is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------------------------------------------- process groups


class _Group:
    """The processes of one worker and their shared memory, followed through /proc (elsewhere: nothing to follow)."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.segments: set[str] = set()

    def members(self) -> list[int]:
        found = []
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, _, group, session = file.read().rpartition(b")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if state not in (b"Z", b"X") and self.leader in (int(group), int(session)):
                found.append(int(entry))
        return found

    def note_segments(self) -> list[int]:
        """Remembers which /dev/shm/psm_* the members have mapped, since nobody can say it once they are dead."""
        members = self.members()
        for pid in members:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
                self.segments.update(line.split()[5] for line in file if " /dev/shm/psm_" in line)
        return members

    def end(self) -> None:
        """Ends all members: SIGTERM, a grace, SIGKILL; then removes the shared memory that they left."""
        if self.note_segments():
            for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 5.0)):
                self._signal(number)
                deadline = time.monotonic() + seconds
                while time.monotonic() < deadline and self.note_segments():
                    time.sleep(0.05)
                if not self.members():
                    break
        for segment in self.segments:
            with contextlib.suppress(OSError):
                os.unlink(segment)

    def _signal(self, number: int) -> None:
        for pid in self.members():  # one by one: a group whose leader is gone may still be a session
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


# -------------------------------------------------------------------------------------------------------- the worker


class _Failed(Exception):
    """An attempt that gave no usable result; the text says what happened."""


def run_worker(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    samples: int,
    python: str | os.PathLike[str],
    timeout: float | None = None,
) -> dict[str, Any]:
    """Runs the first ``samples`` golden samples of an export folder in Lava; the worker's result and its spikes.

    folder: holds program.npz and golden.npz. out: receives result.json and spikes.npz, whole. timeout: seconds for one
    attempt; by default from the program's size. Returns result.json's content (as run_lava.py describes it) with two
    keys added: ``arrays``, the content of spikes.npz (uint8 (B, T, ceil(N / 8)) by ``spikes.<population>``), and
    ``attempts``. WorkerError after two failures; UnsupportedError or InvalidFileError where the worker refuses.
    """
    folder, out = Path(folder).resolve(), Path(out).resolve()
    if timeout is None:
        timeout = estimated_seconds(folder / "program.npz", samples)
    out.mkdir(parents=True, exist_ok=True)
    reasons = []
    for attempt in (1, 2):
        with tempfile.TemporaryDirectory(prefix="snnas-lava-", ignore_cleanup_errors=True) as stage:
            try:
                result = _attempt(Path(stage), folder, samples, Path(python), timeout)
            except _Failed as failure:
                reasons.append(str(failure))
                continue
            for name in ("spikes.npz", "result.json"):
                shutil.copyfile(Path(stage) / "out" / name, out / f".{name}.part")
                os.replace(out / f".{name}.part", out / name)
            return result | {"attempts": attempt}
    raise WorkerError(f"the Lava worker ({python}) failed twice; expected a result; {reasons[-1]}; try fewer --samples")


def _attempt(stage: Path, folder: Path, samples: int, python: Path, timeout: float) -> dict[str, Any]:
    script, log, out = stage / "run_lava.py", stage / "worker.log", stage / "out"
    # A folder of its own holds the script: Lava executes what lies beside a script whose Processes it looks up.
    shutil.copyfile(run_lava.__file__, script)
    out.mkdir()
    command = [str(python), "-I", str(script), str(folder), "--samples", str(samples), "--out", str(out)]
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command,
                cwd=stage,
                env=_clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UnsupportedError(f"{python} cannot be started: {error.strerror}; see snnas doctor") from None
    group = _Group(process.pid)
    try:
        code = _wait(process, group, log, timeout)
    finally:  # KeyboardInterrupt included
        group.end()
        process.wait()
    if code == 2:
        text = _last_line(log)
        raise (InvalidFileError if text.startswith(str(folder)) else UnsupportedError)(text)
    if code not in (0, 1):
        died = f"signal {-code}" if code < 0 else f"code {code}"
        raise _Failed(f"it ended with {died}; last line: {_last_line(log)}")
    return _read_result(out, samples, log)


def _wait(process: subprocess.Popen[bytes], group: _Group, log: Path, timeout: float) -> int:
    began = time.monotonic()
    due = began + 0.5
    while (code := process.poll()) is None:
        now = time.monotonic()
        if now - began > timeout:
            raise _Failed(f"it did not end within {timeout:.0f} s; last line: {_last_line(log)}")
        if log.stat().st_size > LOG_BYTES:
            raise _Failed(f"it wrote more than {LOG_BYTES} bytes of log")
        if now > due:
            group.note_segments()
            due = time.monotonic() + max(0.5, 20 * (time.monotonic() - now))  # at most a twentieth of the time
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    return code


def _read_result(out: Path, samples: int, log: Path) -> dict[str, Any]:
    """result.json and spikes.npz, which an untrusted process wrote."""
    path = out / "result.json"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > RESULT_BYTES:
            raise _Failed(f"it left no result.json; last line: {_last_line(log)}")
        result = json.loads(path.read_bytes().decode("utf-8"))
        arrays = run_lava.read_npz(str(out / "spikes.npz"), SPIKES_BYTES)
    except (OSError, ValueError, RecursionError) as error:  # ValueError: UTF-8, JSON and BadFile
        raise _Failed(f"its result cannot be read: {' '.join(str(error).split())[:200]}") from None
    counts = ("samples", "hardware_steps", "processes", "differing_spikes", "spikes")
    if not isinstance(result, dict) or any(type(result.get(k)) is not int or result[k] < 0 for k in counts):
        raise _Failed(f"its result.json lacks one of the counts {', '.join(counts)}")
    if any(type(result.get(k)) not in (int, float) for k in ("build_seconds", "run_seconds")):
        raise _Failed("its result.json lacks build_seconds or run_seconds")
    if not isinstance(result.get("per_population"), dict) or not isinstance(result.get("versions"), dict):
        raise _Failed("its result.json lacks per_population or versions")
    if any(a.dtype != np.uint8 or a.ndim != 3 or not 1 <= len(a) <= samples for a in arrays.values()):
        raise _Failed(f"its spikes.npz holds something else than packed spikes of 1..{samples} samples")
    return result | {"arrays": arrays}


def _last_line(log: Path) -> str:
    """The last line of a log that says something, at most 300 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [" ".join(line.split()) for line in file.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        lines = []
    return next((line[:300] for line in reversed(lines) if line), "nothing was printed")


def estimated_seconds(path: Path, samples: int) -> float:
    """A generous deadline for one worker: 30 s, .3 s per process, and four times the expected time per step.

    Per step, measured on two shared cores: 1 ms per process; a convolution 40 us and 2 ns per product for each pair of
    channels (Lava calls scipy's convolve2d in a Python loop); other synapses 5 ns per weight.
    """
    try:
        program, arrays = run_lava.read_program(str(path))
        timing = run_lava.timing_of(program)
        shapes = {p["id"]: p["shape"] for p in program["populations"]}
        step = 0.0
        for s in program["synapses"]:
            weight = arrays[s["id"] + ".weight"]
            if weight.ndim == 4:
                pixels = float(np.prod(shapes[s["dst"]][1:])) * s["stride"][0] * s["stride"][1]
                step += weight.shape[0] * weight.shape[1] * (40e-6 + 2e-9 * pixels * float(np.prod(weight.shape[2:])))
            else:
                step += 5e-9 * weight.size
        processes = 2 + 2 * len(shapes) + 2 * len(program["synapses"])
        runs = -(-samples // run_lava.samples_per_run(program, samples))
        steps = timing.steps(samples) + runs * (run_lava.LEAD + max(timing.depth.values()))
    except (run_lava.BadFile, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidFileError(f"{path}: not a program that Lava can run: {reason}; export it again") from None
    return runs * (30.0 + 0.3 * processes) + 4.0 * steps * (step + 1e-3 * processes)


# --------------------------------------------------------------------------------------------------------- comparing


class Difference(NamedTuple):
    """One neuron at one timestep. neuron: (c, h, w)."""

    population: str
    sample: int
    timestep: int
    neuron: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Lava's spikes against the recorded ones. spikes: neuron-timesteps compared; differing ones, in all and by
    population. first: the earliest by sample, timestep and the population's place in the schedule, so the cause.
    """

    samples: int
    spikes: int
    differing_spikes: int
    first: Difference | None
    per_population: dict[str, int]

    @property
    def equal(self) -> bool:
        return not self.differing_spikes


def compare(
    golden: Mapping[str, np.ndarray], spikes: Mapping[str, np.ndarray], program: Program, samples: int
) -> Comparison:
    """Compares every neuron of every population at every timestep of the first ``samples`` samples.

    golden, spikes: uint8 (B, T, ceil(N / 8)) by ``spikes.<population>``, packed along the last axis. WorkerError where
    ``spikes`` does not have exactly these, InvalidFileError where ``golden`` lacks one.
    """
    per_population: dict[str, int] = {}
    firsts: list[tuple[tuple[int, int, int], Difference]] = []
    expected_names = {f"spikes.{p.id}" for p in program.populations}
    if set(spikes) != expected_names:
        odd = sorted(set(spikes) ^ expected_names)
        raise WorkerError(f"the Lava worker's populations are not the program's: {odd[0][:80]}; run it again")
    for place, p in enumerate(program.in_order):
        name, shape = f"spikes.{p.id}", (program.timesteps, (p.size + 7) // 8)
        theirs, ours = spikes[name], golden.get(name)
        if theirs.dtype != np.uint8 or theirs.shape != (samples, *shape):
            got = f"{theirs.dtype} {theirs.shape}"
            raise WorkerError(f"the Lava worker's {name} is {got}; expected uint8 {(samples, *shape)}; run it again")
        if ours is None or ours.dtype != np.uint8 or ours.shape[1:] != shape or len(ours) < samples:
            got = "missing" if ours is None else f"{ours.dtype} {ours.shape}"
            raise InvalidFileError(f"golden.npz: {name} is {got}; expected {(samples, *shape)} uint8; export again")
        count, first = run_lava.compare(theirs, ours[:samples], p.shape)
        per_population[p.id] = count
        if first:
            c, h, w = first["neuron"]
            found = Difference(p.id, first["sample"], first["timestep"], (c, h, w))
            firsts.append(((found.sample, found.timestep, place), found))
    return Comparison(
        samples=samples,
        spikes=samples * program.timesteps * sum(p.size for p in program.populations),
        differing_spikes=sum(per_population.values()),
        first=min(firsts)[1] if firsts else None,
        per_population=per_population,
    )
