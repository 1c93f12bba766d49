"""A soft reset, which takes something from the membrane: in the arithmetic, the simulators, counts and ranges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.observed_ranges import Recording, observe
from snnas.export.compiler.ranges import prove
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim import kernels
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.map.system import load_system
from snnas.hw_sim.program import LinearMap, Population, Program, Schedule, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import host_currents, simulate
from tests.programs import random_program


def softened(program: Program, seed: int) -> Program:
    """Every neuron's spike takes something between half and twice its threshold."""
    rng = np.random.default_rng(seed)
    populations = tuple(
        replace(p, taken=int(rng.integers(32, 129)) * p.vth) if p.role == "neuron" else p for p in program.populations
    )
    return replace(program, populations=populations)


def by_hand(a: list[int], bias: int, dv: int, vth: int, leaks: int, taken: int) -> tuple[list[int], list[bool]]:
    """The states and spikes in Python's own whole numbers."""
    v, states, fired = 0, [], []
    for now in a:
        for _ in range(leaks):
            magnitude = abs(v) * (4096 - dv) // 4096
            v = magnitude if v > 0 else -magnitude
        v = max(-8388607, min(8388607, v + 64 * now + bias))
        fired.append(v > 64 * vth)
        v -= taken if fired[-1] else 0
        states.append(v)
    return states, fired


@settings(max_examples=100)
@given(
    a=st.lists(st.integers(-3000, 9000), min_size=1, max_size=12),
    bias=st.integers(-5000, 5000),
    dv=st.integers(0, 4095),
    vth=st.integers(0, 9000),
    leaks=st.integers(1, 3),
    taken=st.integers(1, 1 << 20),
)
def test_the_kernel_is_the_formula(a: list[int], bias: int, dv: int, vth: int, leaks: int, taken: int) -> None:
    wanted = by_hand(a, bias, dv, vth, leaks, taken)
    torch = pytest.importorskip("torch")
    for array in (np.array, torch.tensor):
        v, states, fired = array([0]), [], []
        for now in a:
            v, spikes = kernels.neuron_step(v, array([now]), array([bias]), dv, vth, leaks, taken)
            states.append(int(v[0]))
            fired.append(bool(spikes[0]))
        assert (states, fired) == wanted


@pytest.mark.parametrize("back", [(), ((2, 0),)])
@pytest.mark.parametrize("seed", range(6))
def test_both_simulators_agree(seed: int, back: tuple[tuple[int, int], ...]) -> None:
    pytest.importorskip("torch")
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

    program = softened(replace(random_program(seed, back=back, kind="spikes"), timesteps=9), seed)
    x = np.random.default_rng(seed).random((4, 9, *program.input_shape)) < 0.5
    trace, hard = simulate(program, spikes_in=x), simulate(random_hard(program), spikes_in=x)
    assert any((trace.spikes[n] != s).any() for n, s in hard.spikes.items())
    other = TorchSimulator(program).run(spikes_in=x)
    assert all(np.array_equal(trace.spikes[n], other.spikes[n]) for n in trace.spikes)
    assert np.array_equal(trace.logits, other.logits)


def random_hard(program: Program) -> Program:
    return replace(program, populations=tuple(replace(p, taken=0) for p in program.populations))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_proved_of_the_membrane_holds_on_samples(seed: int) -> None:
    program = softened(replace(random_program(seed), timesteps=12), seed)
    proved = prove(program)
    x = np.random.default_rng(seed).random((6, *program.input_shape))
    currents = host_currents(program, x)
    run = Recording(trace=simulate(program, currents=currents), currents=currents, spikes_in=None)
    for p in program.populations:
        for register, seen in observe(program, p.id, run).items():
            bound = proved[p.id].registers[register]
            assert bound.low <= seen.low <= seen.high <= bound.high, (p.id, register)


def alone(taken: int) -> Program:
    """One neuron that is pushed by twice its threshold at every timestep, and forgets nothing."""
    neuron = Population(id="n", shape=(1, 1, 1), dv=0, vth=10, scale=1.0, bias=np.zeros((1, 1, 1), np.int16))
    push = LinearMap(kind="dense", weight=np.array([[20]], np.int8))
    return Program(
        timesteps=4,
        input_shape=(1, 1, 1),
        input_kind="spikes",
        populations=(replace(neuron, taken=taken),),
        synapses=(Synapse(id="s", src="input", dst="n", map=push),),
        host=(),
        readout=summed(src="n", weight=np.ones((1, 1), np.int8), bias=np.zeros(1, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={"n": 0}, blank=0),
    )


def test_what_is_left_fires_again_and_is_counted() -> None:
    """One spike of input, 1280 against 640. Taking 640 leaves 640, which is not above it; taking 600 leaves 680."""
    x = np.zeros((1, 4, 1, 1, 1), bool)
    x[0, 0] = True
    for taken, spikes in ((0, [1, 0, 0, 0]), (640, [1, 0, 0, 0]), (600, [1, 1, 0, 0]), (300, [1, 1, 1, 0])):
        trace = simulate(alone(taken), spikes_in=x)
        assert trace.spikes["n"].ravel().tolist() == spikes
        counter = Counter(alone(taken), map_program(alone(taken), load_system("generic")))
        counter.add(trace, spikes_in=x)
        # a hard reset leaves nothing to update; what a soft one leaves goes on
        assert counter.result().populations[0].active == (4 if taken else 1)


def test_the_upper_end_grows_with_what_is_left_over() -> None:
    assert prove(alone(0))["n"].registers["v"].high == 640 + 1280
    assert prove(alone(600))["n"].registers["v"].high == 1280 + 3 * (1280 - 600)
    assert prove(alone(2000))["n"].registers["v"].low == 641 - 2000


def test_a_program_keeps_it_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    write_program(path, alone(600))
    assert read_program(path).populations[0].taken == 600
    with pytest.raises(UnsupportedError, match="soft reset 8388608 is outside"):
        alone(1 << 23).verify()
    write_program(path, alone(0))
    assert read_program(path).populations[0].taken == 0


def test_only_a_generic_system_subtracts(tmp_path: Path) -> None:
    assert [load_system(n).soft_reset for n in ("loihi1", "loihi2", "generic")] == [False, False, True]
    broken = tmp_path / "mine.toml"
    source = Path(__file__).parents[3] / "hw_sim/map/systems/generic.toml"
    broken.write_text(source.read_text().replace("soft_reset = true", 'soft_reset = "yes"'))
    with pytest.raises(InvalidFileError, match="soft_reset is 'yes'; expected true or false"):
        load_system(str(broken))
