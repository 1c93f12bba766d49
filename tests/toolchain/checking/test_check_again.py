"""Recording again: what a recording says is kept, unless another one is asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import read_npz
from snnas.toolchain.cli.app import run_command
from tests.export.nir_nets import dyadic, graph_of, lif, nir, written
from tests.toolchain.checking.check_subjects import change_arrays, checked, example, healthy, here  # noqa: F401
from tests.toolchain.cli.test_cli import fails

GRAPH, RECORDED, ONNX = "graph.nir", "graph.nir.check.npz", "model.onnx"
AGAIN = ["--record", "auto", "--force"]


def recorded(path: str = RECORDED) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The arrays of a recording, and its description."""
    arrays = read_npz(path, what="recording")
    return arrays, json.loads(arrays["recording.json"].tobytes())


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A graph of nobody, recorded on samples with labels, read as snntorch means it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    rng = np.random.default_rng(4)
    nodes = {"w": nir.Linear(weight=dyadic(rng, 6, 6)), "n": lif(6), "out": nir.Linear(weight=dyadic(rng, 3, 6))}
    path = written(tmp_path, graph_of((6,), nodes, (3,)))
    np.savez("data.npz", x=rng.integers(0, 2, (12, 5, 6, 1, 1)), y=rng.integers(0, 3, 12))
    answers = ["--convention", "snntorch-zero", "--data", "data.npz", "-T", "5", "--input-kind", "spikes"]
    assert run_command(["check", path.name, "--record", "auto", "--limit", "8", *answers]) == 0
    return path.name


