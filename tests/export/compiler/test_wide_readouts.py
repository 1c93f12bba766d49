"""Outputs without a linear layer before them: a class per neuron, in the time and memory of the neurons."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler import readout as compiled
from snnas.export.compiler.adjoint import entries_of, matrix_of
from snnas.export.compiler.compile import compile_graph
from snnas.export.executors import interpreter
from snnas.export.formats.c import compare
from snnas.export.formats.dump import dump
from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.onnx_file import build_onnx
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.c import compilers, native
from snnas.hw_sim.early_exit import require_sum
from snnas.hw_sim.entries import Entries, whole
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.linear import apply
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import LinearMap, Pool, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from snnas.toolchain.models.in_c import prepare
from tests.export.compiler.test_adjoint import MAPS
from tests.export.nir_nets import graph_of, integrate_and_fire, read

STEPS = 3


def graph(folder: Path, side: int, end: str, channels: int = 2) -> Graph:
    """Spikes -> IF -> an end, which is read."""
    shape: tuple[int, ...] = (channels, side, side)
    nodes: dict[str, Any] = {"n": integrate_and_fire(*shape, threshold=0.75)}
    if end == "pooled":
        pair = np.array([2, 2])
        nodes["pool"] = nir.AvgPool2d(kernel_size=pair, stride=pair, padding=np.zeros(2, int))
        shape = (channels, side // 2, side // 2)
    if end == "integrated":
        nodes["li"] = nir.LI(
            tau=np.full(shape, 4e-4, np.float32),
            r=np.random.default_rng(0).integers(1, 5, shape).astype(np.float32),
            v_leak=np.zeros(shape, np.float32),
        )
    folder.mkdir(exist_ok=True)
    return read(folder, graph_of((channels, side, side), nodes, shape))


def spikes_for(program: Program, samples: int = 2) -> np.ndarray:
    return np.random.default_rng(3).random((samples, program.timesteps, *program.input_shape)) < 0.4


@pytest.mark.parametrize("name", MAPS)
def test_entries_are_the_matrix(name: str) -> None:
    options, shape = MAPS[name]
    weight = np.random.default_rng(1).integers(-9, 9, shape).astype(np.float64)
    kind = "pooled_conv" if {"pre", "post"} & set(options) else "conv"
    linear = LinearMap(kind=kind, weight=weight, **options)  # type: ignore[arg-type]
    source = (3, 9, 8)
    target = linear.out_shape(source)
    found = entries_of(linear, source, target)
    found.verify()
    assert np.array_equal(whole(found), matrix_of(linear, source, target))
    x = np.random.default_rng(2).integers(0, 2, (4, *source))
    assert np.array_equal(x.reshape(4, -1) @ whole(found).T, apply(linear, x, target).reshape(4, -1))


def test_windows_larger_than_the_map() -> None:
    linear = LinearMap(kind="conv", weight=np.ones((2, 1, 1, 1)), groups=2, pre=(Pool((6, 6), (1, 1), (3, 3)),))
    target = linear.out_shape((2, 4, 4))
    assert np.array_equal(whole(entries_of(linear, (2, 4, 4), target)), matrix_of(linear, (2, 4, 4), target))


@pytest.mark.parametrize("end", ["identity", "pooled", "integrated"])
def test_every_executor_gives_the_same(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a small graph, whole and by its entries: simulators, the file, counts, C, ONNX."""
    g = graph(tmp_path, 6, end)
    dense = compile_graph(g, timesteps=STEPS, input_kind="spikes")
    monkeypatch.setattr(compiled, "WHOLE", 0)
    program = compile_graph(g, timesteps=STEPS, input_kind="spikes")
    (part,), (before,) = program.readout.readings, dense.readout.readings
    assert isinstance(part.weight, Entries)
    assert np.array_equal(whole(part.weight), before.weight)
    assert program.readout.scale == dense.readout.scale
    x = spikes_for(program)
    expected = simulate(dense, spikes_in=x).logits
    assert len(np.unique(expected)) > 3
    assert np.array_equal(simulate(program, spikes_in=x).logits, expected)
    torch = TorchSimulator(program)
    assert np.array_equal(torch.run(spikes_in=x).logits, expected)
    assert np.array_equal(torch.tally(spikes_in=x).logits, expected)
    meant = interpreter.run(g, x.astype(np.float32), STEPS).answers.reshape(len(x), -1)
    assert np.abs(expected / (64 * program.readout.scale) - meant).max() < 1e-4 * np.abs(meant).max()
    assert np.array_equal(expected.argmax(axis=1), meant.argmax(axis=1))

    path = tmp_path / "program.npz"
    write_program(path, program)
    again = read_program(path)
    assert np.array_equal(simulate(again, spikes_in=x).logits, expected)
    write_program(tmp_path / "again.npz", again)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert run_lava.read_program(str(path))[0]["format"] == "snnas.program/4"
    write_program(path, dense)
    assert run_lava.read_program(str(path))[0]["format"] == "snnas.program/2"

    counted = []
    for p in (program, dense):
        counter = Counter(p, map_program(p, load_system("generic")))
        counter.add(simulate(p, spikes_in=x), spikes_in=x)
        counted.append({s.id: s for s in counter.result().synapses}["@readout"])
    by, at_once = counted
    assert by.connections == part.weight.values.size
    assert at_once.connections == part.weight.columns * program.readout.classes
    fired = simulate(program, spikes_in=x).spikes[part.src].sum()
    assert by.synops == fired  # an identity or a pool joins each neuron to one class
    assert at_once.synops == fired * program.readout.classes

    found, why = compilers.native()
    if found is None:
        pytest.skip(why)
    c = prepare(program, x.astype(np.float32))
    assert np.array_equal(c.trace.logits, expected)
    compared = compare(c.plan, c.trace, native.run(c.model, c.given, found, sanitize=True))
    assert compared.equal, compared.first
    assert compared.logits == expected.size


