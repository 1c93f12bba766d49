"""report.json read back: what is no report, what is stale, and how figures are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import sha256
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output import c as in_c
from snnas.toolchain.output.report import SCHEMA, read_report, short, table
from snnas.toolchain.runs.run import as_toml
from tests.documents import IN_C, REPORT, RUN


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An exported run without the work."""
    folder = tmp_path / "runs/r"
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(as_toml(RUN))
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "genotype.json").write_bytes(b"genotype")
    hashes = {"weights": sha256(folder / "weights.safetensors"), "genotype": sha256(folder / "genotype.json")}
    (folder / "report.json").write_text(json.dumps(REPORT | {"hashes": hashes | {"data": None}}))
    return folder


@pytest.mark.parametrize(("value", "text"), [(999.4, "999"), (999.7, "1,000"), (1234.5, "1,234"), (0.25, "0.25")])
def test_figures_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_the_title_names_the_target() -> None:
    assert str(table(REPORT).title).startswith(f"{REPORT['run']}, exported to Lava  ({REPORT['dataset']}, ")
    assert str(table(REPORT | {"c": IN_C}).title).startswith(f"{REPORT['run']}, exported to C  (")


def test_every_figure_carries_its_provenance() -> None:
    rows = list(zip(*(column.cells for column in table(REPORT).columns), strict=True))
    provenance = {row[0]: row[3] for row in rows}
    assert provenance["accuracy"] == "measured | simulated, 360 test samples"
    assert provenance["spikes / inference"] == provenance["spiking activity rate"] == "measured | simulated"
    assert provenance["synops / inference"] == "simulated"
    assert provenance["energy (uJ / inference)"] == "estimated, profile loihi1, evidence: simulated"


def test_reports_that_are_none(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "report.json"
    for spoiled in ({}, [], 3, {"schema": "snnas.report/9"}, {"schema": SCHEMA}):
        path.write_text(json.dumps(spoiled))
        for extra in ([], ["--json"]):
            assert run_command(["report", "--runs-dir", str(run.parent), *extra]) == 3
            out, err = capsys.readouterr()
            assert out == ""
            assert "report.json" in err
    for key in REPORT.keys() - {"seed", "dataset", "method", "finetune"}:
        path.write_text(json.dumps(REPORT | {key: None}))
        with pytest.raises(InvalidFileError, match=r"report\.json"):
            read_report(path)
    path.write_text(json.dumps(REPORT | {"resources": REPORT["resources"] | {"cores": "1"}}))
    assert run_command(["report", "--runs-dir", str(run.parent)]) == 3
    said = "report.json: resources.cores is '1', expected a whole number; export again with --force\n"
    assert capsys.readouterr().err.endswith(said)


def test_what_may_be_absent_is_shown_as_absent() -> None:
    """Of fields that depend on each other the record knows nothing."""
    foreign = REPORT | {"convention": {}, "quantisation": {}, "ranges": {}}
    foreign["accuracy"] = REPORT["accuracy"] | {"interval": None, "training": None, "on_target": None}
    foreign["checks"] = REPORT["checks"] | {"lava_samples": 3}
    cells = [cell for column in table(foreign).columns for cell in column.cells]
    assert "simulator vs Lava, 3 samples, 0 compared" in cells


def test_exact_populations_are_counted_and_what_keeps_the_first_other_is_said() -> None:
    plain = next(iter(REPORT["quantisation"].values()), None) or {"differing": 0, "spikes": 1}
    for told, said in (
        (("", "its leak is rounded"), ("  exact populations", "1 of 2", "whatever the input; b: its leak is rounded")),
        (("", ""), ("  exact populations", "2 of 2", "whatever the input; no number of theirs is rounded")),
        (("its weights are rounded", "its leak is rounded"), None),
        ((None, None), None),
    ):
        errors = {n: {**plain, **({} if why is None else {"inexact": why})} for n, why in zip("ab", told, strict=True)}
        columns = table(REPORT | {"quantisation": errors}).columns
        rows = [(a, c, d) for a, _, c, d in zip(*(column.cells for column in columns), strict=True)]
        assert [r for r in rows if "exact populations" in str(r[0])] == ([said] if said else [])


@pytest.mark.parametrize("name", ["weights.safetensors", "genotype.json"])
def test_figures_of_older_weights_are_said(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", "--runs-dir", str(run.parent), "--json"]
    assert run_command(arguments) == 0
    assert capsys.readouterr().err == ""
    shutil.copyfile(run / "run.toml", run / name)
    assert run_command(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["run"] == "r"
    assert "these figures are of older weights; export again" in err


def test_what_is_recorded_ends_where_it_should() -> None:
    """A batch behind the last recorded sample adds nothing, and is no error."""
    from snnas.toolchain.exporting.on_target import recorded

    spikes = {"a": np.ones((3, 2, 1, 2, 2), dtype=bool)}
    currents, logits = {"a": np.ones((3, 1, 1, 2, 2), dtype=np.int64)}, np.ones((3, 5), dtype=np.int64)
    for keep in (0, 2, 3):
        found = recorded(spikes, logits, currents, None, keep)
        assert found["spikes.a"].shape == (keep, 2, 1)
        assert len(found["currents.a"]) == len(found["logits"]) == keep


def test_what_is_missing_for_several_cores_is_said_once() -> None:
    none = {"missing": "no compiler", "differing_spikes": None}
    found = IN_C | {"cores": [core | none for core in IN_C["cores"]]}
    rows = [*in_c.costs(found), *in_c.verdicts(found)]
    assert [row for row in rows if "no compiler" in row] == [("C, Cortex-M4 and C, RV32IMC", "not run", "no compiler")]
    assert sum(row[0] == "  flash, RAM (bytes)" for row in rows) == 2  # what is estimated stands beside it
    assert ("C here: differing spikes", "0", "simulator vs cc: cc 12, 100 compared") in rows


def test_figures_without_a_host_stage_say_so() -> None:
    for host, times in (("int", 0), ("none", 0), ("float", 2)):
        rows = list(in_c.costs(IN_C | {"host": host}))
        assert sum("the host stage is not in it" in said for what, _, said in rows if "instructions" in what) == times
        assert sum("the host stage is not in it" in said for what, _, said in rows if "energy" in what) in (0, times)
