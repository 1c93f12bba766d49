"""Each test kills a fault that all others once let live (``hand``)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler import ranges
from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.readout import RealReading, RealReadout, quantise_readout
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir
from snnas.hw_sim import kernels
from snnas.hw_sim.energy.latency import Latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import BASES, Band, load_profile
from snnas.hw_sim.map.mapping import _room, map_program
from snnas.hw_sim.map.placement import _exchange
from snnas.hw_sim.map.system import System
from snnas.hw_sim.map.wiring import Wiring, _effective_kernel
from snnas.hw_sim.program import INPUT, HostMap, LinearMap, Pool, Population, Synapse
from snnas.hw_sim.readout import answers
from snnas.hw_sim.simulate import torch_maps
from snnas.hw_sim.simulate.simulator import _accumulate, simulate
from tests.export.nir_nets import dyadic, graph_of, lif, nir, written
from tests.hw_sim.simulate.test_counts import TINY, conv, count, dense, population, program, silent


def test_filling_and_draining() -> None:
    """b waits a step and holds its bias all the while; a, which holds nothing, drains for nothing."""
    made = program(
        [population("a", (2, 1, 1)), population("b", (3, 1, 1), bias=1)],
        [(INPUT, "a", dense(2, 1)), ("a", "b", dense(3, 2))],
    )
    assert (made.schedule.depth, made.schedule.total_depth) == ({"a": 0, "b": 1}, 2)
    a, b = count(made, silent(made, batch=4)).populations[:2]
    assert (a.fill_active, a.fill_idle) == (0, 4 * 2 * 2)
    waits, drains = 1 * 3 * 4, (2 - 1) * 3 * 4  # steps x neurons x samples
    assert (b.fill_active, b.fill_idle) == (waits + drains, 0)


def test_a_floor_is_as_good_as_its_latency() -> None:
    made = program([population("a", (2, 1, 1))], [(INPUT, "a", dense(2, 1))])
    counts, profile, one = count(made, silent(made)), load_profile("loihi1"), Band(low=1.0, nominal=1.0, high=1.0)
    latency = Latency(steps=3, step_us=one, inference_us=one, throughput=one, evidence=BASES[0])
    assert price(counts, profile, latency).evidence != BASES[-1]
    assert price(counts, profile, replace(latency, evidence=BASES[-1])).evidence == BASES[-1]


def _cores(number: int) -> System:
    return replace(TINY, compartments=1, cores=number, chips=(1, 2))


def test_cores_that_fill_a_chip_take_one() -> None:
    made = program([population("a", (5, 1, 1))], [(INPUT, "a", dense(5, 1))])
    cores = map_program(made, _cores(100)).cores
    assert cores > 1
    full, short = map_program(made, _cores(cores)), map_program(made, _cores(cores - 1))
    assert (full.chips_used, full.chips) == (1, 1)
    assert (short.chips_used, short.chips) == (2, 2)


def test_a_core_is_filled_exactly() -> None:
    need = {"compartments": 3, "synapse_bytes": 96, "in_axons": 14, "out_axons": 12}
    left = {r: getattr(TINY, r) - n for r, n in need.items()}
    assert _room([dict(left)], need, TINY) == 0
    for r in need:
        assert _room([{**left, r: left[r] + 1}], need, TINY) == 1


def test_two_that_talk_gain_nothing_by_a_swap() -> None:
    both, cost = np.array([[0, 5], [5, 0]], np.float32), np.array([[0, 1], [1, 0]], np.float32)
    place = np.arange(2)
    assert not _exchange(both, cost, place)
    assert place.tolist() == [0, 1]


def test_a_window_behind_strides() -> None:
    pools = Pool((2, 3), (2, 3)), Pool((3, 1), (1, 1))
    linear = LinearMap(kind="pooled_conv", weight=np.ones((1, 1, 2, 4), np.int8), stride=(2, 1), pre=pools)
    assert _effective_kernel(linear, 0) == 2 + 2 * 2 + 1 * 2
    assert _effective_kernel(linear, 1) == 3 + 0 + 3 * 3


def test_a_box_across_groups_reads_both() -> None:
    wire = Wiring(conv(6, 4, 1, groups=2), "a", "b", (4, 2, 2), (6, 2, 2))
    for first, last, read in ((0, 3, (0, 2)), (3, 6, (2, 4)), (2, 4, (0, 4)), (0, 4, (0, 4)), (2, 3, (0, 2))):
        assert wire._channels((first, last, 0, 2, 0, 2)) == read
        assert sorted(set(np.ravel(wire.reached((first, last, 0, 2, 0, 2))[0]))) == list(range(*read))


def test_u_at_its_end_survives() -> None:
    top = kernels.STATE_LIMIT
    ends = np.array([top - 1, top, top + 1, -top + 1, -top, -top - 1])
    assert kernels.wrap_current(ends).tolist() == [top - 1, top, -top + 1, -top + 1, top, top - 1]


@pytest.mark.parametrize("dv", [1, 2, 3, 5, 7, 513, 1023, 1365, 2047, 2049, 2731, 3072, 3413, 4001, 4089, 4093, 4094])
def test_every_state_leaks_exactly(dv: int) -> None:
    """Float32 leaks every state that a population may hold as the integers do, on both sides of 24 bits."""
    torch = pytest.importorskip("torch")
    factor = (1 << kernels.DECAY_BITS) - dv
    odd = factor // (factor & -factor)
    seen = set()
    for share in (0.49, 0.51, 0.97, 0.999, 1.001, 1.03, 1.9, 2.1):  # of the states whose product float32 holds
        vth = min(int(share * 2 * kernels.STATE_LIMIT / odd) >> kernels.STATE_SHIFT, (1 << 17) - 1)
        f = kernels.fused(dv, vth, 1, current=0, bias=1, steps=1)
        assert f is not None
        seen.add(f.whole)
        states = torch.arange(-(f.threshold + 1), f.threshold + 1, dtype=torch.int64)
        if len(states) > 1 << 18:  # the ends, where rounding comes first
            states = torch.cat([states[: 1 << 17], states[-(1 << 17) :]])
        held = states.to(torch.float32)[None].clone()
        kernels._fused_drive(held, None, None, f)
        assert torch.equal(held[0].to(torch.int64), kernels.decay(states, dv)), (dv, share)
    assert seen == {True, False} or odd < 4


def test_a_sum_that_float32_does_not_hold() -> None:
    number = (1 << 24) // 127 + 3
    number += 1 - number % 2
    linear = LinearMap(kind="conv", weight=np.full((1, number, 1, 1), 127, np.int8))
    synapse = Synapse(id="s", src="a", dst="b", map=linear)
    into = Population(id="b", shape=(1, 1, 1), dv=0, vth=1, scale=1.0, bias=np.zeros((1, 1, 1), np.int16))
    source = np.ones((1, number, 1, 1), bool)
    exact = 127 * number
    assert exact % 2 == 1
    assert 1 << 24 < exact < 1 << 25
    assert int(_accumulate(synapse, into, source)[0, 0, 0, 0]) == exact


def test_a_pool_of_more_than_a_byte_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not this machine multiplies bytes: what is counted by bytes is at most 255."""
    pytest.importorskip("torch")
    monkeypatch.setattr(torch_maps, "int8_is_exact", lambda device: True)

    def packed(*kernel: int) -> bool:
        pool = Pool((kernel[0], kernel[1]), (kernel[0], kernel[1]))
        linear = LinearMap(kind="pooled_conv", weight=np.ones((1, 1, 1, 1), np.int8), pre=(pool,))
        made = torch_maps.TorchMap(linear, (1, *pool.kernel), (1, 1, 1), 0, "cpu")
        return made._packed is not None

    assert packed(15, 17)
    assert not packed(16, 16)


