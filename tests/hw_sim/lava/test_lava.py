"""The Lava worker: its spikes equal the simulator's, and whatever goes wrong in it ends in bounded time."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, WorkerError
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.program import LinearMap, Pool, Population, Program, Schedule
from snnas.hw_sim.readout import summed
from tests.programs import Builder, drive, random_program, recorded


def export(folder: Path, program: Program, samples: int = 2, *, frames: bool = False) -> dict[str, np.ndarray]:
    """Writes what an export folder holds for Lava; the golden record."""
    folder.mkdir(exist_ok=True)
    golden, _ = recorded(program, samples, frames=frames)
    write_program(folder / "program.npz", program)
    write_npz(folder / "golden.npz", golden)
    return golden


def segments(token: str) -> list[str]:
    """Shared memory of ours that still exists; other tests' Lava runs may have theirs meanwhile."""
    return [name for name in os.listdir("/dev/shm") if token in name] if os.path.isdir("/dev/shm") else []


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[lava._Group]:
    """The process groups that the test started."""
    made: list[lava._Group] = []

    class Noted(lava._Group):
        def __init__(self, leader: int) -> None:
            super().__init__(leader)
            made.append(self)

    monkeypatch.setattr(lava, "_Group", Noted)
    return made


# ------------------------------------------------------------------------------------------------------- against Lava


def extremes() -> Program:
    """What Lava's stock processes are tempted to get wrong: full biases, exponents and thresholds, 130 groups, a
    pooled convolution whose expanded entries exceed int8 several times over, and a self-loop at full strength.
    """
    b = Builder(np.random.default_rng(5), input_shape=(1, 4, 2))
    shape = (2, 4, 2)
    for name, dv, vth, biases in (
        ("p0", 0, 131071, (4095, 4095)),
        ("p1", 0, 20000, (4095, 2047)),
        ("p2", 4095, 3000, (-4095, 2047)),
    ):
        mantissa = np.array(biases, dtype=np.int16).reshape(2, 1, 1)
        p = Population(id=name, shape=shape, dv=dv, vth=vth, scale=50.0, bias=mantissa, bias_exponent=7)
        b.add(p, len(b.populations))
    drive(b, "p0", "analogue")
    b.host[0] = replace(b.host[0], gain=200.0)
    heavy = LinearMap(
        kind="pooled_conv",
        weight=np.array([[[[127]], [[-128]]], [[[-1]], [[127]]]], dtype=np.int8),
        pre=(Pool((3, 3), (1, 1), (1, 1)),),
        post=(Pool((3, 1), (1, 1), (1, 0)),),
    )
    b.join("p0", "p1", heavy)
    b.join("p1", "p2", LinearMap(kind="dense", weight=b.weights(16, 16)), exponent=4)
    loop = LinearMap(kind="conv", weight=np.array([[[[127]]], [[[126]]]], dtype=np.int8), groups=2)
    b.join("p1", "p1", loop, exponent=7, distance=1)
    wide = (130, 4, 2)
    b.add(Population(id="p3", shape=wide, dv=4095, vth=60, scale=1.0, bias=np.zeros((130, 1, 1), dtype=np.int16)), 3)
    b.join("p2", "p3", LinearMap(kind="conv", weight=b.weights(130, 2, 1, 1)), exponent=1)
    b.add(Population(id="p4", shape=wide, dv=4095, vth=1, scale=1.0, bias=np.zeros((130, 1, 1), dtype=np.int16)), 4)
    b.join("p3", "p4", LinearMap(kind="conv", weight=np.full((130, 1, 1, 1), 2, dtype=np.int8), groups=130))
    return Program(
        timesteps=8,
        input_shape=b.input_shape,
        input_kind="analogue",
        populations=tuple(b.populations),
        synapses=tuple(b.synapses),
        host=tuple(b.host),
        readout=summed(src="p4", weight=b.weights(2, 1040), bias=np.zeros(2, dtype=np.int64), scale=1.0),
        schedule=Schedule(period=1, depth=b.depth, blank=1),
    )


PROGRAMS = {
    "static image": (random_program(0), False),
    "spike input": (random_program(1, kind="spikes"), False),
    "self-loop, period 1": (random_program(2, back=((1, 1),)), True),
    "three delayed synapses, period 3": (random_program(3, back=((2, 0), (3, 2), (1, 1))), True),
    "spike input, period 4": (random_program(4, back=((3, 1),), kind="spikes"), False),
    "extremes": (extremes(), False),
}


