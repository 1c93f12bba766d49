"""``snnas check FOLDER``: an exported folder is whole, valid, does what it recorded, and stays within its limits.

Needs the base install only. Groups, in order: files and hashes; the graph and the program, each run on the recorded
input and compared with what was recorded; limits. Hashes find damage; a signature they are not: who re-writes the
manifest too is found by the runs, not by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export import interpreter
from export.compile import compile_graph
from export.graph import Graph
from export.nir_file import read_nir
from export.npz_file import read_npz
from export.program_file import read_program
from hw_sim import simulator
from hw_sim.errors import InvalidFileError, SnnasError, UsageError
from hw_sim.mapping import load_system, map_program
from hw_sim.program import Population, Program, Synapse
from toolchain.budgets import METRICS, excesses
from toolchain.files import read_json, sha256

FILES = ("model.nir", "program.npz", "golden.npz", "stimulus.npz", "run_lava.py")
GOLDEN_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's verdict. status: passed, failed (exit 1) or invalid (exit 3)."""

    name: str
    status: str
    detail: str


def check(folder: Path, limits: dict[str, float]) -> list[Finding]:
    """All findings, in order; a group that cannot run because an earlier one failed is left out."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one that snnas export wrote")
    findings: list[Finding] = []
    for step in (_files, _contents):
        findings += step(folder)
        if any(f.status != "passed" for f in findings):
            return findings
    return findings + list(_limits(read_json(folder / "manifest.json"), limits))


def _files(folder: Path) -> Iterator[Finding]:
    manifest = _try("manifest", lambda: _manifest(folder))
    if isinstance(manifest, Finding):
        yield manifest
        return
    recorded = manifest["files"]
    for name in FILES:
        path = folder / name
        if not path.is_file():
            yield Finding(f"file {name}", "invalid", "missing; export again")
        elif recorded.get(name) != sha256(path):
            yield Finding(
                f"file {name}",
                "invalid",
                "its hash is not the manifest's; the file was changed or damaged, export again",
            )
        else:
            yield Finding(f"file {name}", "passed", recorded[name][:12])


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / "manifest.json")
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != "snnas.export/1"
        or not isinstance(manifest.get("files"), dict)
    ):
        raise InvalidFileError(f"{folder / 'manifest.json'}: not the manifest of an export (format snnas.export/1)")
    return manifest


def _contents(folder: Path) -> Iterator[Finding]:
    graph = _try("graph", lambda: read_nir(folder / "model.nir"))
    if isinstance(graph, Finding):
        yield graph
        return
    yield Finding("graph", "passed", f"{len(graph.nodes)} nodes, {len(graph.edges)} edges")
    program = _try("program", lambda: read_program(folder / "program.npz"))
    if isinstance(program, Finding):
        yield program
        return
    yield Finding("program", "passed", f"{len(program.populations)} populations, {len(program.synapses)} synapses")
    manifest = _manifest(folder)
    for name, action in (
        ("recorded spikes", lambda: _reproduced(folder, program)),
        ("graph's spikes", lambda: _graph_run(folder, graph, program, manifest)),
        ("program against graph", lambda: _compiled(graph, program)),
        ("recorded resources", lambda: _resources(program, manifest)),
    ):
        outcome = _try(name, action)
        yield (
            outcome if isinstance(outcome, Finding) else Finding(name, "failed" if outcome[0] else "passed", outcome[1])
        )


def _try(name: str, action: Any) -> Any:
    """The action's value, or the finding that its error is."""
    try:
        return action()
    except SnnasError as error:
        return Finding(name, "invalid", " ".join(str(error).split()))


def _stimulus(folder: Path, program: Program) -> np.ndarray:
    """The recorded inputs, float32 (B, C, H, W) or (B, T, C, H, W), finite and as many as the golden samples."""
    x = read_npz(folder / "stimulus.npz", limit_bytes=GOLDEN_LIMIT, what="stimulus.npz").get("x")
    place, wanted = folder / "stimulus.npz", program.input_shape
    if x is None or x.dtype.kind not in "fu" or x.shape[-3:] != wanted or x.ndim not in (4, 5) or not len(x):
        raise InvalidFileError(f"{place}: x does not fit the program's input {wanted}; export again")
    if x.ndim == 5 and x.shape[1] != program.timesteps:
        raise InvalidFileError(f"{place}: x has {x.shape[1]} timesteps, the program {program.timesteps}; export again")
    low, high = program.input_range
    x = x.astype(np.float32)
    if not (np.isfinite(x).all() and x.min() >= low and x.max() <= high):
        raise InvalidFileError(f"{place}: x leaves the input's range {low:g}..{high:g}; export again")
    return x


def _recorded(folder: Path, golden: dict[str, np.ndarray], name: str, like: np.ndarray, samples: int) -> np.ndarray:
    """An array of golden.npz that must have the shape and type of ``like`` and hold ``samples``."""
    found = golden.get(name)
    if found is None or found.shape != (samples, *like.shape[1:]) or found.dtype != like.dtype:
        got = "missing" if found is None else f"{found.dtype} {found.shape}"
        raise InvalidFileError(
            f"{folder / 'golden.npz'}: {name} is {got}, expected {like.dtype} {(samples, *like.shape[1:])}; "
            "export again"
        )
    return found


