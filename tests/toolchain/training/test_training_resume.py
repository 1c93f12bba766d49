"""A training that was killed ends as one that was not; its checkpoint is refused when damaged."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.training import TrainingConfig, build, train
from snnas.toolchain.training.of_run import say_epoch
from snnas.toolchain.training.stages import epochs_behind
from tests.interrupts import heeded

CHAIN = Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "skip"}),) * 2)
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=16, timesteps=3, dropout=0.2)
RECIPE = TrainingConfig(epochs=3, batch=16, augment=("shift:1", "cutout:2"), warmup=1, target_sar=0.05)
ROOT = Path(__file__).parents[3]

# The same training in a process of its own, that stops at a step and waits to be killed.
SCRIPT = """
    import sys, time
    from pathlib import Path
    import torch
    from tests.toolchain.training.test_training_resume import few, weights_hash
    torch.set_num_threads(1)
    def step(done, total):
        if done == int(sys.argv[2]):
            print("here", flush=True)
            time.sleep(600)
    print(weights_hash(few(), Path(sys.argv[1]), on_step=step))
"""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def few() -> Dataset:
    data = load("digits", seed=0)
    x, y = (data.x_train[:81], data.x_val[:40]), (data.y_train[:81], data.y_val[:40])
    return replace(data, x_train=x[0], y_train=y[0], x_val=x[1], y_val=y[1])


def weights_hash(data: Dataset, folder: Path | None, recipe: TrainingConfig = RECIPE, **options) -> str:
    network = build(CHAIN, CONFIG, seed=0)
    train(network, data, recipe, seed=0, checkpoint=folder, **options)
    state = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        state.update(name.encode() + tensor.numpy().tobytes())
    return state.hexdigest()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_killed_in_an_epoch_it_ends_with_the_same_weights(tmp_path: Path, number: signal.Signals) -> None:
    undisturbed = weights_hash(few(), None)
    # Epochs have 6 steps: this is the fourth of the second one.
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "c"), "10"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeded,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n", process.communicate()[1]
    # The first is noted until the step is done, and the step sleeps; two that come at once are one.
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.2)
    process.communicate()
    assert process.returncode != 0
    log: list = []
    assert weights_hash(few(), tmp_path / "c", log=log.append) == undisturbed
    assert [record["epoch"] for record in log] == [1, 2, 3]


def test_asked_to_stop_it_saves_the_step_that_it_did(tmp_path: Path) -> None:
    undisturbed = weights_hash(few(), None)

    def stop(done: int, total: int) -> None:
        assert total == 18
        if done == 9:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        weights_hash(few(), tmp_path, on_step=stop)
    steps: list = []
    assert weights_hash(few(), tmp_path, on_step=lambda done, total: steps.append(done)) == undisturbed
    # The one at which the signal came, and the next, in which it was seen, are not done again.
    assert steps == list(range(11, 19))


def test_an_epoch_that_was_killed_took_what_it_took_before_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("snnas.toolchain.training.loop.time", SimpleNamespace(perf_counter=clock))

    def stop(done: int, total: int) -> None:
        if done == 10:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        weights_hash(few(), tmp_path, on_step=stop)
    log: list = []
    epochs: list = []
    weights_hash(few(), tmp_path, log=log.append, on_epoch=lambda done, total: epochs.append(done))
    first, killed, last = (record["seconds"] for record in log)
    assert killed >= max(first, last) >= 6  # a look at the clock at each step; those behind the kill are one
    assert epochs == [2, 3]  # as they end; the log tells of the first one too


def test_what_is_left_is_as_long_as_its_timesteps(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = TrainingConfig(epochs=4, stages=((1, 1), (3, 1)))
    assert [epochs_behind(recipe, epoch) for epoch in range(5)] == [2 * 1 / 3 + 2, 1 + 2 * 3, 2 * 3, 1, 0]
    assert [epochs_behind(replace(recipe, stages=()), epoch) for epoch in (0, 1, 4)] == [4, 3, 0]
    for epoch in (2, 4):
        entry = {"epoch": epoch, "loss": 0.5, "val_accuracy": 0.9, "seconds": 60.0}
        say_epoch(Narrator(), entry, recipe)
    assert capsys.readouterr().err.splitlines() == [
        "  epoch 2 of 4: loss 0.500, validation accuracy 90.00%, 60 s; about 6 min left",
        "  epoch 4 of 4: loss 0.500, validation accuracy 90.00%, 60 s",
    ]


def test_another_recipe_begins_anew(tmp_path: Path) -> None:
    weights_hash(few(), tmp_path)
    steps: list = []
    weights_hash(few(), tmp_path, replace(RECIPE, learning_rate=1e-3), on_step=lambda done, total: steps.append(done))
    assert steps == list(range(1, 19))


def test_damaged_checkpoints_are_refused_in_one_line(tmp_path: Path) -> None:
    weights_hash(few(), tmp_path, replace(RECIPE, epochs=2))
    path = tmp_path / "state.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    lost = json.dumps({**header, "lost": header.pop("network/stem_conv.weight")}).encode()
    for damaged in (
        b"",
        content[:50],
        content[:-7],
        b"\x00" * 99,
        len(lost).to_bytes(8, "little") + lost + content[8 + size :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InvalidFileError, match=r"is damaged .* remove .* to train from the beginning") as caught:
            weights_hash(few(), tmp_path, replace(RECIPE, epochs=2))
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_an_earlier_format_is_named_as_such(tmp_path: Path) -> None:
    weights_hash(few(), tmp_path, replace(RECIPE, epochs=2))
    path = tmp_path / "state.safetensors"
    content = path.read_bytes()
    assert content.count(b"snnas.checkpoint/2") == 1
    path.write_bytes(content.replace(b"snnas.checkpoint/2", b"snnas.checkpoint/1"))
    with pytest.raises(InvalidFileError, match=r"format 'snnas.checkpoint/1', expected 'snnas.checkpoint/2'; remove "):
        weights_hash(few(), tmp_path, replace(RECIPE, epochs=2))
    path.write_bytes(content)
    weights_hash(few(), tmp_path, replace(RECIPE, epochs=2))


def test_divergence_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    data = few()
    network = build(CHAIN, CONFIG, seed=0)

    def poison(done: int, total: int) -> None:
        if done == 8:
            with torch.no_grad():
                network.get_submodule("head_fc2").weight.fill_(float("nan"))

    with pytest.raises(GateError, match=r"loss is nan at step 3 of epoch 2 \(learning rate 0\.0\d+\).*lower"):
        train(network, data, RECIPE, seed=0, checkpoint=tmp_path, on_step=poison)
    assert weights_hash(data, tmp_path) == weights_hash(data, None)