@pytest.mark.lava
@pytest.mark.parametrize("name", PROGRAMS)
def test_lava_fires_exactly_the_simulators_spikes(
    tmp_path: Path, lava_python: Path, name: str, groups: list[lava._Group]
) -> None:
    program, frames = PROGRAMS[name]
    golden = export(tmp_path / "x", program, 3, frames=frames)
    result = lava.run_worker(tmp_path / "x", tmp_path / "out", samples=2, python=lava_python)
    comparison = lava.compare(golden, result["arrays"], program, 2)
    assert comparison.first is None
    assert comparison.equal
    assert result["differing_spikes"] == 0
    assert comparison.spikes == result["spikes"] == 2 * program.timesteps * sum(p.size for p in program.populations)
    assert set(comparison.per_population) == {p.id for p in program.populations}
    fired = {name: r["fired"] for name, r in result["per_population"].items()}
    assert fired == {p.id: int(np.unpackbits(golden[f"spikes.{p.id}"][:2]).sum()) for p in program.populations}
    assert sum(0 < fired[p.id] < 2 * program.timesteps * p.size for p in program.populations) >= 3  # not trivially so
    assert sorted(os.listdir(tmp_path / "out")) == ["result.json", "spikes.npz"]
    assert [g.members() for g in groups] == [[]]
    assert not any(os.path.exists(path) for path in groups[0].segments)


