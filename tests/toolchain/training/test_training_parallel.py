"""Two processes train as one does, at the same global batch."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.training import TrainingConfig, build, train
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
    from tests.toolchain.training.test_training_parallel import curve
    torch.set_num_threads(1)
    print(json.dumps(curve(sys.argv[1])))
"""


def curve(kind: str) -> list[dict]:
    log: list = []
    train(build(CELLS[kind], CONFIG, seed=0), few(), RECIPE, seed=0, log=log.append)
    return log


@pytest.mark.parametrize("kind", CELLS)
def test_two_processes_give_the_loss_curve_of_one(kind: str) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2"}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), kind],
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
    both = [json.loads(out.splitlines()[-1]) for out, _ in outs]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = curve(kind)
    torch.set_num_threads(before)
    for key in ("loss", "val_loss", "val_sar", "train_accuracy"):
        assert [r[key] for r in both[0]] == [r[key] for r in both[1]]
        assert [r[key] for r in both[0]] == pytest.approx([r[key] for r in alone], rel=2e-3), key
