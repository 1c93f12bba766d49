"""What ``simulate`` and ``estimate`` are pointed at: a program, a graph from anywhere or an export, and its samples.

A graph that carries our metadata says its timesteps, input kind and convention; of any other they are asked for, and
the convention is what the options name, else ours: said to be so, and unverified until a recording confirms it. Needs
the base install only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.compiler.paths import shape3
from snnas.export.compiler.quantise import check_bits
from snnas.export.dialects import conventions
from snnas.export.dialects.steps import read_dialect
from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.program_file import read_program
from snnas.export.graph.graph import Conv, Graph, Linear
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.program import LinearMap, Program, Shape
from snnas.toolchain.data import user_samples as samples
from snnas.toolchain.models.calibrate import Split, compile_opened, split_of
from snnas.toolchain.models.confirm_convention import Confirmed, confirm
from snnas.toolchain.models.input_reading import input_range, kind_and_timesteps, reading_notes
from snnas.toolchain.models.opened import Opened
from snnas.toolchain.models.reading_options import SINGLE, ReadingOptions, edges_of
from snnas.toolchain.runs.run import meant_by

CHUNK_BYTES = 1 << 29  # what the simulator's unfolded windows may take at once
Given = tuple[np.ndarray, np.ndarray | None]  # x and y
UNVERIFIED = "convention unverified"
ASKED = ", with --timesteps and --input-kind where neither file nor samples say them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A program and the samples to run it on. x: (N, C, H, W) or (N, T, C, H, W), None without data; y: (N,) or None.

    graph: where there is one. notes: what a user must know of how the file was read. label: what results call it; ''
    for its path.
    """

    path: Path
    program: Program
    graph: Graph | None
    x: np.ndarray | None
    y: np.ndarray | None
    data: str
    seed: int
    notes: tuple[str, ...] = ()
    verified: bool = True
    confirmed: Confirmed | None = None
    label: str = ""

    @property
    def batch(self) -> int:
        """Samples at a time, so that memory stays bounded."""
        p = self.program
        sizes = [p.timesteps * int(np.prod(q.shape)) for q in p.populations]
        for s in p.synapses:
            window = int(np.prod(s.map.weight.shape[1:])) if s.map.kind in ("conv", "pooled_conv") else 1
            sizes.append(p.timesteps * int(np.prod(p.population(s.dst).shape[1:])) * window)
        return int(np.clip(CHUNK_BYTES // (8 * max(sizes)), 1, 128))

    @property
    def samples(self) -> np.ndarray:
        """The samples; UsageError without."""
        if self.x is None:
            raise UsageError(f"{self.path}: no samples; give --data FILE.npz or --data digits")
        return self.x


def open_subject(path: Path, wanted: ReadingOptions) -> Subject:
    """Reads the model, then its data, and compiles a graph. Errors name the option that is missing."""
    wanted.check()
    if wanted.bits is not None:
        check_bits(wanted.bits)
    if path.is_dir():
        return _of_folder(path, wanted)
    if path.suffix == ".nir":
        return _of_graph(path, wanted)
    if path.suffix == ".npz":
        return _of_program(path, read_program(path), None, wanted)
    if not path.exists():
        mend = meant_by(path) or "; name a .nir, a program.npz or a folder of snnas export"
        raise UsageError(f"{path}: no such file or folder{mend}")
    raise UsageError(f"{path}: neither .nir, .npz nor a folder; name one of these")


def _of_folder(folder: Path, wanted: ReadingOptions) -> Subject:
    program = folder / "program.npz"
    if not program.is_file():
        mend = meant_by(folder) or "; name a folder that snnas export wrote"
        raise InvalidFileError(f"{folder}: no program.npz in it{mend}")
    graph = read_nir(folder / "model.nir") if (folder / "model.nir").is_file() else None
    subject = _of_program(folder, read_program(program), graph, wanted)
    if graph is not None and graph.meta.get("verified", True) is not True:
        note = f"{UNVERIFIED}: {graph.convention}; no recording has confirmed it"
        return replace(subject, notes=(note,), verified=False)
    return subject


def _of_program(path: Path, program: Program, graph: Graph | None, wanted: ReadingOptions) -> Subject:
    for option, given, found in (
        ("--timesteps", wanted.timesteps, program.timesteps),
        ("--input-kind", wanted.input_kind, program.input_kind),
        ("--bits", wanted.bits, program.weight_bits),
    ):
        if given not in (None, found):
            raise UsageError(f"{option} {given}: the program is compiled for {found}; leave the option out")
    if wanted.expect is not None:
        raise UsageError(f"--expect {wanted.expect}: of a .nir alone; {path} is compiled already")
    if wanted.delayed:
        raise UsageError(f"--delayed {wanted.delayed[0]}: a program says its delays itself; leave the option out")
    raw, y, name, seed = _samples(path, wanted, program.meta)
    raw, y = (None if each is None else each[: wanted.limit] for each in (raw, y))
    subject = Subject(path=path, program=program, graph=graph, x=None, y=None, data=name, seed=seed)
    return subject if raw is None else with_samples(subject, raw, y, name)


def with_samples(subject: Subject, x: np.ndarray, y: np.ndarray | None, name: str) -> Subject:
    """The subject with samples as they are stored, made what its program takes; InvalidFileError where they are not.

    name: what errors and results call them.
    """
    program = subject.program
    samples.check_labels(y, program.readout.classes, name)
    x = samples.of_signals(x, program.meta, program.input_range, program.input_shape, program.timesteps, name)
    x = samples.frames(samples.scaled(x, program.input_kind), program.input_shape, name)
    if x.ndim == 5 and x.shape[1] != program.timesteps:
        raise InvalidFileError(
            f"{name}: x has {x.shape[1]} frames; the program {subject.path} runs {program.timesteps} timesteps"
        )
    samples.check_range(x, program, name)
    x = samples.repeated(x, program.timesteps, program.input_kind)
    return replace(subject, x=x, y=y, data=name)


def open_graph(path: Path, wanted: ReadingOptions, given: Given | None = None) -> Opened:
    """Reads a graph and its samples, and settles what the file leaves open. Errors name the options that are missing.

    given: samples in place of those that ``wanted`` names. GateError (1) where the reading is not what
    ``wanted.expect`` recorded.
    """
    graph = read_as(path, wanted)
    ours = is_ours(graph)
    confirmed = None if wanted.expect is None else confirm(path, wanted, graph)
    raw, y, name, seed = (
        _samples(path, wanted, graph.meta) if given is None else (*given, samples.ARRAYS, wanted.seed or 0)
    )
    shapes = graph.shapes()
    shape = shape3(shapes[graph.input])
    if raw is not None and isinstance(graph.meta.get("timesteps"), int):
        raw = samples.of_signals(raw, graph.meta, input_range(graph, None), shape, graph.meta["timesteps"], name)
    x = None if raw is None else samples.frames(raw, shape, name)
    samples.check_labels(y, int(np.prod(shapes[graph.output])), name)
    kind, timesteps = kind_and_timesteps(graph, x, wanted, path, name)
    notes = [] if x is None else list(reading_notes(graph, x, kind, wanted, name))
    x = None if x is None else samples.repeated(samples.scaled(x, kind), timesteps, kind)
    verified = confirmed is not None or (ours and graph.meta.get("verified", True) is True)
    if not verified:
        notes.insert(0, _unverified(graph, wanted))
    elif confirmed is not None:
        notes.insert(0, f"convention verified by recording {confirmed}{f' ({wanted.said})' if wanted.said else ''}")
    return Opened(
        graph=graph, kind=kind, timesteps=timesteps, range=input_range(graph, x), x=x, y=y, data=name, seed=seed,
        notes=tuple(notes), verified=verified, confirmed=confirmed,
    )  # fmt: skip


def is_ours(graph: Graph) -> bool:
    """Whether its file says itself what other files leave open."""
    return bool(graph.meta.get("format") == conventions.FORMAT)


def read_as(path: Path, wanted: ReadingOptions) -> Graph:
    """A .nir in the convention that the options name; what it does in that tool, as a graph of ours."""
    delayed = edges_of(wanted)
    answers = wanted.answers
    dialect = wanted.dialect
    graph = read_nir(path, delayed=delayed, convention=answers)
    if is_ours(graph) and answers is not None:
        raise UsageError(f"{path} says its convention itself; leave {_options()} out")
    if dialect is not None:
        # From here on it is a graph of ours, which does what the file means in that tool.
        graph = read_dialect(path, dialect, delayed=delayed, own=wanted.own)
    return graph


def _options() -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in ("convention", *SINGLE))


def _unverified(graph: Graph, wanted: ReadingOptions) -> str:
    if wanted.convention is not None:
        return f"{UNVERIFIED}: that of {wanted.said}, as asked for; a recording confirms it with: --expect RECORDED.npz"
    why = "as the options say" if wanted.answers is not None else "assumed, since the file does not say"
    return f"{UNVERIFIED}: {graph.convention} ({why}); a recording settles it with: snnas whose"


def _of_graph(path: Path, wanted: ReadingOptions) -> Subject:
    g = open_graph(path, wanted)
    split = split_of(g, wanted)
    program = compile_opened(g, split, name=path.name, bits=wanted.bits, soft_reset=True)
    if g.x is not None:
        samples.check_range(g.x, program, g.data)
    return subject_of(path, g, split, program)


def subject_of(path: Path, g: Opened, split: Split, program: Program) -> Subject:
    """A graph that was compiled, with the samples that it is measured on."""
    return Subject(
        path=path, program=program, graph=g.graph, x=split.x, y=split.y, data=g.data, seed=g.seed,
        notes=(*g.notes, split.note), verified=g.verified, confirmed=g.confirmed,
    )  # fmt: skip


def _samples(
    path: Path, wanted: ReadingOptions, meta: Mapping[str, Any]
) -> tuple[np.ndarray | None, np.ndarray | None, str, int]:
    """The arrays x and y as stored, where they come from, and the seed of splits and intervals."""
    seed = wanted.seed if wanted.seed is not None else samples.run_seed(path)
    name = wanted.data
    if name is None and wanted.samples and (path / "stimulus.npz").is_file():
        name = str(path / "stimulus.npz")
    if name is None and wanted.samples:
        more = ASKED if path.suffix == ".nir" else ""
        raise UsageError(f"{path}: no samples; give --data FILE.npz or --data digits{more}")
    if name is None:
        return None, None, "none", seed
    if name.endswith(".npz"):
        return *samples.sliced_arrays(*samples.read_arrays(name), meta), name, seed
    # The readers of all data sets: only here.
    from snnas.toolchain.data import load as datasets
    from snnas.toolchain.data.datasets.series import is_series

    if is_series(Path(name)):
        x, y = samples.read_files(name, meta)
    else:
        split = datasets.load(name, seed=seed)
        x, y = split.x_test, split.y_test
    return x, y, name, seed


def graph_layers(graph: Graph) -> list[tuple[LinearMap, Shape]]:
    """The weighted layers of a graph and their input shapes: what an ANN of the same shape would multiply."""
    shapes = graph.shapes()
    layers = []
    for name, node in graph.nodes.items():
        if isinstance(node, Conv):
            linear = LinearMap(kind="conv", weight=node.weight, stride=node.stride, pad=node.pad, groups=node.groups)
        elif isinstance(node, Linear):
            linear = LinearMap(kind="dense", weight=node.weight)
        else:
            continue
        layers.append((linear, shape3(shapes[graph.sources(name)[0]])))
    return layers
