"""One recipe of calibration: the same graph with the same data is the same program, whichever command compiles it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import sha256
from snnas.hw_sim.program import Program
from snnas.toolchain.checking import CheckOptions
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.lone_nir import check_nir
from snnas.toolchain.diagnosing.case import open_case
from snnas.toolchain.exporting.of_graph import export_graph
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.models.calibrate import split_of
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.open import open_graph, open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.simulate import simulate
from snnas.toolchain.output.stderr import Narrator
from tests.studies.ranges import cuba_chain

QUIET = Narrator(quiet=True)
STEPS = 5


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    write_nir(tmp_path / "net.nir", cuba_chain(np.random.default_rng(0)))
    saved(40)
    return Path("net.nir")


def saved(samples: int) -> None:
    x = (np.random.default_rng(1).random((samples, STEPS, 2, 10, 10)) < 0.3).astype(np.uint8)
    np.savez("data.npz", x=x, y=np.arange(samples) % 4)


def content(program: Program) -> str:
    """The hash of everything that a program computes with."""
    write_program("content.npz", program)
    return sha256(Path("content.npz"))


@pytest.mark.parametrize("bits", [8, 4])
def test_every_command_compiles_the_same_program(bits: int, model: Path) -> None:
    wanted = ReadingOptions(data="data.npz", bits=bits, timesteps=STEPS)
    report = export_graph(model, wanted, ExportOptions(samples=4, bits=bits), QUIET)
    exported = read_program("net-lava/program.npz")
    opened = open_subject(model, wanted)
    assert content(opened.program) == content(exported)
    assert content(open_case(str(model), wanted).program) == content(exported)
    book = Book(model, "nir")
    of_check = check_nir(book, CheckOptions(reading=replace(wanted, limit=40), record="auto"))
    assert of_check.subject is not None
    assert content(of_check.subject.program) == content(exported)
    assert next(f.detail for f in book.findings if f.code == "SN207").endswith("calibrated on 8 of 40 samples, drawn")
    simulated = simulate(opened, QUIET)
    assert simulated["spikes_per_inference"]["mean"] == report["spikes_per_inference"]["on_target"]
    estimated = estimate(opened, Pricing(), QUIET)
    assert estimated["accuracy"]["on_target"] == report["accuracy"]["on_target"]
    assert estimated["accuracy"]["samples"] == report["accuracy"]["samples"] == 32


def test_a_limit_cuts_what_is_measured_alone(model: Path) -> None:
    whole, part = (
        open_subject(model, ReadingOptions(data="data.npz", timesteps=STEPS, limit=limit)) for limit in (None, 3)
    )
    assert content(whole.program) == content(part.program)
    assert whole.x is not None
    assert part.x is not None
    assert np.array_equal(part.x, whole.x[:3])


def test_too_few_samples_calibrate_nothing_and_it_is_said(model: Path) -> None:
    saved(4)
    subject = open_subject(model, ReadingOptions(data="data.npz", timesteps=STEPS))
    assert subject.x is not None
    assert len(subject.x) == 4
    few = "uncalibrated: 4 samples, fewer than the 5 of which a fifth would calibrate"
    assert few in subject.notes
    with pytest.raises(UsageError, match="4 samples; at least 5 are needed"):
        export_graph(model, ReadingOptions(data="data.npz", timesteps=STEPS), ExportOptions(), QUIET)


def test_what_calibrates_is_never_measured(model: Path) -> None:
    wanted = ReadingOptions(data="data.npz", timesteps=STEPS)
    split = split_of(open_graph(model, wanted), wanted)
    assert split.x is not None
    assert split.calibration is not None
    assert (len(split.x), len(split.calibration)) == (32, 8)
    assert not {a.tobytes() for a in split.x} & {a.tobytes() for a in split.calibration}
