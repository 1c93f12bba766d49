"""Changes to safetensors, ONNX, recordings of event cameras, and the archives that they come in."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from random import Random
from typing import Any

from tests.faults.hostile_bytes import EXTREMES, scrambled
from tests.faults.hostile_trees import as_json, changed

OPERATORS = ("Loop", "If", "Scan", "Conv", "Reshape", "Expand", "ConstantOfShape", "Tile", "", "\x1b[31m", "Add",
             "Identity")  # fmt: skip
SIZES = (0, 1, 7, 8, 100_000_000, 100_000_001, 2**31, 2**32, 2**63, 2**64 - 1)


def hostile_safetensors(rng: Random, data: bytes) -> bytes:
    """The header's tree, its length, the tensors behind it, or any byte."""
    length = int.from_bytes(data[:8], "little")
    kind = rng.random()
    if kind < 0.3:
        return scrambled(rng, data, front=length + 8)
    tree, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    if kind < 0.8:
        name = rng.choice(list(tree))
        if rng.random() < 0.5 and name != "__metadata__":
            tree[name] = changed(rng, tree[name])
        else:
            tree = changed(rng, tree)
    elif kind < 0.9:
        tensors = rng.choice((b"", tensors[:-1], tensors + b"x", scrambled(rng, tensors), b"\xff" * len(tensors)))
    header = as_json(tree).encode("utf-8", "surrogatepass")
    declared = len(header) if rng.random() < 0.85 else rng.choice((*SIZES, len(header) + 1, len(header) - 1))
    return struct.pack("<Q", declared & (2**64 - 1)) + header + tensors


def hostile_onnx(rng: Random, data: bytes, canary: str) -> bytes:
    """The model's fields through protobuf, its metadata, or any byte."""
    import onnx

    if rng.random() < 0.35:
        return scrambled(rng, data, changes=6)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.randint(1, 3)):
        _change_model(rng, model, canary)
    out: bytes = model.SerializeToString()
    return scrambled(rng, out, changes=2) if rng.random() < 0.1 else out


def _move_outside(rng: Random, tensor: Any, canary: str) -> None:
    """Its data are to lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    target = rng.choice(("/etc/passwd", "../secret", canary, "/dev/zero", "model.onnx", "", "a\x1b[31m"))
    for key, value in (
        ("location", target),
        ("offset", rng.choice(("0", "-1", "x", "99999999999"))),
        ("length", "64"),
    ):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _tree(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # it was changed before
        return text


def _change_model(rng: Random, model: Any, canary: str) -> None:
    graph, kind = model.graph, rng.randrange(10)
    if kind == 0 and model.metadata_props:
        entry = rng.choice(model.metadata_props)
        entry.value = as_json(changed(rng, _tree(entry.value))).encode("utf-8", "replace").decode()
    elif kind == 1 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.dims[:] = rng.choice(([], [0], [-1], [2**40], [2**31, 2**31], [1, 2, 3], [2**62, 4]))
    elif kind == 2 and graph.initializer:
        rng.choice(graph.initializer).data_type = rng.choice((0, 1, 2, 6, 7, 8, 10, 11, 16, 23, 99))
    elif kind == 3 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.raw_data = rng.choice((b"", tensor.raw_data[:-1], tensor.raw_data * 2, b"\xff" * len(tensor.raw_data)))
    elif kind == 4 and graph.initializer:
        _move_outside(rng, rng.choice(graph.initializer), canary)
    elif kind == 5 and graph.node:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(OPERATORS)
    elif kind == 6 and graph.node:
        node = rng.choice(graph.node)
        names = [n.output[0] for n in graph.node if n.output]
        if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "x", "nowhere", "a\nb"])
    elif kind == 7 and graph.node:
        node = rng.choice(graph.node)
        if rng.random() < 0.5:
            graph.node.remove(node)
        else:
            graph.node.add().CopyFrom(node)
    elif kind == 8:
        model.ir_version = rng.choice((0, 1, 3, 10, 99, 2**31))
        model.opset_import[0].version = rng.choice((0, 1, 7, 18, 21, 99, 2**40))
    else:
        _change_values(rng, graph)


def _change_values(rng: Random, graph: Any) -> None:
    """Attributes, and the shapes of inputs and outputs."""
    with_attributes = [n for n in graph.node if n.attribute]
    if with_attributes and rng.random() < 0.5:
        attribute = rng.choice(rng.choice(with_attributes).attribute)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice((0, -1, 2**31, 2**62, 1000, -(2**63)))
        else:
            attribute.i = rng.choice((0, -1, 2**40, 99))
    else:
        value = rng.choice([*graph.input, *graph.output])
        dims = value.type.tensor_type.shape.dim
        if dims and rng.random() < 0.6:
            dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, -1, 2**31, 2**62, 7))
        elif rng.random() < 0.5:
            value.name = rng.choice(("", "x", "y", "\x1b[31m", "a\nb"))
        else:
            value.type.tensor_type.elem_type = rng.choice((0, 1, 2, 7, 8, 10, 11, 99))


# --------------------------------------------------------------------------------------------------- event recordings


def hostile_events(rng: Random, data: bytes, front: int) -> bytes:
    """A recording with a changed header, packets, or tail."""
    out = scrambled(rng, data, front=front)
    if rng.random() < 0.3 and len(out) > front + 28:
        at = front + 4 * rng.randrange(7)
        out = out[:at] + struct.pack("<I", rng.choice(EXTREMES) & 0xFFFFFFFF) + out[at + 4 :]
    if rng.random() < 0.1:
        out = out[:front].replace(b"\n", b"") + out[front:]
    return out


NAMES = (
    "../out",
    "/tmp/out",
    "a/../../out",
    "C:\\out",
    "..\\out",
    "a\x1b[31m",
    "a\nb",
    "",
    ".",
    "a" * 300,
    "Train/1/00001.bin",
)


def hostile_zip(rng: Random, files: dict[str, bytes]) -> bytes:
    """An archive with members that lie about their name, size or kind; or with changed bytes."""
    from tests.faults.hostile_npz import lying_zip

    buffer = io.BytesIO()
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that repeat
        for name, content in _members(rng, files):
            info = zipfile.ZipInfo(name)
            if rng.random() < 0.02:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content)
    data = buffer.getvalue()
    kind = rng.random()
    return lying_zip(rng, data) if kind < 0.3 else scrambled(rng, data) if kind < 0.6 else data


def hostile_tar(rng: Random, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    form = rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in _members(rng, files):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if rng.random() < 0.02:
                info.type, info.linkname = rng.choice((b"1", b"2", b"3", b"6", b"L", b"K", b"x", b"S")), "/etc/passwd"
            try:
                archive.addfile(info, io.BytesIO(content))
            except (ValueError, OSError):
                continue
    data = buffer.getvalue()
    if rng.random() < 0.4:
        data = scrambled(rng, data, front=512)
    packed = gzip.compress(data, 1)
    return scrambled(rng, packed, front=20) if rng.random() < 0.3 else packed


def _members(rng: Random, files: dict[str, bytes]) -> list[tuple[str, bytes]]:
    out = list(files.items())
    for _ in range(rng.randint(0, 2)):
        at = rng.randrange(len(out))
        name, content = out[at]
        out[at : at + 1] = rng.choice((
            [], [(name, content)] * 2, [(rng.choice(NAMES), content), (name, content)], [(name, b"")],
            [(name, scrambled(rng, content))], [(name, bytes(1 << 20))],
        ))  # fmt: skip
        if not out:
            break
    return out
