"""The study of published candidates: what each baseline leaves out, and what comes back one step later."""

import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.search.network.genotype import Cell
from snnas.toolchain.output.stderr import Narrator
from tests.studies import published_candidates
from tests.studies.published_candidates import CandidateOptions, Drawn, compare, drawn, ours, pairs, score_all

SMALL = CandidateOptions(candidates=3, width=1, pixels=8, batch=4, timesteps=2, turns=1)
CHAIN = Cell.of({(0, 1): "conv3x3", (1, 2): "conv1x1", (2, 3): "avgpool3x3", (0, 3): "skip"})
IMAGES = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_candidate_is_scored_by_weights_and_minibatches_of_its_own() -> None:
    """One architecture twice has two scores as published, and two of one minibatch: its weights are others."""
    twice = [(CHAIN, CHAIN)] * 2
    found = {name: score_all(twice, IMAGES, SMALL, **kind) for name, kind in published_candidates.BASELINES.items()}
    # Per step two convolutions and the cell's own LIF in each of two cells, and the head's: 7.
    assert found["as published"].kernels == found["state at rest"].kernels == [7 * 2 * 2] * 2
    assert found["equal minibatches"].kernels == [7 * 2] * 2
    for scored in found.values():
        assert scored.scores[0] != scored.scores[1]
    assert found["as published"].scores != found["state at rest"].scores, "what the first minibatch left behind"
    again = score_all(twice, IMAGES, SMALL, rest=False, fixed=False)
    assert again.scores == found["as published"].scores


def test_what_comes_back_arrives_one_step_later() -> None:
    feedback = Cell.of({(0, 3): "skip", (3, 0): "skip"})
    network = Drawn((feedback, CHAIN), published_candidates._config(SMALL))
    x = torch.ones(4, 2, 8, 8)
    assert [float(network._cell(1, x).mean()) for _ in range(3)] == [1, 2, 3]
    network.rest()
    assert float(network._cell(1, x).mean()) == 1


def test_ours_scores_each_function_of_each_stage_once() -> None:
    (draws,) = drawn(CandidateOptions(candidates=40, backward=False))
    assert len(draws) == 40
    same = [CHAIN, Cell.of({**CHAIN.live(), (1, 3): "zeroize"}), Cell.of({(0, 1): "skip", (1, 3): "conv3x3"})]
    assert ours([same, same[:1]], IMAGES[:4], SMALL) == 3
    cells = drawn(CandidateOptions(method="spikenas", candidates=5))
    assert [len(stage) for stage in cells] == [5, 5]
    spikenas = CandidateOptions(method="spikenas")
    assert pairs(CHAIN, 0, spikenas)[0] == pairs(CHAIN, 1, spikenas)[1] == CHAIN
    assert sorted(pairs(CHAIN, 0, spikenas)[1].live().values()) == ["conv3x3", *["skip"] * 5]


@pytest.mark.parametrize("method", ["snasnet", "spikenas"])
def test_the_study_says_ratios(method: str) -> None:
    options = CandidateOptions(method=method, candidates=2, width=1, pixels=8, batch=4, timesteps=1, turns=1)
    result = compare(options, Narrator(quiet=True))
    assert list(result["baselines"]) == ["as published", "state at rest", "equal minibatches"]
    assert result["drawn"] == (2 if method == "snasnet" else 4)
    for row in result["baselines"].values():
        assert row["ratio_distinct"] == pytest.approx(row["ratio"] * result["distinct"] / result["drawn"], abs=0.02)
        assert row["seconds"] > 0
    published_candidates.print_result(result)
    with pytest.raises(UsageError, match="--method 'lightsnn': expected snasnet or spikenas"):
        CandidateOptions(method="lightsnn")
    with pytest.raises(UsageError, match="--pixels 12: expected 8 or 16"):
        CandidateOptions(pixels=12)
