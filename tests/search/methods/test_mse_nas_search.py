import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.search.methods import mse_nas
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.rdm import Fitness

pytest.importorskip("pymoo")
SPACE = GenomeSpace(2)


def large_kernels(genome: Genome) -> float:
    return float(sum(kernel == 5 for cell in genome.cells for kernel in cell.kernels))


def synapses(genome: Genome) -> float:
    return float(sum(len(cell.kernels) for cell in genome.cells))


class Counting:
    """A score; ``seen`` holds what was asked for."""

    def __init__(self, value=large_kernels) -> None:
        self.value, self.seen = value, []

    def __call__(self, genomes):
        self.seen += genomes
        return [
            Fitness(self.value(g), {"a_lif": 0.1}, refusal="" if self.value(g) > -math.inf else "dead") for g in genomes
        ]


def search(score, *, log=None, seed: int = 0, **options):
    log = [] if log is None else log
    rng = np.random.default_rng(seed)
    return mse_nas.run(SPACE, score, log=log.append, rng=rng, **{"population": 10, "generations": 6, **options}), log


def timeless(log):
    """A log as a file gives it back, without the seconds."""
    return [{key: value for key, value in json.loads(json.dumps(entry)).items() if key != "seconds"} for entry in log]


def test_evolution_finds_more_than_drawing_does() -> None:
    result, log = search(Counting(), population=20, generations=40)
    first = max(entry["score"] for entry in log if entry["event"] == "evaluation" and entry["round"] == 0)
    assert result.score == large_kernels(result.genotype) == 24.0 > first  # the best there is: LI twice, all 5
    assert result.front == ((result.genotype, {"fitness": 24.0}),)
    assert not result.refused


def test_the_best_is_never_lost() -> None:
    _, log = search(Counting(), generations=12)
    best = {}
    for entry in log[:-1]:
        best[entry["round"]] = max(best.get(entry["round"], 0), entry["score"])
    assert log[-1]["event"] == "choice"
    assert log[-1]["score"] == max(best.values())


def test_equal_genomes_are_scored_once() -> None:
    score = Counting()
    result, log = search(score, generations=15)
    ids = [genome.architecture_id for genome in score.seen]
    assert len(set(ids)) == len(ids) == result.evaluations
    assert [entry["op"] for entry in log if entry["event"] == "evaluation"] == ids
    assert all(Genome.from_json(json.dumps(e["genome"])).architecture_id == e["op"] for e in log[:-1])


def test_what_is_over_a_budget_is_never_scored() -> None:
    score = Counting()

    def refuse(genomes):
        return [f"{synapses(g):.0f} synapses" if synapses(g) > 9 else None for g in genomes]

    result, log = search(score, generations=8, refuse=refuse)
    assert max(map(synapses, score.seen)) <= 9
    assert result.evaluations == len(score.seen) == sum(entry["event"] == "evaluation" for entry in log)
    refused = [entry for entry in log if entry["event"] == "refusal"]
    assert refused
    assert len({entry["op"] for entry in refused}) == len(refused)
    with pytest.raises(GateError, match="genomes evolved is over the budget"):
        search(Counting(), refuse=lambda genomes: ["no"] * len(genomes))


COSTS = ({}, {"synapses": synapses})


@pytest.mark.parametrize("costs", COSTS)
@settings(max_examples=12)
@given(cut=st.integers(0, 60))
def test_a_killed_search_ends_as_if_it_had_not_been(costs, cut: int) -> None:
    whole, log = search(Counting(), costs=costs)
    kept = json.loads(json.dumps(log[:cut]))
    score = Counting()
    again, rest = search(score, costs=costs, resume=kept)
    assert again == whole
    assert timeless(kept + rest) == timeless(log)
    assert len(score.seen) == sum(entry["event"] == "evaluation" for entry in rest)


def test_a_search_depends_on_its_generator_alone() -> None:
    np.random.seed(1)
    one = search(Counting(), seed=3)
    np.random.seed(2)
    other = search(Counting(), seed=3)
    assert one[0] == other[0]
    assert timeless(one[1]) == timeless(other[1])
    assert one[0].genotype != search(Counting(), seed=4)[0].genotype


