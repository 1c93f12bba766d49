"""Placement: every neuron once, no limit exceeded where it fits, and what does not fit is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.map import placement
from snnas.hw_sim.map.fitting import advice
from snnas.hw_sim.map.mapping import RESOURCES, Mapping, Misfit, Utilisation, _room, _worst, load_system, map_program
from snnas.hw_sim.map.system import UNLIMITED
from snnas.hw_sim.map.wiring import READOUT, list_bytes, wirings
from snnas.hw_sim.program import INPUT
from tests.hw_sim.simulate.test_counts import TINY, conv, dense, population, program, random_program, unrolled
from tests.programs import random_program as random_host_program

LOIHI = load_system()


def test_list_bytes_rounds_blocks_up_to_words() -> None:
    assert list_bytes(np.array([0, 1, 6, 7, 64, 65]), 8).tolist() == [0, 8, 8, 16, 72, 80]
    assert int(list_bytes(3, 18)) == 8
    assert int(list_bytes(4, 18)) == 16  # 82 bits


def test_small_populations_share_a_core() -> None:
    made = program(
        [population("a", (8, 4, 4)), population("b", (10, 1, 1))],
        [(INPUT, "a", conv(8, 2, 3, pad=1)), ("a", "b", dense(10, 128))],
        input_shape=(2, 4, 4),
    )
    m = map_program(made, LOIHI)
    assert (m.cores, m.chips, m.chips_used, m.fits) == (1, 1, 1, True)
    kernels = 2 * int(list_bytes(9 * 8, 18))  # one list per input channel, shared by all positions
    lists = 128 * int(list_bytes(10, 8)) + 10 * int(list_bytes(2, 8))  # b, and the readout's
    assert m.usage[0] == {
        "compartments": (128 + 10 + 2, 1024),
        "synapse_bytes": (kernels + lists, 131072),
        "in_axons": (16 + 128 + 10, 4096),  # population axons per pixel, then one per neuron
        "out_axons": (128 + 10, 4096),
    }
    json.dumps(m.to_json())


def test_a_convolution_is_stored_once_per_core_not_per_position() -> None:
    made = program(
        [population("a", (4, 32, 32)), population("b", (64, 32, 32)), population("c", (1, 1, 1))],
        [(INPUT, "a", conv(4, 1, 1)), ("a", "b", conv(64, 4, 3, pad=1)), ("b", "c", conv(1, 64, 32))],
        input_shape=(1, 32, 32),
    )
    m = map_program(made, LOIHI)
    assert [f.place for f in m.misfits] == ["c"]  # its one kernel of 65536 weights
    assert len(m.of("b")) >= 64
    kernel = 4 * int(list_bytes(9 * 64, 18))
    whole = [part for part in m.of("b") if part.box[:2] == (0, 64)]
    assert whole
    for part in whole:
        alone = sum(other.core == part.core for other in m.slices) == 1
        assert m.usage[part.core]["synapse_bytes"][0] == kernel or not alone


def test_population_axons_cost_two_slots() -> None:
    made = program(
        [population("a", (2, 2, 2)), population("b", (2, 2, 2))],
        [(INPUT, "a", conv(2, 1, 1)), ("a", "b", conv(2, 2, 1))],
        input_shape=(1, 2, 2),
    )
    assert map_program(made, LOIHI).usage[0]["out_axons"][0] == 8 * 2 + 8 * 1


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_placements_are_whole_and_within_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    system = replace(
        TINY,
        compartments=int(rng.integers(1, 60)),
        in_axons=int(rng.integers(20, 300)),
        out_axons=int(rng.integers(20, 300)),
        synapse_bytes=int(rng.integers(200, 3000)),
    )
    m = map_program(made, system)
    for name, shape in ({p.id: p.shape for p in made.populations} | {READOUT: (2, 1, 1)}).items():
        held = np.zeros(shape, dtype=int)
        for part in m.of(name):
            held[part.where] += 1
        assert (held == 1).all()
    over = [(r, used) for usage in m.usage for r, (used, limit) in usage.items() if used > limit]
    assert bool(over) <= (not m.fits)
    assert {r for r, _ in over} == {f.resource for f in m.misfits} - {"cores"}
    assert all(f.used > f.limit for f in m.misfits)
    assert (m.cores > system.cores * system.chips[-1]) == any(f.resource == "cores" for f in m.misfits)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_reach_equals_the_unrolled_maps(seed: int) -> None:
    made = random_program(np.random.default_rng(seed))
    matrices = unrolled(made)
    m = map_program(made, TINY)
    for name, wire in wirings(made).items():
        for part in m.of(wire.dst):
            target = np.zeros(wire.dst_shape, dtype=bool)
            target[part.where] = True
            expected = matrices[name][3][target.ravel()].any(axis=0).reshape(wire.src_shape)
            reached = np.zeros(wire.src_shape, dtype=bool)
            reached[wire.reached(part.box)] = True
            assert (reached == expected).all() if wire.map.kind != "conv" else (reached >= expected).all()
            pixels = int(expected.any(axis=0).sum())
            if wire.is_conv:
                assert wire.in_axons(part.box, TINY.in_axons) == pixels
            elif not wire.population_axons(TINY.in_axons):
                assert wire.in_axons(part.box, TINY.in_axons) == int(expected.sum())


def test_what_does_not_fit_is_named_with_its_excess() -> None:
    made = program(
        [population("a", (32, 32, 32)), population("b", (1, 1, 1))],
        [(INPUT, "a", conv(32, 1, 1)), ("a", "b", dense(1, 32768))],
        input_shape=(1, 32, 32),
    )
    m = map_program(made, LOIHI)
    assert not m.fits
    [misfit] = m.misfits
    assert (misfit.place, misfit.resource, misfit.used, misfit.limit) == ("b", "synapse_bytes", 262144, 131072)
    assert str(misfit) == "b needs 262144 synapse_bytes, 131072 more than the 131072 there are"


def test_too_many_cores_are_a_misfit_and_more_chips_are_taken_first() -> None:
    made = program([population("a", (200, 1, 1))], [(INPUT, "a", dense(200, 1))])
    small = replace(LOIHI, compartments=10, cores=4, chips=(1, 8))
    fits = map_program(made, small)
    assert (fits.cores, fits.chips, fits.chips_used, fits.fits) == (21, 8, 6, True)
    m = map_program(made, replace(small, chips=(1, 2)))
    assert [(f.place, f.resource, f.used, f.limit) for f in m.misfits] == [("program", "cores", m.cores, 8)]


@pytest.mark.parametrize(
    ("limits", "resource"), [({"compartments": 1}, "compartments"), ({"out_axons": 1}, "out_axons")]
)
def test_a_population_that_the_host_alone_feeds_gets_advice_too(limits: dict[str, int], resource: str) -> None:
    made = random_host_program(0)
    m = map_program(made, replace(LOIHI, **{"compartments": 8, "chips": (1,), **limits}))
    assert (m.misfits[0].place, m.misfits[0].resource) == ("p0", resource)
    assert not [s for s in made.synapses if s.dst == "p0"]
    assert ["p0" in line for line in advice(made, m)] == [True]


def test_positions_fill_columns_of_tiles_first() -> None:
    assert [LOIHI.position(c) for c in (0, 3, 4, 15, 16, 127, 128)] == [
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, 3),
        (0, 1, 0),
        (0, 7, 3),
        (1, 0, 0),
    ]


def test_system_files(tmp_path: Path) -> None:
    assert {r: getattr(LOIHI, r) for r in RESOURCES} == {
        "compartments": 1024,
        "synapse_bytes": 131072,
        "in_axons": 4096,
        "out_axons": 4096,
    }
    assert (LOIHI.cores, LOIHI.chips) == (128, (1, 2, 8, 32, 768))
    with pytest.raises(UsageError, match="loihi1"):
        load_system("nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        load_system(str(tmp_path / "none.toml"))
    for text in ("name = ", "", "[limits.cores]\nvalue = 0", "limits = 3", "x = " + "[" * 3000, "\0"):
        file = tmp_path / "bad.toml"
        file.write_text(text)
        with pytest.raises(InvalidFileError, match=r"bad\.toml"):
            load_system(str(file))


def _used(compartments: int, synapse_bytes: int, in_axons: int, out_axons: int) -> dict[str, tuple[int, int]]:
    """Of a core with limits 10, 100, none, 40."""
    given = (compartments, synapse_bytes, in_axons, out_axons)
    return {r: (n, limit) for r, n, limit in zip(RESOURCES, given, (10, 100, UNLIMITED, 40), strict=True)}


def test_a_utilisation_by_hand() -> None:
    system = replace(TINY, compartments=10, synapse_bytes=100, in_axons=UNLIMITED, out_axons=40)
    usage = (_used(5, 80, 7, 4), _used(2, 10, 9, 12), _used(9, 90, 2, 40))
    m = Mapping(system=system, slices=(), usage=usage, chips=1, chips_used=1, misfits=())
    found = m.utilisation
    assert list(found) == ["compartments", "synapse_bytes", "in_axons", "out_axons"]
    assert found["compartments"] == Utilisation(limit=10, mean=pytest.approx(16 / 30), highest=0.9, used=16, binds=0)
    assert found["synapse_bytes"] == Utilisation(limit=100, mean=pytest.approx(0.6), highest=0.9, used=180, binds=1)
    assert found["in_axons"] == Utilisation(limit=None, mean=None, highest=None, used=18, binds=0)
    assert found["out_axons"] == Utilisation(limit=40, mean=pytest.approx(56 / 120), highest=1.0, used=56, binds=2)
    assert (m.binds, m.cores, m.fits) == ("out_axons", 3, True)
    assert (m.to_json()["cores"], m.to_json()["fits"]) == (3, True)
    empty = replace(m, usage=(), misfits=(Misfit(place="a", resource="cores", used=2, limit=1),))
    assert empty.utilisation["compartments"] == Utilisation(limit=10, mean=0.0, highest=0.0, used=0, binds=0)
    assert (empty.fits, empty.to_json()["fits"], empty.cores) == (False, False, 0)


def test_a_box_goes_into_the_first_recent_core_with_room() -> None:
    """The last sixteen are looked at; a core is filled to its limit and not beyond; else a new one is opened."""
    system = replace(TINY, compartments=7)
    need = dict.fromkeys(RESOURCES, 1) | {"compartments": 3}

    def cores(*compartments: int) -> list[dict[str, int]]:
        return [dict.fromkeys(RESOURCES, 0) | {"compartments": n} for n in compartments]

    assert _room(usage := cores(5, 4, 3), need, system) == 1
    assert len(usage) == 3
    assert _room(usage := cores(5, 5), need, system) == 2
    assert usage[2] == dict.fromkeys(RESOURCES, 0)
    assert _room(cores(0, *[5] * 15), need, system) == 0
    assert _room(cores(0, *[5] * 16), need, system) == 17
    assert _room(cores(5, 0, *[5] * 15), need, system) == 1
    full = cores(0)
    full[0]["out_axons"] = system.out_axons
    assert _room(full, need, system) == 1


def test_of_several_misfits_of_a_place_the_largest_is_told() -> None:
    def misfit(place: str, resource: str, used: int) -> Misfit:
        return Misfit(place=place, resource=resource, used=used, limit=4)

    every = [misfit("a", "in_axons", 5), misfit("a", "in_axons", 9), misfit("a", "in_axons", 6),
             misfit("b", "in_axons", 5), misfit("a", "compartments", 7)]  # fmt: skip
    assert list(_worst(every)) == [every[1], every[3], every[4]]


def test_exactly_filled_chips_are_taken_as_they_are() -> None:
    made = program([population("a", (38, 1, 1))], [(INPUT, "a", dense(38, 1))])
    system = replace(TINY, compartments=2, cores=4, chips=(2, 5, 9))
    m = map_program(made, system)
    assert (m.cores, m.chips_used, m.chips, m.fits) == (20, 5, 5, True)
    many = map_program(program([population("a", (599, 1, 1))], [(INPUT, "a", dense(599, 1))]),
                       replace(system, compartments=2, cores=1, chips=(2, 302, 900)))  # fmt: skip
    assert (many.cores, many.chips_used, many.chips) == (302, 302, 302)
    fewer = map_program(made, replace(system, chips=(1, 4)))
    assert (fewer.chips, fewer.chips_used) == (4, 5)
    assert [(f.used, f.limit) for f in fewer.misfits] == [(20, 16)]


def test_hops_are_weighed_by_the_rates_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program([population("a", (20, 1, 1)), population("b", (20, 1, 1))],
                   [(INPUT, "a", dense(20, 1)), ("a", "b", dense(20, 20))])  # fmt: skip
    plain, weighed = map_program(made, TINY), map_program(made, TINY, rates={"a": 0.5, "b": 0.5})
    assert plain.hops is not None
    assert weighed.hops is not None
    assert (plain.hops.weights, weighed.hops.weights) == ("connections", "spikes")
    monkeypatch.setattr(placement, "MAX_CORES", plain.cores)
    assert map_program(made, TINY).hops == plain.hops
    monkeypatch.setattr(placement, "MAX_CORES", plain.cores - 1)
    assert map_program(made, TINY).hops is None
