"""``snnas submit``: a row is a checked export, and what the same commands made elsewhere has to agree with it."""

import copy
import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import snnas
from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.tables import read_table
from snnas.search.network.design import Design
from snnas.search.network.design_space import DesignSpace
from snnas.search.network.genotype import Cell
from snnas.toolchain.checking.leaderboard import against, read_row
from snnas.toolchain.checking.remaking import Making, made_by, making_of, write_files
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands.submit import SubmitOptions, submit
from snnas.toolchain.models.in_c import board_of
from snnas.toolchain.results.records.leaderboard import LeaderboardRow
from snnas.toolchain.runs.run import Run, as_toml
from snnas.toolchain.searching.budgets import parse_budgets
from snnas.toolchain.training import TrainingConfig, load_recipe
from tests.documents import hold_document
from tests.toolchain.checking.check_subjects import change_arrays, sign
from tests.without_lava import without_lava

DATA = Path(__file__).parents[3] / "docs/data"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run ``one``: two channels, one timestep and epoch, digits, exported without Lava."""
    folder = tmp_path_factory.mktemp("submit")
    design = Design("chip", (Cell.of({(0, 3): "conv3x3"}),), 2, 1, 0, "linear", "max")
    (folder / "design.json").write_text(design.to_json())
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        train = ["train", "--genotype", str(folder / "design.json"), "--dataset", "digits", "--name", "one"]
        train += ["--epochs", "1", "--runs-dir", str(folder / "runs"), "--quiet"]
        patch.setattr(sys, "argv", ["/usr/bin/snnas", *train])
        assert run_command(train) == 0
        assert run_command(["export", "one", "--runs-dir", str(folder / "runs"), "--bits", "6", "--quiet"]) == 0
    return folder / "runs"


@pytest.fixture(scope="module")
def row(runs: Path) -> dict:
    return submit(SubmitOptions(run="one", runs_dir=runs)).row


def test_a_row_holds_the_figures_of_the_report_and_how_they_are_made(runs: Path, row: dict) -> None:
    report = read_json(runs / "one/export/lava/report.json")
    LeaderboardRow.model_validate(row)
    assert row["on_target"] == report["accuracy"]["on_target"]
    assert row["interval"] == report["accuracy"]["interval"]
    assert (row["test_samples"], row["timesteps"], row["weight_bits"]) == (360, 1, 6)
    assert row["energy_uJ"] == report["energy_uJ"]["total"]
    assert row["synops"] == report["synops_per_inference"]
    made = row["made"]
    assert made["commands"] == [
        "snnas train --genotype genotype.json --dataset digits --epochs 1",
        "snnas export --target lava --bits 6",
    ]
    assert made["genotype"] == (runs / "one/genotype.json").read_text()
    assert (made["seed"], made["blind"], made["lava_differing_spikes"]) == (0, True, None)
    assert (row["method"], made["seconds_search"]) == ("given", None)
    assert row["c"] == []


def test_figures_of_c_are_of_an_export_that_check_passes(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    exported = ["export", "one", "--runs-dir", str(tmp_path), "--bits", "6", "--target", "c", "--quiet"]
    assert run_command(exported) == 0
    report, asked = tmp_path / "one/export/c/report.json", SubmitOptions(run="one", runs_dir=tmp_path)
    figures = read_json(report)
    core = {"flash_bytes": 100, "state_bytes": 10, "stack_bytes": 1, "instructions": 1000.0, "counted": 1}
    of_board = board_of("cortex-m4", dict.fromkeys(("low", "nominal", "high"), 1000.0))
    figures["c"]["cores"][0] |= core | {"board": of_board}
    write_json(report, figures)
    with pytest.raises(GateError, match=r"export/c: SN\d+ .*a row passes snnas check: export it again"):
        submit(asked)
    sign(report.parent, "report.json")
    made = submit(asked).row
    assert [found["instructions"] for found in made["c"]] == [1000.0]
    assert made["made"]["commands"][-1] == "snnas export --target c --bits 6"


def test_the_command_writes_it_and_holds_another_against_it(runs: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "row.json"
    submitted = ["submit", "one", "--runs-dir", str(runs)]
    named = ["--name", "plain", "--note", "by hand", "--not-blind"]
    assert run_command([*submitted, *named, "--out", str(out)]) == 0
    found = read_row(out)
    assert (found["name"], found["note"], found["made"]["blind"]) == ("plain", "by hand", False)
    assert run_command([*submitted, "--out", str(out)]) == 2
    assert "it is there already" in capsys.readouterr().err
    assert run_command([*submitted, "--compare", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the row is confirmed"
    write_json(out, found | {"cores": found["cores"] * 2, "parameters": 5})
    assert run_command([*submitted, "--compare", str(out)]) == 1
    said = capsys.readouterr().out
    assert f"differs: cores: {found['cores']} here, {2 * found['cores']} there" in said
    assert f"differs: parameters: {found['parameters']} here, 5 there" in said
    assert said.splitlines()[-1] == "the row is not confirmed"
    assert run_command([*submitted, "--compare", str(out), "--json"]) == 1
    assert "differs: parameters" in capsys.readouterr().err
    write_json(out, found | {"interval": [0.99, 1.0]})
    assert run_command([*submitted, "--compare", str(out)]) == 3
    assert "on_target lies outside its own ends" in capsys.readouterr().err


def test_python_submits_a_run(runs: Path, row: dict, tmp_path: Path) -> None:
    found = snnas.load_run("one", runs_dir=runs).submit(tmp_path / "row.json", note="of Python")
    assert found.to_dict() == row | {"note": "of Python"} == read_row(tmp_path / "row.json")
    assert found.headline.startswith("digits, one (given): ")
    assert snnas.load_run("one", runs_dir=runs).submit(compare=tmp_path / "row.json").differences == ()
    with pytest.raises(UsageError, match="it is there already; give another name, or force"):
        snnas.load_run("one", runs_dir=runs).submit(tmp_path / "row.json")


def test_what_agrees_and_what_does_not(row: dict) -> None:
    assert against(row, row) == []
    assert against(row, row | {"sar": row["sar"] * 1.001}) != [], "one network, so every figure is equal"
    row = row | {"made": row["made"] | {"weights_sha256": "0" * 64}}
    mine, row = row, copy.deepcopy(row) | {"made": row["made"] | {"weights_sha256": "1" * 64}}
    assert against(mine, row) == []
    assert [x.split(":")[0] for x in against(mine, row | {"interval": [0.99, 1.0]})] == ["on_target"]
    cheaper = copy.deepcopy(row)
    cheaper["energy_uJ"]["nominal"] /= 1.3
    assert [line.split(":")[0] for line in against(mine, cheaper)] == ["energy_uJ"]
    assert against(mine, row | {"sar": row["sar"] * 1.2}) == []
    assert len(against(mine, row | {"sar": row["sar"] * 1.3, "energy_uJ": None})) == 2
    for change, word in (
        ({"dataset": "mnist"}, "another data set"),
        ({"energy_profile": "mine"}, "another energy profile"),
        ({"made": row["made"] | {"seed": 1}}, "another seed"),
        ({"made": row["made"] | {"commands": ["snnas search"]}}, "another way to make it"),
        ({"made": None}, "a published row"),
    ):
        with pytest.raises(UsageError, match=word):
            against(mine, row | change)


def test_a_row_passes_the_check_or_is_none(runs: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    lava = tmp_path / "one/export/lava"
    change_arrays(lava / "stimulus.npz", y=lambda y: y[::-1])
    sign(lava, "stimulus.npz")
    assert run_command(["submit", "one", "--runs-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "a row passes snnas check" in error
    shutil.rmtree(lava)
    assert run_command(["submit", "one", "--runs-dir", str(tmp_path)]) == 2
    assert "has no export to Lava" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("snnas.search_network", "expected a command"),
        ("snnas search --system mine.toml", "takes mine.toml"),
        ("snnas search --dataset digits --profile=my/own.toml", "own.toml"),
        ("snnas search --space s.toml", "space.toml would have 0 bytes"),
        (None, "its export is of other weights"),
    ],
)
def test_what_nobody_can_make_again_is_no_row(
    runs: Path, tmp_path: Path, capsys, command: str | None, word: str
) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    if command is None:
        weights = tmp_path / "one/weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    else:
        config = tmp_path / "one/run.toml"
        lines = config.read_text().splitlines()
        config.write_text("\n".join(f'command = "{command}"' if x.startswith("command =") else x for x in lines))
    assert run_command(["submit", "one", "--runs-dir", str(tmp_path)]) == 2
    assert word in capsys.readouterr().err


def test_what_is_published_and_what_is_submitted_are_rows() -> None:
    published = read_json(DATA / "published.json")["rows"]
    for row in published:
        LeaderboardRow.model_validate(row)
        assert row["published"].startswith("https://")
        assert row["made"] is None
        assert row["accuracy"] or row["on_target"]
    submitted = [read_row(path) for path in sorted((DATA / "leaderboard").glob("*.json"))]
    assert submitted
    assert all(row["made"] and row["published"] is None for row in submitted)
    assert len({(row["dataset"], row["name"]) for row in (*published, *submitted)}) == len(published) + len(submitted)


def test_what_is_no_row(tmp_path: Path, row: dict, capsys) -> None:
    path = tmp_path / "row.json"
    for content, code, word in (
        (None, 2, "no such file"),
        ({"schema": "snnas.report/1"}, 3, "not a row"),
        (row | {"on_target": 2.0}, 3, "on_target is 2.0, expected a number"),
        (row | {"interval": None}, 3, "no accuracy on target with its interval"),
    ):
        if content is not None:
            write_json(path, content)
        assert run_command(["submit", "absent", "--runs-dir", str(tmp_path), "--compare", str(path)]) == code
        assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("snnas search --dataset digits --runs-dir /a --name b --workers 2 -q", "snnas search --dataset digits"),
        ("snnas search --budget 'a=1 uJ' --runs-dir=/a --seed 3", "snnas search --budget 'a=1 uJ' --seed 3"),
        ("snnas train --genotype=/x/y.json --epochs 2", "snnas train --genotype genotype.json --epochs 2"),
        ("snnas search --space=/x/y.toml --recipe digits", "snnas search --space space.toml --recipe digits"),
        ("snnas search --recipe a.toml --device cuda", "snnas search --recipe recipe.toml"),
        ("snnas search --budget b.toml --budget cores=8", "snnas search --budget budget.toml --budget cores=8"),
        ("snnas search --data data_dir=/a,b,frames=8", "snnas search --data frames=8"),
        ("snnas search --target lava --seed 1", "snnas search --seed 1"),
        ("snnas search --data=data_dir=/a --seed 1", "snnas search --seed 1"),
    ],
)
def test_a_command_is_kept_without_its_place(given: str, kept: str) -> None:
    assert made_by(given) == kept


AXES = {
    "ops": ["skip", "conv3x3"], "cells": [1, 2], "channels": [2, 3], "timesteps": [1, 2], "hidden": [16],
    "head": ["linear"], "reduction": ["max"], "bits": [8],
}  # fmt: skip


def _run(folder: Path, command: str, **more: object) -> Run:
    """A run of which there is run.toml alone."""
    config = {"command": command, "seed": 0, "versions": {"device": "cpu"}, "train": TrainingConfig(epochs=2).plain()}
    config["method"] = {"name": "trained", "space": "chip", "backward": False, "batch": 2, "axes": AXES}
    config["network"] = {
        "input_shape": [1, 8, 8],
        "classes": 10,
        "input_kind": "analogue",
        "tau": 2.0,
        "threshold": 1.0,
    }
    config["data"] = {"name": "digits", "sha256": "0" * 64, "train": 1, "val": 1, "test": 1}
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.write_config(config | more)
    return run


def test_files_that_a_command_names_say_what_the_run_was_made_with(tmp_path: Path) -> None:
    command = "snnas search --space my.toml --recipe r.toml --budget limits.toml --budget cores=8 --name a"
    recipe = TrainingConfig(epochs=3, stages=((1, 1), (2, 2)), target_sar=0.2)
    limits = {"cores": 8.0, "energy_total": 60.0, "latency": 1000.0}
    run = _run(tmp_path / "a", command, train=recipe.plain(), budget=limits)
    making = making_of(run, {"lava": {"bits": 8}}, "loihi1")
    assert making.commands == (
        "snnas search --space space.toml --recipe recipe.toml --budget budget.toml --budget cores=8",
        "snnas export --target lava --bits 8",
    )
    made = {**making.plain(), "genotype": "{}"}
    assert write_files(made, tmp_path / "out") == [tmp_path / "out" / file["name"] for file in made["files"]]
    assert DesignSpace.of(read_table(tmp_path / "out/space.toml")) == DesignSpace.of(AXES)
    assert load_recipe(tmp_path / "out/recipe.toml") == recipe
    assert parse_budgets([str(tmp_path / "out/budget.toml")]) == limits


def test_a_second_training_is_a_command_of_its_own(tmp_path: Path) -> None:
    first, second = TrainingConfig(epochs=1).plain(), TrainingConfig(epochs=2, target_sar=0.1)
    commands = {}
    for command in ("snnas search", "snnas search --no-train", "snnas search --recipe r.toml"):
        run = _run(tmp_path / command[-6:].replace(" ", ""), command, train=second.plain(), first_train=first)
        making = making_of(run, {}, "loihi1")
        commands[command] = making.commands[1]
        write_files({**making.plain(), "genotype": ""}, tmp_path, force=True)
        assert load_recipe(tmp_path / "train.toml") == second
    assert load_recipe(tmp_path / "recipe.toml").epochs == 1
    assert commands["snnas search"] == "snnas train --recipe train.toml --force"
    assert commands["snnas search --no-train"] == "snnas train --recipe train.toml"
    again = _run(tmp_path / "again", "snnas search", train=first, first_train=first)
    assert making_of(again, {}, "loihi1").commands == ("snnas search",), "trained back as it was"
    only = _run(tmp_path / "only", "snnas search --no-train")
    assert making_of(only, {}, "loihi1").commands[1] == "snnas train"


def test_a_point_of_a_front_and_another_profile_stand_in_the_export(tmp_path: Path) -> None:
    _run(tmp_path / "a", "snnas search --objective score,energy")
    run = _run(tmp_path / "a/front/03", "snnas search --objective score,energy")
    making = making_of(run, {"c": {"bits": 8, "host": "int"}}, "spinnaker2")
    assert making.commands[1] == "snnas export --target c --bits 8 --pick 3 --profile spinnaker2"
    own = _run(tmp_path / "front/one", "snnas search")  # a folder of runs that happens to be called so
    assert making_of(own, {"lava": {"bits": 8}}, "loihi1").commands[1] == "snnas export --target lava --bits 8"
    again = _run(run.path, "snnas search", first_train=TrainingConfig(epochs=9).plain())
    with pytest.raises(UsageError, match="a point of a front that was trained by itself"):
        making_of(again, {"lava": {"bits": 8}}, "loihi1")


def test_data_of_somebodys_own_are_in_no_row(tmp_path: Path) -> None:
    data = {"name": "mnist", "path": "/x/mnist", "sha256": "0" * 64, "train": 1, "val": 1, "test": 1}
    with pytest.raises(UsageError, match="data set mnist is a file of yours"):
        making_of(_run(tmp_path, "snnas search --dataset mnist", data=data), {}, "loihi1")


def test_training_again_by_another_recipe_keeps_the_first(runs: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    again = ["train", "one", "--runs-dir", str(tmp_path), "--force", "--quiet"]
    first = Run(runs / "one").section("train")
    assert run_command(again) == 0
    assert "first_train" not in Run(tmp_path / "one").config()
    for rate in ("0.3", "0.2"):
        assert run_command([*again, "--target-sar", rate]) == 0
    config = Run(tmp_path / "one").config()
    assert (config["first_train"], config["train"]["target_sar"]) == (first, 0.2)


def test_a_row_s_files_are_written_where_its_commands_run(tmp_path: Path, row: dict, capsys) -> None:
    path, out = tmp_path / "row.json", tmp_path / "out"
    text = TrainingConfig(epochs=2).plain()
    making = Making(("snnas train --recipe recipe.toml --genotype genotype.json",), {"recipe.toml": as_toml(text)})
    made = row["made"] | making.plain()
    write_json(path, row | {"made": made})
    assert run_command(["submit", "--files", str(path), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == made["commands"]
    assert load_recipe(out / "recipe.toml").epochs == 2
    assert (out / "genotype.json").read_text() == made["genotype"]
    assert run_command(["submit", "--files", str(path), "--out", str(out)]) == 2
    assert "it is there already" in capsys.readouterr().err
    assert run_command(["submit", "one", "--files", str(path)]) == 2
    assert "not run" in capsys.readouterr().err
    assert run_command(["submit", "--files", str(path), "--out", str(out), "--force", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    hold_document(printed)
    assert printed["commands"] == made["commands"]
    assert set(printed["files"]) == {str(file) for file in out.iterdir()}
    (file,) = made["files"]
    for files, word in (
        ([file | {"text": "epochs = 3"}], "not what its sha256 says"),
        ([file | {"name": "../recipe.toml"}], "name is '../recipe.toml'"),
        ([file, file], "each once"),
        ([], "name recipe.toml, which it lacks"),
    ):
        write_json(path, row | {"made": made | {"files": files}})
        assert run_command(["submit", "--files", str(path), "--out", str(tmp_path / "bad")]) == 3
        assert word in capsys.readouterr().err
        assert not (tmp_path / "bad").exists()
    for command in ("curl x | sh", "snnas train; rm -rf ~", "snnas check x", "\x1b[2Jsnnas train", "snnas train 'a"):
        write_json(path, row | {"made": made | {"commands": [command]}})
        assert run_command(["submit", "--files", str(path), "--out", str(tmp_path / "bad")]) == 3
        err = capsys.readouterr().err
        assert "expected snnas search, train or export" in err
        assert "\x1b" not in err
    write_json(path, row | {"made": made | {"genotype": "x" * 70_000}})
    assert run_command(["submit", "--files", str(path), "--out", str(tmp_path / "bad")]) == 3
    assert "its genotype has more than 65,536 bytes" in capsys.readouterr().err
    write_json(path, row | {"made": None, "published": "https://example.org"})
    assert run_command(["submit", "--files", str(path)]) == 2
    assert "a published row" in capsys.readouterr().err
    other = Making(making.commands, {"recipe.toml": "epochs = 3"})
    with pytest.raises(UsageError, match="another text of a file: recipe"):
        against(row | {"made": made}, row | {"made": made | other.plain()})
    # A version of before had fewer keys: what a key says by default is what its row meant.
    fewer = {key: value for key, value in text.items() if key not in ("nesterov", "stages")}
    assert len(fewer) == len(text) - 2
    older = Making(making.commands, {"recipe.toml": as_toml(fewer)})
    assert against(row | {"made": made}, row | {"made": made | older.plain()}) == []
    odd = Making(making.commands, {"recipe.toml": making.files["recipe.toml"] + "\nspeed = 3\n"})
    with pytest.raises(InvalidFileError, match=r"recipe\.toml of the row is not TOML"):
        against(row | {"made": made}, row | {"made": made | Making(making.commands, {"recipe.toml": "x"}).plain()})
    with pytest.raises(UsageError, match=r"unknown key 'speed' in recipe\.toml of the row"):
        against(row | {"made": made}, row | {"made": made | odd.plain()})
