"""Planted faults, each caught by the right rule and exit code; and what is healthy passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking.rules.rules import RULES
from snnas.toolchain.cli.app import run_command
from tests.toolchain.checking.check_subjects import change_arrays, checked, example, healthy, here, sign  # noqa: F401

Patch = pytest.MonkeyPatch
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22\nsize 12345\n"
GRAPH, RECORDED, ONNX, ONNX_RECORDED = "graph.nir", "graph.nir.check.npz", "model.onnx", "model.onnx.check.npz"


@dataclass(frozen=True)
class Fault:
    """spoil: of the folder that is the working one. arguments: of check. code, exit_code: what must be found first."""

    name: str
    spoil: Callable[[Patch], object]
    arguments: tuple[str, ...]
    code: str
    exit_code: int
    word: str = ""


# -- spoiling a .nir


def _h5(change: Callable[[h5py.File], object], path: str = GRAPH) -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        with h5py.File(path, "r+") as file:
            change(file["node"])

    return spoil


def _dataset(name: str, value: Any) -> Callable[[Patch], None]:
    """Puts another value in place of a node's dataset."""

    def change(node: h5py.Group) -> None:
        old = node["nodes"][name][()]
        del node["nodes"][name]
        node["nodes"][name] = value(old) if callable(value) else value

    return _h5(change)


def _edges(change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> Callable[[Patch], None]:
    def in_file(node: h5py.Group) -> None:
        old = [(s.decode(), d.decode()) for s, d in node["edges"][()]]
        del node["edges"]
        node.create_dataset("edges", data=np.array(change(old), dtype=object), dtype=h5py.string_dtype())

    return _h5(in_file)


def _renamed_layer(_: Patch) -> None:
    graph = example().graph()
    names = {n: n.replace("ballot", "urn") for n in graph.nodes}
    nodes = {names[n]: node for n, node in graph.nodes.items()}
    write_nir(Path(GRAPH), replace(graph, nodes=nodes, edges=tuple((names[s], names[d]) for s, d in graph.edges)))


def _metadata(**entries: Any) -> Callable[[Patch], None]:
    def change(node: h5py.Group) -> None:
        meta = json.loads(node["metadata/snnas"][()])
        del node["metadata/snnas"]
        node["metadata/snnas"] = json.dumps(meta | entries)

    return _h5(change)


def _one_nan(weight: np.ndarray) -> np.ndarray:
    weight.reshape(-1)[3] = np.nan
    return weight


def _next_float(threshold: np.ndarray) -> np.ndarray:
    return np.nextafter(threshold, np.float32(9))


def _second_output(node: h5py.Group) -> None:
    node.copy(node["nodes/output"], node["nodes"], "other")
    edges = [*node["edges"][()].tolist(), [b"readout", b"other"]]
    del node["edges"]
    node.create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())


def _link(node: h5py.Group) -> None:
    del node["nodes/lines/weight"]
    node["nodes/lines/weight"] = h5py.ExternalLink("/etc/passwd", "/weight")


