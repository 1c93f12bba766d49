"""The search of a run by every method, under budgets and in many processes, on the digits, as small as it gets."""

import json
import os
import shutil
import signal
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.search.methods.memory import Widths, memory
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.rdm import RdmScorer
from snnas.search.network.config import DEFAULT_HEAD
from snnas.search.network.genotype import Genotype
from snnas.toolchain.cli import exits
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.data.scoring_batch import scoring_batch
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.exporting import lava, pipeline
from snnas.toolchain.output.run import next_command
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run, find
from snnas.toolchain.searching import front, within_budget
from snnas.toolchain.searching.begin import begin_search
from snnas.toolchain.searching.cell_methods import CELL_METHODS, Snasnet
from snnas.toolchain.searching.cost import Cost, figure, known_early, measure
from snnas.toolchain.searching.evaluator import score_kind
from snnas.toolchain.searching.find import find_network
from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.session import Session, spec_of
from snnas.toolchain.searching.workers import ENGINES
from snnas.toolchain.training.of_run import train_run

QUIET = Narrator(quiet=True)
SMALL = ["--channels", "2", "--hidden", "16", "-T", "2", "--batch", "8", "--epochs", "1"]


def snnas(folder: Path, *arguments: str) -> int:
    small = SMALL if "mse_nas" not in arguments else [word for word in SMALL if word not in ("--hidden", "16")]
    return run_command(
        ["search", "--method", "lightsnn", "--quiet", "--runs-dir", str(folder), "--device", "cpu", *small, *arguments]
    )


def draws(method: str, number: int) -> list[str]:
    """So many candidates of a method that draws them."""
    return [] if method == "lightsnn" else ["--candidates", str(number)]


def records(run: Run) -> list[dict]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in run.search_log.read()]


def test_genomes_of_motifs_from_search_to_check(tmp_path: Path, capsys) -> None:
    small = ["--method", "mse_nas", "--population", "2", "--generations", "2", "--cells", "2", "--name", "one"]
    assert snnas(tmp_path, *small, "--no-train") == 0
    run = find(tmp_path, "one")
    first, log = run.genotype.read_text(), records(run)
    assert json.loads(first)["space"] == "mse_nas"
    run.genotype.unlink()
    run.search_log.path.write_text("".join(json.dumps(r) + "\n" for r in run.search_log.read()[:2]))
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert run.genotype.read_text() == first
    assert records(run) == log
    assert run_command(["export", "one", "--runs-dir", str(tmp_path), "--quiet", "--samples", "2"]) == 0
    assert run_command(["check", str(run.export("lava"))]) == 0


