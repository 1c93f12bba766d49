"""Each epoch's figures go to whoever listens: a callback, and TensorBoard's event files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands.search import run_search
from snnas.toolchain.runs import find
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.training.tracking import CHARTS, listener, require

RECORD = {"epoch": 1, "loss": 2.0, "train_accuracy": 0.5, "val_accuracy": 0.25, "val_loss": 2.5, "val_sar": 0.125,
          "lr": 0.01, "seconds": 1.5}  # fmt: skip


def test_a_callback_hears_every_epoch_as_the_log_has_it(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    options = SearchOptions(
        runs_dir=tmp_path, name="one", method="lightsnn", channels=2, hidden=8, timesteps=2, batch=8, epochs=2
    )
    run = run_search(options, on_epoch=heard.append)
    assert heard == run.train_log.read()
    assert [record["epoch"] for record in heard] == [1, 2]
    assert CHARTS.keys() <= heard[0].keys()


def test_what_is_not_known_or_not_there_is_said_before_long_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="did you mean 'tensorboard'"):
        require(["tensorbord"])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UnsupportedError, match="--log-to tensorboard needs tensorboard; pip install"):
        require(["tensorboard"])
    assert run_command(["search", "--runs-dir", str(tmp_path), "--log-to", "tensorboard"]) == 4
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()


def test_tensorboard_reads_the_event_files(tmp_path: Path) -> None:
    event_accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    hear = listener(tmp_path, ["tensorboard"], None)
    assert list(tmp_path.iterdir()) == []  # nothing before the first epoch
    hear(RECORD)
    hear({**RECORD, "epoch": 2, "loss": 1.0})
    found = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard/1"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == sorted(CHARTS.values())
    assert [(point.step, point.value) for point in found.Scalars("loss/training")] == [(1, 2.0), (2, 1.0)]
    assert [point.value for point in found.Scalars("spiking activity rate/validation")] == [0.125, 0.125]


def test_no_epoch_stands_twice_in_a_chart(tmp_path: Path) -> None:
    """Two attempts of one search, and then a training that goes on: its earlier epochs come first."""
    event_accumulator: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for trainings in ([2, 3], [4]):
        hear = listener(tmp_path, ["tensorboard"], None)
        for epochs in trainings:
            for epoch in range(1, epochs + 1):
                hear({**RECORD, "epoch": epoch})
    steps = []
    for folder in sorted((tmp_path / "tensorboard").iterdir()):
        found = event_accumulator.EventAccumulator(str(folder))
        found.Reload()
        steps.append([point.step for point in found.Scalars("loss/training")])
    assert steps == [[1, 2], [1, 2, 3], [1, 2, 3, 4]]


def test_the_command_line_writes_them_into_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    small = [
        "--method",
        "lightsnn",
        "--channels",
        "2",
        "--hidden",
        "8",
        "-T",
        "2",
        "--batch",
        "8",
        "--epochs",
        "1",
        "-q",
    ]
    assert run_command(["search", "--runs-dir", str(tmp_path), "--name", "one", *small, "--no-train"]) == 0
    assert run_command(["train", "one", "--runs-dir", str(tmp_path), "--log-to", "tensorboard", "-q"]) == 0
    (file,) = (find(tmp_path, "one").path / "tensorboard/1").iterdir()
    assert file.name.startswith("events.out.tfevents.")
