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
from snnas.hw_sim.files import sha256
from snnas.hw_sim.host_stage import host_currents, with_integers
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.report import read_report
from snnas.toolchain.output.stderr import Narrator
from tests.c_programs import random_variant, samples
from tests.toolchain.checking.check_subjects import sign

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
    assert found["host"] == "none"
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
    check = ["check", str(tmp_path / "c"), "--system", "cortex-m4", "--trust-report", "--json"]
    assert run_command([*check, "--max", "flash=64kB,ram=64kB,instructions=50M,latency=1000ms"]) == 0
    figures = {name: f["value"] for name, f in json.loads(capsys.readouterr().out)["figures"].items()}
    assert 10_000 < figures["flash"] < 64_000
    assert run_command([*check, "--max", "flash=1kB"]) == 1
    assert "SN409" in capsys.readouterr().out
    chip = ["check", str(tmp_path / "c"), "--trust-report", "--max", "energy_total=100mJ"]
    assert run_command(chip) == 1, "a chip's price of what runs on a core is no price of it"
    said = " ".join("".join(capsys.readouterr()).split())
    assert "energy and latency of C are a core's: --system cortex-m4 or rv32imc" in said
    assert run_command([*chip, "--system", "cortex-m4"]) == 0
    capsys.readouterr()
    assert run_command(["check", str(tmp_path / "c"), "--max", "flash=1kB"]) == 1  # a chip of neurons has none
    assert "it is a microcontroller's: --system cortex-m4 or rv32imc" in " ".join(capsys.readouterr().out.split())

    assert run_command(["simulate", str(tmp_path / "c"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["c"]
    assert again["native"]["differing_spikes"] == 0
    assert again["native"]["split_samples"] == 7  # all of them are kept
    for change in (
        lambda c: c["cores"][1]["estimated"]["instructions"].update(nominal=1.0),
        lambda c: c["cores"][0]["board"]["energy_uJ"].update(high=1e-3),
        lambda c: c["cores"].clear(),
        lambda c: c["cores"].append(c["cores"][0]),
        lambda c: c["cores"].append(c["cores"][0] | {"core": "cortex-m0"}),
        lambda c: c.update(populations=9),
    ):
        report = json.loads(before := (tmp_path / "c" / "report.json").read_text())
        change(report["c"])
        (tmp_path / "c" / "report.json").write_text(json.dumps(report))
        sign(tmp_path / "c", "report.json")
        assert run_command(["check", str(tmp_path / "c"), "--json"]) == 1
        failed = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["status"] == "failed"]
        assert [(f["code"], f["name"]) for f in failed] == [("SN307", "figures of C")]
        (tmp_path / "c" / "report.json").write_text(before)
    sign(tmp_path / "c", "report.json")
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    report = json.loads(before)
    report["c"]["cores"][0]["estimated"]["instructions"]["nominal"] *= 1.001
    (tmp_path / "c" / "report.json").write_text(json.dumps(report))
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest | {"format": "snnas.export/3"}))
    sign(tmp_path / "c", "report.json")
    assert run_command(["check", str(tmp_path / "c")]) == 1  # as it was before rest was measured
    assert "of an older version, which priced a core otherwise" in " ".join(capsys.readouterr().out.split())
    assert export(tmp_path / "c", noise, capsys)[0] == 0  # made anew, not handed back
    assert json.loads((tmp_path / "c" / "manifest.json").read_text())["format"] == "snnas.export/5"
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    with (tmp_path / "c" / "model.c").open("a") as file:
        file.write("/* changed */\n")
    manifest["files"]["model.c"] = sha256(tmp_path / "c" / "model.c")  # whoever changes it, changes this too
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
    assert run_command(["check", str(tmp_path / "c"), "--json"]) == 1
    assert "SN313" in capsys.readouterr().out
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest | {"target": "lava", "format": "snnas.export/3"}))
    assert run_command(["check", str(tmp_path / "c"), "--json"]) == 3
    assert "no export with --target lava has it, so that nothing compares it" in capsys.readouterr().out
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest))
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


def test_an_unknown_compiler_is_named_before_anything_is_done(noise, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv(compilers.CROSS, "icc")
    code, _, err = export(tmp_path / "c", noise, capsys)
    assert code == 2
    assert err.strip() == "snnas: SNNAS_C_CROSS=icc: expected gcc or zig"
    assert not (tmp_path / "c").exists()


def test_a_core_is_no_target_and_its_limits_need_a_system(noise, tmp_path: Path, capsys) -> None:
    code, _, err = export(tmp_path / "c", noise, capsys, "--target", "cortex-m4")
    assert code == 2
    assert "--target cortex-m4: a core, which --target c writes C for" in err
    assert export(tmp_path / "c", noise, capsys, "--host", "double")[0] == 2
    assert run_command(["search", "--budget", "flash=64kB", "--runs-dir", str(tmp_path)]) == 2
    assert "flash: of a microcontroller; give --system cortex-m4 or rv32imc" in capsys.readouterr().err


def test_what_an_integer_host_changes_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    from snnas.toolchain.exporting.host import against_floats
    from snnas.toolchain.exporting.on_target import simulate_split

    floats = random_variant(3)
    program = with_integers(floats)
    x, quiet = samples(program), Narrator(quiet=True)
    target = simulate_split(program, map_program(program, load_system()), x, 2, quiet)
    y = target.predictions
    found = against_floats(program, x, y, target, 2, Narrator())
    assert found is not None
    told = " ".join(capsys.readouterr().err.split())
    assert f"spikes of 2 samples differ, and {found['differing_predictions']} of {len(x)} predictions" in told
    ours, theirs = (host_currents(p, x[:2]) for p in (program, floats))
    assert found["currents"] == sum(v.size for v in ours.values())
    assert found["differing_currents"] == sum(int((ours[n] != theirs[n]).sum()) for n in ours) > 0
    assert found["differing_predictions"] == round((1 - found["accuracy_of_floats"]) * len(x))
    assert against_floats(floats, x, y, target, 2, quiet) is None


def test_conformance_in_c(capsys) -> None:
    pytest.importorskip("torch")
    command = ["bench", "conformance", "--target", "c", "--genotypes", "2", "--samples", "2", "--json", "--quiet"]
    assert run_command(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["c"]["programs"] == 2
    assert found["c"]["differing"] == 0 < found["c"]["spikes_compared"]
    assert (found["c"]["emulated"], found["c"]["emulator"]) == (0, NO_CORES)
    assert found["lava_checked"] == 0
