"""Every ``--json`` is run and held against its published schema, closed first: nothing undescribed is printed."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import typer

from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.lava import environment as lava_environment
from snnas.hw_sim.map.mapping import load_system
from snnas.toolchain.bench.deploy_table import write_table
from snnas.toolchain.cli.app import app, run_command
from snnas.toolchain.commands.calibrate import PlanOptions, plan_probes
from snnas.toolchain.diagnosing.hybrid import CAUSES
from snnas.toolchain.results import schemas
from tests.documents import hold_document
from tests.studies.calibration import as_csv, hidden, measured
from tests.studies.deploy_table import cells, digits
from tests.toolchain.bench.test_deploy import row
from tests.toolchain.exporting.test_of_graph import data, small, written
from tests.without_lava import without_lava

pytest.importorskip("torch")

ROOT = Path(__file__).parents[3]
MOTIFS = ["--channels", "2", "--batch", "8", "-T", "2", "-q"]
SMALL = ["--hidden", "8", *MOTIFS]


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that can be run, by its words."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield " ".join((*words, name)), command
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


WITH_JSON = {name for name, command in commands() if any("--json" in p.opts for p in command.params)}
PRINTED = {line: row["name"] for row in schemas.overview() for line in row["printed_by"]}


def closed(schema: Any) -> Any:
    """The schema with no property left open that it does not say is open."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and isinstance(schema.get("required"), list):
        out.setdefault("additionalProperties", False)
    return out


# -- the schemas themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schemas.names())
def test_each_is_a_schema_that_says_what_everything_is(name: str) -> None:
    schema = schemas.schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    title = schema["properties"]["schema"]["const"]
    assert schema["title"] == title
    assert title.startswith(f"snnas.{name}/")
    assert schema["$id"] == f"urn:{title.replace('.', ':', 1).replace('/', ':')}"
    assert schemas.schema(title) == schema
    assert [*silent(schema)] == []


def silent(schema: Any, path: str = "$") -> Iterator[str]:
    """Where a schema leaves a field without a word, or an object open that is no map."""
    if isinstance(schema, list):
        for k, part in enumerate(schema):
            yield from silent(part, f"{path}[{k}]")
    if not isinstance(schema, dict):
        return
    for field, inner in schema.get("properties", {}).items():
        if not inner.keys() & {"description", "const", "$ref"}:
            yield f"{path}.{field}: no description"
    held = schema.get("properties") or isinstance(schema.get("additionalProperties"), dict)
    if "object" in np.atleast_1d(schema.get("type", "")) and not held:
        yield f"{path}: an open object"
    for name, part in schema.items():
        yield from silent(part, f"{path}.{name}")


def test_one_that_holds_another_stands_alone() -> None:
    held = schemas.schema("report.comparison")["$defs"]
    assert held == {"report": schemas.schema("report")}
    validator = jsonschema.Draft202012Validator(schemas.schema("checks"))
    spoiled = {"schema": "snnas.checks/1", "exit_code": 0, "checks": [{"schema": "snnas.check/2"}]}
    assert {e.json_path for e in validator.iter_errors(spoiled)} == {"$.checks[0]"}


def test_the_words_of_a_diagnosis_are_those_of_the_code() -> None:
    schema = schemas.schema("diagnose")["properties"]
    fault = schema["faults"]["items"]["properties"]
    assert fault["cause"]["enum"] == schema["causes"]["items"]["properties"]["cause"]["enum"] == [*CAUSES]


def test_every_command_with_json_has_a_schema() -> None:
    covered = {" ".join(word for word in line.split(" --")[0].split() if word.islower()) for line in PRINTED}
    there = {name for name, _ in commands()}
    assert covered <= WITH_JSON, "a schema names a command that has no --json"
    assert WITH_JSON - covered == set(), "publish a record in toolchain/results"
    assert there - WITH_JSON == set(), "every command takes --json"


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "snnas.report/1"]) == 0
    assert json.loads(capsys.readouterr().out) == schemas.schema("report")
    assert run_command(["schema"]) == 0
    assert "snnas.bench.search/1" in capsys.readouterr().out
    assert run_command(["schema", "reprot"]) == 2
    assert "did you mean 'report'?" in capsys.readouterr().err


