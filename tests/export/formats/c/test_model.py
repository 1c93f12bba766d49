"""C against the simulator: compiled with all warnings as errors and both sanitizers, run, compared bit by bit."""

from dataclasses import replace

import numpy as np
import pytest

from snnas.export.formats.c import c_model, compare, gather, plan
from snnas.hw_sim.c import compilers, native
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.host_stage import with_integers
from snnas.hw_sim.program import LinearMap, Pool
from snnas.toolchain.models.in_c import prepare
from tests.c_programs import every_map, overflowing, random_variant, read_otherwise, samples


@pytest.fixture(scope="session")
def compiler():
    found, why = compilers.native()
    if found is None:
        pytest.skip(why)
    return found


def differing(program, compiler, x=None):
    program.verify()
    c = prepare(program, samples(program) if x is None else x)
    assert any(spikes.any() for spikes in c.trace.spikes.values())
    return compare(c.plan, c.trace, native.run(c.model, c.given, compiler, sanitize=True))


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize(
    ("seed", "shape", "bits", "channels"), [(0, (2, 7, 6), 8, 8), (1, (1, 6, 6), 6, 3), (2, (12, 5, 6), 4, 20)]
)
def test_every_map_from_input_and_population(seed, shape, bits, channels, gathered, compiler, monkeypatch) -> None:
    monkeypatch.setattr(gather, "pays", lambda m, *_: gathered and m.groups == 1)
    found = differing(every_map(seed, shape, bits, channels), compiler)
    assert found.equal, found.first
    assert found.spikes > 10_000


@pytest.mark.parametrize("seed", [1, 3, 7, 12, 17, 24])
def test_random_programs(seed, compiler) -> None:
    """Analogue and spikes, periods above 1, soft reset, currents with memory, 4 and 6 bits, exponents to 7."""
    found = differing(random_variant(seed), compiler)
    assert found.equal, found.first


@pytest.mark.parametrize("memory", [False, True])
def test_registers_that_wrap_and_clip(memory, compiler) -> None:
    program = overflowing(5, memory)
    first = plan(program).units[0]
    assert first.lanes < 2
    assert first.turns
    assert first.clips
    found = differing(program, compiler)
    assert found.equal, found.first


@pytest.mark.parametrize("read", ["sum", "last", "max"])
def test_readouts_with_memory(read, compiler) -> None:
    program = read_otherwise(random_variant(2), read, seed=4)
    found = differing(program, compiler)
    assert found.equal, found.first
    assert found.logits == 12


def test_a_wrong_number_is_found_where_it_acts(compiler) -> None:
    program = random_variant(2)
    c = prepare(program, samples(program))
    victim = c.plan.units[1].population
    populations = [replace(p, vth=p.vth // 4) if p is victim else p for p in program.populations]
    wrong = replace(program, populations=tuple(populations))
    ran = native.run(c_model(plan(wrong)), c.given, compiler)
    found = compare(c.plan, c.trace, ran)
    assert found.first is not None
    assert found.first.population == victim.id
    sample, timestep, neuron = found.first.sample, found.first.timestep, found.first.neuron
    spikes = c.trace.spikes[victim.id][sample].reshape(program.timesteps, -1)
    assert not spikes[timestep, neuron]  # it fires too early there


def test_a_fault_in_memory_is_heard(compiler) -> None:
    program = random_variant(2)
    c = prepare(program, samples(program))
    broken = c.model.source.replace("a[k >> 1] +=", "a[(k >> 1) + 100000u] +=")
    broken = broken.replace("a[0] += ", "a[100000] += ")
    assert broken != c.model.source
    with pytest.raises(GateError, match="ends with"):
        native.run(replace(c.model, source=broken), c.given, compiler, sanitize=True)


def test_a_warning_is_an_error(compiler) -> None:
    c = prepare(random_variant(2), samples(random_variant(2)))
    with pytest.raises(GateError, match="refuses the model"):
        native.run(replace(c.model, source=c.model.source + "\nstatic int unused;\n"), c.given, compiler)


def test_a_current_beyond_16_bits_is_refused_by_name() -> None:
    program = random_variant(1)
    with pytest.raises(UnsupportedError, match=r"population p0: the host injects .* beyond 16 bits"):
        prepare(program, samples(program) * 1e4)


def test_windows_of_too_many_spikes_are_refused_by_name() -> None:
    program = every_map(0, (1, 6, 6))
    pools = (Pool((301, 301), (1, 1), (150, 150)),)
    first = program.synapses[0]
    pooled = replace(first, map=replace(first.map, pre=pools, kind="pooled_conv"))
    with pytest.raises(UnsupportedError, match="pools of 90601 spikes"):
        c_model(plan(replace(program, synapses=(pooled,))))


def test_equal_programs_give_equal_text() -> None:
    one, two = (c_model(plan(random_variant(3))) for _ in range(2))
    assert one.source == two.source
    assert one.header == two.header
    assert np.array_equal(one.words, two.words)


def with_host(kind):
    """A program whose host stage is of a kind: a window, padded or not, a matrix, or several maps joined."""
    program = random_variant(7)
    first = program.host[0]
    p = program.population(first.dst)
    c, h, w = program.input_shape
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(p.size, c * h * w)).astype(np.float32) / 40
    maps = {
        "dense": LinearMap(kind="dense", weight=plain),
        "pooled": replace(first.map, kind="pooled_conv", pre=(Pool((3, 3), (1, 1), (1, 1)),)),
    }
    if kind == "joined":
        more = replace(first, id="more", map=maps["dense"], gain=0.5)
        return replace(program, host=(*program.host, more))
    return replace(program, host=(replace(first, map=maps[kind]), *program.host[1:]))


@pytest.mark.parametrize("kind", ["dense", "pooled", "joined"])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.5, 1.0)])
def test_a_host_stage_in_integers(kind, ends, compiler) -> None:
    program = with_integers(replace(with_host(kind), input_range=ends))
    found = differing(program, compiler, np.concatenate([samples(program), samples(program) * 0 + ends[0]]))
    assert found.equal, found.first


