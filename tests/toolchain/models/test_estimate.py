"""``simulate`` and ``estimate`` on foreign graphs, programs and exports: figures, questions asked, exit codes."""

from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import tomli_w

from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.energy import compare_ann
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.program import INPUT, HostMap, LinearMap
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.models.open import open_subject
from snnas.toolchain.models.reading_options import ReadingOptions
from tests.hw_sim.simulate.test_counts import conv, dense, population, program

SPIKES = np.random.default_rng(0).random((12, 6, 2, 8, 8)) < 0.3


def foreign(path: Path, *, cycle: bool = False) -> Path:
    """A graph as another tool writes it: no metadata of ours."""
    rng = np.random.default_rng(1)

    def lif(shape: tuple[int, ...]) -> nir.LIF:
        one = np.ones(shape, np.float32)
        return nir.LIF(tau=2e-4 * one, r=one, v_leak=0 * one, v_threshold=0.5 * one, v_reset=0 * one)

    kernel = rng.normal(0.1, 0.3, (4, 2, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input(input_type={"input": np.array([2, 8, 8])}),
        "conv": nir.Conv2d((8, 8), kernel, 1, 1, 1, 1, np.zeros(4, np.float32)),
        "lif": lif((4, 8, 8)),
        "flat": nir.Flatten({"input": np.array([4, 8, 8])}, start_dim=0, end_dim=-1),
        "fc": nir.Affine(rng.normal(0, 0.2, (10, 256)).astype(np.float32), np.zeros(10, np.float32)),
        "out_lif": lif((10,)),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    if cycle:
        nodes["back"] = nir.Conv2d((8, 8), 0.1 * kernel[:, :1].repeat(4, 1), 1, 1, 1, 1, np.zeros(4, np.float32))
        edges += [("lif", "back"), ("back", "lif")]
    nir.write(path, nir.NIRGraph(nodes=nodes, edges=edges))
    return path


def data(path: Path, x: np.ndarray = SPIKES, *, labels: bool = True) -> Path:
    arrays = {"x": x.astype(np.uint8) if x.dtype == bool else x}
    np.savez(path, **arrays, **({"y": np.arange(len(x)) % 3} if labels else {}))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[dict[str, Any], str]:
    capsys.readouterr()
    assert run_command([*map(str, arguments), "--json", "-q"]) == code
    out, err = capsys.readouterr()
    return (json.loads(out) if out else {}), err


def test_a_foreign_graph_is_estimated_in_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = foreign(tmp_path / "m.nir")
    found, err = run(capsys, "estimate", model, "--data", data(tmp_path / "d.npz"), "--profiles", "all")
    assert found["schema"] == "snnas.estimate/1"
    assert "convention unverified" in err
    assert found["convention"] == "unverified"
    assert any("dt = 0.0001" in note and "v > threshold" in note for note in found["notes"])
    assert (found["input_kind"], found["timesteps"], found["samples"]) == ("spikes", 6, 10)  # of twelve, two calibrate
    assert found["fit"]["fits"]
    assert found["fit"]["cores"] == 1
    low, high = found["sar"]["interval"]
    assert low < found["sar"]["mean"] < high
    energy = found["energy_uJ"]
    assert energy["profile"] == "loihi1"
    assert {"spike_generation"} <= {u["item"] for u in energy["unpriced"]}
    for end in ("low", "nominal", "high"):
        lines = [line["energy"][end] for line in energy["lines"] if line["part"] == "dynamic"]
        assert energy["dynamic"][end] == pytest.approx(sum(lines))
    low, high = energy["dynamic_interval"]
    assert low <= energy["dynamic"]["nominal"] <= high
    assert [row["profile"] for row in found["profiles"]] == [
        "analytic45_int8",
        "loihi1",
        "loihi1_board2019",
        "loihi1_calibrated",
        "loihi1_davies2018",
    ]
    work = found["work"]["synops_per_inference"]["mean"]
    macs = 4 * 2 * 22 * 22 + 2560  # 8 rows of 3 taps, less 2 at the edges
    assert found["ann"]["ann_macs"] == macs
    assert found["ann"]["synops_per_ann_mac"] == pytest.approx(work / macs)
    assert set(found["provenance"]) >= {"accuracy", "activity", "energy_uJ", "ann"}


def test_simulate_and_estimate_agree_and_repeat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, samples = foreign(tmp_path / "m.nir"), data(tmp_path / "d.npz")
    one, _ = run(capsys, "simulate", model, "--data", samples)
    two, _ = run(capsys, "estimate", model, "--data", samples)
    assert one["schema"] == "snnas.simulate/1"
    for name in ("sar", "spikes_per_inference", "accuracy", "model_sha256"):
        assert one[name] == two[name]
    assert one["synops_per_inference"] == two["work"]["synops_per_inference"]
    assert [p["id"] for p in one["populations"]] == ["lif", "out_lif"]
    assert run(capsys, "simulate", model, "--data", samples)[0] == one
    few, _ = run(capsys, "simulate", model, "--data", samples, "--limit", 3)
    assert few["samples"] == 3


def test_tables_hold_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    model, samples = foreign(tmp_path / "m.nir"), data(tmp_path / "d.npz", labels=False)
    assert run_command(["simulate", str(model), "--data", str(samples)]) == 0
    assert "no labels" in capsys.readouterr().out
    assert run_command(["estimate", str(model), "--data", str(samples), "--profiles", "all"]) == 0
    out = capsys.readouterr().out
    for text in ("verdict", "out_axons", "Davies et al. 2018", "loihi1_calibrated", "not priced", "synops per ANN MAC"):
        assert text in out, text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no samples", "--data"]),
        (["--data", "GREY"], ["--input-kind analogue"]),
        (["--data", "STATIC", "--input-kind", "analogue"], ["--timesteps T"]),
        (["--data", "D", "--timesteps", "5"], ["6 frames", "5 timesteps"]),
        (["--data", "D", "--input-kind", "graded"], ["graded", "analogue, spikes, counts"]),
        (["--data", "D", "--delayed", "lif"], ["SRC:DST"]),
        (["--data", "D", "--limit", "0"], ["--limit"]),
        (["--data", "E"], ["E.npz"]),
        (["--data", "nothing"], ["unknown data set"]),
        (["--data", "absent.npz"], ["no such file"]),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    model = foreign(tmp_path / "m.nir")
    grey = np.random.default_rng(2).random((4, 2, 8, 8), dtype=np.float32)
    files = {
        "D": data(tmp_path / "D.npz"),
        "GREY": data(tmp_path / "G.npz", grey),
        "STATIC": data(tmp_path / "S.npz", grey),
        "E": data(tmp_path / "E.npz", np.zeros((4, 3, 8, 8), np.float32)),
    }
    given = [str(files.get(a, a)) for a in arguments]
    code = 3 if arguments[-1:] == ["E"] else 2
    extra = ["-T", "2"] if code == 3 else []
    _, err = run(capsys, "simulate", model, *given, *extra, code=code)
    line = err.strip().splitlines()[-1]
    for word in words:
        assert word in line, line


def test_pixels_become_currents_and_bytes_become_fractions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = foreign(tmp_path / "m.nir")
    grey = np.random.default_rng(2).integers(0, 256, (5, 2, 8, 8)).astype(np.uint8)
    same = (grey / 255).astype(np.float32)
    options = ["-T", "4", "--input-kind", "analogue"]
    one, _ = run(capsys, "simulate", model, "--data", data(tmp_path / "a.npz", grey), *options)
    two, _ = run(capsys, "simulate", model, "--data", data(tmp_path / "b.npz", same), *options)
    assert one["populations"] == two["populations"]
    assert one["input_kind"] == "analogue"
    found, _ = run(capsys, "estimate", model, "--data", tmp_path / "a.npz", *options)
    assert found["work"]["host_macs"] == found["ann"]["ann_macs_host"] == 4 * 2 * 22 * 22


def test_a_cycle_asks_which_edge_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, samples = foreign(tmp_path / "m.nir", cycle=True), data(tmp_path / "d.npz")
    _, err = run(capsys, "estimate", model, "--data", samples, code=3)
    assert "--delayed SRC:DST" in err
    found, _ = run(capsys, "estimate", model, "--data", samples, "--delayed", "lif:back")
    assert found["fit"]["fits"]


def test_what_does_not_fit_gets_no_joule_and_three_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = program(
        [population("a", (32, 32, 32)), population("b", (4, 1, 1))],
        [(INPUT, "a", conv(32, 1, 1)), ("a", "b", dense(4, 32768))],
        input_shape=(1, 32, 32),
    )
    write_program(tmp_path / "p.npz", made)
    found, err = run(capsys, "estimate", tmp_path / "p.npz", "--rate", "0.1", code=4)
    assert found["energy_uJ"] is None
    assert found["fit"]["misfits"] == ["b needs 262144 synapse_bytes, 131072 more than the 131072 there are"]
    channels, bits, tiles = found["fit"]["advice"]
    assert "at most 16 of its 32 channels" in channels
    assert "max-pool its 32x32 input by 2" in channels
    assert "not enough" in bits  # each list takes a word
    assert "262144 bytes at 4" in bits
    assert "do not help" in tiles
    assert len(err.strip().splitlines()) == 1
    assert run_command(["estimate", str(tmp_path / "p.npz"), "--rate", "0.1", "-q"]) == 4
    assert "no joule" in capsys.readouterr().out


def test_a_chip_without_public_prices_is_counted_not_priced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, samples = foreign(tmp_path / "m.nir"), data(tmp_path / "d.npz")
    found, _ = run(capsys, "estimate", model, "--data", samples, "--system", "loihi2")
    assert found["fit"]["fits"]
    assert found["fit"]["utilisation"]["in_axons"]["limit"] is None
    assert found["energy_uJ"]["total"] is None
    assert found["latency_us"] is None
    _, err = run(capsys, "estimate", model, "--data", samples, "--system", "loihi2", "--profile", "loihi1", code=4)
    assert "prices loihi1" in err
    _, err = run(capsys, "estimate", model, "--data", samples, "--profile", "loihi2", code=4)
    assert "no per-operation constants" in err


def test_a_new_profile_is_the_whole_schema_and_asks_to_be_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    assert run_command(["estimate", "--new-profile", str(path)]) == 0
    text = path.read_text()
    capsys.readouterr()
    assert run_command(["estimate", "--new-profile", str(path)]) == 2
    model, samples = foreign(tmp_path / "m.nir"), data(tmp_path / "d.npz")
    _, err = run(capsys, "estimate", model, "--data", samples, "--profile", path, code=3)
    assert "energy.synop.value" in err
    filled = "\n".join(
        line.removeprefix("# ") if line.startswith("# [") or " = " in line else line
        for line in text.split("\n\n", 1)[1].splitlines()
    )
    path.write_text('name = "mine"\n' + filled.replace("nan", "1.0"))
    from snnas.hw_sim.energy.profile import UNITS

    assert set(load_profile(str(path)).constants) == set(UNITS)
    _, err = run(capsys, "estimate", model, "--data", samples, "--profile", path, code=4)
    assert "profile mine prices a microcontroller, the program is mapped on loihi1" in err
    plain = tomllib.loads(path.read_text())
    del plain["cycles"], plain["energy"]["cycle"], plain["time"]["cycle"]
    path.write_text(tomli_w.dumps(plain))
    found, _ = run(capsys, "estimate", model, "--data", samples, "--profile", path)
    assert found["energy_uJ"]["profile"] == "mine"
    assert {u["item"] for u in found["energy_uJ"]["unpriced"]} == set()


def test_an_assumed_rate_needs_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = foreign(tmp_path / "m.nir")
    options = ["--rate", "0.05", "-T", "6", "--input-kind", "spikes"]
    found, _ = run(capsys, "estimate", model, *options)
    assert found["sar"]["mean"] == pytest.approx(0.05, abs=1e-3)
    assert found["sar"]["interval"] is None
    assert found["provenance"]["activity"] == "assumed"
    assert found["energy_uJ"]["total"]["high"] > found["energy_uJ"]["total"]["low"] > 0
    _, err = run(capsys, "estimate", model, *options[2:], "--rate", "2", code=2)
    assert "--rate 2" in err


def test_programs_say_their_own_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 4))], input_shape=(4, 1, 1), timesteps=2)
    write_program(tmp_path / "p.npz", made)
    assert read_program(tmp_path / "p.npz").timesteps == 2
    flat = data(tmp_path / "flat.npz", np.ones((3, 4), bool), labels=False)
    found, _ = run(capsys, "simulate", tmp_path / "p.npz", "--data", flat)
    assert found["synops_per_inference"]["mean"] == 2 * 4 * 3 + found["spikes_per_inference"]["mean"] * 2
    _, err = run(capsys, "simulate", tmp_path / "p.npz", "--data", flat, "-T", 9, code=2)
    assert "compiled for 2" in err
    wrong = data(tmp_path / "wrong.npz", np.ones((3, 5, 4), bool), labels=False)
    _, err = run(capsys, "simulate", tmp_path / "p.npz", "--data", wrong, code=3)
    assert "5 frames" in err
    (tmp_path / "empty").mkdir()
    _, err = run(capsys, "estimate", tmp_path / "empty", "--data", flat, code=3)
    assert "no program.npz" in err


