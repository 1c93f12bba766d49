"""Starts processes of ``snnas`` that may be killed, watches what can be seen meanwhile, finds what they leave."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults import visible
from tests.faults.victim import Orders, obey

ROOT = Path(__file__).parents[2]
TOKEN = "SNNAS_FAULTS_TOKEN"
PRELOADED = [
    *(
        "snnas.toolchain.cli.app",
        "snnas.toolchain.searching.session",
        "snnas.toolchain.training",
        "snnas.toolchain.exporting.of_run",
        "snnas.toolchain.searching.find",
    ),
    *(
        "snnas.toolchain.output.report",
        "snnas.toolchain.searching.front_table",
        "snnas.toolchain.output.run",
        "snnas.toolchain.models.simulate",
        "snnas.toolchain.models.open",
    ),
    *(
        "snnas.search.scoring.supernet",
        "snnas.search.network.network",
        "snnas.search.methods",
        "snnas.export.executors.deployed",
        "sklearn.datasets",
        "h5py",
        "nir",
    ),
    *("spikingjelly.activation_based.neuron", "torch._dynamo", "rich.progress", "rich.table", "safetensors.torch"),
]
SEGMENT = re.compile(r"psm_[0-9a-f]{8}")  # as Python's shared memory is named
PAUSE = 0.02
GONE_SECONDS = 6.0  # a killed command's own children end when they see it


@dataclass(slots=True)
class Ended:
    """How a process ended. code: negative for a signal; None where it had to be ended as hanging. used: CPU seconds."""

    code: int | None
    seconds: float
    used: float
    out: str
    err: str
    problems: list[str] = field(default_factory=list)


class Launcher:
    """Starts processes: cold ones import everything themselves, warm ones are forked from a server that has it."""

    def __init__(self) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    @contextlib.contextmanager
    def started(self, orders: Orders, *, cold: bool) -> Iterator[tuple[int, Callable[[], int | None]]]:
        """Yields the pid, and a function that returns the exit code once there is one."""
        if cold:
            command = [sys.executable, "-m", "tests.faults.victim", orders.to_json()]
            with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True) as process:
                try:
                    yield process.pid, process.poll
                finally:
                    _end(process)
            return
        child: BaseProcess = self.context.Process(target=obey, args=(orders,), kwargs={"forked": True})  # type: ignore[assignment]
        child.start()
        try:
            yield child.pid or 0, lambda: child.exitcode
        finally:
            _end(child)
            child.join()

    def run(self, orders: Orders, *, cold: bool, limit: float, moment: float | None = None, look: bool = True) -> Ended:
        """One process from its start to its end.

        moment: of its CPU time, which other work on the machine does not stretch; then it is sent ``orders.number``.
        look: at every file of ``orders.root`` that changes, as any other process could.
        """
        seen: dict[Path, tuple[int, int, int]] = {}
        problems: list[str] = []
        begun, used = time.monotonic(), 0.0
        with self.started(orders, cold=cold) as (pid, ended):
            while (code := ended()) is None:
                passed = time.monotonic() - begun
                used = cpu_seconds(pid) or used
                if moment is not None and used >= moment:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, orders.number)
                    moment = None
                if passed > limit:
                    problems.append(f"hangs: no end within {limit:.0f} s")
                    break
                if look:
                    problems += _changed(Path(orders.root), seen)
                time.sleep(PAUSE if moment is None else min(PAUSE, max(0.001, moment - used)))
        out, err = (Path(p).read_text(errors="replace") if Path(p).exists() else "" for p in (orders.out, orders.err))
        return Ended(code, time.monotonic() - begun, used, out, err, list(dict.fromkeys(problems)))


def cpu_seconds(pid: int) -> float:
    """Of a process itself, its children apart; 0 where it is gone."""
    try:
        times = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _end(process: Any) -> None:
    if (process.poll() if isinstance(process, subprocess.Popen) else process.exitcode) is None:
        process.kill()


def _changed(root: Path, seen: dict[Path, tuple[int, int, int]]) -> list[str]:
    """Problems of the files that are new or others than ``seen``, which is brought up to date."""
    found = []
    with contextlib.suppress(OSError):  # a folder that is renamed while it is listed
        for path in visible.files(root):
            at = path.stat()
            now = (at.st_ino, at.st_size, at.st_mtime_ns)
            if seen.get(path) != now:
                seen[path] = now
                if problem := visible.problem(path, thorough=False):
                    found.append(f"seen while it runs: {problem}")
    return found


def left_alive(token: str, seconds: float = GONE_SECONDS) -> list[str]:
    """Processes with this token in their environment that are there after ``seconds``."""
    deadline = time.monotonic() + seconds
    while (found := _with_token(token)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid, _ in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [name for _, name in found]


def _with_token(token: str) -> list[tuple[int, str]]:
    wanted, found = f"{TOKEN}={token}".encode(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = Path("/proc", entry, "environ").read_bytes().split(b"\0")
            state = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[0]
            if wanted in environment and state not in "ZX":
                line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append((int(entry), line[:100]))
    return found


def shared_memory() -> set[str]:
    """Segments in /dev/shm that no process has mapped."""
    folder = Path("/dev/shm")
    there = {p.name for p in folder.glob("psm_*") if SEGMENT.fullmatch(p.name)} if folder.is_dir() else set()
    if not there:
        return set()
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped |= {line.rsplit("/", 1)[1] for line in maps.read_text().splitlines() if " /dev/shm/psm_" in line}
    return there - mapped


def left_shared(before: set[str], seconds: float = GONE_SECONDS) -> set[str]:
    """Segments that were not there ``before``, and are after ``seconds`` or as soon as there are none."""
    deadline = time.monotonic() + seconds
    while (found := shared_memory() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
