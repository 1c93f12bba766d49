"""SN1xx of an .onnx: its bytes are parsed and looked through before a runtime sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.executors.onnx_runner import OnnxModel
from snnas.export.formats.onnx_file import FORMAT
from snnas.export.graph import digest
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.files import read_bytes
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.runs.extras import install

LIMIT_BYTES = 1 << 30
OPSET_MIN, IR_MIN = 16, 8  # CastLike and functions in a model
_PLAIN = frozenset({"", "ai.onnx"})
_EXPECTED = "expected a model.onnx as snnas export --target onnx writes it"


def open_onnx(book: Book, path: Path) -> tuple[OnnxModel, dict[str, str]] | None:
    """The model, ready to run, and the digests of its content; None where it breaks a rule."""
    model = book.attempt("SN101", "model", lambda: parsed(path), path)
    if model is None:
        return None
    for code, what, check in (
        ("SN115", "model data", _no_outside),
        ("SN116", "model versions", _versions),
        ("SN106", "model operators", _operators),
        ("SN107", "model parameters", _finite),
        ("SN105", "model structure", _checked),
        ("SN119", "model metadata", _described),
    ):
        good = book.attempt(code, what, partial(check, model, path), path)
        if good is None:
            return None
        book.add(code, what, "passed", good, path)
    ready = book.attempt("SN119", "model", lambda: _ready(path), path)
    if ready is None:
        return None
    book.add("SN101", "model", "passed", f"{amount_of(len(ready.spikes), 'neuron layer')}, T = {ready.timesteps}", path)
    return ready, _content(model)


def _ready(path: Path) -> OnnxModel:
    model = OnnxModel(path)
    if not all(type(n) is int and n > 0 for n in model.input_shape):
        raise InvalidFileError(f"{path}: input x has the shape {model.input_shape}; expected numbers behind the batch")
    return model


def parsed(path: Path) -> Any:
    """The model as onnx holds it; InvalidFileError where it is none, UnsupportedError (SN118) without the packages."""
    try:
        import onnx
        import onnxruntime  # noqa: F401  (what is missing is said before anything is done)
    except ImportError as error:
        raise UnsupportedError(
            f"{path}: an .onnx needs the package {error.name}; mend: {install('onnx')}", code="SN118"
        ) from None
    size = path.stat().st_size
    if not 0 < size <= LIMIT_BYTES:
        raise InvalidFileError(f"{path}: {size} bytes; expected 1 to {LIMIT_BYTES}")
    try:
        model = onnx.load_model_from_string(read_bytes(path, 1 << 31))
    except Exception as error:  # protobuf has a type of its own, which is no part of its interface
        raise InvalidFileError(f"{path}: no ONNX model ({_line(error)}); {_EXPECTED}") from None
    if not model.HasField("graph") or not model.graph.output:
        raise InvalidFileError(f"{path}: a model without a graph; {_EXPECTED}")
    return model


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _nodes(model: Any) -> Iterator[Any]:
    """Every node: of the graph, of functions, and of graphs in attributes."""
    pending = [model.graph, *model.functions]
    while pending:
        for node in pending.pop().node:
            yield node
            for attribute in node.attribute:
                pending += [attribute.g] if attribute.HasField("g") else []
                pending += attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """Every stored tensor, sparse ones' parts too."""
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors
            for sparse in (*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                           *attribute.sparse_tensors):  # fmt: skip
                yield from (sparse.values, sparse.indices)
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graph.initializer


# Each rule returns what is good about a model that keeps it, and raises otherwise.
def _no_outside(model: Any, path: Path) -> str:
    from onnx import TensorProto

    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = {entry.key: entry.value for entry in tensor.external_data}.get("location", "?")
            raise InvalidFileError(
                f"{path}: tensor {tensor.name[:80]} keeps its data in the file {place[:80]!r}, which is not opened; "
                "save the model with its data inside"
            )
    return "all inside the file"


