"""What an export says of its quantisation: bits, errors, proved ranges; and that exports of other bits stay apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.files import read_json
from snnas.toolchain.exporting.of_graph import export_graph
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.simulate import simulate
from snnas.toolchain.output.estimate import simulated
from snnas.toolchain.output.report import read_report, table
from snnas.toolchain.output.stderr import Narrator
from tests.export.compiler.test_ranges import planted
from tests.studies.ranges import cuba_chain

pytest.importorskip("torch")
QUIET = Narrator(quiet=True)
STEPS = 5


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    write_nir(tmp_path / "net.nir", cuba_chain(np.random.default_rng(0)))
    x = (np.random.default_rng(1).random((40, STEPS, 2, 10, 10)) < 0.3).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=np.zeros(40, np.int64))
    return tmp_path / "net.nir"


def export(model: Path, bits: int, *, force: bool = False) -> dict[str, object]:
    options = ExportOptions(samples=6, bits=bits, force=force)
    return export_graph(model, ReadingOptions(data="data.npz"), options, QUIET)


def shown(renderable: object) -> str:
    console = Console(width=200)
    with console.capture() as out:
        console.print(renderable)
    return out.get()


def test_bits_errors_and_ranges_are_in_report_manifest_and_table(model: Path) -> None:
    report = export(model, 4)
    folder = Path("net-lava")
    assert read_program(folder / "program.npz").weight_bits == 4
    manifest = read_json(folder / "manifest.json")
    assert report["resources"]["weight_bits"] == manifest["inputs"]["bits"] == 4  # type: ignore[index]
    assert manifest["checks"]["ranges_proved"] == manifest["checks"]["ranges_populations"] == 2
    ranges, errors = report["ranges"], report["quantisation"]
    assert {r["status"] for r in ranges.values()} == {"proved"}  # type: ignore[attr-defined]
    for found in ranges.values():  # type: ignore[attr-defined]
        assert 0 < max(found[r]["margin"] for r in "auv") <= 1
    assert all(0.05 < e["weight"] < 0.3 for e in errors.values())  # type: ignore[attr-defined]
    assert sum(e["differing"] for e in errors.values()) > 0  # type: ignore[attr-defined]
    assert errors["cuba1"]["spikes"] == 6 * STEPS * 800  # type: ignore[index]
    text = shown(table(read_report(folder / "report.json")))
    assert "bits of a weight" in text
    assert "2 of 2" in text
    assert "no input overflows a register; fullest:" in text
    assert "graph vs program; most: cuba" in text


def test_an_export_of_other_bits_is_not_taken_for_this_one(model: Path) -> None:
    first = export(model, 8)
    assert export(model, 8) == first
    with pytest.raises(UsageError, match=r"of other inputs \(bits 8, now 6\); overwrite it with --force"):
        export(model, 6)
    assert export(model, 6, force=True)["resources"]["weight_bits"] == 6  # type: ignore[index]
    with pytest.raises(UsageError, match="--bits 3: expected one of 8, 6, 4"):
        export(model, 3, force=True)


def test_a_graph_is_simulated_at_the_bits_that_are_asked_for(model: Path) -> None:
    for bits, expected in ((None, 8), (6, 6)):
        subject = open_subject(model, ReadingOptions(data="data.npz", bits=bits))
        result = simulate(subject, QUIET)
        assert result["weight_bits"] == expected
        assert "2 of 2" in shown(next(iter(simulated(result))))
    export(model, 4)
    assert open_subject(Path("net-lava"), ReadingOptions(bits=4)).program.weight_bits == 4
    with pytest.raises(UsageError, match="--bits 8: the program is compiled for 4; leave the option out"):
        open_subject(Path("net-lava"), ReadingOptions(bits=8))
    with pytest.raises(UsageError, match="--bits 7: expected one of"):
        open_subject(model, ReadingOptions(data="data.npz", bits=7))


def test_a_foreign_program_whose_current_wraps_is_refused_by_name(model: Path) -> None:
    program, victim = planted()
    write_program("planted.npz", program)
    for name, x in (("ones", np.ones((3, 6, 2, 10, 10), np.uint8)), ("none", np.zeros((3, 6, 2, 10, 10), np.uint8))):
        np.savez(f"{name}.npz", x=x)
    with pytest.raises(UnsupportedError, match=f"population {victim}: violated: its .* on these samples, the limit"):
        simulate(open_subject(Path("planted.npz"), ReadingOptions(data="ones.npz")), QUIET)
    result = simulate(open_subject(Path("planted.npz"), ReadingOptions(data="none.npz")), QUIET)
    assert result["ranges"][victim]["status"] == "observed"
    assert "1 of 2" in shown(next(iter(simulated(result))))
