"""What an older snnas wrote: named in one line, with its mend, and never read as something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler import rounding
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking import same_network
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting.formats import FORMAT
from tests.toolchain.checking.check_subjects import change_arrays, checked, healthy, here, sign  # noqa: F401

GRAPH, LAVA, RECORDED, BASELINE = "graph.nir", Path("lava"), Path("graph.nir.check.npz"), Path("baseline.json")


def document(path: Path, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON document that stands in an .npz as bytes."""

    def anew(raw: np.ndarray) -> np.ndarray:
        table = json.loads(raw.tobytes())
        change(table)
        return np.frombuffer(json.dumps(table, sort_keys=True).encode(), np.uint8)

    change_arrays(path, **{name: anew})


def older_export(number: int) -> None:
    """As it was then: without the samples that calibrate it, with that version's script."""
    (LAVA / "calibration.npz").unlink()
    script = LAVA / "run_lava.py"
    script.write_text(script.read_text() + "# as it was\n")
    manifest = read_json(LAVA / "manifest.json")
    del manifest["files"]["calibration.npz"]
    write_json(LAVA / "manifest.json", manifest | {"format": f"snnas.export/{number}", "versions": {"snnas": "0.1.0"}})
    sign(LAVA, "run_lava.py")


def older_program() -> None:
    document(LAVA / "program.npz", "program.json", lambda t: t.update(format="snnas.program/1"))
    sign(LAVA, "program.npz")


def older_recording() -> None:
    document(RECORDED, "recording.json", lambda t: t.update(format="snnas.recording/0"))


def changed(path: Path, **entries: Any) -> None:
    write_json(path, read_json(path) | entries)