def _versions(model: Any, path: Path) -> str:
    from onnx import defs, helper

    newest = int(defs.onnx_opset_version())
    for entry in model.opset_import:
        if entry.domain in _PLAIN and not OPSET_MIN <= entry.version <= newest:
            raise InvalidFileError(
                f"{path}: opset {entry.version}; expected {OPSET_MIN} to {newest} (snnas export writes 20)"
            )
    top = int(max(helper.VERSION_TABLE, key=lambda row: row[1])[1])
    if not IR_MIN <= model.ir_version <= top:
        raise InvalidFileError(f"{path}: IR version {model.ir_version}; expected {IR_MIN} to {top}")
    return f"IR {model.ir_version}"


def _operators(model: Any, path: Path) -> str:
    own = {(f.domain, f.name) for f in model.functions}
    for node in _nodes(model):
        label = f"{path}: node {(node.name or (node.output[0] if node.output else '?'))[:80]}"
        if node.domain not in _PLAIN and (node.domain, node.op_type) not in own:
            raise UnsupportedError(
                f"{label}: operator {node.domain[:60]}.{node.op_type[:60]} needs a plug-in; only standard operators "
                "and functions of the model itself are taken"
            )
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise UnsupportedError(
                f"{label}: operator {node.op_type[:60]} holds a graph of its own; one timestep with explicit state has "
                "none"
            )
    return amount_of(len(model.graph.node), "node")


def _finite(model: Any, path: Path) -> str:
    from onnx import numpy_helper

    for tensor in _tensors(model):
        try:
            value = np.asarray(numpy_helper.to_array(tensor))
        except Exception as error:  # whatever a tensor that lies about itself makes onnx raise
            raise InvalidFileError(f"{path}: tensor {tensor.name[:80]}: {_line(error)}", code="SN110") from None
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise InvalidFileError(
                f"{path}: tensor {tensor.name[:80]} holds NaN or infinity; every parameter must be finite"
            )
    return amount_of(len(model.graph.initializer), "tensor")


def _checked(model: Any, path: Path) -> str:
    from onnx import checker

    try:
        checker.check_model(model, full_check=True)
    except Exception as error:  # ValidationError, InferenceError and what C++ lets through
        raise InvalidFileError(f"{path}: {_line(error)}; {_EXPECTED}") from None
    return "onnx's full check"


def _described(model: Any, path: Path) -> str:
    found = {entry.key: entry.value for entry in model.metadata_props}.get(conventions.KEY)
    try:
        about = json.loads(found) if found is not None else None
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InvalidFileError(
            f"{path}: no metadata {conventions.KEY!r} that say which output feeds which input; {_EXPECTED}"
        )
    if about.get("format") != FORMAT:
        newer = str(about.get("format")).startswith(f"{FORMAT.partition('/')[0]}/")
        raise InvalidFileError(
            f"{path}: format {str(about.get('format'))[:40]!r}; this version reads {FORMAT!r}; write it "
            "again with snnas export --target onnx --force",
            code="SN102" if newer else "SN119",
        )
    steps = about.get("timesteps")
    if type(steps) is not int or not 1 <= steps <= 1 << 16:
        raise InvalidFileError(
            f"{path}: its metadata's timesteps are {str(steps)[:40]!r}; expected a whole number >= 1"
        )
    return FORMAT


def _content(model: Any) -> dict[str, str]:
    """Digests by tensor, and one of everything else that is computed."""
    digests = {t.name: digest.of_bytes(t.SerializeToString(deterministic=True)) for t in model.graph.initializer}
    parts = [n.SerializeToString(deterministic=True) for n in (*model.graph.node, *model.functions)]
    ends = [v.SerializeToString(deterministic=True) for v in (*model.graph.input, *model.graph.output)]
    return {**digests, "(operators)": digest.of_bytes(b"\n".join(parts)), "(ends)": digest.of_bytes(b"\n".join(ends))}
