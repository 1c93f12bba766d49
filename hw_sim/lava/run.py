"""The Lava worker seen from the toolchain: runs it, and checks what it brings back.

Lava lives in an environment (``lava_environment``) and a process of its own: files in, files out
(``lava_worker/run_lava.py``). Lava forks one process per population and synapse, hangs where a model raises, and
leaks shared memory when killed; so the worker is the leader of a process group that is ended as a whole, within a
deadline; on a busy machine the time that it waits for a processor is not counted. Its verdict is not believed: the
recorded spikes are compared here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snnas.hw_sim.commands import clean_environment
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, WorkerError
from snnas.hw_sim.files import copy
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.lava.environment import last_line
from snnas.hw_sim.program import Program
from snnas.hw_sim.system_calls import take

STAGE, OWNER = "snnas-lava-", ".owner"  # the name of a temporary folder begins so; the file in it that is locked
LOG_BYTES, RESULT_BYTES, SPIKES_BYTES = 16 << 20, 4 << 20, 1 << 30
STARVED = 20  # times its deadline on the clock on the wall, after which a worker is ended however little it ran
GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL; Lava's resource tracker needs .3 s to unlink its shared memory
# ---------------------------------------------------------------------------------------------------- process groups


class _Group:
    """The processes of one worker and their shared memory, followed through /proc (elsewhere: nothing to follow)."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.segments: set[str] = set()

    def members(self) -> list[int]:
        return [pid for pid, state, _ in self._seen() if state not in (b"Z", b"X")]

    def strain(self) -> tuple[bool, float]:
        """Whether a member runs or waits for a processor or a disk, and the CPU seconds of all until now."""
        seen = self._seen()
        return any(state in (b"R", b"D") for _, state, _ in seen), math.fsum(seconds for _, _, seconds in seen)

    def _seen(self) -> list[tuple[int, bytes, float]]:
        """Pid, state and CPU seconds of each, those of its children that are over among them."""
        found = []
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, _, group, session, *rest = file.read().rpartition(b")")[2].split()
                ticks = sum(map(int, rest[7:11]))
            except (OSError, ValueError):
                continue
            if self.leader in (int(group), int(session)):
                found.append((int(entry), state, ticks / os.sysconf("SC_CLK_TCK")))
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
    attempt, on the clock on the wall; by default from the program's size, and those in which the worker waits for a
    processor do not count. Returns result.json's content (as run_lava.py describes it) with two keys added:
    ``arrays``, the content of spikes.npz (uint8 (B, T, ceil(N / 8)) by ``spikes.<population>``), and ``attempts``.
    WorkerError after two failures; UnsupportedError or InvalidFileError where the worker refuses.
    """
    folder, out = Path(folder).resolve(), Path(out).resolve()
    patient = timeout is None
    if timeout is None:
        timeout = estimated_seconds(folder / "program.npz", samples)
    out.mkdir(parents=True, exist_ok=True)
    reasons = []
    for attempt in (1, 2):
        with _stage() as stage:
            try:
                result = _attempt(stage, folder, samples, Path(python), timeout, patient)
            except _Failed as failure:
                reasons.append(str(failure))
                continue
            for name in ("spikes.npz", "result.json"):
                copy(stage / "out" / name, out / name)
            return result | {"attempts": attempt}
    raise WorkerError(f"the Lava worker ({python}) failed twice; expected a result; {reasons[-1]}; try fewer --samples")


@contextlib.contextmanager
def _stage() -> Iterator[Path]:
    """A temporary folder for one attempt; those of processes that were killed are removed.

    A process that lives holds a lock on a file in its own, which the system takes back when it dies.
    """
    for left in Path(tempfile.gettempdir()).glob(STAGE + "*"):
        with contextlib.suppress(OSError), (left / OWNER).open("r+b") as file:
            take(file)
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=STAGE, ignore_cleanup_errors=True) as name:
        stage = Path(name)
        with (stage / "owner").open("wb") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                take(file)
                os.rename(stage / "owner", stage / OWNER)  # under this name it is never seen without its lock
            yield stage


def _attempt(stage: Path, folder: Path, samples: int, python: Path, timeout: float, patient: bool) -> dict[str, Any]:
    script, log, out, temporary = stage / "run_lava.py", stage / "worker.log", stage / "out", stage / "tmp"
    # A folder of its own holds the script: Lava executes what lies beside a script whose Processes it looks up.
    shutil.copyfile(run_lava.__file__, script)
    out.mkdir()
    temporary.mkdir()  # what the worker leaves in it when it is ended goes with the stage
    command = [str(python), "-I", str(script), str(folder), "--samples", str(samples), "--out", str(out)]
    command += ["--parent", str(os.getpid())]
    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                command,
                cwd=stage,
                env=clean_environment() | {"TMPDIR": str(temporary)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UnsupportedError(f"{python} cannot be started: {error.strerror}; see snnas doctor") from None
    group = _Group(process.pid)
    try:
        code = _wait(process, group, log, timeout, patient)
    finally:  # KeyboardInterrupt included
        group.end()
        process.wait()
    if code == 2:
        text = last_line(log)
        raise (InvalidFileError if text.startswith(str(folder)) else UnsupportedError)(text)
    if code not in (0, 1):
        died = f"signal {-code}" if code < 0 else f"code {code}"
        raise _Failed(f"it ended with {died}; last line: {last_line(log)}")
    return _read_result(out, samples, log)


def _wait(process: subprocess.Popen[bytes], group: _Group, log: Path, timeout: float, patient: bool) -> int:
    """The worker's exit code. patient: while it waits for a processor it is not late."""
    began = looked = time.monotonic()
    due, had, used = began + 0.5, 0.0, 0.0  # had: seconds in which it ran, or slept
    while (code := process.poll()) is None:
        now = time.monotonic()
        late = now - began > timeout
        if late and (not patient or had > timeout or now - began > STARVED * timeout):
            spared = " in which it could have run" if patient else ""
            raise _Failed(f"it did not end within {timeout:.0f} s{spared}; last line: {last_line(log)}")
        if log.stat().st_size > LOG_BYTES:
            raise _Failed(f"it wrote more than {LOG_BYTES} bytes of log")
        if now > due:
            group.note_segments()
            (wants, cpu), passed = group.strain(), now - looked
            had += min(passed, max(0.0, cpu - used)) if wants else passed
            looked, used = now, cpu
            due = time.monotonic() + max(0.5, 20 * (time.monotonic() - now))  # at most a twentieth of the time
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    return code


def _read_result(out: Path, samples: int, log: Path) -> dict[str, Any]:
    """result.json and spikes.npz, which an untrusted process wrote."""
    path = out / "result.json"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > RESULT_BYTES:
            raise _Failed(f"it left no result.json; last line: {last_line(log)}")
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
