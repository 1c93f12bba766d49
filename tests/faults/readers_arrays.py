"""The readers of arrays: .npz of samples, recordings and exports, .npy, idx, and program.npz."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph, Input, Lif, Linear, Output
from snnas.hw_sim.entries import added, values_of, with_values
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.checking.recording import read as read_kept
from snnas.toolchain.data import user_samples as samples
from snnas.toolchain.data.datasets.folder import read_folder
from snnas.toolchain.data.datasets.images import read_idx
from snnas.toolchain.data.datasets.npz import ArrayOptions
from snnas.toolchain.data.datasets.npz import read_npz as read_dataset
from snnas.toolchain.models.recording import read_recording
from tests.faults.hostile_bytes import scrambled
from tests.faults.hostile_npz import hostile_npy, hostile_npz, hostile_program
from tests.faults.judge import Target
from tests.programs import random_program

REFUSED = (3, 4)  # what a target cannot hold is not supported: exit 4
SMALL = 1 << 20  # neurons x timesteps of a program that is run after it was read


def samples_of(count: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.random((count, 1, 4, 4)).astype(np.float32), "y": (np.arange(count) % 3).astype(np.int64)}


def small_graph() -> Graph:
    n = 4
    lif = Lif(**{k: np.full((n,), v, np.float32) for k, v in
                 (("tau", 2e-4), ("r", 1.0), ("v_leak", 0.0), ("v_threshold", 1.0), ("v_reset", 0.0))})  # fmt: skip
    nodes = {"in": Input(shape=(n,)), "fc": Linear(weight=np.eye(n, dtype=np.float32), bias=None), "lif": lif,
             "out": Output(shape=(n,))}  # fmt: skip
    return Graph(nodes=nodes, edges=(("in", "fc"), ("fc", "lif"), ("lif", "out")))


def npz_targets(canary: str) -> list[Target]:
    rng = np.random.default_rng(1)
    recording = {"x": rng.random((3, 5, 4)).astype(np.float32), "spikes.lif": np.ones((3, 5, 4), np.uint8),
                 "output": np.zeros((3, 5, 4), np.float64)}  # fmt: skip
    golden = {"currents.a": np.ones((2, 1, 2, 3, 3), np.int32), "spikes.a": np.zeros((2, 3, 5), np.uint8),
              "logits": np.zeros((2, 3), np.int64)}  # fmt: skip
    graph = small_graph()

    def target(name: str, arrays: dict[str, np.ndarray], read: Callable[[Path], Any], codes: tuple[int, ...]) -> Target:
        make = partial(hostile_npz, arrays=arrays, canary=canary)
        return Target(name=name, file="file.npz", make=make, read=read, codes=codes)

    bytes_x = samples_of() | {"x": (samples_of()["x"] * 255).astype(np.uint8)}
    return [
        target("golden", golden, read_npz, (3,)),
        target("data file", samples_of(), _data, (3,)),
        target("data set", bytes_x, read_dataset, (3,)),
        target("recording", recording, lambda p: read_recording(p, graph), (2, 3)),
        target("check's recording", _kept(), read_kept, (3,)),
        Target(
            name="folder of .npy",
            file="set/a/first.npy",
            read=_folder,
            make=partial(hostile_npy, array=np.ones((2, 3), np.float32) / 2, canary=canary),
        ),
        Target(name="folder of .png", file="set/a/first.png", read=_folder, make=_png),
    ]


def _kept() -> dict[str, np.ndarray]:
    about = {"format": "snnas.recording/1", "nodes": [["lif", [4]]], "content": {"lif.tau": "0" * 64},
             "options": {"timesteps": 3, "convention": "snntorch"}, "source": "drawn"}  # fmt: skip
    return {
        "recording.json": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "x": np.ones((2, 4), np.float32),
        "spikes.lif": np.zeros((2, 3, 1), np.uint8),
        "counts.lif": np.zeros(3, np.int64),
        "answers": np.zeros((2, 4)),
    }


def _data(path: Path) -> None:
    """As ``simulate --data``: read, scaled, brought into the program's shape."""
    x, _ = samples.read_arrays(str(path))
    for kind in ("analogue", "spikes", "counts"):
        try:
            samples.frames(samples.scaled(x, kind), (1, 4, 4), str(path))
        except samples.InvalidFileError:
            continue


def _folder(path: Path) -> None:
    """A folder of two classes, of which this file is one of many."""
    for name in ("a", "b"):
        folder = path.parent.parent / name
        folder.mkdir(exist_ok=True)
        for number in range(3):
            sibling = folder / f"{number}.npy"
            if not sibling.exists():
                np.save(sibling, np.ones((2, 3), np.float32) / 2)
    read_folder(path.parent.parent, ArrayOptions())


