"""``snnas search --method trained``: on 90 images of 4 x 4 pixels, with networks of two channels."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.methods.memory import memory
from snnas.search.methods.trained import SEEDS
from snnas.search.methods.trials import Trial
from snnas.search.network.design import Design
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.load import load
from snnas.toolchain.data.split import apart
from snnas.toolchain.exporting import on_target
from snnas.toolchain.exporting.of_run import OfRun
from snnas.toolchain.output.run import describe, table
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run, find
from snnas.toolchain.searching import cost, within_budget
from snnas.toolchain.searching.cost import measure
from snnas.toolchain.searching.evaluator import Evaluator
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.session import Session, spec_of
from snnas.toolchain.searching.trained_method import JUDGED_SHARE, Trainer, space_of
from snnas.toolchain.training.restore import network_of

SPACE = """
ops = ["skip", "conv3x3"]
cells = [1, 2]
channels = [2]
timesteps = [2, 3]
hidden = [4]
head = ["linear"]
reduction = ["max"]
"""
TRAININGS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Data of two classes that differ in brightness, and a space file."""
    path = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    x = (rng.random((90, 1, 4, 4)) * 0.5 + 0.5 * y[:, None, None, None]).astype(np.float32)
    np.savez(path / "data.npz", x=x, y=y.astype(np.int64))
    (path / "space.toml").write_text(SPACE)
    return path


def snnas(folder: Path, *arguments: str, space: bool = True) -> int:
    own = ["--space", str(folder / "space.toml")] if space else []
    sizes = ["--trainings", str(TRAININGS), "--short-epochs", "1", "--epochs", "1", "--batch", "8", "--device", "cpu"]
    return run_command(
        ["search", "--quiet", "--runs-dir", str(folder / "runs"), "--dataset", str(folder / "data.npz"),
         "--method", "trained", *sizes, *own, *arguments]
    )  # fmt: skip


def records(run: Run) -> list[dict]:
    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k != "seconds"}
        return [plain(v) for v in value] if isinstance(value, list) else value

    return [plain(record) for record in run.search_log.read()]


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """A whole search under a budget, trained, with its trial."""
    assert snnas(folder, "--name", "one", "--budget", "energy_total=1mJ") == 0
    return find(folder / "runs", "one")


def test_a_design_is_found_and_everything_takes_its_sizes(run: Run) -> None:
    found = Design.from_json(run.genotype.read_text())
    assert found.timesteps in (2, 3)
    assert "timesteps" not in run.table("network")
    assert OfRun(run, "lava").timesteps == found.timesteps == network_of(run).config.timesteps
    assert run.section("method")["axes"]["timesteps"] == [2, 3]
    evaluations = [r for r in records(run) if r["event"] == "evaluation"]
    assert len([r for r in evaluations if r["seed"] == 0]) == TRAININGS
    assert len([r for r in evaluations if r["round"] == "final"]) == 2 * SEEDS
    assert all(r["cost"]["provenance"] == "measured" for r in evaluations)
    (trial,) = within_budget.trials_of(run)
    assert trial["over"] == []
    assert trial["predicted"]["figures"]["energy_total"] < 1000
    shown = describe(run)
    assert shown["genotype"]["timesteps"] == found.timesteps
    assert table(run).row_count > 3


def test_workers_find_the_same(run: Run, folder: Path) -> None:
    """Trainings may end in another order, and be logged so; what each came to, and the choice, are the same."""
    assert snnas(folder, "--name", "two", "--budget", "energy_total=1mJ", "--workers", "2") == 0
    other = find(folder / "runs", "two")
    assert other.genotype.read_text() == run.genotype.read_text()
    assert other.weights.read_bytes() == run.weights.read_bytes()
    one, two = (sorted(records(r), key=lambda entry: json.dumps(entry, sort_keys=True)) for r in (run, other))
    assert one == two


