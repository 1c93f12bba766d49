"""The circuit: a graph as populations joined by real-valued synapses, before any number becomes an integer.

Every LIF is a population; every path of linear nodes from a source to it is one synapse, never shared with another
target. What reaches a population when nothing spikes is its bias. Scaled so that a population integrates
``V <- V (1 - alpha) + J`` and fires iff ``V > threshold``: a Loihi neuron has no input gain, so the membrane is in
units of v / alpha.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from export import conventions, interpreter
from export.graph import LINEAR, Conv, Delay, Graph, Input, Lif, Linear, Node, Pool
from hw_sim.errors import InvalidFileError, UnsupportedError
from hw_sim.linear import apply as apply_map
from hw_sim.program import CLOCK, INPUT, RESERVED, InputKind, LinearMap, Role, Shape
from hw_sim.program import Pool as SumPool

MAX_PATHS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A population, real-valued. bias: float64 (C, H, W). threshold: of V. alpha: share that leaks per timestep."""

    id: str
    shape: Shape
    alpha: float
    threshold: float
    bias: np.ndarray
    role: Role = "neuron"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A synapse, real-valued: float64 weights in ``map``."""

    id: str
    src: str
    dst: str
    map: LinearMap
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """groups and links; ``host``: the links from an analogue input; readout: float64 (classes, N) and (classes,)."""

    groups: tuple[Group, ...]
    links: tuple[Link, ...]
    host: tuple[Link, ...]
    input_shape: Shape
    input_kind: InputKind
    readout_src: str
    readout_weight: np.ndarray
    readout_bias: np.ndarray
    node_of: dict[str, str]

    def group(self, name: str) -> Group:
        return next(g for g in self.groups if g.id == name)

    def source_shape(self, name: str) -> Shape:
        if name == INPUT:
            return self.input_shape
        return (1, 1, 1) if name == CLOCK else self.group(name).shape

    def verify(self) -> None:
        """Every link maps its source's shape onto its target's."""
        for link in self.links + self.host:
            shape, target = link.map.out_shape(self.source_shape(link.src)), self.group(link.dst).shape
            if shape != target and shape != (int(np.prod(target)), 1, 1):
                raise InvalidFileError(f"circuit: {link.src} -> {link.dst} maps to {shape}, expected {target}")


def trace(graph: Graph, input_kind: InputKind) -> Circuit:
    """The circuit of a graph; UnsupportedError names the node that Loihi's LIF cannot express, and the mend."""
    shapes = graph.shapes()
    names = _population_names(graph)
    bias = interpreter.constant_currents(graph)
    groups, links, host = [], [], []
    for node_name in graph.order():
        node = graph.nodes[node_name]
        if not isinstance(node, Lif):
            continue
        alpha, threshold, gain = _neuron(node_name, node)
        group_bias = gain * bias[node_name] + node.v_leak.astype(np.float64)
        paths = _paths(graph, node_name)
        group = Group(
            id=names[node_name],
            shape=shape3(node.shape),
            alpha=alpha,
            threshold=threshold / alpha,
            bias=group_bias.reshape(shape3(node.shape)),
            role=_role(gain, alpha, threshold, group_bias, paths, graph.input if input_kind == "analogue" else ""),
        )
        groups.append(group)
        for k, path in enumerate(paths):
            source = INPUT if path.source == graph.input else names[path.source]
            linear = _compose(path, shapes[path.source], gain)
            if linear is None:
                continue
            link = Link(id=f"{source}__{group.id}__{k}", src=source, dst=group.id, map=linear, distance=path.distance)
            if source == INPUT and input_kind == "analogue":
                if link.distance:
                    raise UnsupportedError(
                        f"node {node_name}: a delayed edge from the analogue input; only spikes can wait"
                    )
                host.append(link)
            else:
                links.append(link)
    src, weight, readout_bias = _readout(graph, shapes, bias)
    circuit = Circuit(
        groups=tuple(groups),
        links=tuple(links),
        host=tuple(host),
        input_shape=shape3(shapes[graph.input]),
        input_kind=input_kind,
        readout_src=names[src],
        readout_weight=weight,
        readout_bias=readout_bias,
        node_of={v: k for k, v in names.items()},
    )
    circuit.verify()
    return circuit


