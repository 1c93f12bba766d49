"""The older rule of schedules, and what the study counts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler import schedule
from snnas.toolchain.bench.random_networks import settle_batch_norms
from tests.studies import periods
from tests.studies.command import run_study
from tests.studies.periods import as_early_as_possible, command, good, measure, measure_trained, trained

SIZES = {"a": 4, "b": 4, "c": 4, "d": 4}


def test_depths_as_early_as_possible_by_hand() -> None:
    """a -> b -> c and a -> d; d reads c a timestep late. At depths 2 and 1 that takes two steps; d can run later."""
    links = [("a", "b", 0), ("b", "c", 0), ("a", "d", 0), ("c", "d", 1)]
    assert as_early_as_possible(SIZES, links) == (2, {"a": 0, "b": 1, "c": 2, "d": 1})
    assert schedule.solve(SIZES, links)[0] == 1
    around = [("a", "b", 0), ("b", "c", 0), ("c", "a", 1)]
    assert as_early_as_possible(SIZES, around)[0] == schedule.solve(SIZES, around)[0] == 3


def test_sums_over_genotypes() -> None:
    (found,) = measure((22,), 1, 2, periods.Narrator(quiet=True))["seeds"]
    before, after = found["before"], found["after"]
    assert (before["programs"], before["periods"], after["periods"]) == (1, 5, 3)
    assert (before["relay_neurons"], after["relay_neurons"]) == (2592, 672)
    assert after["updates"] < before["updates"]
    assert 0 < after["energy_uJ"] < before["energy_uJ"]


def test_a_trained_network_is_compared_on_its_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "train_network", lambda network, *_, **__: settle_batch_norms(network))  # enough here
    quiet = periods.Narrator(quiet=True)
    (found,) = measure_trained(trained(22, 1, 1, quiet), 8, quiet)["networks"]
    assert (found["name"], found["samples"]) == ("genotype 0", 8)
    assert (found["before"]["periods"], found["after"]["periods"]) == (5, 3)
    assert found["after"]["updates"] < found["before"]["updates"]
    right = {rule: round(8 * found[rule]["on_target"]) for rule in ("before", "after")}
    assert right["after"] - right["before"] == found["gained"] - found["lost"]


def network(energy: float, gained: int, lost: int) -> dict[str, Any]:
    return {"before": {"energy_uJ": 1.0}, "after": {"energy_uJ": energy}, "gained": gained, "lost": lost}


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([network(0.9, 0, 1)], True),
        ([network(1.0, 3, 3)], True),
        ([network(1.1, 9, 0)], False),
        ([network(0.9, 0, 2)], False),
        ([network(0.9, 0, 1), network(0.9, 0, 1)], False),  # all together lose more than an error
    ],
)
def test_what_is_good(networks: list[dict[str, Any]], expected: bool) -> None:
    assert good({"networks": networks}) is expected


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "_one", lambda seed, index, samples: np.array([1.0, seed, index, samples, 0.0]))
    assert run_study(command, ["--seeds", "3,4", "--genotypes", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["after"]["periods"] for s in told["seeds"]] == [6.0, 8.0]
    assert told["seeds"][0]["before"]["updates"] == 2 * periods.SAMPLES
    assert run_study(command, ["a-run", "--train", "1"]) == 2
    assert "nothing to train" in capsys.readouterr().err
    assert run_study(command, ["--seeds", "x"]) == 2
