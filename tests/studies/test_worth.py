"""The comparison of arms: figures by hand, and a tiny bench that is killed and goes on."""

import json

import pytest

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import Narrator
from tests.studies import worth as bench_worth
from tests.studies.worth import WorthOptions, summary, worth

TINY = WorthOptions(seeds=1, random=1, widths=(1, 2), epochs=1, timesteps=2, hidden=8, train=64, test=32, draws=100)


def measured(on_target: float, energy: float) -> dict:
    return {
        "training": on_target,
        "on_target": on_target,
        "dynamic": energy,
        "total": 10 * energy,
        "sar": 0.1,
        "neurons": 10,
        "cores": 1,
    }


def everything(options: WorthOptions, value) -> dict:
    """value: (seed, arm, width) -> (accuracy, energy)."""
    return {
        (seed, arm, width): measured(*value(seed, arm, width))
        for seed in range(options.seed, options.seed + options.seeds)
        for arm in ("lightsnn sahd", "random 1", "random 2", "chain", "single")
        for width in options.widths
    }


def test_arms_are_compared_where_they_cost_the_same() -> None:
    options = WorthOptions(widths=(1, 4), seeds=3, draws=100)

    def value(seed: int, arm: str, width: int) -> tuple[float, float]:
        # Wider by four: .2 better, four times as dear. The searched cell costs double and is .1 better at equal cost.
        if arm == "lightsnn sahd":
            return 0.6 + 0.1 * (width == 4) + 0.1 * (width == 4) + 0.01 * seed, 2.0 * width
        return 0.4 + 0.2 * (width == 4) + 0.01 * seed, 1.0 * width

    found = summary(everything(options, value), options)
    dynamic = found["equal_energy"]["dynamic"]
    assert 2 <= dynamic["uJ"] <= 4
    assert dynamic["lightsnn sahd"]["minus_chain"]["mean"] == pytest.approx(0.1)
    assert dynamic["lightsnn sahd"]["minus_chain"]["low"] == pytest.approx(0.1)
    assert dynamic["lightsnn sahd"]["seeds"] == 3
    assert dynamic["chain"]["minus_random"]["mean"] == pytest.approx(0)
    # At equal width it looks twice as good, because it costs twice as much.
    assert found["equal_width"]["4"]["lightsnn sahd"]["minus_random"]["mean"] == pytest.approx(0.2)
    assert "minus_random" not in dynamic["random"]


def test_nothing_is_extrapolated() -> None:
    options = WorthOptions(widths=(1, 2), seeds=2, draws=100)

    def value(seed: int, arm: str, width: int) -> tuple[float, float]:
        return 0.5, width * (100.0 if arm == "single" else 1.0)

    found = summary(everything(options, value), options)["equal_energy"]["dynamic"]
    assert found["single"] == {
        "on_target": None,
        "seeds": 0,
        **{f"minus_{p}": {"mean": None, "low": None, "high": None, "seeds": 0} for p in ("chain", "random")},
    }
    assert found["chain"]["seeds"] == 2


def test_the_interval_holds_the_spread_of_seeds() -> None:
    options = WorthOptions(widths=(1, 2), seeds=4, draws=2000)

    def value(seed: int, arm: str, width: int) -> tuple[float, float]:
        return (0.5 + (0.02 * seed if arm == "lightsnn sahd" else 0)), float(width)

    gap = summary(everything(options, value), options)["equal_width"]["1"]["lightsnn sahd"]["minus_chain"]
    assert gap["mean"] == pytest.approx(0.03)
    assert 0 <= gap["low"] < 0.03 < gap["high"] <= 0.06


@pytest.mark.parametrize(
    ("options", "word"), [({"widths": (4, 2)}, "--widths"), ({"widths": (2,)}, "--widths"), ({"seeds": 0}, "--seeds")]
)
def test_bad_options(options: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        worth(WorthOptions(**options), Narrator(quiet=True), None)


def test_a_killed_bench_goes_on(tmp_path, monkeypatch) -> None:
    out = tmp_path / "worth.json"
    whole = worth(TINY, Narrator(quiet=True), out)
    assert json.loads(out.read_text()) == json.loads(json.dumps(whole))
    assert all(row["dynamic"] > 0 and row["total"] > row["dynamic"] for row in whole["arms"])
    log = out.with_suffix(".jsonl")
    lines = log.read_text().splitlines(keepends=True)
    assert len(lines) == 2 * 4
    log.write_text("".join(lines[:-1]) + lines[-1][:20])  # killed within the last line
    real, calls = bench_worth._measure, []
    monkeypatch.setattr(bench_worth, "_measure", lambda *a: calls.append(a[-1]) or real(*a))
    again = worth(TINY, Narrator(quiet=True), out)
    assert calls == [2]
    assert again == whole
