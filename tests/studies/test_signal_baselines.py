"""The baselines of the signals: the pages have what the study checks, and what is said without aeon."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.studies import signal_baselines
from tests.studies.command import run_study
from tests.studies.signal_baselines import DOCUMENTED, differing

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["signals.md", "results.md"])
def test_the_pages_have_the_figures_that_are_checked(page: str) -> None:
    rows = [re.split(r"\s*\|\s*", line) for line in (DOCS / page).read_text().splitlines() if line.startswith("| ")]
    for name, figures in DOCUMENTED.items():
        (row,) = (row for row in rows if row[1].startswith(name) and "%" in row[3])
        assert [float(cell.removesuffix(" %")) for cell in row[4:6]] == list(figures)


def test_a_figure_that_does_not_come_out_is_named() -> None:
    rows = [{"set": name, "dtw": dtw / 100, "minirocket": rocket / 100} for name, (dtw, rocket) in DOCUMENTED.items()]
    rows[1]["dtw"] = 355 / 370  # 95.946, written 95.9
    assert differing({"seed": 0, "sets": rows}) == []
    rows[2]["minirocket"] -= 1 / 150
    assert differing({"seed": 0, "sets": rows}) == ["GunPoint minirocket"]
    assert differing({"seed": 1, "sets": rows}) == []


def test_without_aeon_and_with_a_set_of_another_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal_baselines, "find_spec", lambda name: None)
    assert run_study(signal_baselines.command, []) == 4
    assert (
        "this needs aeon, whose wheel holds the sets; it is not installed here: pip install" in capsys.readouterr().err
    )
    assert run_study(signal_baselines.command, ["--sets", "Gun"]) == 2
    assert "--sets Gun: expected some of BasicMotions, " in capsys.readouterr().err