def shape3(shape: tuple[int, ...]) -> Shape:
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def _population_names(graph: Graph) -> dict[str, str]:
    """Node name -> population id: letters, digits and underscores, unique, no reserved name."""
    used = set(RESERVED)
    names = {}
    for node in graph.of_type(Lif):
        base = name = re.sub(r"[^A-Za-z0-9_]", "_", node) or "lif"
        k = 1
        while name in used:
            k += 1
            name = f"{base}_{k}"
        used.add(name)
        names[node] = name
    return names


def _neuron(name: str, node: Lif) -> tuple[float, float, float]:
    """alpha, threshold and gain of a LIF whose neurons are all alike and reset to zero."""
    for field in ("tau", "v_threshold", "r"):
        values = getattr(node, field)
        if (values != values.reshape(-1)[0]).any():
            raise UnsupportedError(
                f"node {name}: {field} differs between its neurons; one value per population is taken"
            )
    if (node.v_reset != 0).any():
        raise UnsupportedError(
            f"node {name}: resets to {float(node.v_reset.reshape(-1)[0]):g}; Loihi's LIF resets to zero"
        )
    threshold = float(node.v_threshold.reshape(-1)[0])
    if threshold <= 0:
        raise UnsupportedError(f"node {name}: threshold {threshold:g}; a neuron of Loihi needs one above 0")
    return float(conventions.decay_of(node.tau).reshape(-1)[0]), threshold, float(node.r.reshape(-1)[0])


def _role(gain: float, alpha: float, threshold: float, bias: np.ndarray, paths: list[_Path], analogue: str) -> Role:
    """``or``: fed by nothing but plain sums of spikes, and one spike is enough, so it holds no state.

    analogue: the name of the input node where the input is a current, else ''.
    """
    for path in paths:
        pools = [n for _, n in path.nodes]
        plain = len(pools) == 1 and isinstance(pools[0], Pool) and not pools[0].average
        if not plain or path.source == analogue:
            return "neuron"
    return "or" if paths and not bias.any() and alpha * gain > threshold else "neuron"


@dataclass(frozen=True, slots=True)
class _Path:
    source: str
    nodes: tuple[tuple[str, Node], ...]
    distance: int


def _paths(graph: Graph, target: str) -> list[_Path]:
    """All ways from a source (input or LIF) through linear nodes to ``target``."""
    found: list[_Path] = []
    stack: list[tuple[str, tuple[tuple[str, Node], ...], int]] = [
        (s, (), int((s, target) in graph.delayed)) for s in reversed(graph.sources(target))
    ]
    while stack:
        name, after, distance = stack.pop()
        node = graph.nodes[name]
        if isinstance(node, Input | Lif):
            found.append(_Path(name, after, distance))
            if len(found) > MAX_PATHS:
                raise UnsupportedError(f"node {target}: over {MAX_PATHS} linear paths lead to it")
            continue
        if isinstance(node, Delay):
            distance += node.steps
        elif isinstance(node, LINEAR):
            after = ((name, node), *after)
        if distance > 1:
            raise UnsupportedError(
                f"node {name}: a delay of {distance} timesteps on the way to {target}; 0 and 1 are taken"
            )
        stack += [(s, after, distance + int((s, name) in graph.delayed)) for s in reversed(graph.sources(name))]
    return found


def _compose(path: _Path, shape: tuple[int, ...], gain: float) -> LinearMap | None:
    """The path as one linear map, float64; None where its weights are all zero (its constant is in the bias)."""
    pre: list[SumPool] = []
    post: list[SumPool] = []
    weighted: tuple[str, Conv | Linear] | None = None
    scale = gain
    for name, node in path.nodes:
        if isinstance(node, Pool):
            (pre if weighted is None else post).append(SumPool(node.kernel, node.stride, node.pad))
            scale /= node.kernel[0] * node.kernel[1] if node.average else 1
        elif isinstance(node, Conv | Linear):
            if weighted is not None:
                raise UnsupportedError(
                    f"node {name}: two weighted layers in a row ({weighted[0]}, {name}); multiply them first"
                )
            weighted = (name, node)
    if weighted is None:
        return _pools_only(shape3(shape), pre, scale)
    node = weighted[1]
    weight = node.weight.astype(np.float64) * scale
    if not weight.any():
        return None
    if isinstance(node, Linear) or _covers(node, path, shape, pre):
        return LinearMap(kind="dense", weight=_unpool(weight.reshape(len(weight), -1), shape3(shape), pre))
    kind: Literal["conv", "pooled_conv"] = "pooled_conv" if pre or post else "conv"
    groups, own = node.groups, _own_channels(weight)
    if groups == 1 and own is not None:
        groups, weight = len(own), own
    return LinearMap(
        kind=kind, weight=weight, stride=node.stride, pad=node.pad, groups=groups, pre=tuple(pre), post=tuple(post)
    )


