"""The commands as a user types them: exit codes, one line of error, JSON, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.hw_sim.files import sha256
from snnas.hw_sim.lava import environment as lava_environment
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.runs import find
from tests.interrupts import heeded
from tests.without_lava import without_lava

ROOT = Path(__file__).parents[3]
SMALL = ["--channels", "3", "--hidden", "16", "--epochs", "1", "--batch", "8", "-T", "3", "-q"]

REPORT_NAMES = {
    "": {"schema", "run", "seed", "dataset", "method", "timesteps"},
    "search": {"seconds", "evaluations", "device"},
    "accuracy": {"training", "nir", "on_target", "samples", "interval", "flips"},
    "sar": {"training", "on_target", "lightsnn", "per_population"},
    "spikes_per_inference": {"training", "on_target", "overhead"},
    "latency_us": {"low", "nominal", "high"},
    "energy_uJ": {"profile", "evidence", "unpriced", "encode", "dynamic", "floor", "total"},
    "resources": {"parameters", "neurons", "overhead_neurons", "synapses", "cores", "chips", "fits"},
    "schedule": {"period", "depth"},
    "checks": {"fold_differing_spikes", "nir_differing_spikes", "lava_samples", "lava_differing_spikes"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one small run, trained and exported without Lava."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(folder), *SMALL]) == 0
        assert run_command(["export", "--runs-dir", str(folder), "--samples", "4", "-q"]) == 0
    return folder


@pytest.fixture
def runs(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "runs"))


def only(folder: Path) -> Path:
    return folder / "digits-lightsnn-001"


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, *words: str) -> str:
    """The command ends with ``code`` and one line on stderr that holds all ``words``."""
    capsys.readouterr()
    assert run_command(arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("snnas: ")
    assert not any(line.startswith("Traceback") for line in lines)
    for word in words:
        assert word in lines[-1], lines[-1]
    return lines[-1]


def no_leftovers(folder: Path) -> None:
    assert not [p for p in folder.rglob("*") if ".part" in p.name or p.name.endswith(".old")]


# -- the good path -----------------------------------------------------------------------------------------------------


def test_a_run_keeps_everything_that_the_design_names(exported: Path) -> None:
    run = only(exported)
    for name in (
        "run.toml",
        "genotype.json",
        "search.jsonl",
        "weights.safetensors",
        "train.jsonl",
        "counts.json",
        "report.json",
    ):
        assert (run / name).is_file(), name
    for name in ("model.nir", "program.npz", "manifest.json", "golden.npz", "run_lava.py"):
        assert (run / "export/lava" / name).is_file(), name
    no_leftovers(exported)


def test_the_report_has_every_name_and_consistent_figures(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "--runs-dir", str(exported), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "snnas.report/1"
    for section, names in REPORT_NAMES.items():
        assert names <= set(report[section] if section else report), section
    assert report["accuracy"]["samples"] >= 360
    assert report["checks"]["nir_differing_spikes"] == 0
    assert report["checks"]["lava_differing_spikes"] is None
    sar, spikes, size = report["sar"], report["spikes_per_inference"], report["resources"]["neurons"]
    assert sar["on_target"] == pytest.approx(spikes["on_target"] / (size * report["timesteps"]))
    assert sar["training"] == pytest.approx(spikes["training"] / (size * report["timesteps"]))
    counts = json.loads((only(exported) / "counts.json").read_text())
    assert sum(s["synops"] for s in counts["synapses"]) / 360 == pytest.approx(report["synops_per_inference"])
    energy = report["energy_uJ"]
    assert energy["encode"]["nominal"] is None
    assert "host_mac" in energy["unpriced"]
    assert energy["total"]["high"] == pytest.approx(energy["dynamic"]["high"] + energy["floor"]["high"])


def test_the_table_puts_training_beside_on_target(
    exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert run_command(["report", "--runs-dir", str(exported)]) == 0
    out = capsys.readouterr().out
    for word in ("training", "on target", "spiking activity rate", "energy (uJ / inference)", "NIR: differing spikes"):
        assert word in out


def test_a_diagnosis_of_the_newest_run_is_kept_in_it_and_shown(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--runs-dir", str(runs)]
    kept = only(runs) / "diagnosis/diagnosis.json"
    kept.parent.mkdir()
    (kept.parent / "divergence.png").write_bytes(b"of an earlier one")
    assert run_command(["diagnose", *there, "--limit", "8", "--no-reduce"]) == 0
    assert f"next: snnas report digits-lightsnn-001 --html --runs-dir {runs}" in capsys.readouterr().err
    found = json.loads(kept.read_text())
    assert found["program_sha256"] == sha256(only(runs) / "export/lava/program.npz")
    assert sorted(p.name for p in kept.parent.iterdir()) == ["diagnosis.json", "divergence.svg"]
    assert run_command(["report", "--html", *there]) == 0
    page = (only(runs) / "report.html").read_text()
    assert "Inherited, or made here" in page
    assert 'class="missing warn' not in page
    assert "8 samples: no fault" in page


def test_a_run_that_cannot_be_written_is_diagnosed_all_the_same(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (only(runs) / "diagnosis").write_text("in the way")
    assert run_command(["diagnose", "--runs-dir", str(runs), "--limit", "4", "--no-reduce"]) == 0
    assert "note: not kept in the run: " in capsys.readouterr().err


def test_the_fingerprint_says_what_decides_the_last_bits(exported: Path) -> None:
    versions = tomllib.loads((only(exported) / "run.toml").read_text())["versions"]
    assert int(versions["threads"]) >= 1
    assert {"python", "machine", "device", "instructions", "torch"} <= set(versions)


def test_the_same_seed_gives_the_same_run(exported: Path, tmp_path: Path, no_lava: None) -> None:
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(tmp_path), *SMALL]) == 0
    assert run_command(["export", "--runs-dir", str(tmp_path), "--samples", "4", "-q"]) == 0
    for name in ("genotype.json", "weights.safetensors", "counts.json", "export/lava/program.npz"):
        assert sha256(only(exported) / name) == sha256(only(tmp_path) / name), name


def test_an_export_of_unchanged_inputs_is_reused_and_of_others_needs_force(
    runs: Path, capsys: pytest.CaptureFixture[str], no_lava: None
) -> None:
    manifest = only(runs) / "export/lava/manifest.json"
    before = manifest.stat().st_mtime_ns
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4"]) == 0
    assert "up to date" in capsys.readouterr().err
    assert manifest.stat().st_mtime_ns == before
    fails(capsys, ["export", "--runs-dir", str(runs), "--samples", "5", "-q"], 2, "--force")
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "5", "-q", "--force"]) == 0
    no_leftovers(runs)


def test_runs_are_listed_and_doctor_answers(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs", "--runs-dir", str(exported), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [(r["run"], r["stage"]) for r in rows] == [("digits-lightsnn-001", "exported")]
    assert run_command(["doctor", "--json"]) == 0
    items = {i["name"]: i for i in json.loads(capsys.readouterr().out)["items"]}
    assert {"python", "torch", "cuda", "lava-nc", "lava-dl"} <= set(items)
    assert all(i["status"] in ("ok", "missing", "broken") and i["detail"] for i in items.values())


@pytest.mark.lava
def test_lava_runs_the_exported_program_with_equal_spikes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if lava_environment.find_python()[0] is None:
        pytest.skip(lava_environment.find_python()[1])
    assert (
        run_command(["export", "--runs-dir", str(runs), "--samples", "4", "--require-lava", "--json", "-q", "--force"])
        == 0
    )
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert (checks["lava_samples"], checks["lava_differing_spikes"]) == (4, 0)
    assert checks["lava_spikes_compared"] > 10_000


# -- what can be wrong -------------------------------------------------------------------------------------------------


def test_a_missing_run(tmp_path: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["export", "--runs-dir", str(tmp_path)], 2, "no run in", "snnas search")
    fails(capsys, ["report", "nobody", "--runs-dir", str(exported)], 2, "nobody", "digits-lightsnn-001")


def test_an_untrained_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(tmp_path), *SMALL, "--no-train"]) == 0
    fails(
        capsys,
        ["export", "--runs-dir", str(tmp_path), "-q"],
        2,
        "not trained",
        f"snnas train {tmp_path / 'digits-lightsnn-001'}",
    )
    run = find(tmp_path, None)
    for command in ("report", "diagnose", "submit"):  # an export is the step behind the next
        fails(capsys, [command, run.name, "--runs-dir", str(tmp_path)], 2, f"snnas train {run.path}")
    assert run_command(["train", "--runs-dir", str(tmp_path), "-q"]) == 0
    fails(capsys, ["train", "--runs-dir", str(tmp_path), "-q"], 2, "--force")
    fails(capsys, ["report", "--runs-dir", str(tmp_path)], 2, "no report yet", f"snnas export {run.path} --target lava")
    for file in (run.genotype, run.weights, run.search_log.path):  # as where its search was ended
        file.unlink()
    for command in ("report", "diagnose", "submit"):
        fails(capsys, [command, run.name, "--runs-dir", str(tmp_path)], 2, f"snnas search --resume {run.path}")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["search", "--dataset", "digit"], 2, ["digit", "digits"]),
        (["search", "--dataset", "nowhere.npz"], 3, ["nowhere.npz"]),
        (["search", "--method", "lightsnnn"], 2, ["lightsnnn", "lightsnn"]),
        (["search", "--device", "abacus"], 2, ["abacus", "--device cpu"]),
        (["search", "-T", "0"], 2, ["--timesteps 0"]),
        (["search", "--name", "../up"], 2, ["../up"]),
        (["export", "--target", "brain"], 2, ["brain", "lava"]),
        (["export", "--profile", "loihi2"], 4, ["loihi2", "public"]),
        (["export", "--samples", "0"], 2, ["--samples 0"]),
        (["check", "/nowhere/at/all.txt"], 2, ["/nowhere/at/all.txt"]),
        (["check", ".", "--max", "joy=1"], 2, ["joy", "energy_total"]),
        (["check", ".", "--max", "sar=much"], 2, ["much"]),
        (["frobnicate"], 2, ["frobnicate"]),
        (["search", "--sed", "1"], 2, ["--sed"]),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else str(value),
)
def test_bad_arguments(
    arguments: list[str], code: int, words: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(p.name for p in runs.iterdir())
    if arguments[0] in ("search", "export"):
        arguments = [*arguments, "--runs-dir", str(runs)]
    fails(capsys, arguments, code, *words)
    assert sorted(p.name for p in runs.iterdir()) == before


def test_weights_of_another_genotype(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genotype = only(runs) / "genotype.json"
    other = json.loads(genotype.read_text())
    text = json.dumps(other)
    changed = text.replace("conv3x3", "skip", 1)
    assert changed != text
    genotype.write_text(changed)
    fails(capsys, ["export", "--runs-dir", str(runs), "-q", "--force"], 3, "weights.safetensors")


@pytest.mark.parametrize("damage", ["unknown op", "not json", "cut weights", "run.toml"])
def test_damaged_runs(damage: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = only(runs)
    if damage == "unknown op":
        path = run / "genotype.json"
        path.write_text(path.read_text().replace("conv3x3", "conv9x9"))
        words = ["conv9x9"]
    elif damage == "not json":
        (run / "genotype.json").write_text("{")
        words = ["genotype.json"]
    elif damage == "cut weights":
        path = run / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
        words = ["weights.safetensors"]
    else:
        (run / "run.toml").write_text("seed = ")
        words = ["run.toml"]
    fails(capsys, ["export", "--runs-dir", str(runs), "-q", "--force"], 3, *words)


def test_no_lava_is_said_and_is_no_error_unless_it_is_required(
    runs: Path, capsys: pytest.CaptureFixture[str], no_lava: None
) -> None:
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4", "--force"]) == 0
    assert "snnas lava setup" in capsys.readouterr().err
    fails(capsys, ["export", "--runs-dir", str(runs), "--force", "--require-lava"], 4, "snnas lava setup")


def test_a_full_disk_leaves_what_was_there(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_lava: None
) -> None:
    before = {p: sha256(p) for p in runs.rglob("*") if p.is_file() and p.name != ".lock"}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    monkeypatch.setattr(os, "fsync", full)
    fails(capsys, ["export", "--runs-dir", str(runs), "--force", "-q"], 74, "No space left", "nothing was half-written")
    assert {p: sha256(p) for p in runs.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_a_ctrl_c_mid_write_leaves_what_was_there(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_lava: None
) -> None:
    before = {p: sha256(p) for p in runs.rglob("*") if p.is_file() and p.name != ".lock"}
    calls = 0

    def interrupted(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    fails(capsys, ["export", "--runs-dir", str(runs), "--force", "-q"], 130, "interrupted")
    assert {p: sha256(p) for p in runs.rglob("*") if p.is_file() and p.name != ".lock"} == before


def test_a_worker_that_hangs_is_ended(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = tmp_path / "python3.10"
    answer = json.dumps({"python": "3.10.1", "numpy": "1.26", "lava": "0.10.0", "lava_dl": None, "reason": None})
    fake.write_text(f"#!/bin/sh\ncase \"$*\" in *-c*) echo '{answer}';; *) sleep 3600;; esac\n")
    fake.chmod(0o755)
    arguments = ["export", "--runs-dir", str(runs), "--force", "-q", "--python", str(fake), "--timeout", "1"]
    fails(capsys, arguments, 75, "Lava worker")
    no_leftovers(runs)


def test_a_fault_of_ours_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.toolchain.commands import machine

    def broken() -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(machine, "examine_installation", broken)
    fails(capsys, ["doctor"], 70, "a fault of snnas", "ZeroDivisionError", "SNNAS_DEBUG=1")


def test_without_the_search_extra_a_search_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    fails(capsys, ["search", "--runs-dir", str(tmp_path)], 4, "torch", "pip install -e '.[search]' in the checkout")
    assert not list(tmp_path.iterdir())


def test_two_processes_on_one_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from snnas.toolchain.runs.run import Run

    with Run(only(runs)).lock():
        fails(capsys, ["export", "--runs-dir", str(runs), "--force"], 2, "digits-lightsnn-001", f"pid {os.getpid()}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_resumes_to_the_same_genotype(how: int, exported: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "snnas.toolchain.cli.app",
        "search",
        "--method",
        "lightsnn",
        "--runs-dir",
        str(tmp_path),
        *SMALL,
    ]
    log = only(tmp_path) / "search.jsonl"
    silent = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=heeded, **silent) as process:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and (not log.exists() or log.read_bytes().count(b"\n") < 3):
            time.sleep(0.005)
        process.send_signal(how)
        process.wait(600)
    if how == signal.SIGINT:
        assert process.returncode in (130, 0)
    lines = log.read_bytes().count(b"\n")
    assert run_command(["search", "--runs-dir", str(tmp_path), "--resume", "digits-lightsnn-001", "-q"]) == 0
    for name in ("genotype.json", "weights.safetensors"):
        assert sha256(only(exported) / name) == sha256(only(tmp_path) / name)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(e["event"] == "evaluation" for e in events) == 31
    assert lines >= 3


# -- check -------------------------------------------------------------------------------------------------------------


def checked(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    capsys.readouterr()
    code = run_command(["check", str(folder), "--json", *arguments])
    result = json.loads(capsys.readouterr().out)
    assert result["exit_code"] == code
    return code, {f["name"]: f for f in result["findings"]}


def test_a_healthy_export_passes(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--max", "energy_total=1mJ,sar=0.9,cores=128")
    code, found = checked(only(exported) / "export/lava", capsys, *limits)
    assert code == 1
    assert {name for name, f in found.items() if f["status"] != "passed"} == {"samples judged"}  # nobody named them
    code, found = checked(only(exported) / "export/lava", capsys, *limits, "--data", "digits")
    assert code == 0
    assert {f["status"] for f in found.values()} == {"passed"}
    assert "recorded spikes" in found


def test_a_limit_that_is_passed_fails(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(only(exported) / "export/lava", capsys, "--max", "energy_total=1nJ,sar=0.9")
    assert code == 1
    assert found["max energy_total"]["status"] == "failed"
    assert found["max sar"]["status"] == "passed"


def _sign(folder: Path, name: str) -> None:
    """Makes the manifest agree with a changed file, as somebody who hides a change would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _flip_spike(folder: Path) -> None:
    path = folder / "golden.npz"
    arrays = read_npz(path, what="golden.npz")
    spikes = arrays["spikes.red1_lif"].copy()
    spikes[1, 2, 0] ^= np.uint8(0x80)
    write_npz(path, {**arrays, "spikes.red1_lif": spikes})
    _sign(folder, path.name)


