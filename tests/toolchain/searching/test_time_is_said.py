"""A search says what it is doing and how long it takes; what cannot be reached is refused before anything is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import GateError
from snnas.search.methods.memory import Widths
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Genotype
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.load import load
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs import find
from snnas.toolchain.searching.cost import Chip, Cost, Predictor
from snnas.toolchain.searching.least import BOUNDED, least, refuse_hopeless
from snnas.toolchain.searching.methods import RUNNERS

SMALL = ["--channels", "2", "--hidden", "16", "-T", "2", "--batch", "8", "--no-train", "--name", "one"]


def test_no_network_takes_less_than_the_bound() -> None:
    config = NetworkConfig(input_shape=(1, 8, 8), classes=10, channels=2, hidden=8, votes=2, timesteps=3)
    digits = load("digits", seed=0)
    predictor = Predictor(config, Chip.load(), Widths(), digits.x_train[:8], digits.range, 0)
    emptiest = RUNNERS["lightsnn"].emptiest(config)
    assert emptiest is not None
    floor = least(emptiest, predictor)
    assert floor.keys() == {*BOUNDED}
    rng = np.random.default_rng(1)
    drawn = [space.get("lightsnn").random_genotype(rng, cells=2, backward=k % 2 == 1) for k in range(2)]
    found = [cost for cost in predictor([emptiest, *(Genotype(g.space, g.cells) for g in drawn)])]
    costs = [cost for cost in found if isinstance(cost, Cost)]
    assert len(costs) == 3
    for name, bound in floor.items():
        values = [cost.figures[name] or 0.0 for cost in costs]
        assert 0 < bound <= min(values), name
        refuse_hopeless({name: bound * 1.01}, emptiest, predictor)
        with pytest.raises(GateError, match=f"no network of these sizes keeps {name}"):
            refuse_hopeless({name: bound * 0.99}, emptiest, predictor)
    refuse_hopeless({"memory": 1.0}, emptiest, predictor)  # of which nothing is bounded


def test_a_hopeless_budget_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "search",
        "--method",
        "lightsnn",
        "--runs-dir",
        str(tmp_path),
        "-q",
        *SMALL,
        "--budget",
        "energy_total=0.1uJ",
    ]
    assert run_command(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in ("energy_total 0.1 uJ", "with empty cells and not a single spike", "--channels, --hidden and -T"):
        assert word in error
    run = find(tmp_path, "one")
    assert run.stage() == "failed"
    assert run.search_log.read() == []  # nothing was priced, nothing scored


def test_pricing_shows_itself_and_says_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, priced = [0.0], Predictor._one

    def slow(self: Predictor, genotype: Genotype) -> Cost | str:
        now[0] += 3.0
        return priced(self, genotype)

    monkeypatch.setattr(Predictor, "_one", slow)
    monkeypatch.setattr("snnas.toolchain.output.stderr.time.monotonic", lambda: now[0])
    budget = ["--method", "snasnet", "--candidates", "6", "--budget", "energy_total=500uJ"]
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(tmp_path), *SMALL, *budget]) == 0
    lines = capsys.readouterr().err.splitlines()
    number = next(int(line.split()[1]) for line in lines if line.startswith("pricing "))
    assert f"pricing {number} networks ..." in lines
    assert f"  pricing {number} networks: 1 of {number}; about {3 * (number - 1)} s left" in lines


def test_a_stage_within_a_stage_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    narrator = Narrator()
    with narrator.progress("searching") as outer:
        outer(1, 3)
        with narrator.progress("pricing", "networks") as inner:
            inner(120, 256)
            assert narrator._bars is not None
            tasks = [(task.description, task.completed, task.total) for task in narrator._bars.tasks]
            assert tasks == [("searching", 1, 3), ("pricing", 120, 256)]
        assert [task.description for task in narrator._bars.tasks] == ["searching"]
    assert narrator._bars is None
