"""Values of the Lava side that mutants of the campaign once got wrong unseen: deadlines, and what a worker left."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.program_file import _structure, write_program
from snnas.hw_sim.errors import InvalidFileError
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
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))], timesteps=2)
    write_program(tmp_path / "p.npz", made)
    monkeypatch.setattr(run_lava, "samples_per_run", lambda program, samples: 2)
    timing = run_lava.timing_of(run_lava.read_program(str(tmp_path / "p.npz"))[0])
    processes = 2 + 2 + 2
    steps = timing.steps(5) + 3 * run_lava.LEAD
    expected = 3 * (30.0 + 0.3 * processes) + 4 * steps * (5e-9 * 3 + 1e-3 * processes)
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
    np.savez(tmp_path / "spikes.npz", a=np.zeros((2, 3, 1), np.uint8))
    for given, refused in ((good, None), (good | change, said)):
        (tmp_path / "result.json").write_text(json.dumps(given))
        if refused is None:
            assert set(lava._read_result(tmp_path, 2, tmp_path / "log")["arrays"]) == {"a"}
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