def test_genomes_keep_a_budget_and_make_a_front_with_workers(tmp_path: Path, capsys) -> None:
    small = ["--method", "mse_nas", "--population", "6", "--generations", "2", "--cells", "2", "--no-train"]
    assert snnas(tmp_path, *small, "--name", "free") == 0
    evaluated = [r for r in records(find(tmp_path, "free")) if r["event"] == "evaluation"]
    sizes = MseConfig.from_json(find(tmp_path, "free").network_json())
    stored = sorted(memory(Genome.from_json(json.dumps(r["genome"])), sizes).bytes(Widths()) for r in evaluated)
    limit = stored[len(stored) // 2]
    assert stored[0] < limit < stored[-1]
    assert snnas(tmp_path, *small, "--name", "kept", "--budget", f"memory={limit}") == 0
    log = records(find(tmp_path, "kept"))
    assert any(r["event"] == "refusal" and "memory" in r["reason"] for r in log)
    kept = [memory(Genome.from_json(json.dumps(r["genome"])), sizes) for r in log if r["event"] == "evaluation"]
    assert all(one.bytes(Widths()) <= limit for one in kept)
    assert snnas(tmp_path, *small, "--name", "none", "--budget", "memory=1") == 1
    assert "no network of these sizes keeps memory 1 B" in capsys.readouterr().err

    fronts = []
    for name, more in (("front", []), ("again", ["--workers", "2"])):
        assert snnas(tmp_path, *small, "--name", name, "--objective", "score,energy", *more) == 0
        fronts.append(json.loads((find(tmp_path, name).path / "front.json").read_text()))
    (energies,) = [[p["predicted"]["energy_uJ"]["nominal"] for p in fronts[0]["points"]]]
    assert len(energies) > 1
    assert energies == sorted(energies, reverse=True)  # by score; what scores less costs less
    assert fronts[0]["points"] == fronts[1]["points"]
    costs = [r["costs"]["energy_total"] for r in records(find(tmp_path, "front")) if r["event"] == "evaluation"]
    assert min(costs) == pytest.approx(energies[-1])


class Drawn(Snasnet):
    """A method that no module knows: random cells of another space."""

    space = "lightsnn"


def test_a_new_method_is_one_entry(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(RUNNERS, "drawn", Drawn())
    assert snnas(tmp_path, "--method", "drawn", "--candidates", "4", "--no-train", "--name", "one") == 0
    run = find(tmp_path, "one")
    found = Genotype.from_json(run.genotype.read_text())
    assert found.space == "lightsnn"
    assert {k: run.section("method")[k] for k in ("name", "space", "candidates")} == {
        "name": "drawn",
        "space": "lightsnn",
        "candidates": 4,
    }
    run.genotype.unlink()
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 0
    assert Genotype.from_json(run.genotype.read_text()) == found
    assert run.trained
    capsys.readouterr()
    for refused in (["--study", "3"], ["--candidates", "0"]):
        assert snnas(tmp_path, "--method", "drawn", *refused) == 2
        assert refused[0] in capsys.readouterr().err


def test_a_method_that_is_gone_is_named(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(RUNNERS, "drawn", Drawn())
    assert snnas(tmp_path, "--method", "drawn", "--candidates", "2", "--no-train", "--name", "one") == 0
    find(tmp_path, "one").genotype.unlink()
    monkeypatch.delitem(RUNNERS, "drawn")
    capsys.readouterr()
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 3
    assert "[method] name is 'drawn'" in capsys.readouterr().err


def test_genomes_are_scored_on_two_batches_of_distinct_samples(tmp_path: Path) -> None:
    small = ["--method", "mse_nas", "--population", "2", "--generations", "1", "--cells", "2", "--name", "one"]
    assert snnas(tmp_path, *small, "--no-train", "--seed", "7") == 0
    run = find(tmp_path, "one")
    data, config = dataset_of(run), MseConfig.from_json(run.network_json())
    drawn = torch.from_numpy(scoring_batch(data, 7, 16))
    genome = Genome.from_json(run.genotype.read_text())
    (expected,) = RdmScorer(config, (drawn[:8], drawn[8:]), seed=torch_seed(7, "supernet"))([genome])
    logged = [r for r in records(run) if r["op"] == genome.architecture_id and r["event"] == "evaluation"]
    assert [r["score"] for r in logged] == [expected.value]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('space = "mse_nas"', 'space = "lightsnn"', "[method] space is 'lightsnn'"),
    ],
)
def test_a_configuration_that_no_search_writes(tmp_path: Path, capsys, old: str, new: str, words: str) -> None:
    small = ["--method", "mse_nas", "--population", "2", "--generations", "1", "--cells", "2", "--name", "one"]
    assert snnas(tmp_path, *small, "--no-train") == 0
    run = find(tmp_path, "one")
    run.genotype.unlink()
    path = run.path / "run.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    capsys.readouterr()
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet"]) == 3
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("method", "cells", "head"), [("lightsnn", 1, "linear"), ("snasnet", 2, None), ("spikenas", 3, "bn_lif")]
)
def test_a_search_by_each_method(tmp_path: Path, method: str, cells: int, head: str | None) -> None:
    asked = [] if head is None else ["--cells", str(cells), "--head", head]
    assert snnas(tmp_path, "--method", method, *draws(method, 6), "--no-train", "--name", "one", *asked) == 0
    run = find(tmp_path, "one")
    found = Genotype.from_json(run.genotype.read_text())
    assert found.space == method
    assert len(found.cells) == cells
    assert method == "spikenas" or len(set(found.cells)) == 1  # spikenas searches cell by cell
    sizes = run.table("network")
    assert (sizes["cells"], sizes["head"]) == (cells, head or DEFAULT_HEAD)
    assert run.table("search")["evaluations"] == sum(r["event"] == "evaluation" for r in records(run))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lightsnn", "snasnet"])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, method: str) -> None:
    plain = ["--method", method, *draws(method, 20), "--no-train", "--budget", "energy_total=20uJ"]
    assert snnas(tmp_path, *plain, "--name", "one") == 0
    assert snnas(tmp_path, *plain, "--name", "two", "--workers", "2") == 0
    one, two = find(tmp_path, "one"), find(tmp_path, "two")
    assert records(one) == records(two)
    assert one.genotype.read_text() == two.genotype.read_text()
    assert {"evaluation", "refusal"} <= {r["event"] for r in records(one)}


