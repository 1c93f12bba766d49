"""Cores change places: hops as counted, never more than before, nothing else moved. Cuts along every axis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.map import placement
from snnas.hw_sim.map.fitting import advice
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.map.system import UNLIMITED
from snnas.hw_sim.map.wiring import box_size
from snnas.hw_sim.program import INPUT
from tests.hw_sim.simulate.test_counts import (
    TINY,
    conv,
    count,
    dense,
    population,
    program,
    random_program,
    random_spikes,
)

LOIHI = load_system()


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_hops_are_those_that_are_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    spikes = random_spikes(made, rng, batch=1)
    rates = {p.id: spikes[p.id][0].mean(axis=0) for p in made.populations}  # per neuron, so that messages are exact
    m = map_program(made, replace(TINY, compartments=int(rng.integers(2, 30))), rates=rates)
    assert m.hops is not None
    assert m.hops.weights == "spikes"
    counted = count(made, spikes, m)
    assert m.hops.after * made.timesteps == pytest.approx(sum(s.hops_ew + s.hops_ns for s in counted.sources))
    assert m.hops.crossings_after * made.timesteps == pytest.approx(sum(s.crossings for s in counted.sources))
    cost = [m.hops.before + placement.CROSSING * m.hops.crossings_before]
    cost.append(m.hops.after + placement.CROSSING * m.hops.crossings_after)
    assert cost[1] <= cost[0] * (1 + 1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_a_search_ends_where_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    messages = np.where(rng.random((n, n)) < 0.3, rng.integers(0, 50, (n, n)), 0).astype(float)
    place, hops = placement.improve(messages, TINY.position, weighted=False)
    assert sorted(place.tolist()) == list(range(n))
    assert (placement.improve(messages, TINY.position, weighted=False)[0] == place).all()
    where = np.array([TINY.position(int(k)) for k in place])
    total = crossed = 0.0
    for a in range(n):
        for b in range(n):
            tiles = abs(where[a] - where[b])
            total += messages[a, b] * (tiles[1] + tiles[2]) * (tiles[0] == 0)
            crossed += messages[a, b] * (tiles[0] != 0)
    assert (hops.after, hops.crossings_after) == pytest.approx((total, crossed))


def test_cores_that_talk_move_together() -> None:
    messages = np.zeros((16, 16))
    messages[0, 15] = messages[15, 0] = 100.0
    place, hops = placement.improve(messages, replace(TINY, cores=16, tile_cores=1).position, weighted=True)
    assert hops.before > hops.after == 200.0
    assert place[0] != place[15]


def test_the_search_leaves_usage_with_its_core() -> None:
    made = random_program(np.random.default_rng(3))
    m = map_program(made, TINY)
    for core, usage in enumerate(m.usage):
        held = sum(box_size(part.box) for part in m.slices if part.core == core)
        assert usage["compartments"][0] == held


def test_large_programs_keep_the_packers_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "MAX_CORES", 3)
    assert map_program(random_program(np.random.default_rng(3)), TINY).hops is None


@pytest.mark.parametrize(("shape", "axis"), [((2, 64, 2), 1), ((2, 2, 64), 2), ((64, 1, 1), 0)])
def test_layers_are_cut_along_their_longest_side(shape: tuple[int, int, int], axis: int) -> None:
    made = program([population("a", shape)], [(INPUT, "a", conv(shape[0], 1, 1))], input_shape=(1, *shape[1:]))
    m = map_program(made, replace(LOIHI, compartments=32 if axis else 8))
    assert m.fits
    held: np.ndarray = np.zeros(shape, dtype=int)
    for part in m.of("a"):
        held[part.where] += 1
        sides = [part.box[2 * k + 1] - part.box[2 * k] for k in range(3)]
        assert 4 < sides[axis] <= 8
        assert [n for k, n in enumerate(sides) if k != axis] == [n for k, n in enumerate(shape) if k != axis]
    assert (held == 1).all()


def test_utilisation_says_what_binds() -> None:
    made = program([population("a", (1500, 1, 1))], [(INPUT, "a", dense(1500, 8))], input_shape=(8, 1, 1))
    m = map_program(made, LOIHI)
    used = m.utilisation
    assert m.binds == "compartments"
    assert used["compartments"].used == 1502
    assert used["compartments"].mean == pytest.approx(1502 / 1024 / m.cores)
    assert sum(u.binds for u in used.values()) == m.cores


def test_fewer_bits_take_less_memory() -> None:
    made = program(
        [population("a", (64, 4, 4)), population("b", (64, 4, 4))],
        [(INPUT, "a", conv(64, 1, 1)), ("a", "b", conv(64, 64, 3, pad=1))],
        input_shape=(1, 4, 4),
    )
    sizes = [map_program(made, LOIHI, weight_bits=b).utilisation["synapse_bytes"].used for b in (8, 4, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_advice_on_too_many_cores() -> None:
    made = program([population("a", (200, 1, 1))], [(INPUT, "a", dense(200, 1))])
    m = map_program(made, replace(LOIHI, compartments=10, cores=4, chips=(1, 2)))
    channels, bits, chips = advice(made, m)
    assert "about 38 %" in channels  # 8 of 21 cores
    assert "not enough" in bits
    assert "6 of loihi1 would hold it, the largest system has 2" in chips
    assert advice(made, map_program(made, LOIHI)) == []


def test_a_system_may_leave_axons_open_and_nothing_else(tmp_path: Path) -> None:
    loihi2 = load_system("loihi2")
    assert (loihi2.in_axons, loihi2.out_axons) == (UNLIMITED, UNLIMITED)
    assert (loihi2.compartments, loihi2.synapse_bytes, loihi2.cores) == (8192, 196608, 128)
    shipped = Path(placement.__file__).with_name("systems") / "loihi2.toml"
    bad = tmp_path / "bad.toml"
    bad.write_text(shipped.read_text().replace("value = 8192", 'value = "unpublished"'))
    with pytest.raises(InvalidFileError, match="compartments"):
        load_system(str(bad))
