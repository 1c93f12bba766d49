"""Values of the Lava side that mutants of the campaign once got wrong unseen: deadlines, and what a worker left."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.program_file import _structure, write_program
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, WorkerError
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.program import INPUT, LinearMap
from tests.hw_sim.lava.test_lava import export
from tests.hw_sim.simulate.test_counts import dense, population, program
from tests.programs import random_program


def test_a_deadline_by_hand(tmp_path: Path) -> None:
    """6 x 5 neurons behind a strided convolution of 3 x 2 over 2 channels, then a matrix; three samples in one run."""
    wide = LinearMap(kind="conv", weight=np.ones((4, 2, 3, 2), np.int8), stride=(2, 3), pad=(1, 1))
    shape = wide.out_shape((2, 11, 14))
    assert shape == (4, 6, 5)
    made = program(
        [population("a", shape), population("b", (7, 1, 1))],
        [(INPUT, "a", wide), ("a", "b", dense(7, 120))],
        timesteps=4,
        input_shape=(2, 11, 14),
    )
    write_program(tmp_path / "p.npz", made)
    step = 4 * 2 * (40e-6 + 2e-9 * (6 * 5 * 2 * 3) * (3 * 2)) + 5e-9 * (7 * 120)
    processes = 2 + 2 * 2 + 2 * 2
    timing = run_lava.timing_of(run_lava.read_program(str(tmp_path / "p.npz"))[0])
    steps = timing.steps(3) + run_lava.LEAD + max(made.schedule.depth.values())
    expected = 30.0 + 0.3 * processes + 4 * steps * (step + 1e-3 * processes)
    assert lava.estimated_seconds(tmp_path / "p.npz", 3) == pytest.approx(expected, rel=1e-12)


def test_a_deadline_of_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run begins anew, with its own building: 5 samples, 2 at a time, are 3 runs."""
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1)), (INPUT, "a", dense(3, 1))], timesteps=2)
    write_program(tmp_path / "p.npz", made)
    monkeypatch.setattr(run_lava, "samples_per_run", lambda program, samples: 2)
    timing = run_lava.timing_of(run_lava.read_program(str(tmp_path / "p.npz"))[0])
    processes = 2 + 2 + 4
    steps = timing.steps(5) + 3 * run_lava.LEAD
    expected = 3 * (30.0 + 0.3 * processes) + 4 * steps * (5e-9 * 6 + 1e-3 * processes)
    assert lava.estimated_seconds(tmp_path / "p.npz", 5) == pytest.approx(expected, rel=1e-12)
    (tmp_path / "p.npz").write_bytes(b"no program")
    with pytest.raises(InvalidFileError, match=r"p\.npz: not a program that Lava can run"):
        lava.estimated_seconds(tmp_path / "p.npz", 1)


def test_samples_share_a_run_while_its_input_is_below_200_mb() -> None:
    """Four bytes for each neuron that the host drives, at every hardware step of a sample."""
    wide = 13_000
    made = program([population("a", (wide, 1, 1))], [(INPUT, "a", dense(wide, 7))], input_shape=(7, 1, 1), timesteps=9)
    document = _structure(made)
    driven = 7
    interval = run_lava.timing_of(document).interval
    most = 200_000_000 // (4 * driven * interval)
    assert [run_lava.samples_per_run(document, n) for n in (1, most, most + 1)] == [1, most, most]