def test_a_changed_graph_keeps_samples_labels_and_reading(foreign: str, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    kept = f"{foreign}.check.npz"
    before, how = recorded(kept)
    assert how["options"] == {"convention": "snntorch-zero", "input_kind": "spikes", "timesteps": 5}
    assert run_command(["check", foreign, *AGAIN]) == 0
    assert Path(kept).read_bytes() == _bytes_of(kept, foreign)  # the same graph: the same bytes
    with h5py.File(foreign, "r+") as file:
        file["node/nodes/w/weight"][0, 0] += 4
    code, findings = checked(capsys, foreign)
    assert code == 1
    assert any(f["code"] == "SN306" for f in findings)
    assert run_command(["check", foreign]) == 1
    assert f"meant? record again with: snnas check {foreign} --record auto --force" in capsys.readouterr().out
    assert run_command(["check", foreign, *AGAIN]) == 0
    assert "1 of" in capsys.readouterr().err
    after, now = recorded(kept)
    assert now["options"] == how["options"]
    assert now["source"] == how["source"] == "8 samples of data.npz"
    assert (after["x"] == before["x"]).all()
    assert (after["y"] == before["y"]).all()
    assert checked(capsys, foreign)[0] == 0


def _bytes_of(kept: str, graph: str) -> bytes:
    assert run_command(["check", graph, *AGAIN]) == 0
    return Path(kept).read_bytes()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["-T", "9"], ["--timesteps 9 (recorded: 5)"]),
        (["--input-kind", "counts"], ["--input-kind counts (recorded: spikes)"]),
        (["--convention", "norse"], ["--convention norse (recorded: snntorch-zero)"]),
        (["--dt", "0.001"], ["--dt 0.001 (recorded: not given)"]),
        (["--delayed", "w:n"], ["--delayed w:n (recorded: none)"]),
        (["--limit", "4"], ["--limit 4 (recorded: 8 samples)"]),
        (["--seed", "1"], ["--seed 1"]),
        (["--data", "other.npz"], ["other samples or labels"]),
        (["--data", "bare.npz"], ["without labels; recorded: 8 samples with labels"]),
    ],
)
def test_what_is_given_otherwise_is_refused(
    given: list[str], words: list[str], foreign: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dict(np.load("data.npz"))
    np.savez("other.npz", x=1 - data["x"], y=data["y"])
    np.savez("bare.npz", x=data["x"])
    before = Path(f"{foreign}.check.npz").read_bytes()
    fails(capsys, ["check", foreign, *AGAIN, *given], 2, *words, "add --new-recording")
    assert Path(f"{foreign}.check.npz").read_bytes() == before


def test_the_same_said_again_is_taken(foreign: str) -> None:
    same = ["--data", "data.npz", "-T", "5", "--input-kind", "spikes", "--convention", "snntorch-zero", "--limit", "8"]
    assert run_command(["check", foreign, *AGAIN, *same]) == 0
    assert run_command(["check", foreign, *AGAIN, "--data", "data.npz"]) == 0  # as many as were recorded


def test_a_replay_that_reads_the_input_otherwise_does_not_pass(
    foreign: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, findings = checked(capsys, foreign, "--input-kind", "counts")
    assert code == 1
    assert "input_kind is counts, recorded was spikes" in next(f["detail"] for f in findings if f["code"] == "SN306")


def test_a_new_recording_takes_nothing_from_the_old(foreign: str, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["check", foreign, "--record", "auto", "--new-recording"], 2, "--input-kind")
    answers = ["-T", "7", "--input-kind", "spikes"]
    assert run_command(["check", foreign, "--record", "auto", "--new-recording", *answers]) == 0
    arrays, how = recorded(f"{foreign}.check.npz")
    assert how["options"] == {"input_kind": "spikes", "timesteps": 7}
    assert "y" not in arrays


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"version https://git-lfs"])
def test_nothing_can_be_taken_from_a_damaged_recording(
    spoil: object, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    Path(RECORDED).write_bytes(spoil(Path(RECORDED).read_bytes()))
    code, findings = checked(capsys, GRAPH)
    assert code == 3
    detail = next(f["detail"] for f in findings if f["status"] == "invalid")
    assert "snnas check GRAPH --record auto --new-recording" in detail
    assert "snnas export" not in detail
    fails(capsys, ["check", GRAPH, *AGAIN], 2, "cannot be taken", "--new-recording")
    assert run_command(["check", GRAPH, "--record", "auto", "--new-recording"]) == 0


def test_an_onnx_model_is_recorded_again_likewise(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, _ = recorded(f"{ONNX}.check.npz")
    fails(capsys, ["check", ONNX, *AGAIN, "--input-kind", "spikes"], 2, "--input-kind", "--new-recording")
    np.savez("black.npz", x=np.zeros((16, 1, 8, 8), np.float32))
    fails(capsys, ["check", ONNX, *AGAIN, "--data", "black.npz"], 2, "other samples", "--new-recording")
    for data in ([], ["--data", "bars.npz"]):
        assert run_command(["check", ONNX, *AGAIN, *data]) == 0
        after, _ = recorded(f"{ONNX}.check.npz")
        assert (after["x"] == before["x"]).all()
        assert (after["y"] == before["y"]).all()


def test_a_file_that_says_other_timesteps_is_no_recording_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = read_nir(Path(GRAPH))
    graph.meta["timesteps"] = 9
    write_nir(Path(GRAPH), graph)
    fails(capsys, ["check", GRAPH, *AGAIN], 2, "timesteps is 9, recorded was 6", "--new-recording")
    assert run_command(["check", GRAPH, "--record", "auto", "--new-recording", "--data", "bars.npz"]) == 0
    assert checked(capsys, GRAPH)[0] == 0


def test_a_model_of_another_input_keeps_its_recording(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_arrays(Path(RECORDED), x=lambda x: x[:, :, :4])
    fails(capsys, ["check", GRAPH, *AGAIN], 2, "shape", "--new-recording")


def test_a_warning_that_fails_writes_no_baseline_either(foreign: str) -> None:
    assert run_command(["check", foreign, "--update-baseline", "--portable"]) == 1
    assert not Path("baseline.json").exists()
    assert run_command(["check", foreign, "--update-baseline"]) == 0
    assert Path("baseline.json").exists()
