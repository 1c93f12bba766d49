"""The pipelines that are shipped, run as they stand: the action's script, the example's workflow, hooks, documents."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.nir_file import read_nir
from snnas.export.graph import digest
from snnas.toolchain.checking.rules.rules import GROUPS, RULES
from tests.toolchain.checking.check_subjects import EXAMPLE, ROOT, example

yaml = pytest.importorskip("yaml")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the example, as a repository of its own, and a snnas on the path."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "repository", ignore=shutil.ignore_patterns("__pycache__")))
    commands = tmp_path / "bin"
    commands.mkdir()
    snnas = commands / "snnas"
    snnas.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m snnas.toolchain.cli.app "$@"\n'
    )
    snnas.chmod(0o755)
    return folder


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As a runner does it: -e and pipefail, CI set."""
    environment = {
        "PATH": f"{folder.parent / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "CI": "true",
        "OMP_NUM_THREADS": "1",
        "GITHUB_STEP_SUMMARY": str(folder.parent / "summary"),
        "GITHUB_OUTPUT": str(folder.parent / "output"),
        "RUNNER_TEMP": str(folder.parent / "temp"),
        **variables,
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def steps(path: Path) -> list[dict[str, Any]]:
    (job,) = yaml.safe_load(path.read_text())["jobs"].values()
    return list(job["steps"])


def test_the_example_is_what_its_script_writes(tmp_path: Path) -> None:
    script = EXAMPLE / "make_graph.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env=environment, timeout=600)
    made, kept = (digest.of_graph(read_nir(folder / "graph.nir")) for folder in (tmp_path, EXAMPLE))
    assert made == kept
    with np.load(tmp_path / "bars.npz") as bars, np.load(EXAMPLE / "graph.nir.check.npz") as recording:
        assert (bars["x"] == recording["x"]).all()
        assert (bars["y"] == recording["y"]).all()


def test_the_workflow_of_the_example_runs(repository: Path) -> None:
    done = [step for step in steps(repository / ".github/workflows/gate.yml") if "run" in step]
    assert [step["name"] for step in done] == ["Install", "Check", "Summary"]
    for step in done[1:]:
        result = bash(step["run"], repository)
        assert result.returncode == 0, result.stderr
    assert (repository / "junit.xml").is_file()
    assert "### snnas check of graph.nir: passed" in (repository.parent / "summary").read_text()
    worse = repository / "baseline.json"
    worse.write_text(re.sub(r'"synops": [0-9.]+', '"synops": 60.0', worse.read_text()))
    failed = bash(done[1]["run"], repository)
    assert failed.returncode == 1
    assert "::error file=baseline.json,title=SN501" in failed.stdout


def test_the_lines_of_the_examples_readme_run(repository: Path) -> None:
    lines = re.findall(r"^    (snnas .*?)(?:  +# (.*))?$", (repository / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 5
    example().__dict__["np"].savez(repository / "bars.npz", **dict(zip("xy", example().bars(32, seed=7), strict=True)))
    for line, comment in lines:
        wanted = 1 if "exit code 1" in comment else 0
        result = bash(line, repository, CI="")
        assert result.returncode == wanted, (line, result.stderr)


def action() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "action.yml").read_text()))


def run_action(repository: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The action's check with these inputs, and its outputs."""
    described = action()
    (step,) = [s for s in described["runs"]["steps"] if s.get("id") == "check"]
    given = {name: inputs.get(name, entry.get("default", "")) for name, entry in described["inputs"].items()}
    assert not set(inputs) - set(given)
    variables = {}
    assert "inputs.token" not in str(step["env"]), "the check runs without it"
    for name, expression in step["env"].items():
        (key,) = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", expression).groups()  # type: ignore[union-attr]
        variables[name] = given[key]
    result = bash(step["run"], repository, **variables)
    lines = (repository.parent / "output").read_text().splitlines()
    return result, dict(line.split("=", 1) for line in lines)


def test_the_action_runs_the_check_and_hands_out_its_files(repository: Path) -> None:
    result, outputs = run_action(repository, graph="graph.nir", baseline="baseline.json", tolerance="all:5%")
    assert result.returncode == 0, result.stderr
    assert outputs["exit-code"] == "0"
    assert set(outputs) == set(action()["outputs"])
    assert all(f"outputs.{name} " in entry["value"] for name, entry in action()["outputs"].items())
    assert Path(outputs["junit"]).read_text().startswith("<?xml")
    assert '"snnas.check/2"' in Path(outputs["json"]).read_text()
    assert '"2.1.0"' in Path(outputs["sarif"]).read_text()
    assert "passed" in (repository.parent / "summary").read_text()


def test_the_action_fails_as_the_check_does_and_takes_its_inputs_as_data(repository: Path) -> None:
    shutil.copy(repository / "graph.nir", repository / "-a $(touch hacked) b.nir")
    graphs = "graph.nir\n-a $(touch hacked) b.nir\n"
    result, outputs = run_action(repository, graph=graphs, maximum="energy_total=1uJ", junit="out.xml")
    assert (result.returncode, outputs["exit-code"]) == (1, "1")
    assert not (repository / "hacked").exists()
    assert (repository / "out.xml").is_file()
    assert "::error file=graph.nir,title=SN405" in result.stdout
    assert "::warning file=-a $(touch hacked) b.nir,title=SN301" in result.stdout
    assert "did not pass" in (repository.parent / "summary").read_text()
    result, outputs = run_action(repository, graph="nowhere.nir")
    assert (result.returncode, outputs["exit-code"]) == (3, "3")
    result, outputs = run_action(repository, graph="graph.nir", minimum="accuracy=95")
    assert (result.returncode, outputs["exit-code"]) == (2, "2")
    result, outputs = run_action(repository, graph="graph.nir", strict="true", portable="true", minimum="accuracy=90%")
    assert outputs["exit-code"] == "0"
    result, outputs = run_action(repository, graph="graph.nir", maximum="energy_total=1uJ", ignore="SN405")
    assert outputs["exit-code"] == "0"


def test_the_action_installs_its_own_checkout(tmp_path: Path) -> None:
    (step,) = [s for s in action()["runs"]["steps"] if s.get("name") == "Install snnas"]
    folder = tmp_path / "work"
    folder.mkdir()
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "python").write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nprintf "#!/bin/sh\\necho pip \\"\\$@\\" >> $LOG\\n" > "$3/bin/python"\n'
        'chmod +x "$3/bin/python"\n'
    )
    (fake / "python").chmod(0o755)
    for extras, wanted in (("", "/checkout"), ("onnx", "/checkout[onnx]")):
        log, path = tmp_path / f"log{extras}", tmp_path / f"path{extras}"
        done = bash(
            step["run"], folder, EXTRAS=extras, GITHUB_ACTION_PATH="/checkout", GITHUB_PATH=str(path), LOG=str(log)
        )
        assert done.returncode == 0, done.stderr
        assert log.read_text().split()[-1] == wanted
        assert path.read_text().strip() == str(tmp_path / "temp/snnas/bin")


