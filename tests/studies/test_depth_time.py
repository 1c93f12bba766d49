"""Live depth and temporal code by hand, and what the guards find in a candidate."""

import math

import numpy as np
import pytest
import torch

from snnas.search.methods import lightsnn, snasnet
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.scoring.guards import Finding, inspect
from snnas.search.scoring.proxies import LEAST_LEVELS, Score
from snnas.search.scoring.supernet import Supernet
from tests.studies.depth_time import DepthTime, depth_time, measures

T = 3
FULL, SILENT = torch.ones(T, 2, 4, 1, 1), torch.zeros(T, 2, 4, 1, 1)


def terms(cell: dict, **by_node: torch.Tensor) -> DepthTime:
    """The measures of one cell whose nodes fired so."""
    return measures({f"cell1_{node}_lif": train for node, train in by_node.items()}, [cell])


def test_depth_is_that_of_the_longest_living_path() -> None:
    chain = {(0, 1): ("conv3x3",), (1, 3): ("conv3x3",)}
    assert terms(chain, n0=FULL, n1=FULL).live_depth == pytest.approx(2 * math.log(T + 1))
    half = FULL.clone()
    half[:, :, :2] = 0
    assert terms(chain, n0=FULL, n1=half).live_depth == pytest.approx(math.log(T + 1) + math.log((T + 1) / 2))
    assert terms(chain, n0=FULL, n1=SILENT).live_depth == pytest.approx(math.log(T + 1) + math.log(LEAST_LEVELS))
    # A skip past the convolutions makes it no deeper, and no shallower.
    assert terms({**chain, (0, 3): ("skip",)}, n0=FULL, n1=FULL).live_depth == pytest.approx(2 * math.log(T + 1))
    # Of several operations on an edge, the one that reaches deepest; backward edges add nothing.
    several = {(0, 3): ("skip", "conv3x3"), (3, 0): ("conv3x3",)}
    assert terms(several, n0=FULL, n3=FULL).live_depth == pytest.approx(math.log(T + 1))
    assert terms({(0, 3): ("skip",)}, n0=FULL).live_depth == 0


def test_clock_and_code_are_told_apart() -> None:
    clock, code = torch.zeros(2, 2, 1, 1, 1), torch.zeros(2, 2, 1, 1, 1)
    clock[0] = 1  # the first step, whatever the sample
    code[0, 0] = code[1, 1] = 1  # each sample at a step of its own
    cell = {(0, 3): ("conv3x3",)}
    by_clock, by_code = (terms(cell, n0=train) for train in (clock, code))
    assert by_clock.temporal_code == 0
    assert by_code.temporal_code == 1


def scorer(name: str = "lightsnn") -> tuple[Supernet, torch.Tensor]:
    config = NetworkConfig(input_shape=(1, 8, 8), classes=3, channels=3, hidden=8, votes=2, timesteps=3)
    supernet = Supernet(space.get(name), config, seed=1)
    return supernet, torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(2))


def test_both_are_measured_on_a_supernet() -> None:
    supernet, x = scorer()
    chain = {(0, 1): ("conv3x3",), (1, 3): ("conv3x3",)}
    deep, flat = depth_time(supernet, x, [chain, {(0, 3): ("skip",)}])
    assert 0 < deep.live_depth <= 4 * math.log(T + 1)
    assert 0 < deep.temporal_code <= 2
    assert flat == (0, 0)


def test_what_the_guards_refuse_is_not_taken() -> None:
    def by_size(candidates):
        return [Score(float(len(choices)), {"lif": 0.1}) for choices in candidates]

    seen: list = []

    def refuse_first(choices):
        seen.append(choices)
        return [Finding("input", "the output is the same", refuses=True)] if len(seen) == 1 else []

    log: list = []
    rng = np.random.default_rng
    free = snasnet.run(space.get("lightsnn"), by_size, log=log.append, candidates=20, rng=rng(0))
    guarded = snasnet.run(
        space.get("lightsnn"), by_size, log=log.append, candidates=20, rng=rng(0), inspect=refuse_first
    )
    assert guarded.genotype != free.genotype
    assert not guarded.refused
    assert [guard["guard"] for guard in guarded.guards] == ["input"]
    none = snasnet.run(
        space.get("lightsnn"),
        by_size,
        log=log.append,
        candidates=5,
        rng=rng(0),
        inspect=lambda choices: [Finding("input", "x", refuses=True)],
    )
    assert none.refused
    pruned = lightsnn.run(
        space.get("lightsnn"), by_size, log=log.append, inspect=lambda c: [Finding("input", "x", refuses=True)]
    )
    assert pruned.refused
    assert [guard["guard"] for guard in pruned.guards][-1] == "input"


def test_inspect_names_what_is_dead() -> None:
    same, different = torch.ones(3, 2), torch.tensor([[0.0], [1.0]])
    alike, silent = torch.ones(2, 2, 1), torch.zeros(2, 2, 1)
    assert [f.guard for f in inspect(same, {})] == ["input"]
    assert inspect(same, {})[0].refuses
    # Silence is reported by the guard 'alive'.
    assert [f.text.split()[0] for f in inspect(different, {"a": alike, "b": silent})] == ["a"]
    supernet, x = scorer()
    choices = {(0, 1): ("conv3x3",), (1, 3): ("conv3x3",)}
    assert not any(finding.refuses for finding in supernet.inspect(x, choices))
    assert supernet.inspect(x[:1].expand(4, -1, -1, -1), choices)[0].refuses
