"""The search that trains, with trainings that cost nothing: what one comes to is settled by its design and seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.search.methods import SearchResult, no_refusal
from snnas.search.methods.nondominated import by_rank_and_crowding, hypervolume
from snnas.search.methods.trained import HOPELESS, SEEDS, Plan, run
from snnas.search.methods.trials import NothingTrainedError, Trained, Trial, mean
from snnas.search.network.design import Design
from snnas.search.network.design_space import DesignSpace

SPACE = DesignSpace.of(
    {
        "ops": ["skip", "conv3x3"],
        "cells": [1, 2],
        "channels": [2, 3, 4],
        "timesteps": [2, 3],
        "hidden": [8],
        "head": ["lif", "linear"],
        "reduction": ["max"],
    }
)
PLAN = Plan(trainings=24, costs=("energy_total",))


class Killed(Exception):
    pass


@dataclass
class World:
    """Trains, logs, and is killed before the training number ``end``."""

    end: int = 10**6
    log: list[dict[str, Any]] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    backwards: bool = False
    outcome: Callable[[Trial], Trained] = field(default_factory=lambda: outcome)

    def train(self, trials: Sequence[Trial], each: Any) -> None:
        places = list(range(len(trials)))
        for at in reversed(places) if self.backwards else places:
            if len(self.trained) >= self.end:
                raise Killed
            self.trained.append(trials[at].name)
            each(at, self.outcome(trials[at]))

    def search(self, plan: Plan = PLAN, **more: Any) -> SearchResult:
        settings = {"rng": np.random.default_rng(5), "refuse": no_refusal, "log": self.log.append, **more}
        return run(SPACE, self.train, plan, **settings)


def outcome(trial: Trial) -> Trained:
    """Wider and longer is better and dearer; a seed is worth a little."""
    design = trial.design
    if design.channels == 4 and design.timesteps == 3:
        return Trained(-np.inf, {}, "it has no program")
    noise = int(trial.design.architecture_id, 16) % 97 / 970 + trial.seed / 1000
    accuracy = 0.4 + 0.1 * design.channels + 0.05 * len(design.cells) - noise
    convolutions = sum(op == "conv3x3" for cell in design.cells for op in cell.live().values())
    energy = float(design.channels * design.timesteps * len(design.cells) ** 2 + convolutions)
    return Trained(accuracy, {"figures": {"energy_total": energy, "chips": None}, "seconds": 0.5, "unit": "uJ"})


def evaluations(world: World) -> list[dict[str, Any]]:
    return [r for r in world.log if r["event"] == "evaluation"]


@pytest.fixture(scope="module")
def whole() -> tuple[World, SearchResult]:
    world = World()
    return world, world.search()


def test_what_came_to_nothing_is_said() -> None:
    said: list[str] = []
    World().search(say=said.append)
    assert [line for line in said if "came to nothing, the last: it has no program" in line]
    with pytest.raises(NothingTrainedError, match=r"none of 24 trainings .*: no such T"):
        World(outcome=lambda trial: Trained(-np.inf, {}, "no such T")).search(say=said.append)
    assert f"  {PLAN.trainings} of {PLAN.trainings} trainings came to nothing, the last: no such T" in said


def test_nothing_is_trained_twice_and_the_mean_decides(whole: tuple[World, SearchResult]) -> None:
    world, found = whole
    assert len(world.trained) == len(set(world.trained)) == PLAN.all_trainings
    assert found.evaluations == len(world.trained)
    finals: dict[str, list[float]] = {}
    for record in evaluations(world):
        if record["round"] == "final":
            finals.setdefault(record["op"], []).append(record["score"])
    assert len(finals) == PLAN.longer
    means = {name: np.mean(scores) for name, scores in finals.items() if len(scores) == SEEDS}
    assert len(means) == PLAN.finalists
    once = {name: scores[0] for name, scores in finals.items()}
    assert min(once[name] for name in means) >= max(once[name] for name in set(once) - set(means))
    assert found.score == pytest.approx(means[found.genotype.architecture_id])
    hows = [record["how"] for record in evaluations(world) if record["seed"] == 0]
    assert {how: hows.count(how) for how in ("random", "plain", "bred")} == {"random": 8, "plain": 4, "bred": 12}
    choice = world.log[-1]
    assert choice["event"] == "choice"
    assert choice["op"] == found.genotype.architecture_id
    assert 0 < choice["hypervolume"]["all"] < 1
    assert choice["hypervolume"]["trainings"] <= 8


@pytest.mark.parametrize("end", [0, 1, 7, 13, 24, 27])
def test_it_goes_on_at_every_training(whole: tuple[World, SearchResult], end: int) -> None:
    first, second = World(end=end), World()
    with pytest.raises(Killed):
        first.search()
    assert len(evaluations(first)) == end
    second.log += first.log
    found = second.search(resume=list(first.log))
    assert found == whole[1]
    assert second.log == whole[0].log
    assert set(second.trained).isdisjoint(first.trained)


def test_the_order_in_which_trainings_end_is_of_no_account(whole: tuple[World, SearchResult]) -> None:
    world = World(backwards=True)
    assert world.search() == whole[1]
    assert sorted(map(str, world.log)) == sorted(map(str, whole[0].log))


def test_earlier_trainings_are_taken_over_and_logged_again(whole: tuple[World, SearchResult]) -> None:
    world = World()
    banned = [whole[1].genotype.architecture_id]
    found = world.search(replace(PLAN, banned=banned), earlier=whole[0].log)
    assert found.genotype.architecture_id not in banned
    assert len(world.trained) <= SEEDS  # one more of the finals
    short = [r for r in evaluations(world) if r["seed"] == 0]
    assert short == [r for r in evaluations(whole[0]) if r["seed"] == 0]


def test_a_budget_is_kept_as_measured() -> None:
    world = World()
    found = world.search(replace(PLAN, limits={"energy_total": 12.0}))
    assert outcome(Trial(found.genotype, 1)).figure("energy_total") <= 12  # type: ignore[arg-type]
    assert any(r["cost"].get("figures", {}).get("energy_total", 0) > 12 for r in evaluations(world))
    lower = World().search(replace(PLAN, limits={"energy_total": 12.0}, final={"energy_total": 7.0}))
    assert outcome(Trial(lower.genotype, 1)).figure("energy_total") <= 7  # type: ignore[arg-type]
    with pytest.raises(GateError, match="none of the 24 designs that were trained keeps the budget"):
        World().search(replace(PLAN, limits={"energy_total": 1.0}))


def test_without_a_limit_the_cheapest_wins_of_those_as_good_as_the_best() -> None:
    def alike(trial: Trial) -> Trained:
        """The better a design, the dearer, and by far less than one seed differs from another."""
        drawn = int(trial.design.architecture_id, 16)
        accuracy = 0.9 + 1e-6 * (drawn % 97) + 0.01 * trial.seed
        return Trained(accuracy, {"figures": {"energy_total": 1.0 + drawn % 97}})

    def chosen(**limits: float) -> tuple[Any, list[Any]]:
        world = World(outcome=alike)
        found = world.search(replace(PLAN, limits=limits)).genotype.architecture_id
        finalists = {
            one["op"]: (one["score"], one["cost"]["figures"]["energy_total"]) for one in world.log[-1]["finalists"]
        }
        return finalists[found], list(finalists.values())

    mine, every = chosen()
    assert mine == min(every, key=lambda one: one[1]) != max(every)
    mine, every = chosen(energy_total=1e6)
    assert mine == max(every) != min(every, key=lambda one: one[1])


def test_what_is_refused_is_never_trained() -> None:
    world = World()
    world.search(refuse=lambda designs: [f"{d.channels} wide" if d.channels > 2 else None for d in designs])  # type: ignore[attr-defined]
    assert {r["reason"] for r in world.log if r["event"] == "refusal"} == {"3 wide", "4 wide"}
    assert all('"channels": 2' in r["genotype"] for r in evaluations(world))
    with pytest.raises(GateError, match="predicted to keep the budget"):
        World().search(refuse=lambda designs: ["no"] * len(designs))


def test_where_no_random_design_is_left_plain_ones_begin() -> None:
    calls = 0

    def refuse(designs: Sequence[Any]) -> list[str | None]:
        nonlocal calls
        calls += 1
        return ["dear" if calls <= HOPELESS else None] * len(designs)

    world = World()
    world.search(refuse=refuse)
    first = [r for r in evaluations(world) if r["round"] == 0]
    assert first
    assert {r["how"] for r in first} == {"plain"}
    with pytest.raises(GateError, match="predicted to keep the budget"):  # a random search has nothing else
        World().search(refuse=lambda designs: ["no"] * len(designs), plan=replace(PLAN, random=True))


def test_plain_networks_are_as_wide_as_the_limits_let_them_be() -> None:
    def refuse(designs: Sequence[Any]) -> list[str | None]:
        return ["dear" if outcome(Trial(d, 0)).figure("energy_total") > 9 else None for d in designs]

    def plain(**more: Any) -> list[Design]:
        world = World(outcome=lambda trial: replace(outcome(trial), accuracy=0.5, reason=""))
        world.search(refuse=refuse, **more)
        return [Design.from_json(r["genotype"]) for r in evaluations(world) if r["how"] == "plain" and not r["seed"]]

    limited = plain(plan=replace(PLAN, limits={"energy_total": 9.0}))
    assert limited
    for design in limited:
        wider = [c for c in SPACE.channels if c > design.channels]
        assert all(refuse([replace(design, channels=channels)]) == ["dear"] for channels in wider)
    assert any(refuse([replace(design, channels=3)]) == [None] for design in plain() if design.channels == 2)


def test_random_search_breeds_nothing() -> None:
    world = World()
    world.search(replace(PLAN, random=True))
    assert {r["how"] for r in evaluations(world)} == {"random"}
    assert len(world.trained) == PLAN.all_trainings
    assert "hypervolume" not in world.log[-1]


def test_a_small_space_ends() -> None:
    small = replace(SPACE, cells=(1,), channels=(2,), timesteps=(2,), head=("linear",), ops=("conv3x3",))
    world = World()
    settings = {"rng": np.random.default_rng(0), "refuse": no_refusal, "log": world.log.append}
    run(small, world.train, PLAN, **settings)
    assert len({r["op"] for r in evaluations(world)}) < PLAN.trainings


def test_a_front_takes_its_points_from_the_best_ranks() -> None:
    world = World()
    plan = replace(PLAN, front=6)
    world.search(plan)
    longer = {r["op"]: r for r in evaluations(world) if r["seed"] == 1}
    finals = {r["op"] for r in evaluations(world) if r["seed"] == SEEDS}
    short = {r["op"]: r for r in evaluations(world) if r["seed"] == 0 and not r["reason"]}

    def first(of: dict[str, dict[str, Any]], count: int) -> set[str]:
        rows = [[1 - r["score"], np.log(r["cost"]["figures"]["energy_total"])] for r in of.values()]
        return {list(of)[at] for at in by_rank_and_crowding(rows)[:count]}

    assert set(longer) == first(short, plan.longer)
    assert finals == first(longer, plan.finalists)
    assert len(finals) == 6


@pytest.mark.parametrize(
    "change", [{"score": "x"}, {"cost": None}, {"cost": {"figures": {"sar": "y"}}}, {"seconds": []}]
)
def test_a_log_that_is_damaged_is_refused(whole: tuple[World, SearchResult], change: dict[str, Any]) -> None:
    damaged = [dict(record) for record in whole[0].log]
    damaged[3] |= change
    with pytest.raises(InvalidFileError, match="record 4 of the log"):
        World().search(resume=damaged)


def test_means() -> None:
    one, other = (
        Trained(0.5, {"a": 1, "b": {"c": 2.0}, "d": 5, "e": None}),
        Trained(1.0, {"a": 3, "b": {"c": 4}, "d": 5, "e": 1}),
    )
    found = mean([one, other])
    assert (found.accuracy, found.reason) == (0.75, "")
    assert found.cost == {"a": 2.0, "b": {"c": 3.0}, "d": 5, "e": None}
    assert type(found.cost["d"]) is int
    assert mean([one, Trained(-np.inf, {}, "why")]).excess({}) == np.inf


def test_ranks_and_hypervolumes() -> None:
    rows = [[0.5, 5.0], [0.1, 3.0], [0.4, 1.0], [0.2, 2.0], [0.25, 1.9]]
    assert by_rank_and_crowding(rows)[:2] == [1, 2]  # both ends of the first front
    assert by_rank_and_crowding(rows)[-1] == 0
    assert by_rank_and_crowding([]) == []
    assert hypervolume([[0.25, 1.0]], rows) == pytest.approx(0.75)
    assert hypervolume([[0.25, 3.0], [0.5, 1.0]], rows) == pytest.approx(0.5 + 0.25 * 0.5)
    assert hypervolume([], rows) == 0