def test_the_hooks_check_what_is_committed(repository: Path) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    local = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"][0]
    assert [hook["id"] for hook in hooks] == ["snnas-check", "snnas-check-onnx"]
    assert (local["id"], local["entry"], local["files"]) == (hooks[0]["id"], hooks[0]["entry"], hooks[0]["files"])
    assert all(hook["language"] == "python" and hook["require_serial"] for hook in hooks)
    for end in ("", ".check.npz"):
        shutil.copy(repository / f"graph.nir{end}", repository / f"other.nir{end}")
    files = sorted(p.name for p in repository.iterdir() if re.search(hooks[0]["files"], p.name))
    assert files == ["graph.nir", "other.nir"]
    assert bash(f"{hooks[0]['entry']} {' '.join(files)}", repository).returncode == 0
    (repository / "other.nir").write_bytes(b"half a graph")
    assert bash(f"{hooks[0]['entry']} {' '.join(files)}", repository).returncode == 3


def rule_table() -> str:
    """The table of docs/check.md, from the rules."""
    lines = []
    for prefix, group in GROUPS.items():
        lines += [f"### {prefix}xx: {group}", "", "| code | what must hold | a breach is |", "|---|---|---|"]
        lines += [f"| {r.code} | {r.title} | {r.severity} |" for r in RULES.values() if r.code.startswith(prefix)]
        lines.append("")
    return "\n".join(lines)


def test_the_document_of_the_rules_is_current(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs/check.md"
    start, end = "<!-- rules -->\n", "<!-- /rules -->"
    head, rest = path.read_text().split(start)
    now = f"{head}{start}{rule_table()}{end}{rest.split(end, 1)[1]}"
    if request.config.getoption("--update-golden"):
        path.write_text(now)
    assert path.read_text() == now, "run the tests with --update-golden, and look at the change"


@pytest.mark.parametrize("page", ["check.md", "ci.md"])
def test_the_options_that_the_documents_name_exist(page: str) -> None:
    from snnas.toolchain.searching.budgets import GATED

    text = (ROOT / "docs" / page).read_text()
    help_text = subprocess.run(
        [sys.executable, "-m", "snnas.toolchain.cli.app", "check", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    of_others = {"--quiet", "--target", "--out", "--compare"}
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text)) - of_others
    assert named <= set(re.findall(r"--[a-z][a-z-]+", help_text)), named
    assert set(re.findall(r"SN\d{3}", text)) <= set(RULES)
    if page == "check.md":
        assert all(f"`{name}`" in text for name in GATED)


def test_the_snippet_for_gitlab_runs(repository: Path) -> None:
    text = (ROOT / "docs/ci.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    (gitlab,) = [block for block in blocks if isinstance(block, dict) and "gate" in block]
    result = bash("\n".join(gitlab["gate"]["script"][1:]), repository)  # the first line installs
    assert result.returncode == 0, result.stderr
    assert (repository / gitlab["gate"]["artifacts"]["reports"]["junit"]).is_file()
    assert len(blocks) >= 3


def test_the_recipe_for_make_runs(repository: Path) -> None:
    text = (ROOT / "docs/ci.md").read_text()
    (recipe,) = re.findall(r"^    gate:\n    \t(.*)$", text, re.MULTILINE)
    assert "--strict" in recipe
    result = bash(recipe, repository)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout  # --quiet: nothing failed
    (repository / "graph.nir.check.npz").unlink()
    result = bash(recipe, repository)
    assert result.returncode == 1
    assert "SN301" in result.stdout
