"""As ``test_by_value``, of the compiler: values that mutants of the campaign once got wrong unseen."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from snnas.export.compiler import fold as folding
from snnas.export.compiler import quantise as quantising
from snnas.export.compiler import ranges
from snnas.export.compiler.fold import fold
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.ranges import neuron_bounds, prove
from snnas.export.compiler.schedule import schedule
from snnas.export.graph.graph import Conv, Flatten, Linear
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import host_currents, with_integers
from snnas.hw_sim.program import HostMap, LinearMap, Schedule, Synapse
from tests.export.compiler.test_quantise import dense, of_one, setting_of
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


def test_a_square_map_is_square_whatever_its_size() -> None:
    """Beyond 256, where equal numbers are other objects."""
    side = int("300")
    net = Net(0, (side, int("300")))
    graph = fold(net.head(net.lif(net.stem()), net.neurons))
    assert not graph.of_type((Flatten,))
    assert [node.weight.shape[2:] for node in graph.nodes.values() if isinstance(node, Conv)][-1] == (side, side)


def test_nodes_are_one_where_all_of_them_is_equal() -> None:
    """Each of two that are unlike in one thing, both ways round."""
    ones, zeros = np.ones((2, 2, 1, 1), np.float32), np.zeros(2, np.float32)
    conv, flat = Conv(weight=ones, bias=zeros), Linear(weight=ones[:, :, 0, 0], bias=zeros)
    unlike = [
        (conv, replace(conv, stride=(1, 2))), (conv, replace(conv, stride=(2, 1))), (conv, replace(conv, pad=(0, 1))),
        (conv, replace(conv, pad=(1, 0))), (conv, replace(conv, weight=2 * ones)), (conv, replace(conv, bias=None)),
        (conv, replace(conv, bias=zeros + 1)), (flat, replace(flat, weight=2 * flat.weight)),
        (flat, replace(flat, bias=zeros + 1)), (flat, replace(flat, bias=None)), (conv, flat), (flat, Flatten()),
        (conv, Flatten()),
    ]  # fmt: skip
    for a, b in unlike:
        assert not folding._same(a, b)
        assert not folding._same(b, a)
    for node in (conv, flat, Flatten(), replace(conv, bias=None), replace(flat, bias=None)):
        assert folding._same(node, copy.deepcopy(node))


def test_a_constant_that_no_source_carries_is_refused_with_its_size() -> None:
    net = Net(0, size=(4, 4))
    small = net.lif(net.pool("avgpool", net.stem(), kernel=2, stride=2, pad=0), name="small")
    grown = net.add("conv", (small,), weight=np.ones((2, 2, 1, 1)), bias=None, stride=(1, 1), pad=(2, 2))
    norm = {"gamma": np.ones(2), "var": np.ones(2), "mean": np.zeros(2), "beta": np.array([1.0, 2.0])}
    shifted = net.add("bn", (net.pool("avgpool", grown),), name="n", **norm, eps=0.0)
    net.lif(net.pool("avgpool", shifted), name="b")
    with pytest.raises(UnsupportedError, match=r"no source of size \(6, 6\) can carry its constant current"):
        fold(net.head("b", 2 * 6 * 6))


@pytest.mark.parametrize(
    ("exact", "bits", "short"), [(False, 7, True), (False, 8, False), (True, 7, False), (False, 9, False)]
)
def test_a_proof_costs_bits_where_weights_are_rounded_to_fewer(
    exact: bool, bits: int, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantising, "resolution", lambda *given: SimpleNamespace(exact=exact, bits=bits))
    setting = setting_of(of_one(), 1.0)
    assert setting.bits == 8
    assert quantising._short(setting, of_one(), None, []) == short  # type: ignore[arg-type]
    monkeypatch.setattr(quantising, "resolution", lambda *given: None)
    assert not quantising._short(setting, of_one(), None, [])  # type: ignore[arg-type]


def test_what_is_not_said_is_an_input_from_0_to_1_and_a_bias_at_once() -> None:
    plain = schedule(dense(np.array([[0.25]])))
    made = quantise(plain, timesteps=4)
    assert (made.input_range, made.weight_bits) == ((0.0, 1.0), 8)
    (synapse,) = quantising._clock_bias(of_one(), np.full((1, 1, 1), 3.0), 1.0)
    assert (synapse.distance, synapse.src) == (0, "clock")


def test_what_a_host_injects_is_bounded_a_step_further_out() -> None:
    """A product at one half, which the rounding of the product itself may have brought there: -1 and 1, not 0."""
    for weight in np.arange(1, 50) / 7:
        reach = float(np.float32(weight))
        error = 2 * (1 + 8) * 2.0**-52 * reach
        scale = 0.5 / (reach + error)
        if (reach + error) * scale == 0.5:
            break
    else:
        raise AssertionError("none of them is exact")
    p = replace(one([0]).populations[0], scale=scale)
    least, most = ranges._host_bounds(p, [HostMap(id="h", dst="p", map=_dense([weight]))], (1, 1, 1), (-1.0, 1.0))
    assert (int(np.min(least)), int(np.max(most))) == (-1, 1)
