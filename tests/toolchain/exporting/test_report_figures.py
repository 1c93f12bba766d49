"""Figures of an export's report, computed again from what they are about: one small graph, uneven classes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nir
import numpy as np
import pytest
from rich.console import Console

from snnas.export.executors import interpreter
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.simulate.simulator import simulate
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting.split import export_split
from snnas.toolchain.html import figures_quantisation
from snnas.toolchain.models.open import open_graph
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.report import table
from tests.export.nir_nets import graph_of, lif, written

RECORDED = 5
FOLDER = Path("foreign-lava")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(autouse=True)
def _there(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    monkeypatch.setattr("snnas.hw_sim.lava.environment.find_python", lambda given: (None, "not in this test"))


@pytest.fixture(scope="module")
def samples(work: Path) -> dict[str, np.ndarray]:
    """60 of spikes; of class 0 forty, of class 1 fourteen, of class 2 six."""
    x = np.random.default_rng(2).random((60, 12, 6)) < np.linspace(0.1, 0.7, 60)[:, None, None]
    arrays = {"x": x.astype(np.uint8), "y": np.repeat([0, 1, 2], [40, 14, 6])}
    np.savez(work / "data.npz", **arrays)
    np.savez(work / "unlabelled.npz", x=arrays["x"])
    return arrays


@pytest.fixture(scope="module")
def graph(work: Path) -> Path:
    """``last`` reads the input by weights of its threshold's size, and ``first`` by some that are 15,000 times less."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int, scale: float) -> nir.Linear:
        return nir.Linear(weight=(rng.normal(0.2, 1, shape) * scale).astype(np.float32))

    nodes = {"w": drawn(8, 6, scale=1.5), "first": lif(8), "large": drawn(3, 6, scale=1.5)}
    nodes |= {"small": drawn(3, 8, scale=1e-4), "last": lif(3)}
    ways = [("input", "w"), ("w", "first"), ("first", "small"), ("small", "last"), ("input", "large")]
    return written(work, graph_of((6,), nodes, (3,), [*ways, ("large", "last"), ("last", "output")]))


def ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    assert run_command([*map(str, words), "--json"]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def exported(
    capsys: pytest.CaptureFixture[str], graph: Path, data: str = "data.npz", bits: int = 8
) -> tuple[dict[str, Any], str]:
    return ran(capsys, "export", graph, "--data", data, "--samples", RECORDED, "--bits", bits, "--force")


def test_few_bits_are_said_in_warning_report_and_page(
    graph: Path, samples: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    report, err = exported(capsys, graph)
    program = read_program(FOLDER / "program.npz")
    small, large = (s.map.weight for s in sorted(program.into("last"), key=lambda s: np.abs(s.map.weight).max()))
    top = int(np.abs(small).max())
    bits = top.bit_length() + 1
    assert bits in (2, 3)
    lost = f"{(small == 0).sum() / (small.size + large.size):.0%} rounded to 0"
    values = len({*small.ravel().tolist(), *large.ravel().tolist()})
    assert [line for line in err.splitlines() if "warning" in line] == [
        f"  warning: population last: {bits} of 8 bits left: largest weight {top}, {values} different, {lost}; "
        f"snnas diagnose says what it costs"
    ]
    shown = io.StringIO()
    Console(width=200, file=shown).print(table(report))
    (row,) = [line for line in shown.getvalue().splitlines() if "bits left, at least" in line]
    assert f" {bits} " in row
    assert f"of last: largest weight {top}, {values} different" in row
    page = str(figures_quantisation.section(SimpleNamespace(report=report)))  # type: ignore[arg-type]
    assert f" Few bits are left the weights of last ({bits})." in page


def test_latencies_of_single_samples_are_those_of_each_alone(
    graph: Path, samples: dict[str, np.ndarray], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = exported(capsys, graph)
    with np.load(FOLDER / "golden.npz") as golden:
        recorded = golden["input.spikes"].reshape(RECORDED, 12, 6).astype(np.uint8)
    alone = []
    for k in range(RECORDED):
        np.savez(work / "one.npz", x=recorded[k : k + 1])
        alone.append(ran(capsys, "estimate", FOLDER, "--data", "one.npz", "--quiet")[0]["latency_us"]["nominal"])
    assert len(set(alone)) > 2
    wanted = {"mean": np.mean(alone), "p95": np.percentile(alone, 95), "samples": RECORDED}
    assert report["latency_samples_us"] == pytest.approx(wanted, rel=1e-12)
    np.savez(work / "all.npz", x=recorded)
    found = ran(capsys, "estimate", FOLDER, "--data", "all.npz", "--quiet")[0]
    assert found["latency_samples_us"] == pytest.approx(wanted, rel=1e-12)
    assert found["latency_us"]["nominal"] <= found["latency_samples_us"]["mean"]


def test_balanced_accuracy_is_the_mean_over_the_classes(
    graph: Path, samples: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = exported(capsys, graph, bits=4)
    asked = ReadingOptions(data="data.npz")
    opened = open_graph(graph, asked)
    split = export_split(opened, asked, finetuned=False)
    assert split.y is not None
    program = read_program(FOLDER / "program.npz")
    spikes = split.x.reshape(len(split.y), 12, *program.input_shape) > 0
    predictions = {
        "training": interpreter.run(opened.graph, split.x, 12).predictions,
        "on_target": simulate(program, spikes_in=spikes).logits.argmax(axis=1),
    }
    assert (predictions["training"] != predictions["on_target"]).any()
    for name, given in predictions.items():
        shares = [(given[split.y == label] == label).mean() for label in (0, 1, 2)]
        assert report["accuracy"][f"balanced_{name}"] == pytest.approx(sum(shares) / 3, abs=1e-12)
        assert abs(report["accuracy"][name] - sum(shares) / 3) > 0.05


def test_without_labels_there_is_no_balanced_accuracy(
    graph: Path, samples: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels are then predictions of the graph, which are uneven too."""
    report, _ = exported(capsys, graph, "unlabelled.npz")
    assert report["accuracy"]["agreement"] > 0.9
    assert not [key for key in report["accuracy"] if key.startswith("balanced")]
