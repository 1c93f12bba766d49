"""model.onnx: the deployed network's spikes in onnxruntime, on every kind of network, bit for bit."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler.fold import fold
from snnas.export.dialects.conventions import Convention
from snnas.export.executors.deployed import run_deployed
from snnas.export.graph.graph import (
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    Graph,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Output,
    Pool,
    Scale,
    Threshold,
)
from tests.networks import images, random_network

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

EXAMPLE = Path(__file__).parents[3] / "examples" / "run_onnx.py"


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)


def steps(found, x, timesteps):
    """Spikes {LIF: bool (B, T, *shape)} and the summed output, by the pairing that the metadata states."""
    about = json.loads(found.get_modelmeta().custom_metadata_map["snnas"])
    dtype = np.dtype(about["precision"])
    shapes = {tensor.name: tensor.shape[1:] for tensor in found.get_inputs()}
    state = {pair["input"]: np.zeros((len(x), *shapes[pair["input"]]), dtype) for pair in about["state"]}
    assert set(state) | {"x"} == set(shapes)
    names = [tensor.name for tensor in found.get_outputs()]
    spikes, total = {name: [] for name in about["spikes"]}, 0.0
    for t in range(timesteps):
        frame = x if x.ndim == 1 + len(shapes["x"]) else x[:, t]
        step = dict(zip(names, found.run(None, {"x": frame.astype(dtype), **state}), strict=True))
        state = {pair["input"]: step[pair["output"]] for pair in about["state"]}
        total = total + step["y"].astype(np.float64)
        for name in spikes:
            assert set(np.unique(step[name])) <= {0, 1}
            spikes[name].append(step[name] > 0)
    return {name.removesuffix("_z"): np.stack(value, axis=1) for name, value in spikes.items()}, total


def assert_same(graph, x, timesteps, **options) -> None:
    from snnas.export.formats.onnx_file import build_onnx

    wanted, summed = run_deployed(graph, x, timesteps)
    got, total = steps(session(build_onnx(graph, timesteps=timesteps, **options)), x, timesteps)
    assert got.keys() == wanted.keys()
    assert sum(value.sum() for value in wanted.values()) > 0
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
    np.testing.assert_allclose(total, summed, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("space", ["lightsnn", "snasnet"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_spikes_are_the_deployed_networks(space: str, backward: bool, seed: int, precision: str) -> None:
    network = random_network(space, seed, backward=backward)
    graph = fold(network.layers())
    assert bool(graph.delayed) <= backward
    for inline in (False, True):
        assert_same(graph, images(32, seed), network.config.timesteps, precision=precision, inline=inline)


def lif(*shape: int, threshold: float = 0.4, **given: float) -> Lif:
    values = {"tau": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": threshold, "v_reset": 0.0, **given}
    return Lif(**{name: np.full(shape, value, dtype=np.float32) for name, value in values.items()})


def chain(*nodes: object) -> Graph:
    names = [f"n{k}" for k in range(len(nodes))]
    return Graph(nodes=dict(zip(names, nodes, strict=True)), edges=tuple(itertools.pairwise(names)))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_strides_groups_pools_and_delays(precision: str) -> None:
    rng = np.random.default_rng(3)
    first = lif(4, 4, 3)
    first.v_threshold[:2] = 0.3
    graph = chain(
        Input(shape=(2, 9, 7)),
        Conv(
            weight=rng.normal(size=(4, 1, 3, 2)).astype(np.float32),
            bias=np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32),
            stride=(2, 3),
            pad=(0, 1),
            groups=2,
        ),
        first,
        Delay(steps=2),
        Pool(kernel=(3, 2), stride=(1, 1), pad=(1, 0), average=True),
        Pool(kernel=(2, 1), stride=(2, 1)),
        Flatten(),
        Linear(weight=rng.normal(size=(5, 16)).astype(np.float32), bias=rng.normal(size=5).astype(np.float32)),
        lif(5),
        Output(shape=(5,)),
    )
    frames = rng.random((6, 7, 2, 9, 7), dtype=np.float32)
    assert_same(graph, frames, 7, precision=precision)


def test_equal_graphs_give_equal_bytes(tmp_path) -> None:
    from snnas.export.formats.onnx_file import write_onnx

    graph = fold(random_network("lightsnn", 2, backward=True).layers())
    for name in ("a", "b"):
        write_onnx(tmp_path / f"{name}.onnx", graph, timesteps=5)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_the_example_predicts_what_the_network_does(tmp_path) -> None:
    from snnas.export.formats.onnx_file import write_onnx

    graph, x = fold(random_network("snasnet", 1).layers()), images(16)
    write_onnx(tmp_path / "model.onnx", graph, timesteps=5)
    np.savez(tmp_path / "stimulus.npz", x=x)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path / "model.onnx"), str(tmp_path / "stimulus.npz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(word) for word in done.stdout.split()] == run_deployed(graph, x, 5)[1].argmax(axis=1).tolist()


def full(size: int, **values: float) -> dict[str, np.ndarray]:
    return {name: np.full(size, value, np.float32) for name, value in values.items()}


MIDDLE = {
    "LIF": lambda n: lif(n, threshold=0.37),
    "IF": lambda n: If(**full(n, r=1e4, v_threshold=0.7, v_reset=0)),
    "CubaLIF": lambda n: CubaLif(
        **full(n, tau_syn=3e-4, tau_mem=4e-4, r=1, v_leak=0.05, w_in=2, v_threshold=0.3, v_reset=0)
    ),
    "Threshold": lambda n: Threshold(**full(n, threshold=0.45)),
}
ENDS = {
    "nothing": lambda n: None,
    "LI": lambda n: Li(**full(n, tau=4e-4, r=2, v_leak=0.1)),
    "CubaLI": lambda n: CubaLi(**full(n, tau_syn=3e-4, tau_mem=5e-4, r=1, v_leak=0, w_in=1)),
    "I": lambda n: I(**full(n, r=1e4)),
}
HOW = [Convention(), Convention(compare=">="), Convention(reset="subtract"), Convention(reset="late"),
       Convention(decay="exact"), Convention(current="late"), Convention(readout="max")]  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("middle", MIDDLE)
def test_every_neuron_in_every_convention(middle: str, end: str, precision: str, tmp_path: Path) -> None:
    from snnas.export.executors.onnx_runner import OnnxModel
    from snnas.export.formats.onnx_file import write_onnx

    rng = np.random.default_rng(7)
    nodes = [
        Input(shape=(6,)), Linear(weight=rng.normal(0.2, 0.5, (8, 6)).astype(np.float32), bias=None),
        Scale(scale=np.linspace(0.5, 1.5, 8, dtype=np.float32)), MIDDLE[middle](8),
        Linear(weight=rng.normal(0.1, 0.5, (4, 8)).astype(np.float32), bias=np.full(4, 0.05, np.float32)),
    ]  # fmt: skip
    last = ENDS[end](4)
    plain = chain(*nodes, *([last] if last is not None else []), Output(shape=(4,)))
    x = (rng.random((5, 9, 6)) < 0.5).astype(np.float32)
    for convention in HOW:
        graph = replace(plain, convention=convention)
        write_onnx(tmp_path / "m.onnx", graph, timesteps=9, precision=precision, inline=True)
        spikes, answers = OnnxModel(tmp_path / "m.onnx").run(x)
        wanted, summed = run_deployed(graph, x, 9)
        assert spikes["n3"].any()
        np.testing.assert_array_equal(spikes["n3"], wanted["n3"], err_msg=str(convention))
        np.testing.assert_allclose(answers, summed, atol=1e-5)
