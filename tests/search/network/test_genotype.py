import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.network import space
from snnas.search.network.genotype import BACKWARD_EDGES, FORWARD_EDGES, OPS, Cell, Genotype, live_edges

cells = st.builds(Cell, st.tuples(*[st.sampled_from(OPS)] * 6), st.tuples(*[st.sampled_from(OPS)] * 6))
genotypes = st.builds(Genotype, st.sampled_from(space.names), st.lists(cells, min_size=1, max_size=3).map(tuple))
CHAIN = Cell.of({(0, 1): "conv3x3", (1, 3): "skip"})


@given(genotypes)
def test_json_round_trip(genotype: Genotype) -> None:
    back = Genotype.from_json(genotype.to_json())
    assert back == genotype
    assert back.architecture_id == genotype.architecture_id
    assert len(genotype.architecture_id) == 12


def test_architecture_id_is_stable_and_tells_genotypes_apart() -> None:
    one = Genotype("lightsnn", (CHAIN, CHAIN))
    # Weights and reports on disk carry this id: it must not change with the code.
    assert one.architecture_id == "3644ee7396e7"
    assert Genotype("lightsnn", (CHAIN,)).architecture_id != one.architecture_id
    assert Genotype("snasnet", (CHAIN, CHAIN)).architecture_id != one.architecture_id


def _plain() -> dict:
    return json.loads(Genotype("lightsnn", (CHAIN,)).to_json())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["cells"][0]["forward"].update({"0->1": "conv3x4"}), ["'conv3x4'", "conv3x3", "cells[0].forward"]),
        (lambda p: p["cells"][0]["forward"].update({"0->1": ["skip"]}), ["['skip']", "zeroize"]),
        (lambda p: p["cells"][0]["backward"].update({"0->1": "skip"}), ["'0->1'", "3->2", "backward"]),
        (lambda p: p["cells"][0]["forward"].pop("1->2"), ["lacks 1->2"]),
        (lambda p: p["cells"][0].update(extra=1), ["'extra'", "cells[0]"]),
        (lambda p: p.update(colour="red"), ["'colour'", "g.json"]),
        (lambda p: p.pop("space"), ["lacks space"]),
        (lambda p: p.update(version=2), ["version 2", "version 1"]),
        (lambda p: p.update(cells=[]), ["0 cells"]),
        (lambda p: p.update(cells=p["cells"] * 65), ["65 cells"]),
        (lambda p: p.update(cells={}), ["'cells' a list"]),
        (lambda p: p.update(space=""), ["search space name"]),
    ],
)
def test_bad_json_names_value_expectation_and_place(change, words) -> None:
    plain = _plain()
    change(plain)
    with pytest.raises(InvalidFileError) as caught:
        Genotype.from_json(json.dumps(plain), where="g.json")
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert all(word in text for word in [*words, "g.json"]), text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "[", "3", "null", "[" * 100_000, '{"format": 1}', '"x"'])
def test_what_is_no_genotype_is_refused(text: str) -> None:
    with pytest.raises(InvalidFileError, match=r"g\.json"):
        Genotype.from_json(text, where="g.json")


def test_live_edges_drop_dead_ends_and_what_the_input_never_reaches() -> None:
    assert live_edges([(0, 1), (0, 3), (2, 3)]) == {(0, 3)}
    assert live_edges([(0, 1), (1, 2)]) == frozenset()
    # 0 -> 2 -> (a step later) 1 -> 3 is a way; so is the loop 3 -> 0.
    assert live_edges([(0, 2), (2, 1), (1, 3), (3, 0)]) == {(0, 2), (2, 1), (1, 3), (3, 0)}


def test_has_backward_counts_live_edges_only() -> None:
    dead = Cell.of({(0, 3): "conv3x3", (2, 1): "skip"})
    live = Cell.of({(0, 3): "conv3x3", (3, 0): "skip"})
    assert not Genotype("lightsnn", (dead,)).has_backward
    assert Genotype("lightsnn", (dead, live)).has_backward


def test_unknown_space_suggests_the_near_one() -> None:
    with pytest.raises(
        UsageError, match=r"'lightsn', expected lightsnn, snasnet, spikenas, .*; did you mean 'lightsnn'\?"
    ):
        space.get("lightsn")


@pytest.mark.parametrize("name", space.names)
@pytest.mark.parametrize("backward", [False, True])
def test_random_genotypes_are_valid_and_of_their_space(name: str, backward: bool) -> None:
    chosen = space.get(name)
    rng = np.random.default_rng(0)
    drawn = [chosen.random_genotype(rng, backward=backward) for _ in range(50)]
    for genotype in drawn:
        chosen.check(genotype)
        cell = genotype.cells[0]
        assert any(op.startswith("conv") for op in cell.live().values())
        if not backward:
            assert set(cell.backward) == {"zeroize"}
        if not chosen.both_directions:
            ops = cell.ops()
            assert all("zeroize" in (ops[i, j], ops[j, i]) for i, j in FORWARD_EDGES)
        if name == "snasnet":
            assert cell.ops()[0, 3] != "zeroize"
    assert backward == any(any(op != "zeroize" for op in g.cells[0].backward) for g in drawn)
    again = [chosen.random_genotype(np.random.default_rng(0), backward=backward)]
    assert again == drawn[:1]


def test_space_refuses_an_operation_of_another() -> None:
    foreign = Genotype("lightsnn", (Cell.of({(0, 3): "conv1x1"}),))
    with pytest.raises(UsageError, match="'conv1x1' on edge 0->3 of cell 1"):
        space.get("lightsnn").check(foreign)


def test_edges() -> None:
    assert space.get("lightsnn").edges() == FORWARD_EDGES
    assert space.get("lightsnn").edges(backward=True) == FORWARD_EDGES + BACKWARD_EDGES