def test_a_membrane_at_its_threshold_has_not_fired() -> None:
    p = Population(id="p", shape=(1, 1, 1), dv=0, vth=3, scale=1.0, bias=np.zeros((1, 1, 1), np.int16))
    top = 3 << 6
    low, high = ranges._after_reset(np.array([top]), np.array([top + 9]), p)
    assert (int(low[0]), int(high[0])) == (0, top)


def _hosted(*weights: float, gain: float = 1.0, values: tuple[float, float]) -> tuple[int, int]:
    """The ends of what a host map of these weights injects, scale 1."""
    p = Population(id="p", shape=(1, 1, 1), dv=0, vth=3, scale=1.0, bias=np.zeros((1, 1, 1), np.int16))
    linear = LinearMap(kind="dense", weight=np.array([weights], np.float32))
    host = HostMap(id="h", dst="p", map=linear, gain=gain)
    low, high = ranges.input_bounds(p, [], [host], (len(weights), 1, 1), values)
    return int(low.reshape(-1)[0]), int(high.reshape(-1)[0])


def test_the_hosts_sums_may_round() -> None:
    """A whole unit lies within what float64 may have lost, two ulps of a half beyond the sum."""
    assert _hosted(0.5, -(2.0**-50), values=(1.0, 1.0)) == (0, 1)
    assert _hosted(0.5, -(2.0**-20), values=(1.0, 1.0)) == (0, 0)


def test_a_negative_gain_turns_the_ends() -> None:
    assert _hosted(3.0, -1.0, gain=-2.0, values=(0.0, 1.0)) == (-6, 2)