@pytest.mark.parametrize("kind", ["dense", "pooled", "joined"])
def test_channels_of_other_units(kind, compiler) -> None:
    program = with_host(kind)
    units = (100.0, 1.0, 0.02)[: program.input_shape[0]]
    x = samples(program) * np.array(units).reshape(-1, 1, 1)
    program = with_integers(replace(program, input_range=(0.0, 100.0)), [x])
    assert program.host_integers is not None
    assert program.host_integers.finer[1] == 5
    found = differing(program, compiler, x)
    assert found.equal, found.first
    assert f"step of its channel {program.host_integers.step!r}, " in c_model(plan(program)).header


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_a_still_frame_is_given_once_and_frames_each_time(seed, compiler) -> None:
    program = with_integers(random_variant(seed))
    still = np.random.default_rng(seed).random((3, *program.input_shape), np.float32)
    assert differing(program, compiler, still).equal
    moving = np.stack([np.roll(still, t, axis=-1) for t in range(program.timesteps)], axis=1)
    assert differing(program, compiler, moving).equal


def test_a_late_host_map_is_refused_by_name() -> None:
    program = random_variant(1)
    late = replace(program, host=tuple(replace(h, distance=1) for h in program.host))
    with pytest.raises(UnsupportedError, match=f"host map {program.host[0].id}: injected 1 timesteps late"):
        c_model(plan(with_integers(late)))


@pytest.mark.parametrize(("lanes", "exponent"), [(2, 0), (0, 6)])
def test_pools_of_sums_whose_windows_lie_beside_the_source(lanes, exponent, compiler) -> None:
    """A window of padding alone sums to 0, also where another pool reads it; memory of the last timestep is no sum."""
    p = every_map(0, (2, 7, 6), channels=8)
    wide, small = Pool((2, 2), (2, 2), (2, 3)), Pool((2, 2), (1, 1))
    k = next(k for k, s in enumerate(p.synapses) if s.map.post)
    m = replace(p.synapses[k].map, post=(wide, small))
    target = replace(p.population(p.synapses[k].dst), shape=m.out_shape(p.input_shape), vth=20)
    target = replace(target, bias=np.zeros((target.shape[0], 1, 1), np.int16))
    synapse = replace(p.synapses[k], map=m, exponent=exponent)
    alone = replace(p, populations=(target,), synapses=(synapse,), schedule=replace(p.schedule, depth={target.id: 0}),
                    readout=replace(p.readout, readings=(replace(p.readout.readings[0], src=target.id,
                    weight=np.ones((3, target.size), np.int8)),)))  # fmt: skip
    assert plan(alone).units[0].lanes == lanes
    found = differing(alone, compiler)
    assert found.equal, found.first
