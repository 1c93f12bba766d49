"""Files appear whole or not at all, with the mode that the umask leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import pytest

from hw_sim.errors import UsageError
from toolchain.files import JsonLines, whole, write_text
from toolchain.staging import beside


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
