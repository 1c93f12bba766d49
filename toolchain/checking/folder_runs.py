"""The runs of an export folder: program, graph and ONNX model on the recorded samples, and the figures that go by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.observed_currents import Ranges
from snnas.export.compiler.observed_ranges import prove_or_observe
from snnas.export.compiler.ranges import NAMES, Range, prove
from snnas.export.compiler.resolution import resolutions
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.formats.npz_file import read_npz
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.host_stage import cut_channels, integers_of
from snnas.hw_sim.limits import STATE_LIMIT
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import CLOCK, LinearMap, Program
from snnas.hw_sim.simulate import simulator
from snnas.toolchain.checking import determinism, same_network
from snnas.toolchain.checking.equivalence import Fired, first_difference
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.made import leaf
from snnas.toolchain.checking.reach import check_reach
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.exporting.reuse import from_report

LIMIT_BYTES = 1 << 30
STATE_BITS = STATE_LIMIT.bit_length()
Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an export recorded: golden.npz, and the samples of it, the first of those that stimulus.npz holds."""

    golden: Tree
    samples: Samples


def read_recorded(folder: Path, samples: Samples) -> Recorded:
    """golden.npz beside its samples; InvalidFileError where it records more of them than there are, or none."""
    place = folder / "golden.npz"
    golden = read_npz(place, limit_bytes=LIMIT_BYTES, what="golden.npz")
    number = len(golden["logits"]) if "logits" in golden and golden["logits"].ndim else 0
    if not 1 <= number <= len(samples):
        raise InvalidFileError(
            f"{place}: records {amount_of(number, 'sample')}, stimulus.npz holds {len(samples)}; export again"
        )
    return Recorded(golden, samples.first(number))


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


def check_program(book: Book, program: Program, recorded: Recorded) -> Fired | None:
    """SN303 to SN305: the simulator on the recorded input against the recorded currents, spikes and logits; SN6xx.

    What the program fires; None where its input is not the recorded one.
    """
    folder, golden, x = book.subject, recorded.golden, recorded.samples.x
    fired, currents = simulate(program, x)
    problem = _other_input(folder, program, recorded, currents)
    if problem is not None:
        book.add("SN304", "recorded spikes", "failed", problem, folder / "golden.npz")
        return None
    packed = fired.packed()
    known = {name: _recorded(folder, golden, f"spikes.{name}", like) for name, like in packed.items()}
    logits = _recorded(folder, golden, "logits", fired.answers)
    difference = first_difference(known, fired, fired.spikes)
    if difference is None and (logits != fired.answers).any():
        problem = "every spike is equal but the logits differ: the readout was changed"
        book.add("SN305", "recorded spikes", "failed", problem, folder / "golden.npz")
    else:
        good = f"0 of {fired.total():,} differ, {amount_of(len(x), 'sample')}"
        bad = None if difference is None else difference.text("population")
        book.judge("SN303", "recorded spikes", bad, good, folder / "golden.npz")
    _check_life(book, program, fired, labels="labels" in golden or recorded.samples.y is not None)
    determinism.check_runs(book, "program", lambda s, batch: simulate(program, s, batch)[0], x, fired)
    return fired


def _other_input(folder: Path, program: Program, recorded: Recorded, currents: Tree) -> str | None:
    """How golden.npz was driven otherwise than by the samples of stimulus.npz."""
    golden, samples = recorded.golden, recorded.samples
    for name, current in currents.items():
        like = current.astype(np.int32)
        if (_recorded(folder, golden, f"currents.{name}", like) != like).any():
            return f"the currents that the host injects into {name} differ"
    if program.input_kind != "analogue":
        like = (samples.x > 0).astype(np.uint8)
        if (_recorded(folder, golden, "input.spikes", like) != like).any():
            return "the recorded input spikes are not those of stimulus.npz"
    if samples.y is not None and "labels" in golden and not np.array_equal(golden["labels"], samples.y):
        return "the recorded labels are not those of stimulus.npz"
    return None


def _check_life(book: Book, program: Program, fired: Fired, *, labels: bool) -> None:
    """SN309 and SN310. Where nothing that the readout reads fires, every sample gets the same answer: SN309 failed."""
    neurons = {p.id: fired.spikes[p.id] for p in program.populations if p.role == "neuron"}
    unheard = not any(fired.spikes[name].any() for name in program.readout.sources)
    check_reach(book, Fired(neurons, fired.answers), book.subject / "golden.npz", labels=labels, unheard=unheard)


