"""Files appear whole or not at all, with the mode that the umask leaves."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import copy, read_bytes, read_json, read_text, require_regular, sha256, whole, write_text
from snnas.hw_sim.tables import read_table
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import as_toml
from snnas.toolchain.runs.staging import beside
from tests.documents import RUN


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o644)])
def test_the_mode_obeys_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_an_ended_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_text(path, "old")

    def end(writer: IO[bytes]) -> None:
        writer.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole(path) as f:
        end(f)
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\udcff")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_is_not_there_is_named_and_no_temporary_file() -> None:
    for name, words in (
        ("/nowhere/a.xml", "/nowhere/a.xml: there is no folder /nowhere; make"),
        ("/proc/a.xml", "/proc/a.xml: nothing can be made in /proc; make"),
    ):
        with pytest.raises(UsageError) as caught:
            write_text(Path(name), "text")
        assert str(caught.value).startswith(words)
        with pytest.raises(UsageError) as caught, beside(Path(name)):
            pass
        assert str(caught.value).startswith(words)


def test_an_error_of_the_temporary_file_names_the_one_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=r"directory") as caught:
        write_text(tmp_path / "a", "text")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "a"), None)
    assert os.listdir(tmp_path) == ["a"]


def put(kind: str, path: Path) -> None:
    """Something that is no regular file."""
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
@pytest.mark.parametrize("read", [read_bytes, read_text, read_json, sha256, require_regular, read_table, read_npz])
def test_only_regular_files_are_read(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    """A FIFO would be waited for without end, a device be read without end."""
    path = tmp_path / "a"
    put(kind, path)
    with pytest.raises(InvalidFileError, match=f"{kind}|regular file"):
        read(path)


@pytest.mark.parametrize(
    "name", ["run.toml", "report.json", "genotype.json", "search.jsonl", "train.jsonl", "front.json"]
)
@pytest.mark.parametrize("kind", ["FIFO", "device", "folder"])
def test_a_run_with_something_else_in_it_hangs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    run = tmp_path / "runs/r"
    run.mkdir(parents=True)
    (run / "run.toml").write_text(as_toml(RUN))
    (run / name).unlink(missing_ok=True)
    put(kind, run / name)
    for command in (["runs"], ["runs", "show", "r"], ["report", "r"], ["report", "r", "--html"], ["export", "r"]):
        code = run_command([*command, "--runs-dir", str(tmp_path / "runs")])
        said = capsys.readouterr()
        assert code in (0, 2, 3), (command, said.err)
        assert "fault of snnas" not in said.err
    if name == "run.toml":
        assert run_command(["runs", "show", str(run), "--runs-dir", str(tmp_path / "runs")]) in (2, 3)


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == read_bytes(tmp_path / "a", 1 << 50) == b"12345"
    assert read_bytes(Path("/proc/self/cmdline"), 1 << 50).endswith(b"\0")
    with pytest.raises(InvalidFileError, match="5 bytes; at most 4 are read"):
        read_bytes(tmp_path / "a", 4)
    with pytest.raises(InvalidFileError, match="at most 4 are read"):
        read_bytes(Path("/proc/self/status"), 4)  # which says that it has 0


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to the folder may guess the temporary name; the file behind the link stays as it was."""
    (tmp_path / "victim").write_text("untouched")
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    (tmp_path / ".a.00000000.part").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a", "text")
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    def fill(writer: IO[bytes]) -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer.fileno())
        writer.write(b"x")

    with pytest.raises(OSError, match="No space left") as caught, whole(tmp_path / "a") as f:
        fill(f)
    assert caught.value.filename == str(tmp_path / "a")
    (tmp_path / "log").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        JsonLines(tmp_path / "log").append({})
    assert caught.value.filename == str(tmp_path / "log")
    assert os.listdir(tmp_path) == ["log"]


def test_a_copy_is_the_same_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 999
    (tmp_path / "one").write_bytes(content)
    copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == content


def test_the_script_that_travels_follows_no_planted_link(tmp_path: Path) -> None:
    """run_lava.py stands alone and so has a writer of its own; its results lie where strangers may write."""
    from snnas.hw_sim.lava import run_lava

    victim, result = tmp_path / "victim", tmp_path / "result.json"
    victim.write_text("kept")
    (tmp_path / "result.json.part").symlink_to(victim)
    run_lava.write_atomically(str(result), lambda file: file.write(b"new"))
    assert (victim.read_text(), result.read_text()) == ("kept", "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result.json", "result.json.part", "victim"]
