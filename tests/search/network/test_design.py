"""Designs: their files, their ids, their networks, and the spaces that they are drawn from."""

import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.limits import WEIGHT_WIDTHS
from snnas.search.kinds import kind_of, read_genotype
from snnas.search.network.design import AXES, BITS, SIZES, Design, DesignSizes
from snnas.search.network.design_space import DesignSpace, reduced
from snnas.search.network.genotype import Cell, Genotype

SKIP, CONV = Cell.of({(0, 3): "skip"}), Cell.of({(0, 3): "conv3x3"})
DESIGN = Design("chip", (SKIP, CONV), 2, 3, 16, "bn_lif", "max")
OF_DATA = DesignSizes(input_shape=(1, 8, 8), classes=3)
TABLE = {
    "ops": ["skip", "conv3x3"],
    "cells": [1, 2],
    "channels": [2, 4],
    "timesteps": [2, 3],
    "hidden": [8, 16],
    "head": ["lif", "linear"],
    "reduction": ["max"],
}
SPACE = DesignSpace.of(TABLE)


def test_a_file_is_read_back_and_built() -> None:
    found = read_genotype(DESIGN.to_json())
    assert found == DESIGN
    assert isinstance(found, Design)
    kind = kind_of(found.space)
    network = kind.network(found, kind.sizes(OF_DATA.to_json()))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    assert network.genotype is found
    assert {name: getattr(network.config, name) for name in SIZES} == {name: getattr(DESIGN, name) for name in SIZES}
    assert network.config.cells == 2


def test_an_id_is_of_the_function_and_of_every_size() -> None:
    twice = Cell.of({(0, 1): "skip", (0, 3): "conv3x3", (1, 3): "conv3x3"})
    assert replace(DESIGN, cells=(SKIP, twice)).architecture_id == DESIGN.architecture_id
    others = [
        {"channels": 4},
        {"timesteps": 2},
        {"hidden": 8},
        {"head": "lif"},
        {"reduction": "average"},
        {"bits": 4},
        {"bits": 6},
        {"cells": (CONV, SKIP)},
        {"cells": (SKIP, CONV, CONV)},
    ]
    ids = {replace(DESIGN, **other).architecture_id for other in others}
    assert len(ids) == len(others)
    assert DESIGN.architecture_id not in ids


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 3}, "version 3"),
        ({"bits": 5}, "bits = 5"),
        ({"bits": 8.0}, "bits = 8.0"),
        ({"version": True}, "version True"),
        ({"format": "snnas-genotype"}, "snnas-genotype"),
        ({"space": "lightsnn"}, "'chip'"),
        ({"channels": 0}, "channels = 0"),
        ({"channels": 2.0}, "channels = 2.0"),
        ({"timesteps": True}, "timesteps = True"),
        ({"hidden": 0}, "hidden = 0"),
        ({"head": "linear"}, "hidden = 16"),
        ({"head": ["lif"]}, "head"),
        ({"reduction": "min"}, "reduction"),
        ({"cells": []}, "0 cells"),
        ({"cells": 3}, "list"),
        ({"cells": [{"forward": {}}]}, "cells[0]"),
        ({"more": 1}, "more"),
    ],
)
def test_a_file_is_read_strictly(change: dict, words: str) -> None:
    plain = json.loads(DESIGN.to_json()) | change
    with pytest.raises(InvalidFileError) as error:
        Design.from_json(json.dumps(plain), where="there.json")
    assert "there.json" in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_lacks_nothing() -> None:
    for name in json.loads(DESIGN.to_json()):
        plain = json.loads(DESIGN.to_json())
        del plain[name]
        with pytest.raises(InvalidFileError, match=name):
            Design.from_json(json.dumps(plain))


def test_what_was_written_before_there_were_bits_had_eight_and_keeps_its_id() -> None:
    plain = json.loads(DESIGN.to_json()) | {"version": 1}
    del plain["bits"]
    assert Design.from_json(json.dumps(plain)) == DESIGN
    assert DESIGN.architecture_id == "5bef88d8ff66"
    with pytest.raises(InvalidFileError, match="bits"):
        Design.from_json(json.dumps(plain | {"version": 2}))


