"""What ``import snnas`` gives: names that load nothing until they are used, and functions that a command calls."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints
from xml.etree import ElementTree

import numpy as np
import pytest
import typer

import snnas
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking.attest import attest
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.cli.app import app
from snnas.toolchain.commands import check, verbs
from snnas.toolchain.commands.convention import ConventionOptions
from snnas.toolchain.commands.diagnose import DiagnoseOptions
from snnas.toolchain.commands.export import GraphExportOptions, RunExportOptions
from snnas.toolchain.commands.models import EstimateOptions, SimulateOptions
from snnas.toolchain.commands.report import ReportOptions
from snnas.toolchain.commands.submit import SubmitOptions
from snnas.toolchain.commands.train import TrainOptions
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.searching.budgets import parse_budgets
from snnas.toolchain.searching.options import ResumeOptions, SearchKeywords, SearchOptions

ROOT = Path(__file__).parents[1]
PACKAGES = {"search", "export", "hw_sim", "toolchain"}


def test_importing_it_loads_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import snnas; names = dir(snnas)\n"
        "new = {name for name in set(sys.modules) - before if name.split('.')[0] not in sys.stdlib_module_names}\n"
        "assert 'search_network' in names and 'from_torch' in names, names\n"
        "sys.exit(sorted(new - {'snnas', 'snnas.toolchain'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_name_loads_its_own_part_alone() -> None:
    names = "snnas.read_graph, snnas.check, snnas.search_network, snnas.from_torch"
    code = f"import sys, snnas; {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_name_is_there_and_says_what_it_is() -> None:
    assert {*snnas.__all__} <= {*dir(snnas)}
    assert not PACKAGES & {*snnas.__all__}
    for name in snnas.__all__:
        found = getattr(snnas, name)
        assert found.__name__ == name
        assert len(found.__doc__ or "") > 10, name
    with pytest.raises(AttributeError, match="frobnicate"):
        snnas.frobnicate  # noqa: B018


def test_a_type_checker_sees_the_same_names() -> None:
    """The imports below TYPE_CHECKING, each from the module that the name is loaded from."""
    tree = ast.parse((ROOT / "snnas/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {name: f"snnas.{home}" for name, home in snnas._HOMES.items()}


# command -> its records. What is left is of the command line alone, or makes several fields.
OF_COMMANDS = {
    "search": (SearchOptions,),
    "train": (TrainOptions,),
    "export": (RunExportOptions, GraphExportOptions),
    "simulate": (SimulateOptions,),
    "estimate": (EstimateOptions,),
    "diagnose": (DiagnoseOptions,),
    "whose": (ConventionOptions,),
    "check": (CheckOptions,),
    "report": (ReportOptions,),
    "submit": (SubmitOptions,),
}
HELD = (snnas.Run, snnas.Export, snnas.Model, snnas.Program, snnas.Simulation, snnas.Bill, snnas.Findings)
RECORDS = [record for records in OF_COMMANDS.values() for record in records] + [ReadingOptions, ResumeOptions, *HELD]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_field_of_a_record_is_described(record: Any) -> None:
    assert is_dataclass(record)
    for home in [cls for cls in record.__mro__ if is_dataclass(cls)]:
        tree = ast.parse(Path(sys.modules[home.__module__].__file__ or "").read_text())
        (body,) = (n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == home.__name__)
        for at, node in enumerate(body):
            if isinstance(node, ast.AnnAssign):
                after = body[at + 1]
                assert isinstance(after, ast.Expr), f"{record.__name__}: {ast.unparse(node)}"


OF_THE_LINE = {
    "as_json", "quiet", "verbose", "help", "html", "formats", "new_profile", "resume",
    # another thing that it does, and other names of a field
    "files", "not_blind", "no_train", "profiles", "maximum", "minimum", "tolerance", "ignore",
    "then",
}  # fmt: skip


def spread(record: Any) -> dict[str, Any]:
    """Fields and defaults, those of records within among them; its own count where both have one."""
    kinds = get_type_hints(record)
    within: dict[str, Any] = {}
    for kind in filter(is_dataclass, kinds.values()):
        within |= spread(kind)
    return within | {field.name: field.default for field in fields(record) if not is_dataclass(kinds[field.name])}


@pytest.mark.parametrize("name", OF_COMMANDS)
def test_options_are_the_fields_of_a_record_with_the_same_defaults(name: str) -> None:
    known: dict[str, Any] = {}
    for record in OF_COMMANDS[name]:
        known |= spread(record)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    taken = {p.name: p for p in command.params if p.name not in OF_THE_LINE}
    assert len(taken) > 1
    for parameter, found in taken.items():
        assert parameter in known, parameter
        default = known[parameter]
        if default not in (MISSING, ()) and not found.required:
            assert found.default == default or (found.default is None and not default), parameter


@pytest.mark.parametrize("name", ["conformance", "deploy", "gpu", "search", "simulate", "train"])
def test_options_of_a_bench_are_the_fields_of_its_record(name: str) -> None:
    record = getattr(import_module(f"snnas.toolchain.bench.{name}"), f"{name.title()}BenchOptions")
    command = typer.main.get_command(app).commands["bench"].commands[name]  # type: ignore[attr-defined]
    taken = {p.name.removeprefix("no_") for p in command.params} - {"as_json", "quiet", "help"}
    assert taken == {field.name for field in fields(record)}


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars.npz: two classes of images, told apart by where the bar is."""
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = rng.integers(0, 60, (120, 1, 8, 8), dtype=np.uint8)
    for sample, label in zip(x, y, strict=True):
        sample[0, :, 4 * label : 4 * label + 3] += 150
    np.savez(folder / "bars.npz", x=x, y=y)
    return folder


