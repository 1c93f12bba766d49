"""The runs of an export folder: program, graph and ONNX model on the recorded samples, and the figures that go by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.observed_ranges import prove_or_observe
from snnas.export.compiler.ranges import NAMES, prove
from snnas.export.compiler.resolution import resolutions
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.formats.npz_file import read_npz
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.files import read_json
from snnas.hw_sim.limits import STATE_LIMIT
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import CLOCK, Population, Program, Shape, Synapse
from snnas.hw_sim.simulate import simulator
from snnas.toolchain.checking import determinism
from snnas.toolchain.checking.equivalence import Fired, first_difference
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.graph_rules import neurons_of
from snnas.toolchain.checking.lone_onnx import onnx_figures, run_onnx
from snnas.toolchain.checking.reach import check_reach
from snnas.toolchain.output import silence
from snnas.toolchain.searching.budgets import GATED

LIMIT_BYTES = 1 << 30
STATE_BITS = STATE_LIMIT.bit_length()
Tree = Mapping[str, Any]


def read_stimulus(folder: Path, shape: Shape, timesteps: int, bounds: tuple[float, float]) -> np.ndarray:
    """The recorded inputs, float32 (B, C, H, W) or (B, T, C, H, W), finite and within the input's range."""
    place = folder / "stimulus.npz"
    x = read_npz(place, limit_bytes=LIMIT_BYTES, what="stimulus.npz").get("x")
    if x is None or x.dtype.kind not in "fu" or x.shape[-3:] != shape or x.ndim not in (4, 5) or not len(x):
        raise InvalidFileError(f"{place}: x does not fit the program's input {shape}; export again")
    if x.ndim == 5 and x.shape[1] != timesteps:
        raise InvalidFileError(f"{place}: x has {x.shape[1]} timesteps, the program {timesteps}; export again")
    low, high = bounds
    x = x.astype(np.float32)
    if not (np.isfinite(x).all() and x.min() >= low and x.max() <= high):
        raise InvalidFileError(f"{place}: x leaves the input's range {low:g}..{high:g}; export again")
    return x


def _stimulus(folder: Path, program: Program) -> np.ndarray:
    return read_stimulus(folder, program.input_shape, program.timesteps, program.input_range)


def _recorded(folder: Path, golden: Tree, name: str, like: np.ndarray) -> np.ndarray:
    """An array of golden.npz that must have the shape and type of ``like``."""
    found = golden.get(name)
    if found is None or found.shape != like.shape or found.dtype != like.dtype:
        got = "missing" if found is None else f"{found.dtype} {found.shape}"
        raise InvalidFileError(
            f"{folder / 'golden.npz'}: {name} is {got}, expected {like.dtype} {like.shape}; export again"
        )
    return np.asarray(found)


def simulate(program: Program, x: np.ndarray, batch: int = 128) -> tuple[Fired, dict[str, np.ndarray]]:
    """The program on samples, and the currents that the host injected; populations in order of depth."""
    parts = list(simulator.simulate_input(program, x, batch=batch))
    spikes = {p.id: np.concatenate([t.spikes[p.id] for t, _ in parts]) for p in program.in_order}
    currents = {name: np.concatenate([c[name] for _, c in parts]) for name in parts[0][1]}
    return Fired(spikes, np.concatenate([t.logits for t, _ in parts])), currents


def check_program(book: Book, program: Program) -> None:
    """SN303 to SN305 and SN309, SN310: the simulator on the recorded input; SN6xx."""
    folder = book.subject
    golden = read_npz(folder / "golden.npz", limit_bytes=LIMIT_BYTES, what="golden.npz")
    x = _stimulus(folder, program)
    fired, currents = simulate(program, x)
    for name, current in currents.items():
        like = current.astype(np.int32)
        if (_recorded(folder, golden, f"currents.{name}", like) != like).any():
            problem = f"the currents that the host injects into {name} differ"
            book.add("SN304", "recorded spikes", "failed", problem, folder / "golden.npz")
            return
    packed = fired.packed()
    known = {name: _recorded(folder, golden, f"spikes.{name}", like) for name, like in packed.items()}
    logits = _recorded(folder, golden, "logits", fired.answers)
    difference = first_difference(known, fired, list(fired.spikes))
    if difference is None and (logits != fired.answers).any():
        problem = "every spike is equal but the logits differ: the readout was changed"
        book.add("SN305", "recorded spikes", "failed", problem, folder / "golden.npz")
    else:
        good = f"0 of {fired.total()} differ, {amount_of(len(x), 'sample')}"
        bad = None if difference is None else difference.text("population")
        book.judge("SN303", "recorded spikes", bad, good, folder / "golden.npz")
    ours = {p.id for p in program.populations if p.role == "neuron"}
    neurons = {name: spikes for name, spikes in fired.spikes.items() if name in ours}
    check_reach(book, Fired(neurons, fired.answers), folder / "golden.npz", labels="labels" in golden)
    determinism.check_runs(book, "program", lambda s, batch: simulate(program, s, batch)[0], x, fired)


