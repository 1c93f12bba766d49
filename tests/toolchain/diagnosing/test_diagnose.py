"""The hybrid simulator meets both its neighbours; ``snnas diagnose`` prints, writes and returns what it found."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nir
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.compiler.parts import own_spikes
from snnas.export.dialects.conventions import OURS
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.diagnosing import causes, hybrid, mends, view
from snnas.toolchain.diagnosing.divergence import Divergence, explain, three_runs
from snnas.toolchain.diagnosing.faults import find
from snnas.toolchain.diagnosing.pairing import Joint, hard, pair
from snnas.toolchain.diagnosing.picture import write_picture
from snnas.toolchain.output import fitting
from snnas.toolchain.output.stderr import Narrator
from tests.export import nir_nets
from tests.export.compiler.test_foreign_lava import divided
from tests.networks import images, random_network

T = 5


def ours(seed: int) -> tuple[Graph, Program, np.ndarray]:
    graph = fold(random_network("lightsnn", seed, backward=seed % 2 == 1).layers())
    calibration = interpreter.run(graph, images(32, 1), T)
    return graph, compile_graph(graph, timesteps=T, spikes=calibration.spikes), images(12, seed)


def spiking(folder: Path, node: Any, *, late: int = 0, **options: Any) -> tuple[Graph, Program, np.ndarray]:
    """A foreign chain with ``node`` in its middle, driven by spikes; late: timesteps that they wait behind it."""
    rng = np.random.default_rng(5)
    first, second = (rng.normal(mean, 0.5, shape).astype(np.float32) for mean, shape in ((0.6, (9, 6)), (0.4, (7, 9))))
    nodes = {
        "first": nir.Affine(weight=first, bias=np.full(9, 0.05, np.float32)),
        "a": node(9),
        **({"wait": nir.Delay(delay=np.full(9, late * nir_nets.DT, np.float32))} if late else {}),
        "second": nir.Affine(weight=second, bias=np.full(7, -0.02, np.float32)),
        "b": nir_nets.lif(7),
        "last": nir.Linear(weight=rng.normal(0, 1, (3, 7)).astype(np.float32)),
    }
    graph = nir_nets.read(folder, nir_nets.graph_of((6,), nodes, (3,)))
    program = compile_graph(graph, timesteps=8, input_kind="spikes", **options)
    return graph, program, (rng.random((12, 8, 6, 1, 1)) < 0.5).astype(np.float32)


def case(name: str, folder: Path) -> tuple[Graph, Program, np.ndarray]:
    kind, _, seed = name.partition(" ")
    if kind == "lightsnn":
        return ours(int(seed))
    if kind == "cuba":
        return spiking(folder, nir_nets.cuba)
    if kind == "delay":
        return spiking(folder, nir_nets.lif, late=int(seed))
    return spiking(folder, nir_nets.integrate_and_fire if kind == "if" else nir_nets.lif, bits=4 if kind == "4" else 8)


@pytest.mark.parametrize(
    "name",
    ["lightsnn 0", "lightsnn 1", "lightsnn 2", "lightsnn 3", "lif", "if", "cuba", "4 bits", "delay 1", "delay 3"],
)
def test_all_integer_is_the_program_and_all_exact_the_graph(name: str, tmp_path: Path) -> None:
    graph, program, x = case(name, tmp_path)
    joint = pair(graph, program)
    given = hybrid.stimulus(joint, x)
    (trace, _), *_ = simulate_input(program, x)
    integer = hybrid.run_hybrid(joint, given)
    run = interpreter.run(graph, x, program.timesteps)
    exact = hybrid.run_hybrid(joint, given, hybrid.everywhere(joint, hybrid.CAUSES))
    for unit in joint.units:
        np.testing.assert_array_equal(integer.spikes[unit.id], trace.spikes[unit.id])
        np.testing.assert_array_equal(exact.spikes[unit.id].reshape(run.spikes[unit.node].shape), run.spikes[unit.node])
        assert exact.spikes[unit.id].any()
    np.testing.assert_array_equal(integer.predictions, trace.predictions)
    np.testing.assert_allclose(exact.answers, run.answers, atol=1e-9)


@pytest.mark.parametrize("kind", ["spikes", "analogue"])
@pytest.mark.parametrize("current", ["now", "late"])
def test_divided_populations_and_membranes_are_exact_too(kind: str, current: str, tmp_path: Path) -> None:
    """Populations that are parts of a node, currents that are seen late, a CubaLI that reads two populations."""
    convention = replace(OURS, current=current)  # type: ignore[arg-type]
    graph = nir_nets.read(tmp_path, divided(), delayed=frozenset({("loop", "slow")}), convention=convention)
    x = np.random.default_rng(0).random((3, 9, 8, 1, 1)).astype(np.float32)
    x = (x < 0.4).astype(np.float32) if kind == "spikes" else x
    program = compile_graph(graph, timesteps=9, input_kind=kind)  # type: ignore[arg-type]
    joint = pair(graph, program)
    assert find(joint) == []
    given = hybrid.stimulus(joint, x)
    (trace, _), *_ = simulate_input(program, x)
    integer = hybrid.run_hybrid(joint, given)
    run = interpreter.run(graph, x, 9)
    exact = hybrid.run_hybrid(joint, given, hybrid.everywhere(joint, hybrid.CAUSES))
    for unit in joint.units:
        np.testing.assert_array_equal(integer.spikes[unit.id], trace.spikes[unit.id])
        if unit.group is not None:
            wanted = own_spikes(program, unit.id, run.spikes[unit.node])
            np.testing.assert_array_equal(exact.spikes[unit.id], wanted)
    np.testing.assert_allclose(integer.answers, trace.logits / (64 * program.readout.scale))
    np.testing.assert_allclose(exact.answers, run.answers, atol=1e-9)
    kept = program.readout.response
    wrong = replace(program.readout, response=np.where(np.arange(9)[:, None] > 4, kept // 2, kept))
    faults = find(pair(graph, replace(program, readout=wrong)))
    assert ("readout", "dt or tau wrong") in {(f.population, f.kind) for f in faults}


def test_the_first_difference_of_a_divided_node_names_its_own_threshold(tmp_path: Path) -> None:
    given = divided()
    given.nodes["mixed"].v_threshold[:] = np.linspace(0.9, 1.6, 8)
    graph = nir_nets.read(tmp_path, given, delayed=frozenset({("loop", "slow")}))
    program = compile_graph(graph, timesteps=9, input_kind="spikes")
    higher = [replace(p, vth=2 * p.vth) if p.id == "mixed_1" else p for p in program.populations]
    joint = pair(graph, replace(program, populations=tuple(higher)))
    x = (np.random.default_rng(0).random((3, 9, 8, 1, 1)) < 0.4).astype(np.float32)
    found = Divergence()
    found.add(joint, *three_runs(joint, hybrid.stimulus(joint, x)))
    assert found.first is not None
    told = explain(joint, x, found.first)
    assert (told["population"], told["node"]) == ("mixed_1", "mixed")
    own = given.nodes["mixed"].v_threshold[[1, 4, 7]]
    assert told["node_threshold"] == pytest.approx(float(own[told["neuron"][0]]))


def test_a_soft_reset_is_exact_too(tmp_path: Path) -> None:
    graph, program, x = spiking(tmp_path, nir_nets.lif)
    soft = replace(graph, convention=replace(graph.convention, reset="subtract"))
    joint = pair(soft, program)
    exact = hybrid.run_hybrid(joint, hybrid.stimulus(joint, x), hybrid.everywhere(joint, hybrid.CAUSES))
    run = interpreter.run(soft, x, 8)
    assert (run.spikes["a"] != interpreter.run(hard(soft), x, 8).spikes["a"]).any()
    for name in ("a", "b"):
        np.testing.assert_array_equal(exact.spikes[name].reshape(run.spikes[name].shape), run.spikes[name])


def test_every_switch_that_is_in_play_changes_something(tmp_path: Path) -> None:
    graph, program, x = ours(1)
    joint = pair(graph, program)
    given, every = hybrid.stimulus(joint, x), hybrid.everywhere(joint, hybrid.CAUSES)
    exact = hybrid.run_hybrid(joint, given, every, watch="cell1_n1_lif").watched
    assert exact is not None
    for cause in ("input", "weights", "leak", "truncation", "bias"):
        other = hybrid.run_hybrid(joint, given, every - hybrid.everywhere(joint, [cause]), watch="cell1_n1_lif").watched
        assert other is not None
        assert (exact != other).any(), cause


def divergence(joint: Joint, x: np.ndarray) -> dict[str, Any]:
    """Added up over several batches."""
    found = Divergence()
    for k in range(0, len(x), 5):
        found.add(joint, *three_runs(joint, hybrid.stimulus(joint, x[k : k + 5])))
    return found.to_json(joint)


def test_divergence_counts_what_two_runs_differ_in() -> None:
    graph, program, x = ours(2)
    found = divergence(pair(graph, program), x)
    run = interpreter.run(graph, x, T)
    (trace, _), *_ = simulate_input(program, x)
    assert found["samples"] == len(x)
    for row in found["populations"]:
        parted = run.spikes[row["node"]] != trace.spikes[row["population"]]
        assert row["differing"] == parted.sum(axis=(0, 2, 3, 4)).tolist() if parted.ndim == 5 else True
        assert max(row["fraction"]) <= 1
    assert found["populations"][0]["fraction"] == found["populations"][0]["own_fraction"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """model.nir, a program of it with a mirrored kernel, and samples; labels are what the graph says."""
    monkeypatch.chdir(tmp_path)
    graph, program, _ = ours(0)
    x = images(40, 7)
    meta = {"timesteps": T, "input_kind": "analogue", "input_range": [0.0, 1.0]}
    write_nir(tmp_path / "model.nir", replace(graph, meta={**graph.meta, **meta}))
    synapses = tuple(
        replace(s, map=replace(s.map, weight=np.ascontiguousarray(s.map.weight[..., ::-1])))
        if s.id == "cell2_n0_lif__red2_lif__0"
        else s
        for s in program.synapses
    )
    write_program(tmp_path / "good.npz", program)
    write_program(tmp_path / "bad.npz", replace(program, synapses=synapses))
    np.savez(tmp_path / "samples.npz", x=x, y=interpreter.run(graph, x, T).predictions.astype(np.int64))
    return tmp_path


def asked(*more: str) -> list[str]:
    return ["diagnose", "model.nir", "--data", "samples.npz", "--quiet", *more]


def test_a_broken_program_is_named_and_its_smallest_failing_input_fails_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(asked("--program", "bad.npz", "--json", "--out", "found")) == 1
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((here / "found" / "diagnosis.json").read_text())
    assert found["schema"] == "snnas.diagnose/1"
    assert found["checks"] == {"hybrid_differs_from_simulator": 0, "exact_differs_from_interpreter": 0}
    (fault,) = found["faults"]
    assert (fault["population"], fault["kind"]) == ("red2_lif", "kernel mirrored")
    assert found["graph"]["accuracy"] == 1
    assert found["program"]["accuracy"] < fault["mended"]["accuracy"]
    assert found["first"]["population"] in {row["population"] for row in found["divergence"]["populations"]}
    assert {row["cause"] for row in found["causes"]} >= {"weights", "threshold", "truncation", "input"}
    small = read_npz(here / "found" / "smallest.npz", limit_bytes=1 << 20, what="x")
    assert np.count_nonzero(small["x"]) == found["smallest"]["nonzero"] < found["smallest"]["nonzero_before"]
    again = [a if a != "samples.npz" else "found/smallest.npz" for a in asked("--program", "bad.npz", "--json")]
    assert run_command(again) == 1
    repeated = json.loads(capsys.readouterr().out)
    assert repeated["program"]["accuracy"] == 0
    assert run_command(["simulate", "bad.npz", "--data", "found/smallest.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["on_target"] == 0


def test_a_good_program_has_no_fault_and_the_table_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(asked("--program", "good.npz", "--no-reduce")) == 0
    shown = capsys.readouterr().out
    assert "no fault" in shown
    assert "need not add up" in shown
    assert "most differences of its own" in shown
    assert not (here / "found").exists()


def test_a_graph_alone_is_compiled_and_one_that_resets_by_subtraction_shows_what_that_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, x = spiking(tmp_path, nir_nets.lif)
    np.savez("x.npz", x=x)
    common = ["diagnose", "foreign.nir", "--data", "x.npz", "--json", "--quiet"]
    assert run_command(common) == 0
    hard_one = json.loads(capsys.readouterr().out)
    assert hard_one["graph"]["accuracy"] is None
    assert run_command([*common, "--reset", "subtract"]) == 1
    captured = capsys.readouterr()
    assert "compiled with a reset to zero" in captured.err
    found = json.loads(captured.out)
    assert [f["kind"] for f in found["faults"]] == ["reset read wrongly"]
    assert found["causes"][0]["cause"] == "reset"
    assert found["program"]["differing_spikes"] > hard_one["program"]["differing_spikes"]


@pytest.fixture
def outlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """model.nir, whose synapse a -> b has one silent neuron's weights 60 times the others', and samples with labels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    second = rng.normal(0.2, 0.3, (12, 16)).astype(np.float32)
    second[:, 5] *= 60
    bias = np.full(16, 0.05, np.float32)
    bias[5] = -9
    nodes = {
        "first": nir.Affine(weight=rng.normal(0.4, 0.5, (16, 10)).astype(np.float32), bias=bias),
        "a": nir_nets.lif(16),
        "second": nir.Affine(weight=second, bias=np.full(12, -0.02, np.float32)),
        "b": nir_nets.lif(12),
        "last": nir.Linear(weight=rng.normal(0, 1, (4, 12)).astype(np.float32)),
    }
    graph = nir_nets.read(tmp_path, nir_nets.graph_of((10,), nodes, (4,)))
    meta = {"timesteps": 10, "input_kind": "spikes", "verified": True}
    write_nir(tmp_path / "model.nir", replace(graph, meta={**graph.meta, **meta}))
    x = (rng.random((120, 10, 10, 1, 1)) < 0.4).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=x, y=interpreter.run(graph, x, 10).predictions.astype(np.int64))
    return tmp_path


