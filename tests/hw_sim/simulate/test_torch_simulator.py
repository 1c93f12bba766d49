"""The torch simulator: bit-equal to the NumPy reference, at the register's edges too, however samples are chunked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import CLOCK, HostMap, LinearMap, Pool, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.simulator import Trace, host_currents, simulate
from tests.programs import random_program

torch = pytest.importorskip("torch")

from snnas.hw_sim.linear import apply  # noqa: E402
from snnas.hw_sim.simulate import torch_maps  # noqa: E402
from snnas.hw_sim.simulate.torch_engine import components  # noqa: E402
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator  # noqa: E402

LOOPS = st.sampled_from([(), ((1, 1),), ((2, 0),), ((3, 2), (1, 1))])


def driven(program: Program, samples: int, seed: int, *, frames: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    over_time = (samples, program.timesteps, *program.input_shape)
    if program.input_kind != "analogue":
        return {"spikes_in": rng.random(over_time) < 0.4}
    return {"currents": host_currents(program, rng.random(over_time if frames else (samples, *program.input_shape)))}


def assert_same(one: Trace, other: Trace) -> None:
    assert one.spikes.keys() == other.spikes.keys()
    for name, spikes in one.spikes.items():
        assert spikes.dtype == other.spikes[name].dtype == bool
        assert np.array_equal(spikes, other.spikes[name]), name
    assert one.logits.dtype == other.logits.dtype == np.int64
    assert np.array_equal(one.logits, other.logits)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), back=LOOPS, spikes=st.booleans(), frames=st.booleans(), plain=st.booleans())
def test_random_programs_equal_the_reference(
    seed: int, back: tuple[tuple[int, int], ...], spikes: bool, frames: bool, plain: bool
) -> None:
    """plain: without the int8 kernels, as on a CPU that has none."""
    program = random_program(seed, back=back, kind="spikes" if spikes else "analogue")
    given_ = driven(program, 3, seed, frames=frames)
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setattr(torch_maps, "int8_is_exact", lambda device: False)
        simulator = TorchSimulator(program)
    assert not plain or not any(m._packed is not None for m in simulator.engine.maps.values())
    reference = simulate(program, **given_)
    assert_same(simulator.run(**given_), reference)
    tally = simulator.tally(**given_)
    for name, s in reference.spikes.items():
        assert np.array_equal(tally.counts[name], s.sum(axis=(2, 3, 4)))
        assert np.array_equal(tally.last[name], s[:, -1])
    assert np.array_equal(tally.logits, reference.logits)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), back=LOOPS)
def test_the_int64_way_equals_the_reference(seed: int, back: tuple[tuple[int, int], ...]) -> None:
    """The way of what float32 is not proven to hold."""
    program = random_program(seed, back=back)
    given_ = driven(program, 2, seed)
    simulator = TorchSimulator(program)
    simulator.engine.constants = lambda p, current: None  # type: ignore[method-assign]
    assert_same(simulator.run(**given_), simulate(program, **given_))


@pytest.mark.parametrize("back", [(), ((2, 0),)])
@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_chunks_and_blocks_equal_the_whole(back: tuple[tuple[int, int], ...], kind: Any) -> None:
    program = random_program(5, back=back, kind=kind)
    shape = (7, *program.input_shape) if kind == "analogue" else (7, program.timesteps, *program.input_shape)
    x = (np.random.default_rng(0).random(shape) < 0.4).astype(np.float32)
    whole = simulate(
        program, **({"currents": host_currents(program, x)} if kind == "analogue" else {"spikes_in": x > 0})
    )
    simulator = TorchSimulator(program)
    simulator.block = 2  # of several threads, where there are
    before = torch.get_num_threads()
    done: list[tuple[int, int]] = []
    parts = [t for t, _ in simulator.run_input(x, batch=3, advance=lambda *n: done.append(n))]
    assert done == [(3, 7), (6, 7), (7, 7)]
    assert torch.get_num_threads() == before
    for name, spikes in whole.spikes.items():
        assert np.array_equal(np.concatenate([t.spikes[name] for t in parts]), spikes)
    assert np.array_equal(np.concatenate([t.logits for t in parts]), whole.logits)
    [*tallies] = simulator.run_input(x, memory_bytes=1, full=False)
    assert len(tallies) == 7  # one sample at a time is the least
    assert np.array_equal(np.concatenate([t.logits for t, _ in tallies]), whole.logits)


# ------------------------------------------------------------------------------------------------ by hand, at the edges


def lone(*, dv: int = 0, vth: int = 10, steps: int = 4, bias: int = 0, exponent: int = 0, period: int = 1) -> Program:
    """One neuron driven by a host current; the readout counts its spikes."""
    one = LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1), dtype=np.float32))
    return Program(
        timesteps=steps,
        input_shape=(1, 1, 1),
        input_kind="analogue",
        populations=(
            Population(
                id="p",
                shape=(1, 1, 1),
                dv=dv,
                vth=vth,
                scale=1.0,
                bias=np.full((1, 1, 1), bias, dtype=np.int16),
                bias_exponent=exponent,
            ),
        ),
        synapses=(),
        host=(HostMap(id="h", dst="p", map=one),),
        readout=summed(src="p", weight=np.ones((1, 1), dtype=np.int8), bias=np.zeros(1, dtype=np.int64), scale=1.0),
        schedule=Schedule(period=period, depth={"p": 0}),
    )


def fired(program: Program, *currents: int) -> list[int]:
    given_ = {"p": np.array(currents, dtype=np.int64).reshape(1, -1, 1, 1, 1)}
    trace = TorchSimulator(program).run(currents=given_)
    assert_same(trace, simulate(program, currents=given_))
    return trace.spikes["p"].ravel().astype(int).tolist()


def test_a_threshold_met_exactly_is_silent() -> None:
    assert fired(lone(), 10, 0, 0, 0) == [0, 0, 0, 0]
    assert fired(lone(), 10, 1, 10, 0) == [0, 1, 0, 0]
    assert fired(lone(bias=1), 10, 0, 0, 0) == [1, 0, 0, 0]  # 641 > 640, in 1/64


def test_negatives_are_truncated_toward_zero() -> None:
    # dv = 2048: -1 unit is -64, -32, ..., -1, 0; floor would stay at -1 and 640 + 1 - 1 would not fire
    assert fired(lone(dv=2048, steps=9), -1, 0, 0, 0, 0, 0, 0, 0, 10) == [0] * 9
    assert fired(lone(dv=2048, steps=9, bias=1), -2, 0, 0, 0, 0, 0, 0, 0, 10) == [0] * 8 + [1]


def test_u_wraps_once_beyond_24_bits() -> None:
    edge = 1 << 17  # 64 times this is 2**23, which survives; v is clipped to one less
    assert fired(lone(vth=(1 << 17) - 1, steps=3), edge, edge + 1, -edge) == [1, 0, 0]
    assert fired(lone(steps=2), 3 * edge, 2 * edge) == [1, 0]  # one turn, not two


def test_v_is_clipped() -> None:
    limit = (1 << 17) - 1
    # Two steps down would reach -2**24; clipped, two steps up come back to where the third can fire
    assert fired(lone(steps=5), -limit, -limit, limit, 12, 0) == [0, 0, 0, 1, 0]
    assert fired(lone(steps=5), -limit, -limit, limit, 9, 0) == [0, 0, 0, 0, 0]


# ------------------------------------------------------------------------------------------------------------ its parts


def test_cycles_alone_are_walked() -> None:
    found = components(random_program(3, back=((1, 1),)))
    assert [[p.id for p in group] for group, cyclic in found if cyclic] == [["p1"]]
    assert not any(cyclic for _, cyclic in components(random_program(3)))
    program = random_program(3, back=((2, 0),))
    loop = next({p.id for p in group} for group, cyclic in components(program) if cyclic)
    assert {"p0", "p2"} <= loop
    assert program.readout.readings[0].src not in loop


def test_relays_and_ors_are_not_computed_as_neurons() -> None:
    program = random_program(1)
    gates = TorchSimulator(program).engine.gates
    assert {p.id for p in program.populations if p.role != "neuron"} == set(gates)
    assert any(pool is not None for _, pool in gates.values())


def test_a_delayed_clock_misses_the_first_timestep() -> None:
    program = lone(vth=10, dv=4095, steps=3)
    weight = LinearMap(kind="dense", weight=np.array([[20]], dtype=np.int8))
    clock = Synapse(id="c", src=CLOCK, dst="p", map=weight, distance=1)
    looped = Synapse(id="s", src="p", dst="p", map=replace(weight, weight=np.array([[-20]], dtype=np.int8)), distance=1)
    program = replace(program, synapses=(clock, looped), schedule=Schedule(period=1, depth={"p": 0}, blank=1))
    assert fired(program, 0, 0, 0) == [0, 1, 0]


@pytest.mark.parametrize("weight", [20, 5])
def test_a_delayed_synapse_outside_of_a_cycle(weight: int) -> None:
    """Folded with time shifted; as a relay (20 beyond the threshold of 10) and as a neuron."""
    program = lone()
    one = LinearMap(kind="conv", weight=np.full((1, 1, 1, 1), weight, dtype=np.int8))
    late = Synapse(id="s", src="p", dst="q", map=one, distance=1)
    q = replace(program.populations[0], id="q")
    schedule = Schedule(period=1, depth={"p": 0, "q": 0}, blank=1)
    program = replace(program, populations=(*program.populations, q), synapses=(late,), schedule=schedule)
    program.verify()
    assert not any(cyclic for _, cyclic in components(program))
    given_ = {"p": np.array([11, 11, 0, 11]).reshape(1, 4, 1, 1, 1)}
    simulator = TorchSimulator(program)
    assert ("q" in simulator.engine.gates) == (weight == 20)
    trace = simulator.run(currents=given_)
    assert_same(trace, simulate(program, currents=given_))
    assert trace.spikes["p"].ravel().tolist() == [True, True, False, True]
    assert trace.spikes["q"].ravel().tolist() == [False, True, True, False] if weight == 20 else [False] * 4


@pytest.mark.parametrize("groups", [1, 2])
def test_the_unfolded_convolution_of_gpus_is_the_same_map(groups: int) -> None:
    rng = np.random.default_rng(groups)
    linear = LinearMap(
        kind="pooled_conv",
        weight=rng.integers(-128, 128, (4, 4 // groups, 3, 2)).astype(np.int8),
        stride=(2, 1),
        pad=(1, 0),
        groups=groups,
        pre=(Pool((2, 2), (1, 1), (1, 1)),),
        post=(Pool((2, 3), (1, 2), (1, 1)),),
    )
    source, x = (4, 9, 8), rng.integers(0, 2, (3, 4, 9, 8))
    target = linear.out_shape(source)
    expected = apply(linear, x, target).transpose(0, 2, 3, 1).reshape(3, -1) * 128
    images = torch.from_numpy(x.transpose(0, 2, 3, 1).copy()).to(torch.uint8)
    here = torch_maps.TorchMap(linear, source, target, 1, "cpu")
    assert np.array_equal(here(images).numpy(), expected)
    y = images.permute(0, 3, 1, 2).float()
    for pool in linear.pre:
        y = torch_maps.sum_pool(y, pool)
    unfolded = torch_maps.unfolded_conv(y, here._weight(torch.float32), linear)
    assert np.array_equal(here._flat(unfolded).numpy(), expected)


def test_compile_falls_back_to_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        def call(*inner: Any) -> None:
            raise RuntimeError("no compiler\nhere")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    program = random_program(2)
    with pytest.warns(UserWarning, match="no compiler here.*eagerly"):
        simulator = TorchSimulator(program, compile=True)
    assert not simulator.compiled
    given_ = driven(program, 2, 0)
    assert_same(simulator.run(**given_), simulate(program, **given_))


def test_what_a_compiled_step_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop around a compiled step, with a compiler that does nothing."""
    monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
    program = random_program(2, back=((2, 0),))
    simulator = TorchSimulator(program, compile=True)
    assert simulator.compiled
    given_ = driven(program, 2, 0)
    assert_same(simulator.run(**given_), simulate(program, **given_))


def test_refusals() -> None:
    program = random_program(0)
    for currents in (None, {}):
        with pytest.raises(UsageError, match="neither currents nor spikes"):
            TorchSimulator(program).run(currents=currents)
    counted = replace(random_program(1, kind="spikes"), input_kind="counts")
    x = np.full((1, counted.timesteps, *counted.input_shape), 2.0)
    with pytest.raises(UnsupportedError, match="an input count of 2"):
        next(TorchSimulator(counted).run_input(x))
