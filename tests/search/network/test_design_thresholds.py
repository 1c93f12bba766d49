"""Thresholds of cells: in files and ids, drawn and bred, in networks and scores, in programs and in Lava; ``asc``."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.methods import no_refusal
from snnas.search.methods.trained import PRIOR_DRAWS, Plan, run
from snnas.search.methods.trials import Trained
from snnas.search.network import space as spaces
from snnas.search.network.config import NetworkConfig
from snnas.search.network.design import Design, DesignSizes, network_of_design
from snnas.search.network.design_space import DesignSpace, threshold_of
from snnas.search.network.genotype import Cell
from snnas.search.network.network import Network
from snnas.search.scoring.ascending import asc
from snnas.search.scoring.bench_network import ascending_depth
from snnas.toolchain.bench.random_networks import settle_batch_norms
from tests.deployed import check_deployed, check_in_lava
from tests.networks import images
from tests.search.scoring.test_batched import check_equal, random_masks, supernet

SKIP, CONV = Cell.of({(0, 3): "skip"}), Cell.of({(0, 3): "conv3x3"})
CHAIN = Cell.of({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip"})
DESIGN = Design("chip", (CHAIN, CONV), 4, 3, 24, "lif", "max", thresholds=(0.6, 1.4))
SIZES = DesignSizes(input_shape=(1, 8, 8), classes=10, votes=3)
TABLE = {
    "ops": ["skip", "conv3x3"],
    "cells": [1, 2],
    "channels": [2, 4],
    "timesteps": [2, 3],
    "hidden": [8],
    "head": ["lif", "linear"],
    "reduction": ["max"],
}
CHOICES = [0.6, 1, 1.4]
SPACE = DesignSpace.of(TABLE | {"thresholds": CHOICES})


def built(design: Design, seed: int = 0) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return settle_batch_norms(network_of_design(design, SIZES))


def test_a_file_says_thresholds_only_where_they_differ_from_what_files_without_mean() -> None:
    plain = json.loads(DESIGN.to_json())
    assert (plain["version"], plain["thresholds"]) == (2, [0.6, 1.4])
    assert Design.from_json(DESIGN.to_json()) == DESIGN
    ones = replace(DESIGN, thresholds=(1, 1.0))
    assert ones == replace(DESIGN, thresholds=())
    assert "thresholds" not in json.loads(ones.to_json())
    ids = {replace(DESIGN, thresholds=found).architecture_id for found in ((), (0.6, 1.4), (1.4, 0.6), (0.6, 1.0))}
    assert len(ids) == 4
    del plain["thresholds"]
    assert Design.from_json(json.dumps(plain)) == ones


@pytest.mark.parametrize(
    "found", [[0.6], [0.6, 1.0, 1.4], [0.6, 0], [0.6, -1], [0.6, 21], [0.6, True], [0.6, "1"], 0.6]
)
def test_odd_thresholds_are_refused_by_name(found: Any) -> None:
    plain = json.loads(DESIGN.to_json()) | {"thresholds": found}
    with pytest.raises(InvalidFileError, match=r"thresholds = .*there\.json"):
        Design.from_json(json.dumps(plain), where="there.json")
    del plain["bits"]
    with pytest.raises(InvalidFileError, match="unknown key 'thresholds'"):
        Design.from_json(json.dumps(plain | {"version": 1}))


@pytest.mark.parametrize(
    ("found", "words"),
    [([], "thresholds"), ([1.4, 0.6], "ascending"), ([1, 1.0], "once"), ([0], "0.05 .. 20"), (["1"], "0.05 .. 20")],
)
def test_odd_choices_are_refused_by_name(found: list[Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DesignSpace.of(TABLE | {"thresholds": found})


def test_a_space_without_a_choice_is_written_as_ever_and_one_with_is_read_back() -> None:
    assert "thresholds" not in DesignSpace.of(TABLE | {"thresholds": [1]}).plain()
    assert DesignSpace.of(TABLE | {"thresholds": [1]}) == DesignSpace.of(TABLE)
    assert DesignSpace.of(SPACE.plain()) == SPACE
    low = DesignSpace.of(TABLE | {"thresholds": [0.6]})
    assert DesignSpace.of(low.plain()) == low
    rng = np.random.default_rng(0)
    drawn = [low.draw(rng) for _ in range(10)]
    assert all(set(design.thresholds) == {0.6} for design in [*drawn, *(low.mutate(one, rng) for one in drawn)])


def test_each_cell_draws_its_own_a_child_has_a_neighbour_and_a_cell_takes_its_own_along() -> None:
    rng = np.random.default_rng(0)
    drawn = [SPACE.draw(rng) for _ in range(60)] + [SPACE.draw_plain(rng) for _ in range(20)]
    assert {threshold_of(one, at) for one in drawn for at in range(len(one.cells))} == set(map(float, CHOICES))
    assert any(len(set(one.thresholds)) == 2 for one in drawn)
    moved = 0
    for one in drawn:
        child = SPACE.mutate(one, rng)
        both = range(min(len(one.cells), len(child.cells)))
        pairs = [(threshold_of(one, at), threshold_of(child, at)) for at in both]
        changed = [pair for pair in pairs if pair[0] != pair[1]]
        assert len(changed) <= 1
        assert all(abs(CHOICES.index(a) - CHOICES.index(b)) == 1 for a, b in changed)
        moved += len(changed)
    assert moved > 4
    for one, other in itertools.pairwise(drawn):
        child = SPACE.cross(one, other, rng)
        given = [
            {(parent.cells[at], threshold_of(parent, at)) for parent in (one, other) if at < len(parent.cells)}
            for at in range(len(child.cells))
        ]
        assert all((cell, threshold_of(child, at)) in given[at] for at, cell in enumerate(child.cells))


def test_the_neurons_of_a_cell_and_of_its_reduction_have_its_threshold() -> None:
    found = {layer["name"]: layer["threshold"] for layer in built(DESIGN).layers() if layer["op"] == "lif"}
    assert found == {
        "cell1_n0_lif": 0.6,
        "cell1_n1_lif": 0.6,
        "red1_lif": 0.6,
        "cell2_n0_lif": 1.4,
        "red2_lif": 1.4,
        "head_lif": 1.0,
    }
    config = SIZES.of(DESIGN)
    assert NetworkConfig.from_json(config.to_json()) == config
    assert "thresholds" not in json.loads(SIZES.of(replace(DESIGN, thresholds=())).to_json())
    doubled = replace(config, threshold=2.0)
    assert [doubled.threshold_of(cell) for cell in (1, 2)] == [1.2, 2.8]
    with pytest.raises(UsageError, match="thresholds = "):
        replace(config, thresholds=(0.6,))


def test_candidates_of_a_supernet_are_scored_with_them() -> None:
    """Batched as each alone."""
    net = supernet("lightsnn", backward=False, thresholds=(0.6, 1.4))
    check_equal(net, random_masks(spaces.get("lightsnn"), 6, 3, backward=False, keep=0.6))


def test_what_is_deployed_fires_as_the_network(tmp_path: Path) -> None:
    net, x, seen = built(DESIGN), images(6, 1), dict[str, torch.Tensor]()
    with torch.no_grad():
        net(torch.from_numpy(x), spikes=seen)
    check_deployed(fold(net.layers()), x, 3, seen)
    rates = {name: float(value.mean()) for name, value in seen.items()}
    with torch.no_grad():
        built(replace(DESIGN, thresholds=()))(torch.from_numpy(x), spikes=seen)
    assert rates["cell1_n0_lif"] > float(seen["cell1_n0_lif"].mean()) > 0
    assert rates["cell2_n0_lif"] > 0


@pytest.mark.lava
def test_lava_fires_the_programs_spikes(tmp_path: Path, lava_python: Path) -> None:
    program = compile_graph(fold(built(DESIGN).layers()), timesteps=3)
    result = check_in_lava(tmp_path, program, 2, lava_python)
    assert all(row["fired"] for row in result["per_population"].values())


def test_asc_is_the_rule_of_the_bench_where_a_cell_has_one_threshold() -> None:
    """Digits of the bench: 0 none, 1 skip, 2, 3 and 4 a convolution behind neurons of .5, 1 and 1.5."""
    rng = np.random.default_rng(0)
    names = {"zeroize": "0", "skip": "1"}
    for _ in range(60):
        design = replace(SPACE.draw(rng), thresholds=())
        for digit, threshold in (("2", 0.5), ("3", 1.0), ("4", 1.5)):
            texts = ["".join(names.get(op, digit) for op in cell.forward) for cell in design.cells]
            same = replace(design, thresholds=(threshold,) * len(design.cells))
            assert asc(same) == pytest.approx(sum(map(ascending_depth, texts)))
    # A path of convolutions gives back what it took; one that ends with a convolution wants a high threshold.
    late = Cell.of({(0, 1): "skip", (1, 3): "conv3x3"})
    found = [asc(replace(DESIGN, cells=(cell, CONV), thresholds=(1.4, 1.0))) for cell in (CHAIN, late)]
    assert found == pytest.approx([2 + 1, 1.16 + 1])


def test_half_of_the_random_draws_are_the_best_by_the_prior() -> None:
    logs: dict[bool, list[dict[str, Any]]] = {}
    for prior in (True, False):
        logs[prior] = []

        def train(trials: Any, each: Any) -> None:
            for at, trial in enumerate(trials):
                accuracy = int(trial.design.architecture_id, 16) % 97 / 97
                each(at, Trained(accuracy, {"figures": {"energy_total": 1.0}, "seconds": 0.0}))

        plan = Plan(trainings=36, costs=("energy_total",), prior=asc if prior else None)
        rng = np.random.default_rng(5)
        run(SPACE, train, plan, rng=rng, refuse=no_refusal, log=logs[prior].append)
    first = {
        how: [Design.from_json(r["genotype"]) for r in logs[True] if r.get("round") == 0 and r.get("how") == how]
        for how in ("random", "prior", "plain")
    }
    assert {how: len(found) for how, found in first.items()} == {"random": 3, "prior": 3, "plain": 6}
    assert PRIOR_DRAWS > 4
    assert min(map(asc, first["prior"])) > np.mean([asc(SPACE.draw(np.random.default_rng(at))) for at in range(40)])
    assert not any(record.get("how") == "prior" for record in logs[False])