def test_lost_points_come_first_and_each_mend_was_run(outlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(asked("--bits", "4", "--json", "--no-reduce")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bits"] == 4
    assert found["loss"]["beyond_chance"]
    assert found["loss"]["points"] == pytest.approx(100 * (1 - found["program"]["accuracy"]))
    points = [row["off_alone"]["points"] for row in found["causes"]]
    assert points == sorted(points, reverse=True)
    assert found["causes"][0]["cause"] == "weights"
    helps = {m["where"] or m["text"]: m for m in found["mends"]}
    assert helps["--bits 8"]["accuracy"] > found["program"]["accuracy"]
    named = helps["a__b__0"]
    assert named["cause"] == "weights"
    assert named["ratio"] > 24
    assert run_command(["simulate", "model.nir", "--data", "samples.npz", "--bits", "4", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["on_target"] == found["program"]["accuracy"]
    assert run_command(asked("--bits", "4", "--no-reduce")) == 0
    shown = capsys.readouterr().out
    assert "most of it: weights (+" in shown
    assert "synapse a__b__0" in shown
    assert "not shown: 4 timesteps (--json has all)" in " ".join(shown.split())


def faked(program: list[int], off: dict[str, tuple[list[int], int]]) -> causes.SettingRuns:
    """Ten samples of class 0, on which the graph is right; off: what each cause alone gives back, and its spikes."""
    right = np.zeros(10, dtype=np.int64)
    settings = {c: causes.Setting(frozenset(), [np.array(p)], spikes) for c, (p, spikes) in off.items()}
    return causes.SettingRuns(
        graph=causes.Setting(frozenset(), [right]),
        program=causes.Setting(frozenset(), [np.array(program)], 100),
        off=settings,
        on=settings,
        mended=[],
        divergence=Divergence(),
        slots=1000,
        ties=0,
    )


LOST, KEPT = [1] * 6 + [0] * 4, [0] * 10


def test_a_cause_that_gives_points_back_stands_before_one_of_many_spikes() -> None:
    labels = np.zeros(10, dtype=np.int64)
    lost = faked(LOST, {"bias": (LOST, 10), "weights": (KEPT, 90)})
    assert [r["cause"] for r in causes.table(lost, labels)] == ["weights", "bias"]
    assert causes.loss(lost, labels) == {"points": 60.0, "lost": 6, "won": 0, "beyond_chance": True}
    kept = faked(KEPT, {"weights": (KEPT, 90), "bias": (KEPT, 10)})
    assert [r["cause"] for r in causes.table(kept, labels)] == ["bias", "weights"]
    assert not causes.loss(kept, labels)["beyond_chance"]


def test_what_compiling_anew_gains_by_itself_is_no_mend(outlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.export.formats.nir_file import read_nir

    graph = read_nir(outlier / "model.nir")
    joint = pair(graph, compile_graph(graph, timesteps=10, input_kind="spikes", bits=4))
    measured, x = faked(LOST, {}), np.zeros((10, 10, 10, 1, 1), np.float32)
    monkeypatch.setattr(mends, "_run", lambda *_: causes.Setting(frozenset(), [np.array(KEPT)]))
    assert mends.tried(joint, x, measured, None, compiled=False) == []
    assert [m["text"] for m in mends.tried(joint, x, measured, None, compiled=True)] == [mends.CALIBRATED]


def test_outliers_of_every_kind_are_found_and_clipped_alone(outlier: Path) -> None:
    from snnas.export.compiler.circuit import trace
    from snnas.export.formats.nir_file import read_nir
    from snnas.toolchain.diagnosing.outliers import outliers

    circuit = trace(read_nir(outlier / "model.nir"), "analogue")
    reading = circuit.readout.readings[0]
    readout, host = reading.weight.copy(), circuit.host[0].map.weight.copy()
    readout[0, 3] = 100 * np.abs(readout).max()
    host.reshape(-1)[2] = -30 * np.abs(host).max()
    far = replace(
        circuit,
        readout=replace(circuit.readout, readings=(replace(reading, weight=readout),)),
        host=(replace(circuit.host[0], map=replace(circuit.host[0].map, weight=host)),),
    )
    found = {o.cause: o for o in outliers(far)}
    assert {cause: o.where for cause, o in found.items()} == {
        "weights": "a__b__0", "bias": "a", "input": circuit.host[0].id, "readout": "readout"
    }  # fmt: skip
    assert [o.ratio for o in outliers(far)] == sorted((o.ratio for o in found.values()), reverse=True)
    assert (found["readout"].count, found["input"].count, found["weights"].total) == (1, 1, 12 * 16)
    for cause, o in found.items():
        after = {p.cause: p for p in outliers(o.clipped)}
        assert cause not in after or after[cause].ratio < o.ratio  # a bias is clipped at the threshold at most
        assert {other: after[other].ratio for other in found if other != cause} == {
            other: found[other].ratio for other in found if other != cause
        }
    clipped = found["input"].clipped.host[0].map.weight
    assert np.abs(clipped).max() == pytest.approx(found["input"].most)
    assert clipped.reshape(-1)[2] < 0


def test_bits_of_a_program_are_its_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(asked("--program", "good.npz", "--bits", "4")) == 2
    assert "--bits 4: good.npz is compiled for 8" in capsys.readouterr().err


def test_a_loss_that_chance_may_make_is_called_so() -> None:
    base: dict[str, Any] = {"samples": 100, "labels": True, "faults": [], "graph": {"accuracy": 0.9}}
    program = {"accuracy": 0.88, "differing_spikes": 9}
    rows = [{"cause": c, "off_alone": {"points": p, "spikes": s}} for c, p, s in (("bias", 0, 9), ("weights", 2, 3))]
    loss = {"points": 2.0, "lost": 3, "won": 1, "beyond_chance": False}
    said = view.headline({**base, "program": program, "causes": rows, "loss": loss})
    assert said.endswith("loss 2.00 points, which chance may do (+1 -3); most of it: weights (+2.00 if mended)")
    none = view.headline({**base, "program": program, "causes": rows, "loss": {**loss, "points": 0.0}})
    assert none.endswith("no fault; most differing spikes come of: bias")


def wide_diagnosis() -> dict[str, Any]:
    """As wide as a diagnosis of a deep network over many timesteps, with faults and mends, gets."""
    worth = {"points": -67.19, "mended": 10, "broken": 86, "differing_spikes": 12_109_934, "differing_fraction": 0.4835}
    rows = [
        {"population": f"cell{k}_n2_lif", "fraction": [0.12345] * 20, "own_fraction": [0.00012] * 20} for k in range(30)
    ]
    names = ("weights", "truncation")
    first = {"timestep": 3, "population": "cell1_n0_lif", "neuron": [1, 2, 3], "sample": 7, "float_fires": True}
    first |= {"float_margin": 1e-5, "integer_v": 416_896, "integer_threshold": 416_896, "removed_by": list(names)}
    cause = {"meaning": "weights rounded, moved by training, or wrong", "off_alone": worth, "on_alone": worth}
    fault = {"population": "cell2_n1_lif", "kind": "threshold off", "where": "cell2_n0_lif__cell2_n1_lif__0"}
    fault |= {"text": "the kernels are flipped (a convolution for a cross-correlation)"}
    return {
        "samples": 128,
        "labels": True,
        "graph": {"accuracy": 0.9},
        "program": {"accuracy": 0.3, **worth},
        "faults": [
            {**fault, "text": "the kernels are flipped (a convolution for a cross-correlation)", "mended": worth}
        ],
        "finetuned": None,
        "first": first,
        "divergence": {"timesteps": 20, "populations": rows},
        "causes": [{"cause": name, **cause} for name in names],
        "note": "causes interact: what each is worth alone need not add up to the whole",
        "mends": [{"text": "calibrated on these samples", "cause": "weights", "accuracy": 0.5, **worth}],
        "smallest": None,
        "checks": {"exact_differs_from_interpreter": 0},
    }


def test_its_tables_fit_a_terminal_of_80_columns_and_one_of_120() -> None:
    shown = [part for part in view.tables(wide_diagnosis()) if isinstance(part, Table)]
    assert len(shown) == 4
    for part in shown:
        narrow = [part.title, *fitting.lines(part, 80)]
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(fitting.boxed(part, 120))
        wide = console.export_text().splitlines()
        for lines, columns in ((narrow, 80), (wide, 120)):
            assert max(map(len, map(str, lines))) <= columns, part.title
            assert all("12.11 M (48.4%)" in line for line in map(str, lines) if "12.11" in line), "a figure is whole"


def test_an_exports_own_figures_stand_beside_those_of_the_samples_it_kept(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "model.nir", "--data", "samples.npz", "--samples", "8", "--out", "out", "--quiet"]
    assert run_command(command) == 0
    report = json.loads((here / "out" / "report.json").read_text())
    capsys.readouterr()
    assert run_command(["diagnose", "out", "--quiet", "--no-reduce", "--limit", "8"]) == 0
    shown = capsys.readouterr().out
    accuracy = report["accuracy"]
    assert accuracy["samples"] == 32
    assert f"of all its 32 samples: {accuracy['training']:.2%} in float, {accuracy['on_target']:.2%} on" in shown
    assert "--data samples.npz --limit 32" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["diagnose", "model.nir", "--quiet"], 2, "no samples"),
        (["diagnose", "nothing", "--quiet"], 2, "no run"),
        (["diagnose", ".", "--quiet"], 3, "no program.npz"),
        (["diagnose", "good.npz"], 2, "a program alone"),
        (["diagnose", "x", "--program", "good.npz"], 2, "goes with a .nir"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], code: int, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == code
    assert said in capsys.readouterr().err


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    graph, program, x = ours(3)
    joint = pair(graph, program)
    found = divergence(joint, x)
    worst = found["populations"][-1]["population"]
    result = {"subject": "a <b> & c", "divergence": found, "faults": [{"population": worst, "kind": "kernel"}]}
    write_picture(result, tmp_path / "out.svg")
    texts = [
        element.text for element in ElementTree.parse(tmp_path / "out.svg").iter() if element.tag.endswith("}text")
    ]
    assert "Diagnosis of a <b> & c" in texts
    assert texts.count(worst) == 2  # in either panel
    assert texts.count("kernel") == 1


def test_no_label_leaves_agreement(tmp_path: Path) -> None:
    graph, program, x = ours(0)
    joint = pair(graph, program)
    rows = causes.table(causes.measure(joint, x, []), None)
    assert all(r["off_alone"]["accuracy"] is None and "points" in r["off_alone"] for r in rows)
    assert isinstance(
        view._causes({"labels": False, "causes": rows, "note": "", "program": rows[0]["off_alone"]}), Table
    )
    assert Narrator(quiet=True).quiet


def test_a_fine_tuned_program_is_called_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from snnas.export.formats.program_file import read_program

    program = read_program(here / "good.npz")
    write_program(here / "tuned.npz", replace(program, meta={**program.meta, "finetuned": {"epoch": 2}}))
    assert run_command(asked("--program", "tuned.npz", "--no-reduce")) == 0
    assert "fine-tuned: " in capsys.readouterr().out


def test_the_last_bit_of_a_truncated_leak_is_the_simulators(tmp_path: Path) -> None:
    graph, program, x = spiking(tmp_path, nir_nets.lif)
    rng = np.random.default_rng(0)
    populations = tuple(
        replace(p, vth=0, dv=700, bias=rng.integers(-120, 40, p.shape).astype(np.int16), bias_exponent=0)
        for p in program.populations
    )
    synapses = tuple(
        replace(s, exponent=0, map=replace(s.map, weight=np.clip(s.map.weight, -3, 3))) for s in program.synapses
    )
    tiny = replace(program, populations=populations, synapses=synapses)
    x = (rng.random((1000, *x.shape[1:])) < 0.5).astype(np.float32)
    (trace, _), *_ = simulate_input(tiny, x, batch=len(x))
    joint = pair(graph, tiny)
    found = hybrid.run_hybrid(joint, hybrid.stimulus(joint, x))
    for name, spikes in trace.spikes.items():
        assert 0.01 < spikes.mean() < 0.98
        np.testing.assert_array_equal(found.spikes[name], spikes)
