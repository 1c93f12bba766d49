"""Writes a graph as .nir (HDF5, readable by ``nir.read``) and reads one back as plain data.

Reading never opens HDF5 in this process: ``hdf5_guard`` hands back plain arrays. What a graph means does not depend
on the ``snnas`` metadata, except which edge of a cycle waits a timestep.
"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from export import conventions
from export.graph import Conv, Delay, Flatten, Graph, Input, Lif, Linear, Node, Output, Pair, Pool
from export.hdf5_guard import Tree, read_hdf5
from hw_sim.errors import InvalidFileError, UnsupportedError

MAX_NEURONS = 1 << 26  # of one node; half of what 768 Loihi chips hold


def write_nir(path: Path, graph: Graph) -> None:
    """Writes the graph through a temporary name; an existing file is replaced whole or not at all."""
    import nir

    meta = {"format": conventions.FORMAT, "dt": conventions.DT, "compare": ">", "reset": "zero", **graph.meta}
    meta["delayed"] = [list(e) for e in sorted(graph.delayed)]
    shapes = graph.shapes()
    nodes = {
        name: _to_nir(node, shapes[graph.sources(name)[0]] if graph.sources(name) else ())
        for name, node in graph.nodes.items()
    }
    out = nir.NIRGraph(
        nodes=nodes, edges=list(graph.edges), metadata={conventions.KEY: json.dumps(meta, sort_keys=True)}
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(temporary, out)
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(path: Path, graph: Any) -> None:
    import nir

    try:
        nir.write(path, graph)
    except (RuntimeError, OSError) as error:
        if f"errno = {errno.ENOSPC}" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None  # HDF5 says it in words
        raise


def _to_nir(node: Node, shape: tuple[int, ...]) -> Any:
    import nir

    match node:
        case Input(shape=s):
            return nir.Input(input_type={"input": np.array(s)})
        case Output(shape=s):
            return nir.Output(output_type={"output": np.array(s)})
        case Conv():
            bias = node.bias if node.bias is not None else np.zeros(len(node.weight), np.float32)
            return nir.Conv2d(
                input_shape=shape[1:],
                weight=node.weight,
                stride=node.stride,
                padding=node.pad,
                dilation=(1, 1),
                groups=node.groups,
                bias=bias,
            )
        case Linear(bias=None):
            return nir.Linear(weight=node.weight)
        case Linear():
            return nir.Affine(weight=node.weight, bias=node.bias)
        case Pool():
            kind = nir.AvgPool2d if node.average else nir.SumPool2d
            return kind(kernel_size=np.array(node.kernel), stride=np.array(node.stride), padding=np.array(node.pad))
        case Flatten():
            return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case Delay(steps=n):
            return nir.Delay(delay=np.full(shape, n * conventions.DT, np.float32))
        case Lif():
            return nir.LIF(**{f.name: getattr(node, f.name) for f in fields(Lif)})


def read_nir(path: Path, *, delayed: frozenset[tuple[str, str]] | None = None, use_metadata: bool = True) -> Graph:
    """Reads and verifies a .nir file.

    delayed: edges that wait a timestep, in place of what the metadata says. InvalidFileError (exit 3) for a file that
    is damaged or breaks NIR's rules, UnsupportedError (exit 4) for a node that this version does not take.
    """
    tree = read_hdf5(path)
    try:
        graph = _from_tree(tree, path, delayed, use_metadata)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidFileError(f"{path}: not a NIR graph ({type(error).__name__}: {_one_line(error)})") from None
    graph.verify()
    return graph


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _from_tree(tree: Tree, path: Path, delayed: frozenset[tuple[str, str]] | None, use_metadata: bool) -> Graph:
    root = tree.get("node")
    if not isinstance(root, dict) or _text(root.get("type")) != "NIRGraph":
        raise InvalidFileError(f"{path}: no NIR graph at its root; expected groups 'node', 'node/nodes' and a type")
    raw_nodes, raw_edges = root["nodes"], np.asarray(root["edges"])
    if not isinstance(raw_nodes, dict) or raw_edges.ndim != 2 or raw_edges.shape[1] != 2:
        raise InvalidFileError(f"{path}: edges of shape {raw_edges.shape}; expected (E, 2) names")
    meta = _metadata(root, path) if use_metadata else {}
    edges = tuple((_text(s), _text(d)) for s, d in raw_edges)
    nodes = {name: _node(name, fields_, path) for name, fields_ in raw_nodes.items()}
    if delayed is None:
        delayed = frozenset((str(s), str(d)) for s, d in meta.pop("delayed", []))
    for edge in delayed:
        if edge not in edges:
            raise InvalidFileError(f"{path}: delayed edge {edge[0]}:{edge[1]} is not an edge of the graph")
    return Graph(nodes=nodes, edges=edges, delayed=delayed, meta=meta)


def _metadata(root: Tree, path: Path) -> dict[str, Any]:
    block = root.get("metadata")
    text = block.get(conventions.KEY) if isinstance(block, dict) else None
    if text is None:
        return {}
    try:
        meta = json.loads(_text(text))
    except ValueError:
        raise InvalidFileError(f"{path}: the metadata under {conventions.KEY!r} is not JSON") from None
    if not isinstance(meta, dict):
        raise InvalidFileError(f"{path}: the metadata under {conventions.KEY!r} is not a JSON object")
    return meta


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _node(name: str, raw: Any, path: Path) -> Node:
    if not isinstance(raw, dict):
        raise InvalidFileError(f"{path}: node {name} is not a group")
    kind = _text(raw.get("type"))
    reader = _READERS.get(kind)
    if reader is None:
        raise UnsupportedError(
            f"{path}: node {name} has type {kind!r}; this version takes {', '.join(sorted(_READERS))}"
        )
    return reader(name, raw, path)


def _array(name: str, raw: Tree, key: str, path: Path) -> np.ndarray:
    value = np.asarray(raw[key])
    if value.dtype.kind not in "fiu":
        raise InvalidFileError(f"{path}: node {name}: {key} holds {value.dtype}, expected numbers")
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise InvalidFileError(f"{path}: node {name}: {key} holds NaN or infinity; every parameter must be finite")
    return value


def _bias(name: str, raw: Tree, weight: np.ndarray, path: Path) -> np.ndarray | None:
    if "bias" not in raw:
        return None
    bias = _array(name, raw, "bias", path)
    if bias.shape != weight.shape[:1]:
        raise InvalidFileError(f"{path}: node {name}: bias {bias.shape}; expected {weight.shape[:1]}")
    return bias


def _dims(raw: Tree, key: str) -> tuple[int, ...]:
    return tuple(int(n) for n in np.asarray(raw[key]).reshape(-1))


def _two(name: str, raw: Tree, key: str, path: Path, *, low: int) -> Pair:
    value = raw[key]
    if isinstance(value, bytes | str):
        raise UnsupportedError(f"{path}: node {name}: {key} {_text(value)!r}; write the padding in numbers")
    dims = _dims(raw, key)
    pair = (dims[0], dims[0]) if len(dims) == 1 else (dims[0], dims[1])
    if len(dims) > 2 or min(pair) < low or max(pair) > 1 << 16:
        raise InvalidFileError(f"{path}: node {name}: {key} {dims}; expected one or two numbers from {low}")
    return pair


def _shape(name: str, raw: Tree, key: str, path: Path) -> tuple[int, ...]:
    value = raw.get(key, raw.get("shape"))
    if isinstance(value, dict):
        value = next(iter(value.values()))
    shape = tuple(int(n) for n in np.asarray(value).reshape(-1))
    if len(shape) not in (1, 3) or min(shape) < 1 or int(np.prod(shape, dtype=object)) > MAX_NEURONS:
        raise InvalidFileError(
            f"{path}: node {name} has shape {shape}; expected (C, H, W) or (N,), all >= 1, at most {MAX_NEURONS} in all"
        )
    return shape


def _read_conv(name: str, raw: Tree, path: Path) -> Conv:
    weight = _array(name, raw, "weight", path)
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise InvalidFileError(f"{path}: node {name}: weight {weight.shape}; expected (O, I/groups, kH, kW)")
    bias = _bias(name, raw, weight, path)
    if _two(name, raw, "dilation", path, low=1) != (1, 1):
        raise UnsupportedError(
            f"{path}: node {name}: dilation {_dims(raw, 'dilation')}; only 1 is taken, pad the kernel with zeros"
        )
    groups = int(np.asarray(raw["groups"]).reshape(-1)[0])
    if groups < 1 or weight.shape[0] % groups:
        raise InvalidFileError(f"{path}: node {name}: {groups} groups do not divide {weight.shape[0]} channels")
    return Conv(
        weight=weight,
        bias=bias,
        stride=_two(name, raw, "stride", path, low=1),
        pad=_two(name, raw, "padding", path, low=0),
        groups=groups,
    )


def _read_linear(name: str, raw: Tree, path: Path) -> Linear:
    weight = _array(name, raw, "weight", path)
    if weight.ndim != 2 or min(weight.shape) < 1:
        raise InvalidFileError(f"{path}: node {name}: weight {weight.shape}; expected (out, in)")
    bias = _bias(name, raw, weight, path)
    return Linear(weight=weight, bias=bias)


def _read_pool(average: bool) -> Any:
    def read(name: str, raw: Tree, path: Path) -> Pool:
        return Pool(
            kernel=_two(name, raw, "kernel_size", path, low=1),
            stride=_two(name, raw, "stride", path, low=1),
            pad=_two(name, raw, "padding", path, low=0),
            average=average,
        )

    return read


def _read_lif(name: str, raw: Tree, path: Path) -> Lif:
    values = {f.name: _array(name, raw, f.name, path) for f in fields(Lif) if f.name in raw}
    shape = np.broadcast_shapes(*(v.shape for v in values.values()))
    if int(np.prod(shape, dtype=object)) > MAX_NEURONS:
        raise InvalidFileError(f"{path}: node {name} has shape {shape}; at most {MAX_NEURONS} neurons are read")
    values.setdefault("v_reset", np.zeros(shape, np.float32))
    if len(shape) not in (1, 3) or 0 in shape:
        raise InvalidFileError(f"{path}: node {name} has shape {shape}; expected (C, H, W) or (N,), all >= 1")
    if (values["tau"] < conventions.DT).any():
        raise InvalidFileError(
            f"{path}: node {name}: tau {float(values['tau'].min()):g} s is below a timestep of {conventions.DT:g} s"
        )
    return Lif(**{k: np.broadcast_to(v, shape).astype(np.float32) for k, v in values.items()})


def _read_flatten(name: str, raw: Tree, path: Path) -> Flatten:
    start, end = (int(np.asarray(raw[k]).reshape(-1)[0]) for k in ("start_dim", "end_dim"))
    if start != 0 or end not in (-1, 2):
        raise UnsupportedError(
            f"{path}: node {name} flattens dimensions {start}..{end}; only all of them (0..-1) is taken"
        )
    return Flatten()


def _read_delay(name: str, raw: Tree, path: Path) -> Delay:
    delay = _array(name, raw, "delay", path).astype(np.float64) / conventions.DT
    steps = round(float(delay.reshape(-1)[0]))
    if np.abs(delay - steps).max() > 1e-3 or steps < 1:
        raise UnsupportedError(
            f"{path}: node {name}: delays must be one whole number of timesteps of {conventions.DT:g} s"
        )
    return Delay(steps=steps)


_READERS: dict[str, Any] = {
    "Input": lambda name, raw, path: Input(shape=_shape(name, raw, "input_type", path)),
    "Output": lambda name, raw, path: Output(shape=_shape(name, raw, "output_type", path)),
    "Conv2d": _read_conv,
    "Linear": _read_linear,
    "Affine": _read_linear,
    "SumPool2d": _read_pool(average=False),
    "AvgPool2d": _read_pool(average=True),
    "Flatten": _read_flatten,
    "Delay": _read_delay,
    "LIF": _read_lif,
}
