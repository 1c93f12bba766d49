"""model.net: what lava-dl's netx makes of it, and what stands in the way of the rest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.formats.netx_file import why_not, write_net
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.lava import environment as lava_environment
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from tests.export.nir_nets import conv, cuba, dyadic, full, graph_of, integrate_and_fire, lif, read

STEPS, SAMPLES = 8, 3

# Runs in the worker's Python: loads FOLDER/model.net, feeds spikes.npy (B, T, C, H, W), writes what each layer fires.
SCRIPT = """
import sys, numpy as np
from lava.lib.dl.netx import hdf5
from lava.proc.io.source import RingBuffer as Source
from lava.proc.io.sink import RingBuffer as Sink
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
if __name__ == "__main__":
    folder = sys.argv[1]
    x = np.load(folder + "/spikes.npy")
    b, t = x.shape[:2]
    net = hdf5.Network(net_config=folder + "/model.net", reset_interval=t, reset_offset=1)
    depth = len(net.layers)
    steps = b * t + depth + 1
    data = np.zeros((*x.shape[:1:-1], steps), np.int32)
    data[..., : b * t] = x.reshape(b * t, *x.shape[2:]).transpose(3, 2, 1, 0)
    data = data.reshape(*net.inp.shape, steps)
    source = Source(data=data)
    source.s_out.connect(net.inp)
    neurons = [layer.neuron for layer in net.layers if hasattr(layer, "neuron")]
    sinks = []
    for neuron in neurons:
        sinks.append(Sink(shape=neuron.s_out.shape, buffer=steps))
        neuron.s_out.connect(sinks[-1].a_in)
    try:
        net.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        fired = [sink.data.get() for sink in sinks]
    finally:
        net.stop()
    np.savez(folder + "/fired.npz", *fired)