def check_graph(
    book: Book, graph: Graph, program: Program, manifest: Tree, recorded: Recorded, fired: Fired | None,
    *, proved: bool = False,
) -> interpreter.Run:  # fmt: skip
    """SN302: the graph, by the NumPy interpreter on the recorded input, against the spike counts of the manifest.

    SN311: against what the program fired on it. What the graph fired. proved: every number of the program is what the
    graph compiles to.
    """
    known = manifest.get("graph_spikes")
    if not isinstance(known, dict):
        raise InvalidFileError(f"{book.subject / 'manifest.json'}: no graph_spikes; export again")
    run = interpreter.run(graph, recorded.samples.x, program.timesteps)
    counted = interpreter.spikes_per_timestep(run.spikes)
    problem = None
    for name in graph.order():
        if name in counted and known.get(name) != counted[name]:
            problem = f"LIF {name} fires {counted[name]} spikes at each timestep, recorded were {known.get(name)}"
            break
    else:
        if odd := sorted(known.keys() - counted.keys()):
            problem = f"spikes are recorded of {odd[0][:40]}, which is no neuron of the graph"
    good = f"{amount_of(sum(map(sum, counted.values())), 'spike')} of {amount_of(len(counted), 'LIF')} as recorded"
    book.judge("SN302", "graph's spikes", problem, good, book.subject / "model.nir")
    if fired is not None:
        same_network.check_spikes(book, program, fired, run, recorded.samples.x if proved else None)
    return run


def check_ranges(book: Book, program: Program, samples: Samples) -> dict[str, Range]:
    """SN208: no admissible input overflows a register; no recorded one where the program says ``observed``.

    The range of each population.
    """
    found = prove(program)
    problem = None
    for name, range_ in found.items():
        if range_.status != "proved" and name not in program.observed:
            register, bound = range_.worst
            problem = f"population {name}: its {NAMES[register]} may reach {bound.value}, the limit is {bound.limit}"
            break
    if problem is None and program.observed:
        try:
            found = prove_or_observe(program, samples.x)
        except UnsupportedError as error:
            problem = str(error)
    proved = sum(range_.status == "proved" for range_ in found.values())
    good = f"{proved} of {len(found)} populations proved" + (", the rest observed" if proved < len(found) else "")
    book.judge("SN208", "ranges", problem, good, book.subject / "program.npz")
    return found


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


def check_structure(
    book: Book, graph: Graph, program: Program, samples: Samples, calibration: np.ndarray | None, ranges: Ranges
) -> Program | None:
    """SN207: populations and geometry of the graph compiled again; SN603: compiled twice, equal bytes.

    calibration: what the export was calibrated with; without it (an older export) ``samples`` where there has to be
    something. The clock's synapses of one side alone are left out: a bias has a coarse and a fine one, and which of the
    two are not all zeros depends on rounding, as calibration and fine-tuning move it. What was compiled; None where it
    is another network.
    """
    spikes, by = None, calibration
    if by is None and program.observed:  # at a proved scale there might be no program
        by = samples.x
    if by is not None:
        spikes = calibration_spikes(graph, by, program.timesteps, program.input_kind)

    def compile_it() -> Program:
        return compile_graph(
            graph,
            timesteps=program.timesteps,
            input_kind=program.input_kind,
            input_range=program.input_range,
            bits=program.weight_bits,
            spikes=spikes,
            ranges=ranges if by is not None else "auto",
        )

    again, place = compile_it(), book.subject / "program.npz"
    good = f"{described(program)}, T = {program.timesteps}"
    problem = _unlike(again, program, calibration) or _fed_otherwise(graph, program)
    alike = book.judge("SN207", "program against graph", problem, good, place)
    determinism.check_compile(book, compile_it, again)
    return again if alike else None


def described(program: Program) -> str:
    return f"{amount_of(len(program.populations), 'population')}, {amount_of(len(program.synapses), 'synapse')}"


def _unlike(again: Program, program: Program, calibration: np.ndarray | None = None) -> str | None:
    ours, theirs = _structure(again), _structure(program)
    clocks = {f"synapse {s.id}" for p in (again, program) for s in p.synapses if s.src == CLOCK}
    lone = clocks & (ours.keys() ^ theirs.keys())
    odd = sorted(name for name in {**ours, **theirs} if name not in lone and ours.get(name) != theirs.get(name))
    if odd:
        return f"{odd[0]} is not the same in graph and program; export again"
    if (again.schedule, *_read(again)) != (program.schedule, *_read(program)):
        return "the schedule or the readout is not the same in graph and program; export again"
    if _names(again) != _names(program):
        return "which node of the graph each population is of is not what the graph compiles to; export again"
    pixels = program.host_integers
    if pixels is None:
        return None
    if pixels != integers_of(program.input_range, pixels.finer):
        return "the integer host stage does not see pixels as the program's range says; export again"
    cut = cut_channels(program, calibration) if pixels.finer and calibration is not None else []
    if cut:
        return f"the integer host stage cuts off calibration samples in channel {cut[0]}; export again"
    return None


