"""What changes a training signal, and that every epoch's samples are others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import UsageError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.augmentation import Augmentation
from snnas.toolchain.data.load import load
from snnas.toolchain.data.redraw import first_of, redraw_of
from snnas.toolchain.data.signal_changes import changed
from snnas.toolchain.training import TrainingConfig, build, train
from snnas.toolchain.training.outlook import seconds_ahead


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def ramps() -> np.ndarray:
    """Two channels that say where one is."""
    return np.repeat(np.arange(50, dtype=np.float32)[None, :, None], 2, axis=2).repeat(6, axis=0)


def test_a_delay_moves_and_holds_the_ends() -> None:
    out = changed(ramps(), [("delay", 20)], rng(), spikes=False)
    shift = out[:, 25, 0] - 25
    assert np.abs(shift).max() <= 10
    assert np.abs(shift).max() > 1
    for row, by in zip(out[:, :, 0], shift, strict=True):
        np.testing.assert_allclose(row, np.clip(np.arange(50) + by, 0, 49), atol=1e-4)


def test_a_stretch_is_about_a_place_and_by_up_to_its_share() -> None:
    out = changed(ramps(), [("stretch", 10)], rng(), spikes=False)[:, :, 0]
    slopes = np.diff(out, axis=1)[:, 20:30].mean(1)
    assert ((slopes > 0.9 - 1e-3) & (slopes < 1.1 + 1e-3)).all()
    assert slopes.std() > 0.01


def test_a_scale_is_one_for_all_channels_and_noise_for_none() -> None:
    x = np.ones((400, 30, 2), np.float32)
    scaled = changed(x, [("scale", 20)], rng(), spikes=False)
    assert np.array_equal(scaled[..., 0], scaled[..., 1])
    assert 0.15 < np.abs(scaled.mean(1) - 1).max() <= 0.2
    wave = np.random.default_rng(0).normal(0, (3, 0.5), (400, 30, 2)).astype(np.float32)
    grain = changed(wave, [("noise", 10)], rng(), spikes=False) - wave
    np.testing.assert_allclose(grain.std((0, 1)), (0.3, 0.05), rtol=0.05)


def test_spikes_stay_spikes() -> None:
    x = (np.random.default_rng(0).random((8, 40, 3)) < 0.2).astype(np.float32)
    out = changed(x, [("stretch", 20), ("delay", 10), ("scale", 50), ("noise", 50)], rng(), spikes=True)
    assert set(np.unique(out)) == {0, 1}
    assert not np.array_equal(out, x)


@pytest.mark.parametrize("spec", ["scale:101", "delay:0", "wobble:3"])
def test_what_is_no_change(spec: str) -> None:
    with pytest.raises(UsageError, match=f"augmentation '{spec}', expected one of shift:N, .*noise:P"):
        Augmentation([spec])


def test_signals_are_changed_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["search", "--dataset", "digits", "--recipe", "signals", "--runs-dir", str(tmp_path)]
    assert run_command(asked) == 2
    assert "augment = scale:10 in the recipe is of signals, and digits holds none" in capsys.readouterr().err


def test_an_epochs_samples_are_drawn_by_seed_and_number(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    x = np.random.default_rng(0).normal(size=(40, 12, 2)) * (1 + y[:, None, None])
    np.savez(tmp_path / "a.npz", x=x.astype(np.float32), y=y)
    data = load(tmp_path / "a.npz", seed=0, axis="time", encoder="level", levels=4)
    redraw = redraw_of(data, Augmentation(["noise:20"]), 5)
    assert redraw is not None
    first = redraw(1)
    assert (first.shape, set(np.unique(first))) == (data.x_train.shape, {0.0, 1.0})
    assert np.array_equal(redraw(1), first)
    assert not np.array_equal(redraw(2), first)
    assert redraw_of(data, Augmentation([]), 5) is None
    # The loop trains on them: what is left is judged on the samples as they are.
    config = NetworkConfig(
        input_shape=data.input_shape, classes=2, input_kind="spikes", channels=2, hidden=4, timesteps=12, cells=1
    )
    found = []
    for augment in ((), ("noise:20",)):
        network = build(Genotype("lightsnn_1d", (Cell.of({(0, 3): "conv3x3"}),)), config, seed=0)
        train(network, data, TrainingConfig(epochs=2, batch=8, augment=augment), seed=0)
        found.append(network.get_submodule("stem_conv").weight.detach().numpy().copy())
    assert not np.array_equal(*found)
    # What it will take is tried on a few of them; three batches of eight are fewer than there are.
    assert len(data.x_train) > 24
    assert (
        seconds_ahead(network, data, TrainingConfig(epochs=2, batch=8, augment=("noise:20",)), seed=0, device="cpu") > 0
    )


def test_the_first_samples_are_made_anew_as_they_would_be_among_all(tmp_path: Path) -> None:
    y = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(20, 6, 1)).astype(np.float32), y=y)
    data = load(tmp_path / "a.npz", seed=0, axis="time")
    few = first_of(data, 3)
    assert few.raw_train is not None
    assert data.raw_train is not None
    assert np.array_equal(few.raw_train, data.raw_train[:3])
    assert len(few.x_train) == len(few.y_train) == 3
    drawn = replace(data, raw_train=None, redraw=lambda seed, epoch, first=None: data.x_train[:first] * (seed + epoch))
    again = first_of(drawn, 3).redraw
    assert again is not None
    assert np.array_equal(again(1, 2), data.x_train[:3] * 3)
