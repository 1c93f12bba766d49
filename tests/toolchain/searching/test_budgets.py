from pathlib import Path

import pytest

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.checking.drift import Tolerance, parse_tolerances
from snnas.toolchain.searching.budgets import (
    GATED,
    LEAST,
    METRICS,
    MOST,
    check_limits,
    excesses,
    parse_budgets,
    parse_limits,
    read_budget,
)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("energy_total=60uJ", "energy_total", 60),
        ("energy=0.06mJ", "energy_total", 60),
        ("energy_dynamic=500nJ", "energy_dynamic", 0.5),
        ("latency=2ms", "latency", 2000),
        ("sar=10%", "sar", 0.1),
        ("params=1M", "parameters", 1e6),
        ("neurons=2.5k", "neurons", 2500),
        ("cores=8", "cores", 8),
        ("memory=64kB", "memory", 64_000),
        ("memory=64KiB", "memory", 65_536),
        ("memory=12B", "memory", 12),
    ],
)
def test_units(text: str, name: str, value: float) -> None:
    assert parse_budgets([text]) == {name: pytest.approx(value)}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (["joy=1"], ["joy", "energy_total"]),
        (["sar=much"], ["much", "%"]),
        (["energy_total=60kB"], ["60kB", "uJ"]),
        (["cores=-1"], [">= 0"]),
        (["cores=inf"], ["finite"]),
        (["cores"], ["is no number"]),
        ([""], ["nothing in it"]),
    ],
)
def test_bad_ones_are_named(items: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse_budgets(items)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("energy=1uJ,energy_total=2mJ", ["energy_total is given twice", "energy is the same"]),
        ("cores=1,cores:2", ["cores is given twice"]),
        ("sar=5", ["at most 1", "5% or 0.05"]),
        ("sar=101%", ["at most 1", "0..1"]),
    ],
)
def test_one_value_per_metric_and_no_share_above_one(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        parse_limits(text)
    assert all(word in str(error.value) for word in words), error.value
    path = tmp_path / "b.toml"
    entries = (part.replace(":", "=").partition("=") for part in text.split(","))
    path.write_text("".join(f'{name}{" " * k} = "{value}"\n' for k, (name, _, value) in enumerate(entries)))
    with pytest.raises(InvalidFileError):
        read_budget(path)


def test_limits_and_tolerances_take_either_sign() -> None:
    assert parse_limits("cores:8,sar=5%") == {"cores": 8, "sar": 0.05}
    either = parse_tolerances(["cores=1,energy:5%", "all=1%"])
    assert either == parse_tolerances(["cores:1", "energy_total:5%,all:1%"])
    assert either["energy_total"] == Tolerance(share=0.05)
    for text, word in (("energy:5%,energy_total=1", "twice"), ("accuracy:5", "5% or 0.05"), ("cores", "METRIC:5%")):
        with pytest.raises(UsageError, match=word):
            parse_tolerances([text])


def test_a_budget_file_holds_what_a_check_is_told_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_text('cores = 8\n[check]\nignore = ["SN206"]\n')
    assert read_budget(path) == {"cores": 8}


def test_the_smaller_of_two_and_files(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('[budget]\nenergy = "60uJ"\ncores = 8\n')
    assert parse_budgets([str(path), "cores=9,sar=.1"]) == {"energy_total": 60, "cores": 8, "sar": 0.1}
    path.write_text('cores = 8\nsar = "5%"\n')
    assert parse_budgets([str(path)]) == {"cores": 8, "sar": 0.05}
    path.write_text("cores = true\n")
    with pytest.raises(InvalidFileError, match="cores"):
        parse_budgets([str(path)])
    with pytest.raises(UsageError, match="cannot be read"):
        parse_budgets([str(tmp_path / "absent.toml")])


def test_check_limits_accuracy_from_below_and_costs_from_above(tmp_path: Path) -> None:
    assert parse_limits("cores=8,sar=.1,memory=1kB") == {"cores": 8, "sar": 0.1, "memory": 1000}
    assert parse_limits(None) == {}
    assert parse_limits("accuracy=95%", option="--min", names=LEAST) == {"accuracy": 0.95}
    with pytest.raises(UsageError, match="check limits it from below, with --min"):
        parse_limits("accuracy=.9")
    with pytest.raises(UsageError, match="check limits it from above, with --max"):
        parse_limits("cores=9", option="--min", names=LEAST)
    path = tmp_path / "budget.toml"
    path.write_text('accuracy = "95%"\nsynops = "2k"\n')
    assert read_budget(path, names=GATED) == {"accuracy": 0.95, "synops": 2000}
    with pytest.raises(InvalidFileError, match="accuracy"):  # no search is told how accurate to be
        parse_budgets([str(path)])


def test_a_lower_limit_is_missed_from_below() -> None:
    assert excesses({"accuracy": 0.95}, {"accuracy": 0.95}) == []
    (found,) = excesses({"accuracy": 0.95}, {"accuracy": 0.9})
    assert str(found) == "accuracy 0.9 is under 0.95 by 5.3%"
    assert found.ratio == pytest.approx(0.95 / 0.9)
    assert "labels" in str(excesses({"accuracy": 0.95}, {"accuracy": None})[0])
    assert len(excesses({"accuracy": 0.95}, {"accuracy": float("nan")})) == 1


def test_excesses_the_worst_first() -> None:
    limits = {"cores": 10.0, "energy_total": 60.0, "sar": 0.1, "latency": 5.0}
    found = excesses(limits, {"cores": 11.0, "energy_total": 90.0, "sar": 0.1, "latency": None})
    assert [e.metric for e in found] == ["latency", "energy_total", "cores"]
    assert str(found[1]) == "energy_total 90 uJ is over 60 uJ by 50.0%"
    assert "no figure for latency" in str(found[0])
    assert excesses(limits, {"cores": 10.0}) == []
    assert excesses({"cores": 0.0}, {"cores": 1.0})[0].ratio == float("inf")
    assert len(excesses({"sar": 1.0}, {"sar": float("nan")})) == 1


def test_limits_of_a_run_are_checked() -> None:
    assert check_limits({"cores": 8}, "run.toml") == {"cores": 8.0}
    for table in ({"joy": 1}, {"cores": "8"}, {"cores": -1}, {"cores": True}):
        with pytest.raises(InvalidFileError, match=r"run\.toml"):
            check_limits(table, "run.toml")
    assert all(metric.units for metric in METRICS.values())
    assert tuple(METRICS) == MOST  # a search is told whatever check limits from above
