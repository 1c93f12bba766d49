import json
import math

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.search.methods import lightsnn, snasnet, spikenas
from snnas.search.methods.journal import NoScoreError
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import CONV_KERNELS
from snnas.search.network.network import Network
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.proxies import Score
from snnas.search.scoring.supernet import Supernet, remaining


def search(score, *, name: str = "snasnet", seed: int = 0, **options):
    log: list = []
    result = snasnet.run(
        space.get(name), score, log=log.append, **{"rng": np.random.default_rng(seed), "candidates": 60, **options}
    )
    return result, log


def counting(value):
    """A score from the operations of a candidate; ``calls`` holds what was asked for."""

    def score(candidates):
        score.calls += [remaining(choices) for choices in candidates]
        return [Score(value(remaining(choices)), {"lif": 0.1}) for choices in candidates]

    score.calls = []
    return score


def convs(ops) -> float:
    return float(sum(op in CONV_KERNELS for names in ops.values() for op in names))


@pytest.mark.parametrize("name", ["lightsnn", "snasnet"])
@pytest.mark.parametrize("backward", [False, True])
def test_the_best_valid_candidate_wins(name: str, backward: bool) -> None:
    score = counting(convs)
    result, log = search(score, name=name, backward=backward, cells=3)
    live = result.genotype.cells[0].live()
    assert convs({edge: (op,) for edge, op in live.items()}) == max(map(convs, score.calls)) == result.score
    assert len(result.genotype.cells) == 3
    assert all(any(op in CONV_KERNELS for names in ops.values() for op in names) for ops in score.calls)
    if name == "snasnet":
        assert all((0, 3) in ops for ops in score.calls)
        assert not any((j, i) in ops for ops in score.calls for i, j in ops)
    Network(result.genotype, NetworkConfig(input_shape=(1, 8, 8), classes=2, channels=2, hidden=4, cells=3))
    assert log[-1]["event"] == "choice"
    assert log[-1]["op"] == result.genotype.architecture_id


def test_duplicates_are_scored_once() -> None:
    score = counting(convs)
    result, log = search(score, name="lightsnn", candidates=400)
    keys = [tuple(ops.items()) for ops in score.calls]
    assert len(keys) == len(set(keys)) == result.evaluations < 400
    assert [r["event"] for r in log].count("evaluation") == result.evaluations
    places = [r["round"] for r in log if r["event"] == "evaluation"]
    assert places == sorted(places)
    assert max(places) < 400


def test_ties_go_to_the_first_drawn() -> None:
    result, log = search(counting(lambda ops: 1.0))
    assert log[-1]["round"] == 0
    assert log[-1]["ties"]
    drawn = space.get("snasnet").random_genotype(np.random.default_rng(0))
    assert result.genotype.cells[0].live() == drawn.cells[0].live()


def test_a_guard_reports_dead_layers() -> None:
    def score(candidates):
        return [Score(1.0, {"a_lif": 0.0, "b_lif": 0.2}) for _ in candidates]

    result, _ = search(score)
    assert [r["guard"] for r in result.guards] == ["alive"]
    assert "a_lif" in result.guards[0]["text"]


@pytest.mark.parametrize("method", [snasnet, lightsnn, spikenas])
def test_scores_of_which_none_is_finite_choose_nothing(method) -> None:
    log: list = []
    options = {"log": log.append, "rng": np.random.default_rng(0), "candidates": 9}
    if method is lightsnn:
        del options["rng"], options["candidates"]
    if method is spikenas:
        options["memory"] = lambda genotype: 1

    def scored(finite: int):
        def score(candidates):
            left = len(candidates) - finite
            return [Score(1.0, {})] * finite + [Score(math.nan if k % 2 else -math.inf, {}) for k in range(left)]

        return score

    chosen = space.get(method.__name__.split(".")[-1])
    with pytest.raises(NoScoreError, match="finite score, expected"):
        method.run(chosen, scored(0), **options)
    assert [r["guard"] for r in log if r["event"] == "guard"] == ["score"]
    assert json.dumps(log, allow_nan=False)
    if "rng" in options:
        options["rng"] = np.random.default_rng(0)
    assert method.run(chosen, scored(1), **options).genotype, "one finite score is enough"


@pytest.mark.parametrize("backward", [False, True])
def test_resume_at_any_record_gives_the_same_result(backward: bool) -> None:
    chosen = space.get("snasnet")
    config = NetworkConfig(
        input_shape=(1, 8, 8), classes=3, channels=4, hidden=16, timesteps=3, reduction=chosen.reduction
    )
    scorer = BatchedScorer(
        Supernet(chosen, config, backward=backward, seed=0),
        torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    )
    result, log = search(scorer, backward=backward, candidates=40)
    assert math.isfinite(result.score)
    on_disk = [json.loads(json.dumps(record)) for record in log]
    for cut in (0, 1, len(log) // 2, len(log) - 1, len(log)):
        again, rest = search(scorer, backward=backward, candidates=40, resume=on_disk[:cut])
        assert again == result
        assert [_timeless(r) for r in on_disk[:cut] + rest] == [_timeless(r) for r in log]


def _timeless(record: dict) -> dict:
    return {key: value for key, value in record.items() if key != "seconds"}


def test_logs_of_another_search_are_refused() -> None:
    _, log = search(counting(convs))
    with pytest.raises(InvalidFileError, match="start afresh"):
        search(counting(convs), seed=1, resume=log)
    with pytest.raises(InvalidFileError, match="what a snasnet search logs"):
        search(counting(convs), resume=[{"event": "evaluation"}])


def test_at_least_one_candidate() -> None:
    with pytest.raises(UsageError, match="0 candidates"):
        search(counting(convs), candidates=0)


def test_what_is_refused_is_not_scored() -> None:
    score = counting(convs)

    def refuse(genotypes):
        return ["too many" if convs(remaining_of(g)) > 2 else None for g in genotypes]

    result, log = search(score, refuse=refuse)
    refused = [r for r in log if r["event"] == "refusal"]
    assert refused
    assert {r["reason"] for r in refused} == {"too many"}
    assert max(map(convs, score.calls)) == 2 == result.score
    assert len(refused) + result.evaluations == len({r["op"] for r in log if r["event"] != "choice"})
    again, more = search(score, refuse=refuse, resume=[json.loads(json.dumps(r)) for r in log])
    assert (again, more) == (result, [])


def remaining_of(genotype) -> dict:
    return {edge: (op,) for edge, op in genotype.cells[0].live().items()}


def test_nothing_is_left() -> None:
    with pytest.raises(GateError, match="architectures drawn is over the budget"):
        search(counting(convs), refuse=lambda genotypes: ["no"] * len(genotypes))
