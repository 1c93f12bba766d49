"""What becomes C: vanished relays, widths that are proved, memory that is shared while nobody else needs it."""

from dataclasses import replace

import numpy as np
import pytest

from snnas.export.formats.c import plan
from snnas.export.formats.c.packing import rows, single, singles, table
from snnas.export.formats.c.plan import held, layout, words
from snnas.hw_sim.program import LinearMap, Program
from tests.c_programs import of_neurons, overflowing, random_variant
from tests.programs import random_program

BACK = ((3, 1),)


def relays(program: Program) -> list[str]:
    return [p.id for p in program.populations if p.role == "relay"]


def test_relays_vanish_and_their_delays_add_up() -> None:
    program = random_program(6, back=BACK)
    made = plan(program)
    assert relays(program)
    assert [u.population.id for u in made.units] == [p.id for p in program.in_order if p.role != "relay"]
    late = [c for u in made.units for c in u.connections if c.distance]
    assert [c.distance for c in late] == [1]
    assert made.units[late[0].src].history == 1


def test_a_relay_that_does_not_pass_everything_on_stays() -> None:
    program = random_program(6, back=BACK)
    name = relays(program)[0]
    deaf = [replace(p, vth=2) if p.id == name else p for p in program.populations]
    kept = plan(replace(program, populations=tuple(deaf)))
    assert [u.population.id for u in kept.units if u.population.role == "relay"] == [name]


def test_two_inputs_share_a_word_where_16_bits_are_proved() -> None:
    assert {u.lanes for u in plan(random_program(2)).units} == {2}
    wide = plan(overflowing(5, memory=False)).units
    assert wide[0].lanes == 0  # 128 * 127 * 48 inputs: beyond 2**18
    watched = replace(random_program(2), meta={"observed": ["p1"]})
    found = {u.population.id: (u.lanes, u.clips, u.turns) for u in plan(watched).units}
    assert found["p1"] == (1, True, True)
    assert found["p0"] == (2, False, False)


def test_an_or_has_no_state_and_a_neuron_has() -> None:
    for u in plan(random_program(2)).units:
        assert u.forgets == (u.population.role == "or")
    soft = of_neurons(random_program(2), lambda p: replace(p, taken=50))
    assert not any(u.forgets for u in plan(soft).units if u.population.role == "neuron")


@pytest.mark.parametrize("seed", range(12))
def test_nobody_writes_over_spikes_that_are_still_read(seed) -> None:
    made = plan(random_variant(seed))
    last = {u.index: u.index for u in made.units} | {-1: -1}
    for u in made.units:
        for c in u.connections:
            last[c.src] = max(last[c.src], u.index)
    last |= {unit: len(made.units) for unit, _, _ in made.readings}
    size = {u.index: held(u.population.size) for u in made.units}
    size[-1] = held(int(np.prod(made.program.input_shape)))
    for one, at in made.bits.items():
        for other, there in made.bits.items():
            if one < other <= last[one]:
                assert at + size[one] <= there or there + size[other] <= at, (one, other)
    assert max((at + size[k] for k, at in made.bits.items()), default=0) == made.shared


def test_memory_is_used_again() -> None:
    made = plan(random_program(2, layers=6))
    assert made.shared < sum(held(u.population.size) for u in made.units)


def test_layouts() -> None:
    assert (layout((1, 4, 4)).stride, layout((2, 4, 4)).stride, layout((3, 4, 4)).stride) == (1, 2, 4)
    assert (layout((6, 1, 1)).stride, layout((6, 1, 1)).places, layout((6, 2, 1)).places) == (6, 8, 16)
    values = np.arange(12).reshape(3, 2, 2)
    assert layout((3, 2, 2)).placed(values).tolist() == [0, 4, 8, 0, 1, 5, 9, 0, 2, 6, 10, 0, 3, 7, 11, 0]
    assert layout((3, 2, 2)).order.tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert layout((3, 2, 2)).place(np.array([0, 4, 11])).tolist() == [0, 1, 14]
    assert (words(32), words(33), held(33)) == (1, 2, 3)


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_packed_weights_read_back(bits) -> None:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    weight = np.array([[low, high, -1, 0, 1], [3, -3, low, high, 2]])
    kind, packed = rows(weight, bits)
    assert kind == {8: "uint32_t", 6: "uint8_t", 4: "uint16_t"}[bits]
    assert packed.size == 4 * {8: 1, 6: 3, 4: 1}[bits]
    first = int(packed[0]) if bits != 6 else int(packed[0]) | int(packed[1]) << 8 | int(packed[2]) << 16
    places = {8: (0, 16, 8, 24), 6: (0, 6, 12, 18), 4: (0, 4, 8, 12)}[bits]
    assert [(first >> at & (1 << bits) - 1) + low for at in places] == [low, high, -1, 0]
    kind, one_by_one = singles(weight, bits)
    found = one_by_one.tolist()
    read = {
        8: lambda k: found[k],
        6: lambda k: ((found[6 * k >> 3] | found[(6 * k >> 3) + 1] << 8) >> (6 * k & 7) & 63) - 32,
        4: lambda k: (found[k >> 1] >> 4 * (k & 1) & 15) - 8,
    }[bits]
    assert [read(k) for k in range(10)] == weight.ravel().tolist()
    assert single("w", "k", bits) == ("(int32_t)w[k]" if bits == 8 else f"snnas_w{bits}(w, k)")


def test_a_table_has_as_few_numbers_as_it_can() -> None:
    assert table("t", np.full((2, 3, 1), 5), 4).at("k", "c") == "20"
    per_channel = table("t", np.array([1, 2]).reshape(2, 1, 1), 300)
    assert "int16_t t[2] = {\n300,600\n}" in per_channel.declared
    assert per_channel.at("k", "c") == "(int32_t)t[c]"
    each = table("t", np.arange(4).reshape(2, 2, 1), 4)
    assert "{\n0,2,1,3\n}" in each.declared
    assert each.at("k", "c") == "(int32_t)t[k] * 4"


def test_a_relay_of_a_pool_is_none() -> None:
    program = random_program(6, back=BACK)
    name = relays(program)[0]
    shape = program.population(name).shape
    ones = np.full((shape[0], 1, 3, 3), 2, np.int8)
    pooling = LinearMap(kind="conv", weight=ones, pad=(1, 1), groups=shape[0])
    synapses = [replace(s, map=pooling) if s.dst == name else s for s in program.synapses]
    kept = plan(replace(program, synapses=tuple(synapses)))
    assert name in [u.population.id for u in kept.units]