def test_shared_memory_is_looked_for_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker maps segments while it runs: a look each half second, or twenty times as long as the look took."""
    now, looks = [0.0], list[float]()

    class Worker:
        def poll(self) -> int | None:
            return 7 if now[0] > 60 else None

        def wait(self, seconds: float) -> None:
            now[0] += seconds
            raise subprocess.TimeoutExpired("worker", seconds)

    class Group:
        def note_segments(self) -> None:
            looks.append(now[0])
            now[0] += 0.1 if len(looks) > 10 else 0.0

        def strain(self) -> tuple[bool, float]:
            return False, 0.0

    monkeypatch.setattr(lava.time, "monotonic", lambda: now[0])
    log = tmp_path / "log"
    log.touch()
    assert lava._wait(Worker(), Group(), log, timeout=100, patient=False) == 7  # type: ignore[arg-type]
    between = np.diff(looks)
    assert np.all((between[:9] >= 0.5) & (between[:9] < 0.71)), between[:9]
    assert np.all((between[10:] >= 2.1) & (between[10:] < 2.31)), between[10:]
    assert len(looks) > 30
    now[0] = 0.0
    with pytest.raises(lava._Failed, match="did not end within 50 s"):
        lava._wait(Worker(), Group(), log, timeout=50, patient=False)  # type: ignore[arg-type]


class Clock:
    """A worker that never ends and its group, by a clock of their own; cpu: CPU seconds in one on the wall."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wants: bool, cpu: float) -> None:
        self.began = self.now = 1000.0
        self.wants, self.cpu, self.looks = wants, cpu, list[float]()
        monkeypatch.setattr(lava.time, "monotonic", lambda: self.now)

    def poll(self) -> None:
        return None

    def wait(self, seconds: float) -> None:
        self.now += seconds
        raise subprocess.TimeoutExpired("worker", seconds)

    def note_segments(self) -> None:
        self.looks.append(self.now - self.began)

    def strain(self) -> tuple[bool, float]:
        return self.wants, self.cpu * (self.now - self.began)


@pytest.mark.parametrize(
    ("patient", "wants", "cpu", "ends"),
    [
        (False, True, 0.0, 50.0),
        (True, False, 0.0, 50.0),  # it sleeps: that is its own matter
        (True, True, 4.0, 50.0),  # four processes, of which no second counts twice
        (True, True, 0.1, 500.0),  # a tenth of a processor is what it gets
        (True, True, 0.0, 1000.0),  # twenty times as long, and it never ran
    ],
)
def test_a_worker_is_late_by_the_time_that_it_had(
    patient: bool, wants: bool, cpu: float, ends: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, wants, cpu)
    (tmp_path / "log").write_text("the end\n")
    with pytest.raises(lava._Failed) as caught:
        lava._wait(clock, clock, tmp_path / "log", 50, patient)  # type: ignore[arg-type]
    assert ends < clock.now - clock.began < ends * 1.02 + 1
    spared = " in which it could have run" if patient else ""
    assert str(caught.value) == f"it did not end within 50 s{spared}; last line: the end"
    assert 0.5 < clock.looks[0] < 0.71


