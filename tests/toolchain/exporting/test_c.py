"""``snnas export --target c`` on the foreign example: files, figures, reuse, simulation, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.c import SOURCES
from snnas.hw_sim.c import compilers
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.report import read_report

EXAMPLE = Path(__file__).parents[3] / "examples" / "foreign_nmnist"
NO_CORES = "no emulator in this test"


@pytest.fixture(autouse=True)
def _no_cores(monkeypatch) -> None:
    """tests/hw_sim/c/test_emulate.py runs them."""
    if compilers.native()[0] is None:
        pytest.skip(compilers.native()[1])
    monkeypatch.setattr(compilers, "emulator", lambda: (None, NO_CORES))
    monkeypatch.setattr(compilers, "cross", lambda core: (compilers.native()[0], ""))


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    with np.load(EXAMPLE / "recorded.npz") as arrays:
        np.savez(path, x=arrays["x"].astype(np.uint8))
    return str(path)


def export(out: Path, noise: str, capsys, *options: str) -> tuple[int, str, str]:
    capsys.readouterr()
    reading = ["--convention", "snntorch-zero", "--data", noise, "--samples", "3", "--out", str(out), "--json"]
    code = run_command(["export", str(EXAMPLE / "model.nir"), "--target", "c", *reading, *options])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_folder_builds_and_its_test_passes(noise, tmp_path: Path, capsys) -> None:
    code, out, err = export(tmp_path / "c", noise, capsys)
    assert code == 0, err
    found = json.loads(out)["c"]
    assert found["populations"] == 2
    assert found["native"]["differing_spikes"] == found["native"]["split_differing_logits"] == 0
    assert found["native"]["spikes_compared"] == 3 * 8 * 2584
    assert found["native"]["split_samples"] == 7  # one of eight has calibrated the scales
    assert {core["missing"] for core in found["cores"]} == {NO_CORES}
    assert read_report(tmp_path / "c" / "report.json")["c"] == found
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert manifest["target"] == "c"
    assert set(SOURCES) < set(manifest["files"])
    if shutil.which("make") and shutil.which("cc"):
        built = tmp_path / "built"
        shutil.copytree(tmp_path / "c", built)
        done = subprocess.run(["make", "-C", str(built), "test", "CFLAGS=-O0"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "3 samples, 0 differences" in done.stdout
        golden = (built / "golden.c").read_text()
        (built / "golden.c").write_text(golden.replace("golden_logits[30] = {\n", "golden_logits[30] = {\n1 +"))
        done = subprocess.run(["make", "-C", str(built), "test", "CFLAGS=-O0"], capture_output=True, text=True)
        assert done.returncode != 0
        assert "logit 0 of sample 0 differs" in done.stdout

    written = (tmp_path / "c" / "model.c").stat().st_mtime_ns
    assert export(tmp_path / "c", noise, capsys)[:2] == (0, out)
    assert (tmp_path / "c" / "model.c").stat().st_mtime_ns == written
    assert run_command(["check", str(tmp_path / "c")]) == 0
    capsys.readouterr()

    assert run_command(["simulate", str(tmp_path / "c"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["c"]
    assert again["native"]["differing_spikes"] == 0
    assert again["native"]["split_samples"] == 7  # all of them are kept
    with (tmp_path / "c" / "model.c").open("a") as file:
        file.write("/* changed */\n")
    assert run_command(["simulate", str(tmp_path / "c"), "--json"]) == 3
    assert "model.c: not the C of program.npz beside it" in capsys.readouterr().err


def test_without_a_compiler_the_c_is_written_and_the_reason_given(noise, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(compilers, "native", lambda: (None, "no C compiler: none in this test"))
    code, out, err = export(tmp_path / "c", noise, capsys)
    assert code == 0
    assert "C not run here: no C compiler: none in this test" in err
    found = json.loads(out)["c"]["native"]
    assert found["missing"] == "no C compiler: none in this test"
    assert found["differing_spikes"] is None
    assert (tmp_path / "c" / "model.c").is_file()
    assert run_command(["bench", "conformance", "--target", "c", "--genotypes", "1"]) == 4


def test_an_unknown_target_is_named(noise, tmp_path: Path, capsys) -> None:
    assert export(tmp_path / "c", noise, capsys, "--target", "vhdl")[0] == 2
    assert run_command(["bench", "conformance", "--target", "vhdl"]) == 2
    assert "--target vhdl: expected lava or c" in capsys.readouterr().err


def test_conformance_in_c(capsys) -> None:
    pytest.importorskip("torch")
    command = ["bench", "conformance", "--target", "c", "--genotypes", "2", "--samples", "2", "--json", "--quiet"]
    assert run_command(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["c"]["programs"] == 2
    assert found["c"]["differing"] == 0 < found["c"]["spikes_compared"]
    assert (found["c"]["emulated"], found["c"]["emulator"]) == (0, NO_CORES)
    assert found["lava_checked"] == 0
