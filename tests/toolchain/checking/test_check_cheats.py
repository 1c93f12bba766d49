"""What somebody would edit who wants a gate to pass: one kind after another, all that the folder records made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.files import read_json, write_json
from snnas.hw_sim.program import CLOCK, Program
from snnas.toolchain.checking.samples import given
from snnas.toolchain.exporting.on_target import reference
from snnas.toolchain.models.reading_options import ReadingOptions
from tests.toolchain.checking.check_subjects import change_arrays, checked, healthy, here, sign  # noqa: F401
from tests.toolchain.checking.test_check_fooled import LAVA, edit_report, failing, record_rounding


def remade(program: Program) -> None:
    """The folder with this program: golden.npz, recorded rounding, spikes of the graph and hashes made again."""
    write_program(LAVA / "program.npz", program)
    golden, x = (read_npz(LAVA / f"{name}.npz", what=name) for name in ("golden", "stimulus"))
    first = x["x"][: len(golden["logits"])]
    write_npz(LAVA / "golden.npz", {**reference(program, first), "labels": golden["labels"]})
    manifest = read_json(LAVA / "manifest.json")
    run = interpreter.run(read_nir(LAVA / "model.nir"), first, program.timesteps)
    manifest["graph_spikes"] = interpreter.spikes_per_timestep(run.spikes)
    write_json(LAVA / "manifest.json", manifest)
    record_rounding()
    for name in ("program.npz", "golden.npz", "stimulus.npz"):
        sign(LAVA, name)


def _ballot(p: Program, **change: Any) -> Program:
    return replace(p, populations=tuple(replace(q, **change) if q.id == "ballot" else q for q in p.populations))


def _synapse(p: Program, **change: Any) -> Program:
    mine = next(s for s in p.synapses if s.dst == "ballot" and s.src != CLOCK)
    return replace(p, synapses=tuple(replace(s, **change) if s is mine else s for s in p.synapses))


def _host(p: Program, **change: Any) -> Program:
    return replace(p, host=tuple(replace(h, **change) for h in p.host))


def _readout(p: Program, **change: Any) -> Program:
    return replace(p, readout=replace(p.readout, **change))


def _favoured(p: Program) -> Program:
    return _readout(p, bias=p.readout.bias + np.array([10**6, 0, 0, 0]))


def _classes_renamed(p: Program) -> Program:
    """Readout and labels in another order: every answer is as right as before."""
    for name, key in (("stimulus.npz", "y"), ("golden.npz", "labels")):
        change_arrays(LAVA / name, **{key: lambda y: (y + 1) % 4})
    turned = tuple(replace(k, weight=np.roll(np.asarray(k.weight), 1, axis=0)) for k in p.readout.readings)
    return _readout(p, readings=turned, bias=np.roll(p.readout.bias, 1, axis=1))


def _again(p: Program, **how: Any) -> Program:
    """What an honest compiler makes of the graph, asked otherwise."""
    graph, x = read_nir(LAVA / "model.nir"), read_npz(LAVA / "calibration.npz", what="calibration")["x"]
    asked = {"timesteps": p.timesteps, "input_kind": p.input_kind, "input_range": p.input_range, "bits": 8, **how}
    spikes = calibration_spikes(graph, x, asked["timesteps"], asked["input_kind"])
    made = compile_graph(graph, spikes=spikes, **asked)
    return replace(made, meta={**p.meta, **made.meta})


EARLY = {"mode": "confidence", "level": 0.9, "margin": 1, "chosen_on": 100}
# What is done to the program, and what names it with nothing but --max cores=100 asked.
PROGRAMS: dict[str, tuple[Callable[[Program], Program], str]] = {
    "a lower threshold": (lambda p: _ballot(p, vth=p.population("ballot").vth // 2), "SN211"),
    "another leak": (lambda p: _ballot(p, dv=p.population("ballot").dv ^ 1024), "SN207"),
    "a current that decays": (lambda p: _ballot(p, du=2048), "SN207"),
    "neurons that are called relays": (lambda p: _ballot(p, role="relay"), "SN207"),
    "weights of twice the size": (lambda p: _synapse(p, exponent=1), "SN211"),
    "half a gain of the input": (lambda p: _host(p, gain=p.host[0].gain / 2), "SN211"),
    "an input that comes late": (lambda p: _host(p, distance=1), "SN207"),
    "a class that is favoured": (_favoured, "SN211"),
    "classes in another order, and labels": (_classes_renamed, "SN211"),
    "an answer of the last timestep": (lambda p: _readout(p, read="last"), "SN207"),
    "a blank timestep": (lambda p: replace(p, schedule=replace(p.schedule, blank=1)), "SN207"),
    "an early exit": (lambda p: replace(p, meta={**p.meta, "early_exit": EARLY}), "SN314"),
    "fewer timesteps": (lambda p: _again(p, timesteps=2), "SN307"),
    "a wider input": (lambda p: _again(p, input_range=(0.0, 4.0)), "SN307"),
    "fewer bits": (lambda p: _again(p, bits=4), "SN307"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_was_edited_is_named(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys, "lava", "--max", "cores=100")[0] == 0
    edit, code = PROGRAMS[name]
    remade(edit(read_program(LAVA / "program.npz")))
    exit_code, findings = checked(capsys, "lava", "--max", "cores=100")
    assert exit_code == 1
    assert code in failing(findings), findings
    assert not {"SN302", "SN303", "SN304", "SN305"} & failing(findings), "its own records agree with it"


@pytest.mark.parametrize(
    "tables",
    [
        {"energy_uJ": {"evidence": "measured"}},
        {"energy_uJ": {"profile": "loihi1_calibrated"}},
        {"accuracy": {"samples": 64}},
        {"latency_us": {"nominal": 1.0}},
        {"resources": {"weight_bits": 4}},
    ],
)
def test_a_report_that_was_edited_is_named(
    tables: dict[str, Any], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    edit_report(**tables)
    code, findings = checked(capsys, "lava", "--max", "cores=100")
    assert (code, failing(findings)) == (1, {"SN307"})


def test_samples_that_were_chosen_are_found_by_the_baseline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is answered rightly, again and again; and those that fire nothing and cost little."""
    assert checked(capsys, "lava", "--baseline", "kept.json", "--update-baseline")[0] == 0
    program, before = read_program(LAVA / "program.npz"), read_npz(LAVA / "stimulus.npz", what="stimulus")
    right = np.flatnonzero(reference(program, before["x"])["logits"].argmax(axis=1) == before["y"])
    easy = np.full(len(before["y"]), right[0])
    recorded = len(read_npz(LAVA / "golden.npz", what="golden")["logits"])
    for x, y in ((before["x"][easy], before["y"][easy]), (before["x"] * 0, before["y"])):
        write_npz(LAVA / "stimulus.npz", {"x": x, "y": y})
        change_arrays(LAVA / "golden.npz", labels=y[:recorded])
        remade(program)
        code, findings = checked(capsys, "lava", "--baseline", "kept.json", "--min", "accuracy=50%")
        assert code == 1
        assert "SN503" in failing(findings)
        assert "SN312" in failing(checked(capsys, "lava", "--max", "energy_total=1mJ")[1])


@pytest.mark.parametrize(("asked", "whose"), [(None, "the folder's run.toml"), (5, "(--seed)")])
def test_a_test_split_says_who_chose_it(asked: int | None, whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run.toml beside the export names the seed of digits' split, and so may bring back what was trained on."""
    found = SimpleNamespace(samples=np.zeros((2, 1, 8, 8)), y=np.array([0, 1]), seed=5)
    monkeypatch.setattr("snnas.toolchain.models.open.open_subject", lambda folder, reading: found)
    chosen = given(Path("lava"), ReadingOptions(data="digits", seed=asked))
    assert chosen is not None
    assert chosen.given == "digits"
    assert "by seed 5 (" in chosen.split
    assert whose in chosen.split
