import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.search.methods import spikenas
from snnas.search.methods.journal import Journal
from snnas.search.methods.memory import Widths, memory
from snnas.search.methods.spikenas import OperationLoss, kept_operations, operation_study, valid_cells
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import CONV_KERNELS, Genotype
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.guards import Finding
from snnas.search.scoring.proxies import Score
from snnas.search.scoring.supernet import Supernet

CONFIG = NetworkConfig(
    input_shape=(1, 8, 8), classes=3, channels=2, hidden=8, votes=2, timesteps=3, reduction="average"
)
SPACE = space.get("spikenas")
FUNCTIONS = 340  # of its valid cells


def size(genotype: Genotype) -> int:
    return memory(genotype, CONFIG).bytes(Widths())


def convs(candidate) -> list[int]:
    return [sum(op in CONV_KERNELS for (op,) in cell.values()) for cell in candidate]


def counting(value):
    """A score from the operations of every cell; ``calls`` holds what was asked for."""

    def score(candidates):
        score.calls += candidates
        return [Score(value(candidate), {"lif": 0.1}) for candidate in candidates]

    score.calls = []
    return score


def search(score, **options):
    log: list = []
    options = {"memory": size, "rng": np.random.default_rng(0), "log": log.append, **options}
    return spikenas.run(options.pop("space", SPACE), score, **options), log


def test_each_cell_is_searched_exhaustively_with_the_rest_cheap() -> None:
    score = counting(lambda c: -abs(convs(c)[0] - 4.0) - abs(convs(c)[1] - 2.0))
    result, log = search(score)
    assert convs([{e: (op,) for e, op in cell.live().items()} for cell in result.genotype.cells]) == [4, 2]
    # 3 ** 6 choices, of which 2 ** 6 have no convolution, are 340 functions.
    assert result.evaluations == len(score.calls) == 2 * FUNCTIONS
    assert {convs(c)[1] for c in score.calls[:FUNCTIONS]} == {1}, "the second cell is the cheapest valid one"
    frozen = {tuple(c[0].items()) for c in score.calls[FUNCTIONS:]}
    assert len(frozen) == 1
    assert [r["op"] for r in log if r["event"] == "choice"][1] == result.genotype.architecture_id


def test_ties_go_to_the_smaller_memory() -> None:
    result, log = search(counting(lambda c: 1.0))
    cheapest = min(size(Genotype("spikenas", (a, a))) for a in valid_cells(SPACE, 1, np.random.default_rng(0)))
    assert size(result.genotype) == cheapest
    assert len(log[-1]["ties"]) == 16


def test_over_the_budget_is_never_scored_and_the_log_holds_the_feasible_set() -> None:
    limit = 3 * 1024

    def refuse(genotypes):
        return [f"{size(g)} B" if size(g) > limit else None for g in genotypes]

    score = counting(lambda c: float(sum(convs(c))))
    result, log = search(score, refuse=refuse)
    lines = [r for r in log if r["event"] in ("evaluation", "refusal")]
    assert len(lines) == 2 * FUNCTIONS
    assert all((r["memory"] > limit) == (r["event"] == "refusal") for r in lines)
    assert all(r["reason"] == f"{r['memory']} B" for r in lines if r["event"] == "refusal")
    assert 0 < len(score.calls) == result.evaluations < len(lines)
    assert size(result.genotype) <= limit
    unlimited, _ = search(counting(lambda c: float(sum(convs(c)))))
    assert size(unlimited.genotype) > limit
    choices = [r for r in log if r["event"] == "choice"]
    assert [c["feasible"] + c["refused"] for c in choices] == [FUNCTIONS, FUNCTIONS]


def test_nothing_fits() -> None:
    with pytest.raises(GateError, match=f"each of the {FUNCTIONS} candidates for cell 1 is over the budget"):
        search(counting(lambda c: 1.0), refuse=lambda genotypes: ["too large"] * len(genotypes))


def test_a_killed_search_resumes_to_the_same_result() -> None:
    value = lambda c: float(np.random.default_rng(hash(str(convs(c))) % 2**32).random())  # noqa: E731
    result, log = search(counting(value))
    for cut in (3, 700, len(log)):
        score = counting(value)
        again, more = search(score, resume=log[:cut])
        assert again == result
        timeless = [[{**r, "seconds": None} for r in records] for records in (more, log[cut:])]
        assert timeless[0] == timeless[1]
        assert len(score.calls) == 2 * FUNCTIONS - sum(r["event"] == "evaluation" for r in log[:cut])
    with pytest.raises(InvalidFileError, match="never makes"):
        search(counting(value), resume=log[:3], space=replace(SPACE, ops=("skip", "conv3x3")))


def test_guards_pass_over_what_they_refuse() -> None:
    best = 6

    def inspect(candidate):
        return [Finding("input", "dead", refuses=True)] if convs(candidate)[0] == best else []

    result, log = search(counting(lambda c: float(sum(convs(c)))), inspect=inspect)
    assert sum(op in CONV_KERNELS for op in result.genotype.cells[0].forward) == best - 1
    assert not result.refused
    assert [r["guard"] for r in log if r["event"] == "guard"] == ["input"]