def test_a_front_holds_what_nothing_beats() -> None:
    result, log = search(Counting(), costs={"synapses": synapses}, population=16, generations=10)
    seen = [(-e["score"], e["costs"]["synapses"]) for e in log if e["event"] == "evaluation"]
    expected = {p for p in seen if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in seen)}
    assert [(-v["fitness"], v["synapses"]) for _, v in result.front] == sorted(expected)
    assert len(expected) > 3
    assert result.genotype == result.front[0][0]
    assert all(large_kernels(g) == v["fitness"] and synapses(g) == v["synapses"] for g, v in result.front)
    assert [entry["op"] for entry in log[-1]["front"]] == [g.architecture_id for g, _ in result.front]


def test_what_is_refused_loses_against_everything() -> None:
    def value(genome: Genome) -> float:
        # Below 0, so that no number that stands for a refusal could be the better one by chance.
        return -math.inf if any(cell.motif == "LI" for cell in genome.cells) else large_kernels(genome) - 100

    result, log = search(Counting(value), population=16, generations=10)
    assert all(cell.motif != "LI" for cell in result.genotype.cells)
    refused = [entry for entry in log if entry["event"] == "evaluation" and entry["score"] is None]
    assert refused
    assert {entry["refusal"] for entry in refused} == {"dead"}
    late = [entry for entry in refused if entry["round"] >= 6]
    assert len(late) < 12  # of 64; of drawn ones every third holds it
    dear = {"memory": lambda genome: math.inf if genome.fan_in == 3 else synapses(genome)}
    assert search(Counting(), costs=dear)[0].genotype.fan_in == 2


def test_a_search_without_a_living_genome_says_so() -> None:
    result, log = search(Counting(lambda genome: -math.inf))
    assert result.refused
    assert result.front == ()
    assert result.guards[0]["guard"] == "input"
    assert "all 60 genomes are refused" in result.guards[0]["text"]
    assert result.genotype.architecture_id == log[0]["op"]


def test_nan_is_no_merit() -> None:
    result, _ = search(Counting(lambda genome: math.nan if genome.fan_in == 3 else large_kernels(genome)))
    assert result.genotype.fan_in == 2
    assert math.isfinite(result.score)


def test_silent_layers_of_the_winner_are_reported() -> None:
    def score(genomes):
        return [Fitness(large_kernels(g), {"a_lif": 0.0, "b_lif": 0.2}) for g in genomes]

    result, log = search(score)
    assert [guard["guard"] for guard in result.guards] == ["alive"]
    assert "a_lif" in result.guards[0]["text"]
    assert log[0]["silent_layers"] == 1


def test_logs_of_another_search_are_refused() -> None:
    _, log = search(Counting())
    with pytest.raises(InvalidFileError, match="never makes"):
        search(Counting(), seed=1, resume=log)
    with pytest.raises(InvalidFileError, match=r"record 1 .* start afresh"):
        search(Counting(), resume=[{"event": "evaluation", "round": 0, "op": "x"}])
    with pytest.raises(InvalidFileError, match="costs"):
        search(Counting(), resume=log, costs={"synapses": synapses})


def test_a_space_smaller_than_the_population_is_searched_whole() -> None:
    small = GenomeSpace(1, motifs=("FE",), fan_ins=(2,))
    score = Counting()
    result = mse_nas.run(
        small, score, log=lambda record: None, rng=np.random.default_rng(0), population=12, generations=9
    )
    assert result.evaluations == len(score.seen) == 8
    assert result.score == 3.0


def test_a_genome_that_comes_back_is_not_scored_again() -> None:
    """Only the population keeps pymoo from proposing it: what was dropped returns."""
    small = GenomeSpace(1, motifs=("FE",), fan_ins=(2,))
    score, log = Counting(), []
    rng = np.random.default_rng(0)
    result = mse_nas.run(small, score, log=log.append, rng=rng, population=2, generations=30)
    assert result.evaluations == len(score.seen) == len({g.architecture_id for g in score.seen}) <= 8
    assert sum(entry["event"] == "evaluation" for entry in log) == result.evaluations


def test_sizes_are_checked() -> None:
    with pytest.raises(UsageError, match="population 1"):
        search(Counting(), population=1)
    with pytest.raises(UsageError, match="0 generations"):
        search(Counting(), generations=0)
