"""What ``import snnas`` gives: names that load nothing until they are used, and functions that a command calls."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import typer

import snnas
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.app import app

ROOT = Path(__file__).parents[1]
PACKAGES = {"search", "export", "hw_sim", "toolchain"}


def test_importing_it_loads_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import snnas; names = dir(snnas)\n"
        "new = {name for name in set(sys.modules) - before if name.split('.')[0] not in sys.stdlib_module_names}\n"
        "assert 'run_search' in names and 'export_graph' in names, names\n"
        "sys.exit(sorted(new - {'snnas', 'snnas.toolchain'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_one_name_loads_its_own_part_alone() -> None:
    code = "import sys, snnas; snnas.simulate, snnas.check, snnas.run_search; sys.exit('torch' in sys.modules)"
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
    assert seen == {name: f"snnas.toolchain.{home}" for name, home in snnas._HOMES.items()}


RECORDS = [name for name in snnas.__all__ if name.endswith("Options")]


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_a_record_is_described(name: str) -> None:
    record = getattr(snnas, name)
    assert is_dataclass(record)
    for home in [cls for cls in record.__mro__ if is_dataclass(cls)]:
        tree = ast.parse(Path(sys.modules[home.__module__].__file__ or "").read_text())
        (body,) = (n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == home.__name__)
        for at, node in enumerate(body):
            if isinstance(node, ast.AnnAssign):
                after = body[at + 1]
                assert isinstance(after, ast.Expr), f"{name}: {ast.unparse(node)}"


# command -> its records. What is left is of the command line alone, or makes several fields.
OF_COMMANDS = {
    "search": (snnas.SearchOptions,),
    "train": (snnas.TrainOptions,),
    "export": (snnas.RunExportOptions, snnas.GraphExportOptions),
    "simulate": (snnas.SimulateOptions,),
    "estimate": (snnas.EstimateOptions,),
    "diagnose": (snnas.DiagnoseOptions,),
    "whose": (snnas.ConventionOptions,),
    "check": (snnas.CheckOptions,),
    "report": (snnas.ReportOptions,),
}
OF_THE_LINE = {
    "as_json", "quiet", "verbose", "help", "html", "formats", "new_profile", "resume",
    # other names of a field
    "no_train", "profiles", "maximum", "minimum", "tolerance", "ignore",
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


def test_from_data_to_joules(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    runs = bars / "runs"
    begun: list[str] = []
    asked = snnas.SearchOptions(
        dataset=str(bars / "bars.npz"),
        method="lightsnn",
        runs_dir=runs,
        channels=2,
        hidden=8,
        timesteps=2,
        batch=8,
        epochs=2,
    )
    found = snnas.run_search(asked, begun=lambda run: begun.append(run.name))
    assert begun == [found.run.name] == ["bars-lightsnn-001"]
    assert found.run.trained
    assert found.front is None
    assert snnas.find_run(runs_dir=runs) == found.run
    again = snnas.resume_search(snnas.ResumeOptions(run=found.run.name, runs_dir=runs))
    assert again.run == found.run

    exported = snnas.export_run(snnas.RunExportOptions(runs_dir=runs, samples=4))
    assert exported.folder == found.run.path / "export/lava"
    assert exported.report == json.loads((exported.folder / "report.json").read_text())
    assert exported.next_commands[0] == f"check {exported.folder}"
    assert exported.next_commands[1].endswith(f"--runs-dir {runs}")
    assert snnas.check(snnas.CheckOptions(graphs=(exported.folder,))).exit_code == 0

    simulated = snnas.simulate(snnas.SimulateOptions(model=exported.folder))
    assert simulated.figures["samples"] == 24  # all that were measured, not the four that are recorded
    estimated = snnas.estimate(snnas.EstimateOptions(model=exported.folder))
    assert estimated.misfit is None
    assert estimated.figures["energy_uJ"]["total"]["nominal"] > 0
    subject = snnas.open_model(exported.folder)
    assert subject.x is None
    assert subject.program.timesteps == 2
    diagnosed = snnas.diagnose(snnas.DiagnoseOptions(subject=str(exported.folder)))
    assert diagnosed.sound
    assert snnas.read_report(snnas.ReportOptions(runs_dir=runs)) == exported.report
    page = snnas.write_page(snnas.ReportOptions(names=(found.run.name,), runs_dir=runs))
    assert page == found.run.path / "report.html"
    out, err = capsys.readouterr()
    assert out == ""
    assert not [line for line in err.splitlines() if not line.startswith("note: ")]  # silent but for notes
    assert [row["run"] for row in snnas.list_runs(runs).rows] == [found.run.name]
    assert snnas.remove_runs([found.run.name], runs, agreed=lambda found: False) is None
    assert snnas.remove_runs([found.run.name], runs) == [found.run.path]
    assert snnas.list_runs(runs).rows == []


def test_a_narrator_tells(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    asked = snnas.SearchOptions(
        dataset=str(bars / "bars.npz"),
        method="lightsnn",
        runs_dir=bars / "told",
        channels=2,
        hidden=8,
        timesteps=2,
        batch=8,
        train=False,
    )
    run = snnas.run_search(asked, snnas.Narrator()).run
    assert f"run {run.name}" in capsys.readouterr().err
    assert not run.trained
    options = snnas.TrainOptions(run=run.name, runs_dir=bars / "told", epochs=1)
    assert snnas.run_training(options) == run
    with pytest.raises(UsageError, match="is trained; train it again with --force"):
        snnas.run_training(options)


def test_a_foreign_graph(tmp_path: Path) -> None:
    example = ROOT / "examples/ci_gate/graph.nir"
    reading = snnas.ReadingOptions(data=str(ROOT / "examples/ci_gate/graph.nir.check.npz"))
    options = snnas.GraphExportOptions(graph=example, reading=reading, target="frobnicate", out=tmp_path / "out")
    with pytest.raises(UsageError, match="--target frobnicate: unknown"):
        snnas.export_graph(options)
    options = snnas.GraphExportOptions(graph=example, reading=reading, samples=4, out=tmp_path / "out")
    exported = snnas.export_graph(options)
    assert exported.folder == tmp_path / "out"
    assert (exported.folder / "program.npz").is_file()
    assert exported.notes == tuple(exported.report["notes"])
    assert exported.table().row_count > 10