def _reproduced(folder: Path, program: Program) -> tuple[bool, str]:
    """The simulator on the recorded input against the recorded currents, spikes and logits."""
    golden = read_npz(folder / "golden.npz", limit_bytes=GOLDEN_LIMIT, what="golden.npz")
    x = _stimulus(folder, program)
    done, compared = 0, 0
    for trace, currents in simulator.simulate_input(program, x):
        here = slice(done, done + len(trace.logits))
        for name, current in currents.items():
            like = current.astype(np.int32)
            if (_recorded(folder, golden, f"currents.{name}", like, len(x))[here] != like).any():
                return True, f"the currents that the host injects into {name} differ; first samples from {done} on"
        for p in program.in_order:
            ours = np.packbits(trace.spikes[p.id].reshape(len(trace.logits), program.timesteps, -1), axis=-1)
            theirs = _recorded(folder, golden, f"spikes.{p.id}", ours, len(x))[here]
            differ = np.unpackbits(ours ^ theirs, axis=-1)
            compared += p.size * program.timesteps * len(ours)
            if differ.any():
                sample, t, neuron = (int(i) for i in np.argwhere(differ)[0])
                place = tuple(int(i) for i in np.unravel_index(min(neuron, p.size - 1), p.shape))
                count, where = int(differ.sum()), f"sample {done + sample}, timestep {t}, neuron {place}"
                return True, f"{count} spikes of population {p.id} differ; first at {where}"
        if (_recorded(folder, golden, "logits", trace.logits, len(x))[here] != trace.logits).any():
            return True, "every spike is equal but the logits differ: the readout was changed"
        done += len(trace.logits)
    return False, f"0 of {compared} differ, {done} samples"


def _graph_run(folder: Path, graph: Graph, program: Program, manifest: dict[str, Any]) -> tuple[bool, str]:
    """The graph, run by the NumPy interpreter on the recorded input, against the spike counts of the manifest."""
    recorded = manifest.get("graph_spikes")
    if not isinstance(recorded, dict):
        raise InvalidFileError(f"{folder / 'manifest.json'}: no graph_spikes; export again")
    run = interpreter.run(graph, _stimulus(folder, program), program.timesteps)
    counted = interpreter.spikes_per_timestep(run.spikes)
    for name in graph.order():
        if name in counted and recorded.get(name) != counted[name]:
            return True, f"LIF {name} fires {counted[name]} spikes per timestep, recorded were {recorded.get(name)}"
    return False, f"{sum(map(sum, counted.values()))} spikes of {len(counted)} LIFs as recorded"


def _compiled(graph: Graph, program: Program) -> tuple[bool, str]:
    """Whether the program is one of this graph: the same populations and geometry (its weights have run above)."""
    again = compile_graph(
        graph, timesteps=program.timesteps, input_kind=program.input_kind, input_range=program.input_range
    )
    for what, key in (("population", _population), ("synapse", _synapse)):
        ours = {key(x) for x in getattr(again, f"{what}s")}
        theirs = {key(x) for x in getattr(program, f"{what}s")}
        if ours != theirs:
            odd = sorted(str(x[0]) for x in ours ^ theirs)
            return True, f"{what} {odd[0]} is not the same in graph and program; export again"
    return False, f"{len(program.populations)} populations, {len(program.synapses)} synapses, T = {program.timesteps}"


def _population(p: Population) -> tuple[Any, ...]:
    return p.id, p.shape, p.role, p.dv, p.du


def _synapse(s: Synapse) -> tuple[Any, ...]:
    m = s.map
    return s.id, s.src, s.dst, s.distance, m.kind, m.weight.shape, m.stride, m.pad, m.groups, m.pre, m.post


def _resources(program: Program, manifest: dict[str, Any]) -> tuple[bool, str]:
    """Neurons and cores, counted again, against the manifest's figures."""
    mapping = map_program(program, load_system())
    counted = {
        "neurons": sum(p.size for p in program.populations if p.role == "neuron"),
        "cores": mapping.cores,
        "chips": mapping.chips,
    }
    figures = manifest.get("figures", {})
    recorded = figures.get("resources", {}) if isinstance(figures, dict) else {}
    for name, value in counted.items():
        if recorded.get(name) != value:
            return True, f"{value} {name}, the manifest says {recorded.get(name)!r}; export again"
    return False, ", ".join(f"{v} {k}" for k, v in counted.items())


def _limits(manifest: dict[str, Any], limits: dict[str, float]) -> Iterator[Finding]:
    for name, limit in limits.items():
        value: Any = manifest.get("figures", {})
        for key in METRICS[name].figure:
            value = value.get(key) if isinstance(value, dict) else None
        over = excesses({name: limit}, {name: value if type(value) in (int, float) else None})
        yield Finding(
            f"max {name}", "failed" if over else "passed", str(over[0]) if over else f"{value:.6g} <= {limit:.6g}"
        )


def exit_code(findings: list[Finding]) -> int:
    """3 where a file is invalid, else 1 where a check failed, else 0."""
    states = {f.status for f in findings}
    return 3 if "invalid" in states else 1 if "failed" in states else 0
