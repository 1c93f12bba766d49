"""Two processes train as one does, at the same global batch."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.training import TrainingConfig, build, train
from snnas.toolchain.training.of_run import train_run
from snnas.toolchain.training.transfer import train_genotype
from tests.toolchain.training.test_training_resume import few

CELLS = {
    "chain": Genotype("lightsnn", (Cell.of({(0, 1): "conv3x3", (1, 3): "skip"}),) * 2),
    "loop": Genotype("lightsnn", (Cell.of({(0, 3): "conv3x3", (3, 0): "conv3x3"}),) * 2),
}
CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=4, hidden=16, timesteps=3)
RECIPE = TrainingConfig(epochs=2, batch=17, augment=("shift:1",), target_sar=0.05, learning_rate=1e-3)
ROOT = Path(__file__).parents[3]
SCRIPT = """
    import json, sys, torch
    from pathlib import Path
    from tests.toolchain.training.test_training_parallel import curve, curve_of_two_halves
    torch.set_num_threads(1)
    kind, folder = sys.argv[1:]
    print(json.dumps([curve(kind), curve_of_two_halves(kind, Path(folder))]))
"""


def curve(kind: str, **more) -> list[dict]:
    log: list = []
    train(build(CELLS[kind], CONFIG, seed=0), few(), RECIPE, seed=0, log=log.append, **more)
    return log


class Ended(Exception):
    """The signal that a training was ended by."""


def curve_of_two_halves(kind: str, folder: Path) -> list[dict]:
    """The same, ended in the second epoch by a signal that process 0 alone gets, and gone on with."""

    def end(*_: object) -> None:
        raise Ended

    def on_step(done: int, total: int) -> None:
        if done == total - 2 and os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    with contextlib.suppress(Ended):
        curve(kind, checkpoint=folder, on_step=on_step)
    assert (folder / "state.safetensors").exists()
    return curve(kind, checkpoint=folder)


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


@pytest.mark.parametrize("kind", CELLS)
def test_two_processes_give_the_loss_curve_of_one(kind: str, tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2"}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), kind, str(tmp_path)],
            cwd=ROOT,
            env={**env, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outs = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs[0][1][-2000:] + outs[1][1][-2000:]
    (first, halves), (second, _) = (json.loads(out.splitlines()[-1]) for out, _ in outs)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = curve(kind)
    torch.set_num_threads(before)
    for key in ("loss", "val_loss", "val_sar", "train_accuracy"):
        assert [r[key] for r in first] == [r[key] for r in second] == [r[key] for r in halves]
        assert [r[key] for r in first] == pytest.approx([r[key] for r in alone], rel=2e-3), key


@pytest.mark.slow
def test_the_documents_command_trains_a_run(tmp_path: Path) -> None:
    """As typed, but for the port: many may be tested on one machine."""
    (tmp_path / "cell.json").write_text(CELLS["chain"].to_json())
    asked = {"folder": tmp_path, "command": "", "device": "cpu", "channels": 4, "hidden": 8, "timesteps": 2}
    asked |= {"recipe": TrainingConfig(epochs=2), "data_options": {"train_limit": 96}}
    one, two = (train_genotype(tmp_path / "cell.json", "digits", name=name, **asked) for name in ("one", "two"))
    train_run(one, Narrator(quiet=True))
    (typed,) = (line.split() for line in (ROOT / "docs/training.md").read_text().splitlines() if "torchrun -" in line)
    assert typed[0] == "torchrun"
    command = [sys.executable, "-m", "torch.distributed.run", *typed[1:-1], str(two.path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    env["PET_MASTER_PORT"] = free_port()
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert two.weights.exists()
    curves = [[record["loss"] for record in run.train_log.read()] for run in (one, two)]
    assert len(curves[1]) == 2  # process 0 alone writes
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)
