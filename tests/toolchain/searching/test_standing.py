"""The front of a search that trains, as it stands: beneath the bar of a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from snnas.search.network.design import Design
from snnas.search.network.genotype import Cell
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.searching.standing import ROWS, Standing

CELLS = (Cell.of({(0, 3): "conv3x3"}), Cell.of({(0, 3): "skip"}))


def training(op: str, accuracy: float | None, synops: float | None, channels: int = 8, **more: Any) -> dict[str, Any]:
    genotype = Design("chip", CELLS, channels, timesteps=2, hidden=0, head="linear", reduction="max").to_json()
    cost = {"figures": {"synops": synops}, "energy_uJ": None, "latency_us": None}
    return {
        "event": "evaluation",
        "op": op,
        "score": accuracy,
        "reason": "",
        "cost": cost,
        "genotype": genotype,
        **more,
    }


def shown(standing: Standing, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(standing.table())
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_what_another_one_beats_is_not_on_the_front() -> None:
    standing = Standing("synops")
    for record in (
        training("a", 0.9, 1000),
        training("b", 0.8, 2000),  # beaten
        training("c", 0.95, 3000),
        training("d", 0.95, 4000),  # as accurate, dearer
        training("e", 0.5, 500),
    ):
        assert standing.add(record)
    assert [(p.accuracy, p.cost) for p in standing.front] == [(0.5, 500), (0.9, 1000), (0.95, 3000)]


def test_seeds_of_one_design_are_one_place() -> None:
    standing = Standing("synops")
    for accuracy, synops in ((0.8, 900), (0.9, 1000), (0.7, 1100)):
        standing.add(training("a", accuracy, synops, channels=12, seed=1))
    (place,) = standing.front
    assert place[:3] == (pytest.approx(0.8), pytest.approx(1000), 3)
    (row,) = [line for line in shown(standing).splitlines() if "conv" in line]
    assert row.replace("│", " ").split() == ["1+0", "conv", "12", "2", "80.0%", "1000", "3"]


def test_the_short_training_does_not_count_where_there_are_long_ones() -> None:
    standing = Standing("synops")
    standing.add(training("a", 0.7, 500, seed=0))
    standing.add(training("b", 0.9, 1000, seed=0))
    assert [(p.accuracy, p.cost, p.trainings) for p in standing.front] == [(0.7, 500, 1), (0.9, 1000, 1)]
    for seed in (1, 2, 3):
        standing.add(training("a", 0.95, 900, seed=seed))
    assert [(p.accuracy, p.cost, p.trainings) for p in standing.front] == [(pytest.approx(0.95), 900, 3)]


def test_what_came_to_nothing_counts_for_nothing() -> None:
    standing = Standing("synops")
    assert not standing.add(training("a", None, None, reason="it has no program"))
    assert not standing.add({"event": "refusal", "op": "b", "reason": "over"})
    assert not standing.add({"event": "choice", "op": "b"})
    assert standing.front == []
    assert standing.add(training("c", 0.5, None))  # no price: the dearest of all
    assert standing.add(training("d", 0.4, 10))
    assert [p.accuracy for p in standing.front] == [0.4, 0.5]


def test_a_long_front_shows_its_most_accurate_and_fits_80_columns() -> None:
    standing = Standing("energy_total")
    for n in range(20):
        band = {"low": n, "nominal": 10.0 * n, "high": 90 * n}
        standing.add(training(str(n), n / 20, 1) | {"cost": {"figures": {}, "energy_uJ": band}})
    text = shown(standing)
    assert text.count(" conv ") == ROWS
    assert "95.0%" in text
    assert "10.0%" not in text
    assert max(map(len, text.splitlines())) <= 80


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_stands_beneath_the_bars_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")  # a dumb one gets no bars
    monkeypatch.setattr(sys, "stderr", screen)
    narrator, standing = Narrator(), Standing("synops")
    narrator.console = Console(file=screen, force_terminal=True, width=80)
    standing.add(training("a", 0.875, 1000))
    narrator.beneath(standing.table)  # no bar: nowhere
    assert "87.5%" not in screen.getvalue()
    with narrator.progress("training designs") as advance:
        advance(1, 4)
        narrator.beneath(standing.table)
        assert narrator._bars is not None
        narrator._bars.refresh()
        assert "87.5%" in screen.getvalue()


def test_in_a_pipe_no_table_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    narrator = Narrator()
    with narrator.progress("training designs") as advance:
        advance(1, 4)
        narrator.beneath(lambda: pytest.fail("nobody sees it"))
