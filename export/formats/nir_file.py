"""Writes a graph as .nir (HDF5, readable by ``nir.read``) and reads anybody's as plain data.

Reading never opens HDF5 in this process: ``hdf5_guard`` hands back plain arrays. What a graph of ours means does not
depend on the ``snnas`` metadata, except which edge of a cycle waits a timestep; a foreign one is read with the
``Convention`` that the caller names, and carries it as metadata once we have written it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.dialects.conventions import Convention
from snnas.export.formats.hdf5_guard import Tree, read_hdf5
from snnas.export.formats.nir_nodes import read_node
from snnas.export.formats.nir_subgraphs import opened, text
from snnas.export.graph.graph import (
    NEURONS,
    Conv,
    Delay,
    Flatten,
    Graph,
    Input,
    Linear,
    Node,
    Output,
    Pool,
    Scale,
)
from snnas.export.graph.membrane import read_by_membrane
from snnas.export.graph.reshaping import by_delay, one_output, spread
from snnas.hw_sim.errors import InvalidFileError, did_you_mean
from snnas.hw_sim.files import write_hdf5


def write_nir(path: Path, graph: Graph) -> None:
    """Writes the graph through a temporary name; an existing file is replaced whole or not at all.

    Node types, parameters and the convention survive; nested graphs and dilations stay laid open. A graph of signals,
    (C, 1, L) throughout, is written as (C, L) with Conv1d; NIR has no pool of one axis: a Pool2d stands there.
    nir 1.0 infers wrong shapes for kernels that are not square: such a file is for readers with ``type_check=False``.
    """
    import nir

    meta = {"format": conventions.FORMAT, **graph.convention.to_metadata(), **graph.meta}
    meta["delayed"] = [list(e) for e in sorted(graph.delayed)]
    shapes = graph.shapes()
    nodes = {
        name: _to_nir(node, shapes[graph.sources(name)[0]] if graph.sources(name) else (), graph.convention)
        for name, node in graph.nodes.items()
    }
    line = _is_line(graph, shapes)
    if line:
        nodes = {name: _along_line(node) for name, node in nodes.items()}
    convs = [node for node in graph.nodes.values() if isinstance(node, Conv)]
    square = not line and all(conv.weight.shape[2] == conv.weight.shape[3] for conv in convs)
    out = nir.NIRGraph(
        nodes=nodes,
        edges=_in_order(graph),
        metadata={conventions.KEY: json.dumps(meta, sort_keys=True)},
        type_check=square,
    )
    write_hdf5(path, lambda file: nir.write(file, out))  # pyright: ignore[reportArgumentType]  # h5py takes any file


def _to_nir(node: Node, shape: tuple[int, ...], convention: Convention) -> Any:
    import nir

    if isinstance(node, NEURONS):
        return getattr(nir, _NIR_NAMES.get(type(node).__name__, type(node).__name__))(**asdict(node))
    match node:
        case Input(shape=s):
            return nir.Input(input_type={"input": np.array(s)})
        case Output(shape=s):
            return nir.Output(output_type={"output": np.array(s)})
        case Conv():
            bias = node.bias if node.bias is not None else np.zeros(len(node.weight), np.float32)
            return nir.Conv2d(
                input_shape=(shape[1], shape[2]),
                weight=_ungrouped(node),
                stride=node.stride,
                padding=node.pad,
                dilation=(1, 1),
                groups=1,
                bias=bias,
            )
        case Linear(bias=None):
            return nir.Linear(weight=node.weight)
        case Linear(bias=np.ndarray() as bias):
            return nir.Affine(weight=node.weight, bias=bias)
        case Pool():
            kind = nir.AvgPool2d if node.average else nir.SumPool2d
            return kind(kernel_size=np.array(node.kernel), stride=np.array(node.stride), padding=np.array(node.pad))
        case Flatten():
            return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case Delay(steps=n):
            return nir.Delay(delay=np.full(shape, n * convention.dt, np.float32))
        case Scale(scale=factors):
            return nir.Scale(scale=factors)
    raise TypeError(type(node).__name__)


def _is_line(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether all maps are (C, 1, L), some longer than 1, and all kernels 1 x k."""
    maps = [shape for shape in shapes.values() if len(shape) == 3]
    convs = [node for node in graph.nodes.values() if isinstance(node, Conv)]
    along = all(n.weight.shape[2] == 1 and (n.stride[0], n.pad[0]) == (1, 0) for n in convs)
    scaled = any(isinstance(node, Scale) for node in graph.nodes.values())
    return along and not scaled and any(s[2] > 1 for s in maps) and all(s[1] == 1 for s in maps)


def _along_line(given: Any) -> Any:
    """A node of nir for (C, 1, L) as one for (C, L)."""
    import nir

    node: Any = given
    match given:
        case nir.Input():
            return nir.Input(input_type={"input": _line(node.input_type["input"])})
        case nir.Output():
            return nir.Output(output_type={"output": _line(node.output_type["output"])})
        case nir.Conv2d():
            return nir.Conv1d(
                input_shape=node.input_shape[1],
                weight=node.weight[:, :, 0],
                stride=node.stride[1],
                padding=node.padding[1],
                dilation=1,
                groups=1,
                bias=node.bias,
            )
        case nir.Flatten():
            return nir.Flatten(input_type={"input": _line(node.input_type["input"])}, start_dim=0, end_dim=-1)
        case nir.Delay():
            return nir.Delay(delay=_squeezed(node.delay))
    parameters = {key: _squeezed(value) for key, value in vars(node).items() if isinstance(value, np.ndarray)}
    if type(node).__name__ in NEURON_TYPES:
        return type(node)(**parameters)
    return node