CASES: dict[str, tuple[Callable[[], object], tuple[str, ...], int, str, str]] = {
    "an export": (lambda: older_export(2), (str(LAVA),), 1, "SN211", "snnas export --force"),
    "the oldest export": (lambda: older_export(1), (str(LAVA),), 1, "SN211", "snnas export --force"),
    "an export of a format that is gone": (
        lambda: changed(LAVA / "manifest.json", format="snnas.export/0"),
        (str(LAVA),), 3, "SN102", "snnas export --force",
    ),
    "an export to ONNX": (
        lambda: changed(Path("onnx/manifest.json"), format="snnas.export.onnx/1"),
        ("onnx",), 3, "SN102", "it is older: snnas export --force",
    ),
    "a program": (older_program, (str(LAVA),), 3, "SN102", "snnas export --force"),
    "a recording": (older_recording, (GRAPH,), 3, "SN102", "--record auto --new-recording"),
    "a baseline": (
        lambda: changed(BASELINE, schema="snnas.baseline/0"),
        (GRAPH, "--baseline", str(BASELINE)), 3, "SN502", "--update-baseline",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_named_in_a_line_with_its_mend(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    age, arguments, exit_code, code, mend = CASES[case]
    age()
    found, findings = checked(capsys, *arguments)
    (wrong,) = [f for f in findings if f["status"] not in ("passed", "skipped")]
    assert (found, wrong["code"]) == (exit_code, code)
    assert mend in wrong["detail"]
    assert "\n" not in wrong["detail"]


def test_an_older_export_is_made_again_but_for_layers_that_it_rounded_otherwise(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers still are its graph's where no layer has more inputs than were handed on then."""
    for number in (3, 4):
        changed(LAVA / "manifest.json", format=f"snnas.export/{number}")
        assert checked(capsys, str(LAVA))[0] == 0
    monkeypatch.setattr(rounding, "FORMER_MAX_INPUTS", 1)
    code, findings = checked(capsys, str(LAVA))
    (wrong,) = [f for f in findings if f["status"] not in ("passed", "skipped")]
    assert (code, wrong["code"]) == (1, "SN211")
    assert wrong["detail"].startswith("an export of an older version, which rounded layers of more than 4,096 inputs")
    proved, judge = list[bool](), same_network.check_spikes
    monkeypatch.setattr(same_network, "check_spikes", lambda *of: (proved.append(of[4] is not None), judge(*of)))
    assert checked(capsys, str(LAVA), "--trust-report")[0] == 0
    changed(LAVA / "manifest.json", format=FORMAT)
    assert checked(capsys, str(LAVA))[0] == 0
    assert proved == [False, True], "what is trusted proves no number"


def test_an_older_export_of_c_is_named_in_a_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its script and its C are as old as it: one cause."""
    made = ["export", GRAPH, "--data", "bars.npz", "--target", "c", "--out", "c", "--samples", "8", "-q"]
    assert run_command(made) == 0
    assert checked(capsys, "c")[0] == 0
    for name in ("run_lava.py", "model.c"):
        with Path("c", name).open("a") as file:
            file.write("\n# as it was\n" if name.endswith("py") else "\n/* as it was */\n")
        sign(Path("c"), name)
    changed(Path("c/manifest.json"), format="snnas.export/3", versions={"snnas": "0.1.0"})
    code, findings = checked(capsys, "c")
    (wrong,) = [f for f in findings if f["status"] not in ("passed", "skipped")]
    assert (code, wrong["code"]) == (1, "SN313")
    assert "model.c: not the C of this snnas; the export is of version 0.1.0" in wrong["detail"]
    assert wrong["detail"].endswith("snnas export --force")


def test_an_older_export_whose_numbers_are_not_held_against_it_has_its_script_judged(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that the caller trusts, fine-tuned or not."""
    older_export(2)
    code, findings = checked(capsys, str(LAVA), "--trust-report")
    assert (code, [f["code"] for f in findings if f["status"] == "failed"]) == (1, ["SN120"])
    gain = {"before": 0.5, "after": 0.75}
    counts = {"epochs": 1, "best_epoch": 1, "weights_changed": 1, "weights": 9, "bits": 8, "seconds": 1.0}
    changed(LAVA / "report.json", finetune={**counts, "validation": gain, "test": gain})
    sign(LAVA, "report.json")
    findings = checked(capsys, str(LAVA))[1]  # fine-tuned, it says; of what, nothing tells
    assert "SN211" in [f["code"] for f in findings if f["status"] == "failed"]
    code, findings = checked(capsys, str(LAVA), "--trust-report")
    assert code == 1
    assert "SN120" in [f["code"] for f in findings if f["status"] == "failed"]


@pytest.mark.usefixtures("no_lava")
def test_the_mend_of_an_export_mends_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older_export(2)
    changed(LAVA / "manifest.json", inputs={})  # of fewer options than there are now
    again = ["--data", "bars.npz", "--out", str(LAVA), "--samples", "8", "-q"]
    assert run_command(["export", GRAPH, *again]) == 2
    assert "overwrite it with --force" in capsys.readouterr().err
    assert run_command(["export", GRAPH, *again, "--force"]) == 0
    assert checked(capsys, str(LAVA))[0] == 0


def test_the_mend_of_a_recording_mends_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--force`` takes the samples of the old one, and cannot where it cannot be read."""
    older_recording()
    record = ["check", GRAPH, "--record", "auto", "--data", "bars.npz", "--limit", "16"]
    assert run_command([*record, "--force"]) == 2
    assert "its samples cannot be taken again" in capsys.readouterr().err
    assert run_command([*record, "--new-recording"]) == 0
    assert checked(capsys, GRAPH)[0] == 0


def test_a_recording_and_a_baseline_of_before_are_held_to_what_they_say(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They lack what was added since, and mean what they meant."""
    document(RECORDED, "recording.json", lambda t: t.pop("says"))
    changed(BASELINE, priced_by={})
    assert checked(capsys, GRAPH, "--baseline", str(BASELINE))[0] == 0
    change_arrays(RECORDED, **{"counts.edges": lambda c: c + 1})
    code, findings = checked(capsys, GRAPH)
    assert (code, [f["code"] for f in findings if f["status"] == "failed"]) == (1, ["SN302"])