# -- what is printed ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported run in ``runs``, and a foreign graph with its data."""
    folder = tmp_path_factory.mktemp("made")
    there = ["--runs-dir", str(folder / "runs")]
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        assert run_command(["search", "--method", "lightsnn", *there, *SMALL, "--epochs", "1", "--name", "a"]) == 0
        assert run_command(["export", "a", *there, "--samples", "4", "-q"]) == 0
    shutil.copytree(folder / "runs/a", folder / "runs/b")
    written(folder, small())
    data(folder)
    every = itertools.product(map(digits, cells()), (2, 4), (1,), (0,))
    write_table(folder / "deploy.csv.gz", [row(*one) for one in every])
    unpacked = gzip.decompress((ROOT / "tests/data/whose/norse.nir.gz").read_bytes())
    (folder / "norse.nir").write_bytes(unpacked)
    system = (ROOT / "hw_sim/map/systems/loihi1.toml").read_text()
    assert "value = 128\n" in system
    assert "value = [1, 2, 8, 32, 768]" in system
    system = system.replace("value = 128\n", "value = 1\n").replace("value = [1, 2, 8, 32, 768]", "value = [1]")
    (folder / "tiny.toml").write_text(system)
    with np.load(folder / "data.npz") as arrays:
        np.savez(folder / "unlabelled.npz", x=arrays["x"])
    (folder / "runs/begun").mkdir()
    begun = (folder / "runs/a/run.toml").read_text().split("[search]")[0]
    (folder / "runs/begun/run.toml").write_text(begun.replace("hidden = 8", "hidden = 9"))
    profile = (ROOT / "hw_sim/energy/profiles/loihi1.toml").read_text()
    head, _, rest = profile.partition("[energy.message]")
    head, constant = head[: head.index("[")], rest[: rest.index("[")]
    (folder / "nothing.toml").write_text(f"{head}[energy.crossing]{constant}")  # one chip: nothing crosses
    plan = plan_probes(PlanOptions(profile="loihi1", target="c", out=folder / "board")).plan
    (folder / "board.csv").write_text(as_csv(measured(plan, hidden(plan, 0))))
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, no_lava: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a copy of ``made``; no Lava, and no network."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(lava_environment, "setup", lambda *_: tmp_path / "python")
    monkeypatch.setattr("snnas.toolchain.data.datasets.fetch.fetch", lambda *_, **__: tmp_path / "mnist")
    return tmp_path / "here"


EXPORT = "runs/a/export/lava"
CASES = [
    ("search --no-train --method lightsnn", "run", 0, SMALL),
    ("search --method mse_nas --cells 2 --population 2 --generations 1 --epochs 1", "run", 0, MOTIFS),
    ("train a --epochs 1 --force -q", "run", 0, []),
    ("runs show a", "run", 0, []),
    ("runs show begun", "run", 0, []),
    ("runs", "runs", 0, []),
    ("runs list", "runs", 0, []),
    ("runs pack a --out a.zip", "runs.pack", 0, []),
    ("runs remove b --yes", "runs.remove", 0, []),
    ("export a --samples 4 -q", "report", 0, []),
    ("export a --samples 4 --finetune 1 --bits 4 --force -q", "report", 0, []),
    ("export foreign.nir --data data.npz --samples 4 -q", "report", 0, []),
    ("export foreign.nir --data unlabelled.npz --samples 4 -q", "report", 0, []),
    ("export foreign.nir --data data.npz --samples 4 --early-exit exact -q", "report", 0, []),
    ("export foreign.nir --data data.npz --samples 4 --profile nothing.toml -q", "report", 0, []),
    (f"check {EXPORT}", "check", 0, []),
    (f"check {EXPORT} foreign.nir", "checks", None, []),
    (f"attest {EXPORT}", "attestation", 0, []),
    ("submit a", "leaderboard", 0, []),
    ("diagnose a --limit 8 -q", "diagnose", 0, []),
    ("explain", "rules", 0, []),
    ("report a", "report", 0, []),
    ("report a --html", "report.html", 0, []),
    ("report a b", "report.comparison", 0, []),
    ("report a begun", "report.comparison", 0, []),
    (f"simulate {EXPORT} -q", "simulate", 0, []),
    ("simulate foreign.nir --data data.npz -q", "simulate", 0, []),
    (f"estimate {EXPORT} --profiles all -q", "estimate", 0, []),
    (f"estimate {EXPORT} --rate 0.1 -q", "estimate", 0, []),
    (f"estimate {EXPORT} --rate 0 -q", "estimate", 0, []),
    (f"estimate {EXPORT} --system loihi2 -q", "estimate", 0, []),
    (f"estimate {EXPORT} --system tiny.toml -q", "estimate", 4, []),
    ("estimate foreign.nir --data data.npz -q", "estimate", 0, []),
    (f"whose norse.nir --expect {ROOT}/tests/data/whose/norse.npz", "whose", 0, []),
    ("calibrate --plan loihi1 --target c --probes 7 --repeats 3 --out probes", "calibrate.plan", 0, []),
    ("calibrate --log board.csv --plan board --out board.toml", "calibrate", 0, []),
    ("doctor", "doctor", 0, []),
    ("lava setup", "lava.setup", 0, []),
    ("data list", "data", 0, []),
    ("data fetch mnist", "data.fetch", 0, []),
    ("schema", "schemas", 0, []),
    ("bench conformance --genotypes 2 --lava 0 -q", "bench.conformance", 0, []),
    ("bench conformance --foreign 2 --lava 0 -q", "bench.foreign", 0, []),
    ("bench deploy deploy.csv.gz --budgets 100 --trainings 4 --games 2", "bench.deploy", 0, []),
    ("bench search --turns 1 --width 1 --batch 4 -q", "bench.search", None, []),
    ("bench train --turns 1 --channels 1 --pixels 8 --batch 2 -q", "bench.train", None, []),
]
# Of sizes of its own: a minute, most of it Lava's.
SLOW = [
    ("bench simulate --lava-samples 1 --images 1 --no-sizes -q", "bench.simulate", None, list[str]()),
    ("bench gpu --device cpu --quick --runs-dir gpu -q", "bench.gpu", 0, []),
]


