"""How a foreign graph is read: which tool's meaning, confirmed by which recording, of samples in which order."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.dialects.table import TABLE, named
from snnas.export.formats.nir_file import read_nir
from snnas.hw_sim.errors import GateError, InvalidFileError, SnnasError, UsageError
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting import on_target
from snnas.toolchain.exporting.of_graph import OfGraph, export_graph
from snnas.toolchain.exporting.options import ExportOptions, settings
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.stderr import Narrator
from tests.export.nir_nets import dyadic, graph_of, lif, written
from tests.toolchain.models.test_find_convention import unpacked

STEPS, QUIET = 8, Narrator(quiet=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    return tmp_path


@pytest.fixture
def model(here: Path) -> Path:
    rng = np.random.default_rng(1)
    nodes = {"w": nir.Linear(weight=dyadic(rng, 5, 6)), "n": lif(5, tau=4, r=4.0)}
    return written(here, graph_of((6,), nodes, (5,)))


def saved(name: str, **arrays: Any) -> str:
    np.savez(name, **arrays)
    return name


def currents(samples: int = 20, **more: Any) -> str:
    x = np.random.default_rng(2).random((samples, 6)).astype(np.float32)
    return saved("data.npz", x=x, **more)


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert run_command(list(words)) == code
    err = capsys.readouterr().err.strip()
    assert "Traceback" not in err
    return err.splitlines()[-1]


# ----------------------------------------------------------------------------------------------------- reuse of exports


def inputs(path: Path, **asked: Any) -> dict[str, Any]:
    wanted = ReadingOptions(timesteps=STEPS, input_kind="analogue", **asked)
    return of_options(path, wanted, ExportOptions())


def of_options(path: Path, wanted: ReadingOptions, options: ExportOptions) -> dict[str, Any]:
    """What decides an export of the graph."""
    return {**OfGraph(path, wanted, path.parent, options).inputs, **settings(options)}


def test_no_two_readings_share_the_inputs_of_an_export(model: Path) -> None:
    """The file is the same: only what it is taken to mean tells them apart."""
    data, asked = currents(), [dict[str, Any]()]
    asked += [{"convention": name} for name in TABLE]
    asked += [{"convention": "norse", "compare": ">="}, {"convention": "norse", "dt": 2e-6}, {"dt": 2e-4}]
    asked += [{"decay": "exact"}, {"compare": ">="}, {"reset": "subtract"}, {"reset": "late"}]
    found = []
    for options in asked:
        try:
            found.append((options, inputs(model, data=data, **options)))
        except SnnasError:  # our neurons cannot say it
            continue
    assert len(found) >= 10
    for (a, of_a), (b, of_b) in combinations(found, 2):
        assert of_a != of_b, (a, b)
    readings = {options.get("convention"): read["reading"] for options, read in found if len(options) == 1}
    assert readings["snntorch-zero"] != readings["norse"] != readings["spikingjelly"]
    assert readings["snntorch-zero"] == readings["nir"]


@pytest.mark.parametrize("change", [{"limit": 9}, {"seed": 3}, {"timesteps": 5}, {"calibration": "other.npz"}])
def test_what_else_decides_an_export_is_among_its_inputs(model: Path, change: dict[str, Any]) -> None:
    data = currents()
    saved("other.npz", x=np.ones((2, 6), np.float32))
    wanted = ReadingOptions(data=data, timesteps=STEPS, input_kind="analogue")
    other = replace(wanted, **change)
    a, b = (
        of_options(model, w, ExportOptions()) for w in (wanted, other)
    )  # fmt: skip
    assert a != b
    before = of_options(model, wanted, ExportOptions(bits=4, samples=3))
    assert (before["bits"], before["samples"]) == (4, 3)
    currents(21)
    assert of_options(model, wanted, ExportOptions()) != a


def test_another_tools_meaning_is_not_handed_back_as_up_to_date(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export", str(model), "--data", currents(), "-T", "8", "--input-kind", "analogue"]
    assert run_command([*export, "--convention", "snntorch-zero"]) == 0
    assert "read as snntorch-zero" in capsys.readouterr().out
    line = fails(capsys, 2, *export, "--convention", "norse", "--dt", "1e-4")
    assert "holds an export of other inputs" in line
    assert run_command([*export, "--convention", "Norse", "--dt", "1e-4", "--force"]) == 0
    out, err = capsys.readouterr()
    assert "read as norse with --dt 0.0001" in " ".join(out.split())
    assert err.count("convention unverified") == 1


# ------------------------------------------------------------------------------------------------------------- --expect


@pytest.mark.parametrize(("tool", "other"), [("norse", ""), ("spikingjelly", "snntorch"), ("snntorch", "spikingjelly")])
def test_a_recording_verifies_the_convention_that_gives_it(tmp_path: Path, tool: str, other: str) -> None:
    model, recorded = unpacked(tmp_path, tool)
    with np.load(recorded) as held:
        data = saved(str(tmp_path / "d.npz"), x=held["x"])
    wanted = ReadingOptions(data=data, convention=tool, input_kind="analogue", expect=recorded)
    subject = open_subject(model, wanted)
    assert subject.verified
    assert subject.confirmed is not None
    assert subject.confirmed.compared > 300
    assert subject.notes[0].startswith(f"convention verified by recording {recorded.name}: 0 of ")
    if other:
        with pytest.raises(GateError, match=rf"{other} is not what .*recorded: \d+ of \d+ .*first at node .*timestep"):
            open_subject(model, replace(wanted, convention=other))


def test_the_first_difference_is_the_one_that_was_made(tmp_path: Path) -> None:
    model, recorded = unpacked(tmp_path, "norse")
    with np.load(recorded) as held:
        arrays = dict(held)
    arrays["output"] = arrays["output"].copy()
    at = (1, 2, *[0] * (arrays["output"].ndim - 2))
    arrays["output"][at] = was = 1 - arrays["output"][at]
    other = saved(str(tmp_path / "other.npz"), **arrays)
    data = saved(str(tmp_path / "d.npz"), x=arrays["x"])
    wanted = ReadingOptions(data=data, convention="norse", input_kind="analogue", expect=Path(other))
    where = rf"first at node \w+, sample 1, timestep 2, index \(0,.*recorded {was:g}, here {1 - was:g};"
    with pytest.raises(GateError, match=where):
        open_subject(model, wanted)


def test_silence_verifies_nothing(model: Path) -> None:
    recorded = saved("silent.npz", x=np.zeros((3, 6)), output=np.zeros((3, STEPS, 5)))
    wanted = ReadingOptions(data=currents(), timesteps=STEPS, input_kind="analogue", expect=Path(recorded))
    with pytest.raises(GateError, match="holds no spike, which confirms no convention"):
        open_subject(model, wanted)


def test_a_verified_export_says_so_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    model, recorded = unpacked(tmp_path, "norse")
    with np.load(recorded) as held:
        x = held["x"]
    data = saved(str(tmp_path / "d.npz"), x=np.concatenate([x, x, x]))
    wanted = ReadingOptions(data=data, convention="norse", input_kind="analogue", expect=recorded)
    out = tmp_path / "out"
    report = export_graph(model, wanted, ExportOptions(samples=2), QUIET, out=out)
    assert report["convention"]["verified"]
    assert report["convention"]["of"] == "norse"
    assert report["convention"]["recording"]["compared"] > 300
    assert not any("unverified" in note for note in report["notes"])
    assert read_nir(out / "model.nir").meta["verified"] is True
    assert open_subject(out, ReadingOptions()).verified


# ----------------------------------------------------------------------------------------------------------- next lines


def following(capsys: pytest.CaptureFixture[str]) -> list[str]:
    line = next(text for text in capsys.readouterr().err.splitlines() if text.startswith("next: snnas "))
    return shlex.split(line.removeprefix("next: snnas "))


def test_whose_names_a_command_that_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, recorded = unpacked(here, "norse")
    assert run_command(["whose", str(model), "--expect", str(recorded)]) == 0
    command = following(capsys)
    assert command[:2] == ["export", str(model)]
    assert command[command.index("--convention") + 1] == "norse"
    with np.load(recorded) as held:
        saved("FILE.npz", x=np.concatenate([held["x"]] * 3))
    assert run_command(command) == 0


def test_what_no_chip_does_leads_to_generic(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, recorded = unpacked(here, "snntorch")
    with np.load(recorded) as held:
        saved("FILE.npz", x=held["x"])
    assert run_command(["whose", str(model), "--expect", str(recorded)]) == 0
    command = following(capsys)
    assert command[0] == "estimate"
    assert command[-2:] == ["--system", "generic"]
    assert run_command(command) == 0
    assert "next: snnas export" not in capsys.readouterr().err
    assert run_command(["simulate", *command[1:-2]]) == 0
    assert following(capsys) == command


def test_commands_repeat_what_they_were_asked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", currents(), "--convention", "spikingjelly", "--compare", "gt", "--dt", "0.0002", "-T", "8"]
    given += ["--input-kind", "analogue", "--limit", "9", "--seed", "4", "--bits", "6"]
    for first, then in (("simulate", "estimate"), ("estimate", "export")):
        assert run_command([first, str(model), *given]) == 0
        command = following(capsys)
        assert command[0] == then
        for name, value in zip(given[::2], given[1::2], strict=True):
            assert command[command.index(name.replace("-T", "--timesteps")) + 1] == value
        assert run_command(command) == 0
        capsys.readouterr()


def test_everything_open_is_asked_at_once(model: Path) -> None:
    with pytest.raises(UsageError, match=r"--input-kind analogue .* and --timesteps T$"):
        open_subject(model, ReadingOptions(data=currents()))
    with pytest.raises(UsageError, match=r"give --timesteps T$"):
        open_subject(model, ReadingOptions(data=currents(), input_kind="analogue"))


# ------------------------------------------------------------------------------------------------------ wrong arguments


def test_a_name_that_is_no_graph_is_told_so(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("weights.pt").write_bytes(b"x")
    assert "weights.pt: no .nir and no run in" in fails(capsys, 2, "export", "weights.pt", "--data", currents())
    line = fails(capsys, 2, "export", model.stem, "--data", currents())
    assert f"did you mean {model.name}?" in line
    line = fails(capsys, 2, "export", str(model), "--data", currents(), "--target", "onnx", "--bits", "4")
    assert "--bits: of an integer program" in line
    line = fails(capsys, 2, "export", str(model), "--data", currents(), "--target", "spinnaker")
    assert "--target spinnaker: unknown; expected lava, c, onnx" in line


def test_a_batch_axis_of_one_is_left_out_and_another_is_named(here: Path) -> None:
    nodes = {"w": nir.Linear(weight=np.ones((5, 6), np.float32)), "n": lif(5, tau=4, r=4.0)}
    assert read_nir(written(here, graph_of((1, 6), nodes, (1, 5)))).shapes()["input"] == (6,)
    with pytest.raises(InvalidFileError, match=r"node w.*put a Flatten node before it"):
        read_nir(written(here, graph_of((2, 3), nodes, (1, 5))))


def test_names_of_conventions_are_found_in_any_case() -> None:
    assert named("SpikingJelly") is TABLE["spikingjelly"]
    with pytest.raises(UsageError, match=r"did you mean snntorch\?"):
        named("snntorh")


def test_calibration_by_another_file_leaves_every_sample_to_be_measured(model: Path) -> None:
    calibration = saved("cal.npz", x=np.random.default_rng(3).random((7, 6)).astype(np.float32))
    wanted = ReadingOptions(data=currents(20), timesteps=STEPS, input_kind="analogue", calibration=calibration)
    report = export_graph(model, wanted, ExportOptions(samples=2), QUIET)
    assert report["accuracy"]["samples"] == 20
    assert report["calibration"] == "7 samples of cal.npz"
    with pytest.raises(UsageError, match=r"--calibration none.npz: no such file"):
        export_graph(model, replace(wanted, calibration="none.npz"), ExportOptions(), QUIET)


# -------------------------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize(("low", "mend"), [(1, "numbered from 1"), (-1, "number them as the outputs are")])
def test_labels_beyond_the_outputs_are_refused(model: Path, low: int, mend: str) -> None:
    y = np.arange(20) % 5 + low
    data = currents(y=y)
    with pytest.raises(InvalidFileError, match=rf"labels in {low}\.\.{low + 4}; the model has 5 outputs.*{mend}"):
        open_subject(model, ReadingOptions(data=data, timesteps=STEPS, input_kind="analogue"))


def test_the_reading_of_samples_is_said_where_it_could_be_another(model: Path) -> None:
    x = np.random.default_rng(0).random((STEPS, 30, 6)).astype(np.float32)
    wanted = ReadingOptions(data=saved("frames.npz", x=x), input_kind="analogue")
    notes = open_subject(model, wanted).notes
    assert "frames.npz: x is read as 8 samples of 30 timesteps (time is the second axis)" in notes
    with pytest.raises(UsageError, match="30 frames, but 8 timesteps are asked for; put time second"):
        open_subject(model, replace(wanted, timesteps=STEPS))
    with pytest.raises(InvalidFileError, match="put its samples first and time second"):
        open_subject(model, replace(wanted, data=saved("labelled.npz", x=x, y=np.zeros(30, np.int64))))
    grey = ReadingOptions(
        data=saved("grey.npz", x=np.full((3, 6), 16, np.uint8)), timesteps=STEPS, input_kind="analogue"
    )
    subject = open_subject(model, grey)
    assert any("read as x / 255" in note for note in subject.notes)
    assert subject.samples.max() < 0.1


def test_the_export_needs_no_torch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ReadingOptions(data=currents(y=np.arange(20) % 5), timesteps=STEPS, input_kind="analogue")
    with_torch = export_graph(model, wanted, ExportOptions(), QUIET, out=Path("with"))
    monkeypatch.setattr(on_target, "find_spec", lambda name: None)
    monkeypatch.setattr("snnas.hw_sim.simulate.torch_simulator.TorchSimulator", None)
    without = export_graph(model, wanted, ExportOptions(), QUIET, out=Path("without"))
    assert json.dumps(with_torch, sort_keys=True) == json.dumps(without, sort_keys=True)