def test_designs_of_few_bits_are_predicted_measured_and_exported_with_them(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    """Every program that such a search makes has as many."""
    made = {on_target: [], cost: []}
    for module, seen in made.items():
        compiled = module.compile_graph
        monkeypatch.setattr(
            module, "compile_graph", lambda *a, seen=seen, make=compiled, **k: seen.append(k["bits"]) or make(*a, **k)
        )
    (tmp_path / "space.toml").write_text(SPACE.replace("[2, 3]", "[2]") + "bits = [4, 8]\n")
    limits = ["--budget", "energy_total=1mJ,memory=1kB"]
    own = ["--space", str(tmp_path / "space.toml"), "--bits", "4", *limits]
    assert snnas(folder, "--name", "few", *own, space=False) == 0
    run = find(folder / "runs", "few")
    assert run.section("method")["axes"]["bits"] == [4]
    found = Design.from_json(run.genotype.read_text())
    assert found.bits == OfRun(run, "lava").bits == 4
    assert "4-bit weights" in _printed(table(run))
    assert all(set(seen) == {4} for seen in made.values())
    stored = memory(found, network_of(run).config)
    evaluations = [r for r in records(run) if r["event"] == "evaluation" and r["op"] == found.architecture_id]
    assert evaluations[0]["cost"]["figures"]["memory"] == -(-(stored.weights * 4 + stored.neurons * 24) // 8)


def test_designs_of_several_thresholds_are_trained_kept_and_gone_on_with(folder: Path, tmp_path: Path) -> None:
    """All of them differ from 1, so that whatever leaves them out is seen; half of the random draws are by asc."""
    (tmp_path / "space.toml").write_text(SPACE.replace("[2, 3]", "[2]") + "thresholds = [0.6, 1.4]\n")
    own = ["--space", str(tmp_path / "space.toml"), "--proxy", "asc", "--trainings", "8"]
    assert snnas(folder, "--name", "several", *own, space=False) == 0
    run = find(folder / "runs", "several")
    method = run.section("method")
    assert (method["axes"]["thresholds"], method["proxy"]) == ([0.6, 1.4], "asc")
    found = Design.from_json(run.genotype.read_text())
    assert len(found.thresholds) == len(found.cells)
    assert set(found.thresholds) <= {0.6, 1.4}
    lifs = {layer["name"]: layer["threshold"] for layer in network_of(run).layers() if layer["op"] == "lif"}
    assert {name: lifs[name] for name in lifs if name.startswith("red")} == {
        f"red{number}_lif": threshold for number, threshold in enumerate(found.thresholds, start=1)
    }
    assert f"thresholds {found.thresholds[0]:g}" in _printed(table(run))
    evaluations = [r for r in records(run) if r["event"] == "evaluation"]
    assert {"random", "prior"} <= {r["how"] for r in evaluations}
    assert len({Design.from_json(r["genotype"]).thresholds for r in evaluations}) > 1
    whole = [record for record in records(run) if record["event"] != "trial"]
    for path in (run.genotype, run.weights, run.train_log.path):
        path.unlink()
    lines = [json.dumps(record) + "\n" for record in run.search_log.read() if record["event"] != "trial"]
    run.search_log.path.write_text("".join(lines[:3]))
    again = ["search", "--resume", "several", "--runs-dir", str(folder / "runs"), "--quiet", "--no-train"]
    assert run_command(again) == 0
    assert Design.from_json(run.genotype.read_text()) == found
    assert records(run) == whole


def test_a_search_whose_bits_were_of_memory_alone_is_not_gone_on_with(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path / "one")
    shutil.copytree(run.path, other.path)
    config = other.config()
    del config["method"]["axes"]["bits"], config["chip"]["bits"]
    other.write_config(config)
    assert spec_of(other, dataset_of(other)).predictor.chip.bits == 8
    config["method"]["widths"]["weight"] = 4
    other.write_config(config)
    with pytest.raises(InvalidFileError, match="counted memory with 4 bits of a weight"):
        spec_of(other, dataset_of(other))


def _printed(shown: Table) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()


@pytest.mark.parametrize("kept", [1, TRAININGS + 2])
def test_a_search_that_was_killed_goes_on(folder: Path, run: Run, tmp_path: Path, kept: int, monkeypatch) -> None:
    other = Run(tmp_path / "one")
    shutil.copytree(run.path, other.path)
    for path in (other.genotype, other.weights, other.train_log.path):
        path.unlink()
    lines, done = [], 0
    for record in run.search_log.read():
        done += record["event"] == "evaluation"
        if done <= kept and record["event"] != "trial":
            lines.append(json.dumps(record) + "\n")
    other.search_log.path.write_text("".join(lines))
    asked = []
    one = Trainer._one
    monkeypatch.setattr(Trainer, "_one", lambda self, trial: asked.append(trial) or one(self, trial))
    again = ["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet", "--no-train"]
    assert run_command(again) == 0
    assert other.genotype.read_text() == run.genotype.read_text()
    assert len(asked) == TRAININGS + 2 * SEEDS - kept
    whole = [record for record in records(run) if record["event"] != "trial"]
    assert records(other) == whole


def test_a_training_does_not_depend_on_who_makes_it_and_when(run: Run) -> None:
    evaluate = Evaluator(spec_of(run, dataset_of(run)))
    design = Design.from_json(run.genotype.read_text())
    trials = [Trial(design, seed) for seed in (0, 1)]
    heard: dict[int, object] = {}
    one = evaluate("score 0", trials, each=heard.__setitem__)
    two = Evaluator(evaluate.spec)("score 0", trials[::-1])[::-1]
    assert heard == dict(enumerate(one))
    for a, b in zip(one, two, strict=True):
        assert (a.accuracy, a.cost["figures"], a.cost["spikes"]) == (b.accuracy, b.cost["figures"], b.cost["spikes"])
    assert one[0].accuracy != one[1].accuracy or one[0].cost["figures"] != one[1].cost["figures"]


def test_no_test_sample_is_seen_and_judges_are_not_fitted_to(run: Run) -> None:
    data = dataset_of(run)
    spec = spec_of(run, data)
    assert spec.material is not None
    assert len(spec.material.data.x_test) == 0
    part = Trainer(spec)._split(1, 10**6)
    every = len(data.y_train) + len(data.y_val)
    assert (len(part.y_val), len(part.y_train)) == (round(every * JUDGED_SHARE), every - round(every * JUDGED_SHARE))
    here = {sample.tobytes() for sample in np.concatenate([part.x_train, part.x_val])}
    assert here == {sample.tobytes() for sample in np.concatenate([data.x_train, data.x_val])}
    assert not np.array_equal(part.x_val, Trainer(spec)._split(2, 10**6).x_val)


def test_what_belongs_together_is_fitted_to_or_judged_by(folder: Path, run: Run) -> None:
    """Six recordings of fifteen samples: a network that knows a recording is not judged by it."""
    with np.load(folder / "data.npz") as stored:
        np.savez(folder / "grouped.npz", **stored, recording=np.arange(90) // 15)
    data = load(folder / "grouped.npz", seed=0, groups="recording")
    spec = spec_of(run, data)
    for seed in range(5):
        part = Trainer(spec)._split(seed, 10**6)
        assert part.groups_train is not None
        assert part.groups_val is not None
        assert set(part.groups_train).isdisjoint(part.groups_val)
        assert len(part.y_train) + len(part.y_val) == len(data.y_train) + len(data.y_val)
        assert len(set(part.y_train)) == len(set(part.y_val)) == 2
        known = {x.tobytes(): group for x, group in zip(data.x_train, data.groups_train, strict=True)}
        both = [(x, group) for x, group in zip(part.x_train, part.groups_train, strict=True) if x.tobytes() in known]
        assert both
        assert all(known[x.tobytes()] == group for x, group in both)
        assert len(Trainer(spec)._split(seed, 20).y_train) == 20
    assert len({Trainer(spec)._split(seed, 9).x_val.tobytes() for seed in range(5)}) > 1


def test_a_large_group_is_fitted_to_where_another_can_judge() -> None:
    """Of seven groups one holds most samples, and one alone a class."""
    groups = np.repeat(np.arange(7), [300, 40, 40, 40, 40, 40, 12])
    y = np.where(groups == 6, 2, np.arange(len(groups)) % 2)
    for seed in range(8):
        judges = apart(y, groups, len(y) // 3, np.random.default_rng(seed))
        assert set(y[~judges]) == {0, 1, 2}
        assert not (judges & (groups == 0)).any()
        assert 40 <= judges.sum() <= 200


def test_designs_are_compared_by_balanced_accuracy_where_classes_are_weighed(run: Run) -> None:
    """Nine samples in ten are of one class: to name it always is right on most, and worth one half."""
    data = dataset_of(run)
    kept = np.flatnonzero((data.y_train == 0) | (np.arange(len(data.y_train)) % 9 == 1))
    uneven = replace(data, x_train=data.x_train[kept], y_train=data.y_train[kept], class_weights=(0.6, 5.0))
    spec = spec_of(run, uneven)
    design = Design.from_json(run.genotype.read_text())
    (found,) = Trainer(spec)([Trial(design, 0)])
    assert found.accuracy == found.cost["balanced"] != found.cost["accuracy"]


def test_what_is_over_the_budget_after_training_is_not_taken_again(folder: Path, run: Run, monkeypatch) -> None:
    """The first winner costs more than the search had measured; another one is taken, and nothing trained twice."""
    first = Design.from_json(run.genotype.read_text()).architecture_id

    def dearer(network, data, chip, widths):
        found = measure(network, data, chip, widths)
        dear = network.genotype.architecture_id == first
        return replace(found, figures={**found.figures, "energy_total": 1200.0}) if dear else found

    monkeypatch.setattr(within_budget, "measure", dearer)
    asked = []
    one = Trainer._one
    monkeypatch.setattr(Trainer, "_one", lambda self, trial: asked.append(trial.name) or one(self, trial))
    code = snnas(folder, "--name", "dear", "--budget", "energy_total=1mJ")
    dear = find(folder / "runs", "dear")
    trials = within_budget.trials_of(dear)
    assert trials[0]["architecture"] == first
    assert "energy_total 1200 uJ is over" in trials[0]["over"][0]
    assert len(asked) == len(set(asked))
    assert code == (0 if not trials[-1]["over"] else 1)
    if code == 0:
        assert Design.from_json(dear.genotype.read_text()).architecture_id != first


def test_a_front_of_designs(folder: Path, capsys) -> None:
    assert snnas(folder, "--name", "front", "--objective", "score,energy", "--train-front", "2") == 0
    run = find(folder / "runs", "front")
    front = json.loads((run.path / "front.json").read_text())
    assert 1 <= len(front["points"]) <= 2
    with Session.of(run, Narrator(quiet=True)) as session:
        judged = session.judged()
    assert judged is not None
    for point in front["points"]:
        found = Run(run.path / point["path"])
        design = Design.from_json(found.genotype.read_text())
        assert (point["score"], point["predicted"]["samples"]) == (judged[design.architecture_id].score, 24)
        assert point["measured"]["provenance"] == "measured"
        assert network_of(found).config.timesteps == design.timesteps


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--backward"], 2, "--backward"),
        (["--proxy", "sahd"], 2, "--proxy"),
        (["--proxy", "asc"], 2, "--proxy asc: every threshold of this space is 1"),
        (["--proxy", "asc", "--random"], 2, "--proxy asc with --random"),
        (["--trainings", "3"], 2, "--trainings 3"),
        (["--short-epochs", "0"], 2, "--short-epochs 0"),
        (["--method", "lightsnn"], 2, "--space"),
        (["--space", "there.toml"], 2, "there.toml"),
        (["--cells", "3"], 2, "cells = 3"),
        (["--budget", "energy_total=1nJ"], 1, "no network of these sizes keeps energy_total 0.001 uJ"),
    ],
)
def test_what_is_refused(folder: Path, capsys, arguments: list[str], code: int, words: str) -> None:
    assert snnas(folder, *arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["cells = [1", SPACE + "width = [1]\n", SPACE.replace("[2, 3]", "[3, 2]")])
def test_a_space_file_is_read_strictly(folder: Path, tmp_path: Path, capsys, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    assert snnas(folder, "--space", str(tmp_path / "bad.toml"), space=False) == 3
    error = capsys.readouterr().err
    assert "bad.toml" in error
    assert error.count("\n") == 1


def test_a_configuration_without_axes_is_refused(run: Run, tmp_path: Path, capsys) -> None:
    other = Run(tmp_path / "one")
    shutil.copytree(run.path, other.path)
    other.genotype.unlink()
    config = other.config()
    del config["method"]["axes"]
    other.write_config(config)
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 3
    assert "[method]: a space of designs lacks" in capsys.readouterr().err


@pytest.mark.parametrize("declared", ["axis=time", "axis=length,encoder=delta"])
def test_signals_are_searched_as_a_person_would(tmp_path: Path, capsys, declared: str) -> None:
    """By the default method and recipe, with what is said on the way: the --quiet of tests hid two faults."""
    y = np.arange(120) % 2
    x = np.random.default_rng(0).normal(size=(120, 8, 2)) * (1 + y[:, None, None])
    np.savez(tmp_path / "waves.npz", x=x.astype(np.float32), y=y)
    (tmp_path / "space.toml").write_text(SPACE)
    words = ["search", "--dataset", tmp_path / "waves.npz", "--data", declared, "--space", tmp_path / "space.toml"]
    words += ["--trainings", "4", "--short-epochs", "1", "--epochs", "2", "--name", "one", "--runs-dir", tmp_path]
    assert run_command([*map(str, words)]) == 0
    said = capsys.readouterr().err
    assert "training 2 epochs" in said
    run = find(tmp_path, "one")
    assert run.section("train")["augment"]
    assert not [r["reason"] for r in records(run) if r["event"] == "evaluation" and r["reason"]]


def test_counts_that_no_chip_takes_are_refused_before_anything_is_trained(tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(0).poisson(1.0, (60, 3, 1, 6, 6)).clip(0, 9).astype(np.uint8)
    np.savez(tmp_path / "counts.npz", x=x, y=np.arange(60) % 2)
    words = ["search", "--dataset", str(tmp_path / "counts.npz"), "--data", "counts=true", "--runs-dir", str(tmp_path)]
    assert run_command(words) == 2
    assert "trained judges on target, where a synapse carries one spike per timestep" in capsys.readouterr().err
    assert run_command([*words, "--method", "lightsnn", "--target", "c"]) == 2
    assert "no chip takes them; take --target onnx" in capsys.readouterr().err
    assert run_command([*words, "--method", "lightsnn", "--no-train", "--channels", "2", "--hidden", "4"]) == 0
    assert "no chip takes them, such a network goes to --target onnx alone" in capsys.readouterr().err


def test_stages_of_a_recipe_settle_timesteps_and_short_trainings_have_the_last(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "staged.toml").write_text("epochs = 3\nstages = [[1, 1], [3, 2]]\nbatch = 8\n")
    sizes = ["--trainings", str(TRAININGS), "--short-epochs", "1", "--device", "cpu", "--space", folder / "space.toml"]
    staged = ["--name", "staged", "--recipe", tmp_path / "staged.toml", "--runs-dir", tmp_path, "-q"]
    asked = ["search", "--dataset", folder / "data.npz", *sizes, *staged]
    assert run_command([*map(str, asked), "-T", "2"]) == 2  # before there is a run
    assert not (tmp_path / "staged").exists()
    assert run_command([*map(str, asked)]) == 0
    run = find(tmp_path, "staged")
    assert run.section("method")["axes"]["timesteps"] == [3]
    evaluations = [r for r in records(run) if r["event"] == "evaluation"]
    assert evaluations
    assert not [r["reason"] for r in evaluations if r["reason"]]


def test_data_and_options_settle_axes() -> None:
    frames = SimpleNamespace(x_train=np.zeros((4, 7, 2, 34, 34), np.uint8), input_shape=(2, 34, 34))
    images = SimpleNamespace(x_train=np.zeros((4, 1, 8, 8)), input_shape=(1, 8, 8))
    plain = space_of(SearchOptions(), images)  # type: ignore[arg-type]
    assert plain.cells == (1, 2, 3)
    assert len(plain.timesteps) > 1
    assert space_of(SearchOptions(timesteps=7), frames).timesteps == (7,)  # type: ignore[arg-type]
    pinned = space_of(SearchOptions(channels=5, hidden=9, head="lif", cells=2, timesteps=3), images)  # type: ignore[arg-type]
    assert (pinned.channels, pinned.hidden, pinned.head, pinned.cells, pinned.timesteps) == (
        (5,),
        (9,),
        ("lif",),
        (2,),
        (3,),
    )
    with pytest.raises(UsageError, match="nothing is left"):
        space_of(SearchOptions(cells=4), images)  # type: ignore[arg-type]


def test_a_design_is_moved_to_other_data(run: Run, folder: Path, tmp_path: Path) -> None:
    moved = ["train", "--genotype", str(run.genotype), "--dataset", str(folder / "data.npz"), "--name", "moved"]
    assert run_command([*moved, "--epochs", "1", "--runs-dir", str(tmp_path)]) == 0
    found = find(tmp_path, "moved")
    assert Design.from_json(found.genotype.read_text()) == Design.from_json(run.genotype.read_text())
    assert (found.trained, found.config()["method"]["name"]) == (True, "trained")
    assert describe(found)["stage"] == "trained"