def test_search_takes_every_option_of_its_record_by_name() -> None:
    own = {"dataset", "name", "runs_dir", "budget"}
    assert {*SearchKeywords.__annotations__} == {field.name for field in fields(SearchOptions)} - own
    with pytest.raises(UsageError, match="no option 'chanels'; did you mean 'channels'"):
        snnas.search_network("digits", chanels=4)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="unknown metric 'joule'"):
        snnas.search_network("digits", budget={"joule": 4})


def test_a_lone_text_is_one_and_not_its_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    heard: list[Any] = []

    def begin(options: Any, *rest: Any, on_epoch: Any = None, **more: Any) -> None:
        given.append(options)
        heard.append(on_epoch)
        raise UsageError("far enough")

    monkeypatch.setattr(verbs, "run_search", begin)
    monkeypatch.setattr(verbs, "run_training", begin)
    monkeypatch.setattr(check, "guard", begin)
    for budget in ("energy_total=60uJ,cores=8", ["energy_total=60uJ,cores=8"], {"energy_total": "60uJ", "cores": 8}):
        with pytest.raises(UsageError, match="far enough"):
            snnas.search_network("digits", budget=budget, data="train_limit=100", log_to="tensorboard")
        assert parse_budgets(given[-1].budget) == parse_budgets(["energy_total=60uJ", "cores=8"])
        assert (given[-1].data, given[-1].log_to) == (("train_limit=100",), ("tensorboard",))
    with pytest.raises(UsageError, match="far enough"):
        snnas.search_network("digits", budget={})
    assert given[-1].budget == ()
    with pytest.raises(UsageError, match="far enough"):
        snnas.train_network("genotype.json", "digits", data="train_limit=100", on_epoch=print)
    assert (given[-1].data, heard[-1]) == (("train_limit=100",), print)
    with pytest.raises(UsageError, match="far enough"):
        snnas.check("a.nir", ignore="SN201", reading=ReadingOptions(timesteps=4), data="digits")
    assert given[-1].ignored == {"SN201"}
    assert given[-1].reading == ReadingOptions(timesteps=4, data="digits")


@pytest.mark.parametrize("kind", HELD, ids=lambda kind: kind.__name__)
def test_what_is_held_says_what_each_name_does(kind: Any) -> None:
    for name, member in inspect.getmembers(
        kind, lambda member: inspect.isfunction(member) or isinstance(member, property)
    ):
        if not name.startswith("_"):
            assert inspect.getdoc(member), f"{kind.__name__}.{name}"


@pytest.fixture(scope="module")
def searched(bars: Path) -> snnas.Run:
    pytest.importorskip("torch")
    told: list[tuple[str, int, int]] = []
    begun: list[str] = []
    run = snnas.search_network(
        bars / "bars.npz", runs_dir=bars / "runs", method="lightsnn", channels=2, hidden=8, timesteps=2,
        batch=8, epochs=2, progress=lambda *stage: told.append(stage), begun=lambda run: begun.append(run.name),
    )  # fmt: skip
    assert begun == [run.name] == ["bars-lightsnn-001"]
    assert ("run bars-lightsnn-001", 0, 0) in told
    assert any(0 < done == total for _, done, total in told)
    return run


