"""Networks that other tools trained keep their accuracy, in float and on target, or are refused by name.

Digits, static images for eight timesteps; 360 test samples. The table in docs/nir.md holds what ``-s`` prints here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.dialects.steps import to_graph
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.export.graph.waiting_edges import read_choices
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.simulate import simulator
from snnas.toolchain.data import load as data
from snnas.toolchain.models.find_convention import detect
from snnas.toolchain.models.recording import read_recording
from tests.oracles.nir_peers import WRITERS, worker

pytestmark = pytest.mark.oracle
IN_FLOAT, ON_TARGET = 2, 7  # predictions of 360 that may differ: by float32 sums; by int8 weights, 2 %
CALIBRATION = 256
KEPT = [(tool, name) for tool in ("snntorch", "norse", "sinabs", "spikingjelly") for name in ("dense", "conv")]
SOFT = [("snntorch", "default"), ("rockpool", "dense")]  # a reset by subtraction: for generic neurons alone
REFUSED = {
    ("snntorch", "soft"): "its reset acts twice",
    ("sinabs", "default"): "spikes several times in a timestep",
    ("rockpool", "default"): "spikes several times in a timestep",
}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", seed=0)


@pytest.fixture(scope="module", params=WRITERS)
def trained(
    request: pytest.FixtureRequest, digits: data.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The tool's name, and the folder with what it trained."""
    folder = tmp_path_factory.mktemp(request.param)
    np.savez(folder / "given.npz", x_train=digits.x_train, y_train=digits.y_train, x_test=digits.x_test)
    worker(request.param, "train", folder)
    return request.param, folder


def graph_of(tool: str, model: Path) -> tuple[Graph, int]:
    """The graph that does what the file means in its tool, by the recording, and the timesteps."""
    graphs = read_choices(model)
    recording = read_recording(model.with_suffix(".npz"), next(iter(graphs.values())))
    verdict = detect(graphs, recording)
    row = next((r for r in verdict.fitting if r.dialect.tool == tool), None)
    assert row is not None, (model, verdict.headline)
    return to_graph(graphs[row.delayed], row.dialect), recording.timesteps


def on_target(graph: Graph, steps: int, x: np.ndarray, few: np.ndarray, *, soft_reset: bool) -> np.ndarray:
    spikes = interpreter.run(graph, few, steps).spikes
    program = compile_graph(graph, timesteps=steps, input_kind="analogue", spikes=spikes, soft_reset=soft_reset)
    boxed = x.reshape(len(x), *program.input_shape)
    return np.concatenate([trace.predictions for trace, _ in simulator.simulate_input(program, boxed)])


def test_what_was_trained_elsewhere_keeps_its_accuracy(trained: tuple[str, Path], digits: data.Dataset) -> None:
    tool, folder = trained
    models = sorted(folder.glob("*.nir"))
    assert {(tool, m.stem) for m in models} == {key for key in (*KEPT, *SOFT, *REFUSED) if key[0] == tool}
    for model in models:
        key, theirs = (tool, model.stem), np.load(model.with_suffix(".npy"))
        accuracy = [float((theirs == digits.y_test).mean())]
        assert accuracy[0] > 0.94
        if key in REFUSED:
            with pytest.raises(UnsupportedError, match=f"node 1.*: {REFUSED[key]}"):
                graph_of(tool, model)
        else:
            graph, steps = graph_of(tool, model)
            shape = graph.shapes()[graph.input]
            x, few = (a.reshape(len(a), *shape) for a in (digits.x_test, digits.x_train[:CALIBRATION]))
            ours = interpreter.run(graph, x, steps).predictions
            target = on_target(graph, steps, x, few, soft_reset=key in SOFT)
            accuracy += [float((p == digits.y_test).mean()) for p in (ours, target)]
            assert (ours != theirs).sum() <= IN_FLOAT, model
            assert (target != theirs).sum() <= ON_TARGET, model
        if key in SOFT:
            with pytest.raises(
                UnsupportedError, match=r"a soft reset .by subtraction. has no counterpart in Loihi's LIF"
            ):
                on_target(graph, steps, x, few, soft_reset=False)
        print(f"\n| {tool} | {model.stem} | {' | '.join(f'{a:.2%}' for a in accuracy)} | {REFUSED.get(key, '')}")
