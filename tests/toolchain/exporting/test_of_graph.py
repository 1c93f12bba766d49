"""Anybody's .nir to an export folder of the same kind as a run of ours, and to simulate and estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import write_nir
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.program import INPUT
from snnas.toolchain.checking import CheckOptions, check
from snnas.toolchain.checking.strays import FILES
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting.of_graph import export_graph
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.exporting.split import export_split
from snnas.toolchain.models import open as subjects
from snnas.toolchain.models.estimate import estimate
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.simulate import simulate
from snnas.toolchain.output.report import read_report, table
from snnas.toolchain.output.stderr import Narrator
from tests.export.nir_nets import cuba, dyadic, graph_of, integrate_and_fire, lif, read, written
from tests.networks import images, random_network

STEPS = 8
QUIET = Narrator(quiet=True)
pytest.importorskip("torch")


def small(node: Any = None) -> nir.NIRGraph:
    rng = np.random.default_rng(1)
    nodes = {
        "w": nir.Affine(weight=dyadic(rng, 12, 6), bias=dyadic(rng, 12, step=1 / 16)),
        "n": cuba(12) if node is None else node,
        "v": nir.Linear(weight=dyadic(rng, 4, 12)),
        "last": integrate_and_fire(4),
    }
    return graph_of((6,), nodes, (4,))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))
    return tmp_path


@pytest.fixture
def model(here: Path) -> Path:
    return written(here, small())


def data(folder: Path, *, labels: bool = True, kind: str = "spikes", samples: int = 40) -> str:
    rng = np.random.default_rng(2)
    x = rng.random((samples, STEPS, 6)).astype(np.float32)
    arrays = {"x": (x < 0.4).astype(np.uint8) if kind == "spikes" else x}
    if labels:
        arrays["y"] = rng.integers(0, 4, samples)
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def export(path: Path, samples: int = 4, force: bool = False, out: Path | None = None, **wanted: Any) -> dict[str, Any]:
    options = ExportOptions(samples=samples, force=force)
    return export_graph(path, ReadingOptions(**wanted), options, QUIET, out=out)


@pytest.mark.parametrize("kind", ["spikes", "analogue"])
def test_an_export_has_the_figures_and_files_of_our_own(kind: str, model: Path) -> None:
    given = {} if kind == "spikes" else {"input_kind": kind}
    report = export(model, data=data(model.parent, kind=kind), **given)
    folder = Path("foreign-lava")
    names = {p.name for p in folder.iterdir()}
    assert names >= {*FILES, "manifest.json", "report.json", "counts.json"}
    limits = {"energy_total": 1000.0, "cores": 1.0}
    found = check(folder, CheckOptions(limits=limits)).findings
    assert {f.code for f in found if f.status != "passed"} == {"SN312"}, "nobody has named the samples"
    found = check(folder, CheckOptions(limits=limits, trust_report=True)).findings
    assert {f.status for f in found} == {"passed"}, "every weight is what the graph compiles to"
    assert report["accuracy"]["samples"] == 32  # a fifth of forty calibrates
    assert report["calibration"] == "8 of 40 samples, drawn"
    assert report["energy_uJ"]["total"]["nominal"] > 0
    assert report["resources"]["neurons"] == 16
    assert report["checks"]["nir_differing_spikes"] == 0
    assert not report["convention"]["verified"]
    assert report["notes"][0].startswith("convention unverified: dt = 0.0001 s, Euler steps, a spike iff v > threshold")
    assert read_report(folder / "report.json") == report
    assert [c.header for c in table(report).columns][1] == "in float"
    assert (report["netx"] == "model.net") == (folder / "model.net").is_file()
    assert kind == "spikes" or report["netx"].startswith("its input is a current")
    if kind == "spikes":  # every weight is held exactly
        assert all(v["differing"] == 0 for v in report["quantisation"].values())
        assert report["accuracy"]["training"] == report["accuracy"]["on_target"]
    else:
        assert sum(v["differing"] for v in report["quantisation"].values()) < 0.01 * sum(
            v["spikes"] for v in report["quantisation"].values()
        )


def test_the_float_side_is_the_interpreters_on_the_samples_that_do_not_calibrate(model: Path) -> None:
    name = data(model.parent)
    report = export(model, data=name)
    arrays = np.load(name)
    opened = subjects.open_graph(model, ReadingOptions(data=name))
    split = export_split(opened, ReadingOptions(data=name), finetuned=False)
    kept = np.array([any(np.array_equal(a.ravel(), b.ravel()) for b in split.x) for a in arrays["x"]])
    assert kept.sum() == 32
    run = interpreter.run(opened.graph, arrays["x"][kept], STEPS)
    assert report["accuracy"]["training"] == float((run.predictions == arrays["y"][kept]).mean())
    assert report["spikes_per_inference"]["training"] == sum(int(s.sum()) for s in run.spikes.values()) / 32


def test_pools_are_overhead_on_both_sides(here: Path) -> None:
    graph = fold(random_network("lightsnn", 0).layers())
    write_nir(here / "pools.nir", graph)
    np.savez(here / "images.npz", x=images(20), y=np.arange(20) % 10)
    report = export(here / "pools.nir", data=str(here / "images.npz"), timesteps=3, input_kind="analogue")
    rates = report["sar"]["per_population"].values()
    spikes = sum(r["training"] * r["neurons"] * 3 for r in rates)
    assert report["spikes_per_inference"]["training"] == pytest.approx(spikes)
    assert spikes == pytest.approx(report["spikes_per_inference"]["on_target"], rel=0.1)
    assert report["spikes_per_inference"]["overhead"] > 0


def test_samples_without_labels_give_agreement_in_place_of_accuracy(model: Path) -> None:
    report = export(model, data=data(model.parent, labels=False))
    assert report["accuracy"]["training"] is None
    assert report["accuracy"]["on_target"] is None
    assert report["accuracy"]["agreement"] == 1.0
    table(report)
    assert {f.status for f in check(Path("foreign-lava"), CheckOptions()).findings} == {"passed"}


def test_an_export_is_reused_while_nothing_changed_and_kept_unless_forced(model: Path) -> None:
    name = data(model.parent)
    first = export(model, data=name)
    changed = Path("foreign-lava/report.json").stat().st_mtime_ns
    assert export(model, data=name) == first
    assert Path("foreign-lava/report.json").stat().st_mtime_ns == changed
    with pytest.raises(UsageError, match=r"of other inputs \(.*decay none, now exact.*\); overwrite it with --force"):
        export(model, data=name, decay="exact")
    again = export(model, data=name, decay="exact", force=True)
    assert again["convention"]["decay"] == "exact"
    assert subjects.read_nir(Path("foreign-lava/model.nir")).convention.decay == "exact"
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("kept")
    with pytest.raises(UsageError, match="mine exists and is no export of ours; name another folder"):
        export(model, data=name, out=Path("mine"), force=True)
    assert Path("mine/thesis.txt").read_text() == "kept"


def test_an_edited_manifest_is_not_up_to_date(model: Path) -> None:
    name = data(model.parent)
    export(model, data=name)
    path = Path("foreign-lava/manifest.json")
    whole = path.read_text()
    assert '"cores": 1' in whole
    path.write_text(whole.replace('"cores": 1', '"cores": 3'))
    assert {f.code for f in check(Path("foreign-lava"), CheckOptions()).findings if f.fails} == {"SN307"}
    export(model, data=name)
    assert path.read_text() == whole


def test_a_report_of_the_folder_is_shown_again(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = export(model, data=data(model.parent))
    assert run_command(["report", "foreign-lava", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert run_command(["report", "foreign-lava"]) == 0
    assert "in float" in capsys.readouterr().out


def test_a_delayed_edge_reaches_the_program_and_the_check(here: Path) -> None:
    rng = np.random.default_rng(4)
    nodes = {"w": nir.Linear(weight=dyadic(rng, 6, 6)), "n": lif(6), "back": nir.Linear(weight=dyadic(rng, 6, 6))}
    edges = [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    path = written(here, graph_of((6,), nodes, (6,), edges))
    with pytest.raises(InvalidFileError, match="name it with --delayed SRC:DST"):
        export(path, data=data(here))
    report = export(path, data=data(here), delayed=("n:back",))
    assert all(v["differing"] == 0 for v in report["quantisation"].values())
    assert {f.status for f in check(Path("foreign-lava"), CheckOptions()).findings} == {"passed"}


def test_simulate_and_estimate_take_the_same_graph(model: Path) -> None:
    name = data(model.parent)
    subject = open_subject(model, ReadingOptions(data=name, dt=2e-4))
    assert not subject.verified
    assert subject.notes[0].startswith("convention unverified: dt = 0.0002 s")
    assert simulate(subject, QUIET)["convention"] == "unverified"
    result = estimate(subject, Pricing(), QUIET)
    assert result["accuracy"]["samples"] == 32  # as of its export
    assert result["energy_uJ"]["total"]["nominal"] > 0
    assert result["convention"] == "unverified"
    export(model, data=name)
    folder = open_subject(Path("foreign-lava"), ReadingOptions())
    assert not folder.verified  # that our own file now says it makes it no truer
    with pytest.raises(UsageError, match="says its convention itself"):
        open_subject(Path("foreign-lava/model.nir"), ReadingOptions(data=name, dt=5e-5))


@pytest.mark.parametrize(
    ("wanted", "match"),
    [
        ({"dt": 0.0}, "--dt 0.0: expected seconds, a number > 0"),
        ({"decay": "linear"}, "--decay linear: expected euler or exact"),
        ({"compare": "=="}, "--compare ==: expected > or >="),
        ({"convention": "brian"}, "--convention 'brian': expected .*norse.*sinabs"),
        ({"delayed": ("w",)}, "--delayed 'w': expected SRC:DST"),
        ({"timesteps": 5}, "x has 8 frames, but 5 timesteps are asked for"),
    ],
)
def test_wrong_options_are_named(wanted: dict[str, Any], match: str, model: Path) -> None:
    with pytest.raises(UsageError, match=match):
        export(model, data=data(model.parent), **wanted)


def test_what_is_missing_is_asked_for(model: Path) -> None:
    with pytest.raises(UsageError, match=r"no samples; give --data FILE.npz"):
        export(model)
    with pytest.raises(UsageError, match="4 samples; at least 5 are needed, of which a fifth calibrates"):
        export(model, data=data(model.parent, samples=4))
    with pytest.raises(UsageError, match="give --input-kind analogue"):
        export(model, data=data(model.parent, kind="analogue"))


def test_one_dimensional_data_reach_a_graph_of_conv1d(here: Path) -> None:
    rng = np.random.default_rng(6)
    first = nir.Conv1d(
        weight=dyadic(rng, 3, 2, 3),
        bias=np.zeros(3, np.float32),
        stride=2,
        padding=1,
        dilation=1,
        groups=1,
        input_shape=9,
    )
    path = written(here, graph_of((2, 9), {"c": first, "n": integrate_and_fire(3, 5)}, (3, 5)))
    x = (rng.random((10, 4, 2, 9)) < 0.5).astype(np.uint8)
    np.savez(here / "lines.npz", x=x)
    report = export(path, data=str(here / "lines.npz"))
    assert all(v["differing"] == 0 for v in report["quantisation"].values())
    program = open_subject(Path("foreign-lava"), ReadingOptions()).program
    assert program.source_shape(INPUT) == (2, 1, 9)
    assert read(here, graph_of((2, 9), {"c": first, "n": integrate_and_fire(3, 5)}, (3, 5))).nodes["n"].shape == (
        3,
        1,
        5,
    )  # type: ignore[union-attr]