@pytest.mark.slow
# Ray warns of its own: of files that it leaves open, of signatures that are to change.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_killed_on_the_way_changes_nothing(tmp_path: Path, engine: str) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed") if engine == "ray" else None
    plain = ["--method", "snasnet", "--candidates", "30", "--no-train"]
    assert snnas(tmp_path, *plain, "--name", "one") == 0
    options = {"channels": 2, "hidden": 16, "timesteps": 2, "batch": 8, "epochs": 1, "device": "cpu"}
    run = begin_search(tmp_path, "two", SearchOptions(dataset="digits", method="snasnet", candidates=30, **options), "")
    with Session.of(run, QUIET, workers=2, engine=engine) as session:
        answer, killed = session.answer, []

        def kill_one(kind: str, questions):
            if not killed and answer.workers:
                worker = answer.workers[0]
                killed.append(ray.get(worker.handle.pid.remote()) if ray else worker.process.pid)
                os.kill(killed[0], signal.SIGKILL)
            return answer(kind, questions)

        session.answer = kill_one
        answer(score_kind(0), [[{(0, 3): ("conv3x3",)}] * 2])
        session.search()
        assert answer.deaths == 1
    assert records(run) == records(find(tmp_path, "one"))


def just_too_little(run: Run, method: str) -> float:
    """Bytes: one less than the smallest of the candidates takes."""
    spec = spec_of(run, dataset_of(run))
    every = (known_early(c, spec.network, spec.predictor.widths)["memory"] for c in RUNNERS[method].smallest(spec))
    return min(filter(None, every)) - 1


@pytest.mark.parametrize("method", CELL_METHODS)
def test_an_impossible_budget_names_the_nearest_miss(tmp_path: Path, capsys, method: str) -> None:
    """Of a limit that the emptiest network keeps, and just none that is drawn."""
    limit = 0.0
    for name in ("sizes", "one"):
        more = ["--budget", f"memory={limit:.0f}B"] if name == "one" else ["--no-train"]
        code = snnas(tmp_path, "--method", method, *draws(method, 5), "--name", name, *more)
        run = find(tmp_path, name)
        limit = just_too_little(run, method)
    error = capsys.readouterr().err
    assert code == 1
    assert error.count("\n") == 1
    assert "nearest is" in error
    assert "memory" in error
    assert f"is over {limit:.0f} B by" in error
    assert not run.genotype.exists()
    refused = [r for r in records(run) if r["event"] == "refusal"]
    assert refused
    assert all("before it is built" in r["reason"] for r in refused)
    assert not [r for r in records(run) if r["event"] == "evaluation"]


def test_what_no_candidate_keeps_is_said_while_others_are_tried(tmp_path: Path, capsys) -> None:
    assert snnas(tmp_path, "--name", "sizes", "--no-train") == 0
    limit = just_too_little(find(tmp_path, "sizes"), "lightsnn")
    aloud = ["search", "--method", "lightsnn", "--runs-dir", str(tmp_path), "--device", "cpu", *SMALL]
    assert run_command([*aloud, "--budget", f"memory={limit:.0f}B", "--name", "one"]) == 1
    *lines, error = capsys.readouterr().err.splitlines()
    told = [line for line in lines if "networks keeps the budget; nearest" in line]
    assert len(told) == 2  # of 256
    for line, number in zip(told, (8, 64), strict=True):
        assert f"  none of {number} networks keeps the budget; nearest " in line
        assert f"is over {limit:.0f} B by" in line
    assert error.endswith("search smaller networks with --channels, --hidden, --cells and -T")


@pytest.mark.slow
def test_a_budget_is_kept_as_measured_by_check(tmp_path: Path, capsys) -> None:
    """The whole way: predicted, trained, measured, exported, and guarded by the same limits."""
    budget = "energy_total=25uJ,cores=4,params=4k"
    assert snnas(tmp_path, "--method", "snasnet", "--candidates", "12", "--name", "one", "--budget", budget) == 0
    run = find(tmp_path, "one")
    assert run.section("budget") == {"energy_total": 25.0, "cores": 4.0, "parameters": 4000.0}
    trial = within_budget.trials_of(run)[-1]
    assert trial["over"] == []
    assert trial["measured"]["figures"]["energy_total"] <= 25 / 1.02
    assert run_command(["export", "one", "--runs-dir", str(tmp_path), "--quiet", "--samples", "2"]) == 0
    capsys.readouterr()
    assert run_command(["check", str(run.export("lava")), "--max", budget, "--trust-report"]) == 0