def test_what_a_dead_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose owner holds its lock stays, and one that has none."""
    monkeypatch.setattr(lava.tempfile, "tempdir", str(tmp_path))
    for name in ("dead", "alive", "young"):
        (tmp_path / f"snnas-lava-{name}").mkdir()
        (tmp_path / f"snnas-lava-{name}/file").touch()
    for name in ("dead", "alive"):
        (tmp_path / f"snnas-lava-{name}/.owner").touch()
    (tmp_path / "another").mkdir()
    (tmp_path / "another/.owner").touch()
    with (tmp_path / "snnas-lava-alive/.owner").open("r+b") as owner:
        lava.take(owner)
        with lava._stage() as stage:
            assert stage.parent == tmp_path
            assert stage.name.startswith("snnas-lava-")
            assert [path.name for path in stage.iterdir()] == [".owner"]
            names = {"snnas-lava-alive", "snnas-lava-young", "another", stage.name}
            assert {path.name for path in tmp_path.iterdir()} == names
            with lava._stage():
                assert stage.exists(), "its lock is held"
    assert not stage.exists()
    assert (tmp_path / "snnas-lava-alive/file").exists()


def test_a_deadline_counts_a_process_and_its_recorder(tmp_path: Path) -> None:
    """Two of each population and of each synapse, and two more."""
    names = ("a", "b", "c", "d")
    joins = [(src, dst, dense(1, 1)) for src, dst in zip((INPUT, *names), names, strict=False)]
    made = program([population(name, (1, 1, 1)) for name in names], joins)
    write_program(tmp_path / "p.npz", made)
    timing = run_lava.timing_of(run_lava.read_program(str(tmp_path / "p.npz"))[0])
    processes, steps = 2 + 2 * 4 + 2 * 4, timing.steps(1) + run_lava.LEAD + 3
    expected = 30.0 + 0.3 * processes + 4 * steps * (5e-9 * 4 + 1e-3 * processes)
    assert lava.estimated_seconds(tmp_path / "p.npz", 1) == pytest.approx(expected, rel=1e-12)


COUNTS = ("samples", "hardware_steps", "processes", "differing_spikes", "spikes")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({name: value}, "lacks one of the counts") for name in COUNTS for value in (-1, 1.0, None, True)),
        *(({name: "1"}, "lacks build_seconds or run_seconds") for name in ("build_seconds", "run_seconds")),
        *(({name: []}, "lacks per_population or versions") for name in ("per_population", "versions")),
    ],
)
def test_every_part_of_a_result_is_asked_for(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    good: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"build_seconds": 1, "run_seconds": 0.5}
    good |= {"per_population": {}, "versions": {}}
    np.savez(tmp_path / "spikes.npz", a=np.zeros((2, 3, 1), np.uint8), b=np.zeros((1, 3, 1), np.uint8))
    for given, refused in ((good, None), (good | change, said)):
        (tmp_path / "result.json").write_text(json.dumps(given))
        if refused is None:
            assert set(lava._read_result(tmp_path, 2, tmp_path / "log")["arrays"]) == {"a", "b"}
            continue
        with pytest.raises(lava._Failed, match=refused):
            lava._read_result(tmp_path, 2, tmp_path / "log")


@pytest.mark.parametrize("spikes", [np.zeros((3, 3, 1), np.uint8), np.zeros((0, 3, 1), np.uint8),
                                    np.zeros((2, 3), np.uint8), np.zeros((2, 3, 1), np.int8)])  # fmt: skip
def test_spikes_of_another_kind_are_refused(spikes: np.ndarray, tmp_path: Path) -> None:
    good: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"build_seconds": 1, "run_seconds": 0.5}
    (tmp_path / "result.json").write_text(json.dumps(good | {"per_population": {}, "versions": {}}))
    np.savez(tmp_path / "spikes.npz", a=spikes)
    with pytest.raises(lava._Failed, match=r"packed spikes of 1\.\.2 samples"):
        lava._read_result(tmp_path, 2, tmp_path / "log")


def test_of_proc_processes_alone_are_looked_at() -> None:
    """This process is of its own group; what is no number in /proc is no process."""
    group = lava._Group(os.getpgid(0))
    assert os.getpid() in group.members()
    assert lava._Group(1 << 30).members() == []


def test_the_script_names_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, before anything of Lava is loaded: exit code 2, one line, the file's name."""
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))], timesteps=2)

    def refused() -> str:
        assert run_lava.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert str(tmp_path / "program.npz") in refused()
    write_program(tmp_path / "program.npz", made)
    assert str(tmp_path / "golden.npz") in refused()
    np.savez(tmp_path / "golden.npz", a=np.zeros(1))
    assert "it holds no spikes.a" in refused()
    document = np.frombuffer(b'{"format": "snnas.program/2", "timesteps": 2}', np.uint8)
    np.savez(tmp_path / "program.npz", **{"program.json": document})
    assert "does not follow snnas.program/2: KeyError" in refused()
    document = np.frombuffer(b'{"format": "snnas.program/9"}', np.uint8)
    np.savez(tmp_path / "program.npz", **{"program.json": document})
    assert "of none of the formats snnas.program/2, snnas.program/3, snnas.program/4" in refused()