def check_graph(book: Book, graph: Graph, program: Program, manifest: Tree) -> None:
    """SN302: the graph, by the NumPy interpreter on the recorded input, against the spike counts of the manifest."""
    recorded = manifest.get("graph_spikes")
    if not isinstance(recorded, dict):
        raise InvalidFileError(f"{book.subject / 'manifest.json'}: no graph_spikes; export again")
    run = interpreter.run(graph, _stimulus(book.subject, program), program.timesteps)
    counted = interpreter.spikes_per_timestep(run.spikes)
    problem = None
    for name in graph.order():
        if name in counted and recorded.get(name) != counted[name]:
            problem = f"LIF {name} fires {counted[name]} spikes at each timestep, recorded were {recorded.get(name)}"
            break
    good = f"{amount_of(sum(map(sum, counted.values())), 'spike')} of {amount_of(len(counted), 'LIF')} as recorded"
    book.judge("SN302", "graph's spikes", problem, good, book.subject / "model.nir")


def check_ranges(book: Book, program: Program) -> None:
    """SN208: no admissible input overflows a register; no recorded one where the program says ``observed``."""
    found = prove(program)
    problem = None
    for name, range_ in found.items():
        if range_.status != "proved" and name not in program.observed:
            register, bound = range_.worst
            problem = f"population {name}: its {NAMES[register]} may reach {bound.value}, the limit is {bound.limit}"
            break
    if problem is None and program.observed:
        try:
            prove_or_observe(program, _stimulus(book.subject, program))
        except UnsupportedError as error:
            problem = str(error)
    proved = sum(range_.status == "proved" for range_ in found.values())
    good = f"{proved} of {len(found)} populations proved" + (", the rest observed" if proved < len(found) else "")
    book.judge("SN208", "ranges", problem, good, book.subject / "program.npz")


def check_resolution(book: Book, graph: Graph, program: Program) -> None:
    """SN209: quantisation has left the weights of every population enough bits."""
    found = resolutions(schedule(trace(graph, program.input_kind, soft_reset=True)).circuit.links, program)
    few = [f"population {name}: {r.text(program.weight_bits)}" for name, r in found.items() if r.few]
    least = min((r.bits for r in found.values()), default=program.weight_bits)
    where = book.subject / "program.npz" if book.subject.is_dir() else None
    if few:
        book.add("SN209", "resolution", "warned", "; ".join(few), where)
    else:
        book.add("SN209", "resolution", "passed", f"{least} of {program.weight_bits} bits left at least", where)


def check_structure(book: Book, graph: Graph, program: Program) -> None:
    """SN207: populations and geometry of the graph compiled again; SN603: compiled twice, equal bytes.

    The clock's synapses are left out: a bias has a coarse and a fine one, and which of the two are not all zeros
    depends on rounding, as calibration and fine-tuning move it.
    """
    spikes = None
    if program.observed:  # at a proved scale there might be no program
        x = _stimulus(book.subject, program)
        spikes = calibration_spikes(graph, x, program.timesteps, program.input_kind)

    def compile_it() -> Program:
        return compile_graph(
            graph,
            timesteps=program.timesteps,
            input_kind=program.input_kind,
            input_range=program.input_range,
            bits=program.weight_bits,
            spikes=spikes,
        )

    again = compile_it()
    good = f"{described(program)}, T = {program.timesteps}"
    book.judge("SN207", "program against graph", _unlike(again, program), good, book.subject / "program.npz")
    determinism.check_compile(book, compile_it, again)


def described(program: Program) -> str:
    return f"{amount_of(len(program.populations), 'population')}, {amount_of(len(program.synapses), 'synapse')}"


def _unlike(again: Program, program: Program) -> str | None:
    ours, theirs = _structure(again), _structure(program)
    odd = sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
    if odd:
        return f"{odd[0]} is not the same in graph and program; export again"
    if (again.schedule.period, *_read(again)) != (program.schedule.period, *_read(program)):
        return "the schedule's period or the readout is not the same in graph and program; export again"
    return None


def _structure(program: Program) -> dict[str, tuple[Any, ...]]:
    """What of a program does not depend on how numbers were rounded."""
    parts: dict[str, tuple[Any, ...]] = {f"population {p.id}": _population(p) for p in program.populations}
    parts |= {f"synapse {s.id}": _synapse(s) for s in program.synapses if s.src != CLOCK}
    parts |= {f"host map {h.id}": (h.dst, h.map.kind, h.map.weight.shape) for h in program.host}
    return parts