LIMIT = 25.0


def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: list[float]) -> tuple[Run, list[str]]:
    """A run under an energy budget, whose k-th trained network is measured to take ``shares[k]`` of it."""
    options = SearchOptions(
        dataset="digits", method="snasnet", candidates=20, budget=(f"energy_total={LIMIT}uJ",), channels=2, hidden=16,
        timesteps=2, batch=8, epochs=1, device="cpu",
    )  # fmt: skip
    seen: list[str] = []

    def measured(network, data, chip, widths) -> Cost:
        found = measure(network, data, chip, widths)
        share = shares[min(len(seen), len(shares) - 1)]
        seen.append(network.genotype.architecture_id)
        return replace(found, figures={**found.figures, "energy_total": share * LIMIT})

    monkeypatch.setattr(within_budget, "measure", measured)
    return begin_search(tmp_path, "one", options, ""), seen


def test_what_is_over_the_budget_after_training_is_searched_again(tmp_path: Path, monkeypatch) -> None:
    run, seen = begun(tmp_path, monkeypatch, [1.25, 0.5])
    with Session.of(run, QUIET) as session:
        within_budget.search_and_train(session)
    trials = within_budget.trials_of(run)
    assert [bool(t["over"]) for t in trials] == [True, False]
    assert len(set(seen)) == 2
    assert Genotype.from_json(run.genotype.read_text()).architecture_id == seen[1]
    before, after = (t["predicted"]["figures"]["energy_total"] for t in trials)
    ratio = trials[0]["ratios"]["energy_total"]
    assert ratio == pytest.approx(1.25 * LIMIT * 1.02 / before)
    assert after <= LIMIT / ratio < before <= LIMIT
    second = [r for r in records(run) if r.get("attempt") == 2]
    assert any(r.get("reason") == "measured over the budget in attempt 1" for r in second)
    # Resumed at its end, nothing is done again; resumed before its last measurement, that alone.
    with Session.of(run, QUIET) as session:
        within_budget.search_and_train(session)
    assert len(seen) == 2
    lines = run.search_log.path.read_text().splitlines(keepends=True)
    run.search_log.path.write_text("".join(lines[:-1]))
    with Session.of(run, QUIET) as session:
        within_budget.search_and_train(session)
    assert len(seen) == 3
    assert seen[1] == seen[2]


@pytest.mark.parametrize(("shares", "kept"), [([1.25, 1.1], 1), ([1.1, 1.25], 0)])
def test_a_budget_that_training_always_breaks_keeps_the_nearest(
    tmp_path: Path, monkeypatch, shares: list[float], kept: int
) -> None:
    run, seen = begun(tmp_path, monkeypatch, shares)
    monkeypatch.setattr(within_budget, "ATTEMPTS", 2)
    with pytest.raises(GateError) as error:
        find_network(run, QUIET)
    words = str(error.value)
    assert "none of 2 trained networks is within the budget on target; the nearest of 2 trained, " in words
    assert f"{seen[kept]}, misses it by 12.2%: energy_total 27.5 uJ (upper end of the band) on target against" in words
    assert "--budget energy_total=28.1uJ" in words
    assert len(set(seen)) == 2
    assert run.stage() == "failed"
    assert Genotype.from_json(run.genotype.read_text()).architecture_id == seen[kept]
    assert run.section("search")["architecture"] == seen[kept]
    assert not (run.path / "nearest").exists()
    with pytest.raises(GateError, match="none of 2 trained"):
        find_network(run, QUIET)
    assert len(seen) == 2, "a search that failed for good is not made again"
    assert run_command(["export", str(run.path), "--samples", "2", "-q"]) == 0