def _corrupt_graph(folder: Path) -> None:
    path = folder / "model.nir"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _sign(folder, path.name)


@pytest.mark.parametrize(
    ("spoil", "code", "finding", "word"),
    [
        (lambda f: (f / "model.nir").write_bytes(b"x"), 3, "file model.nir", "hash"),
        (lambda f: (f / "program.npz").unlink(), 3, "file program.npz", "missing"),
        (lambda f: (f / "manifest.json").write_text("[]"), 3, "manifest", "manifest"),
        (_corrupt_graph, 3, "graph", "HDF5"),
        (
            _flip_spike,
            1,
            "recorded spikes",
            "1 spike of population red1_lif differs; first at sample 1, timestep 2, neuron (0, 0, 0)",
        ),
    ],
    ids=["changed graph", "no program", "no manifest", "cut graph", "one spike"],
)
def test_spoiled_exports_are_caught(
    spoil: Callable[[Path], object], code: int, finding: str, word: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = only(runs) / "export/lava"
    spoil(folder)
    got, found = checked(folder, capsys)
    assert got == code
    assert word in found[finding]["detail"]


def test_options_are_grouped_by_what_they_steer(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    import typer

    from snnas.toolchain.cli.app import app
    from snnas.toolchain.cli.help_groups import GROUPS

    monkeypatch.setenv("COLUMNS", "80")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, groups in GROUPS.items():
        options = [p.name for p in commands[name].params if p.param_type_name == "option"]
        grouped = [option for _, members in groups for option in members]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) - {"help", "quiet", "verbose", "formats", "expect"} <= set(options), name
        assert set(options) - set(grouped) <= {"target"}, f"{name}: an option of no group"
        assert run_command([name, "--help"]) == 0
        out = capsys.readouterr().out
        titles = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
        assert titles[-len(groups) :] == [f"{title}:" for title, _ in groups]
    large = {name for name, command in commands.items() if len(command.params) > 12}
    assert large <= GROUPS.keys()
    assert run_command(["search", "-h"]) == 0
    own = capsys.readouterr().out.partition("Options of mse_nas:")[2].partition("\n\n")[0]
    assert "--population" in own
    assert "--generations" in own
    assert "--hidden" not in own