def test_the_script_names_a_place_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tmp_path / "x", random_program(0))
    (tmp_path / "file").touch()
    out = tmp_path / "file/out"
    assert run_lava.main([str(tmp_path / "x"), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"{out}: ")


@pytest.mark.parametrize("flipped", [False, True])
def test_what_the_script_tells(
    flipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it but Lava, whose run is put in: the mean of where inferences end, the first difference, the code."""
    made = replace(random_program(0), meta={"early_exit": {"mode": "exact"}})
    golden = export(tmp_path / "x", made, 3)
    spikes = {p.id: golden[f"spikes.{p.id}"][:3].copy() for p in made.populations}
    if flipped:
        spikes["p1"][2, 1, 0] ^= 0b00100000
    ran = run_lava.Run(spikes=spikes, processes=7, steps=11, build_seconds=0.5, run_seconds=1.25)
    monkeypatch.setattr(run_lava, "imported", lambda *_: None)
    monkeypatch.setattr(run_lava, "run_all", lambda *_: ran)
    out = tmp_path / "out"
    assert run_lava.main([str(tmp_path / "x"), "--out", str(out)]) == int(flipped)
    told = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())
    ends = result["early_exit"]["timesteps"]
    total = 3 * made.timesteps * sum(p.size for p in made.populations)
    assert 1 < sum(ends) / 3 < made.timesteps
    assert f"early exit (exact): {sum(ends) / 3:.2f} of {made.timesteps} timesteps, 0 of 3 answers changed" in told
    said = "DIFFERENT: 1" if flipped else "equal: 0"
    assert f"{said} of {total} spikes differ; 3 samples, 7 processes, 11 hardware steps, 1.2 s in Lava" in told
    assert ("p1: 1 of" in told and "first at sample 2, timestep 1, neuron (0, 0, 2)" in told) == flipped
    assert (result["samples"], result["processes"], result["hardware_steps"], result["spikes"]) == (3, 7, 11, total)
    with np.load(out / "spikes.npz") as arrays:
        assert all(np.array_equal(arrays[f"spikes.{name}"], rows) for name, rows in spikes.items())


# --------------------------------------------------------------------------------------- the group, without processes


class Proc:
    """/proc as ``_Group`` reads it: of each process its state, group, session and maps; what was killed and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stubborn: int = 0) -> None:
        self.now, self.killed = 0.0, list[tuple[int, int, float]]()
        self.processes: dict[str, tuple[str, int, int, str]] = {}
        self.unlinked, self.stubborn = list[str](), stubborn
        monkeypatch.setattr(lava.os.path, "isdir", lambda path: path == "/proc")
        monkeypatch.setattr(lava.os, "listdir", lambda path: [*self.processes, "self", "meminfo"])
        monkeypatch.setattr(lava.os, "unlink", self.unlinked.append)
        monkeypatch.setattr(lava.os, "kill", self.kill)
        monkeypatch.setattr(lava.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(lava.time, "sleep", self.sleep)
        monkeypatch.setattr(lava, "open", self.open, raising=False)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def open(self, path: str, *mode: str, **how: str) -> io.BytesIO | io.StringIO:
        _, _, pid, name = path.split("/")
        state, group, session, maps = self.processes[pid]
        if state == "?":
            raise PermissionError
        if name == "maps":
            assert how == {"encoding": "utf-8", "errors": "replace"}
            return io.StringIO(maps)
        assert (name, mode) == ("stat", ("rb",))
        ticks = "10 200 3000 40000 500000"  # of itself, of its children that are over; the last one is another field
        return io.BytesIO(f"{pid} (a) b)) {state} 1 {group} {session} 0 -1 4194304 1 2 3 4 {ticks}".encode())

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number, round(self.now, 2)))
        if pid == 99:
            raise ProcessLookupError
        if number == signal.SIGKILL or pid != self.stubborn:
            del self.processes[str(pid)]


def maps(*segments: str) -> str:
    return "".join(f"7f00-7f01 rw-s 00000000 00:1a 12 {name}\n" for name in segments)


def test_a_group_is_its_leaders_group_and_session(monkeypatch: pytest.MonkeyPatch) -> None:
    proc = Proc(monkeypatch)
    proc.processes = {
        "5": ("S", 5, 5, maps("/dev/shm/psm_one", "/dev/shm/other", "/lib/x.so")),
        "6": ("R", 5, 1, maps("/dev/shm/psm_two", "/dev/shm/psm_one")),
        "7": ("S", 7, 5, ""),
        "8": ("Z", 5, 5, maps("/dev/shm/psm_dead")),
        "9": ("X", 5, 5, ""),
        "10": ("S", 1, 1, maps("/dev/shm/psm_foreign")),
        "11": ("?", 5, 5, ""),
    }
    group = lava._Group(5)
    assert group.members() == [5, 6, 7]
    assert group.note_segments() == [5, 6, 7]
    assert group.segments == {"/dev/shm/psm_one", "/dev/shm/psm_two"}
    del proc.processes["6"]
    group.note_segments()
    assert group.segments == {"/dev/shm/psm_one", "/dev/shm/psm_two"}
    monkeypatch.setattr(lava.os.path, "isdir", lambda path: False)
    assert group.members() == []


