"""Values of the Lava side that mutants of the campaign once got wrong unseen: deadlines, and what a worker left."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.program_file import write_program
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.program import INPUT, LinearMap
from tests.hw_sim.simulate.test_counts import dense, population, program


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

    monkeypatch.setattr(lava.time, "monotonic", lambda: now[0])
    log = tmp_path / "log"
    log.touch()
    assert lava._wait(Worker(), Group(), log, timeout=100) == 7  # type: ignore[arg-type]
    between = np.diff(looks)
    assert np.all((between[:9] >= 0.5) & (between[:9] < 0.71)), between[:9]
    assert np.all((between[10:] >= 2.1) & (between[10:] < 2.31)), between[10:]
    assert len(looks) > 30
    now[0] = 0.0
    with pytest.raises(lava._Failed, match="did not end within 50 s"):
        lava._wait(Worker(), Group(), log, timeout=50)  # type: ignore[arg-type]


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
