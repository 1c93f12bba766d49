"""How a command ends: a reader that has gone, streams that are closed, signals at any moment."""

from __future__ import annotations

import errno
import io
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snnas.toolchain.cli import exits
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands import machine
from snnas.toolchain.runs import extras
from tests.interrupts import heeded

ROOT = Path(__file__).parents[3]
PYTHON = [sys.executable, "-m", "snnas"]


def shell(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``snnas`` with the redirection ``text``; the exit code is its own, not that of the pipe's reader."""
    script = f'"$@" {text}; exit ${{PIPESTATUS[0]}}'
    command = ["bash", "-c", script, "bash", *PYTHON, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    ("redirection", "arguments"),
    [
        # The reader closes before the first byte: sleep holds no end of the pipe.
        ("| { exec <&-; sleep 2; }", ["--help"]),
        ("| { exec <&-; sleep 2; }", ["runs", "--runs-dir", "/nowhere"]),
        ("| { exec <&-; sleep 2; }", ["runs", "--json", "--runs-dir", "/nowhere"]),
        (">&-", ["runs", "--json", "--runs-dir", "/nowhere"]),
        (">&- 2>&- <&-", ["runs", "--runs-dir", "/nowhere"]),
    ],
)
def test_a_reader_that_has_gone_is_no_error(redirection: str, arguments: list[str]) -> None:
    result = shell(redirection, *arguments)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_error_nobody_reads_keeps_its_code() -> None:
    result = shell("2>&1 | { exec <&-; sleep 2; }", "frobnicate")
    assert (result.returncode, result.stderr) == (2, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_under_stdout_is_said() -> None:
    result = shell(">/dev/full", "--help")
    assert result.returncode == 74
    assert "No space left" in result.stderr


@pytest.mark.parametrize("module", ["snnas", "snnas.toolchain.cli.app"])
@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted")], ids=["term", "int"]
)
def test_signals_let_the_command_clean_up(module: str, number: int, words: str, tmp_path: Path) -> None:
    log = tmp_path / "digits-lightsnn-001/search.jsonl"
    arguments = [
        "search",
        "--method",
        "lightsnn",
        "--runs-dir",
        str(tmp_path),
        "--channels",
        "4",
        "--epochs",
        "500",
        "-q",
    ]
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heeded) as process:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and process.poll() is None and not log.exists():
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    again = f"snnas search --resume digits-lightsnn-001 --runs-dir {tmp_path}"
    assert err == f"snnas: {words}; the run goes on with: {again}\n"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "command",
    [["search"], ["search", "--resume", "a"], ["train", "a"], ["export", "a", "--bits", "4"], ["doctor"]],
    ids=" ".join,
)
def test_the_advice_is_the_commands_own(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("snnas.toolchain.runs.run.directory", stop)
    monkeypatch.setattr(machine, "examine_installation", stop)
    assert run_command(command) == 130
    *told, last = capsys.readouterr().err.splitlines()
    assert last == f"snnas: interrupted; start it again with: snnas {' '.join(command)}"
    assert told == (["--dataset is not given: digits"] if command == ["search"] else [])


def test_an_early_ctrl_c_gives_no_traceback(tmp_path: Path) -> None:
    """An interrupt while modules load: here the first import of typer raises it."""
    (tmp_path / "typer").mkdir()
    (tmp_path / "typer/__init__.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [*PYTHON, "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert (result.returncode, result.stderr) == (130, "snnas: interrupted\n")


def test_the_installed_command_goes_the_same_way() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^snnas = "snnas\.__main__:main"$', text, re.MULTILINE)


def test_doctor_looks_at_every_dependency() -> None:
    import tomllib

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[<>=]", line)[0] for line in wanted} == set(machine.BASE)


def test_extras_are_those_of_the_project_and_doctor_shows_what_each_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, packages in extras.EXTRAS.items():
        assert {re.split(r"[<>=]", line)[0] for line in offered[extra]} == set(packages)
    assert set(offered) - set(extras.EXTRAS) == {"docs", "dev", "types", "triton", "aeon"}
    assert set(extras.USES) == set(extras.EXTRAS)

    def absent(name: str) -> str:
        raise machine.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.metadata, "version", absent)
    shown = {item.name: item.detail for item in machine.examine_installation()}
    assert shown["onnx"].endswith("mend: pip install -e '.[onnx]' in the checkout of snnas")
    assert shown["scikit-learn"].endswith("mend: pip install -e '.[search]' in the checkout of snnas")
    assert shown["snnas"].endswith("mend: pip install -e '.' in the checkout of snnas")
    assert shown["tonic"].endswith("mend: pip install -e '.[events]' in the checkout of snnas")
    assert "aeon" not in shown


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch.nn", "search"), ("sklearn", "search"), ("PIL", "search"), ("onnx", "onnx"), ("numpy", None)],
)
def test_the_extra_of_a_module(module: str, extra: str | None) -> None:
    assert extras.extra_of(module) == extra


