"""Files held against their records: one line that names place, value, expectation and mend."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.results.reading import hold
from snnas.toolchain.results.records.report import Report
from snnas.toolchain.results.records.run import RunFile, RunShown
from tests.documents import REPORT, RUN, SEARCHED, SHA, TRAINED

GONE = object()
FULL = RUN | {"search": SEARCHED, "training": TRAINED}


def spoiled(tree: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = deepcopy(tree)
    inner: Any = found
    for key in path[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("seed",), -1, "seed is -1, expected a whole number >= 0"),
        (("seed",), True, "seed is True, expected a whole number >= 0"),
        (("seed",), GONE, "seed is missing, expected a whole number >= 0"),
        (("data",), GONE, "[data] is missing, expected a table"),
        (("data",), 3, "[data] is 3, expected a table"),
        (("data", "train"), "many", "[data] train is 'many', expected a whole number >= 0"),
        (("data", "sha256"), "x", "[data] sha256 is 'x', expected a string that matches ^[0-9a-f]{64}$"),
        (("data", "options"), {"frames": 0}, "[data] options.frames is 0, expected a whole number >= 1"),
        (("data", "options"), {"split_by": "x"}, "[data] options.split_by is 'x', expected one of 'count', 'time'"),
        (("method", "backward"), 0, "[method] backward is 0, expected true or false"),
        (("network", "tau"), 0, "[network] tau is 0, expected a number > 0"),
        (("network", "input_shape"), [1, 2], "[network] input_shape is [1, 2], expected a list of 3"),
        (("network", "input_shape"), [1, 2, "x"], "[network] input_shape[2] is 'x', expected a whole number"),
        (("search", "score"), "x", "[search] score is 'x', expected a number"),
        (("training", "validation_accuracy"), 1.5, "[training] validation_accuracy is 1.5, expected a number >= 0 and"),
        (("versions", "device"), GONE, "[versions] device is missing, expected a string"),
        (("versions", "torch"), 2.13, "[versions] torch is 2.13, expected a string"),
        (("chip",), {"sistem": "loihi1"}, "[chip] sistem is 'loihi1', expected nothing of that name"),
    ],
)
def test_a_table_of_a_run(path: tuple[str, ...], value: Any, said: str) -> None:
    hold(RunFile, FULL, "run.toml", "mend it", toml=True)
    with pytest.raises(InvalidFileError) as caught:
        hold(RunFile, spoiled(FULL, path, value), "run.toml", "mend it", toml=True)
    assert str(caught.value).startswith(f"run.toml: {said}")
    assert str(caught.value).endswith("; mend it")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("accuracy", "training"), "x", "accuracy.training is 'x', expected a number or null"),
        (("accuracy", "samples"), None, "accuracy.samples is null, expected a whole number"),
        (("accuracy", "agreement"), None, "accuracy.agreement is null, expected a number >= 0 and <= 1"),
        (("energy_uJ", "evidence"), "x", "energy_uJ.evidence is 'x', expected one of 'measured', 'calibrated', 'simul"),
        (("energy_uJ", "total"), 3, "energy_uJ.total is 3, expected an object"),
        (("ranges",), {"a.b": 3}, "ranges['a.b'] is 3, expected an object"),
        (("ranges",), {"a" * 9000: 3}, f"ranges['{'a' * 56}...] is 3, expected an object"),
        (("ranges", "lif", "v", "low"), GONE, "ranges.lif.v.low is missing, expected a whole number"),
        (("resources", "misfits"), ["x", 3], "resources.misfits[1] is 3, expected a string"),
        (("resources", "fits"), 1, "resources.fits is 1, expected true or false"),
        (("finetune",), [], "finetune is [], expected an object or null"),
        (("schema",), "snnas.report/9", "schema is 'snnas.report/9', expected 'snnas.report/1'"),
    ],
)
def test_a_figure_of_a_report(path: tuple[str, ...], value: Any, said: str) -> None:
    assert hold(Report, REPORT, "report.json", "mend").accuracy.interval == [0.7, 0.9]
    with pytest.raises(InvalidFileError) as caught:
        hold(Report, spoiled(REPORT, path, value), "report.json", "mend")
    assert str(caught.value).startswith(f"report.json: {said}")


@pytest.mark.parametrize(
    ("value", "said"), [([], "it is [], expected an object"), (None, "it is null, expected an object")]
)
def test_a_file_that_is_no_object(value: Any, said: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        hold(Report, value, "report.json", "mend")
    assert str(caught.value) == f"report.json: {said}; mend"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (3, "genotype.cells[0] is 3, expected an object"),
        ({"forward": {"0->1": "fly"}, "backward": {}}, "genotype.cells[0].forward['0->1'] is 'fly', expected one of"),
        ({"motif": "chain"}, "genotype.cells[0].forward is missing, expected an object"),
    ],
)
def test_one_of_several_records(cell: Any, said: str) -> None:
    """The place is one of the file, without the name of the record that pydantic tried."""
    shown = {name: RUN[name] for name in ("created_at", "command", "seed", "data", "method", "network", "versions")}
    shown |= {"schema": "snnas.run/2", "run": "r", "path": "r", "stage": "begun", "failed": None, "exports": []}
    genotype = {"format": "snnas-genotype", "version": 1, "space": "lightsnn", "cells": [cell]}
    with pytest.raises(InvalidFileError) as caught:
        hold(RunShown, shown | {"genotype": genotype, "search": None, "training": None}, "it", "mend")
    assert str(caught.value).startswith(f"it: {said}")


def test_what_is_not_known_is_ignored_and_a_null_is_not_absence() -> None:
    hold(Report, REPORT | {"new": 3, "hashes": {"data": None}}, "report.json", "mend")
    hold(RunFile, FULL | {"new": {"x": 1}, "data": RUN["data"] | {"sha256": SHA}}, "run.toml", "mend", toml=True)
    with pytest.raises(InvalidFileError, match="notes is null, expected a list"):
        hold(Report, REPORT | {"notes": None}, "report.json", "mend")