def _png(rng: Random) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    mode = rng.choice(("L", "RGB", "1", "P", "RGBA", "I;16"))
    Image.new(mode, (3, 2)).save(buffer, "PNG")
    data = bytearray(scrambled(rng, buffer.getvalue(), front=60))
    if rng.random() < 0.5 and len(data) > 40:  # sizes, depth and colour type, under the right sum
        at = rng.choice((16, 20, 24, 25, 28))
        data[at : at + (4 if at < 24 else 1)] = struct.pack(">I", rng.choice((0, 1, 4096, 65536, 2**31 - 1)))[
            : 4 if at < 24 else 1
        ]
        import zlib

        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


# ------------------------------------------------------------------------------------------------------------------ idx

SHAPE = (20, 5, 5)


def idx_targets() -> list[Target]:
    rng = np.random.default_rng(2)
    images = struct.pack(">4B3I", 0, 0, 8, 3, *SHAPE) + rng.integers(0, 256, SHAPE).astype(np.uint8).tobytes()
    labels = struct.pack(">4BI", 0, 0, 8, 1, 20) + (np.arange(20) % 10).astype(np.uint8).tobytes()
    return [
        Target(name="images", file="images.gz", make=partial(_idx, data=images), read=lambda p: read_idx(p, SHAPE)),
        Target(name="labels", file="labels", make=partial(_idx, data=labels), read=lambda p: read_idx(p, (20,))),
    ]


def _idx(rng: Random, data: bytes) -> bytes:
    """Mutated inside or outside of gzip, or packed twice, or followed by more, or a bomb."""
    kind = rng.randrange(8)
    if kind == 0:
        return scrambled(rng, data, front=16)
    if kind == 1:
        axes = rng.choice((0, 1, 3, 4, 255))
        head = bytes([rng.choice((0, 1, 255)), 0, rng.choice((8, 9, 0xB, 0xD, 0)), axes])
        extents = struct.pack(
            f">{min(axes, 5)}I", *(rng.choice((0, 1, 20, 5, 2**31, 2**32 - 1)) for _ in range(min(axes, 5)))
        )
        data = head + extents + data[16:]
        return gzip.compress(data, 1) if rng.random() < 0.5 else data
    if kind == 2:
        return gzip.compress(scrambled(rng, data, front=16), 1)
    if kind <= 4:
        return scrambled(rng, gzip.compress(data, 1), front=20)
    if kind == 5:
        return gzip.compress(gzip.compress(data, 1), 1)
    if kind == 6:
        return gzip.compress(data, 1) + rng.choice(
            (b"x", bytes(50), gzip.compress(b"more", 1), gzip.compress(data, 1)[:-4])
        )
    return gzip.compress(bytes(rng.choice((0, 1, 1 << 12, 1 << 20))), 1)


# -------------------------------------------------------------------------------------------------------------- program


def program_targets(canary: str, folder: Path) -> list[Target]:
    made = []
    for number, (seed, back, kind) in enumerate(
        ((1, (), "analogue"), (2, ((2, 1),), "analogue"), (3, (), "spikes"), (4, (), "counts"), (5, (), "spikes"))
    ):
        path = folder / f"{number}.npz"
        program = random_program(seed, back=back, kind=kind, layers=3)  # type: ignore[arg-type]
        write_program(path, program if number < 4 else _by_entries(program))
        arrays = read_npz(path)
        make = partial(hostile_program, arrays=arrays, canary=canary)
        made.append(Target(name=f"program {number}", file="program.npz", make=make, read=_program, codes=REFUSED))
    return made


def _by_entries(program: Program) -> Program:
    """Its readout's matrix by its entries, as of outputs without a linear layer."""
    (part,) = program.readout.readings
    matrix = values_of(part.weight)
    at = np.nonzero(matrix)
    entries = added(*at, matrix[at].astype(np.float64), matrix.shape)
    kept = with_values(entries, entries.values.astype(np.int8))
    return replace(program, readout=replace(program.readout, readings=(replace(part, weight=kept),)))


def _program(path: Path) -> None:
    """Read; where it is a small one, also placed and run: what the reader lets through must not break what follows."""
    program = read_program(path)
    json.dumps(program.meta)
    if program.timesteps * sum(p.size for p in program.populations) > SMALL or np.prod(program.input_shape) > SMALL:
        return
    map_program(program, load_system())
    low, high = program.input_range
    # Samples are float32; half the range's way up, which no rounding puts outside of it.
    x = np.full((1, *program.input_shape), np.clip(low / 2 + high / 2, -3e38, 3e38))
    if program.input_kind != "analogue":
        x = np.zeros((1, program.timesteps, *program.input_shape), np.float32)
    for _trace, _currents in simulate_input(program, x):
        pass


__all__ = ["idx_targets", "npz_targets", "program_targets", "small_graph", "write_npz"]