def _fed_otherwise(graph: Graph, program: Program) -> str | None:
    """What the graph's own metadata say of time and input, and the program says otherwise. Nobody compiles that."""
    said = {
        "timesteps": program.timesteps,
        "input_kind": program.input_kind,
        "input_range": list(program.input_range),
        "signal": program.meta.get("signal"),
    }
    odd = [name for name, value in said.items() if graph.meta.get(name, value) != value]
    if not odd and "timesteps" in graph.meta and "signal" in program.meta and "signal" not in graph.meta:
        odd = ["signal"]  # of an encoder that the graph knows nothing of
    return f"{odd[0]} is not the same in the metadata of graph and program; export again" if odd else None


def _names(program: Program) -> str:
    """What tells populations the graph's nodes, as JSON keeps it: without it their spikes are compared with nothing."""
    return json.dumps([program.meta.get(key) for key in ("node_of", "parts")], sort_keys=True)


def _structure(program: Program) -> dict[str, tuple[Any, ...]]:
    """What of a program does not depend on how numbers were rounded."""
    return {
        **{f"population {p.id}": (p.shape, p.role, p.dv, p.du) for p in program.populations},
        **{f"synapse {s.id}": (s.src, s.dst, s.distance, *_map(s.map)) for s in program.synapses},
        **{f"host map {h.id}": (h.dst, h.distance, *_map(h.map)) for h in program.host},
    }


def _read(program: Program) -> tuple[Any, ...]:
    r = program.readout
    return [(k.src, k.distance, type(k.weight), k.weight.shape) for k in r.readings], r.read, r.response.shape


def _map(m: LinearMap) -> tuple[Any, ...]:
    return m.kind, m.weight.shape, m.stride, m.pad, m.groups, m.pre, m.post


def check_resources(book: Book, program: Program, manifest: Tree) -> None:
    """SN307: neurons and cores, counted again, against the manifest's figures."""
    mapping = map_program(program, load_system())
    neurons = sum(p.size for p in program.populations if p.role == "neuron")
    counted, problem = {"neurons": neurons, "cores": mapping.cores, "chips": mapping.chips}, None
    for name, value in counted.items():
        found = leaf(manifest, ("figures", "resources", name))
        if problem is None and (type(found) is not type(value) or found != value):
            problem = f"{amount_of(value, name.removesuffix('s'))}, the manifest says {str(found)[:40]!r}; export again"
    good = ", ".join(amount_of(v, k.removesuffix("s")) for k, v in counted.items())
    book.judge("SN307", "recorded resources", problem, good, book.subject / "manifest.json")


def check_tables(book: Book, report: dict[str, Any], manifest: Tree) -> None:
    """SN307: what the manifest repeats of report.json is what stands there."""
    figures, place = manifest.get("figures"), book.subject / "manifest.json"
    if not isinstance(figures, dict):
        raise InvalidFileError(f"{place}: no figures; export again")
    repeated = from_report(report)
    wanted = repeated.pop("figures")
    other = [name for name in wanted | figures if figures.get(name) != report.get(name)]  # NaN is equal to nothing
    other += [name for name, table in repeated.items() if manifest.get(name) != table]
    tuned = manifest.get("finetune")
    tuned = {k: v for k, v in tuned.items() if k != "note"} if isinstance(tuned, dict) else tuned
    other += ["finetune"] if tuned != report.get("finetune") else []
    problem = f"{other[0]} of the manifest is not that of report.json; export again" if other else None
    good = f"{amount_of(len(figures) + len(repeated), 'table')} as in report.json"
    book.judge("SN307", "recorded figures", problem, good, place)


def memory_of(program: Program) -> float:
    """Bytes: weights at their stored width (the readout's are the host's), and the state of every neuron."""
    weights = sum(s.map.weight.size for s in program.synapses)
    return math.ceil((weights * program.weight_bits + sum(p.size for p in program.populations) * STATE_BITS) / 8)
