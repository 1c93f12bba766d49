"""The studies that take a run, on runs of event frames as small as they get: folds and robustness."""

import json
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.app import run_command
from tests.studies import folds as bench_folds
from tests.studies import robustness as bench_robustness
from tests.studies.command import run_study
from tests.studies.folds import dealt, summary


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run 'frames': three classes of spike frames, told apart by where the events are."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.random((60, 3, 1, 8, 8)) < 0.1).astype(np.uint8)
    for sample, label in enumerate(y):
        x[sample, :, :, :, 2 * label : 2 * label + 3] |= rng.random((3, 1, 8, 3)) < 0.7
    np.savez(folder / "frames.npz", x=x, y=y)
    small = ["--channels", "2", "--hidden", "8", "-T", "3", "--batch", "8", "--epochs", "3", "--device", "cpu", "-q"]
    asked = [
        "search",
        "--method",
        "lightsnn",
        "--dataset",
        str(folder / "frames.npz"),
        "--name",
        "frames",
        "--runs-dir",
        str(folder),
        *small,
    ]
    assert run_command(asked) == 0
    return folder


def test_every_sample_is_dealt_to_one_fold_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [33, 10, 7])
    fold = dealt(labels, 5, seed=1)
    assert np.bincount(fold).tolist() == [10] * 5
    for label in range(3):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert (dealt(labels, 5, seed=1) == fold).all()
    assert (dealt(labels, 5, seed=2) != fold).any()
    with pytest.raises(UsageError, match="--folds 60"):
        dealt(labels, 60, seed=1)


def test_a_summary_counts_samples_not_folds() -> None:
    zero = dict.fromkeys(bench_folds.FIGURES, 0.0)
    folds = [{**zero, "samples": 30, "correct": 30, "sar": 0.2}, {**zero, "samples": 10, "correct": 0, "energy": None}]
    found = summary(folds)
    assert found["accuracy"]["value"] == 0.75
    assert found["accuracy"]["low"] < 0.75 < found["accuracy"]["high"]
    assert found["sar"] == 0.1
    assert found["energy"] is None


def test_folds_are_judged_once_each_and_resumed(runs: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    out = runs / "folds.json"
    asked = [
        "frames",
        "--folds",
        "3",
        "--epochs",
        "2",
        "--runs-dir",
        str(runs),
        "--out",
        str(out),
        "-q",
    ]
    tested: list = []
    real = bench_folds._measure

    def measure(run, data, options):
        tested.append(data.x_test)
        assert not set(map(bytes, data.x_test)) & set(map(bytes, [*data.x_train, *data.x_val]))
        return real(run, data, options)

    monkeypatch.setattr(bench_folds, "_measure", measure)
    assert run_study(bench_folds.command, [*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 60 == len(set(map(bytes, np.concatenate(tested))))
    assert found == json.loads(out.read_text())
    log = out.with_suffix(".jsonl")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    tested.clear()
    assert run_study(bench_folds.command, asked) == 0
    assert len(tested) == 1
    assert json.loads(out.read_text()) == found
    assert "60 samples" in capsys.readouterr().out
    assert run_study(bench_folds.command, [*asked[:2], "1", *asked[3:]]) == 2


def test_robustness_of_frames(runs: Path, capsys) -> None:
    asked = ["frames", "--samples", "12", "--draws", "1", "--runs-dir", str(runs), "-q"]
    assert run_study(bench_robustness.command, [*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["curves"]) == {"dropped", "jittered", "weights"}
    for curve in found["curves"].values():
        assert curve[0] == {"strength": 0.0, "training": found["training"], "on_target": found["on_target"]}
        assert all(0 <= point[key] <= 1 for point in curve for key in ("training", "on_target"))
    assert run_study(bench_robustness.command, asked) == 0
    assert "jittered" in capsys.readouterr().out


def test_disturbances_do_what_they_say() -> None:
    rng, x = np.random.default_rng, np.zeros((2, 6, 1, 4, 4), dtype=np.float32)
    x[0, 2, 0, 1, 1] = x[1, 5, 0, 3, 3] = 1
    moved = bench_robustness.disturb(x, "jittered", 3.0, rng(1), (0.0, 1.0))
    assert moved.sum() == 2
    assert moved.sum(axis=1).tolist() == x.sum(axis=1).tolist()
    assert (moved != x).any()
    assert (bench_robustness.disturb(x, "dropped", 1.0, rng(1), (0.0, 1.0)) == 0).all()
    counts = np.full((4, 2, 1, 5, 5), 10.0, dtype=np.float32)
    kept = bench_robustness.disturb(counts, "dropped", 0.4, rng(1), (0.0, 10.0))
    assert 5.5 < kept.mean() < 6.5
    grey = np.full((3, 1, 40, 40), 0.5, dtype=np.float32)
    noisy = bench_robustness.disturb(grey, "noise", 0.1, rng(1), (0.0, 1.0))
    assert 0.095 < noisy.std() < 0.105
    assert bench_robustness.disturb(grey, "noise", 5.0, rng(1), (0.0, 1.0)).max() == 1