def test_no_text_sends_to_an_index_that_has_no_snnas() -> None:
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    files += [p for part in ("toolchain", "search", "export", "hw_sim") for p in (ROOT / part).rglob("*.py")]
    for path in files:
        assert not re.search(r"snnas\[\w|pip install '?snnas\b", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("command", [[], ["lava"], ["data"], ["bench"]], ids=lambda c: " ".join(["snnas", *c]))
def test_a_group_alone_shows_its_help_in_lines(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command) == 2
    alone = capsys.readouterr()
    assert run_command([*command, "--help"]) == 0
    assert alone.err.split() == capsys.readouterr().out.split()
    assert alone.err.startswith(f"Usage: {' '.join(['snnas', *command])} [OPTIONS]")
    assert alone.err.count("\n") > 5
    assert alone.out == ""


class Gone(io.StringIO):
    """A stderr whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_work_goes_on_where_nobody_reads_its_narration(monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.toolchain.output.stderr import Narrator

    monkeypatch.setattr(sys, "stderr", Gone())
    narrator = Narrator()
    for _ in range(2):
        narrator.say("nobody hears this")
    assert run_command(["frobnicate"]) == 2


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a"), 74, "a: No space left on device"),
        (OSError(errno.EFBIG, "File too large", "a"), 74, "a: File too large"),
        (OSError(errno.EIO, "Input/output error", "a"), 74, "a: Input/output error"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 70, "out of memory"),
        (OSError("libgomp.so.1: failed to map segment from shared object"), 70, "out of memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 70, "out of memory"),
        (RuntimeError("can't start new thread"), 70, "out of memory"),
        (OSError(errno.ENOENT, "No such file or directory", "out of memory"), 2, "out of memory: No such file"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_the_machine_lacks_is_named(
    error: Exception, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exits._fault(error) == code
    err = capsys.readouterr().err
    assert err.startswith(f"snnas: {words}")
    assert err.count("\n") == 1


def test_a_signal_behind_the_end_does_not_change_the_code(tmp_path: Path) -> None:
    """The work is done: no traceback from the interpreter's own last steps."""
    code = "import atexit, os, signal, sys; from snnas.toolchain.cli import exits\n"
    code += "exits.prepare(); atexit.register(lambda: os.kill(os.getpid(), int(sys.argv[1]))); exits.leave(74)"
    for number in (signal.SIGTERM, signal.SIGINT):
        command = [sys.executable, "-c", code, str(int(number))]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=600, preexec_fn=heeded, check=False
        )
        assert (done.returncode, done.stderr) == (74, "")


@pytest.mark.parametrize(
    "ended",
    [
        "from snnas.toolchain.cli import exits; interrupted(); exits.leave(130)",
        "import snnas.toolchain.cli.app as c; c.main = lambda: exec('raise KeyboardInterrupt'); "
        "from snnas.__main__ import main; main()",
    ],
)
def test_an_interrupt_in_a_text_that_is_run_does_not_end_the_process_by_its_signal(tmp_path: Path, ended: str) -> None:
    before = "def interrupted():\n    try: exec('raise KeyboardInterrupt')\n    except KeyboardInterrupt: pass\n"
    (tmp_path / "one.py").write_text(before + ended)
    there = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run([sys.executable, "-m", "one"], env=there, capture_output=True, text=True, timeout=600)
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("limit", "words"), [(1 << 40, "out of memory"), (resource.RLIM_INFINITY, "a fault of snnas: SystemError")]
)
def test_a_library_that_fails_without_a_word_lacks_memory_where_memory_is_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: int, words: str
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (limit, limit))
    assert exits._fault(SystemError("error return without exception set")) == 70
    assert words in capsys.readouterr().err


def test_a_fault_is_folded_on_a_terminal_and_one_line_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = f"snnas search --resume {'a' * 60} --runs-dir /{'b' * 30}"
    long = f"run {'n' * 20} has no genotype yet and {'so ' * 30}on; finish its search with: {command}"

    def said(text: str) -> list[str]:
        assert exits._fail(2, text) == 2
        return capsys.readouterr().err.splitlines()

    assert said(long) == [f"snnas: {long}"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert said("short; see: snnas runs") == ["snnas: short; see: snnas runs"]
    first, *middle, last = said(long)
    assert first.startswith("snnas: run ")
    assert middle
    assert last == f"  {command}"  # it is pasted
    assert all(len(line) < 80 for line in (first, *middle))
    assert {len(line) - len(line.lstrip()) for line in middle} == {len("snnas: ") + 2}
    assert " ".join(" ".join((first, *middle, last)).split()) == f"snnas: {long}"
    monkeypatch.setitem(sys.modules, "snnas.toolchain.output.stderr", None)  # as where no memory is left
    assert said(long) == [f"snnas: {long}"]