@pytest.mark.parametrize(("states", "strains"), [("SS", False), ("SR", True), ("DS", True), ("SZ", False)])
def test_a_group_strains_while_a_member_wants_a_processor(
    states: str, strains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its CPU seconds are its members', the dead ones' and their children's among them."""
    proc = Proc(monkeypatch)
    others = {"9": ("R", 1, 1, ""), "10": ("?", 5, 5, "")}  # of another group; gone while it is looked at
    proc.processes = others | {str(pid): (state, 5, 5, "") for pid, state in enumerate(states, 5)}
    monkeypatch.setattr(lava.os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    assert lava._Group(5).strain() == (strains, pytest.approx(2 * 432.1))
    assert lava._Group(77).strain() == (False, 0.0)


@pytest.mark.parametrize("stubborn", [0, 6])
def test_a_group_is_asked_to_end_and_then_ended(stubborn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM; three seconds of grace for who does not end; SIGKILL; then what they had mapped is removed."""
    proc = Proc(monkeypatch, stubborn)
    proc.processes = {"5": ("S", 5, 5, maps("/dev/shm/psm_one")), "6": ("S", 5, 5, maps("/dev/shm/psm_two"))}
    group = lava._Group(5)
    group.end()
    assert proc.killed[:2] == [(5, signal.SIGTERM, 0.0), (6, signal.SIGTERM, 0.0)]
    assert proc.killed[2:] == ([(6, signal.SIGKILL, pytest.approx(3.0, abs=0.06))] if stubborn else [])
    assert sorted(proc.unlinked) == ["/dev/shm/psm_one", "/dev/shm/psm_two"]
    assert proc.processes == {}


def test_who_cannot_be_killed_is_waited_for_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    proc = Proc(monkeypatch)
    proc.processes = {"99": ("D", 5, 5, ""), "6": ("S", 5, 5, "")}
    group = lava._Group(5)
    group.segments.add("/dev/shm/psm_gone")
    group.end()
    assert [(pid, number) for pid, number, _ in proc.killed] == [
        (99, signal.SIGTERM), (6, signal.SIGTERM), (99, signal.SIGKILL)
    ]  # fmt: skip
    assert proc.now == pytest.approx(8.0, abs=0.11)
    assert proc.unlinked == ["/dev/shm/psm_gone"]


def test_a_group_that_is_gone_leaves_its_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    proc = Proc(monkeypatch)
    group = lava._Group(5)
    group.segments.add("/dev/shm/psm_left")
    group.end()
    assert (proc.killed, proc.now, proc.unlinked) == ([], 0.0, ["/dev/shm/psm_left"])


def test_a_comparison_by_hand() -> None:
    """Two populations over two timesteps; of three recorded samples two are compared."""
    made = program([population("a", (3, 1, 3)), population("b", (2, 1, 1))],
                   [(INPUT, "a", dense(9, 1)), ("a", "b", dense(2, 9))])  # fmt: skip
    golden = {"spikes.a": np.zeros((3, 2, 2), np.uint8), "spikes.b": np.zeros((3, 2, 1), np.uint8)}
    theirs = {name: array[:2].copy() for name, array in golden.items()}
    assert lava.compare(golden, theirs, made, 2) == lava.Comparison(2, 2 * 2 * 11, 0, None, {"a": 0, "b": 0})
    theirs["spikes.b"][0, 1, 0] = 0b1100_0000
    theirs["spikes.a"][0, 1, 1] = 0b1000_0000
    theirs["spikes.a"][1, 0, 0] = 0b0000_0100
    found = lava.compare(golden, theirs, made, 2)
    assert found == lava.Comparison(2, 44, 4, lava.Difference("a", 0, 1, (2, 0, 2)), {"a": 2, "b": 2})
    assert not found.equal
    with pytest.raises(
        WorkerError, match=r"the Lava worker's spikes\.b is uint8 \(2, 2, 2\); expected uint8 \(2, 2, 1\)"
    ):
        lava.compare(golden, theirs | {"spikes.b": np.zeros((2, 2, 2), np.uint8)}, made, 2)
    with pytest.raises(WorkerError, match=r"the Lava worker's spikes\.b is int8 \(2, 2, 1\)"):
        lava.compare(golden, theirs | {"spikes.b": np.zeros((2, 2, 1), np.int8)}, made, 2)
    with pytest.raises(WorkerError, match=r"populations are not the program's: spikes\.c; run it again"):
        lava.compare(golden, theirs | {"spikes.c": theirs["spikes.b"]}, made, 2)
    for wrong, said in ((None, "missing"), (np.zeros((1, 2, 1), np.uint8), r"uint8 \(1, 2, 1\)"),
                        (np.zeros((2, 2, 1), np.int8), "int8"), (np.zeros((2, 1, 1), np.uint8), "uint8")):  # fmt: skip
        with pytest.raises(InvalidFileError, match=rf"golden\.npz: spikes\.b is {said}"):
            lava.compare(golden | {"spikes.b": wrong}, theirs, made, 2)  # type: ignore[dict-item]


# ---------------------------------------------------------------------------------------- attempts, without a process


def attempted(monkeypatch: pytest.MonkeyPatch, *outcomes: str) -> list[tuple[Any, ...]]:
    """Puts attempts in place of the worker's: '' is good, any other text is why one failed."""
    made: list[tuple[Any, ...]] = []

    def attempt(stage: Path, *given: Any) -> dict[str, Any]:
        made.append((stage, *given))
        if said := outcomes[len(made) - 1]:
            raise lava._Failed(said)
        (stage / "out").mkdir()
        for name in ("spikes.npz", "result.json"):
            (stage / "out" / name).write_text(f"{name} of {len(made)}")
        return {"samples": 2, "attempts": 0}

    monkeypatch.setattr(lava, "_attempt", attempt)
    return made


def test_a_second_attempt_is_made_in_a_stage_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lava.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    made = attempted(monkeypatch, "first", "")
    monkeypatch.setattr(lava, "estimated_seconds", lambda path, samples: (path, samples))
    out = tmp_path / "a/out"
    assert lava.run_worker(tmp_path / "x", out, samples=3, python="py") == {"samples": 2, "attempts": 2}
    assert {p.name: p.read_text() for p in out.iterdir()} == {
        "spikes.npz": "spikes.npz of 2", "result.json": "result.json of 2"
    }  # fmt: skip
    (first, *given), (second, *again) = made
    assert first != second
    deadline = ((tmp_path / "x").resolve() / "program.npz", 3)
    assert given == again == [(tmp_path / "x").resolve(), 3, Path("py"), deadline, True]
    assert list((tmp_path / "tmp").iterdir()) == []
    made = attempted(monkeypatch, "")
    assert lava.run_worker(tmp_path / "x", out, samples=1, python="py", timeout=7.5)["attempts"] == 1
    assert made[0][-2:] == (7.5, False)
    attempted(monkeypatch, "first", "second")
    with pytest.raises(WorkerError) as caught:
        lava.run_worker(tmp_path / "x", tmp_path / "none", samples=1, python="py", timeout=7.5)
    assert str(caught.value) == (
        "the Lava worker (py) failed twice; expected a result; second; try fewer --samples"
    )  # fmt: skip
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "log", "error", "said"),
    [
        (
            2,
            "x\n{folder}/golden.npz: it holds no spikes.a\n",
            InvalidFileError,
            "{folder}/golden.npz: it holds no spikes.a",
        ),
        (2, "lava-nc is not installed", UnsupportedError, "lava-nc is not installed"),
        (70, "a\nLava failed: b\n", lava._Failed, "it ended with code 70; last line: Lava failed: b"),
        (-9, "a", lava._Failed, "it ended with signal 9; last line: a"),
        (3, "a", lava._Failed, "it ended with code 3; last line: a"),
        (0, "", None, ""),
        (1, "", None, ""),
    ],
)
def test_how_a_worker_is_started_and_what_its_end_means(
    code: int, log: str, error: type[Exception] | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, folder = tmp_path / "stage", tmp_path / "x"
    stage.mkdir()
    started: list[Any] = []

    class Process:
        pid = 4321

        def __init__(self, command: list[str], **how: Any) -> None:
            started.append((command, how))
            how["stdout"].write(log.format(folder=folder).encode())

        def wait(self) -> None:
            started.append("waited")

    class Group:
        def __init__(self, pid: int) -> None:
            started.append(pid)

        def end(self) -> None:
            started.append("ended")

    monkeypatch.setattr(lava.subprocess, "Popen", Process)
    monkeypatch.setattr(lava, "_Group", Group)
    monkeypatch.setattr(lava, "_wait", lambda process, group, log, *how: code if how == (9.0, True) else None)
    monkeypatch.setattr(lava, "_read_result", lambda out, samples, log: (out, samples, log))
    if error is None:
        assert lava._attempt(stage, folder, 3, Path("py"), 9.0, True) == (stage / "out", 3, stage / "worker.log")
    else:
        with pytest.raises(error) as caught:
            lava._attempt(stage, folder, 3, Path("py"), 9.0, True)
        assert type(caught.value) is error
        assert str(caught.value) == said.format(folder=folder)
    (command, how), *rest = started
    assert rest == [4321, "ended", "waited"]
    script, out = str(stage / "run_lava.py"), str(stage / "out")
    assert command == ["py", "-I", script, str(folder), "--samples", "3", "--out", out, "--parent", str(os.getpid())]
    assert Path(script).read_bytes() == Path(run_lava.__file__).read_bytes()
    assert how["env"]["TMPDIR"] == str(stage / "tmp")
    assert sorted(p.name for p in stage.iterdir()) == ["out", "run_lava.py", "tmp", "worker.log"]
    assert (how["cwd"], how["start_new_session"]) == (stage, True)
    assert (how["stdin"], how["stderr"]) == (subprocess.DEVNULL, subprocess.STDOUT)


def test_a_worker_that_writes_too_much_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Worker:
        def poll(self) -> None:
            return None

        def wait(self, seconds: float) -> None:
            raise subprocess.TimeoutExpired("worker", seconds)

    class Group:
        def note_segments(self) -> None:
            raise AssertionError

    log = tmp_path / "log"
    monkeypatch.setattr(lava.time, "monotonic", lambda: 0.0)
    with log.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(lava._Failed, match="it wrote more than 16777216 bytes of log"):
        lava._wait(Worker(), Group(), log, 100, False)  # type: ignore[arg-type]
    with log.open("wb") as file:
        file.truncate(16 << 20)
    times = iter([0.0, 0.1, 0.2, 0.3, 1e9])
    monkeypatch.setattr(lava.time, "monotonic", lambda: next(times))
    with pytest.raises(lava._Failed, match="it did not end within 100 s; last line: "):
        lava._wait(Worker(), Group(), log, 100, False)  # type: ignore[arg-type]


def test_a_result_is_one_file_of_its_size(tmp_path: Path) -> None:
    """Up to 4 MiB; no link, no folder."""
    good: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"build_seconds": 1, "run_seconds": 0.5}
    text = json.dumps(good | {"per_population": {}, "versions": {}})
    np.savez(tmp_path / "spikes.npz", a=np.zeros((2, 3, 1), np.uint8))
    (tmp_path / "log").write_text("the end\n")
    path = tmp_path / "result.json"
    path.write_text(text.ljust(4 << 20))
    assert lava._read_result(tmp_path, 2, tmp_path / "log")["samples"] == 0
    (tmp_path / "good").write_text(text)

    def refused() -> None:
        with pytest.raises(lava._Failed, match=r"it left no result\.json; last line: the end"):
            lava._read_result(tmp_path, 2, tmp_path / "log")

    path.write_text(text.ljust((4 << 20) + 1))
    refused()
    path.unlink()
    refused()
    path.symlink_to(tmp_path / "good")
    refused()
    path.unlink()
    path.mkdir()
    refused()