@pytest.mark.parametrize("end", ["identity", "pooled"])
def test_200_by_200_in_the_memory_of_its_neurons(end: str, tmp_path: Path) -> None:
    """Whole, the matrix of the identity would be 12.8 GB in float64; growth is counted in bytes, not timed."""
    peaks, sizes = [], []
    for side in (100, 200):
        g = graph(tmp_path / str(side), side, end, channels=1)
        tracemalloc.start()
        try:
            program = compile_graph(g, timesteps=STEPS, input_kind="spikes")
            x = spikes_for(program, samples=1)
            logits = simulate(program, spikes_in=x).logits
            write_program(tmp_path / "program.npz", program)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        peaks.append(peak)
        sizes.append((tmp_path / "program.npz").stat().st_size)
    meant = interpreter.run(g, x.astype(np.float32), STEPS).answers.reshape(1, -1)
    assert np.abs(logits / (64 * program.readout.scale) - meant).max() < 1e-9
    assert len(np.unique(logits)) == (4 if end == "identity" else 12)
    assert peaks[1] < 64e6
    assert peaks[1] / peaks[0] < 4 * 1.2
    assert sizes[1] / sizes[0] < 4 * 1.2


def test_a_wide_readout_and_the_linear_layer_that_is_too_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WHOLE", 0)
    monkeypatch.setattr(compiled, "MAX_READOUT", 71)
    g = graph(tmp_path, 6, "pooled")
    with pytest.raises(UnsupportedError, match="18 x 72 with 72 weights; at most 71"):
        compile_graph(g, timesteps=STEPS, input_kind="spikes")


def test_a_small_one_is_dumped_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WHOLE", 0)
    program = compile_graph(graph(tmp_path, 2, "identity"), timesteps=STEPS, input_kind="spikes")
    assert "8 classes" in dump(program)
    assert "\n            [5] 5:64\n            [6] 6:64\n" in dump(program)


def test_no_early_exit_of_a_class_per_neuron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WHOLE", 0)
    program = compile_graph(graph(tmp_path, 6, "identity"), timesteps=STEPS, input_kind="spikes")
    with pytest.raises(UnsupportedError, match="72 outputs without a linear layer"):
        require_sum(program)


def test_a_file_of_entries_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "WHOLE", 0)
    program = compile_graph(graph(tmp_path, 6, "pooled"), timesteps=STEPS, input_kind="spikes")
    path, name = tmp_path / "program.npz", f"readout.{program.readout.sources[0]}.0"
    write_program(path, program)
    healthy = read_npz(path, what="program")
    for key, change, said in (
        (f"{name}.indices", lambda a: a + 1, "leave its 72 columns"),
        (f"{name}.indptr", lambda a: a[:-1], r"\(17, 72\) does not fit"),
        (f"{name}.indptr", lambda a: np.append(a[:-1], a[-1] - 1), "do not fill"),
        (name, lambda a: a[1:], "do not fill"),
        (name, lambda a: a.astype(np.int16), "expected int8"),
        (f"{name}.indptr", None, "is missing"),
        ("program.json", lambda a: _json(a, b'"columns":72', b'"columns":71'), "does not fit population"),
        ("program.json", lambda a: _json(a, b'"columns":72', b'"columns":80'), "does not fit population"),
        ("program.json", lambda a: _json(a, b"snnas.program/4", b"snnas.program/9"), "this version reads"),
    ):
        changed = {k: v for k, v in healthy.items() if k != key or change is not None}
        if change is not None:
            changed[key] = change(healthy[key])  # type: ignore[no-untyped-call]
        write_npz(path, changed)
        with pytest.raises(InvalidFileError, match=said):
            read_program(path)


def _json(array: np.ndarray, old: bytes, new: bytes) -> np.ndarray:
    assert old in array.tobytes()
    return np.frombuffer(array.tobytes().replace(old, new), np.uint8)


@pytest.mark.parametrize("end", ["identity", "pooled"])
def test_onnx_gives_the_same(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    from tests.export.formats.test_onnx_file import session, steps

    monkeypatch.setattr(compiled, "WHOLE", 0)
    g = graph(tmp_path, 6, end)
    program = compile_graph(g, timesteps=STEPS, input_kind="spikes")
    x = spikes_for(program)
    _, total = steps(session(build_onnx(g, timesteps=STEPS)), x.astype(np.float32), STEPS)
    logits = simulate(program, spikes_in=x).logits
    assert np.array_equal(logits / (64 * program.readout.scale), total.reshape(logits.shape))
