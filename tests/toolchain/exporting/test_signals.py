"""Signals end to end: searched, trained, exported, and simulated on raw recordings."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.program_file import read_program
from snnas.hw_sim.c import compilers
from snnas.hw_sim.signals import SignalInput
from snnas.hw_sim.simulate.simulator import simulate
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.load import load
from snnas.toolchain.exporting import lava, pipeline
from snnas.toolchain.runs.run import Run
from tests import official_files
from tests.official_files import expect

SMALL = ["--channels", "4", "--hidden", "8", "--epochs", "3", "--batch", "16", "--quiet", "--json"]


@pytest.fixture(autouse=True)
def _without_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lava, pipeline):
        monkeypatch.setattr(module, "lava_python", lambda options: (None, "not asked for here"))


def waves(path: Path) -> Path:
    """Slow and fast waves of two channels, whose units are 700 apart."""
    rng, y = np.random.default_rng(0), np.arange(60) % 2
    time = np.arange(24)[:, None] + rng.uniform(0, 20, (60, 1, 1))
    x = np.sin(time * np.where(y, 1.2, 0.4)[:, None, None]) * (700, 1) + rng.normal(0, 0.05, (60, 24, 2))
    np.savez(path, x=x.astype(np.float32), y=y)
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    assert run_command([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "declared", ["axis=time", "axis=time,encoder=delta", "window=8,hop=4,encoder=level,levels=3", "axis=length"]
)
def test_a_program_takes_raw_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str], declared: str) -> None:
    path, runs = waves(tmp_path / "waves.npz"), ["--runs-dir", tmp_path]
    printed(
        capsys, "search", "--method", "lightsnn", "--dataset", path, "--data", declared, "--name", "tiny", *runs, *SMALL
    )
    report = printed(capsys, "export", "tiny", *runs, "--quiet", "--json")
    folder = tmp_path / "tiny/export/lava"
    program = read_program(folder / "program.npz")
    # The test split, raw: the same spikes as those that the export counted.
    options: dict[str, Any] = dict(part.split("=") for part in declared.split(","))
    data = load(path, seed=0, **{k: int(v) if v.isdecimal() else v for k, v in options.items()})
    with np.load(path) as held:
        raw = held["x"]
    signal = SignalInput.of(program.meta["signal"], "program.npz")
    assert signal == data.signal
    frames = signal.apply(raw).clip(*data.range)
    places = [int(np.flatnonzero((frames == wanted).reshape(60, -1).all(1))[0]) for wanted in data.x_test]
    np.savez(tmp_path / "new.npz", x=raw[places], y=data.y_test)
    found = printed(capsys, "simulate", folder, "--data", tmp_path / "new.npz", "--json", "--quiet")
    assert found["accuracy"]["on_target"] == report["accuracy"]["on_target"]
    assert found["spikes_per_inference"]["mean"] == pytest.approx(report["spikes_per_inference"]["on_target"])
    assert found["sar"]["mean"] > 0
    counted = json.loads((folder.parents[1] / "export/lava/counts.json").read_text())
    assert counted["host_comparisons"] == signal.comparisons(2) * counted["samples"]


MAIN = """#include <stdio.h>
#include "encoder.h"
#include "model.h"
int main(void)
{
    static snnas_encoder encoder;
    static snnas_state state;
    static uint8_t frame[SNNAS_FRAME];
    float sample[SNNAS_CHANNELS];
    int64_t logits[SNNAS_CLASSES];
    for (;;) {
        snnas_init(&state);
        snnas_encoder_init(&encoder);
        for (uint32_t n = 0, t = 0; t < SNNAS_TIMESTEPS;) {
            uint32_t ready;
            if (n++ < SNNAS_SIGNAL) {
                if (fread(sample, sizeof sample, 1, stdin) != 1) return 0;
                ready = snnas_encoder_push(&encoder, sample);
            } else {
                ready = snnas_encoder_hold(&encoder);
            }
            if (ready)
                for (uint32_t s = 0; s < SNNAS_FRAME_STEPS; s++, t++) {
                    snnas_encoder_frame(&encoder, s, frame);
                    snnas_step(&state, frame);
                }
        }
        snnas_logits(&state, logits);
        fwrite(logits, sizeof logits, 1, stdout);
    }
}
"""


@pytest.mark.parametrize("declared", ["axis=time,encoder=delta", "window=8,hop=5,encoder=latency,steps=3"])
def test_c_takes_raw_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str], declared: str) -> None:
    """As the README of the folder says: sample by sample through encoder.c and model.c."""
    compiler, why = compilers.native()
    if compiler is None:
        pytest.skip(why)
    path, runs = waves(tmp_path / "waves.npz"), ["--runs-dir", tmp_path]
    known = ["search", "--method", "lightsnn", "--dataset", path, "--data", declared, "--name", "tiny"]
    printed(capsys, *known, *runs, *SMALL)
    report = printed(capsys, "export", "tiny", "--target", "c", "--samples", "4", *runs, "--quiet", "--json")
    assert report["c"]["encoder"]["differing_spikes"] == 0
    assert report["c"]["encoder"]["places"][0] == "native"
    folder = tmp_path / "tiny/export/c"
    assert run_command(["check", str(folder), "--quiet"]) == 0
    (tmp_path / "main.c").write_text(MAIN)
    sources = [str(folder / "encoder.c"), str(folder / "model.c"), str(tmp_path / "main.c")]
    built = [*compiler.command, *compilers.WARNINGS, "-O2", "-I", str(folder), *sources, "-o", str(tmp_path / "run")]
    subprocess.run(built, check=True)
    program = read_program(folder / "program.npz")
    signal = SignalInput.of(program.meta["signal"], "program.npz")
    with np.load(path) as held:
        raw = held["x"]
    said = subprocess.run([tmp_path / "run"], input=raw.tobytes(), capture_output=True, check=True).stdout
    wanted = simulate(program, spikes_in=signal.apply(raw) > 0).logits
    assert np.array_equal(np.frombuffer(said, np.int64).reshape(-1, 2), wanted)
    assert len(np.unique(wanted)) > 20
    manifest = json.loads((folder / "manifest.json").read_text())
    again = ["export", "tiny", "--target", "c", "--samples", "4", *map(str, runs), "--quiet"]
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "files": {k: v for k, v in manifest["files"].items() if not k.startswith("encoder")}})
    )
    (folder / "encoder.c").unlink()  # as a version made it that had none
    assert run_command(again) == 0
    assert (folder / "encoder.c").is_file(), "made again, not said to be up to date"
    (folder / "encoder.c").write_text("")
    assert run_command(["check", str(folder)]) == 3
    assert "encoder.c" in capsys.readouterr().out


def test_a_channel_of_another_unit_keeps_its_values_in_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Units 700 apart; what stays coarse beside an outlier of its own is warned of."""
    path, runs = waves(tmp_path / "waves.npz"), ["--runs-dir", str(tmp_path)]
    known = ["search", "--method", "lightsnn", "--data", "axis=time", *runs, *SMALL]
    printed(capsys, *known, "--dataset", path, "--name", "tiny")
    words = ["export", "tiny", *runs, "--samples", "4", "--host", "int"]
    assert run_command(words) == 0
    assert "integers leave" not in capsys.readouterr().err
    folder = tmp_path / "tiny/export/lava"
    report = json.loads((folder / "report.json").read_text())["host"]
    assert report["finer"] == [0, 8]
    assert report["differing_spikes"] / report["spikes"] < 0.02
    program = read_program(folder / "program.npz")
    assert program.host_integers is not None
    assert program.host_integers.finer == (0, 8)
    assert run_command(["check", str(folder)]) == 0
    x, y = (np.load(path)[name] for name in "xy")
    x[0, 0, 1] = 1e5
    np.savez(tmp_path / "far.npz", x=x, y=y)
    printed(capsys, *known, "--dataset", tmp_path / "far.npz", "--name", "far")
    assert run_command(["export", "far", *words[2:]]) == 0
    assert "warning: integers leave 1 channel of the input few of 256 values: 1 (" in capsys.readouterr().err