def test_a_factor_behind_a_pool(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    nodes = {
        "a": lif(2, 4, 4, threshold=0.4), "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "f": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1), "s": nir.Scale(np.arange(1, 9, dtype=np.float32) / 4),
        "w": nir.Linear(weight=dyadic(rng, 3, 8)), "b": lif(3),
    }  # fmt: skip
    graph = read_nir(written(tmp_path, graph_of((2, 4, 4), nodes, (3,))))
    x = (rng.random((6, 5, 2, 4, 4)) < 0.6).astype(np.float32)
    made = compile_graph(graph, timesteps=5, input_kind="spikes")
    spikes, run = simulate(made, spikes_in=x > 0).spikes, interpreter.run(graph, x, 5)
    assert run.spikes["b"].any()
    assert np.array_equal(spikes["b"].reshape(run.spikes["b"].shape), run.spikes["b"])


def test_a_readouts_constant_is_worth_its_spikes() -> None:
    """A constant of 1 and a spike of weight 1 are the same to the answer."""
    reading = RealReading(src="p", weight=np.array([[1.0]]))
    real = RealReadout(readings=(reading,), constant=np.ones(1), membrane=None, read="sum")
    made = quantise_readout(real, 1)
    silent_, fired = (answers(made, {"p": np.full((1, 1, 1, 1, 1), s)}, 1)[0, 0] for s in (False, True))
    assert silent_ > 0
    assert fired == 2 * silent_


def test_an_input_that_waits_is_no_population() -> None:
    shape, one = (1, 1, 1), LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1)))
    groups = tuple(Group(id=n, shape=shape, alpha=0.5, threshold=1.0, bias=np.zeros(shape)) for n in "ab")
    links = [Link(id=f"l{k}", src=s, dst=d, map=one, distance=late) for k, (s, d, late) in enumerate(
        [(INPUT, "a", 0), ("a", "b", 0), (INPUT, "b", 1)])]  # fmt: skip
    made = schedule(
        Circuit(
            groups=groups, links=tuple(links), host=(), input_shape=shape, input_kind="spikes", node_of={},
            readout=RealReadout(
                readings=(RealReading(src="b", weight=np.ones((1, 1))),),
                constant=np.zeros(1), membrane=None, read="sum",
            ),
        )
    )  # fmt: skip
    assert (made.schedule.period, made.schedule.depth) == (1, {"a": 0, "b": 1})
    assert not made.relays


def test_fused_steps_hold_what_they_are_given() -> None:
    """Exhaustive over thresholds' neighbours: reach is a bound of every state between two timesteps."""
    for dv, vth, push in itertools.product((0, 1, 1024, 4095), (1, 60, 1 << 10), (1, 70, 4000)):
        f = kernels.fused(dv, vth, 2, current=push, bias=push, steps=6)
        if f is None:
            continue
        v = np.zeros(2, np.int64)
        for _ in range(6):
            v, _ = kernels.membrane_step(v, np.array([1, -1]) * push * 64, np.array([1, -1]) * push, dv, vth, 2)
            assert not f.whole or int(np.abs(v).max()) * ((4096 - dv) // ((4096 - dv) & -(4096 - dv))) < 1 << 24


def test_an_overflow_is_named_with_its_worst_value() -> None:
    """The current before it decays by du + 1 of 4096; the input arrives shifted by 6 bits."""
    zero, top = np.zeros(1, np.int64), kernels.STATE_LIMIT

    def found(u: int, a: int, du: int = 4095) -> tuple[str, int, int] | None:
        return kernels.overflow(zero + u, zero + a, du)

    assert found(0, kernels.CURRENT_LIMIT) is None
    assert found(0, -kernels.CURRENT_LIMIT) is None
    assert found(0, kernels.CURRENT_LIMIT + 1) == ("a", kernels.CURRENT_LIMIT + 1, kernels.CURRENT_LIMIT)
    assert found(0, -kernels.CURRENT_LIMIT - 1) == ("a", -kernels.CURRENT_LIMIT - 1, kernels.CURRENT_LIMIT)
    kept = 4095 * (top - 1) // 4096  # du = 0 leaves 4095 / 4096
    room = (top - 1 - kept) >> 6
    assert found(top - 1, room, 0) is None
    assert found(top - 1, room + 1, 0) == ("u", kept + ((room + 1) << 6), top - 1)
    assert found(-(top - 1), -(room + 1), 0) == ("u", -kept - ((room + 1) << 6), top - 1)
    assert kernels.overflow(np.zeros(0, np.int64), np.zeros(0, np.int64), 0) is None
    for a, worst in (([-5, 40_000], 40_000), ([-40_000, 5], -40_000), ([-40_000, 40_001], 40_001)):
        assert kernels.overflow(np.zeros(2, np.int64), np.array(a), 4095) == ("a", worst, kernels.CURRENT_LIMIT)


def test_a_spike_takes_what_it_takes() -> None:
    """Of a state that it shares bits with and of one that it does not; nothing of one that has not fired."""
    v, fired = np.array([700, 640, 100, -30]), np.array([True, True, False, False])
    assert kernels.after_spikes(v, fired, 640).tolist() == [60, 0, 100, -30]
    assert kernels.after_spikes(v, fired).tolist() == [0, 0, 100, -30]