def test_larger_spaces_are_drawn_from() -> None:
    cells = valid_cells(space.get("snasnet"), 50, np.random.default_rng(0))
    assert 30 < len(cells) <= 50
    assert len(set(cells)) == len(cells)
    assert len(valid_cells(SPACE, 5, np.random.default_rng(0), backward=True)) == 5
    with pytest.raises(UsageError, match="0 candidates"):
        valid_cells(SPACE, 0, np.random.default_rng(0))


def test_equal_live_edges_are_one_candidate() -> None:
    three = replace(space.get("lightsnn"), name="lightsnn")
    cells = valid_cells(three, 1, np.random.default_rng(0))
    assert len(cells) == len({tuple(cell.live().items()) for cell in cells}) < 729
    assert all(cell.live() == {e: op for e, op in cell.ops().items() if op != "zeroize"} for cell in cells)


def study(value, repeats: int = 4, **options):
    log: list = []
    scores = [lambda candidates, k=k: [Score(value(c, k), {}) for c in candidates] for k in range(repeats)]
    journal = Journal("spikenas", log.append)
    chosen = operation_study(options.get("space", SPACE), scores, journal, np.random.default_rng(0))
    return chosen, {r["op"]: r for r in log if r["event"] == "study"}


def uses(candidate, op: str) -> int:
    return sum(names == (op,) for cell in candidate for names in cell.values())


def test_the_study_keeps_what_counts() -> None:
    noise = [0.3, -0.2, 0.1, -0.4]
    chosen, found = study(lambda c, k: 5.0 * (uses(c, "skip") > 0) + (1 + noise[k]) * uses(c, "conv3x3"))
    assert found["avgpool3x3"]["kept"] is False
    assert found["avgpool3x3"]["low"] <= 0
    assert found["skip"]["kept"]
    assert found["skip"]["low"] > 0
    assert found["conv3x3"]["loss"] is None, "without it no network is left"
    assert chosen.ops == ("conv3x3", "skip")
    assert [found[op]["round"] for op in ("conv3x3", "skip", "avgpool3x3")] == [1, 2, 3]


def test_the_interval_is_students() -> None:
    losses = [1.0, 2.0, 3.0, 4.0]
    scipy = pytest.importorskip("scipy.stats")
    found = spikenas._interval("skip", losses)
    low, high = scipy.t.interval(0.95, 3, loc=2.5, scale=scipy.sem(losses))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))
    for freedom, quantile in enumerate(spikenas.T_QUANTILES, start=1):
        assert quantile == pytest.approx(scipy.t.ppf(0.975, freedom), abs=1e-3)


def test_a_convolution_and_two_operations_stay() -> None:
    worthless = [OperationLoss(op, 0.0, -1.0, 1.0) for op in ("conv3x3", "conv1x1", "skip", "zeroize")]
    kept = kept_operations(worthless)
    assert len(kept) == 2
    assert kept & set(CONV_KERNELS)
    one = [OperationLoss("skip", 2.0, 1.0, 3.0), *worthless[2:], OperationLoss("conv3x3", -1.0, -2.0, 0.0)]
    assert "conv3x3" in kept_operations(one)
    with pytest.raises(UsageError, match="1 repeats"):
        study(lambda c, k: 0.0, repeats=1)


def test_a_search_with_a_study() -> None:
    scores = [
        lambda candidates, k=k: [
            Score(5.0 * (uses(c, "avgpool3x3") > 0) + uses(c, "conv3x3") * 0.01 * k, {}) for c in candidates
        ]
        for k in range(3)
    ]
    result, log = search(counting(lambda c: float(uses(c, "skip"))), study=scores)
    studied = [r for r in log if str(r["round"]).startswith("study")]
    assert {r["round"] for r in studied} == {"study 1", "study 2", "study 3"}
    dropped = [r["op"] for r in log if r["event"] == "study" and not r["kept"]]
    assert dropped == ["skip"]
    assert all("skip" not in cell.forward for cell in result.genotype.cells)


def test_on_a_real_supernet() -> None:
    """Cells of their own, scored by SAHD: in the end as good as any pair of a cell that was tried."""
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    score = BatchedScorer(Supernet(SPACE, CONFIG, seed=2), x)
    small = replace(SPACE, ops=("conv3x3", "skip"))
    cells = valid_cells(small, 1, np.random.default_rng(0))[::9]
    one = {tuple(c.live().items()): c for c in cells}
    original = spikenas.valid_cells
    spikenas.valid_cells = lambda *args, **kwargs: list(one.values())
    try:
        result, log = search(score, space=small)
    finally:
        spikenas.valid_cells = original
    assert math.isfinite(result.score)
    first, second = result.genotype.cells
    filler = min(cells, key=lambda c: size(Genotype("spikenas", (c, c))))
    pairs = [(c, filler) for c in cells] + [(first, c) for c in cells]
    values = score([[{e: (op,) for e, op in cell.ops().items()} for cell in pair] for pair in pairs])
    half = len(cells)
    assert cells[int(np.argmax([s.value for s in values[:half]]))] == first
    assert cells[int(np.argmax([s.value for s in values[half:]]))] == second
    assert list(itertools.chain(r["memory"] for r in log if r["event"] == "choice"))[-1] == size(result.genotype)