@pytest.mark.lava
def test_the_script_stands_alone(tmp_path: Path, lava_python: Path) -> None:
    """It runs from the export folder, executes nothing that lies beside it, and names a difference."""
    program = random_program(3, back=((2, 0),))
    golden = export(tmp_path / "x", program)
    folder = tmp_path / "x"
    (folder / "run_lava.py").write_bytes(Path(run_lava.__file__).read_bytes())
    for name in ("numpy", "other"):
        (folder / f"{name}.py").write_text("open('executed', 'w').close()\nraise SystemExit('executed')\n")
    golden["spikes.p1"][1, 0, 0] ^= 0b10000000
    write_npz(folder / "golden.npz", golden)
    command = [str(lava_python), "run_lava.py", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, done.stderr
    assert "p1: 1 of" in done.stdout
    assert "first at sample 1, timestep 0, neuron (0, 0, 0)" in done.stdout
    assert not (folder / "executed").exists()
    first = json.loads((tmp_path / "out" / "result.json").read_text())["per_population"]["p1"]["first"]
    assert first == {"sample": 1, "timestep": 0, "neuron": [0, 0, 0]}


@pytest.mark.lava
def test_several_lava_runs_give_the_same(tmp_path: Path, lava_python: Path) -> None:
    """Samples that do not fit one run's memory go into further runs."""
    export(tmp_path / "x", random_program(2, back=((1, 1),)), 3)
    source = Path(run_lava.__file__).parent
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import run_lava; run_lava.RUN_BYTES = 1; "
    code += f"sys.exit(run_lava.main([{str(tmp_path / 'x')!r}]))"
    done = subprocess.run([str(lava_python), "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("built") == 3


@pytest.mark.lava
@pytest.mark.parametrize("spoil", ["missing", "shape", "bias"])
def test_the_script_refuses_what_does_not_fit(tmp_path: Path, lava_python: Path, spoil: str) -> None:
    program = random_program(3, back=((2, 0),))
    golden = export(tmp_path / "x", program)
    if spoil == "bias":  # which write_program refuses
        arrays = read_npz(tmp_path / "x" / "program.npz")
        write_npz(tmp_path / "x" / "program.npz", arrays | {"p0.bias": arrays["p0.bias"] + np.int16(1)})
    if spoil == "missing":
        del golden["spikes.p1"]
    elif spoil == "shape":
        golden["currents.p0"] = golden["currents.p0"][..., :-1]
    write_npz(tmp_path / "x" / "golden.npz", golden)
    with pytest.raises(InvalidFileError, match=r"golden\.npz: "):
        lava.run_worker(tmp_path / "x", tmp_path / "out", samples=1, python=lava_python)


# ------------------------------------------------------------------------------------------------- without Lava: parts


@given(data=st.data())
def test_compare_finds_the_earliest_difference(data: st.DataObject) -> None:
    program, _ = PROGRAMS["static image"]
    samples, depth = 2, program.schedule.depth
    golden = {
        f"spikes.{p.id}": np.zeros((3, program.timesteps, (p.size + 7) // 8), dtype=np.uint8)
        for p in program.populations
    }
    theirs = {name: a[:samples].copy() for name, a in golden.items()}
    flips = set()
    for _ in range(data.draw(st.integers(0, 4))):
        p = data.draw(st.sampled_from(program.in_order))
        b, t = data.draw(st.integers(0, samples - 1)), data.draw(st.integers(0, program.timesteps - 1))
        flips.add((b, t, program.in_order.index(p), data.draw(st.integers(0, p.size - 1))))
    for b, t, place, n in flips:
        theirs[f"spikes.{program.in_order[place].id}"][b, t, n // 8] |= 128 >> n % 8
    comparison = lava.compare(golden, theirs, program, samples)
    assert comparison.differing_spikes == len(flips) == sum(comparison.per_population.values())
    assert comparison.equal == (not flips)
    if flips:
        b, t, place, n = min(flips)
        p = program.in_order[place]
        assert comparison.first == (p.id, b, t, tuple(int(i) for i in np.unravel_index(n, p.shape)))
        assert depth[p.id] == min(depth[program.in_order[f[2]].id] for f in flips if f[:2] == (b, t))


def test_compare_takes_nothing_else() -> None:
    program, _ = PROGRAMS["static image"]
    golden, _ = recorded(program, 2)
    spikes = {k: v for k, v in golden.items() if k.startswith("spikes.")}
    with pytest.raises(WorkerError, match=r"populations.*spikes\.p0"):
        lava.compare(golden, {k: v for k, v in spikes.items() if k != "spikes.p0"}, program, 2)
    with pytest.raises(WorkerError, match=r"spikes\.p0.*expected"):
        lava.compare(golden, spikes | {"spikes.p0": spikes["spikes.p0"][:1]}, program, 2)
    with pytest.raises(InvalidFileError, match=r"golden\.npz: spikes\.p0"):
        lava.compare({}, spikes, program, 2)


# ---------------------------------------------------------------------------------------- workers that do not behave

FAKE = """#!{python}
import json, os, signal, subprocess, sys, time
sys.path[:0] = {path!r}
import numpy as np
_, flag, script, folder, _, samples, _, out, _, parent = sys.argv
calls = os.path.join({home!r}, "calls")
with open(calls, "a") as file:
    file.write(str(os.getpid()) + "\\n")
attempt = len(open(calls).readlines())

def finish(change=lambda spikes, result: None):
    golden = np.load(os.path.join(folder, "golden.npz"))
    spikes = {{k: golden[k][: int(samples)].copy() for k in golden.files if k.startswith("spikes.")}}
    result = dict(samples=int(samples), hardware_steps=1, processes=1, differing_spikes=0, spikes=1,
                  per_population={{}}, build_seconds=0.1, run_seconds=0.1, versions={{}})
    change(spikes, result)
    np.savez(os.path.join(out, "spikes.npz"), **spikes)
    with open(os.path.join(out, "result.json"), "w") as file:
        json.dump(result, file)

def leak():
    import mmap
    name = "/dev/shm/{token}%d" % os.getpid()
    with open(name, "wb+") as file:
        file.write(bytes(4096))
        file.flush()
        globals()["held"] = mmap.mmap(file.fileno(), 4096)

def stubborn_child():
    ready, there = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        leak()
        os.write(there, b"x")
        time.sleep(3600)
        os._exit(0)
    os.read(ready, 1)

{body}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tmp_path / "x", PROGRAMS["static image"][0])
    return tmp_path / "x"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[lava._Group]):  # type: ignore[no-untyped-def]
    """Makes an "interpreter" that ignores the script and does what ``body`` says; checks that nothing stays behind."""
    monkeypatch.setattr(lava, "GRACE_SECONDS", 0.5)
    token = f"psm_test_{os.getpid()}_"

    def make(body: str) -> Path:
        path = tmp_path / "python"
        path.write_text(FAKE.format(python=sys.executable, path=sys.path, home=str(tmp_path), token=token, body=body))
        path.chmod(0o755)
        return path

    yield make
    assert [g.members() for g in groups] == [[] for _ in groups]
    assert not segments(token)


def attempts(folder: Path) -> int:
    return len((folder.parent / "calls").read_text().split())


def test_a_worker_that_hangs_is_ended(folder: Path, tmp_path: Path, fake, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Its time is over once it hangs, however long a busy machine took to start it."""
    hangs = f"open(os.path.join({str(tmp_path)!r}, 'hangs%d' % attempt), 'w').close(); time.sleep(3600)"
    python = fake(f"print('step 3 of 9', flush=True); stubborn_child(); leak(); {hangs}")
    waits, monotonic = lava._wait, time.monotonic

    def hanging() -> int:
        return len(list(tmp_path.glob("hangs*")))

    def wait(*given) -> int:  # type: ignore[no-untyped-def]
        before = hanging()
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 900 * (hanging() - before))
        try:
            return waits(*given)
        finally:
            monkeypatch.setattr(time, "monotonic", monotonic)

    monkeypatch.setattr(lava, "_wait", wait)
    with pytest.raises(WorkerError, match=r"failed twice.*did not end within 600 s.*step 3 of 9") as caught:
        lava.run_worker(folder, tmp_path / "out", samples=1, python=python, timeout=600.0)
    assert attempts(folder) == 2
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('Lava says no'); sys.exit(70)", "code 70.*Lava says no"),
        ("sys.exit(0)", "no result.json"),
        ("os.symlink('/dev/zero', os.path.join(out, 'result.json'))", "no result.json"),
        ("finish(lambda s, r: r.update(spikes='many'))", "counts"),
        ("finish(lambda s, r: r.update(differing_spikes=-1))", "counts"),
        ("finish(lambda s, r: r.update(versions=3))", "versions"),
        ("finish(lambda s, r: s.update(extra=np.zeros(3)))", "something else"),
        ("finish(); open(os.path.join(out, 'spikes.npz'), 'w').write('zip')", "cannot be read"),
        ("finish(); open(os.path.join(out, 'result.json'), 'w').write('[' * 100000)", "cannot be read"),
        ("finish(); open(os.path.join(out, 'result.json'), 'wb').truncate(1 << 30)", "no result.json"),
    ],
)
def test_a_worker_that_dies_or_talks_nonsense(folder: Path, tmp_path: Path, fake, body: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WorkerError, match=message):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=fake(body), timeout=600)
    assert attempts(folder) == 2
    assert os.listdir(tmp_path / "out") == []


def test_a_worker_that_is_killed_leaves_no_memory(folder: Path, tmp_path: Path, fake, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """What was seen of it while it lived is removed; so it dies once it was seen, however long that took."""
    notes = lava._Group.note_segments

    def noted(group: lava._Group) -> list[int]:
        found = notes(group)
        if any(name.endswith(f"_{group.leader}") for name in group.segments):
            (tmp_path / f"seen{group.leader}").touch()
        return found

    monkeypatch.setattr(lava._Group, "note_segments", noted)
    waits = f"while not os.path.exists(os.path.join({str(tmp_path)!r}, 'seen%d' % os.getpid())): time.sleep(.05)"
    python = fake(f"stubborn_child(); leak()\n{waits}\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(WorkerError, match="signal 9"):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=python, timeout=600)
    assert attempts(folder) == 2


def test_a_worker_that_babbles(folder: Path, tmp_path: Path, fake, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(lava, "LOG_BYTES", 10_000)
    with pytest.raises(WorkerError, match="bytes of log"):
        lava.run_worker(
            folder,
            tmp_path / "out",
            samples=1,
            python=fake("while True: print('x' * 999); time.sleep(.001)"),
            timeout=600,
        )


def test_a_worker_that_lies_is_found_out(folder: Path, tmp_path: Path, fake) -> None:  # type: ignore[no-untyped-def]
    python = fake("def flip(s, r):\n    s['spikes.p1'][0, 0, 0] ^= 64\nfinish(flip)")
    result = lava.run_worker(folder, tmp_path / "out", samples=2, python=python)
    assert result["differing_spikes"] == 0  # what it says
    comparison = lava.compare(read_npz(folder / "golden.npz"), result["arrays"], PROGRAMS["static image"][0], 2)
    assert comparison.differing_spikes == 1
    assert comparison.first == ("p1", 0, 0, (0, 0, 1))


def test_one_failure_is_forgiven(folder: Path, tmp_path: Path, fake) -> None:  # type: ignore[no-untyped-def]
    python = fake("finish() if attempt == 2 else sys.exit(1)")
    result = lava.run_worker(folder, tmp_path / "out", samples=1, python=python)
    assert result["attempts"] == 2
    assert sorted(os.listdir(tmp_path / "out")) == ["result.json", "spikes.npz"]


def test_a_worker_left_alive_behind_its_result(folder: Path, tmp_path: Path, fake) -> None:  # type: ignore[no-untyped-def]
    result = lava.run_worker(folder, tmp_path / "out", samples=1, python=fake("stubborn_child(); finish()"))
    assert result["attempts"] == 1


def test_an_interrupt_ends_the_worker(folder: Path, tmp_path: Path, fake, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Once its memory is mapped: what is made and not yet mapped is nobody's, and cannot be told."""

    def interrupted(*_: object) -> int:
        until = time.monotonic() + 600
        while not (tmp_path / "mapped").exists() and time.monotonic() < until:
            time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(lava, "_wait", interrupted)
    mapped = f"open({str(tmp_path / 'mapped')!r}, 'w').close()"
    python = fake(f"stubborn_child(); leak(); {mapped}; time.sleep(3600)")
    with pytest.raises(KeyboardInterrupt):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=python)
    assert attempts(folder) == 1


def test_a_worker_that_refuses_is_not_asked_twice(folder: Path, tmp_path: Path, fake) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnsupportedError, match="lava-nc is not installed"):
        lava.run_worker(
            folder, tmp_path / "out", samples=1, python=fake("print('lava-nc is not installed'); sys.exit(2)")
        )
    assert attempts(folder) == 1
    with pytest.raises(UnsupportedError, match="cannot be started"):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=tmp_path / "absent")
    (folder / "program.npz").write_text("no program")
    with pytest.raises(InvalidFileError, match=r"program\.npz"):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=tmp_path / "absent")


def test_what_a_worker_leaves_goes_with_its_folder(folder: Path, tmp_path: Path, fake, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    python = fake("open(os.path.join(os.environ['TMPDIR'], 'left'), 'w').close(); time.sleep(3600)")
    with pytest.raises(WorkerError):
        lava.run_worker(folder, tmp_path / "out", samples=1, python=python, timeout=1.0)
    assert os.listdir(tmp_path / "tmp") == []


def test_folders_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("snnas-lava-dead", "snnas-lava-alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / lava.OWNER).touch()
    with (tmp_path / "snnas-lava-alive" / lava.OWNER).open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        with lava._stage() as stage:
            assert sorted(os.listdir(tmp_path)) == sorted(["snnas-lava-alive", stage.name])
    assert os.listdir(tmp_path) == ["snnas-lava-alive"]


@pytest.mark.parametrize(
    ("wants", "share", "ends"),
    [
        (False, 0.0, 50),  # it sleeps: the clock on the wall
        (True, 1.0, 50),  # it has a processor
        (True, 2.0, 50),  # or two
        (True, 0.25, 200),  # it comes to run for a quarter of the time
        (True, 0.0, 1000),  # never: even that has an end
    ],
)
def test_time_that_a_worker_waits_for_a_processor_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wants: bool, share: float, ends: float
) -> None:
    now = [0.0]

    class Worker:
        def poll(self) -> None:
            return None

        def wait(self, seconds: float) -> None:
            now[0] += seconds
            raise subprocess.TimeoutExpired("worker", seconds)

    class Group:
        def note_segments(self) -> list[int]:
            return []

        def strain(self) -> tuple[bool, float]:
            return wants, share * now[0]

    monkeypatch.setattr(lava.time, "monotonic", lambda: now[0])
    (tmp_path / "log").touch()
    with pytest.raises(lava._Failed, match="did not end within 50 s in which it could have run"):
        lava._wait(Worker(), Group(), tmp_path / "log", 50, patient=True)  # type: ignore[arg-type]
    assert ends <= now[0] < ends * 1.05 + 1
    now[0] = 0.0
    with pytest.raises(lava._Failed, match="did not end within 50 s;"):
        lava._wait(Worker(), Group(), tmp_path / "log", 50, patient=False)  # type: ignore[arg-type]
    assert 50 <= now[0] < 51


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_what_a_group_strains_at_is_seen(tmp_path: Path) -> None:
    """A child that spins, then is over, counts; one that sleeps does not."""
    spins = "import os\nwhile sum(os.times()[:2]) < .3: pass"
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {spins!r}]); print(flush=True)"
    command = [sys.executable, "-c", f"{parent}; time.sleep(3600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        group, seen = lava._Group(process.pid), set[bool]()
        try:
            while not select.select([process.stdout], [], [], 0.01)[0]:
                seen.add(group.strain()[0])
            until = time.monotonic() + 600
            while group.strain()[0] and time.monotonic() < until:
                time.sleep(0.01)
            slept = group.strain()
        finally:
            process.kill()
    assert True in seen
    assert not slept[0]
    assert slept[1] >= 0.3


def test_a_worker_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    """Whoever waits is killed by SIGKILL: the worker, which leads a group, and a child of it end too."""
    source = Path(run_lava.__file__).parent
    worker = f"import os, sys, time; sys.path.insert(0, {str(source)!r}); import run_lava\n"
    worker += "pid = os.fork()\nos.write(1, b'%d\\n' % os.getpid())\n"
    worker += "run_lava.end_with(int(sys.argv[1])) if pid else time.sleep(3600)\n"
    waits = "import os, subprocess, sys\n"
    waits += "subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())], start_new_session=True).wait()"
    with subprocess.Popen([sys.executable, "-c", waits, worker], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            pids = [int(process.stdout.readline()) for _ in range(2)]
            time.sleep(0.2)
        finally:
            process.kill()
        deadline = time.monotonic() + 600
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
