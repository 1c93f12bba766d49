"""Runs whose process was ended, at its beginning, while it worked or between two files; and runs that two want."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_text
from snnas.toolchain.output.report import read_report
from snnas.toolchain.runs import create as new_run
from snnas.toolchain.runs import run as runs
from snnas.toolchain.runs.run import Run

ROOT = Path(__file__).parents[3]
TEXTS = {"run.toml": "seed = 0\n"}


def begin(folder: Path, name: str | None = None) -> Run:
    return new_run.create(folder, name, "stem", lambda name: TEXTS)


def test_a_run_appears_with_its_files_or_not_at_all(tmp_path: Path) -> None:
    def killed(name: str) -> dict[str, str]:
        assert os.listdir(tmp_path) == [next(iter(p.name for p in tmp_path.glob(f".{name}.*.part")))]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_run.create(tmp_path, "mine", "stem", killed)
    assert os.listdir(tmp_path) == []
    assert begin(tmp_path, "mine").path == tmp_path / "mine"
    assert (tmp_path / "mine/run.toml").read_text() == TEXTS["run.toml"]


def test_an_empty_folder_takes_no_name(tmp_path: Path) -> None:
    """Else a search killed at its start leaves a name that can neither be begun nor gone on with."""
    (tmp_path / "mine").mkdir()
    begin(tmp_path, "mine")
    (tmp_path / "stem-001").mkdir()
    assert begin(tmp_path).name == "stem-001"
    assert begin(tmp_path).name == "stem-002"


def test_a_name_that_is_taken_says_what_by(tmp_path: Path) -> None:
    begin(tmp_path, "mine")
    with pytest.raises(UsageError, match="continue it with --resume mine"):
        begin(tmp_path, "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("")
    with pytest.raises(UsageError, match="remove that folder, which is no run"):
        begin(tmp_path, "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="exists"):
        begin(tmp_path, "file")


def test_runs_that_are_being_begun_or_removed_are_not_listed(tmp_path: Path) -> None:
    begin(tmp_path, "mine")
    for name in (".mine.1-0123abcd.part", ".old.removed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").write_text(TEXTS["run.toml"])
    assert [run.name for run in runs.every(tmp_path)] == ["mine"]


def test_the_lock_clears_away_what_a_killed_process_left(tmp_path: Path) -> None:
    run = begin(tmp_path, "mine")
    halves = [
        ".run.toml.0123abcd.part",
        "checkpoint/.state.safetensors.0123abcd.part",
        "export/.lava.1-0123abcd.part/x",
    ]
    for name in halves:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("half")
    with run.lock():
        assert [p.name for p in run.path.rglob("*") if p.is_file()] == ["run.toml", ".lock"]


def test_training_is_done_when_its_checkpoint_is_gone(tmp_path: Path) -> None:
    """Weights are written before what is said of them: a kill in between is no trained run."""
    run = begin(tmp_path, "mine")
    run.weights.write_bytes(b"")
    assert run.trained
    (run.path / "checkpoint").mkdir()
    assert run.trained  # an empty folder: killed while it was removed
    (run.path / "checkpoint/state.safetensors").write_bytes(b"")
    assert not run.trained


def test_a_second_process_is_told_who_has_the_run(tmp_path: Path) -> None:
    run = begin(tmp_path, "mine")
    code = (
        "from pathlib import Path; from snnas.toolchain.runs.run import Run\n"
        f"with Run(Path({str(run.path)!r})).lock(): pass"
    )
    with run.lock():
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"run mine is being worked on by pid {os.getpid()} on {socket.gethostname()}" in done.stderr


def test_the_lock_of_a_dead_owner_is_taken_over(tmp_path: Path) -> None:
    """Whatever its file says: the system took the lock back. One of another host that lives is held there."""
    run = begin(tmp_path, "mine")
    (run.path / ".lock").write_text("pid 999999 on elsewhere")
    with run.lock():
        assert (run.path / ".lock").read_text() == f"pid {os.getpid()} on {socket.gethostname()}"
    with (run.path / ".lock").open("r+") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        theirs.truncate(0)
        theirs.write("pid 7 on elsewhere")
        theirs.flush()
        with pytest.raises(UsageError, match="pid 7 on elsewhere"), run.lock():
            pass


def test_a_disk_that_cannot_lock_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    run = begin(tmp_path, "mine")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="locks"), run.lock():
        pass


@pytest.mark.parametrize("kind", ["a FIFO", "a device"])
def test_no_reader_of_a_run_waits_or_reads_without_end(kind: str, tmp_path: Path) -> None:
    """Whoever unpacks a stranger's run may have such files in it; each is refused by what it is."""
    made = begin(tmp_path, "mine")
    files = {"run.toml": made.config, "search.jsonl": made.search_log.read, "train.jsonl": made.train_log.read}
    files |= {"report.json": lambda: read_report(made.report), "genotype.json": lambda: read_text(made.genotype)}
    for name, reads in files.items():
        path = made.path / name
        path.unlink(missing_ok=True)
        if kind == "a FIFO":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        assert runs.find(tmp_path, "mine") == made
        with pytest.raises(InvalidFileError, match=kind):
            reads()
    assert [r.name for r in runs.every(tmp_path)] == ["mine"]
