"""The study of hypervolumes: what it compares, and that it goes on."""

import json
from pathlib import Path

import pytest

from snnas.hw_sim.errors import UsageError
from tests.studies import search_volume
from tests.studies.search_volume import VolumeOptions, study, summary


def trained(accuracy: float | None, energy: float | None, seconds: float = 1.0) -> dict:
    return {"event": "evaluation", "score": accuracy, "cost": {"figures": {"energy_total": energy}}, "seconds": seconds}


def test_a_share_of_the_box_of_all_arms_paired_by_seed() -> None:
    """By hand: energies from 1 to 100 uJ, of which 10 is the middle in logarithms."""
    found = {
        ("trained", 0): [trained(0.9, 1.0), trained(1.0, 100.0, 3.0)],
        ("random", 0): [trained(0.8, 10.0), trained(None, None), trained(0.5, 100.0)],
        ("trained", 1): [trained(0.5, 1.0)],
        ("random", 1): [trained(0.7, 1.0), trained(0.1, 100.0)],
    }
    result = summary(found, VolumeOptions(arms=("trained", "random"), seeds=(0, 1)))
    first, second = result["rows"]
    assert first["volumes"] == pytest.approx([0.9, 0.5])
    assert second["volumes"] == pytest.approx([0.4, 0.7])
    assert (first["seconds"], second["seconds"]) == (2.5, 2.5)
    assert result["ahead"]["random"]["mean"] == pytest.approx(0.15)
    assert (result["ahead"]["random"]["low"], result["ahead"]["random"]["high"]) == pytest.approx((-0.2, 0.5))


def test_every_arm_trains_as_many_and_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    options = VolumeOptions(arms=("trained", "random"), seeds=(3,), trainings=5, short_epochs=1)
    narrator = search_volume.Narrator(quiet=True)
    whole = study(options, narrator, tmp_path / "a.json")
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [sum(r["arm"] == arm for r in records) for arm in options.arms] == [5, 5]
    assert {r["seed"] for r in records} == {0}, "none of the longer trainings"
    assert {r["how"] for r in records if r["arm"] == "random"} == {"random"}
    assert {r["how"] for r in records if r["arm"] == "trained"} > {"random"}
    (tmp_path / "b.jsonl").write_text("\n".join(lines[:7]) + "\n")
    again = study(options, narrator, tmp_path / "b.json")
    assert [row["volumes"] for row in again["rows"]] == [row["volumes"] for row in whole["rows"]]
    assert (tmp_path / "b.jsonl").read_text().splitlines()[:7] == lines[:7]
    assert study(options, narrator, tmp_path / "b.json") == again


def test_what_it_does_not_take() -> None:
    with pytest.raises(UsageError, match="--trainings 3: expected a whole number >= 4"):
        VolumeOptions(trainings=3).check()
    with pytest.raises(UsageError, match="--arms 'best'"):
        VolumeOptions(arms=("best",)).check()