def test_a_budget_below_all_predictions_keeps_what_was_trained(tmp_path: Path, monkeypatch) -> None:
    run, seen = begun(tmp_path, monkeypatch, [1.04])
    monkeypatch.setattr(within_budget, "below", lambda limits, trials: {"energy_total": 1e-3})
    monkeypatch.setattr(
        within_budget, "calibrated", lambda limits, trials: {"energy_total": 1e-3} if trials else limits
    )
    with pytest.raises(GateError, match="after 1 of 5 attempts no network is left") as error:
        find_network(run, QUIET)
    assert "misses it by 6.1%: energy_total 26 uJ" in str(error.value)
    assert f"export it with: snnas export {run.path}" in str(error.value)
    assert run.trained
    assert Genotype.from_json(run.genotype.read_text()).architecture_id == seen[0]


def test_margin_is_kept_where_samples_differ() -> None:
    found = Cost(
        provenance="measured", figures={"energy_total": 99.0, "cores": 10.0}, energy_uJ=None, latency_us=None,
        spikes=0, synops=0, synapses=0, samples=1,
    )  # fmt: skip
    over = within_budget.over_budget({"energy_total": 100.0, "cores": 10.0}, found)
    assert [excess.metric for excess in over] == ["energy_total"]
    assert not within_budget.over_budget({"energy_total": 102.0, "cores": 10.0}, found)


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["--method", "snasnet", "--candidates", "25", "--objective", "score,energy", "--train-front", "3"]
    assert snnas(folder, *arguments, "--name", "one") == 0
    return folder