def _read(program: Program) -> tuple[Any, ...]:
    r = program.readout
    return [(k.src, k.distance, k.weight.shape) for k in r.readings], r.read, r.response.shape


def _population(p: Population) -> tuple[Any, ...]:
    return p.shape, p.role, p.dv, p.du


def _synapse(s: Synapse) -> tuple[Any, ...]:
    m = s.map
    return s.src, s.dst, s.distance, m.kind, m.weight.shape, m.stride, m.pad, m.groups, _pools(m.pre), _pools(m.post)


def _pools(pools: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(astuple(p) for p in pools)


def check_resources(book: Book, program: Program, manifest: Tree) -> None:
    """SN307: neurons and cores, counted again, against the manifest's figures."""
    mapping = map_program(program, load_system())
    counted = {
        "neurons": sum(p.size for p in program.populations if p.role == "neuron"),
        "cores": mapping.cores,
        "chips": mapping.chips,
    }
    figures = manifest.get("figures", {})
    recorded = figures.get("resources", {}) if isinstance(figures, dict) else {}
    problem = None
    for name, value in counted.items():
        found = recorded.get(name) if isinstance(recorded, dict) else None
        if problem is None and (type(found) is not type(value) or found != value):
            problem = f"{amount_of(value, name.removesuffix('s'))}, the manifest says {str(found)[:40]!r}; export again"
    good = ", ".join(amount_of(v, k.removesuffix("s")) for k, v in counted.items())
    book.judge("SN307", "recorded resources", problem, good, book.subject / "manifest.json")


def check_figures(book: Book, folder: Path, program: Program, manifest: Tree) -> dict[str, float | None]:
    """SN307: the manifest's figures are those of report.json; the figures themselves, by metric."""
    figures = manifest.get("figures")
    if not isinstance(figures, dict):
        raise InvalidFileError(f"{folder / 'manifest.json'}: no figures; export again")
    report = read_json(folder / "report.json") if (folder / "report.json").is_file() else {}
    if not isinstance(report, dict):
        raise InvalidFileError(f"{folder}: report.json is no JSON object; export again")
    problem = next((_other(figures, report, name) for name in figures if _other(figures, report, name)), None)
    good = f"{amount_of(len(figures), 'table')} as in report.json"
    book.judge("SN307", "recorded figures", problem, good, folder / "manifest.json")
    found = {name: _value({**report, **figures}, metric.figure) for name, metric in GATED.items() if metric.figure}
    if silence.why_none(silence.of(report, "on_target")):
        found["accuracy"] = None
    return found | {"memory": memory_of(program)}


def _other(figures: Tree, report: Tree, name: str) -> str | None:
    """Why a table of figures is not the report's; NaN is equal to nothing."""
    if not report or figures[name] == report.get(name):
        return None
    return f"{name} of the manifest is not that of report.json; export again"


def _value(tree: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return float(tree) if type(tree) in (int, float) and math.isfinite(tree) else None


def memory_of(program: Program) -> float:
    """Bytes: weights at their stored width (the readout's are the host's), and the state of every neuron."""
    weights = sum(s.map.weight.size for s in program.synapses)
    return math.ceil((weights * program.weight_bits + sum(p.size for p in program.populations) * STATE_BITS) / 8)


def check_onnx(book: Book, graph: Graph, model: OnnxModel) -> dict[str, float | None]:
    """SN308: the interpreter on model.nir and onnxruntime on model.onnx, on the recorded samples; SN6xx."""
    shape = graph.shapes()[graph.input]
    boxed: Any = shape if len(shape) == 3 else (*shape, 1, 1)
    x = read_stimulus(book.subject, boxed, model.timesteps, (-math.inf, math.inf))
    done = interpreter.run(graph, x, model.timesteps)
    names = neurons_of(graph)
    x = x.reshape(*x.shape[:-3], *shape)
    fired = run_onnx(model, x)
    if {n: s.shape for n, s in fired.spikes.items()} != {n: done.spikes[n].shape for n in names}:
        problem: str | None = "their neuron layers are not the same"
    else:
        wanted = Fired({n: done.spikes[n] for n in names}, done.answers).packed()
        difference = first_difference(wanted, fired, names)
        problem = difference.text() if difference else None
    good = f"0 of {fired.total()} differ, {amount_of(len(x), 'sample')}"
    book.judge("SN308", "ONNX against NIR", problem, good, book.subject / "model.onnx")
    determinism.check_runs(book, "model", lambda s, batch: run_onnx(model, s, batch), x, fired, tolerance=1e-5)
    labels = read_npz(book.subject / "stimulus.npz", limit_bytes=LIMIT_BYTES, what="stimulus.npz").get("y")
    return onnx_figures(fired, labels)
