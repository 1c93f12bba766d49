"""Silence is said: what never fires is named with its likely cause, and an accuracy of ties is no measurement."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nir
import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.silent import explained
from tests.export.nir_nets import full, lif, written

RNG = np.random.default_rng(5)
STATIC = RNG.random((30, 1, 4, 4)).astype(np.float32)
EVENTS = RNG.poisson(0.5, (30, 6, 1, 4, 4)).astype(np.uint8)
ANALOGUE = ("-T", "6", "--input-kind", "analogue")


def foreign(folder: Path, neuron: Any, last: Any, *, gain: float = 0.3) -> Path:
    """Input -> linear -> 8 neurons -> linear -> 3 neurons -> output; weights differ, so that nothing ties by itself."""
    rng = np.random.default_rng(1)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([16])}),
        "fc": nir.Linear(rng.uniform(0, gain, (8, 16)).astype(np.float32)),
        "first": neuron,
        "fc2": nir.Linear(rng.uniform(0.1, 1, (3, 8)).astype(np.float32)),
        "last": last,
        "output": nir.Output(output_type={"output": np.array([3])}),
    }
    return written(folder, nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(nodes)), type_check=False))


def plain_if(*shape: int, threshold: float = 1) -> nir.IF:
    """As sinabs writes it: r = 1, to be read with a timestep of 1."""
    return nir.IF(r=full(shape, 1), v_threshold=full(shape, threshold))


def samples(folder: Path, x: np.ndarray) -> str:
    np.savez(folder / "d.npz", x=x, y=np.arange(len(x)) % 3)
    return str(folder / "d.npz")


def told(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    """Stdout and stderr of a command, words and borders of tables in one line."""
    capsys.readouterr()
    assert run_command([*map(str, arguments)]) == code
    return tuple(" ".join(text.replace("│", " ").split()) for text in capsys.readouterr())  # type: ignore[return-value]


def test_ties_and_constant_answers_are_counted() -> None:
    watch = Answers()
    watch.add(np.array([[1, 1, 0], [2, 1, 0]]))
    watch.add(np.array([[0, 3, 3]]))
    found = watch.with_spikes({"a": 0, "b": 7})
    assert (found.ties, found.samples, found.constant, found.silent) == (2, 3, False, ("a",))
    assert found.no_measurement is None
    assert str(found) == "1 of 2 never fire: a"
    same = Answers()
    same.add(np.array([[1, 0], [1, 0]]))
    assert same.with_spikes({}).no_measurement == "all 2 samples have the same answers"
    alone = Answers()
    alone.add(np.array([[1.0], [2.0]]))  # one class ties with nobody
    assert not alone.with_spikes({"a": 1})
    assert Silence.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert Silence.from_json(None) is None


@pytest.mark.parametrize("command", ["simulate", "estimate"])
def test_an_if_graph_at_the_default_dt_is_no_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    model, data = foreign(tmp_path, plain_if(8), plain_if(3)), samples(tmp_path, STATIC)
    out, err = told(capsys, command, model, "--data", data, *ANALOGUE)
    assert "accuracy on target no measurement all 24 predictions are ties" in out
    assert "never fire 2 of 2 first, last" in out
    assert "first is an IF neuron: at dt = 0.0001 s a timestep adds 0.0001 of its input" in err
    assert "33.33%" not in out
    assert "likely less energy" not in out
    assert f"next: snnas {command} {model} --data {data} --timesteps 6 --input-kind analogue --dt 1" in err
    # What is proposed fires.
    out, err = told(capsys, command, model, "--data", data, *ANALOGUE, "--dt", 1)
    assert "no measurement" not in out + err
    assert "never fire" not in out


def test_what_is_silent_stands_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = foreign(tmp_path, plain_if(8), plain_if(3)), samples(tmp_path, STATIC)
    for command in ("simulate", "estimate"):
        assert run_command([command, str(model), "--data", data, *ANALOGUE, "--json", "-q"]) == 0
        out, err = capsys.readouterr()
        found = json.loads(out)["silence"]
        assert (found["silent"], found["populations"], found["ties"]) == (["first", "last"], 2, 24)
        assert found["no_measurement"] == "all 24 predictions are ties"
        assert "likely cause: first is an IF neuron" in err  # quiet or not
    assert json.loads(out)["ann"]["verdict"] == "none; all 24 predictions are ties"


@pytest.mark.parametrize(
    ("neurons", "x", "options", "words"),
    [
        ((lif(8, tau=2e4), lif(3)), STATIC, ANALOGUE, ["first leaks with tau = 2 s, 20,000 timesteps of 0.0001 s"]),
        ((lif(8), lif(3)), EVENTS, ("--input-kind", "analogue"), ["event counts perhaps", "as float32"]),
        ((lif(8, threshold=50), lif(3)), STATIC, ANALOGUE, ["membrane of first reaches", "% of its threshold"]),
        ((lif(8), lif(3, threshold=99)), STATIC, ANALOGUE, ["1 of 2 never fire: last", "membrane of last reaches"]),
        ((lif(8), plain_if(3)), STATIC, ANALOGUE, ["last is an IF neuron", "--convention, or set --dt"]),
    ],
    ids=["tau", "events", "threshold", "readout", "readout-if"],
)
def test_the_likely_cause_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    neurons: tuple[Any, Any],
    x: np.ndarray,
    options: tuple[str, ...],
    words: list[str],
) -> None:
    model = foreign(tmp_path, *neurons)
    _, err = told(capsys, "simulate", model, "--data", samples(tmp_path, x), *options)
    for word in ("no measurement: all 24 predictions are ties", *words):
        assert word in err, err
    assert "next: snnas estimate" not in err


@pytest.mark.usefixtures("no_lava")
def test_export_diagnose_and_check_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    model, data, folder = foreign(tmp_path, plain_if(8), plain_if(3)), samples(tmp_path, STATIC), tmp_path / "made"
    command = ("export", model, "--data", data, *ANALOGUE, "--out", folder)
    for _ in ("made", "made already"):
        out, err = told(capsys, *command)
        assert "accuracy no measurement no measurement all 24 predictions are ties" in out
        assert "likely cause: first is an IF neuron" in err
        assert f"next: snnas diagnose {folder}" in err
        assert "next: snnas check" not in err
    silence = json.loads((folder / "report.json").read_text())["silence"]
    assert silence["training"]["silent"] == silence["on_target"]["silent"] == ["first", "last"]
    out, _ = told(capsys, "diagnose", folder, "--out", tmp_path / "said")
    assert "no measurement of graph and program: all 24 predictions are ties" in out
    assert "2 of 2 never fire: first, last; likely cause: first is an IF neuron" in out
    drawn = " ".join(" ".join(ElementTree.parse(tmp_path / "said/divergence.svg").getroot().itertext()).split())
    assert "Program: no measurement: all 24 predictions are ties; 2 of 2 never fire: first, last" in drawn
    out, _ = told(capsys, "check", folder, "--min", "accuracy=0.01", code=1)
    assert "failed SN309 recording reaches 2 of 2 never fire: first, last; nothing that the readout reads fires" in out
    assert "failed SN310 answers all 24 predictions are ties" in out
    assert "failed SN401" in out  # no such figure


@pytest.mark.parametrize(
    ("neuron", "said"), [(plain_if, "nothing fired in it, so that equal spikes say nothing"), (lif, " fired in it")]
)
def test_lavas_equal_spikes_are_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, neuron: Any, said: str
) -> None:
    """With a worker that brings back the recorded spikes, and a count that nobody believes."""

    def worker(stage: Path, *given: Any, **named: Any) -> dict[str, Any]:
        arrays = read_npz(stage / "golden.npz", what="golden")
        spikes = {name: value for name, value in arrays.items() if name.startswith("spikes.")}
        per_population = {name.removeprefix("spikes."): {"fired": 7} for name in spikes}
        return {"arrays": spikes, "hardware_steps": 9, "run_seconds": 0.1, "per_population": per_population}

    monkeypatch.setattr("snnas.toolchain.exporting.lava.lava_python", lambda options: (tmp_path, "Lava 0.0"))
    monkeypatch.setattr("snnas.toolchain.exporting.lava.run_worker", worker)
    monkeypatch.setenv("COLUMNS", "300")
    model, data, folder = foreign(tmp_path, neuron(8), neuron(3)), samples(tmp_path, STATIC), tmp_path / "made"
    out, err = told(capsys, "export", model, "--data", data, *ANALOGUE, "--out", folder)
    report = json.loads((folder / "report.json").read_text())
    golden = read_npz(folder / "golden.npz", what="golden")
    spikes = sum(int(np.unpackbits(v).sum()) for name, v in golden.items() if name.startswith("spikes."))
    assert (spikes == 0) == (neuron is plain_if)
    words = said if neuron is plain_if else f"{spikes:,}{said}"
    assert report["checks"]["lava"] == f"Lava 0.0; {words}"
    assert (f"compared; {words}" in out) == (neuron is plain_if)
    assert f"spikes differ, {words}; 9 steps" in err


def test_an_onnx_export_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    model, data, folder = foreign(tmp_path, plain_if(8), plain_if(3)), samples(tmp_path, STATIC), tmp_path / "made"
    for _ in ("made", "made already"):
        out, err = told(capsys, "export", model, "--target", "onnx", "--data", data, *ANALOGUE, "--out", folder)
        assert "accuracy no measurement all 30 predictions are ties" in out
        assert "never fire 2 of 2 first, last" in out
        assert "33.33%" not in out
        assert "likely cause: first is an IF neuron: at dt = 0.0001 s" in err
        assert f"next: snnas check {folder}" in err
    assert json.loads((folder / "report.json").read_text())["silence"]["options"] == "--dt 1"
    out, err = told(capsys, "export", model, "--target", "onnx", "--data", data, *ANALOGUE, "--dt", 1, "--force",
                    "--out", folder)  # fmt: skip
    assert "no measurement" not in out + err


def test_check_of_a_lone_graph_fails_where_nothing_fires(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = foreign(tmp_path, plain_if(8), plain_if(3)), samples(tmp_path, STATIC)
    out, _ = told(capsys, "check", model, "--record", "auto", "--data", data, *ANALOGUE, code=1)
    assert "SN310" in out
    assert "FAILED: 1 of" in out
    alive = ("check", model, "--record", "auto", "--data", data, *ANALOGUE, "--dt", "1", "--force", "--new-recording")
    out, _ = told(capsys, *alive)
    assert "are no ties" in out


def test_a_scale_that_left_no_bits_is_named(tmp_path: Path) -> None:
    model = foreign(tmp_path, lif(8), lif(3, threshold=99))
    wanted = ReadingOptions(data=samples(tmp_path, STATIC), timesteps=6, input_kind="analogue")
    subject = open_subject(model, wanted)
    signs = [replace(s, map=replace(s.map, weight=np.sign(s.map.weight))) for s in subject.program.synapses]
    silence = Silence(silent=("last",), populations=2, ties=0, samples=2, constant=False)
    for synapses, said in ((tuple(signs), True), (subject.program.synapses, False)):
        found = explained(silence, replace(subject.program, synapses=synapses), subject.samples, subject.graph)
        assert ("rounding left the weights into last at most 1 step," in str(found.cause)) == said