def test_a_front_is_trained_measured_drawn_and_exported(fronted: Path, capsys) -> None:
    run = find(fronted, "one")
    found = json.loads((run.path / "front.json").read_text())
    assert found["schema"] == "snnas.front/1"
    assert found["objectives"] == ["score", "energy_total"]
    points = found["points"]
    assert 2 <= len(points) <= 3
    assert found["on_front"] >= len(points)
    energies = [figure(p["predicted"], "energy_total") for p in points]
    assert [p["score"] for p in points] == sorted((p["score"] for p in points), reverse=True)
    assert energies == sorted(energies, reverse=True)
    for score, energy in found["candidates"]:
        assert not any(score > p["score"] and energy < e for p, e in zip(points, energies, strict=True))
    for p in points:
        assert p["measured"]["provenance"] == "measured"
        assert 0 <= p["validation_accuracy"] <= 1
        assert (run.path / p["path"] / "weights.safetensors").exists()
    assert not all(p["beaten"] for p in points)
    assert found["rank_correlation"].keys() == {"score_accuracy", "energy_total"}
    assert "After training: accuracy and measured cost" in (run.path / "front.svg").read_text()
    arguments = ["export", "one", "--pick", "2", "--runs-dir", str(fronted), "--quiet", "--samples", "2", "--json"]
    capsys.readouterr()
    chosen = front.choice(found, {})
    assert chosen is not None
    assert not points[chosen - 1]["beaten"]
    assert all(p["beaten"] or p["measured"]["accuracy"] <= points[chosen - 1]["measured"]["accuracy"] for p in points)
    assert front.choice({**found, "points": [p | {"measured": None, "beaten": None} for p in points]}, {}) is None
    small = {**found, "points": [p | {"beaten": False} for p in points]}
    cheapest = min(points, key=lambda p: figure(p["measured"], "energy_total"))
    cost = Cost.of(cheapest["measured"])
    assert front.choice(small, {"energy_total": cost.figures["energy_total"] * 1.03}) == cheapest["n"]
    guesser = points[0] | {"beaten": False, "measured": points[0]["measured"] | {"accuracy": 1.0, "balanced": 0.1}}
    assert front.choice({**found, "points": [guesser, *small["points"][1:]]}, {}) != points[0]["n"]
    assert next_command(run, fronted, chosen).startswith(f"export one --target lava --pick {chosen} ")
    assert run_command(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["search"]["architecture"] == points[1]["architecture"]
    assert (run.path / "front/02/export/lava/model.nir").exists()
    assert not (run.path / "export").exists()
    assert report["run"] == "one/front/02"
    assert run_command([*arguments[:3], "9", *arguments[4:]]) == 2
    assert "no such point" in capsys.readouterr().err
    for wanted in (["one", "--pick", "2"], ["one/front/02"], [str(run.path / "front/02")]):
        assert run_command(["report", *wanted, "--json", "--runs-dir", str(fronted)]) == 0
        assert json.loads(capsys.readouterr().out) == report
    assert run_command(["report", "one", "--runs-dir", str(fronted)]) == 2
    assert "of which 02 have one, with --pick" in capsys.readouterr().err


def test_a_front_that_was_cut_short_goes_on(fronted: Path, tmp_path: Path, monkeypatch) -> None:
    trainings = []
    monkeypatch.setattr(front, "train_run", lambda run, *rest: (trainings.append(run.name), train_run(run, *rest)))
    shutil.copytree(fronted, tmp_path / "runs")
    run = find(tmp_path / "runs", "one")
    whole = json.loads((run.path / "front.json").read_text())
    # Before the front was written, and in the middle of its training.
    for point in whole["points"]:
        (run.path / point["path"] / "weights.safetensors").unlink()
    (run.path / "front.json").unlink()
    with Session.of(run, QUIET) as session:
        again = front.build(session)
    assert [p["genotype"] for p in again["points"]] == [p["genotype"] for p in whole["points"]]
    assert again["candidates"] == whole["candidates"]
    with Session.of(run, QUIET) as session:
        trained = front.follow(session)
    assert trained == whole
    winner, *others = (p["path"] for p in whole["points"])
    assert trainings == [f"one/{path}" for path in others], "the network that the search chose is trained already"
    assert (run.path / winner / "weights.safetensors").read_bytes() == run.weights.read_bytes()
    member = find(tmp_path / "runs", f"one/{winner}")
    before = member.section("training")
    train_run(member, QUIET)
    assert member.weights.read_bytes() == run.weights.read_bytes(), "and would come out the same"
    assert {**member.section("training"), "seconds": 0} == {**before, "seconds": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objective", "score,energy"], ["lightsnn", "snasnet"]),
        (["--method", "snasnet", "--objective", "energy,score"], ["score first"]),
        (["--method", "snasnet", "--objective", "score,joy"], ["joy", "energy_total"]),
        (["--budget", "joy=1"], ["joy", "energy_total"]),
        (["--study", "3"], ["--study", "spikenas"]),
        (["--method", "spikenas", "--study", "1"], ["--study 1", "2 to 10"]),
        (["--bits", "5"], ["--bits 5", "8, 6, 4"]),
        (["--bits", "0"], ["--bits 0", "8, 6, 4"]),
        (["--workers", "0"], ["--workers 0"]),
        (["--engine", "threads"], ["threads", "process, ray"]),
        (["--train-front", "99"], ["99"]),
        (["--system", "loihi3"], ["loihi3"]),
        (["--cells", "4"], ["(1, 8, 8)", "H and W >= 16", "fewer cells"]),
        (["--cells", "0"], ["--cells 0"]),
        (["--head", "mlp"], ["'mlp'", "'linear'"]),
        # An option of other methods is refused by name, be it given with its default.
        (["--trainings", "5"], ["--trainings: lightsnn does not take it", "--method trained"]),
        (["--trainings", "48"], ["--trainings: lightsnn does not take it"]),
        (["--candidates", "5"], ["--candidates: lightsnn", "--method snasnet or spikenas"]),
        (["--space", "absent.toml"], ["--space: lightsnn", "--method trained"]),
        (["--method", "snasnet", "--study", "3"], ["--study: snasnet", "--method spikenas"]),
        (["--method", "spikenas", "--generations", "9"], ["--generations: spikenas", "--method mse_nas"]),
        (["--method", "trained", "--population", "9"], ["--population: trained", "--method mse_nas"]),
        (["--method", "trained", "--proxy", "sahd"], ["--proxy 'sahd' with --method trained: expected asc"]),
        (
            ["--method", "trained", "--proxy", "asc"],
            ["--proxy asc: every threshold", "is 1,", "thresholds = [0.6, 1.0"],
        ),
        (["--method", "lightsnn", "--proxy", "asc"], ["--method trained", "--space file", "expected sahd"]),
        (["--method", "mse_nas", "--proxy", "asc"], ["--method trained", "expected rdm or sahd"]),
        (["--method", "lightsnn", "--proxy", "snnas"], ["no better than counting, and is gone; expected sahd"]),
        (["--method", "mse_nas", "--proxy", "sad"], ["expected rdm or sahd", "did you mean 'sahd'"]),
        (["--method", "mse_nas", "--head", "linear"], ["--head: mse_nas does not take it", "leave it out"]),
        (["--method", "mse_nas", "--hidden", "9"], ["--hidden: mse_nas"]),
        (["--method", "mse_nas", "--random"], ["--random: mse_nas"]),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, capsys, arguments: list[str], words: list[str]) -> None:
    assert snnas(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert error.count("\n") == 1


def test_a_run_of_the_proxy_that_is_gone_says_so() -> None:
    spec: Any = SimpleNamespace(settings={"proxy": "snnas"})
    with pytest.raises(InvalidFileError, match="proxy is 'snnas', a score that is gone"):
        RUNNERS["lightsnn"].scorer(spec, spec)


def test_a_run_keeps_what_it_was_asked_for(tmp_path: Path) -> None:
    arguments = ["--method", "spikenas", "--candidates", "5", "--study", "2", "--bits", "4", "--no-train"]
    assert snnas(tmp_path, *arguments, "--budget", "memory=5kB", "--name", "one") == 0
    run = find(tmp_path, "one")
    config = tomllib.loads((run.path / "run.toml").read_text())
    assert config["method"]["widths"] == {"weight": 4, "state": 24}
    assert config["budget"] == {"memory": 5000}
    assert config["chip"] == {"system": "loihi1", "bits": 4}
    log = records(run)
    assert {r["round"] for r in log if r["event"] == "study"} == {1, 2, 3}
    assert all(r["memory"] <= 5000 for r in log if r["event"] == "choice")
    assert run_command(["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet", "--no-train"]) == 0
    assert records(run) == log


def test_limits_are_lowered_by_what_was_seen() -> None:
    def trial(ratio: float, predicted: float) -> dict:
        return {"ratios": {"energy_total": ratio}, "predicted": {"figures": {"energy_total": predicted}}}

    limits = {"energy_total": 60.0, "cores": 4.0}
    trials = [trial(1.2, 55.0), trial(1.5, 48.0), trial(0.9, 59.0)]
    assert within_budget.calibrated(limits, []) == limits
    assert within_budget.calibrated(limits, trials) == {"energy_total": 40.0, "cores": 4.0}
    assert within_budget.calibrated(limits, trials[2:]) == limits
    lowered = within_budget.below(limits, trials)
    assert lowered["cores"] == 4.0
    assert 47.99 < lowered["energy_total"] < 48.0


def test_one_ratio_is_no_law(tmp_path: Path, monkeypatch) -> None:
    """A first network takes ten times what was predicted: nothing is within a tenth, so the next lower is taken."""
    run, seen = begun(tmp_path, monkeypatch, [10.0, 0.5])
    with Session.of(run, QUIET) as session:
        within_budget.search_and_train(session)
    first, second = (t["predicted"]["figures"]["energy_total"] for t in within_budget.trials_of(run))
    assert len(set(seen)) == 2
    assert LIMIT / 10 < second < first


@pytest.mark.parametrize("words", [["--name", "one"], ["--objective", "score,beauty"]])
def test_what_is_refused_is_refused_before_data_are_read(tmp_path: Path, capsys, words: list[str]) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/run.toml").write_text("")
    assert snnas(tmp_path, *words, "--dataset", str(tmp_path / "none.npz")) == 2
    said = capsys.readouterr().err
    assert "run one exists" in said or "expected score and, once each" in said


def test_one_command_goes_to_the_target(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """--target: what ``snnas export`` of the run would print, after the search's own table."""
    went_on: list[str] = []
    for module in (lava, pipeline):
        monkeypatch.setattr(module, "lava_python", lambda options: (None, "not asked for here"))
    assert snnas(tmp_path, "--name", "one", "--target", "lva") == 2
    assert "lva: unknown" in capsys.readouterr().err
    assert snnas(tmp_path, "--name", "one", "--target", "lava", "--no-train") == 2
    assert "leave --no-train out" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]  # refused before anything is searched
    monkeypatch.setattr(exits, "go_on_with", went_on.append)
    assert snnas(tmp_path, "--name", "one", "--target", "lava") == 0
    place = f"--target lava --runs-dir {tmp_path}"
    assert went_on == [f"snnas search --resume one {place}", f"snnas export one {place}"]
    shown = capsys.readouterr().out
    run = find(tmp_path, "one")
    assert shown.index("architecture") < shown.index("on target")
    resume = ["search", "--resume", "one", "--runs-dir", str(tmp_path), "--quiet", "--json"]
    assert run_command([*resume, "--target", "lava"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["run"]
        == json.loads((run.export("lava") / "report.json").read_text())["run"]
    )
    force = ["train", "one", "--runs-dir", str(tmp_path), "--quiet", "--force", "--target", "lava"]
    assert run_command(force) == 0
    assert "on target" in capsys.readouterr().out
