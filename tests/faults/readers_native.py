"""What native libraries read (HDF5 in its guarded child, ONNX, safetensors), and event recordings."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.hostile_hdf5 import hostile_hdf5
from tests.faults.hostile_models import hostile_events, hostile_onnx, hostile_safetensors, hostile_tar, hostile_zip
from tests.faults.judge import Target
from tests.faults.readers_commands import commands, make_commands

REFUSED = (3, 4)
GIB = 1024  # in MiB


def targets(reader: str, work: Path) -> Sequence[Target]:
    """The targets of a reader; their healthy files are made in a process of their own, which may need torch."""
    made = work / "made"
    made.mkdir()
    makers: dict[str, tuple[Callable[[Path], None], Callable[[Path, Path], list[Target]]]] = {
        "hdf5": (_make_hdf5, _hdf5),
        "onnx": (_make_onnx, _onnx),
        "safetensors": (_make_safetensors, _safetensors),
        "events": (_make_events, _events),
        "commands": (make_commands, commands),
    }
    make, found = makers[reader]
    process = multiprocessing.get_context("fork").Process(target=make, args=(made,))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the healthy files of {reader} could not be made")
    return found(made, work)


# ----------------------------------------------------------------------------------------------------------------- HDF5


def _make_hdf5(made: Path) -> None:
    from snnas.export.compiler.fold import fold
    from snnas.export.formats.nir_file import write_nir
    from tests.faults.readers_arrays import small_graph
    from tests.networks import random_network

    small = {"channels": 2, "hidden": 6, "votes": 1}  # little in a file but structure
    write_nir(made / "searched.nir", fold(random_network("lightsnn", 5, **small).layers()))
    write_nir(made / "recurrent.nir", fold(random_network("lightsnn", 8, backward=True, **small).layers()))
    write_nir(made / "small.nir", small_graph())
    _secrets(made.parent)


def _secrets(work: Path) -> None:
    import h5py

    (work / "secret").write_bytes(b"SECRET" * 20)
    with h5py.File(work / "secret.h5", "w") as f:
        f["data"] = np.frombuffer(b"SECRET" * 20, np.uint8)[:64]


def _hdf5(made: Path, work: Path) -> list[Target]:
    from snnas.export.dialects.steps import read_dialect
    from snnas.export.dialects.table import named
    from snnas.export.formats.nir_file import read_nir
    from snnas.export.graph.waiting_edges import read_choices
    from tests.faults import guarded_child

    guarded_child.install()

    def target(name: str, file: str, read: Callable[[Path], Any]) -> Target:
        make = partial(hostile_hdf5, data=(made / file).read_bytes(), work=work)
        return Target(name=name, file="model.nir", make=make, read=read, codes=REFUSED, seconds=60, mib=4 * GIB)

    return [
        target("searched", "searched.nir", _sound(read_nir)),
        target("recurrent", "recurrent.nir", _sound(read_nir)),
        target("small", "small.nir", _sound(read_nir)),
        target("dialect", "small.nir", lambda p: read_dialect(p, named("snntorch"))),
        target("choices", "recurrent.nir", lambda p: _choices(read_choices(p))),
    ]


def _choices(graphs: Any) -> None:
    for graph in graphs.values():
        str(graph)


def _sound(read: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Read, holding nothing of what lies outside of the file; a small graph is also compiled."""

    def run(path: Path) -> None:
        from snnas.export.compiler.compile import compile_graph

        graph = read(path)
        for node in graph.nodes.values():
            for field in getattr(node, "__dataclass_fields__", {}):
                value = getattr(node, field)
                if isinstance(value, np.ndarray):
                    with np.errstate(all="ignore"):
                        plain = value.astype(np.float64).astype(np.int64).astype(np.uint8).tobytes()
                    assert b"SECRET" not in plain, "what lies outside of the file was read"
        if sum(int(np.prod(shape)) for shape in graph.shapes().values()) < 2_000:
            compile_graph(graph, timesteps=2, input_kind="analogue", input_range=(0.0, 1.0))

    return run


# ------------------------------------------------------------------------------------------------- ONNX and safetensors


def _make_onnx(made: Path) -> None:
    from snnas.export.compiler.fold import fold
    from snnas.export.formats.onnx_file import write_onnx
    from tests.networks import random_network

    write_onnx(made / "feed.onnx", fold(random_network("lightsnn", 5).layers()), timesteps=2)
    write_onnx(
        made / "back.onnx", fold(random_network("lightsnn", 8, backward=True).layers()), timesteps=2, inline=True
    )
    (made.parent / "secret").write_bytes(b"SECRET" * 2000)


def _onnx(made: Path, work: Path) -> list[Target]:
    # Before anything is judged: a first import writes its bytecode.
    import snnas.toolchain.checking.onnx_rules  # noqa: F401

    canary = str(work / "secret")
    return [
        Target(name=name, file="model.onnx", read=_onnx_run, codes=REFUSED, seconds=30, mib=2 * GIB,
               make=partial(hostile_onnx, data=(made / f"{name}.onnx").read_bytes(), canary=canary))
        for name in ("feed", "back")
    ]  # fmt: skip


