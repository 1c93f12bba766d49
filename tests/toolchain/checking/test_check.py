"""Exports that somebody changed and signed again: the manifest agrees, the runs do not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.hw_sim.files import sha256
from snnas.hw_sim.program import CLOCK
from snnas.toolchain.checking import folder_runs
from snnas.toolchain.cli.app import run_command
from tests.export.nir_nets import dyadic, graph_of, lif, nir, written
from tests.toolchain.cli.test_cli import _sign, checked, exported, only, runs  # noqa: F401


def _arrays(folder: Path, name: str, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    path = folder / name
    write_npz(path, change(read_npz(path, what=name)))
    _sign(folder, name)


def _graph(folder: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(folder / "model.nir", "r+") as f:
        change(f)
    _sign(folder, "model.nir")


def _figures(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["figures"])
    path.write_text(json.dumps(manifest))


def _other_weights(f: h5py.File) -> None:
    weight = f["node/nodes/stem_conv/weight"]
    weight[...] = weight[...] * np.float32(3)


def _threshold(f: h5py.File) -> None:
    f["node/nodes/red1_lif/v_threshold"][...] = 0.5


def _golden(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], None]:
    return lambda folder: _arrays(folder, "golden.npz", change)


def _stimulus(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], None]:
    return lambda folder: _arrays(folder, "stimulus.npz", change)


def _figure(section: str, name: str, value: object) -> Callable[[Path], None]:
    def change(figures: dict[str, Any]) -> None:
        inner = figures[section]
        (inner["total"] if section == "energy_uJ" else inner)[name] = value

    return lambda folder: _figures(folder, change)


SPIKES = "recorded spikes"
CASES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "other weights": (lambda d: _graph(d, _other_weights), 1, "graph's spikes"),
    "a lower threshold": (lambda d: _graph(d, _threshold), 1, "graph's spikes"),
    "other logits": (_golden(lambda a: a | {"logits": a["logits"] * 0 + 7}), 1, SPIKES),
    "no currents": (_golden(lambda a: {k: v for k, v in a.items() if not k.startswith("currents")}), 3, SPIKES),
    "float spikes": (_golden(lambda a: {k: v.astype(np.float32) for k, v in a.items()}), 3, SPIKES),
    "no samples": (_stimulus(lambda a: {k: v[:0] for k, v in a.items()}), 3, SPIKES),
    "fewer samples": (_stimulus(lambda a: {k: v[:1] for k, v in a.items()}), 3, SPIKES),
    "NaN input": (_stimulus(lambda a: a | {"x": a["x"] * np.nan}), 3, SPIKES),
    "flat input": (_stimulus(lambda a: a | {"x": a["x"][:, 0]}), 3, SPIKES),
    "energy NaN": (_figure("energy_uJ", "high", float("nan")), 3, "manifest"),
    "energy negative": (_figure("energy_uJ", "high", -1), 1, "recorded figures"),
    "cores true": (_figure("resources", "cores", True), 1, "recorded resources"),
    "fewer neurons": (_figure("resources", "neurons", 3), 1, "recorded resources"),
    "a better accuracy": (_figure("accuracy", "on_target", 1.0), 1, "recorded figures"),
    "figures that are none": (lambda d: _figures(d, dict.clear), 1, "recorded resources"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_signed_change_is_found(case: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, code, name = CASES[case]
    folder = only(runs) / "export/lava"
    spoil(folder)
    got, found = checked(folder, capsys, "--max", "energy_total=1000mJ,cores=1000")
    assert got == code, found
    assert found[name]["status"] != "passed"


@pytest.mark.parametrize("name", ["program.npz", "model.nir", "golden.npz"])
def test_a_damaged_export_is_made_again(
    name: str,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    no_lava: None,
) -> None:
    folder = only(runs) / "export/lava"
    before = sha256(folder / name)
    (folder / name).write_bytes(b"x")
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4"]) == 0
    assert "up to date" not in capsys.readouterr().err
    assert sha256(folder / name) == before
    assert checked(folder, capsys)[0] == 0


def test_an_export_with_another_script_is_made_again(runs: Path, no_lava: None) -> None:
    """As one that an older snnas wrote: what check calls another script, export does not call up to date."""
    folder = only(runs) / "export/lava"
    (folder / "run_lava.py").write_text("print('equal')\n")
    _sign(folder, "run_lava.py")
    assert run_command(["check", str(folder), "-q"]) == 1
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4", "-q"]) == 0
    assert run_command(["check", str(folder), "-q"]) == 0


def test_an_export_that_was_killed_before_it_showed_its_report_shows_it_next_time(
    runs: Path,
    no_lava: None,
) -> None:
    run = only(runs)
    (run / "report.json").write_text("{}")
    (run / "export" / ".lava.1-0123abcd.part").mkdir()
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4", "-q"]) == 0
    assert json.loads((run / "report.json").read_text())["schema"] == "snnas.report/1"
    assert run_command(["export", "--runs-dir", str(runs), "--samples", "4", "-q", "--force"]) == 0
    assert [p.name for p in (run / "export").iterdir()] == ["lava"]


def test_a_clock_synapse_that_rounding_leaves_out_is_no_other_network(tmp_path: Path) -> None:
    """A bias has a coarse and a fine part; calibration and fine-tuning move it, and one of them may be all zeros."""
    from snnas.export.compiler.compile import compile_graph
    from snnas.export.formats.nir_file import read_nir

    rng = np.random.default_rng(4)
    nodes = {"w": nir.Affine(weight=dyadic(rng, 6, 6), bias=np.full(6, 0.3, np.float32)), "a": lif(6)}
    nodes |= {"v": nir.Linear(weight=dyadic(rng, 6, 6)), "b": lif(6), "back": nir.Linear(weight=dyadic(rng, 6, 6))}
    names = ["input", "w", "a", "v", "b", "output"]
    edges = [*itertools.pairwise(names), ("b", "back"), ("back", "a")]
    path = written(tmp_path, graph_of((6,), nodes, (6,), edges))
    graph = read_nir(path, delayed=frozenset({("b", "back")}))
    program = compile_graph(graph, timesteps=4, input_kind="spikes")
    assert program.schedule.period > 1
    clocks = [s for s in program.synapses if s.src == CLOCK]
    assert clocks
    fewer = replace(program, synapses=tuple(s for s in program.synapses if s is not clocks[-1]))
    assert folder_runs._unlike(program, fewer) is None
    lost = replace(program, synapses=program.synapses[1:])
    assert "synapse" in str(folder_runs._unlike(program, lost))
