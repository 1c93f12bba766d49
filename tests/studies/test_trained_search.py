"""The study of the search that trains: what its arms draw, and its figures."""

import numpy as np
import pytest

from snnas.hw_sim.errors import UsageError
from snnas.search.network.design_space import DesignSpace
from tests.studies import trained_search
from tests.studies.search_picture import NAMES, draw
from tests.studies.trained_search import CELLS, StudyOptions, space_for, study, summary

SPACE = DesignSpace(("skip", "conv3x3"), (1, 2), (2, 4), (2, 3), (8,), ("lif", "linear"), ("max",))


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


def test_differences_are_paired_by_seed() -> None:
    def one(arm: str, seed: int, accuracy: float | None) -> dict:
        return {"arm": arm, "seed": seed, "on_target": accuracy, "energy_uJ": {"nominal": 1.0, "high": 3.0}}

    found = [one("trained", 0, 0.9), one("trained", 1, 0.8), one("chain", 0, 0.7), one("chain", 1, None)]
    result = summary(found, StudyOptions(seeds=(0, 1), arms=("trained", "chain")))
    assert [(row["arm"], row["seeds"]) for row in result["rows"]] == [("trained", 2), ("chain", 1)]
    assert result["ahead"]["chain"]["mean"] == pytest.approx(0.2)
    assert result["ahead"]["chain"]["seeds"] == 1


def test_it_goes_on_and_an_arm_is_measured_once(tmp_path, monkeypatch) -> None:
    asked = []

    def searched(options, arm, seed, records, write, narrator):
        asked.append((arm, seed))
        return {"arm": arm, "seed": seed, "on_target": None, "reason": "nothing", "energy_uJ": None}

    monkeypatch.setattr(trained_search, "_searched", searched)
    options = StudyOptions(seeds=(0, 1), arms=("trained", "chain"))
    narrator = trained_search.Narrator(quiet=True)
    first = study(options, narrator, tmp_path / "out.json")
    assert study(options, narrator, tmp_path / "out.json") == first
    assert len(asked) == 4
    with pytest.raises(UsageError, match="--arms 'best'"):
        StudyOptions(arms=("best",)).check()


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
