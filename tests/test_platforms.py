"""The base install on a system without Unix's calls: nothing of what it does needs them. By taking them away here."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snnas.export.formats import hdf5_child
from snnas.hw_sim import system_calls

ROOT = Path(__file__).resolve().parents[1]
GATE = ROOT / "examples/ci_gate"

# As on Windows: modules that it has not, calls and flags that its os and signal have not; and no torch.
WITHOUT = """
import builtins, os, signal, sys, tempfile, subprocess, multiprocessing, socket, shutil

GONE = {"fcntl", "resource", "pwd", "grp", "termios", "torch", "spikingjelly"}
for name in GONE:
    sys.modules[name] = None
for name in ("fork", "sysconf", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "killpg", "setsid",
             "getuid", "geteuid", "sched_getaffinity", "sched_setaffinity", "mkfifo"):
    delattr(os, name)
for name in ("SIGXCPU", "SIGKILL", "SIGPIPE", "SIGALRM", "SIGHUP"):
    delattr(signal, name)
shutil._use_fd_functions = False  # as it finds out itself when it is imported there
from snnas.toolchain.cli.app import run_command
for line in sys.argv[1:]:
    code = run_command(line.split("|"))
    assert code == 0, (line, code)
"""


def test_the_base_install_runs_without_the_calls_of_unix(tmp_path: Path) -> None:
    model, samples = GATE / "graph.nir", GATE / "graph.nir.check.npz"
    data = f"--data|{samples}"
    (tmp_path / "norse.nir").write_bytes(gzip.decompress((ROOT / "tests/data/whose/norse.nir.gz").read_bytes()))
    lines = (
        f"check|{model}|--baseline|{GATE / 'baseline.json'}",
        f"simulate|{model}|{data}|-q",
        f"estimate|{model}|{data}|-q",
        f"whose|{tmp_path / 'norse.nir'}|--expect|{ROOT / 'tests/data/whose/norse.npz'}|-q",
        f"export|{model}|{data}|--out|{tmp_path / 'made'}|-q",
        f"check|{tmp_path / 'made'}",
        f"runs|--runs-dir|{tmp_path}",
        "doctor",
    )
    command = [sys.executable, "-c", WITHOUT, *lines]
    without_lava = {**os.environ, "SNNAS_LAVA_ENV": str(tmp_path / "absent"), "SNNAS_LAVA_PYTHON": ""}
    done = subprocess.run(command, cwd=ROOT, env=without_lava, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "made/program.npz").is_file()


def test_a_lock_is_held_by_bytes_where_files_have_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As msvcrt locks: the bytes of what is written in the file stay readable."""
    held: list[tuple[int, int]] = []

    class Windows:
        LK_LOCK, LK_NBLCK = 1, 2

        @staticmethod
        def locking(handle: int, mode: int, count: int) -> None:
            place = (system_calls.os.fstat(handle).st_ino, system_calls.os.lseek(handle, 0, 1))
            if place in held:
                raise PermissionError(13, "locked")
            held.append(place)

    monkeypatch.setattr(system_calls, "fcntl", None)
    monkeypatch.setattr(system_calls, "msvcrt", Windows)
    path = tmp_path / ".lock"
    with path.open("w+") as one, path.open("r+") as other:
        system_calls.take(one)
        one.write("pid 1")
        one.flush()
        assert one.tell() == 5
        with pytest.raises(BlockingIOError):
            system_calls.take(other)
        assert other.read() == "pid 1"
    assert [at for _, at in held] == [system_calls.BEHIND]


@pytest.mark.parametrize("wait", [False, True])
def test_a_file_system_without_locks_is_said_at_once(
    wait: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [OSError(errno.EDEADLK, "taken")] * wait + [OSError(errno.EINVAL, "no locks here")]

    class Windows:
        LK_LOCK, LK_NBLCK = 1, 2

        @staticmethod
        def locking(handle: int, mode: int, count: int) -> None:
            raise tries.pop(0)

    monkeypatch.setattr(system_calls, "fcntl", None)
    monkeypatch.setattr(system_calls, "msvcrt", Windows)
    with (tmp_path / ".lock").open("w") as file, pytest.raises(OSError, match="no locks here") as raised:
        system_calls.take(file, wait=wait)
    assert type(raised.value) is OSError
    assert tries == []


def test_a_reader_without_limits_of_its_own_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_child, "resource", None)
    hdf5_child.limit(1, 1)  # else it would end this process


def test_what_is_missing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module itself, read anew where nothing is there."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "resource", None)
    spec = importlib.util.spec_from_file_location("anew", system_calls.__file__)
    assert spec is not None
    assert spec.loader is not None
    anew: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert (anew.fcntl, anew.resource, anew.locks_folders(), anew.address_space_limited()) == (None, None, False, False)
    anew.take(0)
    assert anew.physical_memory() == system_calls.physical_memory()