@pytest.fixture(scope="module")
def exported(searched: snnas.Run) -> snnas.Export:
    return searched.export(samples=4)


def test_a_run(searched: snnas.Run, bars: Path) -> None:
    assert searched.stage in ("trained", "exported")
    assert searched.accuracy == searched.files.table("training")["validation_accuracy"]
    assert searched.genotype["cells"]
    assert [epoch["epoch"] for epoch in searched.epochs] == [1, 2]
    assert any(event["event"] == "evaluation" for event in searched.evaluations)
    assert snnas.load(searched.path) == snnas.load_run(runs_dir=bars / "runs") == searched
    assert searched.resume() == searched
    with pytest.raises(UsageError, match="is trained; train it again with force=True"):
        searched.train()
    assert searched.write_page() == searched.path / "report.html"
    assert snnas.list_runs(bars / "runs").to_dict()["runs"][0]["run"] == searched.name
    with pytest.raises(UsageError, match="no run 'frobnicate'"):
        snnas.load("frobnicate", runs_dir=bars / "runs")


def test_an_export(searched: snnas.Run, exported: snnas.Export) -> None:
    assert exported.folder == searched.path / "export/lava"
    assert exported.to_dict() == json.loads((exported.folder / "report.json").read_text())
    assert exported.next_commands[0] == f"check {exported.folder}"
    assert snnas.load(exported.folder).to_dict() == exported.to_dict()  # type: ignore[union-attr]
    assert exported.energy is not None
    simulated = exported.simulate()
    assert len(simulated.predictions) == 24  # all that were measured, not the four that are recorded
    assert simulated.accuracy == exported.accuracy
    assert exported.estimate().fits
    assert exported.diagnose().sound


def test_findings(exported: snnas.Export) -> None:
    found = exported.check(max={"energy_total": "1mJ"}, min={"accuracy": 0.01}, ignore=["SN401"], trust_report=True)
    assert found
    assert found.failures == []
    found.require()
    failing = exported.check(max={"cores": 0})
    assert not failing
    assert failing.exit_code == 1
    assert [finding.code for finding in failing.failures] == ["SN407"]
    with pytest.raises(snnas.GateError, match="SN407 max cores: cores 1 is over 0"):
        failing.require()
    with pytest.raises(snnas.InvalidFileError, match="SN101"):
        snnas.check("absent.nir").require()
    with pytest.raises(UsageError, match=r"max 'accuracy=1': unknown metric 'accuracy'; .* with min$"):
        exported.check(max={"accuracy": 1})


def test_results_are_shown(searched: snnas.Run, exported: snnas.Export) -> None:
    simulated, bill, found = exported.simulate(), exported.estimate(), exported.check()
    for result in (searched, exported, exported.program, simulated, bill, found):
        assert repr(result) == f"<{type(result).__name__}: {result.headline}>"
        assert "\n" not in result.headline
        assert result.headline in str(result)
        lines = str(result).replace(str(searched.path.parent), "").splitlines()[1:]
        assert max(map(len, lines)) <= 200
        html = result._repr_html_()
        ElementTree.fromstring(f"<div>{_closed(html)}</div>")
    for result in (searched, exported, simulated, bill):
        assert "data:image/svg+xml;base64," in result._repr_html_()
    copy = simulated.to_dict()
    copy["accuracy"] = None
    assert simulated.accuracy is not None
    pandas = sys.modules.get("pandas")
    assert pandas is None or "accuracy.on_target" in list(simulated.to_frame()["figure"])


