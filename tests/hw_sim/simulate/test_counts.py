"""Counts against hand-computed nets and a naive, unrolled reference."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.energy.price import work
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.map.mapping import Mapping, System, load_system, map_program
from snnas.hw_sim.map.wiring import READOUT
from snnas.hw_sim.program import (
    CLOCK,
    INPUT,
    HostMap,
    LinearMap,
    Pool,
    Population,
    Program,
    Role,
    Schedule,
    Shape,
    Synapse,
)
from snnas.hw_sim.readout import Reading, summed
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.expected import expected_counts
from snnas.hw_sim.simulate.simulator import Trace, host_currents, simulate
from tests import programs

TINY = System(
    name="tiny",
    compartments=7,
    synapse_bytes=4096,
    in_axons=64,
    out_axons=512,
    cores=16,
    tile_cores=2,
    mesh_rows=2,
    chips=(1, 2, 64),
)


def population(name: str, shape: Shape, *, dv: int = 1024, bias: int = 0, role: Role = "neuron") -> Population:
    biases = np.full((shape[0], 1, 1), bias, dtype=np.int16)
    return Population(id=name, shape=shape, dv=dv, vth=1, scale=1.0, bias=biases, role=role)


def conv(out: int, into: int, k: int, *, stride: int = 1, pad: int = 0, groups: int = 1) -> LinearMap:
    weight = np.ones((out, into // groups, k, k), dtype=np.int8)
    return LinearMap(kind="conv", weight=weight, stride=(stride, stride), pad=(pad, pad), groups=groups)


def dense(out: int, into: int) -> LinearMap:
    return LinearMap(kind="dense", weight=np.ones((out, into), dtype=np.int8))


def program(
    populations: list[Population],
    joins: list[tuple[str, str, LinearMap]],
    *,
    input_shape: Shape = (1, 1, 1),
    timesteps: int = 2,
    period: int = 1,
    blank: int = 0,
    delayed: tuple[tuple[str, str, LinearMap], ...] = (),
    host: tuple[HostMap, ...] = (),
) -> Program:
    """A chain by depth; the readout has 2 classes and reads the last population."""
    last = populations[-1]
    synapses = [Synapse(id=f"s{i}", src=a, dst=b, map=m) for i, (a, b, m) in enumerate(joins)]
    synapses += [Synapse(id=f"d{i}", src=a, dst=b, map=m, distance=1) for i, (a, b, m) in enumerate(delayed)]
    made = Program(
        timesteps=timesteps,
        input_shape=input_shape,
        input_kind="analogue" if host else "spikes",
        populations=tuple(populations),
        synapses=tuple(synapses),
        host=host,
        readout=summed(src=last.id, weight=np.ones((2, last.size), np.int8), bias=np.zeros(2, np.int64), scale=1.0),
        schedule=Schedule(period=period, depth={p.id: i for i, p in enumerate(populations)}, blank=blank),
    )
    made.verify()
    return made


def count(made: Program, spikes: dict[str, np.ndarray], mapping: Mapping | None = None) -> Counts:
    counter = Counter(made, mapping or map_program(made, load_system()))
    trace = Trace(spikes={p.id: spikes[p.id] for p in made.populations}, logits=np.zeros((1, 2), dtype=np.int64))
    counter.add(trace, spikes_in=spikes.get(INPUT))
    return counter.result()


def silent(made: Program, batch: int = 1) -> dict[str, np.ndarray]:
    shapes = {p.id: p.shape for p in made.populations} | {INPUT: made.input_shape}
    return {name: np.zeros((batch, made.timesteps, *shape), dtype=bool) for name, shape in shapes.items()}


def test_one_neuron_one_synapse() -> None:
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))], timesteps=3)
    spikes = silent(made)
    spikes[INPUT][0, 0] = True  # arrives at t = 0 and leaves a state
    spikes["a"][0, 1] = True  # which a spike clears
    c = count(made, spikes)
    a, readout = c.populations
    assert (a.neurons, a.spikes, a.active, a.idle) == (1, (0, 1, 0), 2, 1)
    assert (a.fill_active, a.fill_idle) == (0, 1)  # depth 0: one step after the last one, state 0
    assert (readout.role, readout.active, readout.idle) == ("readout", 4, 2)
    assert [(s.id, s.synops) for s in c.synapses] == [("s0", 1), (READOUT, 2)]
    assert [(s.id, s.messages) for s in c.sources] == [("a", 1), (INPUT, 1)]
    assert (c.steps, c.sample_spikes, c.sample_synops) == (4, (1,), (3,))
    assert c.sar == pytest.approx(1 / 3)


def test_what_the_host_injects_is_billed_for_each_step_on_which_it_is_due() -> None:
    """a at depth 0 and b at depth 1 read the input, b once more a timestep late: three injections of each spike."""
    made = program(
        [population("a", (1, 1, 1)), population("b", (1, 1, 1))],
        [(INPUT, "a", dense(1, 1)), ("a", "b", dense(1, 1)), (INPUT, "b", dense(1, 1))],
        delayed=((INPUT, "b", dense(1, 1)),),
        timesteps=4,
        blank=1,
    )
    spikes = silent(made)
    spikes[INPUT][0, [0, 1, 3]] = True  # the last one would be due behind the last timestep for the late reader
    c = count(made, spikes)
    (driven,) = [s for s in c.sources if s.id == INPUT]
    assert (driven.spikes, driven.injected) == (3, 3 + 3 + 2)
    assert {s.id: s.synops for s in c.synapses} == {"s0": 3, "s1": 0, "s2": 3, "d0": 2, READOUT: 0}
    assert c.sample_synops == (8,)
    assert driven.messages == sum(sum(core.messages) for core in c.cores)
    # One core holds both: a's are due at t, b's at t + 1 and, late, at t + 2.
    assert c.cores[0].messages == (1, 2, 2, 2, 1, 0)
    assert dict((key, n) for _, key, n in work(c))["energy.input_spike"] == 8


@pytest.mark.parametrize("late", [0, 1])
def test_what_is_expected_of_the_host_is_what_it_injects(late: int) -> None:
    joins = [(INPUT, "a", dense(2, 2)), ("a", "b", dense(2, 2))]
    again = (INPUT, "b", dense(2, 2))
    made = program(
        [population("a", (2, 1, 1)), population("b", (2, 1, 1))],
        joins if late else [*joins, again],
        input_shape=(2, 1, 1),
        delayed=(again,) if late else (),
        timesteps=3,
        blank=late,
    )
    spikes = {name: np.ones_like(fired) for name, fired in silent(made).items()}
    counted = count(made, spikes)
    expected = expected_counts(made, map_program(made, load_system()), {"a": 1.0, "b": 1.0, INPUT: 1.0})
    for mine, theirs in zip(sorted(expected.sources, key=str), sorted(counted.sources, key=str), strict=True):
        assert mine.injected == theirs.injected * expected.samples
        assert mine.messages == theirs.messages * expected.samples
    assert [s.synops for s in expected.synapses] == [s.synops * expected.samples for s in counted.synapses]


def test_a_corner_spike_through_a_strided_padded_convolution() -> None:
    made = program([population("a", (4, 3, 3))], [(INPUT, "a", conv(4, 1, 3, stride=2, pad=1))], input_shape=(1, 5, 5))
    for position, windows in (((0, 0), 1), ((0, 1), 2), ((1, 1), 4), ((2, 2), 1), ((4, 4), 1), ((3, 4), 2)):
        spikes = silent(made)
        spikes[INPUT][0, 0, 0, position[0], position[1]] = True
        assert count(made, spikes).synapses[0].synops == 4 * windows


def test_a_grouped_convolution_reaches_its_group_only() -> None:
    made = program(
        [population("a", (6, 4, 4))], [(INPUT, "a", conv(6, 2, 1, groups=2))], input_shape=(2, 4, 4), timesteps=1
    )
    spikes = silent(made)
    spikes[INPUT][0, 0, 1, 2, 2] = True
    c = count(made, spikes)
    assert c.synapses[0].synops == 3
    assert c.populations[0].active == 3


def test_dense_clock_and_overhead() -> None:
    made = program(
        [population("a", (3, 1, 1)), population("r", (3, 1, 1), role="relay"), population("b", (2, 1, 1))],
        [
            (INPUT, "a", dense(3, 4)),
            (CLOCK, "a", dense(3, 1)),
            ("a", "r", dense(3, 3)),
            ("r", "b", dense(2, 3)),
        ],
        input_shape=(4, 1, 1),
    )
    spikes = silent(made)
    spikes[INPUT][0, :, :3] = True
    spikes["a"][0, 0, :2] = True
    spikes["r"][0, 0, :2] = True
    c = count(made, spikes)
    assert [s.synops for s in c.synapses] == [6 * 3, 2 * 3, 2 * 3, 2 * 2, 0]
    assert (c.spikes, c.overhead_spikes) == (2, 2)
    assert c.sar == pytest.approx(2 / (5 * 2))
    assert c.sar_of == pytest.approx({"a": 2 / 6, "r": 2 / 6, "b": 0.0})
    assert c.populations[0].active == 6  # the clock arrives everywhere, every timestep
    assert c.neurobench["SynapticOperations.Dense"] == 2 * (12 + 3 + 9 + 6 + 4)


def test_a_silent_net_is_idle() -> None:
    made = program([population("a", (2, 3, 3))], [(INPUT, "a", conv(2, 1, 1))], input_shape=(1, 3, 3), timesteps=5)
    c = count(made, silent(made, batch=3))
    assert c.synops == c.messages == c.spikes == sum(p.active + p.fill_active for p in c.populations) == 0
    assert c.populations[0].idle == 3 * 5 * 18
    assert c.populations[0].fill_idle == 3 * 1 * 18


def test_periods_blanks_and_delays_touch_every_compartment() -> None:
    made = program(
        [population("a", (2, 1, 1)), population("b", (2, 1, 1))],
        [(INPUT, "a", dense(2, 1)), ("a", "b", dense(2, 2))],
        delayed=(("b", "a", dense(2, 2)),),
        period=2,
        blank=1,
        timesteps=3,
    )
    spikes = silent(made)
    spikes["b"][0, 2, 0] = True  # arrives in the blank timestep
    c = count(made, spikes)
    for p in c.populations:
        assert p.active + p.idle == p.neurons * 2 * (3 + 1)
        assert p.fill_active + p.fill_idle == p.neurons * c.depth
    assert c.synops == 2 + 2
    assert c.populations[0].active == 2 * 2  # both neurons, both steps of the blank


def test_loads_fall_on_the_step_that_the_schedule_says() -> None:
    made = program(
        [population("a", (1, 1, 1)), population("b", (3, 1, 1))],
        [(INPUT, "a", dense(1, 1)), ("a", "b", dense(3, 1))],
        delayed=(("b", "a", dense(1, 3)),),
        period=2,
        blank=1,
    )
    spikes = silent(made)
    spikes[INPUT][0, 1] = True  # reaches a at step 2
    spikes["a"][0, 1] = True  # reaches b at step 3
    spikes["b"][0, 0, 0] = True  # t = 0 is step 1; reaches a at step 2, its timestep 1
    [core] = count(made, spikes).cores
    assert core.synops == (0, 0, 4, 3, 0, 0)  # input, b to a, b to the readout: 1 + 1 + 2; then a to b
    assert core.messages == (0, 0, 2, 1, 0, 0)  # input; b, to one core; a
    # a at step 2, cleared by its spike; b from step 3 on; the readout's two from step 2 on
    assert core.active == (0, 0, 3, 5, 5, 5)


def test_host_macs_and_currents() -> None:
    linear = replace(conv(2, 1, 3, pad=1), weight=np.ones((2, 1, 3, 3), np.float32))
    made = program(
        [population("a", (2, 4, 4))], [], host=(HostMap(id="h", dst="a", map=linear),), input_shape=(1, 4, 4)
    )
    macs = 2 * (4 * 4 + 8 * 6 + 4 * 9)  # corners, borders, inside
    mapping = map_program(made, load_system())
    for shape, frames in (((2, 1, 4, 4), 1), ((2, 2, 1, 4, 4), 2)):
        currents = host_currents(made, np.zeros(shape))
        counter = Counter(made, mapping)
        counter.add(simulate(made, currents=currents), currents=currents)
        c = counter.result()
        assert c.host_macs == 2 * frames * macs
        assert c.populations[0].active == 0  # a current of zero is none
    counter = Counter(made, mapping)
    counter.add(simulate(made, currents=currents))
    assert counter.result().populations[0].active == 2 * 2 * 32  # unknown: the bound


def test_a_still_image_is_computed_once_however_late_it_is_injected() -> None:
    """Into b at once, into a and c a timestep late: there the first timestep has nothing of it."""
    linear = replace(dense(1, 1), weight=np.ones((1, 1), np.float32))
    host = tuple(
        HostMap(id=f"h{name}", dst=name, map=linear, distance=late) for name, late in (("a", 1), ("b", 0), ("c", 1))
    )
    made = program([population(name, (1, 1, 1)) for name in "abc"], [], host=host, timesteps=3, blank=1)
    counter = Counter(made, map_program(made, load_system()))

    def computed(name: str, *current: int) -> int:
        return counter._computed(name, np.array(current).reshape(1, -1, 1, 1, 1))

    assert [computed(name, 0, 5, 5) for name in "abc"] == [1, 3, 1]
    assert [computed(name, 0, 5, 6) for name in "abc"] == [3, 3, 3]
    assert [computed(name, 5) for name in "b"] == [1]


def random_program(rng: np.random.Generator) -> Program:
    """Every synapse kind, a cycle of period 2 or none, the clock."""
    groups = int(rng.integers(1, 3))
    k, stride, pad = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(0, 2))
    first = conv(4, 2, k, stride=stride, pad=pad, groups=groups)
    a: Shape = first.out_shape((2, 5, 6))
    pool = Pool(kernel=(2, 2), stride=(1, 1), pad=(1, 1))
    pooled = replace(conv(2, 4, 2, pad=1), kind="pooled_conv", pre=(pool,), post=(Pool((2, 1), (2, 1)),))
    b = pooled.out_shape(a)
    into = int(np.prod(b))
    rows = rng.random((6, into)) < 0.3
    sparse = LinearMap(
        kind="sparse",
        weight=np.ones(int(rows.sum()), dtype=np.int8),
        indices=np.nonzero(rows)[1],
        indptr=np.concatenate([[0], rows.sum(axis=1).cumsum()]),
    )
    recurrent = bool(rng.integers(2))
    back = (("b", "a", dense(int(np.prod(a)), into)),) if recurrent else ()
    return program(
        [
            population("a", a, bias=int(rng.integers(0, 2)) * (not recurrent)),
            population("b", b, dv=int(rng.choice([0, 4095]))),
            population("c", (3, 2, 1), role="or"),
            population("d", (5, 1, 1)),
        ],
        [
            (INPUT, "a", first),
            (CLOCK, "b", dense(into, 1)),
            ("a", "b", pooled),
            ("b", "c", sparse),
            ("c", "d", dense(5, 6)),
        ],
        input_shape=(2, 5, 6),
        timesteps=3,
        period=2 if recurrent else 1,
        blank=int(recurrent),
        delayed=back,
    )


def unrolled(made: Program) -> dict[str, tuple[str, str, int, np.ndarray]]:
    """{synapse: (source, target, distance, bool (targets, sources))}, by a spike of every source neuron in turn."""
    maps = {s.id: (s.src, s.dst, s.distance, s.map) for s in made.synapses}
    read = made.readout.readings[0]
    maps[READOUT] = (read.src, READOUT, 0, LinearMap(kind="dense", weight=read.weight))
    out = {}
    for name, (src, dst, distance, linear) in maps.items():
        shape = made.source_shape(src)
        n = int(np.prod(shape))
        target = (2, 1, 1) if dst == READOUT else made.population(dst).shape
        ones = replace(linear, weight=np.ones_like(linear.weight))
        out[name] = src, dst, distance, apply(ones, np.eye(n).reshape(n, *shape), target).reshape(n, -1).T > 0
    return out


def random_spikes(made: Program, rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    rate = rng.random() * 0.5
    return {name: rng.random(zero.shape) < rate for name, zero in silent(made, batch).items()}


def naive(made: Program, mapping: Mapping, spikes: dict[str, np.ndarray]) -> dict[str, int]:
    """Synops, messages and active updates (of depth 0 to T * P) spike by spike and neuron by neuron."""
    core: dict[str, np.ndarray] = {}
    sizes = {p.id: p.shape for p in made.populations} | {READOUT: (2, 1, 1)}
    for name, shape in sizes.items():
        core[name] = np.full(shape, -1)
        for part in mapping.of(name):
            assert (core[name][part.where] == -1).all()
            core[name][part.where] = part.core
        assert (core[name] >= 0).all()
    wires = unrolled(made)
    batch, steps = spikes["a"].shape[:2]
    fired = {name: s.reshape(batch, steps, -1) for name, s in spikes.items()}
    fired[CLOCK] = np.ones((batch, steps, 1), dtype=bool)
    total = {"synops": 0, "messages": 0, "hops": 0, "crossings": 0, "active": 0}
    for name in fired:
        for _, _, neuron in np.argwhere(fired[name]):
            reached: set[int] = set()
            for src, dst, _, matrix in wires.values():
                if src == name:
                    targets = np.flatnonzero(matrix[:, neuron])
                    total["synops"] += len(targets)
                    reached |= set(core[dst].ravel()[targets].tolist())
            total["messages"] += len(reached)
            if name in core:
                chip, x, y = mapping.system.position(int(core[name].ravel()[neuron]))
                for there in map(mapping.system.position, reached):
                    total["crossings"] += there[0] != chip
                    total["hops"] += (abs(there[1] - x) + abs(there[2] - y)) * (there[0] == chip)
    for p in made.populations:
        for b in range(batch):
            for neuron in range(p.size):
                total["active"] += naive_active(made, p, wires, {n: f[b] for n, f in fired.items()}, neuron)
    return total


def naive_active(
    made: Program,
    p: Population,
    wires: dict[str, tuple[str, str, int, np.ndarray]],
    fired: dict[str, np.ndarray],
    neuron: int,
) -> int:
    active, state = 0, False
    biased = bool(p.bias.any())
    period = made.schedule.period
    for t in range(made.timesteps + made.schedule.blank):
        arrived = False
        for src, dst, distance, matrix in wires.values():
            if dst == p.id and 0 <= t - distance < made.timesteps and (t < made.timesteps or distance):
                arrived |= bool((fired[src][t - distance] & matrix[neuron]).any())
        state = state or arrived or biased
        active += state
        if t < made.timesteps:
            state = state and not fired[p.id][t, neuron] and p.role == "neuron"
        active += (period - 1) * state
    return active


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_equals_the_unrolled_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    system = replace(TINY, compartments=int(rng.integers(2, 40)), in_axons=int(rng.integers(40, 500)))
    mapping = map_program(made, system)
    spikes = random_spikes(made, rng, batch=2)
    c = count(made, spikes, mapping)
    expected = naive(made, mapping, spikes)
    assert c.synops == sum(c.sample_synops) == expected["synops"]
    assert c.messages == expected["messages"]
    assert sum(s.hops_ew + s.hops_ns for s in c.sources) == expected["hops"]
    assert sum(s.crossings for s in c.sources) == expected["crossings"]
    assert sum(p.active for p in c.populations if p.role != "readout") == expected["active"]
    check_cores(c)


def check_cores(c: Counts) -> None:
    """What the cores did is what the populations did."""
    assert sum(sum(core.synops) for core in c.cores) == c.synops
    assert sum(sum(core.messages) for core in c.cores) == c.messages
    assert {len(row) for core in c.cores for row in (core.synops, core.active, core.messages)} == {c.steps}
    assert sum(core.compartments for core in c.cores) == sum(p.neurons for p in c.populations)
    if not c.blank:
        busy = sum(p.active + p.fill_active for p in c.populations)
        assert sum(sum(core.active) for core in c.cores) == busy
    for core in c.cores:
        assert max(core.active) <= core.compartments * c.samples


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_batches_add_up_and_json_returns_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    mapping = map_program(made, TINY)
    spikes = random_spikes(made, rng, batch=3)
    whole = count(made, spikes, mapping)
    counter = Counter(made, mapping)
    for part in (slice(0, 2), slice(2, 3)):
        trace = Trace({p.id: spikes[p.id][part] for p in made.populations}, np.zeros((1, 2), dtype=np.int64))
        counter.add(trace, spikes_in=spikes[INPUT][part])
    assert counter.result() == whole
    assert Counts.from_json(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", 1),
        ("format", 2),
        ("samples", -1),
        ("samples", 0),
        ("samples", True),
        ("synapses", {}),
        ("system", 3),
        ("extra", 1),
    ],
)
def test_foreign_json_is_refused(place: str, value: object) -> None:
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    data = count(made, silent(made)).to_json()
    with pytest.raises(InvalidFileError, match="counts"):
        Counts.from_json(data | {place: value})


def test_missing_spikes_are_named() -> None:
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    counter = Counter(made, map_program(made, load_system()))
    with pytest.raises(UsageError, match="no sample"):
        counter.result()
    trace = Trace({"a": silent(made)["a"]}, np.zeros((1, 2), dtype=np.int64))
    with pytest.raises(UsageError, match="spikes of input"):
        counter.add(trace)
    with pytest.raises(UsageError, match="expected"):
        counter.add(trace, spikes_in=np.zeros((1, 1, 1, 1, 1), dtype=bool))


def test_every_population_that_is_read_is_counted() -> None:
    """Two populations into one readout: its accumulators once, the synapses of each."""
    made = programs.random_program(6)
    sizes = {p.id: p.size for p in made.populations}
    readings = tuple(Reading(src=name, weight=np.ones((3, sizes[name]), np.int8)) for name in ("p1", "p4"))
    made = replace(made, readout=replace(made.readout, readings=readings))
    mapping = map_program(made, load_system())
    counter = Counter(made, mapping)
    _, trace = programs.recorded(made, 3)
    counter.add(trace)
    counts = counter.result()
    synops = {s.src: s.synops for s in counts.synapses if s.dst == READOUT}
    assert synops == {name: 3 * int(trace.spikes[name].sum()) for name in ("p1", "p4")}
    assert [p.neurons for p in counts.populations if p.id == READOUT] == [3]
    rates = {p.id: float(trace.spikes[p.id].mean()) for p in made.populations}
    expected = {s.src: s.synops / 1000 for s in expected_counts(made, mapping, rates).synapses if s.dst == READOUT}
    assert expected == pytest.approx({name: n / 3 for name, n in synops.items()}, rel=0.01)