def _own_channels(weight: np.ndarray) -> np.ndarray | None:
    """The weights (C, 1, kH, kW) of a convolution in which each channel reads its own alone; else None.

    A batch norm of bare spikes is one. nir 1.0 infers no shapes through groups, so the graph holds it whole; in C
    groups it has C times fewer synapses.
    """
    c, inputs = weight.shape[:2]
    if c != inputs or c == 1 or weight[~np.eye(c, dtype=bool)].any():
        return None
    return weight[np.arange(c), np.arange(c)][:, None]


def _pools_only(shape: Shape, pools: list[SumPool], scale: float) -> LinearMap:
    """Spikes straight into a population, or through pools: a depthwise convolution of equal weights."""
    c = shape[0]
    if len(pools) == 1:
        kernel = pools[0].kernel
        return LinearMap(
            kind="conv", weight=np.full((c, 1, *kernel), scale), stride=pools[0].stride, pad=pools[0].pad, groups=c
        )
    weight = np.full((c, 1, 1, 1), scale)
    return LinearMap(kind="pooled_conv" if pools else "conv", weight=weight, groups=c, pre=tuple(pools))


def _covers(node: Conv, path: _Path, shape: tuple[int, ...], pre: list[SumPool]) -> bool:
    """Whether the convolution's only window is its whole input: a dense layer in other words."""
    inside = shape3(shape)
    for pool in pre:
        inside = pool.out_shape(inside)
    return node.groups == 1 and node.weight.shape[2:] == inside[1:] and node.pad == (0, 0)


def _unpool(weight: np.ndarray, shape: Shape, pre: list[SumPool]) -> np.ndarray:
    """Dense weights (O, C*H'*W') behind pools -> (O, C*H*W) on the unpooled source."""
    if not pre:
        return weight
    c, h, w = shape
    units = np.eye(h * w).reshape(h * w, 1, h, w)
    pooling = LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1)), pre=tuple(pre))
    pooled = apply_map(pooling, units, pooling.out_shape((1, h, w))).reshape(h * w, -1)  # (HW, H'W')
    return np.asarray((weight.reshape(len(weight) * c, -1) @ pooled.T).reshape(len(weight), -1))


def _readout(
    graph: Graph, shapes: dict[str, tuple[int, ...]], bias: dict[str, np.ndarray]
) -> tuple[str, np.ndarray, np.ndarray]:
    """What the host sums over time: the one path into the Output node, as a dense matrix."""
    paths = _paths(graph, graph.output)
    if len(paths) != 1 or paths[0].source == graph.input or paths[0].distance:
        raise UnsupportedError(
            f"node {graph.output}: {len(paths)} paths lead to the output; exactly one, from a LIF, is taken"
        )
    path = paths[0]
    size = int(np.prod(shapes[path.source]))
    constant = bias[graph.output].reshape(-1)
    if not path.nodes:
        return path.source, np.eye(size), constant
    linear = _compose(path, shapes[path.source], 1.0)
    if linear is None:
        raise UnsupportedError(f"node {graph.output}: all weights before the output are zero; nothing could be read")
    if linear.kind == "dense":
        return path.source, linear.weight, constant
    shape = shape3(shapes[path.source])
    if size * constant.size > 1 << 24:
        raise UnsupportedError(
            f"node {graph.output}: a readout of {constant.size} x {size} weights; end with a linear layer"
        )
    units = np.eye(size).reshape(size, *shape)
    return path.source, apply_map(linear, units, linear.out_shape(shape)).reshape(size, -1).T.copy(), constant