def test_a_frame_needs_pandas(exported: snnas.Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(snnas.UnsupportedError, match="needs pandas, which is not installed; pip install pandas"):
        exported.simulate().to_frame()


def _closed(html: str) -> str:
    """As XML, which closes what HTML does not."""
    return re.sub(r"<(img[^>]*)>", r"<\1/>", html)


def test_arrays_and_a_file_give_the_same_program(tmp_path: Path) -> None:
    graph, recorded = ROOT / "examples/ci_gate/graph.nir", ROOT / "examples/ci_gate/graph.nir.check.npz"
    model = snnas.read_graph(graph)
    assert model.verified
    with np.load(recorded) as arrays:
        x = arrays["x"]
    program = model.compile(x)
    simulated = program.simulate(x)
    assert (simulated.answers.argmax(1) == simulated.predictions).all()
    assert (snnas.read_graph(graph).compile(recorded).simulate(x).answers == simulated.answers).all()
    assert program.save(tmp_path / "program.npz").is_file()
    again = snnas.load(tmp_path / "program.npz")
    assert isinstance(again, snnas.Program)
    assert (again.simulate(x).answers == simulated.answers).all()
    assert program.estimate(rate=0.05).fits
    with pytest.raises(UsageError, match="rate assumes what x would measure"):
        program.estimate(x, rate=0.05)
    with pytest.raises(UsageError, match="no samples: give x"):
        program.simulate()
    with pytest.raises(snnas.InvalidFileError, match=r"arrays: a sample of x has shape \(3,\); the model takes"):
        program.simulate(np.zeros((2, 3)))
    assert (model.run(x) == snnas.read_graph(graph).run(x)).all()
    saved = snnas.read_graph(model.save(tmp_path / "again.nir"))
    assert (saved.run(x) == model.run(x)).all()
    assert model.check(max={"cores": 8})


def test_a_foreign_graph_is_exported(tmp_path: Path) -> None:
    example = ROOT / "examples/ci_gate/graph.nir"
    with np.load(ROOT / "examples/ci_gate/graph.nir.check.npz") as arrays:
        x = arrays["x"]
    model = snnas.read_graph(example)
    with pytest.raises(UsageError, match='target="frobnicate": unknown'):
        model.export(x, target="frobnicate", out=tmp_path / "out")
    made = model.export(x, samples=4, out=tmp_path / "out")
    assert made.folder == tmp_path / "out"
    assert (made.folder / "program.npz").is_file()
    assert made.notes[: len(made.report["notes"])] == tuple(made.report["notes"])
    assert made.table().row_count > 10
    with pytest.raises(snnas.InvalidFileError, match=r"^samples.npz: a sample"):
        model.export(np.zeros((8, 3)), out=tmp_path / "other")


def test_the_search_command_is_the_function(bars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hand over the same options, and nothing else."""
    from snnas.toolchain.cli.app import run_command
    from snnas.toolchain.commands import search, verbs

    asked: list[SearchOptions] = []

    def refuse(options: SearchOptions, *_: Any, **__: Any) -> None:
        asked.append(options)
        raise UsageError("seen")

    for home in (search, verbs):
        monkeypatch.setattr(home, "run_search", refuse)
    line = [
        "search",
        "--dataset",
        str(bars / "bars.npz"),
        "--budget",
        "cores=2",
        "--budget",
        "energy=1uJ",
        "--seed",
        "3",
    ]
    assert run_command([*line, "--method", "lightsnn", "--channels", "4", "--data", "layout=nchw", "--no-train"]) == 2
    with pytest.raises(UsageError, match="seen"):
        snnas.search_network(
            bars / "bars.npz",
            budget={"cores": 2, "energy": "1uJ"},
            seed=3,
            method="lightsnn",
            channels=4,
            data=["layout=nchw"],
            train=False,
        )
    assert asked[0] == asked[1]


def test_a_verdict_is_taken_as_the_convention() -> None:
    here = ROOT / "examples/notebooks"
    verdict = snnas.find_convention(here / "snntorch_digits.nir", here / "snntorch_digits.npz")
    model = snnas.read_graph(here / "snntorch_digits.nir", convention=verdict)
    assert (model.reading.convention, model.reading.timesteps) == ("snntorch-zero", 8)
    assert model.reading.input_kind == "analogue"


def test_a_runs_name_is_told_from_a_file(exported: snnas.Export, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported.folder
    monkeypatch.setenv("SNNAS_RUNS", str(folder.parents[2]))
    name = folder.parents[1].name
    with pytest.raises(
        UsageError, match=f"{name}: no such file or folder; it is a run, name its export: .*{name}/export"
    ):
        open_subject(Path(name), ReadingOptions())
    for judged in ({}, {"data": "digits", "max": {"cores": 8}}):
        (finding,) = snnas.check(name, **judged).failures
        assert "it is a run, name its export" in finding.detail
    with pytest.raises(UsageError, match=f"wrote; it is a run, name its export: .*{name}/export"):
        attest(Path(name), Pricing())
