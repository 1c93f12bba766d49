import itertools
import json
import math

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.search.methods import lightsnn
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import FORWARD_EDGES, Cell
from snnas.search.scoring.batched import BatchedScorer
from snnas.search.scoring.proxies import Score
from snnas.search.scoring.supernet import Supernet

SPACE = space.get("lightsnn")


class Preferring:
    """A score that is high when operations in front of ``order`` are present: those at its end are pruned first."""

    def __init__(self, *order: str, firing: dict | None = None) -> None:
        self.order, self.firing, self.calls = order, firing or {"lif": 0.1}, 0

    def __call__(self, choices) -> Score:
        self.calls += 1
        worth = {op: 10.0 ** (len(self.order) - k) for k, op in enumerate(self.order)}
        return Score(sum(worth[op] for ops in choices.values() for op in ops), self.firing)


def search(score, **options):
    log: list = []
    return lightsnn.run(SPACE, each(score), log=log.append, **options), log


def each(score):
    """A function that scores a round, from one that scores a candidate."""
    return lambda candidates: [score(choices) for choices in candidates]


def test_prunes_to_one_operation_per_edge() -> None:
    score = Preferring("conv3x3", "skip", "zeroize")
    result, log = search(score)
    assert result.genotype.cells == (Cell(("conv3x3",) * 6),) * 2
    assert result.evaluations == score.calls == 18 + 12 + 1
    assert [r["event"] for r in log].count("evaluation") == 31
    assert [r["op"] for r in log if r["event"] == "removal"] == ["zeroize"] * 6 + ["skip"] * 6
    assert result.guards == ()
    assert {r["edge"] for r in log if r["event"] == "removal"} == {f"{i}->{j}" for i, j in FORWARD_EDGES}


def test_backward_edges_are_searched_when_asked_for() -> None:
    result, _ = search(Preferring("conv3x3", "skip", "zeroize"), backward=True, cells=3)
    assert result.evaluations == 36 + 24 + 1
    assert result.genotype.cells == (Cell(("conv3x3",) * 6, ("conv3x3",) * 6),) * 3


def test_guard_against_skip_only() -> None:
    result, log = search(Preferring("skip", "zeroize", "conv3x3"))
    live = result.genotype.cells[0].live()
    assert "conv3x3" in live.values()
    # The last edge that still has a convolution keeps it, in both rounds.
    assert [(r["guard"], r["round"], r["edge"]) for r in result.guards] == [("conv", 1, "2->3"), ("conv", 2, "2->3")]
    assert [r for r in log if r["event"] == "guard"] == list(result.guards)
    assert "removing conv3x3 from edge 2->3 would leave no convolution" in result.guards[0]["text"]
    assert "zeroize is removed instead" in result.guards[0]["text"]


def test_guard_against_no_path() -> None:
    result, _ = search(Preferring("zeroize", "conv3x3", "skip"))
    assert "path" in {r["guard"] for r in result.guards}
    assert "conv3x3" in result.genotype.cells[0].live().values()


@pytest.mark.parametrize("order", list(itertools.permutations(SPACE.ops)))
@pytest.mark.parametrize("backward", [False, True])
def test_whatever_the_score_wants_the_result_is_valid(order: tuple, backward: bool) -> None:
    result, _ = search(Preferring(*order), backward=backward)
    assert "conv3x3" in result.genotype.cells[0].live().values()


def test_random_scores_never_end_in_a_degenerate_cell() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        result, _ = search(lambda choices, rng=rng: Score(float(rng.normal()), {}), backward=bool(seed % 2))
        assert "conv3x3" in result.genotype.cells[0].live().values()


def test_silent_layers_of_the_final_candidate_are_reported() -> None:
    result, log = search(Preferring("conv3x3", "skip", "zeroize", firing={"a_lif": 0.0, "b_lif": 0.2, "c_lif": 0.0}))
    assert [r["guard"] for r in result.guards] == ["alive", "alive"]
    assert "a_lif" in result.guards[0]["text"]
    assert sum(r["event"] == "guard" for r in log) == 2
    assert result.firing == {"a_lif": 0.0, "b_lif": 0.2, "c_lif": 0.0}


def test_ties_take_the_dearest_operation_and_are_recorded() -> None:
    result, log = search(lambda choices: Score(1.0, {}))
    removals = [r for r in log if r["event"] == "removal"]
    assert [r["op"] for r in removals[:5]] == ["conv3x3"] * 5
    assert removals[0]["ties"] == ["zeroize", "skip", "conv3x3"]
    kept = result.genotype.cells[0].live().values()
    assert sum(op == "conv3x3" for op in kept) == 1  # the guard keeps one


def test_minus_infinity_and_nan_are_worst_and_survive_json() -> None:
    def score(choices) -> Score:
        return Score(
            -math.inf if "conv3x3" not in choices[0, 1] else math.nan if "skip" not in choices[0, 1] else 1.0, {}
        )

    result, log = search(score)
    again, _ = search(score, resume=json.loads(json.dumps(log, allow_nan=False)))
    assert again == result
    assert next(r for r in log if r["event"] == "removal")["op"] == "zeroize"  # the only finite score


CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=3, channels=4, hidden=16, timesteps=3)