def test_bits_are_those_of_programs_and_drawn_like_a_size() -> None:
    assert sorted(BITS) == sorted(WEIGHT_WIDTHS)
    rng, space = np.random.default_rng(0), DesignSpace.of(TABLE | {"bits": [4, 8]})
    drawn = [space.draw(rng) for _ in range(40)]
    children = [space.mutate(one, rng) for one in drawn]
    crossed = [space.cross(one, other, rng) for one, other in itertools.pairwise(drawn)]
    for some in (drawn, children, crossed):
        assert {design.bits for design in some} == {4, 8}
    assert any(a.bits != b.bits for a, b in zip(drawn, children, strict=True))
    assert all(c.bits in (a.bits, b.bits) for c, (a, b) in zip(crossed, itertools.pairwise(drawn), strict=True))


def test_a_space_without_bits_draws_what_it_always_drew() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.draw(rng) for _ in range(40)]
    children = [SPACE.mutate(one, rng) for one in drawn]
    crossed = [SPACE.cross(one, other, rng) for one, other in zip(drawn, children[1:], strict=False)]
    ids = " ".join(design.architecture_id for design in drawn + children + crossed)
    assert hashlib.sha256(ids.encode()).hexdigest()[:12] == "a412466383d2"


def test_a_network_has_a_convolution_and_every_cell_a_path() -> None:
    with pytest.raises(UsageError, match="convolution"):
        replace(DESIGN, cells=(SKIP,))
    assert replace(DESIGN, cells=(SKIP, SKIP))  # that of the reduction between them
    with pytest.raises(UsageError, match="cell 2"):
        replace(DESIGN, cells=(SKIP, Cell.of({(0, 1): "conv3x3"})))
    with pytest.raises(InvalidFileError):
        Genotype.from_json(DESIGN.to_json())


def test_draws_children_and_crossings_are_of_the_space() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.draw(rng) for _ in range(60)]
    children = [SPACE.mutate(one, rng) for one in drawn]
    crossed = [SPACE.cross(one, other, rng) for one, other in zip(drawn, children[1:], strict=False)]
    for design in drawn + children + crossed:
        assert len(design.cells) in SPACE.cells
        assert design.hidden in ((0,) if design.head == "linear" else SPACE.hidden)
        assert all(getattr(design, name) in getattr(SPACE, name) for name in AXES if name != "hidden")
        assert {op for cell in design.cells for op in cell.live().values()} <= set(SPACE.ops)
    assert all(a.architecture_id != b.architecture_id for a, b in zip(drawn, children, strict=True))
    assert any(not any("conv3x3" in cell.forward for cell in one.cells[:1]) for one in drawn)  # cells without any
    assert all(len({getattr(one, name) for one in drawn}) > 1 for name in SIZES if name != "reduction")


@pytest.mark.parametrize("ops", [("skip", "conv3x3"), ("conv3x3",)])
def test_plain_designs_have_one_convolution_wherever_cells_can_do_without(ops: tuple[str, ...]) -> None:
    rng, space = np.random.default_rng(0), replace(SPACE, ops=ops, cells=(1, 3))
    places = set()
    for _ in range(60):
        made = space.draw_plain(rng)
        counts = [sum(op == "conv3x3" for op in cell.live().values()) for cell in made.cells]
        assert sum(counts) == (1 if "skip" in ops else len(counts))
        places.add((len(counts), counts.index(1)))
    assert places == ({(1, 0), (3, 0), (3, 1), (3, 2)} if "skip" in ops else {(1, 0), (3, 0)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ops": ["skip"]}, "convolution"),
        ({"ops": ["conv7x7"]}, "conv7x7"),
        ({"channels": []}, "channels"),
        ({"channels": [4, 2]}, "ascending"),
        ({"channels": [2, 2]}, "once"),
        ({"channels": 2}, "list"),
        ({"timesteps": [0]}, "timesteps = 0"),
        ({"cells": [1000]}, "cells = 1000"),
        ({"head": [["lif"]]}, "head"),
        ({"bits": [5]}, "bits = 5"),
        ({"bits": [8, 4]}, "ascending"),
        ({"width": [1]}, "width"),
    ],
)
def test_a_space_is_read_strictly(change: dict, words: str) -> None:
    with pytest.raises(UsageError) as error:
        DesignSpace.of(TABLE | change)
    assert words in str(error.value)
    with pytest.raises(UsageError, match="lacks"):
        DesignSpace.of({name: value for name, value in TABLE.items() if name != "head"})


def test_axes_are_pinned() -> None:
    pinned = reduced(SPACE, channels=5, head=None)
    assert (pinned.channels, pinned.head) == ((5,), SPACE.head)
    assert DesignSpace.of(pinned.plain()) == pinned
