"""The studies of training: of a recipe's keys, and of the time to an accuracy."""

from pathlib import Path

import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.log import JsonLines
from tests.studies import recipes, time_to_accuracy
from tests.studies.recipe_trials import TRIALS
from tests.studies.recipes import RecipesOptions, summary
from tests.studies.time_to_accuracy import TimeOptions, draw, reached, times

QUIET = Narrator(quiet=True)


def test_rows_that_are_there_are_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.jsonl"
    options = RecipesOptions(samples=64, channels=4, seeds=(0,), variants=("base",))
    rows = recipes.study("digits", options, QUIET, out)
    assert [(row["variant"], row["seed"]) for row in rows] == [("base", 0)]
    assert 0 <= rows[0]["accuracy"] <= 1
    assert JsonLines(out).read() == rows
    trained = []
    monkeypatch.setattr(recipes, "_train", lambda data, name, seed, options: trained.append((name, seed)) or rows[0])
    both = RecipesOptions(samples=64, channels=4, seeds=(0, 1), variants=("base", "whitening"))
    recipes.study("digits", both, QUIET, out)
    assert trained == [("whitening", 0), ("base", 1), ("whitening", 1)]
    with pytest.raises(UsageError, match="--only 'bass': expected some of base, "):
        recipes.study("digits", RecipesOptions(variants=("bass",)), QUIET, None)


def test_every_variant_is_a_recipe() -> None:
    from snnas.toolchain.training import recipe_of

    for variant in recipes.VARIANTS.values():
        recipe = recipe_of({**recipes.BASE, **variant.changes, "epochs": 2}, where="a variant")
        assert not recipe.stages or recipe.stages[-1][0] == variant.timesteps
        assert variant.against in recipes.VARIANTS
        assert not variant.trial or variant.trial in TRIALS


def test_the_summary_is_by_variant_and_its_gains_by_seed() -> None:
    figures = {"base": (0.4, 0.5, 0.6), "mixup": (0.5, 0.5, 0.4)}
    seconds = (10.0, 30.0, 20.0)
    rows = [
        {"variant": name, "seed": seed, "accuracy": accuracy, "seconds": seconds[seed]}
        for name, of_seeds in figures.items()
        for seed, accuracy in enumerate(of_seeds)
    ]
    base, mixup = summary(rows[:-1])
    assert base["mean"] == pytest.approx(0.5)
    assert (base["seeds"], base["lowest"], base["highest"], base["seconds"]) == (3, 0.4, 0.6, 20.0)
    assert (base["gains"], mixup["gains"], mixup["against"]) == ([], [0.1, 0.0], "base")


def test_the_mark_is_the_best_epoch_of_theirs(tmp_path: Path) -> None:
    theirs = {"side": "theirs", "seed": 0, "dataset": "digits", "curve": [[10, 0.5], [20, 0.8], [30, 0.7]]}
    ours = {"side": "ours", "seed": 0, "dataset": "digits", "curve": [[1, 0.6], [4, 0.8], [6, 0.9]]}
    assert times([theirs, ours]) == [{"seed": 0, "mark": 0.8, "theirs": 20, "ours": 4, "ratio": 5.0}]
    slow = {**ours, "curve": [[1, 0.6]]}
    assert times([theirs, slow])[0]["ratio"] is None
    assert reached(theirs["curve"], 0.81) is None
    draw([theirs, ours], tmp_path / "curves.svg")
    assert "Time to accuracy, digits" in (tmp_path / "curves.svg").read_text()


def test_rates_are_tuned_with_the_first_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    best = {"theirs": 0.2, "ours": 1e-2}
    asked = []

    def curve(data: object, side: str, seed: int, rate: float, options: TimeOptions) -> list[list[float]]:
        asked.append((side, seed, rate))
        return [[1.0, 0.9 if rate == best[side] else 0.5]]

    monkeypatch.setattr(time_to_accuracy, "_curve", curve)
    rows = time_to_accuracy.study("digits", TimeOptions(seeds=(0, 1)), QUIET, None)
    assert [(row["side"], row["seed"], row["rate"]) for row in rows] == [
        ("theirs", 0, 0.2), ("ours", 0, 1e-2), ("theirs", 1, 0.2), ("ours", 1, 1e-2)
    ]  # fmt: skip
    assert len(asked) == 6


def test_both_sides_train(tmp_path: Path) -> None:
    options = TimeOptions(samples=64, epochs=2, our_epochs=2, channels=4, validation=32, seeds=(0,))
    rows = time_to_accuracy.study("digits", options, QUIET, tmp_path / "rows.jsonl")
    assert [(row["side"], len(row["curve"])) for row in rows] == [("theirs", 2), ("ours", 2)]
    assert all(a <= b for row in rows for (a, _), (b, _) in zip(row["curve"], row["curve"][1:], strict=False))
    assert len(JsonLines(tmp_path / "rows.jsonl").read()) == 4