@pytest.mark.parametrize("backward", [False, True])
def test_resume_at_any_record_gives_the_same_result(backward: bool) -> None:
    supernet = Supernet(SPACE, CONFIG, backward=backward, seed=0)
    scorer = BatchedScorer(supernet, torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    log: list = []
    result = lightsnn.run(SPACE, scorer, log=log.append, backward=backward)
    on_disk = [json.loads(json.dumps(record)) for record in log]
    for cut in (0, 1, len(log) // 3, len(log) - 2, len(log)):
        rest: list = []
        resumed = lightsnn.run(SPACE, scorer, log=rest.append, resume=on_disk[:cut], backward=backward)
        assert resumed == result
        assert [_timeless(r) for r in on_disk[:cut] + rest] == [_timeless(r) for r in log]


def _timeless(record: dict) -> dict:
    return {key: value for key, value in record.items() if key != "seconds"}


def test_a_finished_log_is_replayed_without_scoring() -> None:
    result, log = search(Preferring("conv3x3", "skip", "zeroize"))

    def never(choices) -> Score:
        raise AssertionError("scored again")

    again, rest = search(never, resume=log)
    assert (again, rest) == (result, [])


@pytest.mark.parametrize(
    "record",
    [
        {"event": "evaluation"},
        {"event": "evaluation", "round": 1, "edge": "0->1", "op": "skip", "score": "high", "firing": {}},
        {"event": "evaluation", "round": 1, "edge": ["0->1"], "op": "skip", "score": 1.0, "firing": {}},
        {"event": "evaluation", "round": 1, "edge": "0->1", "op": "skip", "score": 1.0, "firing": 3},
        {"event": "evaluation", "round": 9, "edge": "0->1", "op": "skip", "score": 1.0, "firing": {}},
        {"event": "evaluation", "round": 1, "edge": "0->1", "op": "avgpool3x3", "score": 1.0, "firing": {}},
        3,
    ],
)
def test_a_log_of_something_else_is_refused(record) -> None:
    with pytest.raises(InvalidFileError, match="start afresh"):
        search(Preferring("conv3x3", "skip", "zeroize"), resume=[record])


def at_most(limit: int):
    """A budget on convolutions that are in use; ``asked`` holds the genotypes."""

    def refuse(genotypes):
        refuse.asked += genotypes
        found = [sum(op == "conv3x3" for op in g.cells[0].live().values()) for g in genotypes]
        return [f"{n} convolutions" if n > limit else None for n in found]

    refuse.asked = []
    return refuse


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
@pytest.mark.parametrize("order", list(itertools.permutations(["conv3x3", "skip", "zeroize"])))
@pytest.mark.parametrize("backward", [False, True])
def test_pruning_ends_within_a_budget(order: tuple, limit: int, backward: bool) -> None:
    refuse = at_most(limit)
    result, log = search(Preferring(*order), refuse=refuse, backward=backward)
    live = result.genotype.cells[0].live().values()
    assert 1 <= sum(op == "conv3x3" for op in live) <= limit
    free, _ = search(Preferring(*order), backward=backward)
    convolutions = sum(op == "conv3x3" for op in free.genotype.cells[0].live().values())
    if convolutions <= limit:
        assert result.genotype == free.genotype
    elif order == ("conv3x3", "skip", "zeroize"):
        assert sum(op == "conv3x3" for op in live) == limit, "the budget is used up where the score asks for more"
        assert {g["guard"] for g in result.guards} == {"budget"}
        assert any(r["event"] == "refusal" for r in log)


def test_a_budget_that_nothing_keeps() -> None:
    refuse = at_most(0)
    with pytest.raises(GateError, match="256 cheapest architectures of lightsnn is within the budget"):
        search(Preferring("conv3x3", "skip", "zeroize"), refuse=refuse)
    ids = [g.architecture_id for g in refuse.asked]
    assert len(ids) == len(set(ids)) <= 256
    convolutions = [sum(op == "conv3x3" for op in g.cells[0].live().values()) for g in refuse.asked]
    assert convolutions == sorted(convolutions), "the cheapest first"


def test_a_search_within_a_budget_resumes() -> None:
    result, log = search(Preferring("conv3x3", "skip", "zeroize"), refuse=at_most(2))
    on_disk = [json.loads(json.dumps(record)) for record in log]
    for cut in (0, 5, len(log) - 2, len(log)):
        again, rest = search(Preferring("conv3x3", "skip", "zeroize"), refuse=at_most(2), resume=on_disk[:cut])
        assert again == result
        assert [r["event"] for r in on_disk[:cut] + rest] == [r["event"] for r in log]


def test_completions_are_all_of_them_by_price() -> None:
    choices = {(0, 1): ("conv3x3", "zeroize"), (0, 3): ("skip", "conv1x1", "conv3x3"), (1, 3): ("avgpool3x3", "skip")}
    cells = list(lightsnn.completions(choices))
    assert len(cells) == len(set(cells)) == 12
    prices = [sum(lightsnn._price(op) for op in cell.forward) for cell in cells]
    assert prices == sorted(prices)
    assert cells[0] == Cell.of({(0, 3): "skip", (1, 3): "skip"})
