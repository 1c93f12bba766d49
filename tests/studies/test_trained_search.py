"""The study of the search that trains: what its arms draw, and its figures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from snnas.hw_sim.errors import GateError, UsageError
from snnas.search.network.design_space import DesignSpace
from tests.studies import published_arms, trained_search
from tests.studies.search_picture import NAMES, draw
from tests.studies.trained_search import CELLS, StudyOptions, space_for, study, summary

SPACE = DesignSpace(("skip", "conv3x3"), (1, 2), (2, 4), (2, 3), (8,), ("lif", "linear"), ("max",))
ENERGY = {"nominal": 1.0, "high": 3.0}


@pytest.mark.parametrize("arm", trained_search.ARMS)
def test_what_each_arm_draws(arm: str) -> None:
    rng = np.random.default_rng(0)
    drawn = [space_for(arm, SPACE).draw(rng) for _ in range(12)]
    if arm in CELLS:
        assert {cell for design in drawn for cell in design.cells} == {CELLS[arm]}
    if arm.startswith("papers"):
        assert {(len(d.cells), len(set(d.cells)), d.timesteps, d.head) for d in drawn} == {(2, 1, 5, "lif")}
        assert all("conv3x3" in d.cells[0].live().values() for d in drawn)
    if arm == "papers-chain":
        assert {d.cells[0] for d in drawn} == {CELLS["chain"]}
    assert len({design.architecture_id for design in drawn}) >= 2


def test_the_arm_of_thresholds_differs_in_these_alone() -> None:
    assert space_for("trained", SPACE) == SPACE
    assert space_for("thresholds", SPACE) == replace(SPACE, thresholds=(0.6, 1.0, 1.4))


def test_differences_are_paired_by_seed() -> None:
    def one(arm: str, seed: int, accuracy: float | None) -> dict:
        return {"arm": arm, "seed": seed, "on_target": accuracy, "energy_uJ": ENERGY, "seconds": 2.0}

    found = [one("trained", 0, 0.9), one("trained", 1, 0.8), one("chain", 0, 0.7), one("chain", 1, None)]
    result = summary(found, StudyOptions(seeds=(0, 1), arms=("trained", "chain")))
    assert [(row["arm"], row["seeds"]) for row in result["rows"]] == [("trained", 2), ("chain", 1)]
    assert result["ahead"]["chain"]["mean"] == pytest.approx(0.2)
    assert result["ahead"]["chain"]["seeds"] == 1


def test_it_goes_on_and_an_arm_is_measured_once(tmp_path, monkeypatch) -> None:
    asked = []

    def searched(options, arm, seed, mine, narrator):
        asked.append((arm, seed))
        nothing = {"on_target": None, "reason": "nothing", "energy_uJ": None}
        return {"arm": arm, "seed": seed, "seconds": 7.0 + seed, **nothing}

    def published(method, dataset, budget, seed, seconds, narrator, *, data, epochs):
        asked.append((method, seed, seconds))
        return {"arm": method, "seed": seed, "seconds": seconds, "on_target": None, "reason": "nothing"}

    monkeypatch.setattr(trained_search, "_searched", searched)
    monkeypatch.setattr(trained_search, "published", published)
    options = StudyOptions(seeds=(0, 1), arms=("trained", "chain", "snasnet"))
    narrator = trained_search.Narrator(quiet=True)
    first = study(options, narrator, tmp_path / "out.json")
    assert study(options, narrator, tmp_path / "out.json") == first
    assert len(asked) == 6
    assert {one for one in asked if one[0] == "snasnet"} == {("snasnet", 0, 7.0), ("snasnet", 1, 8.0)}
    with pytest.raises(UsageError, match="--arms 'best'"):
        StudyOptions(arms=("best",)).check()
    with pytest.raises(UsageError, match="--arms spikenas: it may take as many seconds as trained"):
        StudyOptions(arms=("random", "spikenas", "trained")).check()


def test_a_published_method_takes_the_seconds_that_it_may(monkeypatch) -> None:
    """Widths until they are spent; the one that is best on validation is measured on the test split."""
    clock, judged = iter([0.0, 4.0, 11.0, 30.0]), {8: 0.9, 16: 0.8, 4: None, 24: 0.7}
    monkeypatch.setattr(published_arms.time, "process_time", lambda: next(clock))

    def at_width(method, dataset, data, budget, seed, width, epochs):
        if judged[width] is None:
            raise GateError("none keeps it")
        test = lambda: {"on_target": width / 100, "energy_uJ": {}}  # noqa: E731
        return {"judged": judged[width], "over": ["energy"] if width == 8 else [], "channels": width, "test": test}

    monkeypatch.setattr(published_arms, "_at_width", at_width)
    narrator = trained_search.Narrator(quiet=True)
    found = published_arms.searched("snasnet", "digits", "energy_total=1uJ", 0, 10.0, narrator)
    assert (found["channels"], found["on_target"], found["tried"], found["seconds"]) == (16, 0.16, 2, 30.0)
    assert json.loads(json.dumps(found)) == found  # as a log keeps it
    clock = iter([0.0, 1.0])
    judged = dict.fromkeys(published_arms.WIDTHS)
    monkeypatch.setattr(published_arms, "WIDTHS", (8,))
    found = published_arms.searched("snasnet", "digits", "energy_total=1uJ", 0, 10.0, narrator)
    assert (found["on_target"], found["reason"]) == (None, "none keeps it")


def test_the_picture_has_a_line_for_each_way_to_choose(tmp_path) -> None:
    def result(budget: float) -> dict:
        rows = [
            {"arm": arm, "seeds": 5, "on_target": 0.9 + budget / 1000, "nominal": 1.0, "high": budget}
            for arm in ("trained", "random")
        ]
        return {
            "schema": trained_search.SCHEMA, "dataset": "digits", "trainings": 48, "budget": f"energy_total={budget}uJ",
            "rows": rows,
        }  # fmt: skip

    draw([result(45), result(90)], tmp_path / "p.svg")
    drawn = (tmp_path / "p.svg").read_text()
    assert all(NAMES[arm] in drawn for arm in ("trained", "random"))
    assert NAMES["papers"] not in drawn
    assert drawn.count('class="line c') == 4  # of each the line, and its sample in the key