def test_recordings_of_other_channels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, runs = waves(tmp_path / "waves.npz"), ["--runs-dir", str(tmp_path)]
    printed(
        capsys,
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        path,
        "--data",
        "axis=time",
        "--name",
        "tiny",
        *runs,
        *SMALL,
    )
    printed(capsys, "export", "tiny", *runs, "--quiet", "--json")
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 24, 3), np.float32), y=[0, 1])
    assert run_command(["simulate", str(tmp_path / "tiny/export/lava"), "--data", str(tmp_path / "new.npz")]) == 3
    assert "24 samples of 3 channels" in capsys.readouterr().err


def test_shd_is_searched_trained_and_exported_by_the_same_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of its form, from one command to the program: cells of one dimension over 70 units."""
    expect(monkeypatch, "shd", train=60, test=40)
    official_files.shd(tmp_path / "shd_train.h5", 60)
    official_files.shd(tmp_path / "shd_test.h5", 40)
    small = ["--channels", "2", "--hidden", "8", "--epochs", "3", "--batch", "8", "--name", "words", "--quiet"]
    about = ["--data", f"data_dir={tmp_path}", "--data", "frames=4,downsample=10", "--runs-dir", str(tmp_path)]
    assert run_command(["search", "--method", "lightsnn", "--dataset", "shd", *about, *small]) == 0
    run = Run(tmp_path / "words")
    assert (run.section("method")["space"], run.section("network")["input_shape"]) == ("lightsnn_1d", [1, 1, 70])
    report = printed(capsys, "export", "words", "--runs-dir", tmp_path, "--quiet", "--json")
    assert report["accuracy"]["samples"] == 40
    assert read_program(tmp_path / "words/export/lava/program.npz").input_shape == (1, 1, 70)


def test_motifs_are_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = waves(tmp_path / "waves.npz")
    words = [
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        str(path),
        "--data",
        "axis=time",
        "--method",
        "mse_nas",
        "--runs-dir",
        str(tmp_path),
    ]
    assert run_command(words) == 2
    assert "these samples are signals (2, 1, 1); take another method" in capsys.readouterr().err


def test_real_motions_of_a_smart_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BasicMotions as aeon's wheel holds it."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        pytest.skip("needs aeon: pip install aeon")
    path = Path(found.origin).parent / "datasets/data/BasicMotions"
    runs = ["--runs-dir", tmp_path]
    small = [
        "--channels",
        "8",
        "--hidden",
        "32",
        "--epochs",
        "20",
        "--head",
        "bn_lif",
        "--batch",
        "16",
        "--quiet",
        "--json",
    ]
    printed(
        capsys,
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        path,
        "--data",
        "axis=time",
        "--name",
        "watch",
        *runs,
        *small,
    )
    report = printed(capsys, "export", "watch", *runs, "--quiet", "--json")
    assert report["accuracy"]["samples"] == 40
    assert report["accuracy"]["on_target"] >= 0.6  # of four classes
