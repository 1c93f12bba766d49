"""Errors name what is to blame, and the mend that is right where it is read."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.hw_sim.errors import did_you_mean
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.runs import extras
from tests.export.nir_nets import conv, lif, written

X = np.random.default_rng(2)


def weights(*shape: int) -> np.ndarray:
    return X.normal(0, 0.3, shape).astype(np.float32)


def chain(folder: Path, nodes: dict[str, Any], *, start: tuple[int, ...] = (1, 8, 8)) -> str:
    every = {
        "input": nir.Input(input_type={"input": np.array(start)}),
        **nodes,
        "output": nir.Output(output_type={"output": np.array([10])}),
    }
    return str(written(folder, nir.NIRGraph(nodes=every, edges=list(itertools.pairwise(every)), type_check=False)))


def convolutional(folder: Path, first: Any, *, nested: bool = False) -> str:
    flat = nir.Flatten({"input": np.array([4, 8, 8])}, start_dim=0, end_dim=-1)
    return chain(
        folder,
        {
            "conv": conv(weights(8, 1, 3, 3), padding=1),
            "enc.lif" if nested else "first": first,
            "conv2": conv(weights(4, 8, 3, 3), padding=1),
            "second": lif(4, 8, 8),
            "flat": flat,
            "fc": nir.Linear(weights(10, 256)),
            "last": lif(10),
        },
    )


READ = ("-T", "4", "--input-kind", "analogue")


def says(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    capsys.readouterr()
    assert run_command([*arguments]) == code
    return capsys.readouterr().err.splitlines()[-1]


def test_parameters_per_channel_are_blamed_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = says(capsys, 3, "simulate", convolutional(tmp_path, lif(8)), "--data", "digits", *READ)
    assert "edge conv -> first carries (8, 8, 8), expected (8,)" in error
    assert "one parameter per channel: write them out, numpy.broadcast_to(p[:, None, None], (8, 8, 8))" in error
    assert "conv2" not in error


def test_a_batch_axis_in_neurons_is_no_fault_of_input_and_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = chain(
        tmp_path,
        {"fc": nir.Linear(weights(8, 64)), "first": lif(1, 8), "fc2": nir.Linear(weights(10, 8)), "last": lif(1, 10)},
        start=(64,),
    )
    assert run_command(["simulate", model, "--data", "digits", *READ, "--limit", "4", "-q"]) == 0
    assert "Input" not in capsys.readouterr().err


def test_counts_say_who_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = convolutional(tmp_path, lif(8, 8, 8))
    np.savez(tmp_path / "d.npz", x=X.poisson(1, (10, 4, 1, 8, 8)).astype(np.uint8))
    error = says(capsys, 4, "simulate", model, "--data", str(tmp_path / "d.npz"), "--input-kind", "counts")
    assert "an input count of " in error
    assert "--input-kind analogue, which takes counts as currents" in error


@pytest.mark.parametrize("command", ["simulate", "whose"])
def test_a_recording_is_the_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    model = convolutional(tmp_path, lif(8, 8, 8))
    more = ("--data", "digits", *READ) if command == "simulate" else ()
    error = says(capsys, 2, command, model, "--expect", "absent.npz", *more)
    assert "absent.npz: no such file; name an .npz of your tool's own run: numpy.savez(" in error
    (tmp_path / "broken.npz").write_bytes(b"PK")
    error = says(capsys, 3, command, model, "--expect", str(tmp_path / "broken.npz"), *more)
    assert "write it again with numpy.savez" in error


def test_estimate_without_samples_names_the_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = convolutional(tmp_path, lif(8, 8, 8))
    error = says(capsys, 2, "estimate", model)
    for word in ("--data FILE.npz", "--data digits", "--timesteps", "--input-kind", "--rate 0.05"):
        assert word in error
    assert "--rate" not in says(capsys, 2, "simulate", model)


@pytest.mark.parametrize("subject", [["net.nir", "--data", "digits"], []], ids=["graph", "run"])
def test_a_chip_is_no_target(subject: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = says(capsys, 2, "export", *subject, "--target", "loihi2", "--runs-dir", str(tmp_path))
    assert "--system of snnas estimate" in error
    assert "of Loihi 2 its limits are public, its energy per operation is not" in error
    assert "snnas estimate FOLDER --system loihi2" in error
    assert "did you mean 'onnx'" in says(capsys, 2, "export", *subject, "--target", "onxx", "--runs-dir", str(tmp_path))


def test_names_that_differ_by_one_word_are_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'encoder.lif'" in did_you_mean("lif", ["encoder.lif", "encoder.fc"])
    assert "'decoder.0.lif'" in did_you_mean("x.0.lif", ["decoder.0.lif", "decoder.1.fc"])
    assert did_you_mean("lif", ["encoder.lif", "decoder.lif"]) == ""  # which of them, nobody knows
    assert did_you_mean("zzz", ["encoder.lif"]) == ""
    model = convolutional(tmp_path, lif(8, 8, 8), nested=True)
    arrays = {"x": np.ones((2, 1, 8, 8), np.float32), "spikes.lif": np.zeros((2, 4, 8, 8, 8), np.uint8)}
    np.savez(tmp_path / "r.npz", **arrays)
    assert "did you mean 'enc.lif'?" in says(capsys, 3, "whose", model, "--expect", str(tmp_path / "r.npz"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["help"], "Exit codes"),
        (["-h"], "Exit codes"),
        (["help", "estimate"], "--profile"),
        (["estimate", "-h"], "--profile"),
        (["help", "runs", "show"], "runs show"),
        (["version"], "snnas 0."),
    ],
)
def test_the_usual_words_answer(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(arguments) == 0
    assert word in capsys.readouterr().out


def test_a_typo_in_the_data_set_is_said_before_missing_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "torch", None)
    error = says(capsys, 2, "search", "--dataset", "digts", "--runs-dir", str(tmp_path))
    assert "did you mean 'digits'?" in error


def test_the_mend_for_an_extra_fits_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.metadata, "requires", lambda name: ["numpy>=2", "onnx>=1.17; extra == 'onnx'"])
    assert extras.install("onnx") == "pip install -e '.[onnx]' in the checkout of snnas"
    monkeypatch.setattr(extras, "_checkout", lambda: False)  # a wheel, as in CI
    assert extras.install("onnx") == f"{sys.executable} -m pip install 'onnx>=1.17'"
    monkeypatch.setattr(sys, "prefix", "/home/me/.local/share/pipx/venvs/snnas")
    assert extras.install("onnx") == "pipx inject snnas 'onnx>=1.17'"
