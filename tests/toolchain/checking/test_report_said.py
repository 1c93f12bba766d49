"""What report.json says beside the figures that a limit binds on: made again, and a false word is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.program_file import read_program
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.host_stage import integer_stages, with_integers
from snnas.toolchain.checking import said
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.said import _integer_host, check_samples_said, unlike
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.cli.app import run_command
from tests.programs import random_program
from tests.toolchain.checking.check_subjects import change_arrays, checked, healthy, here, sign  # noqa: F401
from tests.toolchain.checking.test_check_fooled import failing, fine_tuned

LAVA, ONNX = Path("lava"), Path("onnx")
MEASURED = ("--max", "cores=100")  # so that figures are judged, by nothing that any of this moves
ROW = {"status": "proved", **{name: {"low": 0, "high": 1, "limit": 32767, "margin": 0.0} for name in "auv"}}


def edit(folder: Path, path: tuple[Any, ...], value: Any) -> None:
    """One place of report.json, and of what the manifest repeats of it; signed."""
    for file in ("report.json", "manifest.json"):
        document = read_json(folder / file)
        place = document if file == "report.json" or path[0] in document else document.get("figures", {})
        if path[0] not in place:
            continue
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        write_json(folder / file, document)
    sign(folder, "report.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("accuracy", "interval"), [0.99, 1.0]),
        (("spikes_per_inference", "overhead"), 0.5),
        (("silence", "on_target", "ties"), 31),
        (("silence", "on_target", "silent"), ["edges"]),
        (("energy_uJ", "evidence"), "measured"),
        (("energy_uJ", "unpriced"), []),
        (("ranges", "edges", "a", "high"), 1),
        (("ranges", "edges", "status"), "observed"),
        (("convention", "timesteps"), 5),
        (("convention", "verified"), False),
        (("netx",), "model.net"),
        (("ranges", "another"), ROW),
        (("checks", "ranges_proved"), 1),
        (("quantisation", "edges", "differing"), 99),
        (("quantisation", "edges", "leak"), 0.01),
        (("quantisation", "edges", "resolution"), {"bits": 3, "largest": 3, "values": 3, "zeros": 0.0, "exact": False}),
        (("sar", "per_population", "another"), {"training": None, "on_target": 0.0, "neurons": 1}),
    ],
)
def test_a_false_word_is_named(
    path: tuple[Any, ...], value: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(LAVA, path, value)
    code, findings = checked(capsys, "lava", *MEASURED)
    assert code in (1, 3)
    assert failing(findings) == {"SN307"}
    told = next(f["detail"] for f in findings if f["status"] in ("failed", "invalid"))
    assert all(str(key) in told for key in path), told


@pytest.mark.parametrize(
    ("path", "value"),
    [(("bytes",), 9), (("timesteps",), 5), (("precision",), "float64"), (("spikes_compared",), 1)],
)
def test_a_false_word_of_an_onnx_export_is_named(
    path: tuple[Any, ...], value: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(ONNX, path, value)
    code, findings = checked(capsys, "onnx", "--max", "sar=100%", "--trust-report")
    assert (code, failing(findings)) == (1, {"SN307"})
    assert next(f["detail"] for f in findings if f["status"] == "failed").startswith(f"{path[0]} is ")


def test_the_report_is_of_the_samples_that_are_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures of more samples than the folder holds are compared with nothing."""
    edit(LAVA, ("energy_uJ", "total"), {"low": 0.1, "nominal": 0.2, "high": 0.3})
    for folder, path in ((LAVA, ("accuracy", "samples")), (ONNX, ("samples",))):
        held = len(np.load(folder / "stimulus.npz")["x"])
        for number, end in ((held + 1, "and has room for more; export again"), (held - 1, f"{held}; export again")):
            edit(folder, path, number)
            code, findings = checked(capsys, str(folder), "--max", "sar=100%", "--trust-report")
            assert (code, failing(findings)) == (1, {"SN307"})
            told = next(f["detail"] for f in findings if f["status"] == "failed")
            assert told.startswith(f"the report is of {number} samples, stimulus.npz holds {held}")
            assert told.endswith(end)


def test_a_stimulus_that_is_full_may_hold_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Samples(x=np.zeros((3, 1, 2, 2), np.float32), y=None)

    def found(number: int, limit: int) -> str:
        monkeypatch.setattr(said, "LIMIT_BYTES", limit)
        book = Book(subject=Path("e"), kind="export folder")
        check_samples_said(book, samples, number)
        return book.findings[0].status

    assert [found(n, 63) for n in (2, 3, 4)] == ["failed", "passed", "passed"]
    assert [found(n, 64) for n in (2, 3, 4)] == ["failed", "passed", "failed"]


def test_what_fine_tuning_learnt_is_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one that was not kept, too: the program is then what the graph compiles to."""
    report = read_json(LAVA / "report.json")
    weights = sum(s.map.weight.size for s in read_program(LAVA / "program.npz").synapses)
    right = {"before": report["accuracy"]["on_target"], "after": report["accuracy"]["on_target"]}
    kept = fine_tuned(0) | {"best_epoch": 0, "weights": weights, "test": right}
    for change, place in (
        ({}, ""),
        ({"weights": weights + 1}, "finetune.weights is "),
        ({"bits": 4}, "finetune.bits is "),
        ({"weights_changed": 1}, "finetune.weights_changed is "),
        ({"test": right | {"after": 0.0625}}, "finetune.test.after is "),
    ):
        for file in ("report.json", "manifest.json"):
            write_json(LAVA / file, read_json(LAVA / file) | {"finetune": kept | change})
        sign(LAVA, "report.json")
        code, findings = checked(capsys, "lava", *MEASURED)
        told = [f["detail"] for f in findings if f["status"] in ("failed", "invalid")]
        assert (code, len(told)) == ((1, 1) if place else (0, 0)), told
        assert not place or place in told[0]


def test_without_labels_the_report_claims_its_accuracy(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_arrays(LAVA / "stimulus.npz", y=None)
    sign(LAVA, "stimulus.npz")
    code, findings = checked(capsys, "lava", *MEASURED)
    assert code == 0, findings
    told = next(f["detail"] for f in findings if f["name"] == "report's figures")
    assert told == "activity, energy and latency as measured again on 32 samples"
    run_command(["check", "lava", *MEASURED])
    assert "accuracy of report.json is claimed: the samples have no labels" in capsys.readouterr().err


def test_how_an_integer_host_sees_pixels_is_the_programs() -> None:
    program = random_program(1)
    assert unlike({"arithmetic": "int"}, _integer_host(program), "host") is not None
    ours = with_integers(program)
    stage = integer_stages(ours)
    assert ours.host_integers is not None
    told = {"arithmetic": "int", "step": ours.host_integers.step, "zero": ours.host_integers.zero}
    told |= {"shifts": {name: each.shift for name, each in stage.items()}, "accuracy_of_floats": 0.5}
    assert unlike(told, _integer_host(ours), "host") is None
    name = next(iter(stage))
    for change, place in (
        ({"step": told["step"] * 2}, "host.step"),
        ({"zero": told["zero"] + 1}, "host.zero"),
        ({"finer": [1]}, "host.finer"),
        ({"shifts": {**told["shifts"], name: 99}}, f"host.shifts.{name}"),
    ):
        assert str(unlike({**told, **change}, _integer_host(ours), "host")).startswith(f"{place} is ")