def _line(shape: Any) -> np.ndarray:
    extents = np.asarray(shape)
    return extents[[0, 2]] if len(extents) == 3 else extents


def _squeezed(value: np.ndarray) -> np.ndarray:
    return value[:, 0] if value.ndim == 3 else value


def _in_order(graph: Graph) -> list[tuple[str, str]]:
    """The edges sorted by the topological order of their sources: readers that run them as listed run them rightly."""
    place = {name: k for k, name in enumerate(graph.order())}
    return sorted(graph.edges, key=lambda edge: place[edge[0]])


NEURON_TYPES = ("Threshold", "IF", "LIF", "CubaLIF", "LI", "CubaLI", "I")
_NIR_NAMES = {"Lif": "LIF", "If": "IF", "CubaLif": "CubaLIF", "CubaLi": "CubaLI", "Li": "LI"}


def _ungrouped(node: Conv) -> np.ndarray:
    """The weights (O, I, kH, kW) with a grouped convolution's zeros: nir 1.0 infers no shapes through groups."""
    if node.groups == 1:
        return node.weight
    o, i, kh, kw = node.weight.shape
    own = o // node.groups
    whole = np.zeros((o, i * node.groups, kh, kw), np.float32)
    for g in range(node.groups):
        whole[g * own : (g + 1) * own, g * i : (g + 1) * i] = node.weight[g * own : (g + 1) * own]
    return whole


def read_nir(
    path: Path,
    *,
    delayed: frozenset[tuple[str, str]] | None = None,
    use_metadata: bool = True,
    convention: Convention | None = None,
) -> Graph:
    """Reads and verifies a .nir file.

    delayed: edges that wait a timestep, in place of what the metadata says. convention: likewise; without either the
    file is read with ours. InvalidFileError (exit 3) for a file that is damaged or breaks NIR's rules,
    UnsupportedError (exit 4) for a node that this version does not take.
    """
    return graph_of(read_hdf5(path), path, delayed=delayed, use_metadata=use_metadata, convention=convention)


def graph_of(
    tree: Tree,
    path: Path,
    *,
    delayed: frozenset[tuple[str, str]] | None = None,
    use_metadata: bool = True,
    convention: Convention | None = None,
) -> Graph:
    """``read_nir`` of what the file at ``path`` holds."""
    try:
        graph = _from_tree(tree, path, delayed, use_metadata, convention)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidFileError(
            f"{path}: not a NIR graph ({type(error).__name__}: {_one_line(error)})", code="SN105"
        ) from None
    graph.verify()
    return graph


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _from_tree(
    tree: Tree,
    path: Path,
    delayed: frozenset[tuple[str, str]] | None,
    use_metadata: bool,
    convention: Convention | None,
) -> Graph:
    root = tree.get("node")
    if not isinstance(root, dict) or text(root.get("type")) != "NIRGraph":
        raise InvalidFileError(f"{path}: no NIR graph at its root; expected groups 'node', 'node/nodes' and a type")
    meta = _metadata(root, path) if use_metadata else {}
    if convention is None:
        convention = conventions.from_metadata(meta, path)
    for name in conventions.NAMES:
        meta.pop(name, None)
    raw_nodes, edges = opened(root, path)
    raw_read = {name: read_node(name, raw, path, convention) for name, raw in raw_nodes.items()}
    if delayed is None:
        delayed = frozenset((str(s), str(d)) for s, d in meta.pop("delayed", []))
    for edge in delayed:
        if edge not in edges:
            raise InvalidFileError(
                f"{path}: delayed edge {edge[0]}:{edge[1]} is not an edge of the graph"
                + did_you_mean(":".join(edge), [f"{s}:{d}" for s, d in edges]),
                code="SN205",
            )
    single, edges = one_output(raw_read, edges)
    nodes, edges, delayed = by_delay(single, edges, delayed, path)
    graph = Graph(nodes=nodes, edges=tuple(edges), delayed=delayed, convention=convention, meta=meta)
    graph.verify_wiring()
    return read_by_membrane(spread(graph))


def written_by(path: Path, tools: Iterable[str]) -> str:
    """Which of the tools the file's metadata name, of the graph or of a node; '' where they name none, or several."""
    found = set[str]()
    names = {tool.lower(): tool for tool in tools}

    def search(value: Any, inside: bool) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if inside and key != conventions.KEY:
                    found.update(tool for name, tool in names.items() if name in str(key).lower())
                search(item, (inside or key == "metadata") and key != conventions.KEY)
        elif inside:
            said = text(value).lower() if np.asarray(value).dtype.kind in "OSU" and np.asarray(value).size == 1 else ""
            found.update(tool for name, tool in names.items() if name in said)

    search(read_hdf5(path), False)
    return found.pop() if len(found) == 1 else ""


def _metadata(root: Tree, path: Path) -> dict[str, Any]:
    block = root.get("metadata")
    found = block.get(conventions.KEY) if isinstance(block, dict) else None
    if found is None:
        return {}
    try:
        meta = json.loads(text(found))
    except ValueError:
        raise InvalidFileError(f"{path}: the metadata under {conventions.KEY!r} is not JSON") from None
    if not isinstance(meta, dict):
        raise InvalidFileError(f"{path}: the metadata under {conventions.KEY!r} is not a JSON object")
    return meta