@pytest.mark.parametrize(
    ("per_synapse", "words"), [(0.05, "likely less"), (0.5, "undecided"), (2.0, "likely more energy")]
)
def test_the_verdict_in_words(per_synapse: float, words: str) -> None:
    found = compare_ann.compare(
        synops=1000 * per_synapse, connections=1000, ann_macs=900, ann_macs_host=100, timesteps=5
    )
    assert words in found.verdict
    assert found.synops_per_ann_mac == pytest.approx(1000 * per_synapse / 800)
    assert found.break_even_rate == 0.075
    assert "6.4%" in found.verdict
    assert compare_ann.break_even_rate(6) == 3 / 48


def test_data_that_no_program_may_see_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 4))], input_shape=(4, 1, 1))
    write_program(tmp_path / "p.npz", made)
    good = np.ones((3, 4), np.float32)
    cases = [
        ({"x": good * np.nan}, "not finite"),
        ({"x": good / 2}, "expected 0 and 1 alone"),
        ({"x": good, "y": np.zeros(2, np.int64)}, "one whole number per sample"),
        ({"y": np.zeros(2, np.int64)}, "holds y; expected x"),
        ({"x": np.array([{}], object)}, "objects"),
    ]
    for arrays, words in cases:
        np.savez(tmp_path / "d.npz", **arrays)
        _, err = run(capsys, "simulate", tmp_path / "p.npz", "--data", tmp_path / "d.npz", code=3)
        assert words in err
        assert "snnas export" not in err
    (tmp_path / "d.npz").write_bytes(b"PK no zip")
    _, err = run(capsys, "simulate", tmp_path / "p.npz", "--data", tmp_path / "d.npz", code=3)
    assert "numpy.savez" in err
    currents = replace(made, input_kind="analogue", synapses=(), host=(HostMap(id="h", dst="a", map=real()),))
    write_program(tmp_path / "q.npz", currents)
    np.savez(tmp_path / "d.npz", x=2 * good)
    _, err = run(capsys, "simulate", tmp_path / "q.npz", "--data", tmp_path / "d.npz", code=3)
    assert "x lies in 2..2; the program takes 0..1" in err


def real() -> LinearMap:
    return LinearMap(kind="dense", weight=np.ones((3, 4), np.float32))


def test_the_run_of_an_export_gives_the_seed(tmp_path: Path) -> None:
    folder = tmp_path / "runs/r/export/lava"
    folder.mkdir(parents=True)
    (tmp_path / "runs/r/run.toml").write_text("seed = 7")
    model = foreign(folder / "m.nir")
    wanted = ReadingOptions(data=str(data(tmp_path / "d.npz")))
    assert open_subject(model, wanted).seed == 7
    assert open_subject(model, replace(wanted, seed=2)).seed == 2
    assert open_subject(foreign(tmp_path / "m.nir"), wanted).seed == 0
