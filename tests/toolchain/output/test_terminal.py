"""What a person sees: the version, hints, quiet and verbose, and colours where they belong."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from rich.table import Table

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output import fitting
from snnas.toolchain.output.run import next_command
from snnas.toolchain.output.stderr import Narrator, counted, span_of
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs import Run

ROOT = Path(__file__).parents[3]
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7])[0-9;]*m")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"snnas {metadata.version('snnas')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serach"], ["'search'", "snnas --help"]),
        (["runs", "shwo"], ["'show'", "snnas runs --help"]),
        (["search", "--epoch", "3"], ["--epochs", "snnas search --help"]),
        (["search", "--method", "lightsn"], ["did you mean 'lightsnn'?"]),
        (["search", "--dataset", "digit"], ["did you mean 'digits'?"]),
        (["search", "--recipe", "mnits"], ["did you mean 'mnist'?"]),
        (["search", "--budget", "energy_totl=1uJ"], ["did you mean 'energy_total'?"]),
        (["data", "fetch", "mnits"], ["did you mean 'mnist'?"]),
        (["export", "--profile", "loihi1_calibrate"], ["did you mean 'loihi1_calibrated'?"]),
        (["schema", "reports"], ["did you mean 'report'?"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_what_is_nearly_right_is_hinted(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] in ("search", "export"):
        arguments = [*arguments, "--runs-dir", str(tmp_path)]
    if arguments[0] == "export":
        (tmp_path / "a").mkdir()
        from tests.toolchain.cli.test_cli_runs import make

        run = make(tmp_path, "b")
        run.weights.write_bytes(b"")
    assert run_command(arguments) == 2
    err = capsys.readouterr().err
    for word in words:
        assert word in err


def test_verbose_tells_times_and_tenths_where_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        with Narrator(verbose=verbose).progress("counting") as advance:
            for done in range(1, 101):
                advance(done, 100)
        lines = capsys.readouterr().err.splitlines()
        if verbose:
            assert len(lines) == 11
            assert re.fullmatch(r"\[ +\d+\.\d s\] +counting: 100 of 100", lines[-1])
        else:
            assert lines == ["counting ..."]


def test_quiet_says_nothing_and_excludes_verbose(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Narrator(quiet=True).next("check")
    assert capsys.readouterr().err == ""
    with pytest.raises(UsageError, match="opposite"):
        Narrator(quiet=True, verbose=True)
    assert run_command(["search", "-q", "-v", "--runs-dir", str(tmp_path)]) == 2


def test_the_next_command_keeps_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name where commands find it, in the folder that was given, and else by its own folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for where, runs_dir, said in (
        ("my runs/a", Path("my runs"), "train a --runs-dir 'my runs'"),
        ("runs/a", None, "train a"),
        ("elsewhere/a", None, f"train {tmp_path}/elsewhere/a"),
        ("elsewhere/a", Path("my runs"), f"train {tmp_path}/elsewhere/a"),
    ):
        Narrator().next(next_command(Run((tmp_path / where).resolve()), runs_dir))
        assert capsys.readouterr().err == f"next: snnas {said}\n"


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes where stdout is a terminal of 100 columns."""
    master, slave = pty.openpty()
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM")}
    with subprocess.Popen(
        [sys.executable, "-m", "snnas", *arguments],
        cwd=ROOT,
        env={**inherited, "TERM": "xterm-256color", **environment},
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        out = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux's end of a pty
                break
            if not part:
                break
            out += part
    os.close(master)
    assert process.returncode in (0, 2)
    return out.decode()


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/run.toml").touch()
    arguments = ["runs", "--runs-dir", str(tmp_path)]
    piped = subprocess.run(
        [sys.executable, "-m", "snnas", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "\x1b" not in piped.stdout + piped.stderr
    assert "\x1b" in on_a_terminal(*arguments)  # the bold head of a table
    assert not COLOUR.search(on_a_terminal(*arguments, NO_COLOR="1"))
    assert not COLOUR.search(on_a_terminal("frobnicate", NO_COLOR="1"))


def test_titles_and_captions_are_lines_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A narrow table would break them in the middle of ``T = 8``; what is wider than the pipe is folded in it."""
    from snnas.toolchain.output.stdout import PIPE_WIDTH

    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("a", title="a title far wider than its table, T = 8", caption="and a caption as wide, T = 8")
    table.add_row("1")
    print_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["a title far wider than its table, T = 8", "a", "-", "1", "and a caption as wide, T = 8"]
    wide = Table("a")
    wide.add_row("word " * 100)
    print_table(wide)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= PIPE_WIDTH


def several() -> Table:
    """Figures, ranges and prose, as the tables of the commands have them."""
    table = Table("", "value", "95 % interval / note")
    table.add_row("energy (uJ / inference)", "1.28 .. 3.84 .. 12.6", "loihi1, simulated")
    table.add_row("verdict", "likely less energy", "its rate of 19.4 % is above the break-even of 6.2 % at T = 8, " * 2)
    table.add_section()
    table.add_row("spikes / inference", "133,632", "")
    return table


@pytest.mark.parametrize("columns", ["80", "100", "120"])
def test_a_log_gets_plain_aligned_text(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(several())
    out = capsys.readouterr().out
    assert out.isascii(), "no lines are drawn"
    lines = out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    places = {line.index(figure) for figure in ("1.28 .. 3.84", "133,632") for line in lines if figure in line}
    assert len(places) == 1, "figures stand below one another"
    for whole in ("1.28 .. 3.84 .. 12.6", "133,632", "19.4 %", "6.2 %", "T = 8"):
        assert whole in out, "no figure is split over lines"


@pytest.mark.parametrize("columns", ["80", "160"])
def test_a_log_keeps_a_path_whole_wherever_it_stands(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    path = "/a/" + "long/" * 50 + "path"
    table = Table("name", "detail", title=f"check of {path} (export folder)", caption=f"see {path}, where it stands")
    table.add_row("a short name", f"nothing is at {path}, which was asked for")
    table.add_row(f"a folded name, {path}", "and prose beside it")
    print_table(table)
    print_table(f"a line of text about {path}")
    assert capsys.readouterr().out.count(path) == 5


def test_below_a_hundred_columns_a_long_note_stands_under_its_row() -> None:
    wide, narrow = [*fitting.lines(several(), 120)], [*fitting.lines(several(), 80)]
    at = next(k for k, line in enumerate(narrow) if line.startswith("verdict"))
    assert narrow[at].endswith("likely less energy")
    assert narrow[at + 1].startswith("    its rate of 19.4 %")
    assert narrow[2].endswith("12.6  loihi1, simulated")  # a short one beside it
    assert next(line for line in wide if line.startswith("verdict")).count("its rate of 19.4 %") >= 1


def beside() -> Table:
    """Two runs beside each other: figures, which are never folded, and short notes."""
    table = Table()
    for name, justify in (("", "left"), ("one", "right"), ("another", "right"), ("provenance", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_row("quantisation: differing spikes", "0.49%", "0.71%", "")
    table.add_row("  of single samples", "mean 361.7, p95 395.1", "mean 480.7, p95 627.2", "estimated")
    table.add_row("accuracy", "50.00% -> 54.00%", "68.00% -> 68.00%", "measured | simulated")
    return table


@pytest.mark.parametrize(("width", "under"), [(80, 2), (84, 1), (120, 0)])
def test_short_notes_stand_under_their_rows_where_figures_leave_no_room(width: int, under: int) -> None:
    lines = [*fitting.lines(beside(), width)]
    assert max(map(len, lines)) <= width
    assert (
        sum(line.startswith("    ") and line.strip() in ("estimated", "measured | simulated") for line in lines)
        == under
    )
    assert sum(line.count("measured | simulated") for line in lines) == 1
    assert sum(line.count("mean 361.7, p95 395.1  mean 480.7, p95 627.2") for line in lines) == 1


def test_a_wide_terminal_keeps_its_lines_and_its_figures_whole() -> None:
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(fitting.boxed(several(), 100))
    out = console.export_text()
    assert "┏" in out
    assert "1.28 .. 3.84 .. 12.6" in out
    assert out.count("19.4 %") == out.count("6.2 %") == 2
    assert max(map(len, out.splitlines())) <= 100


def test_narration_is_folded_between_words_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = " ".join(f"word{k} {k} uJ" for k in range(30))
    path = "/a/" + "long/" * 20 + "path"
    monkeypatch.setenv("COLUMNS", "80")

    def said() -> str:
        narrator = Narrator()
        narrator.say(f"  {words}")
        narrator.note(f"{words} {path}")
        narrator.next(f"export {path} {words}")
        return capsys.readouterr().err

    piped = said().splitlines()
    assert piped == [f"  {words}", f"note: {words} {path}", f"next: snnas export {path} {words}"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    *lines, following = said().splitlines()
    assert following == piped[-1]  # it is pasted
    at = next(k for k, line in enumerate(lines) if line.startswith("note: "))
    assert path in [line.strip() for line in lines]
    assert not any(line.lstrip().startswith("uJ") for line in lines)
    assert all(len(line) < 80 for line in lines if path not in line)
    assert {len(line) - len(line.lstrip()) for line in lines[1:at]} == {4}
    assert {len(line) - len(line.lstrip()) for line in lines[at + 1 :]} == {8}
    assert " ".join(" ".join(lines).split()) == f"{words} note: {words} {path}"


def test_a_name_with_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("node:key:0")
    table.add_row("a:x:b")
    print_table("synapse a:x:b")
    print_table(table)
    Narrator().say("synapse a:x:b")
    shown = capsys.readouterr()
    assert shown.out.split() == ["synapse", "a:x:b", "node:key:0", "-" * 10, "a:x:b"]
    assert shown.err == "synapse a:x:b\n"


def test_nouns_are_counted() -> None:
    assert [counted(n, "core") for n in (0, 1, 2048)] == ["0 cores", "1 core", "2,048 cores"]


def test_a_pipe_is_not_silent_for_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("snnas.toolchain.output.stderr.time.monotonic", lambda: now[0])
    with Narrator().progress("training 40 epochs", "batches") as advance:
        for done in range(1, 101):
            now[0] += 1.0
            advance(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training 40 epochs ...",
        *(f"  training 40 epochs: {k} of 100 batches; about {100 - k} s left" for k in (2, 32, 62, 92)),
    ]
    with Narrator().progress("training 40 epochs", "batches", goes_on=True) as advance:
        for done in range(41, 101):  # forty were done in another process
            now[0] += 1.0
            advance(done, 100)
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"  training 40 epochs: {k} of 100 batches; about {100 - k} s left" for k in (42, 72)
    ]
    with Narrator().progress("C on 600 samples") as advance:
        now[0] += 20.0
        advance(256, 600)
    assert capsys.readouterr().err.splitlines()[1:] == ["  C on 600 samples: 256 of 600; about 27 s left"]
    assert [span_of(s) for s in (0.1, 99, 101, 7200)] == ["1 s", "99 s", "2 min", "2.0 h"]