"""


def chain(folder: Path, bias: float = 0.0) -> Program:
    """Two convolutions, one of them of a CubaLIF, and two dense layers."""
    rng = np.random.default_rng(8)
    nodes = {
        "c": conv(dyadic(rng, 3, 2, 3, 3), bias=full((3,), bias), padding=1),
        "a": lif(3, 5, 4, threshold=0.9),
        "d": conv(dyadic(rng, 4, 3, 3, 2), stride=(2, 1)),
        "b": cuba(4, 2, 3),
        "f": nir.Flatten(input_type={"input": np.array([4, 2, 3])}, start_dim=0),
        "e": nir.Linear(weight=dyadic(rng, 7, 24)),
        "n": integrate_and_fire(7),
        "g": nir.Linear(weight=dyadic(rng, 5, 7)),
        "last": lif(5, r=2.0),
    }
    graph = read(folder, graph_of((2, 5, 4), nodes, (5,)))
    return compile_graph(graph, timesteps=STEPS, input_kind="spikes")


def test_the_file_holds_the_chain(tmp_path: Path) -> None:
    program = chain(tmp_path, bias=0.125)
    assert why_not(program) is None
    write_net(tmp_path / "model.net", program)
    with h5py.File(tmp_path / "model.net") as file:
        layers = [file["layer"][str(k)] for k in range(5)]
        kinds = [bytes(g["type"][0]).decode() for g in layers]
        assert kinds == ["input", "conv", "conv", "conv", "conv"]  # its dense maps have exponents
        assert file["layer/3/weight"].shape == (7, 4, 2, 3)
        first, second = layers[1], layers[2]
        (s,) = program.into("a")
        assert np.array_equal(first["weight"], s.map.weight.astype(int) << s.exponent)
        assert first["bias"].shape == (4, 5, 3)
        p = program.population("a")
        assert first["bias"][0, 0, 0] * 64 == int(p.bias[0, 0, 0]) << p.bias_exponent
        assert (second["neuron/iDecay"][()], second["neuron/vDecay"][()]) == (1024, 2048)
        assert first["neuron/iDecay"][()] == 4096
        assert second["stride"][:].tolist() == [2, 1]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


REFUSED: dict[str, tuple[Callable[[], nir.NIRGraph], str, str]] = {
    "a current": (lambda: graph_of((4,), {"n": lif(4)}, (4,)), "analogue", "its input is a current; netx feeds"),
    "a skip": (
        lambda: graph_of(
            (4,),
            {"a": lif(4), "b": lif(4), "n": lif(4)},
            (4,),
            [("input", "a"), ("a", "b"), ("b", "n"), ("a", "n"), ("n", "output")],
        ),
        "spikes",
        "population n reads a_relay1, b, not .* alone|which is not the last layer|population .* reads",
    ),
    "a delay": (
        lambda: graph_of((4,), {"a": lif(4), "d": nir.Delay(delay=full((4,), 1e-4)), "n": lif(4)}, (4,)),
        "spikes",
        "it has delayed synapses; netx holds feed-forward chains",
    ),
    "a matrix of zeros and ones": (
        lambda: graph_of((9, 1, 9), {"f": nir.Flatten({"input": np.array([9, 1, 9])}, 0), "n": lif(81)}, (81,)),
        "spikes",
        "is sparse; netx has conv and dense layers",
    ),
    "a fine bias": (
        lambda: graph_of(
            (4,), {"w": nir.Affine(weight=np.eye(4, dtype="f4"), bias=full((4,), 1e-4)), "n": lif(4)}, (4,)
        ),
        "spikes",
        "a bias in 1/64 of a weight unit; netx holds whole units",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_why_not_is_one_line(name: str, tmp_path: Path) -> None:
    make, kind, match = REFUSED[name]
    program = compile_graph(read(tmp_path, make()), timesteps=4, input_kind=kind)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=match) as caught:
        write_net(tmp_path / "model.net", program)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.net").exists()


@pytest.fixture(scope="module")
def worker() -> Path:
    python, reason = lava_environment.find_python()
    if python is None:
        pytest.skip(f"no Lava worker: {reason}")
    found = subprocess.run(
        [python, "-c", "import importlib.util as u, json; print(json.dumps(bool(u.find_spec('lava.lib.dl.netx'))))"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if found.returncode or not json.loads(found.stdout):
        pytest.skip(f"{python} has no lava-dl; make one with: snnas lava setup --with-dl")
    return python


def eight_bits(program: Program) -> Program:
    """The same chain without exponents: its dense maps stay dense."""
    down = {s.dst: s.exponent for s in program.synapses}
    return replace(
        program,
        synapses=tuple(replace(s, exponent=0) for s in program.synapses),
        populations=tuple(replace(p, vth=max(p.vth >> down[p.id], 1)) for p in program.populations),
    )


@pytest.mark.lava_dl
@pytest.mark.parametrize("dense", [False, True])
def test_netx_fires_every_spike_of_the_program(dense: bool, worker: Path, tmp_path: Path) -> None:
    program = eight_bits(chain(tmp_path)) if dense else chain(tmp_path, bias=0.125)
    write_net(tmp_path / "model.net", program)
    x = (np.random.default_rng(0).random((SAMPLES, STEPS, 2, 5, 4)) < 0.5).astype(np.int32)
    np.save(tmp_path / "spikes.npy", x)
    home = tmp_path / "script"  # Lava executes what lies beside a script
    home.mkdir()
    (home / "run.py").write_text(SCRIPT)
    done = subprocess.run(
        [worker, home / "run.py", tmp_path],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=lava_environment.clean_environment(),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    trace = simulate(program, spikes_in=x > 0)
    with np.load(tmp_path / "fired.npz") as fired:
        for place, p in enumerate(program.in_order):
            theirs = fired[f"arr_{place}"]
            theirs = theirs.reshape(*p.shape[::-1], -1) if theirs.ndim == 4 else theirs.reshape(1, 1, p.shape[0], -1)
            theirs = theirs.transpose(3, 2, 1, 0)  # (steps, C, H, W)
            ours = trace.spikes[p.id].reshape(SAMPLES * STEPS, *p.shape)
            begin = place + 1
            assert np.array_equal(theirs[begin : begin + len(ours)] > 0, ours), p.id
            assert 0 < ours.mean() < 1, p.id