def _onnx_run(path: Path) -> None:
    """As the runner reads one of ours, and as ``check`` reads anybody's."""
    from snnas.export.executors.onnx_runner import OnnxModel
    from snnas.toolchain.checking.findings import Book
    from snnas.toolchain.checking.onnx_rules import open_onnx

    open_onnx(Book(subject=path, kind="ONNX model"), path)
    OnnxModel(path).run(np.full((2, 1, 8, 8), 0.5, np.float32))


def _make_safetensors(made: Path) -> None:
    import torch

    from snnas.toolchain.training.checkpoint import Checkpoint, State
    from snnas.toolchain.training.weights import save_weights
    from tests.networks import random_network

    network = random_network("lightsnn", 5)
    (made / "genotype.json").write_text(network.genotype.to_json())
    save_weights(network, made / "weights.safetensors")
    tensors = {
        "network/a": torch.ones(3),
        "optimizer/0/step": torch.tensor(1.0),
        "rng": torch.zeros(16, dtype=torch.uint8),
    }
    Checkpoint(made, "same").write(State(epoch=2, log=[{"epoch": 1}]), tensors)


def _safetensors(made: Path, work: Path) -> list[Target]:
    from snnas.toolchain.training.checkpoint import Checkpoint
    from snnas.toolchain.training.weights import load_weights
    from tests.networks import random_network

    network = random_network("lightsnn", 5)

    def target(name: str, file: str, read: Callable[[Path], Any]) -> Target:
        make = partial(hostile_safetensors, data=(made / file).read_bytes())
        return Target(name=name, file=file, make=make, read=read)

    return [
        target("weights", "weights.safetensors", lambda p: load_weights(network, p)),
        target("checkpoint", "state.safetensors", lambda p: Checkpoint(p.parent, "same").read()),
    ]


# --------------------------------------------------------------------------------------------------------------- events


def _make_events(made: Path) -> None:
    from tests import official_files

    official_files.shd(made / "shd_train.h5", 12)
    _secrets(made.parent)


def _events(made: Path, work: Path) -> list[Target]:
    from snnas.toolchain.data.datasets import shd
    from snnas.toolchain.data.datasets.catalogue import SETS
    from snnas.toolchain.data.datasets.events import (
        read_aedat2,
        read_aedat2_davis,
        read_aedat2_dvs128,
        read_aedat3,
        read_nmnist,
    )
    from snnas.toolchain.data.datasets.frames import FrameOptions, to_frames
    from tests import official_files as files
    from tests.faults import guarded_child

    guarded_child.install()
    drawn = files.draw_events(1, 200, 128)
    davis = partial(read_aedat2_davis, width=346, height=260)

    def recording(
        name: str, data: bytes, front: int, read: Callable[[bytes, str], Any], sensor: tuple[int, int, int]
    ) -> Target:
        def frames(path: Path) -> None:
            found = read(path.read_bytes(), str(path))
            for split_by in ("count", "time"):
                to_frames(found, sensor, FrameOptions(frames=4, split_by=split_by))  # type: ignore[arg-type]

        make = partial(hostile_events, data=data, front=front)
        return Target(name=name, file=f"{name}.bin", make=make, read=frames)

    short = replace(SETS["shd"], train=12)
    nmnist_files = files.nmnist_members("Train", each=2) | files.nmnist_members("Test", each=1)
    gesture_files, _ = files.gesture_members(users=2)
    return [
        recording("nmnist", files.nmnist_bin(files.draw_events(0, 100, 34)), 10, read_nmnist, (2, 34, 34)),
        recording("aedat2", files.aedat2(drawn), 90, read_aedat2, (2, 128, 128)),
        recording("aedat2 of a DVS128", files.aedat2(drawn), 90, read_aedat2_dvs128, (2, 128, 128)),
        recording("aedat2 of a DAVIS", files.aedat2(drawn), 90, davis, (2, 346, 260)),
        recording("aedat3", files.aedat3(drawn), 70, read_aedat3, (2, 128, 128)),
        Target(name="N-MNIST zip", file="set/nmnist.zip", make=partial(hostile_zip, files=nmnist_files),
               read=_nmnist_set),
        Target(name="gesture tar", file="set/DvsGesture.tar.gz", make=partial(hostile_tar, files=gesture_files),
               read=_gesture_set),
        Target(name="shd", file="shd_train.h5", read=lambda p: shd._part(p, short, 12), seconds=60, mib=4 * GIB,
               make=partial(hostile_hdf5, data=(made / "shd_train.h5").read_bytes(), work=work)),
    ]  # fmt: skip


def _nmnist_set(path: Path) -> None:
    from snnas.toolchain.data.datasets.catalogue import SETS
    from snnas.toolchain.data.datasets.recordings import nmnist

    found = nmnist(replace(SETS["nmnist"], train=20, test=10), path.parent)
    for _ in found.events():
        pass


def _gesture_set(path: Path) -> None:
    from snnas.toolchain.data.datasets.catalogue import SETS
    from snnas.toolchain.data.datasets.recordings import gesture

    found = gesture(replace(SETS["dvs128_gesture"], train=11, test=11), path.parent)
    for _ in found.events():
        pass
