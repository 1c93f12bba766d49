"""As ``test_by_value``, of the compiler: values that mutants of the campaign once got wrong unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnas.export.compiler import ranges
from snnas.export.compiler.fold import fold
from snnas.export.compiler.ranges import neuron_bounds, prove
from snnas.export.graph.graph import Conv, Flatten, Linear
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import host_currents, with_integers
from snnas.hw_sim.program import HostMap, LinearMap, Schedule, Synapse
from tests.export.compiler.test_ranges import ends, one
from tests.export.compiler.test_rewrites import Net


def _dense(*rows: list[float]) -> LinearMap:
    return LinearMap(kind="dense", weight=np.array(rows, np.float32))


@pytest.mark.parametrize(("size", "flattened"), [((3, 3), False), ((2, 3), True), ((3, 2), True)])
def test_a_linear_layer_over_a_square_map_alone_is_a_convolution(size: tuple[int, int], flattened: bool) -> None:
    net = Net(0, size)
    graph = fold(net.head(net.lif(net.stem()), net.neurons))
    assert bool(graph.of_type((Flatten,))) == bool(graph.of_type((Linear,))) == flattened
    kernels = [node.weight.shape[2:] for node in graph.nodes.values() if isinstance(node, Conv)]
    assert kernels == [(3, 3)] * (1 if flattened else 2)
    assert graph.shapes()[graph.output] == ((3,) if flattened else (3, 1, 1))


def test_a_vote_folds_into_the_layer_right_before_it() -> None:
    """Which is the last of several, and has to be a linear one."""
    net = Net(0, (4, 4))
    graph = fold(net.head(net.pool("avgpool", net.lif(net.stem()), kernel=2, stride=2, pad=0), net.neurons // 4))
    assert graph.shapes()[graph.output][0] == 3
    net = Net(0, (4, 4))
    net.head(net.lif(net.stem()), net.neurons)
    *_, linear, vote, _ = net.layers
    vote["inputs"] = [net.pool("avgpool", linear["name"], kernel=1, pad=0)]
    net.layers.insert(-2, net.layers.pop())
    with pytest.raises(UnsupportedError, match="voting folds into a linear layer; none feeds it"):
        fold(net.layers)


def test_what_is_beyond_every_register_is_said_to_be_two_to_44() -> None:
    assert ranges._whole(np.array([1e30, -1e30, 2.0**43, -5.0])).tolist() == [1 << 44, -(1 << 44), 1 << 43, -5]


def test_a_silenced_current_that_no_pulse_wraps_is_proved() -> None:
    back = Synapse(id="b", src="p", dst="p", map=LinearMap(kind="dense", weight=np.ones((1, 1), np.int8)), distance=1)
    program = one([30, -20])
    program = replace(program, synapses=(*program.synapses, back))
    program = replace(program, schedule=Schedule(period=1, depth={"p": 0}, blank=1))
    assert "blank" in neuron_bounds(program, program.populations[0])
    assert prove(program)["p"].status == "proved"


def test_every_map_of_the_host_may_round() -> None:
    """Two maps that cancel: of 2 products and 8 more for each map, twice 2^-52 of the magnitudes 1 + 1."""
    maps = [HostMap(id=f"h{sign}", dst="p", map=_dense([sign])) for sign in (1.0, -1.0)]
    p = replace(one([0]).populations[0], scale=2.0**52)
    least, most = ranges._host_bounds(p, maps, (1, 1, 1), (1.0, 1.0))
    assert int(np.max(most)) == 2 * (2 + 8 * 2) * 2 == -int(np.min(least))


def test_a_host_in_integers_reaches_its_bounds() -> None:
    """From pixel 0 to pixel 255, whatever pixel zero is."""
    host = HostMap(id="h", dst="p", map=_dense([2.6, -1.7]))
    program = replace(one([0, 0]), input_kind="analogue", input_range=(-1.0, 3.0), synapses=(), host=(host,))
    program = with_integers(program)
    assert program.host_integers is not None
    assert program.host_integers.zero == 64
    extremes = np.array([[-1.0, 3.0], [3.0, -1.0]], np.float32).reshape(2, 2, 1, 1)
    currents = host_currents(program, extremes)["p"]
    assert ends(program, "a") == (int(currents.min()), int(currents.max())) == (-8, 9)


def test_numbers_that_no_proof_needs_are_not_followed() -> None:
    """What one timestep brings is beyond all limits; in a few more it would be beyond 64 bits."""
    host = HostMap(id="h", dst="p", map=_dense([1e30]))
    program = one([0], du=0, T=64)
    program = replace(program, input_kind="analogue", synapses=(), host=(host,))
    u = neuron_bounds(program, program.populations[0])["u"]
    assert int(u[1].max()) == ranges.HUGE << 6


def test_a_membrane_that_has_settled_is_followed_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    leak = ranges.leaked
    monkeypatch.setattr(ranges, "leaked", lambda *given: steps.append(1) or leak(*given))
    program = one([30, -20], T=1000)
    assert neuron_bounds(program, program.populations[0])["v"][1].max() > 0
    assert len(steps) < 200  # two ends, of a membrane that keeps three quarters
