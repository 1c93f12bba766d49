"""Effective_ACs and Dense against NeuroBench 2.3's own, layer by layer, to the digit.

``SNNAS_NEUROBENCH_PYTHON`` names an interpreter that has it (``pip install neurobench``). Its Effective_ACs leaves
weights of exactly zero out, ours counts them (they are stored and fetched): the nets here have none.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate
from tests.oracles.test_spikingjelly import net

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("seed", range(3))
def test_effective_and_dense_operations(seed: int, tmp_path: Path) -> None:
    python = os.environ.get("SNNAS_NEUROBENCH_PYTHON")
    if not python:
        pytest.skip("NeuroBench: set SNNAS_NEUROBENCH_PYTHON to a Python that has it (pip install neurobench)")
    rng = np.random.default_rng(seed)
    made = net(rng)
    spikes_in = rng.random((2, made.timesteps, *made.input_shape)) < 0.3
    trace = simulate(made, spikes_in=spikes_in)
    sources = {INPUT: spikes_in} | trace.spikes
    arrays: dict[str, np.ndarray] = {}
    for k, s in enumerate(made.synapses):
        x = sources[s.src].reshape(-1, *sources[s.src].shape[2:]).astype(np.uint8)
        arrays[f"x{k}"] = x if s.map.kind == "conv" else x.reshape(len(x), -1)
        arrays[f"w{k}"] = s.map.weight.astype(np.float32)
        arrays[f"g{k}"] = np.array([*s.map.stride, *s.map.pad, s.map.groups])
    np.savez(tmp_path / "layers.npz", **arrays)
    worker = Path(__file__).with_name("neurobench_worker.py")
    done = subprocess.run(
        [python, str(worker), str(tmp_path / "layers.npz")], capture_output=True, text=True, timeout=600, check=True
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    counter = Counter(made, map_program(made, load_system()))
    counter.add(trace, spikes_in=spikes_in)
    counts = {s.id: s for s in counter.result().synapses}
    frames = 2 * made.timesteps
    for s, found in zip(made.synapses, theirs, strict=True):
        assert counts[s.id].synops == pytest.approx(found["Effective_ACs"], abs=1e-3)
        assert counts[s.id].connections * frames == pytest.approx(found["Dense"], abs=1e-3)
        assert found["Effective_MACs"] == 0
        assert counts[s.id].synops > 0