def _truncated(name: str) -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        data = Path(name).read_bytes()
        Path(name).write_bytes(data[: len(data) // 2])

    return spoil


def _graph(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Writes another graph in place of the healthy one."""
    return lambda _: write_nir(Path(GRAPH), change(example().graph()))


def _renamed(graph: Any) -> Any:
    names = {n: n.replace("edges", "edges.v2") for n in graph.nodes}
    return replace(
        graph,
        nodes={names[n]: node for n, node in graph.nodes.items()},
        edges=tuple((names[s], names[d]) for s, d in graph.edges),
    )


def _gain(graph: Any) -> Any:
    """A neuron of twice the gain and half the input: the same membrane, another file."""
    lif, conv = graph.nodes["edges"], graph.nodes["lines"]
    nodes = graph.nodes | {"edges": replace(lif, r=lif.r * 2), "lines": replace(conv, weight=conv.weight / 2)}
    return replace(graph, nodes=nodes)


# -- spoiling recordings and baselines


def _arrays(path: str, **changes: Any) -> Callable[[Patch], None]:
    return lambda _: change_arrays(Path(path), **changes)


def _double(spikes: np.ndarray) -> np.ndarray:
    """One spike more where there was none."""
    packed = np.unpackbits(spikes, axis=-1)
    place = tuple(np.argwhere(packed == 0)[0])
    packed[place] = 1
    return np.packbits(packed, axis=-1)


def _recording(**entries: Any) -> Callable[[Patch], None]:
    def change(old: np.ndarray) -> np.ndarray:
        about = json.loads(old.tobytes()) | entries
        return np.frombuffer(json.dumps(about).encode(), np.uint8)

    return _arrays(RECORDED, **{"recording.json": change})


def _baseline(change: Callable[[dict[str, Any]], object]) -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        table = read_json(Path("baseline.json"))
        change(table)
        write_json(Path("baseline.json"), table)

    return spoil


def _scaled(name: str, factor: float) -> Callable[[Patch], None]:
    return _baseline(lambda table: table["figures"].update({name: table["figures"][name] * factor}))


DRIFT = ("--baseline", "baseline.json", "--tolerance", "energy_total:5%,accuracy:5%")


# -- spoiling an export


def _signed(name: str, change: Callable[[Path], object], folder: str = "lava") -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        change(Path(folder) / name)
        sign(Path(folder), name)

    return spoil


def _manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        manifest = read_json(Path("lava/manifest.json"))
        change(manifest)
        write_json(Path("lava/manifest.json"), manifest)

    return spoil


def _golden(**changes: Any) -> Callable[[Patch], None]:
    return _signed("golden.npz", lambda path: change_arrays(path, **changes))


def _program_weight(path: Path) -> None:
    program = read_program(path)
    synapse = program.synapses[0]
    map_ = replace(synapse.map, weight=synapse.map.weight.copy())
    map_.weight[0, :64] = -map_.weight[0, :64]
    write_program(path, replace(program, synapses=(replace(synapse, map=map_), *program.synapses[1:])))


def _overflowing(path: Path) -> None:
    program = read_program(path)
    loud = tuple(replace(s, exponent=7) if s.dst == "ballot" else s for s in program.synapses)
    write_program(path, replace(program, synapses=loud))


def _coarse(path: Path) -> None:
    """Weights of which the two highest bits are left."""
    program = read_program(path)
    few = [replace(s.map, weight=np.rint(s.map.weight / 64).astype(np.int8)) for s in program.synapses]
    coarse = tuple(replace(s, map=m) for s, m in zip(program.synapses, few, strict=True))
    write_program(path, replace(program, synapses=coarse))


def _other_program(path: Path) -> None:
    """The program of a graph with a lazier ballot."""
    from snnas.export.compiler.compile import compile_graph

    graph = example().graph()
    ballot = graph.nodes["ballot"]
    other = replace(graph, nodes=graph.nodes | {"ballot": replace(ballot, tau=ballot.tau * 2)})
    program = compile_graph(other, timesteps=6)
    write_program(path, program)


def _wide_register(path: Path) -> None:
    def widened(old: np.ndarray) -> np.ndarray:
        doc = json.loads(old.tobytes())
        doc["populations"][0]["vth"] = 1 << 19
        return np.frombuffer(json.dumps(doc).encode(), np.uint8)

    change_arrays(path, **{"program.json": widened})


def _fine_tuned(_: Patch) -> None:
    """Shuffled weights, recorded again, in an export that is said to be fine-tuned."""
    from tests.toolchain.checking.test_check_fooled import fine_tuned, plant_shuffled, record_rounding

    before = read_program(Path("lava/program.npz")).synapses
    plant_shuffled()
    after = read_program(Path("lava/program.npz")).synapses
    changed = sum(int((a.map.weight != b.map.weight).sum()) for a, b in zip(before, after, strict=True))
    record_rounding(finetune=fine_tuned(changed))


# -- spoiling an .onnx


def _onnx(change: Callable[[Any], object], path: str = ONNX) -> Callable[[Patch], None]:
    def spoil(_: Patch) -> None:
        import onnx

        model = onnx.load(path)
        change(model)
        Path(path).write_bytes(model.SerializeToString(deterministic=True))

    return spoil


def _tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    def spoil(model: Any) -> None:
        from onnx import numpy_helper

        for tensor in model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))

    return spoil


def _external(model: Any) -> None:
    from onnx import TensorProto

    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"


def _foreign_operator(model: Any) -> None:
    model.graph.node[0].domain = "com.example"
    model.graph.node[0].op_type = "SpikeMagic"
    entry = model.opset_import.add()
    entry.domain, entry.version = "com.example", 1


def _too_few_inputs(model: Any) -> None:
    next(node for node in model.graph.node if node.op_type == "MatMul").input.pop()


def _control_flow(model: Any) -> None:
    from onnx import TensorProto, helper

    body = helper.make_graph([], "body", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 4])])
    model.graph.node.append(helper.make_node("If", ["y"], ["w"], name="hidden", then_branch=body, else_branch=body))


def _opset(version: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for entry in model.opset_import:
            if entry.domain == "":
                entry.version = version

    return change


def _onnx_metadata(**entries: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        (about,) = [e for e in model.metadata_props if e.key == "snnas"]
        about.value = json.dumps(json.loads(about.value) | entries)

    return change


# -- spoiling the runs


def _moody(patch: Patch) -> None:
    """An interpreter that fires otherwise on every second call."""
    real, calls = interpreter.run, [0]

    def run(*arguments: Any, **options: Any) -> interpreter.Run:
        found = real(*arguments, **options)
        calls[0] += 1
        if calls[0] > 1:
            found.spikes["edges"].reshape(-1)[calls[0]] ^= True
        return found

    patch.setattr(interpreter, "run", run)


def _leaky(patch: Patch) -> None:
    """An interpreter whose small batches leave something behind in the first sample."""
    real = interpreter.run

    def run(graph: Any, x: np.ndarray, timesteps: int, *, batch: int = 128) -> interpreter.Run:
        found = real(graph, x, timesteps, batch=batch)
        found.spikes["edges"][0, 0].reshape(-1)[0] ^= batch < len(x)
        return found

    patch.setattr(interpreter, "run", run)


def _drifting_compiler(patch: Patch) -> None:
    from snnas.toolchain.models import calibrate

    real, calls = calibrate.compile_graph, [0]

    def compile_graph(graph: Any, **options: Any) -> Any:
        calls[0] += 1
        return real(graph, **{**options, "meta": {"call": calls[0]}})

    patch.setattr(calibrate, "compile_graph", compile_graph)


def _recorded_again(change: Callable[[Patch], object], *data: str) -> Callable[[Patch], None]:
    """For a change that the recording would catch first."""

    def spoil(patch: Patch) -> None:
        change(patch)
        assert run_command(["check", GRAPH, "--record", "auto", "--force", *data]) == 0

    return spoil


def _black(_: Patch) -> None:
    np.savez("black.npz", x=np.zeros((4, 1, 8, 8), np.float32))


def _same_answers(patch: Patch) -> None:
    _dataset("readout/weight", lambda w: w[:1].repeat(len(w), 0))(patch)
    _dataset("readout/bias", lambda b: b * 0)(patch)
    assert run_command(["check", GRAPH, "--record", "auto", "--data", "bars.npz", "--new-recording"]) == 1


NIR, STRICT, LAVA = (GRAPH,), (GRAPH, "--strict"), ("lava",)
PORTABLE = (GRAPH, "--portable")
FAULTS = [
    Fault("a file cut in half", _truncated(GRAPH), NIR, "SN101", 3, "HDF5"),
    Fault("an empty file", lambda _: Path(GRAPH).write_bytes(b""), NIR, "SN101", 3),
    Fault("a version newer than ours", _metadata(format="snnas.nir/2"), NIR, "SN102", 3, "upgrade"),
    Fault("a node without its weight", _h5(lambda n: n["nodes/votes"].pop("weight")), NIR, "SN105", 3, "weight"),
    Fault("a node type of nobody", _dataset("edges/type", "Quantum"), NIR, "SN106", 4, "Quantum"),
    Fault("a NaN weight", _dataset("lines/weight", _one_nan), NIR, "SN107", 3, "lines"),
    Fault("a negative tau", _dataset("edges/tau", lambda v: -v), NIR, "SN108", 3, "edges"),
    Fault("a tau in milliseconds", _dataset("edges/tau", lambda v: v * 1e-3), NIR, "SN108", 3, "timestep"),
    Fault("a bias of the wrong length", _dataset("lines/bias", np.zeros(3, np.float32)), NIR, "SN109", 3, "lines"),
    Fault("a weight of the wrong rank", _dataset("votes/weight", lambda v: v[0]), NIR, "SN110", 3, "votes"),
    Fault("thresholds of another shape", _dataset("edges/v_threshold", np.ones(5, np.float32)), NIR, "SN110", 3),
    Fault("two outputs", _h5(_second_output), NIR, "SN111", 3, "2 Output"),
    Fault("an edge listed twice", _edges(lambda e: [*e, e[2]]), NIR, "SN112", 3, "twice"),
    Fault("an edge to nowhere", _edges(lambda e: [*e, ("flat", "attic")]), NIR, "SN113", 3, "attic"),
    Fault("a swapped edge", _edges(lambda e: [*e[:4], (e[4][1], e[4][0]), *e[5:]]), NIR, "SN113", 3),
    Fault("a lost edge", _edges(lambda e: e[:3] + e[4:]), NIR, "SN113", 3),
    Fault("a name with a dot", _graph(_renamed), PORTABLE, "SN114", 1, "edges.v2"),
    Fault("a link to another file", _h5(_link), NIR, "SN115", 3, "link"),
    Fault("edges out of order", _edges(lambda e: e[::-1]), PORTABLE, "SN201", 1, "stands before"),
    Fault("a cycle without a delay", _edges(lambda e: [*e, ("ballot", "flat")]), NIR, "SN202", 3, "cycle"),
    Fault("a cycle without a neuron", _edges(lambda e: [*e, ("votes", "flat")]), NIR, "SN203", 3, "neuron"),
    Fault("an edge of the wrong shape", _edges(lambda e: [*e, ("flat", "ballot")]), NIR, "SN204", 3),
    Fault("a delayed edge that is none", _metadata(delayed=[["ballot", "lines"]]), NIR, "SN205", 3, "ballot:lines"),
    Fault("a gain that norse ignores", _recorded_again(_graph(_gain)), PORTABLE, "SN206", 1, "r is not 1"),
    Fault("a recording without its spikes", _arrays(RECORDED, **{"spikes.edges": None}), NIR, "SN301", 3, "edges"),
    Fault("a recording cut in half", _truncated(RECORDED), NIR, "SN101", 3, "recording"),
    Fault("a recording newer than ours", _recording(format="snnas.recording/7"), NIR, "SN102", 3),
    Fault("a recording of a billion timesteps", _recording(options={"timesteps": 10**9}), NIR, "SN301", 3, "timesteps"),
    Fault("no recording, where one is demanded", lambda _: Path(RECORDED).unlink(), STRICT, "SN301", 1, "--record"),
    Fault("a recording of other samples", _arrays(RECORDED, x=lambda x: x[:, :, :4]), NIR, "SN301", 3),
    Fault("a doubled spike", _arrays(RECORDED, **{"spikes.ballot": _double}), NIR, "SN302", 1, "node ballot"),
    Fault("a count that is one off", _arrays(RECORDED, **{"counts.edges": lambda c: c + 1}), NIR, "SN302", 1, "counts"),
    Fault("another weight", _dataset("lines/weight", lambda w: w * 1.5), NIR, "SN302", 1, "edges"),
    Fault("another readout", _dataset("readout/bias", np.ones(4, np.float32)), NIR, "SN305", 1),
    Fault("a threshold off by one float", _dataset("edges/v_threshold", _next_float), NIR, "SN306", 1, "edges.v_"),
    Fault("a recording in which nothing fires", _recorded_again(_black, "--data", "black.npz", "--new-recording"),
          STRICT, "SN309", 1),
    Fault("a recording whose answers are all the same", _same_answers, NIR, "SN310", 1, "predictions are ties"),
    Fault("a graph that resets by subtraction", _metadata(reset="subtract"), NIR, "SN210", 1, "soft reset"),
    Fault("accuracy under its limit", _arrays(RECORDED, y=lambda y: y[::-1]), (GRAPH, "--min", "accuracy=100%"),
          "SN401", 1, "under"),
    Fault("a file that is not there", lambda _: Path(GRAPH).unlink(), NIR, "SN101", 3, "no such file"),
    Fault("a pointer of git-lfs", lambda _: Path(GRAPH).write_bytes(LFS), NIR, "SN101", 3, "git lfs pull"),
    Fault("a pointer for a recording", lambda _: Path(RECORDED).write_bytes(LFS), NIR, "SN101", 3, "git lfs pull"),
    Fault("a pointer in an export", lambda _: Path("lava/golden.npz").write_bytes(LFS), LAVA, "SN101", 3, "lfs pull"),
    Fault("other timesteps in the file", _metadata(timesteps=7), NIR, "SN306", 1, "timesteps is 7, recorded was 6"),
    Fault("a folder that is no export", lambda _: Path("lava/x").mkdir(), ("lava/x",), "SN103", 3, "nothing of an"),
    Fault("a layer that is not recorded", _renamed_layer, NIR, "SN302", 1, "of the recording not in the graph: ballot"),
    Fault("activity over its limit", lambda _: None, (GRAPH, "--max", "sar=0.1%"), "SN402", 1),
    Fault("spikes over their limit", lambda _: None, (GRAPH, "--max", "spikes=1"), "SN403", 1),
    Fault("synops over their limit", lambda _: None, (GRAPH, "--max", "synops=3"), "SN404", 1),
    Fault("energy over its limit", lambda _: None, (GRAPH, "--max", "energy=1uJ"), "SN405", 1, "uJ is over 1 uJ"),
    Fault("memory over its limit", lambda _: None, (GRAPH, "--max", "memory=1kB"), "SN406", 1),
    Fault("cores over their limit", lambda _: None, (GRAPH, "--max", "cores=0"), "SN407", 1),
    Fault("latency over its limit", lambda _: None, (GRAPH, "--max", "latency=1us"), "SN408", 1),
    Fault("energy 6 % over the baseline", _scaled("energy_total", 1 / 1.06), (GRAPH, *DRIFT), "SN501", 1, "by 6.0%"),
    Fault("energy over a tolerance in per cent", _scaled("energy_total", 1 / 1.06), (GRAPH, *DRIFT), "SN501", 1,
          "allowed is 5.0%"),
    Fault("accuracy 6 % under the baseline", _scaled("accuracy", 1 / 0.94), (GRAPH, *DRIFT), "SN501", 1),
    Fault("a baseline that is none", _baseline(lambda t: t.update(schema="x")), (GRAPH, *DRIFT), "SN502", 3),
    Fault("a baseline with a figure that is gone", _baseline(lambda t: t.update(figures={"cores": 1.0})),
          (ONNX, "--baseline", "baseline.json"), "SN502", 1, "no such figure"),
    Fault("a baseline of other samples", _baseline(lambda t: t.update(stimulus="0")),
          (GRAPH, "--strict", *DRIFT), "SN503", 1),
    Fault("a run that is another every time", _moody, NIR, "SN601", 1),
    Fault("a run that depends on the order", _leaky, NIR, "SN602", 1),
    Fault("a compiler that is not deterministic", _drifting_compiler, NIR, "SN603", 1, "two compilations"),
    # exports
    Fault("an export without its program", lambda _: Path("lava/program.npz").unlink(), LAVA, "SN103", 3, "missing"),
    Fault("an export without its manifest", lambda _: Path("lava/manifest.json").unlink(), LAVA, "SN103", 3),
    Fault("an export newer than ours", _manifest(lambda m: m.update(format="snnas.export/9")), LAVA, "SN102", 3),
    Fault("a wrong hash", _arrays("lava/stimulus.npz", extra=np.zeros(1)), LAVA, "SN104", 3, "hash"),
    Fault("a manifest that leads away", _manifest(lambda m: m["files"].update({"../x": "0"})), LAVA, "SN115", 3),
    Fault("a cut program", _signed("program.npz", lambda p: p.write_bytes(p.read_bytes()[:500])), LAVA, "SN101", 3),
    Fault("a register too wide", _signed("program.npz", _wide_register), LAVA, "SN117", 3, "vth"),
    Fault("a changed program weight", _signed("program.npz", _program_weight), LAVA, "SN211", 1, "synapse"),
    Fault("a program of another graph", _signed("program.npz", _other_program), LAVA, "SN207", 1),
    Fault("a register that may overflow", _signed("program.npz", _overflowing), LAVA, "SN208", 1, "ballot"),
    Fault("weights of few steps", _signed("program.npz", _coarse), LAVA, "SN209", 1, "ballot: 2 of 8 bits left"),
    Fault("changed currents", _golden(**{"currents.edges": lambda c: c + 1}), LAVA, "SN304", 1, "edges"),
    Fault("changed logits", _golden(logits=lambda v: v[:, ::-1]), LAVA, "SN305", 1, "readout"),
    Fault("a doubled spike on target", _golden(**{"spikes.ballot": _double}), LAVA, "SN303", 1, "first at sample 0"),
    Fault("an edited figure", _manifest(lambda m: m["figures"]["sar"].update(on_target=0)), LAVA, "SN307", 1, "sar"),
    Fault("another script", _signed("run_lava.py", lambda p: p.write_text(p.read_text() + "#")), LAVA, "SN120", 1),
    Fault("another network that says it was fine-tuned", _fine_tuned, LAVA, "SN311", 1, "are missing on the other"),
    Fault("samples that nobody pinned", lambda _: None, (*LAVA, "--min", "accuracy=50%"), "SN312", 1),
    Fault("edited cores", _manifest(lambda m: m["figures"]["resources"].update(cores=0)), LAVA, "SN307", 1, "core"),
    # ONNX
    Fault("bytes that are no model", lambda _: Path(ONNX).write_bytes(b"\x08\x0asnnas"), (ONNX,), "SN101", 3),
    Fault("a foreign operator", _onnx(_foreign_operator), (ONNX,), "SN106", 4, "SpikeMagic"),
    Fault("a hidden graph", _onnx(_control_flow), (ONNX,), "SN106", 4, "hidden"),
    Fault("a NaN in ONNX", _onnx(_tensor("lines_weight", _one_nan)), (ONNX,), "SN107", 3, "lines_weight"),
    Fault("data outside the file", _onnx(_external), (ONNX,), "SN115", 3, "../../../../etc/passwd"),
    Fault("an opset too old", _onnx(_opset(13)), (ONNX,), "SN116", 3, "opset 13"),
    Fault("an IR too new", _onnx(lambda m: setattr(m, "ir_version", 99)), (ONNX,), "SN116", 3, "99"),
    Fault("no metadata", _onnx(lambda m: m.ClearField("metadata_props")), (ONNX,), "SN119", 3, "metadata"),
    Fault("metadata of no timesteps", _onnx(_onnx_metadata(timesteps=0)), (ONNX,), "SN119", 3, "timesteps"),
    Fault("an ONNX newer than ours", _onnx(_onnx_metadata(format="snnas.onnx/9")), (ONNX,), "SN102", 3),
    Fault("other timesteps in ONNX", _onnx(_onnx_metadata(timesteps=7)), (ONNX,), "SN302", 1, "7 timesteps"),
    Fault("an operator of too few inputs", _onnx(_too_few_inputs), (ONNX,), "SN105", 3),
    Fault("another weight in ONNX", _onnx(_tensor("lines_weight", lambda w: w * 2)), (ONNX,), "SN302", 1, "edges"),
    Fault("a threshold off by one float in ONNX",
          _onnx(_tensor("edges_threshold", lambda v: np.nextafter(v, np.float32(9)))), (ONNX,), "SN306", 1),
    Fault("ONNX and NIR that differ",
          _signed("model.onnx", lambda p: _onnx(_tensor("lines_weight", lambda w: w * 2), str(p))(Patch()), "onnx"),
          ("onnx",), "SN308", 1, "edges"),
    Fault("classes of ONNX in another order",
          _signed("model.onnx", lambda p: _onnx(_tensor("readout_weight", np.fliplr), str(p))(Patch()), "onnx"),
          ("onnx",), "SN315", 1, "readout_weight"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_planted_fault_is_caught_by_its_rule(
    fault: Fault,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: Patch,
) -> None:
    fault.spoil(monkeypatch)
    code, findings = checked(capsys, *fault.arguments)
    wrong = [f for f in findings if f["status"] not in ("passed", "skipped")]
    assert wrong, "nothing was found"
    assert (wrong[0]["code"], code) == (fault.code, fault.exit_code), wrong
    assert fault.word in wrong[0]["detail"]


@pytest.mark.parametrize("subject", [GRAPH, ONNX, "lava", "onnx"])
def test_what_is_healthy_passes(subject: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--max", "sar=50%", "--min", "accuracy=90%", "--strict"]
    if subject in ("lava", "onnx"):
        assert run_command(["check", subject, "--update-baseline", "--baseline", "pinned.json"]) == 0
        limits += ["--baseline", "pinned.json"]
    code, findings = checked(capsys, subject, *limits)
    assert code == 0, [f for f in findings if f["status"] != "passed"]
    assert {f["status"] for f in findings} == {"passed"}
    assert {"SN401", "SN402", "SN601", "SN602"} <= {f["code"] for f in findings}


def test_there_are_enough_and_every_rule_has_one() -> None:
    assert len({f.name for f in FAULTS}) == len(FAULTS) >= 25
    assert {f.code for f in FAULTS} == set(RULES) - {
        "SN118",
        "SN313",
        "SN314",
        "SN316",
        "SN409",
    }  # test_check_cli; of C: exporting/test_c; of early exits: exporting/test_early_exit; test_folder_netx


def test_the_baseline_takes_what_the_tolerance_allows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _scaled("energy_total", 1 / 1.04)(Patch())
    assert checked(capsys, GRAPH, *DRIFT)[0] == 0
    assert checked(capsys, GRAPH, "--baseline", "baseline.json")[0] == 1
    _scaled("energy_total", 2)(Patch())
    code, findings = checked(capsys, GRAPH, "--baseline", "baseline.json")
    assert code == 0
    assert "better by" in next(f["detail"] for f in findings if f["name"] == "baseline energy_total")


def test_edges_out_of_order_are_mended_by_being_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the mend of SN201 says, for a graph of anybody's: what is read and written again has its edges in order."""
    _edges(lambda e: e[::-1])(Patch())
    assert checked(capsys, GRAPH, "--portable")[0] == 1
    write_nir(Path(GRAPH), read_nir(Path(GRAPH)))
    assert checked(capsys, GRAPH, "--portable")[0] == 0


def test_a_graph_read_again_from_other_bytes_has_the_recorded_content(
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = Path(GRAPH).read_bytes()
    graph = read_nir(Path(GRAPH))
    write_nir(Path(GRAPH), replace(graph, nodes=dict(reversed(graph.nodes.items())), meta=graph.meta | {"note": 1}))
    assert Path(GRAPH).read_bytes() != before
    assert checked(capsys, GRAPH)[0] == 0
    shutil.rmtree("lava")
