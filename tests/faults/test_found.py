"""What the campaign found, one small case each."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.scales import kept
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.graph.waiting_edges import read_choices
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, brief, printable
from snnas.hw_sim.files import read_json
from snnas.hw_sim.map.system import load_system
from snnas.hw_sim.simulate.simulator import host_currents
from snnas.hw_sim.tables import parse_toml
from snnas.search.methods.journal import Journal
from snnas.search.mse_nas.config import MseConfig
from snnas.search.network.config import NetworkConfig
from snnas.toolchain.cli import exits
from snnas.toolchain.data.datasets import recordings
from snnas.toolchain.data.datasets.catalogue import SETS
from snnas.toolchain.data.datasets.folder import read_folder
from snnas.toolchain.data.datasets.npz import ArrayOptions
from snnas.toolchain.output.report import read_report
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.within_budget import trials_of
from snnas.toolchain.training import load_recipe
from tests.faults.judge import STEERS
from tests.faults.readers_arrays import small_graph
from tests.faults.readers_text import healthy_report, search_records
from tests.programs import random_program


@pytest.mark.parametrize("config", [NetworkConfig, MseConfig])
@pytest.mark.parametrize("cells", [10**30, 2**40])
def test_a_network_of_endless_cells_is_refused_at_once(config: Any, cells: int) -> None:
    """2**cells was computed for the message."""
    plain = json.loads(config(input_shape=(1, 8, 8), classes=10).to_json()) | {"cells": cells}
    with pytest.raises(InvalidFileError, match=r"cells = .* expected at most"):
        config.from_json(json.dumps(plain))


@pytest.mark.parametrize("config", [NetworkConfig, MseConfig])
def test_a_number_beyond_floats_is_no_tau(config: Any) -> None:
    plain = json.loads(config(input_shape=(1, 8, 8), classes=10).to_json()) | {"tau": 10**400}
    with pytest.raises(InvalidFileError, match="tau = 1000"):
        config.from_json(json.dumps(plain))


@pytest.mark.parametrize("number", ["1" + "0" * 400, "0x" + "F" * 5000, str(2**63)])
def test_integers_that_toml_does_not_have(number: str, tmp_path: Path) -> None:
    """As floats they were too large, as text too long."""
    path, run = tmp_path / "it.toml", Run(tmp_path)
    path.write_text(f"learning_rate = {number}\n")
    (tmp_path / "run.toml").write_text(f"seed = 1\n[budget]\nsar = {number}\n")
    name = str(path)
    for read in (lambda: load_recipe(name), lambda: load_system(name), lambda: load_profile(name), run.config):
        with pytest.raises(InvalidFileError, match="an integer of over 64 bits"):
            read()
    path.write_text(f"learning_rate = {2**63 - 1}\n")
    assert load_recipe(path).learning_rate == 2**63 - 1


@pytest.mark.parametrize("text", [f"{'.'.join('a' * 40)} = 1", f"x = {'[' * 40}{']' * 40}", f"x = {'[' * 5000}"])
def test_tables_nested_without_end(text: str) -> None:
    with pytest.raises(ValueError, match=r"over 32 levels|nested without end"):
        parse_toml(text)
    assert parse_toml(f"{'.'.join('a' * 30)} = 1")


def test_unknown_keys_of_a_network_are_shortened() -> None:
    with pytest.raises(InvalidFileError) as caught:
        NetworkConfig.from_json(json.dumps({"x" * 9000: 1}))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "-" + "9" * 400])
def test_numbers_that_json_does_not_have(number: str, tmp_path: Path) -> None:
    """They were read, and ended the printing of them as JSON."""
    text = json.dumps(healthy_report()).replace('"timesteps": 5', f'"timesteps": {number}')
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InvalidFileError, match="not JSON"):
        read_report(tmp_path / "report.json")
    (tmp_path / "log.jsonl").write_text(f'{{"a": {number}}}\n')
    with pytest.raises(InvalidFileError, match="line 1 is not JSON"):
        JsonLines(tmp_path / "log.jsonl").read()
    (tmp_path / "good.json").write_text("[1.5, -2e3, 0]")
    assert read_json(tmp_path / "good.json") == [1.5, -2000.0, 0]


@pytest.mark.parametrize("place", ["score", "firing"])
def test_a_score_of_four_hundred_digits(place: str) -> None:
    record = {"event": "evaluation", "round": 1, "edge": "0->1", "op": "skip", "score": 1.0, "firing": {}}
    record[place] = 10**400 if place == "score" else {"x": 10**400}
    with pytest.raises(InvalidFileError, match="record 1 of the log to resume from cannot be used"):
        Journal("lightsnn", lambda record: None, [record])


def test_a_log_of_the_proxy_that_is_gone() -> None:
    record = {"event": "evaluation", "round": 1, "edge": "0->1", "op": "skip", "score": 1.0, "firing": {}}
    Journal("lightsnn", lambda record: None, [record])
    with pytest.raises(InvalidFileError, match="it ranks by live_depth, temporal_code, as --proxy snnas did"):
        Journal("lightsnn", lambda record: None, [{**record, "terms": {"live_depth": 1.0, "temporal_code": 0.5}}])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ratios", {"sar": "x"}), ("ratios", {"sar": 0}), ("ratios", {"cores": 1.0}), ("predicted", {"figures": 3}),
        ("genotype", 5), ("architecture", None), ("ratio", "1"), ("over", [1]), ("over", None),
    ],
)  # fmt: skip
def test_trials_hold_what_a_search_goes_on_with(key: str, value: Any, tmp_path: Path) -> None:
    trial = search_records()[-1]
    log = JsonLines(tmp_path / "search.jsonl")
    log.append(trial)
    assert trials_of(Run(tmp_path)) == [trial]
    log.append(trial | {key: value})
    with pytest.raises(InvalidFileError, match="a trial lacks a figure"):
        trials_of(Run(tmp_path))


def test_a_log_of_another_search_with_a_long_name() -> None:
    record = {"event": "evaluation", "round": 1, "edge": "0->1", "op": "x" * 9000, "score": 1.0, "firing": {}}
    with pytest.raises(InvalidFileError) as caught:
        Journal("lightsnn", lambda record: None, [record]).finish()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text", ["split,path\r\x00\n", "split,path\n" + "x" * 140_000 + ",y\n", 'split,path\n"a\rb"\rc\n']
)
def test_an_index_that_is_no_table(text: str, tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_bytes(text.encode())
    with pytest.raises(InvalidFileError, match=r"index\.csv"):
        recordings._index(path)


def test_a_recording_with_an_endless_name() -> None:
    with pytest.raises(InvalidFileError) as caught:
        recordings._trials({}, "x" * 90_000, Path("it.tar.gz"), SETS["dvs128_gesture"])
    assert len(str(caught.value)) < 500


def test_a_png_that_declares_more_pixels_than_pillow_takes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(3):
            np.save(tmp_path / name / f"{number}.npy", np.full((2, 3), 0.5, np.float32))
    header = b"IHDR" + struct.pack(">IIBBBBB", 65536, 65536, 8, 0, 0, 0, 0)
    image.new("L", (3, 2)).save(tmp_path / "a/first.png")
    png = bytearray((tmp_path / "a/first.png").read_bytes())
    png[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a/first.png").write_bytes(png)
    with pytest.raises(InvalidFileError, match=r"first\.png declares too many pixels"):
        read_folder(tmp_path, ArrayOptions())


@pytest.mark.parametrize(("gain", "x"), [(1e308, 0.5), (1e12, 0.5), (1.0, 3e38)])
def test_currents_that_no_register_holds(gain: float, x: float) -> None:
    """Of an infinite one NumPy warned, and it became some number."""
    program = random_program(1, layers=3)
    loud = replace(program, host=tuple(replace(h, gain=gain) for h in program.host))
    assert host_currents(program, np.full((1, *program.input_shape), 0.5))
    with pytest.raises(UnsupportedError, match="the host injects a current beyond 2147483648 into p0"):
        host_currents(loud, np.full((1, *program.input_shape), x))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "model.nir"
    write_nir(path, small_graph())
    return path


@pytest.mark.parametrize("missing", ["node/nodes", "node/edges", "node"])
@pytest.mark.parametrize("read", [read_nir, read_choices])
def test_graphs_without_nodes_or_edges(missing: str, read: Any, graph: Path) -> None:
    with h5py.File(graph, "r+") as f:
        del f[missing]
        if missing == "node":
            f["node"] = np.zeros(3)
    with pytest.raises(InvalidFileError, match=r"model\.nir: "):
        read(graph)


@pytest.mark.parametrize("value", [[np.nan, 1.0], [1e30, 1.0], [0.5, 1.0], np.ones(1000), [], ["a", "b"]])
def test_geometry_that_is_no_pair_of_whole_numbers(value: Any, graph: Path) -> None:
    """Of NaN a cast warned, of thousands of numbers the line told all."""
    with h5py.File(graph, "r+") as f:
        f["node/nodes/fc/type"][()] = "SumPool2d"
        for name in ("kernel_size", "padding"):
            f[f"node/nodes/fc/{name}"] = np.ones(2, np.int64)
        f["node/nodes/fc/stride"] = value
    with pytest.raises(InvalidFileError, match="stride holds") as caught:
        read_nir(graph)
    assert len(str(caught.value)) < 500 + len(str(graph))


@pytest.mark.parametrize("value", [np.full((4, 4), 1e300), np.full((4, 4), -np.inf)])
def test_weights_beyond_float32_are_refused_without_a_warning(value: np.ndarray, graph: Path) -> None:
    with h5py.File(graph, "r+") as f:
        del f["node/nodes/fc/weight"]
        f["node/nodes/fc/weight"] = value
    with pytest.raises(InvalidFileError, match="weight holds NaN or infinity"):
        read_nir(graph)


def test_a_leak_that_float64_cannot_tell_from_none(graph: Path) -> None:
    """What the membrane holds of its input came out as 0, and was divided by."""
    made = read_nir(graph)
    lif = made.nodes["lif"]
    endless = replace(made, nodes={**made.nodes, "lif": replace(lif, tau=np.full_like(lif.tau, 1e18))})
    assert compile_graph(endless, timesteps=2).population("lif").dv == 0
    assert [kept(decay, 5) for decay in (0.0, 1e-23, 1.0)] == [5, 5, 1]


@pytest.mark.parametrize("value", [np.array([4.0, np.nan]), np.ones(5000, np.int64), b"four"])
def test_shapes_that_are_none(value: Any, graph: Path) -> None:
    with h5py.File(graph, "r+") as f:
        group = f["node/nodes/in"]
        (name,) = [n for n in group if n in ("shape", "input_type")]
        del group[name]
        group[name] = value
    with pytest.raises(InvalidFileError, match="expected the extents of a shape"):
        read_nir(graph)


def test_an_onnx_that_loads_and_does_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from snnas.export.executors.onnx_runner import OnnxModel

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    about = {"timesteps": 2, "precision": "float32", "state": [], "spikes": [], "read": "sum"}

    def model(**changes: Any) -> Path:
        shape = helper.make_node("Reshape", ["x", "to"], ["y"])
        graph = helper.make_graph(
            [shape], "g",
            [helper.make_tensor_value_info("x", kind, ["B", *changes.pop("shape", (1, 4, 4))])],
            [helper.make_tensor_value_info("y", kind, None)],
            [helper.make_tensor("to", onnx.TensorProto.INT64, [1], [7])],
        )  # fmt: skip
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        entry = made.metadata_props.add()
        entry.key, entry.value = "snnas", json.dumps(about | changes)
        path = tmp_path / "model.onnx"
        path.write_bytes(made.SerializeToString())
        return path

    with pytest.raises(InvalidFileError, match="cannot be run"):
        OnnxModel(model()).run(np.zeros((2, 1, 4, 4), np.float32))
    for changes in ({"timesteps": 10**9}, {"precision": "U3"}, {"shape": (1, "H", 4)}, {"shape": (2**20, 2**20, 1)}):
        with pytest.raises(InvalidFileError, match="its metadata"):
            OnnxModel(model(**changes))
    path = model()
    path.write_bytes(path.read_bytes().replace(b"\n\x02to", b"\n\x02\xff\xfe", 1))
    with pytest.raises(InvalidFileError, match="cannot be loaded"):
        OnnxModel(path)
    assert capfd.readouterr() == ("", "")


def test_text_that_turns_a_line_around() -> None:
    assert printable("a\u202eb\u2066c\u200fd\u2028e\x9bf") == "a?b?c?d?e?f"
    assert not STEERS.search(printable("".join(map(chr, range(0x3000)))))


def test_a_line_is_as_long_as_it_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits._fail(3, "start " + "x" * 100_000 + " end") == 3
    line = capsys.readouterr().err
    assert line.startswith("snnas: start x")
    assert line.endswith("x end\n")
    assert len(line) < 1100


def test_values_are_shown_in_brief() -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert brief(nested) == "a list"
    assert brief(1 << 100_000) == "a int"
    assert brief("x" * 100) == "'" + "x" * 56 + "..."
    assert brief(5) == "5"
    while nested:  # freed one by one: to free them all at once takes as many frames
        nested = nested[0]
