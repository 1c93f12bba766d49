"""As ``test_by_value``, of what check compares: spikes with a recording's, figures with a baseline's and a report's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.energy.profile import Band, load_profile
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import write_json
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.counts import FORMAT
from snnas.toolchain.checking import remake
from snnas.toolchain.checking.drift import (
    Baseline,
    Tolerance,
    check_drift,
    moved,
    parse_tolerances,
    priced_by,
    read_baseline,
    write_baseline,
)
from snnas.toolchain.checking.equivalence import Fired, answers_differ, first_difference
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.made import Made
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.runs.versions import versions_of
from tests.hw_sim.simulate.test_counts import dense, population, program

SHAPES = {"a": (2, 3, 5, 2, 1), "b": (2, 3, 9)}  # B, T, and no whole number of bytes


def _run(*fired: tuple[str, tuple[int, ...]]) -> Fired:
    spikes = {name: np.zeros(shape, bool) for name, shape in SHAPES.items()}
    for name, place in fired:
        spikes[name][place] = True
    return Fired(spikes=spikes, answers=np.zeros((2, 2)))


def test_the_first_difference_is_of_the_earliest_timestep_and_then_of_the_first_node() -> None:
    recorded = _run(("a", (1, 2, 4, 1, 0)), ("a", (1, 2, 0, 0, 0))).packed()
    now = _run(("b", (0, 1, 8)), ("b", (1, 1, 3)), ("b", (0, 2, 0)), ("a", (1, 2, 0, 0, 0)))
    assert now.total() == 2 * 3 * (5 * 2 + 9)
    found = first_difference(recorded, now, ["a", "b"])
    assert found is not None
    assert (found.node, found.sample, found.timestep, found.neuron) == ("b", 0, 1, (8,))
    assert (found.recorded, found.count, found.everywhere, found.others) == (0, 3, 4, 1)
    assert found.text() == (
        "3 spikes of node b differ; first at sample 0, timestep 1, neuron (8,): recorded 0, now 1; 4 in 2 nodes in all"
    )
    alone = first_difference(recorded, _run(("a", (1, 2, 0, 0, 0))), ["a", "b"])
    assert alone is not None
    assert alone.text("population") == (
        "1 spike of population a differs; first at sample 1, timestep 2, neuron (4, 1, 0): recorded 1, now 0"
    )
    both = first_difference(_run().packed(), _run(("a", (1, 1, 0, 0, 0)), ("b", (0, 1, 0))), ["b", "a"])
    assert both is not None
    assert both.node == "b"
    assert first_difference(now.packed(), now, ["a", "b"]) is None
    behind = now.packed()
    behind["a"][0, 0, 1] ^= 0b0000_1000  # of ten neurons the thirteenth bit
    found = first_difference(behind, now, ["a", "b"])
    assert found is not None
    assert (found.node, found.neuron, found.recorded, found.count) == ("a", (4, 1, 0), 1, 1)


def test_answers_may_be_off_by_a_share_of_their_size() -> None:
    recorded = np.array([[4.0, -0.5], [0.0, 100.0]])
    assert answers_differ(recorded, recorded) is None
    assert answers_differ(recorded, np.add(recorded, [[0.4, 0.1], [-0.1, 10.0]]), tolerance=0.1 + 1e-12) is None
    said = "1 answer differs; first at sample 1, class 1: recorded 100, now 110.1"
    assert answers_differ(recorded, np.add(recorded, [[0.4, 0.1], [-0.1, 10.1]]), tolerance=0.1 + 1e-12) == said
    said = "3 answers differ; first at sample 0, class 0: recorded 4, now 4.5"
    assert answers_differ(recorded, np.add(recorded, [[0.5, 0.0], [-0.1, 10.1]])) == said
    assert (
        answers_differ(recorded, np.subtract(recorded, [[0.0, 0.2], [0.0, 0.0]]), tolerance=0.1) is not None
    )  # of 1 at least


def test_a_tolerance_is_a_share_or_a_number() -> None:
    found = parse_tolerances(["energy_total:5%,cores=1", "all:1%", "accuracy:.25"])
    assert found == {
        "energy_total": Tolerance(share=0.05), "cores": Tolerance(number=1.0), "all": Tolerance(share=0.01),
        "accuracy": Tolerance(number=0.25),
    }  # fmt: skip
    assert Tolerance(share=0.05, number=2.0).of(-100.0) == pytest.approx(100 * (0.05 + 1e-9) + 2, rel=1e-12)
    assert Tolerance().of(1.0) == pytest.approx(1e-9)
    for wrong in ("energy_total", "nothing:5%", "a:5%", "all:1", "cores:1,cores:2"):
        with pytest.raises(UsageError, match="--tolerance"):
            parse_tolerances([wrong])
    for wrong in ("n" * 80, f"cores:{'z' * 80}"):
        with pytest.raises(UsageError, match=f"^--tolerance '{wrong[:60]}': "):
            parse_tolerances([wrong])


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, {"cores": 2, "latency": None, "accuracy": 0.5}, None)
    assert read_baseline(path) == Baseline(figures={"cores": 2.0, "accuracy": 0.5}, stimulus="", labels="")
    for table in (
        [], {"figures": {}}, {"schema": "snnas.baseline/1", "figures": []},
        *({"schema": f"snnas.baseline/{version}", "figures": {}} for version in (0, 2)),
    ):  # fmt: skip
        write_json(path, table)
        with pytest.raises(InvalidFileError, match="not a baseline"):
            read_baseline(path)
    for figures in ({"cores": True}, {"cores": "2"}, {"nothing": 1}):
        write_json(path, {"schema": "snnas.baseline/1", "figures": figures})
        with pytest.raises(InvalidFileError, match="expected a number"):
            read_baseline(path)
    write_json(path, {"schema": "snnas.baseline/1", "figures": {"n" * 50: "v" * 50}})
    with pytest.raises(InvalidFileError, match=rf": '{'n' * 40}' is '{'v' * 40}'; expected a number of one of acc"):
        read_baseline(path)
    write_json(path, {"schema": "snnas.baseline/1", "figures": {"cores": 2}, "stimulus": "s", "labels": "l"})
    assert read_baseline(path) == Baseline(figures={"cores": 2.0}, stimulus="s", labels="l")


def test_a_baseline_says_what_priced_it(tmp_path: Path) -> None:
    path, by = tmp_path / "baseline.json", priced_by(Pricing())
    assert by == {**versions_of("snnas"), "counts": str(FORMAT), "profile": f"loihi1 {load_profile('loihi1').version}"}
    write_baseline(path, {"cores": 2}, None, by)
    assert read_baseline(path) == Baseline(figures={"cores": 2.0}, stimulus="", priced_by=by)
    for wrong in ([], {"counts": 3}):
        write_json(path, {"schema": "snnas.baseline/1", "figures": {}, "priced_by": wrong})
        with pytest.raises(InvalidFileError, match=r"priced_by is .*; expected names and versions, or none"):
            read_baseline(path)
    write_json(path, {"schema": "snnas.baseline/1", "figures": {}, "priced_by": ["n" * 80]})
    with pytest.raises(InvalidFileError, match=rf'priced_by is "\[\'{"n" * 38}"; expected'):
        read_baseline(path)


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (
            {}, {"snnas": "1", "counts": "3"},
            "; the baseline does not say what made it, as older ones: if nothing else changed, --update-baseline",
        ),
        ({"snnas": "1", "counts": "3"}, {"snnas": "1", "counts": "3"}, ""),
        (
            {"snnas": "1", "counts": "2", "profile": "loihi1 1"}, {"snnas": "1", "counts": "3"},
            "; the baseline was made with counts 2, profile loihi1 1, here it is counts 3, profile none: if nothing "
            "else changed, --update-baseline",
        ),
        (
            {"counts": "1" * 60}, {"counts": "2" * 60},
            f"; the baseline was made with counts {'1' * 53}, here it is counts {'2' * 53}: if nothing else changed, "
            "--update-baseline",
        ),
    ],
)  # fmt: skip
def test_drift_across_versions_says_so(then: dict, now: dict, said: str) -> None:
    book = Book(Path("e"), "export")
    known = Baseline(figures={"cores": 4.0, "accuracy": 0.5}, stimulus="", priced_by=then)
    check_drift(book, Path("b"), known, Made(figures={"cores": 5.0, "accuracy": 0.5}), {}, now)
    assert [f.detail for f in book.findings if f.code == "SN501"] == [
        f"cores 5 is worse than 4 by 25.0%, allowed is 0{said}", "0.5, baseline 0.5"
    ]  # fmt: skip


def test_what_moved_is_told_the_worse_first() -> None:
    known = Baseline(figures={"accuracy": 0.5, "sar": 0.25, "cores": 4.0, "spikes": 0.0, "synops": 8.0}, stimulus="")
    figures = {"accuracy": 0.55, "sar": 0.25 * (1 + 0.9e-9), "cores": 5.0, "spikes": 1.0, "latency": 3.0}
    assert moved(known, figures) == [
        "cores 4 -> 5: WORSE by 25.0%",
        "spikes 0 -> 1: WORSE",
        "synops 8 is GONE",
        "accuracy 0.5 -> 0.55: better by 10.0%",
        "latency is new: 3 us",
    ]
    assert moved(known, dict(known.figures)) == []
    assert moved(known, {**known.figures, "synops": 8 * (1 + 0.9e-9)}) == []
    assert moved(known, {**known.figures, "accuracy": 0.45}) == ["accuracy 0.5 -> 0.45: WORSE by 10.0%"]
    assert moved(known, {**known.figures, "synops": 6.0}) == ["synops 8 -> 6: better by 25.0%"]


def _drift(figures: Mapping[str, float | None], *tolerances: str) -> list[tuple[str, str, str]]:
    book = Book(Path("e"), "export")
    known = Baseline(figures={"accuracy": 0.5, "cores": 4.0}, stimulus="")
    check_drift(book, Path("b"), known, Made(figures=dict(figures)), parse_tolerances(tolerances))
    return [(f.code, f.status, f.detail) for f in book.findings if f.code != "SN503"]


def test_only_what_is_worse_by_more_than_is_allowed_is_drift() -> None:
    same = ("SN501", "passed", "4, baseline 4")
    assert _drift({"accuracy": 0.5, "cores": 4.0}) == [("SN501", "passed", "0.5, baseline 0.5"), same]
    fewer = "accuracy 0.45 is worse than 0.5 by 10.0%, allowed is 0"
    better = "3, baseline 4; better by 25.0%: the baseline can be tightened with --update-baseline"
    assert _drift({"accuracy": 0.45, "cores": 3.0}) == [("SN501", "failed", fewer), ("SN501", "passed", better)]
    above = ("SN501", "passed", "0.55, baseline 0.5; better by 10.0%: the baseline can be tightened with "
             "--update-baseline")  # fmt: skip
    assert _drift({"accuracy": 0.55, "cores": None}) == [
        above, ("SN502", "failed", "there is no such figure any more")
    ]  # fmt: skip
    assert _drift({"accuracy": None, "cores": 4.0}) == [
        ("SN502", "failed", "there is no such figure any more"), same
    ]  # fmt: skip
    assert _drift({"accuracy": 0.45, "cores": 5.0}, "cores:1", "all:10%") == [
        ("SN501", "passed", "0.45, baseline 0.5"), ("SN501", "passed", "5, baseline 4")
    ]  # fmt: skip
    over = "cores 5.5 is worse than 4 by 37.5%, allowed is 1"
    assert _drift({"accuracy": 0.5, "cores": 5.5}, "cores:1")[1] == ("SN501", "failed", over)
    over = "cores 5.5 is worse than 4 by 37.5%, allowed is 20.0%"
    assert _drift({"accuracy": 0.5, "cores": 5.5}, "all:20%")[1] == ("SN501", "failed", over)


@pytest.mark.parametrize(
    ("stimulus", "labels", "of", "said"),
    [
        ("s", "y", ("s", "y"), "as the baseline's"),
        ("", "", ("s", "y"), "as the baseline's"),
        ("s", "", ("s", "other"), "as the baseline's"),
        ("s", "y", ("other", "y"), "not those of the baseline: figures may differ without a change"),
        ("a", "y", ("other", "y"), "not those of the baseline: figures may differ without a change"),
        ("s", "a", ("s", "y"), "their labels are not those of the baseline"),
        ("s", "y", ("s", "other"), "their labels are not those of the baseline"),
        ("", "y", ("other", "other"), "their labels are not those of the baseline"),
        ("s", "", None, "not those of the baseline: figures may differ without a change"),
        ("", "y", None, "their labels are not those of the baseline"),
    ],
)
def test_samples_are_those_of_the_baseline(stimulus: str, labels: str, of: tuple[str, str] | None, said: str) -> None:
    book = Book(Path("e"), "export")
    judged: Any = None if of is None else SimpleNamespace(stimulus=f"{of[0]}!", labels=f"{of[1]}!")
    known = Baseline(figures={}, stimulus=stimulus and f"{stimulus}!", labels=labels and f"{labels}!")
    check_drift(book, Path("b"), known, Made(judged=judged), {})
    (found,) = book.findings
    assert (found.code, found.detail) == ("SN503", said)
    assert (found.status == "passed") == said.startswith("as")


def test_a_tolerance_of_nothing_is_noted() -> None:
    book = Book(Path("e"), "export")
    known = Baseline(figures={"cores": 4.0}, stimulus="")
    check_drift(book, Path("b"), known, Made(figures={"cores": 4.0}), parse_tolerances(["latency:1us", "all:1%"]))
    assert book.notes == ["--tolerance latency: the baseline has no such figure"]
    book = Book(Path("e"), "export")
    check_drift(book, Path("b"), known, Made(figures={"cores": 4.0}), parse_tolerances(["cores:1"]))
    assert book.notes == []


def test_what_is_better_by_just_what_is_allowed_is_no_news() -> None:
    book = Book(Path("e"), "export")
    made = Made(figures={"spikes": -1.0})
    check_drift(book, Path("b"), Baseline(figures={"spikes": 0.0}, stimulus=""), made, parse_tolerances(["spikes:1"]))
    assert [f.detail for f in book.findings if f.code == "SN501"] == ["-1, baseline 0"]


def test_samples_are_as_many_as_can_be_afforded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program([population("a", (3, 1, 1)), population("b", (2, 1, 1))],
                   [(INPUT, "a", dense(3, 1)), ("a", "b", dense(2, 3))], timesteps=7)  # fmt: skip
    assert remake.work_of(made) == (3 + 6 + 3 + 2) * 7
    monkeypatch.setattr(remake, "WORK", 98 * 5.5)
    assert [remake.affordable(made, n) for n in (0, 1, 5, 6, 100)] == [1, 1, 5, 5, 5]
    monkeypatch.setattr(remake, "WORK", 1.0)
    assert remake.affordable(made, 10) == 1


def test_a_number_of_a_report_is_finite() -> None:
    report: Any = {"a": {"b": 2, "c": True, "d": "1", "e": float("nan")}, "f": 0.0}
    assert remake.number(report, ("a", "b")) == 2.0
    assert remake.number(report, ("f",)) == 0.0
    for path in (("a", "c"), ("a", "d"), ("a", "e"), ("a",), ("a", "b", "x"), ("z",)):
        assert remake.number(report, path) is None
    assert (remake._number(report, "a", "b"), remake._number(report, "z")) == (2, 0)


def test_a_figure_of_a_report_is_the_measured_one() -> None:
    report: Any = {"a": {"low": 1.0, "nominal": 2.0, "high": -4.0}}
    band = Band(low=1.0 + 0.9e-6, nominal=2.0, high=-4.0)
    assert remake._band(report, ("a",), band) is None
    assert remake._band({}, ("a",), None) is None
    assert remake._band(report, ("a",), None) == "a.low is nothing, the report says 1"
    assert remake._band({}, ("a",), band) == "a.low is 1.0000009, the report says nothing"
    for end, value in (("low", 1.0 + 1.1e-6), ("nominal", 2.0 - 2.1e-6), ("high", -4.0 + 4.1e-6), ("high", 4.0)):
        wrong = remake._band(report, ("a",), Band(**({"low": 1.0, "nominal": 2.0, "high": -4.0} | {end: value})))
        assert wrong == f"a.{end} is {value:.9g}, the report says {report['a'][end]:.9g}"
