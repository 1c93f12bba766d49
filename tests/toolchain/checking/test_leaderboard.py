"""``snnas submit``: a row is a checked export, and what the same commands made elsewhere has to agree with it."""

import copy
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.search.network.design import Design
from snnas.search.network.genotype import Cell
from snnas.toolchain.checking.leaderboard import against, made_by, read_row
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.commands.submit import SubmitOptions, submit
from snnas.toolchain.results.records.leaderboard import LeaderboardRow
from tests.toolchain.checking.check_subjects import change_arrays, sign

DATA = Path(__file__).parents[3] / "docs/data"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run ``one``: two channels, one timestep and epoch, digits, exported without Lava."""
    folder = tmp_path_factory.mktemp("submit")
    design = Design("chip", (Cell.of({(0, 3): "conv3x3"}),), 2, 1, 0, "linear", "max")
    (folder / "design.json").write_text(design.to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNNAS_LAVA_PYTHON", raising=False)
        patch.setenv("SNNAS_LAVA_ENV", str(folder / "absent"))
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
        ("snnas search --budget mine.toml", "takes mine.toml"),
        ("snnas search --space=my/space.toml", "space.toml"),
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
    ],
)
def test_a_command_is_kept_without_its_place(given: str, kept: str) -> None:
    assert made_by(given) == kept
