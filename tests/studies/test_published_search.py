"""The study of the published search: its leak costs kernels and no score; what a command of the user's takes."""

import sys

import pytest
import torch

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import Narrator
from tests.studies import published_search
from tests.studies.published_search import EDGES, OPS, PublishedOptions, PublishedSearch, compare

SMALL = PublishedOptions(width=1, pixels=8, batch=4, timesteps=1, turns=1)


CHAIN = ((0, 1), (1, 2), (2, 3))


@pytest.fixture
def small_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of three edges forward and three back."""
    monkeypatch.setattr(published_search, "FORWARD", CHAIN)
    monkeypatch.setattr(published_search, "EDGES", (*CHAIN, *((j, i) for i, j in CHAIN)))


@pytest.mark.usefixtures("small_cell")
def test_the_leak_computes_every_kernel_of_evaluation_k_k_times_and_moves_no_score() -> None:
    images = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    search = PublishedSearch(images, SMALL, hidden=4, votes=6)
    leak, clean = search.run(leak=True), search.run(leak=False)
    assert leak.scores == pytest.approx(clean.scores, abs=1e-6)
    assert leak.cell == clean.cell
    assert set(clean.cell) <= set(OPS)
    # 12 convolutions and 3 other LIFs; where an edge has lost its convolution, two less.
    scored = 6 * (3 + 2)
    per = [kernels / published_search.REPEATS for kernels in clean.kernels]
    assert per[:18] == [15, 15, 13] * 6
    assert len(per) == len(clean.scores) == scored
    assert list(leak.kernels) == [k * kernels for k, kernels in enumerate(clean.kernels, start=1)]
    fixed = search.run(leak=False, fixed=images[:4])
    assert fixed.kernels[:18] == tuple(per[:18])


def test_what_comes_back_changes_nothing() -> None:
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    search, weights = PublishedSearch(images, SMALL, hidden=4, votes=6), torch.full((12, 3), 1 / 3)
    seen: list[torch.Tensor] = []
    search.layers["1_bn"].register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].clone()))
    for _ in range(2):
        search.rest()
        with torch.no_grad():
            search._forward(images[:4], weights)
            for i, j in EDGES[6:]:
                search.layers[f"1_{i}{j}"][0].weight.mul_(-3)
    assert torch.equal(seen[0], seen[1])


@pytest.mark.usefixtures("small_cell")
def test_the_study_says_ratios_and_times_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"{sys.executable} -c 'sum(range(10**6))'"
    result = compare(
        PublishedOptions(width=1, pixels=8, batch=4, timesteps=1, turns=1, reference=command), Narrator(quiet=True)
    )
    assert list(result["baselines"]) == ["as published", "leak removed", "equal minibatches", "the command"]
    own = result["snnas"]["seconds"]
    for row in result["baselines"].values():
        assert row["ratio"] == pytest.approx(row["seconds"] / own, rel=0.15)  # of two rounded figures
        assert row["seconds"] > 0
    published_search.print_result(result)
    monkeypatch.setattr(published_search, "compare", None)
    with pytest.raises(UsageError, match="--pixels 12: expected 8 or 16"):
        PublishedOptions(pixels=12)
    with pytest.raises(UsageError, match="it ended with 3, expected 0"):
        published_search.of_children(f"{sys.executable} -c 'raise SystemExit(3)'")
    with pytest.raises(UsageError, match="no_such"):
        published_search.of_children("no_such_program x")
