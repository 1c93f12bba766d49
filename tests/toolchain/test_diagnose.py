"""The hybrid simulator meets both its neighbours; ``snnas diagnose`` prints, writes and returns what it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from rich.table import Table

from export import interpreter
from export.compile import compile_graph
from export.fold import fold
from export.graph import Graph
from export.nir_file import write_nir
from export.npz_file import read_npz
from export.program_file import write_program
from hw_sim.program import Program
from hw_sim.simulator import simulate_input
from tests.export import nir_nets
from tests.networks import images, random_network
from toolchain.cli import run_command
from toolchain.diagnosing import causes, hybrid, view
from toolchain.diagnosing.divergence import divergence
from toolchain.diagnosing.pairing import hard, pair
from toolchain.narration import Narrator

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
    integer = hybrid.run(joint, given)
    run = interpreter.run(graph, x, program.timesteps)
    exact = hybrid.run(joint, given, hybrid.everywhere(joint, hybrid.CAUSES))
    for unit in joint.units:
        np.testing.assert_array_equal(integer.spikes[unit.id], trace.spikes[unit.id])
        np.testing.assert_array_equal(exact.spikes[unit.id].reshape(run.spikes[unit.node].shape), run.spikes[unit.node])
        assert exact.spikes[unit.id].any()
    np.testing.assert_array_equal(integer.predictions, trace.predictions)
    np.testing.assert_allclose(exact.answers, run.answers, atol=1e-9)


def test_a_soft_reset_is_exact_too(tmp_path: Path) -> None:
    graph, program, x = spiking(tmp_path, nir_nets.lif)
    soft = replace(graph, convention=replace(graph.convention, reset="subtract"))
    joint = pair(soft, program)
    exact = hybrid.run(joint, hybrid.stimulus(joint, x), hybrid.everywhere(joint, hybrid.CAUSES))
    run = interpreter.run(soft, x, 8)
    assert (run.spikes["a"] != interpreter.run(hard(soft), x, 8).spikes["a"]).any()
    for name in ("a", "b"):
        np.testing.assert_array_equal(exact.spikes[name].reshape(run.spikes[name].shape), run.spikes[name])


def test_every_switch_that_is_in_play_changes_something(tmp_path: Path) -> None:
    graph, program, x = ours(1)
    joint = pair(graph, program)
    given, every = hybrid.stimulus(joint, x), hybrid.everywhere(joint, hybrid.CAUSES)
    exact = hybrid.run(joint, given, every, watch="cell1_n1_lif").watched
    assert exact is not None
    for cause in ("input", "weights", "leak", "truncation", "bias"):
        other = hybrid.run(joint, given, every - hybrid.everywhere(joint, [cause]), watch="cell1_n1_lif").watched
        assert other is not None
        assert (exact != other).any(), cause


def test_divergence_counts_what_two_runs_differ_in() -> None:
    graph, program, x = ours(2)
    found = divergence(pair(graph, program), x, batch=5)
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
    pytest.importorskip("matplotlib")
    graph, program, x = ours(3)
    joint = pair(graph, program)
    rows = {"divergence": divergence(joint, x), "faults": []}
    view.picture(rows, tmp_path / "out.png")
    view.picture(rows, tmp_path / "out.svg")
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"
    assert b"<svg" in (tmp_path / "out.svg").read_bytes()


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
    from export.program_file import read_program

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
    found = hybrid.run(joint, hybrid.stimulus(joint, x))
    for name, spikes in trace.spikes.items():
        assert 0.01 < spikes.mean() < 0.98
        np.testing.assert_array_equal(found.spikes[name], spikes)
