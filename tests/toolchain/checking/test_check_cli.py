"""The options of ``snnas check`` and ``snnas explain``: recordings, baselines, what is refused, what is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.simulate.counts import FORMAT
from snnas.toolchain.checking.rules.rules import GROUPS, RULES, find
from snnas.toolchain.cli.app import run_command
from tests.export.nir_nets import dyadic, graph_of, lif, nir, written
from tests.toolchain.checking.check_subjects import ROOT, change_arrays, checked, healthy, here  # noqa: F401
from tests.toolchain.cli.test_cli import fails

GRAPH, RECORDED = "graph.nir", "graph.nir.check.npz"


def test_a_recording_is_made_of_given_or_of_drawn_samples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = read_npz(RECORDED, what="recording")
    assert {"recording.json", "x", "y", "spikes.edges", "counts.edges", "spikes.ballot", "answers"} <= set(recorded)
    assert recorded["x"].shape == (16, 1, 8, 8)
    fails(capsys, ["check", GRAPH, "--record", "auto"], 2, "exists", "--force", "--new-recording")
    assert run_command(["check", GRAPH, "--record", "auto", "--new-recording", "--seed", "3"]) == 0
    drawn = read_npz(RECORDED, what="recording")
    assert "y" not in drawn
    assert drawn["x"].shape == (32, 1, 8, 8)
    assert drawn["spikes.edges"].any()
    before = Path(RECORDED).read_bytes()
    assert run_command(["check", GRAPH, "--record", "auto", "--new-recording", "--seed", "3"]) == 0
    assert Path(RECORDED).read_bytes() == before
    assert run_command(["check", GRAPH, "--record", "few.npz", "--limit", "4"]) == 0
    assert len(read_npz("few.npz", what="recording")["x"]) == 4
    assert run_command(["check", GRAPH, "--record", "mine.npz"]) == 0
    Path(RECORDED).unlink()
    assert checked(capsys, GRAPH, "--recording", "mine.npz")[0] == 0
    code, findings = checked(capsys, GRAPH, "--recording", "mine.npz", "--min", "accuracy=1%")
    assert code == 1
    assert "labels" in next(f["detail"] for f in findings if f["code"] == "SN401")


def test_a_graph_that_breaks_a_rule_is_not_recorded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(GRAPH).write_bytes(b"no graph")
    assert run_command(["check", GRAPH, "--record", "other.npz"]) == 3
    assert not Path("other.npz").exists()


def test_no_pipeline_sets_its_own_expectations(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    before = Path("baseline.json").read_bytes()
    fails(capsys, ["check", GRAPH, "--update-baseline"], 2, "CI", "--in-ci")
    fails(capsys, ["check", GRAPH, "--record", "new.npz"], 2, "CI", "--in-ci")
    # What overwrites at a desk is no consent for a pipeline.
    fails(capsys, ["check", GRAPH, "--record", "auto", "--force"], 2, "CI", "--in-ci")
    fails(capsys, ["check", GRAPH, "--record", "auto", "--new-recording"], 2, "CI", "--in-ci")
    assert Path("baseline.json").read_bytes() == before
    assert not Path("new.npz").exists()
    fails(capsys, ["check", GRAPH, "--record", "auto", "--in-ci"], 2, "exists", "--force")
    assert run_command(["check", GRAPH, "--record", "auto", "--in-ci", "--force"]) == 0
    assert run_command(["check", GRAPH, "--update-baseline", "--baseline", "new.json", "--in-ci"]) == 0
    assert read_json(Path("new.json")) == read_json(Path("baseline.json"))


def test_a_check_that_fails_writes_no_baseline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("baseline.json").read_bytes()
    assert run_command(["check", GRAPH, "--update-baseline", "--max", "cores=0"]) == 1
    assert Path("baseline.json").read_bytes() == before
    assert "left as it was" in capsys.readouterr().err


def test_a_budget_beside_the_graph_is_found_and_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("budget.toml").write_text('[budget]\nenergy_total = "1nJ"\naccuracy = "50%"\n')
    assert run_command(["check", GRAPH]) == 1
    captured = capsys.readouterr()
    assert "budget.toml, found beside the graph" in captured.err
    assert "SN405" in captured.out
    Path("other.toml").write_text("cores = 9\n")
    code, findings = checked(capsys, GRAPH, "--budget", "other.toml")
    assert (code, [f["name"] for f in findings if f["code"].startswith("SN4")]) == (0, ["max cores"])
    assert checked(capsys, GRAPH, "--max", "energy_total=1mJ")[0] == 0  # the command line goes before the file
    Path("other.toml").write_text("joy = 9\n")
    fails(capsys, ["check", GRAPH, "--budget", "other.toml"], 3, "joy", "other.toml")


def test_several_formats_at_once_and_several_graphs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", GRAPH, "model.onnx", "--format", "github"]
    for name in ("junit", "markdown", "json", "text"):
        arguments += ["--format", f"{name}=out.{name}"]
    capsys.readouterr()
    assert run_command(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("::notice::snnas check: passed")
    assert [c["kind"] for c in json.loads(Path("out.json").read_text())["checks"]] == ["graph", "ONNX model"]
    assert "check of model.onnx (ONNX model)" in Path("out.text").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([GRAPH, "--ignore", "SN20"], ["SN20", "did you mean"]),
        ([GRAPH, "--bits", "5"], ["8, 6, 4"]),
        (["lava", "--bits", "4"], ["--bits", "lone .nir"]),
        (["model.onnx", "--bits", "4"], ["--bits", "float"]),
        ([GRAPH, "--force"], ["--record"]),
        ([GRAPH, "--record", "auto", "--recording", RECORDED], ["one of the two"]),
        ([GRAPH, "--min", "accuracy=95"], ["95% or 0.95"]),
        ([GRAPH, "--max", "energy=1uJ,energy_total=2uJ"], ["energy_total is given twice"]),
        (["bars.npz"], ["bars.npz", ".onnx"]),
        ([GRAPH, "--format", "jsn"], ["jsn", "json"]),
        ([GRAPH, "--tolerance", "all:5%"], ["--baseline"]),
        ([GRAPH, "--baseline", "baseline.json", "--tolerance", "energie:5%"], ["energie", "energy_total"]),
        ([GRAPH, "--baseline", "baseline.json", "--tolerance", "all:3"], ["percentage"]),
        ([GRAPH, "--baseline", "baseline.json", "--tolerance", "cores:x"], ["'x'"]),
        ([GRAPH, "--baseline", "none.json"], ["none.json", "--update-baseline"]),
        ([GRAPH, "model.onnx", "--update-baseline"], ["one GRAPH"]),
        ([GRAPH, "--data", "bars.npz"], ["--record"]),
        ([GRAPH, "--recording", "none.npz"], ["none.npz"]),
        ([GRAPH, "--record", "file.txt"], ["file.txt", ".npz"]),
        (["lava", "--record", "auto"], ["golden.npz"]),
        ([GRAPH, "--max", "accuracy=.5"], ["--min"]),
    ],
)
def test_what_is_asked_in_vain(
    arguments: list[str], words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(capsys, ["check", *arguments], 2, *words)


def test_one_missing_graph_does_not_keep_the_others_from_being_checked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    junit, found = Path("j.xml"), Path("f.json")
    arguments = ["check", GRAPH, "missing.nir", "gone", "--format", f"junit={junit}", "--format", f"json={found}"]
    assert run_command(arguments) == 3
    checks = json.loads(found.read_text())["checks"]
    assert [check["exit_code"] for check in checks] == [0, 3, 3]
    assert [f["code"] for f in checks[1]["findings"]] == ["SN101"]
    assert "missing.nir: file and schema" in junit.read_text()


def test_what_is_ignored_is_shown_and_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = ["--max", "energy=1nJ"]
    assert run_command(["check", GRAPH, *over]) == 1
    code, findings = checked(capsys, GRAPH, *over, "--ignore", "sn405,SN309")
    assert code == 0
    assert [f["code"] for f in findings if f["status"] == "ignored"] == ["SN405"]
    Path("budget.toml").write_text('[budget]\nenergy_total = "1nJ"\n[check]\nignore = ["SN405"]\n')
    assert checked(capsys, GRAPH)[0] == 1, "not one that nobody named"
    assert checked(capsys, GRAPH, "--budget", "budget.toml")[0] == 0
    for wrong, word in (('ignore = ["SN4O5"]', "SN4O5"), ("ignore = 405", "405"), ("skip = 1", "skip")):
        Path("budget.toml").write_text(f"[check]\n{wrong}\n")
        fails(capsys, ["check", GRAPH], 3, "budget.toml", word)


def test_a_baseline_that_is_replaced_says_what_got_worse(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = read_json(Path("baseline.json"))
    figures = table["figures"]
    figures |= {"synops": figures["synops"] / 2, "energy_total": figures["energy_total"] * 2, "accuracy": 1.0}
    del figures["cores"]
    write_json(Path("baseline.json"), table)
    change_arrays(Path(RECORDED), y=lambda y: (y + 1) % 4)
    capsys.readouterr()
    assert run_command(["check", GRAPH, "--update-baseline"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "baseline" in line]
    assert notes[0] == "note: baseline written: baseline.json, 4 figures changed"
    assert "accuracy 1 -> " in notes[1]
    assert "WORSE" in notes[1]
    assert notes[2].endswith("WORSE by 100.0%")
    assert "energy_total" in notes[3]
    assert notes[3].endswith("better by 50.0%") or notes[4].endswith("better by 50.0%")
    assert any("cores is new: 1" in note for note in notes)


def test_drift_across_versions_is_told_as_such(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("baseline.json")
    table = read_json(path)
    assert table["priced_by"]["profile"].startswith("loihi1 ")
    table["figures"]["synops"] /= 2
    for counts, said in (
        ("2", f"made with counts 2, here it is counts {FORMAT}: if nothing else"),
        (
            None,
            "allowed is 0; the baseline does not say what made it, as older ones: if nothing else",
        ),
        (FORMAT, "allowed is 0\n"),
    ):
        table["priced_by"] = {"counts": str(counts)} if counts else {}
        write_json(path, table)
        capsys.readouterr()
        assert run_command(["check", GRAPH, "--baseline", "baseline.json", "--json"]) == 1
        (detail,) = [f["detail"] for f in json.loads(capsys.readouterr().out)["findings"] if f["status"] == "failed"]
        assert said in f"{detail}\n"


def test_fewer_bits_are_judged_as_such(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = {}
    for bits in ("8", "4"):
        _, findings = checked(capsys, GRAPH, "--bits", bits, "--max", "memory=1MB")
        memory[bits] = next(f["detail"] for f in findings if f["code"] == "SN406")
    assert memory["4"] != memory["8"]


def test_a_graph_with_a_soft_reset_is_gated_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    rng = np.random.default_rng(4)
    nodes = {"w": nir.Linear(weight=dyadic(rng, 6, 6)), "n": lif(6), "out": nir.Linear(weight=dyadic(rng, 3, 6))}
    path = str(written(tmp_path, graph_of((6,), nodes, (3,))))
    np.savez("data.npz", x=rng.integers(0, 2, (8, 5, 6, 1, 1)), y=rng.integers(0, 3, 8))
    answers = ["--reset", "subtract", "--data", "data.npz", "-T", "5", "--input-kind", "spikes"]
    assert run_command(["check", path, "--record", "auto", *answers]) == 1
    assert "deployable on loihi1" in capsys.readouterr().out
    code, findings = checked(capsys, path, "--min", "accuracy=0%", "--ignore", "SN210")
    assert code == 1
    assert "no program for loihi1" in next(f["detail"] for f in findings if f["code"] == "SN401")
    code, findings = checked(capsys, path, "--min", "accuracy=0%", "--system", "generic", "--max", "energy=1mJ")
    assert code == 0, findings
    assert ">= 0" in next(f["detail"] for f in findings if f["code"] == "SN401")


def test_a_foreign_graph_is_recorded_with_what_it_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cycle, timesteps, input kind and convention are asked for once; the recording keeps the answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    rng = np.random.default_rng(4)
    nodes = {"w": nir.Linear(weight=dyadic(rng, 6, 6)), "n": lif(6), "back": nir.Linear(weight=dyadic(rng, 6, 6))}
    edges = [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    path = str(written(tmp_path, graph_of((6,), nodes, (6,), edges)))
    code, findings = checked(capsys, path)
    assert (code, findings[-1]["code"]) == (3, "SN202")
    answers = ["--delayed", "n:back", "--timesteps", "5", "--input-kind", "spikes", "--compare", ">="]
    fails(capsys, ["check", path, "--record", "auto", *answers[:2]], 2, "input")
    assert run_command(["check", path, "--record", "auto", *answers]) == 0
    code, findings = checked(capsys, path)
    assert code == 0
    assert {f["code"] for f in findings if f["status"] == "warned"} == {"SN206"}
    code, findings = checked(capsys, path, "--delayed", "back:n")  # another reading of the same file
    assert code == 1
    assert "(delayed)" in next(f["detail"] for f in findings if f["code"] == "SN306")


def test_explain_prints_a_rule_or_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", "sn302"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SN302  the graph gives the recorded spikes\n")
    assert "Why: " in out
    assert "Mend: " in out
    assert run_command(["explain"]) == 0
    out = capsys.readouterr().out
    assert all(code in out for code in RULES)
    assert all(group in out for group in GROUPS.values())
    fails(capsys, ["explain", "SN300"], 2, "SN300", "did you mean 'SN301'?")
    fails(capsys, ["explain", "302"], 2, "did you mean 'SN302'?")
    with pytest.raises(UsageError) as far:
        find("SN999")
    assert str(far.value) == "'SN999' is no code of a rule; snnas explain lists all of them"
    fails(capsys, ["explain", "x"], 2, "snnas explain lists")
    assert run_command(["explain", "SN101", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["group"] == "file and schema"


def test_every_code_that_an_error_carries_is_a_rule() -> None:
    import re

    for folder in ("export", "hw_sim", "toolchain"):
        for path in (ROOT / folder).rglob("*.py"):
            assert set(re.findall(r'"(SN\d{3})"', path.read_text())) <= set(RULES), path
    assert all(rule.why.endswith((".", "?")) and rule.mend.endswith((".", ")")) for rule in RULES.values())
    assert list(RULES) == sorted(RULES)


def test_without_onnx_an_onnx_file_says_what_to_install(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, findings = checked(capsys, "model.onnx")
    assert code == 4
    assert (findings[-1]["code"], findings[-1]["status"]) == ("SN118", "unsupported")
    assert "pip install -e '.[onnx]' in the checkout" in findings[-1]["detail"]


def test_the_base_install_checks_simulates_and_estimates(here: Path) -> None:
    """In a process in which none of the heavy packages can be imported."""
    heavy = {"torch", "spikingjelly", "tonic", "sklearn", "safetensors", "matplotlib", "pymoo", "onnx", "onnxruntime"}
    code = (
        f"import sys\nblocked = {heavy!r}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked: raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from snnas.toolchain.cli.app import run_command\n"
        "def run(*words): assert run_command(list(words)) == 0, words\n"
        f"run('check', {GRAPH!r}, '--max', 'energy_total=1mJ', '--baseline', 'baseline.json')\n"
        "run('check', 'lava')\n"
        f"run('simulate', {GRAPH!r}, '--data', {RECORDED!r})\n"
        "run('simulate', 'lava')\n"
        f"run('estimate', {GRAPH!r}, '--data', {RECORDED!r})\n"
        "run('estimate', 'lava')\n"
        "assert run_command(['check', 'model.onnx']) == 4\n"
        "assert not blocked & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_recording_of_the_command_line_is_data_for_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_command(["simulate", GRAPH, "--data", RECORDED, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["samples"] == 13  # of sixteen, three calibrate
    change_arrays(Path(RECORDED), y=None)
    assert checked(capsys, GRAPH)[0] == 0


def test_what_was_not_checked_stands_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lone graph, and no recording beside it: nothing was run, and the last line says so."""
    shutil.copy(ROOT / "examples/ci_gate/graph.nir", tmp_path / "graph.nir")
    assert run_command(["check", str(tmp_path / "graph.nir")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "passed: " in said
    assert said.endswith("not checked: spikes and answers, program and fit, figures")