def test_no_schema_is_left_out() -> None:
    pytest.importorskip("onnx")
    elsewhere = {"export.onnx", "leaderboard.files"}  # below, and test_leaderboard
    assert {name for _, name, _, _ in [*CASES, *SLOW]} | elsewhere == set(schemas.names())


def hold(line: str, name: str, code: int | None, more: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command and returns what it printed; code None: a bench, whose gate is of no interest here."""
    capsys.readouterr()
    got = run_command([*line.split(), *more, "--json"])
    out, err = capsys.readouterr()
    assert got == code or (code is None and got in (0, 1)), err
    validator = jsonschema.Draft202012Validator(closed(schemas.schema(name)))
    printed = json.loads(out, parse_constant=pytest.fail)  # nan and inf are no JSON
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(printed)] == []
    hold_document(printed)
    return printed


@pytest.mark.parametrize(("line", "name", "code", "more"), CASES, ids=lambda value: str(value)[:60])
def test_what_is_printed_is_what_is_published(
    line: str, name: str, code: int | None, more: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(line, name, code, more, capsys)


def test_a_diagnosis_of_every_kind(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever may be absent is there once and absent once; and a setting that cannot be run."""
    program = read_program(here / EXPORT / "program.npz")
    write_program(here / "tuned.npz", replace(program, meta={**program.meta, "finetuned": {"epoch": 1}}))
    soft = "diagnose foreign.nir --data unlabelled.npz --reset subtract -q"
    found = [
        hold("diagnose foreign.nir --data data.npz --reset zero -q", "diagnose", 0, [], capsys),
        hold(soft, "diagnose", 1, [], capsys),
        hold(f"diagnose {EXPORT}/model.nir --program tuned.npz --data digits -q", "diagnose", 0, [], capsys),
    ]
    for field in ("first", "smallest", "finetuned", "program_sha256"):
        assert {one[field] is None for one in found} == {False, True}, field
    assert {one["labels"] for one in found} == {bool(one["faults"]) for one in found} == {False, True}
    assert hold(soft, "diagnose", 1, ["--no-reduce"], capsys)["smallest"] is None
    monkeypatch.setattr("snnas.toolchain.diagnosing.causes._run", lambda _, __, setting, *___: refuse(setting))
    refused = hold(soft, "diagnose", 1, [], capsys)
    assert [fault["mended"] for fault in refused["faults"]] == [{"not_run": "a loop"}]


def refuse(setting: Any) -> None:
    setting.why_not = "a loop"


@pytest.mark.parametrize(
    ("subject", "needed"), [(f"{EXPORT}/model.nir", ()), (EXPORT, ("shared", "c", "early_exit", "host", "report"))]
)
def test_a_check_waits_for_no_record_but_its_report(here: Path, subject: str, needed: tuple[str, ...]) -> None:
    """A record takes as long to build as a graph to check; a folder's report is held against its own."""
    code = (
        f"import sys; from snnas.toolchain.cli.app import run_command; code = run_command(['check', {subject!r}])\n"
        f"others = {[f'snnas.toolchain.results.records.{name}' for name in needed]!r}\n"
        "loaded = [name for name in sys.modules if name.startswith('snnas.toolchain.results.records.')]\n"
        "sys.exit(code or sorted({*loaded} - {*others}) or 0)"
    )
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


def test_a_program_that_does_not_fit_is_reported(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = load_system("tiny.toml")
    monkeypatch.setattr("snnas.toolchain.exporting.pipeline.load_system", lambda: tiny)
    found = hold("export a --samples 4 --force -q", "report", 0, [], capsys)
    assert not found["resources"]["fits"]
    assert found["energy_uJ"]["total"]["nominal"] is None


def test_what_has_no_price_has_no_interval(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = hold(f"estimate {EXPORT} --profile nothing.toml -q", "estimate", 0, [], capsys)
    assert found["energy_uJ"]["dynamic"] is None
    assert "dynamic_interval" not in found["energy_uJ"]


def test_figures_beside_each_other_are_numbers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = hold("report a begun", "report.comparison", 0, [], capsys)
    assert found["runs"][0]["report"] == hold("report a", "report", 0, [], capsys)
    assert found["runs"][1]["report"] is None
    assert found["differences"]["network.hidden"] == [8, 9]


def test_an_onnx_export_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    hold("export a --target onnx --samples 4 -q", "export.onnx", 0, [], capsys)


@pytest.mark.lava
@pytest.mark.slow
def test_a_bench_against_lava_too(capsys: pytest.CaptureFixture[str]) -> None:
    if lava_environment.find_python()[0] is None:
        pytest.skip(lava_environment.find_python()[1])
    hold(*SLOW[0], capsys)
