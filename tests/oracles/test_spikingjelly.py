"""Synops against SpikingJelly 2's SynOpCounter, to the digit: same spikes through torch's own layers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.map.wiring import READOUT
from snnas.hw_sim.program import INPUT, LinearMap, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate
from tests.hw_sim.simulate.test_counts import conv, dense, population, program

pytestmark = pytest.mark.oracle


def net(rng: np.random.Generator) -> Program:
    """A padded, a strided, a grouped convolution, two dense layers; stimulated by spikes."""
    maps = [conv(6, 2, 3, pad=1), conv(4, 6, 3, stride=2, pad=1), conv(8, 4, 2, groups=2)]
    shapes = [(6, 9, 7), (4, 5, 4), (8, 4, 3), (11, 1, 1)]
    names = ["a", "b", "c", "d"]
    layers = [population(n, s, dv=1024) for n, s in zip(names, shapes, strict=True)]
    joins = list(zip([INPUT, *names], names, [*maps, dense(11, 96)], strict=False))
    return program(layers, joins, input_shape=(2, 9, 7), timesteps=4)


def theirs(source: np.ndarray, linear: LinearMap) -> int:
    """SynOpCounter's count of one layer. source: bool (B, T, C, H, W)."""
    torch = pytest.importorskip("torch", reason="SpikingJelly's counter needs torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counters = pytest.importorskip("spikingjelly.activation_based.op_counter", reason="spikingjelly is missing")
    x = torch.from_numpy(source.reshape(-1, *source.shape[2:])).float()
    weight = torch.from_numpy(linear.weight).float()
    counter = counters.SynOpCounter()
    with counters.DispatchCounterMode([counter]), torch.no_grad():
        if linear.kind == "conv":
            torch.nn.functional.conv2d(x, weight, None, linear.stride, linear.pad, 1, linear.groups)
        else:
            torch.nn.functional.linear(x.flatten(1), weight)
    return int(counter.get_total())


@pytest.mark.parametrize("seed", range(4))
def test_synops_are_equal_layer_by_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = net(rng)
    spikes_in = rng.random((3, made.timesteps, *made.input_shape)) < 0.3
    trace = simulate(made, spikes_in=spikes_in)
    counter = Counter(made, map_program(made, load_system()))
    counter.add(trace, spikes_in=spikes_in)
    ours = {s.id: s.synops for s in counter.result().synapses}
    sources = {INPUT: spikes_in} | trace.spikes
    for s in made.synapses:
        assert ours[s.id] == theirs(sources[s.src], s.map) > 0
    readout = LinearMap(kind="dense", weight=made.readout.readings[0].weight)
    assert ours[READOUT] == theirs(sources[made.readout.readings[0].src], readout) > 0
