"""Every way from a spike source to a reader as one linear map: a convolution, a matrix, or pools around them.

What has a shape of its own (pools, one weighted layer, factors per channel) keeps it. Convolutions in a row are one
convolution, pools between them too; where a later one pads what is not 0, a sparse matrix for the border comes beside.
Anything else, such as a factor per neuron behind a convolution, is multiplied out to a matrix where that is small.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from snnas.export.compiler.adjoint import spread_pool
from snnas.export.compiler.borders import Layer, border
from snnas.export.executors import interpreter
from snnas.export.graph.graph import LINEAR, SPIKING, Conv, Delay, Flatten, Graph, Input, Linear, Node, Pool, Scale
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.program import LinearMap, Shape
from snnas.hw_sim.program import Pool as SumPool

MAX_PATHS = 10_000
MAX_DELAY = 64  # timesteps; each but the last is a relay population
MAX_EXPANDED = 1 << 24  # entries of a matrix that is multiplied out, or weights of a border
SPARSE_BELOW = 0.25  # share of non-zero entries


@dataclass(frozen=True, slots=True)
class Path:
    """A way from ``source`` (the input or a spiking node) through linear nodes; distance: timesteps that it waits."""

    source: str
    nodes: tuple[tuple[str, Node], ...]
    distance: int


def paths(graph: Graph, target: str) -> list[Path]:
    """All ways to ``target``, in the order of the edges."""
    found: list[Path] = []
    stack: list[tuple[str, tuple[tuple[str, Node], ...], int]] = [
        (s, (), int((s, target) in graph.delayed)) for s in reversed(graph.sources(target))
    ]
    while stack:
        name, after, distance = stack.pop()
        node = graph.nodes[name]
        if isinstance(node, (Input, *SPIKING)):
            found.append(Path(name, after, distance))
            if len(found) > MAX_PATHS:
                raise UnsupportedError(
                    f"node {target}: over {MAX_PATHS} linear paths lead to it; merge parallel layers"
                )
            continue
        if isinstance(node, Delay):
            distance += node.steps
        elif isinstance(node, LINEAR):
            after = ((name, node), *after)
        else:
            raise UnsupportedError(
                f"node {name}: {type(node).__name__.upper()} does not spike, and what it holds cannot travel on to "
                f"{target}; let it end the graph, or make it a neuron that spikes"
            )
        if distance > MAX_DELAY:
            raise UnsupportedError(
                f"node {name}: a delay of {distance} timesteps on the way to {target}; at most {MAX_DELAY} are taken"
            )
        stack += [(s, after, distance + int((s, name) in graph.delayed)) for s in reversed(graph.sources(name))]
    return found


def shape3(shape: tuple[int, ...]) -> Shape:
    """A graph's shape as a program's."""
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def compose(path: Path, shape: tuple[int, ...], target: Shape, gain: np.ndarray) -> list[LinearMap]:
    """The path as linear maps that are added, float64; none where its weights are all zero (its constant is a bias).

    One, or a convolution and the border that it gets wrong. shape: the source's in the graph, (N,) or (C, H, W). gain:
    of the target's neurons, without axes or of shape ``target``.
    """
    source = shape3(shape)
    build = _Build([], [], factor=float(gain.reshape(-1)[0]) if gain.size == 1 else 1.0)
    linear = _structured(build, path, source, gain)
    if linear is not None and linear.kind == "dense" and any(_masks(node) for _, node in path.nodes):
        linear = as_map(linear.weight)
        if linear is None:
            return []
    if linear is not None and not build.bordered:
        out = linear.out_shape(source) if linear.weight.any() else None
        if out is None:
            return []
        if out in (target, (int(np.prod(target)), 1, 1)):
            return [linear]
    elif linear is not None and linear.weight.any() and linear.out_shape(source) == target:
        small = int(np.prod(shape)) * int(np.prod(target)) <= MAX_EXPANDED
        most = int(fan_out(linear, source).sum()) - linear.weight.size if small else MAX_EXPANDED
        ring = build.border(source, most)
        if ring is not None:
            return [linear, ring] if ring.weight.size else [linear]
    whole = _expanded(path, shape, target, gain)
    return [] if whole is None else [whole]


def _masks(node: Node) -> bool:
    """Whether some of its factors are 0: of what they let through a sparse matrix holds no zeros."""
    return isinstance(node, Scale) and not node.scale.all()


@dataclass(slots=True)
class _Build:
    """A path, taken node by node. into, out: factors per channel before and after the weights.

    layers: the convolutions that ``weighted`` is made of, where it is made of several. bordered: it is another map than
    they are at the border.
    """

    pre: list[SumPool]
    post: list[SumPool]
    weighted: Conv | Linear | None = None
    factor: float = 1.0
    into: np.ndarray | None = None
    out: np.ndarray | None = None
    layers: list[Conv] = field(default_factory=list)
    bordered: bool = False

    def take(self, node: Node) -> bool:
        """Whether the node fits in."""
        match node:
            case Pool():
                (self.pre if self.weighted is None else self.post).append(SumPool(node.kernel, node.stride, node.pad))
                self.factor /= node.kernel[0] * node.kernel[1] if node.average else 1
            case Conv() if isinstance(self.weighted, Conv):
                return self.convolve(self.weighted, node)
            case Conv() | Linear():
                if self.weighted is not None:
                    return False
                self.weighted = node
            case Scale():
                return self.scale(node.scale.astype(np.float64))
            case Flatten():
                return not isinstance(self.weighted, Conv)
        return True

    def convolve(self, first: Conv, second: Conv) -> bool:
        """Takes a convolution behind the one that is there, and the pools between them."""
        scale = 1.0 if self.out is None else self.out.reshape(-1, 1, 1, 1)
        *before, last = self.layers or [_plain(first)]
        layers = [*before, replace(last, weight=last.weight * scale)]
        start = _plain(first)
        whole: Conv | None = replace(start, weight=start.weight * scale)
        bordered = self.bordered
        for each in [*(_as_conv(pool, len(start.weight)) for pool in self.post), _plain(second)]:
            bordered = bordered or (whole is not None and not _agree(whole, each))
            whole = whole and _then(whole, each)
            layers.append(each)
        if whole is None:
            return False
        self.weighted, self.out, self.post = whole, None, []
        self.layers, self.bordered = layers, bordered
        return True

    def border(self, source: Shape, most: int) -> LinearMap | None:
        """What the weights get wrong at the border; None where that takes over ``most`` weights."""
        before = [Layer(_as_conv(pool, source[0]), merged=False) for pool in self.pre]
        made = [Layer(conv, merged=k > 0) for k, conv in enumerate(self.layers)]
        behind = [Layer(_as_conv(pool, len(self.layers[-1].weight)), merged=False) for pool in self.post]
        first, last = made[0].conv, made[-1].conv
        into = 1.0 if self.into is None else self.into.reshape(1, -1, 1, 1)
        made[0] = replace(made[0], conv=replace(first, weight=first.weight * self.factor * into))
        if self.out is not None:
            made[-1] = replace(made[-1], conv=replace(last, weight=last.weight * self.out.reshape(-1, 1, 1, 1)))
        return border([*before, *made, *behind], source, most)

    def scale(self, values: np.ndarray) -> bool:
        """Takes a factor per channel, or one for all."""
        if (values == values.reshape(-1)[:1]).all():
            self.factor *= float(values.reshape(-1)[0])
            return True
        channels = values.reshape(len(values), -1)
        if (channels != channels[:, :1]).any() or (self.weighted is None and values.ndim == 1 and self.pre):
            return False
        if self.weighted is None:
            self.into = channels[:, 0] if self.into is None else self.into * channels[:, 0]
        else:
            self.out = channels[:, 0] if self.out is None else self.out * channels[:, 0]
        return True


def _plain(conv: Conv) -> Conv:
    """Of one group, float64, without a bias."""
    return replace(conv, weight=ungrouped(conv.weight, conv.groups), bias=None, groups=1)


def _as_conv(pool: SumPool, channels: int) -> Conv:
    weight = np.eye(channels)[:, :, None, None] * np.ones(pool.kernel)
    return Conv(weight=weight, bias=None, stride=pool.stride, pad=pool.pad)


def _agree(first: Conv, second: Conv) -> bool:
    """Whether a kernel over both is both at the border, too.

    What the second one pads is 0, while a kernel over both would see the input there: they agree where it pads
    nothing, or where the first one has a kernel of one point and so gives 0 outside of its input.
    """
    return second.pad == (0, 0) or (first.weight.shape[2:] == (1, 1) and first.pad == (0, 0))


def _then(first: Conv, second: Conv) -> Conv | None:
    """Both as one convolution, float64 and without groups or biases; None where its kernel would be too large."""
    a, b = ungrouped(first.weight, first.groups), ungrouped(second.weight, second.groups)
    (top, left), (rows, columns) = first.stride, b.shape[2:]
    size = (len(b), a.shape[1], a.shape[2] + (rows - 1) * top, a.shape[3] + (columns - 1) * left)
    if int(np.prod(size, dtype=object)) > MAX_EXPANDED:
        return None
    weight = np.zeros(size)
    for y in range(rows):
        for x in range(columns):
            seen = np.einsum("om,miyx->oiyx", b[:, :, y, x], a, optimize=True)
            weight[:, :, y * top : y * top + a.shape[2], x * left : x * left + a.shape[3]] += seen
    return Conv(
        weight=weight,
        bias=None,
        stride=(top * second.stride[0], left * second.stride[1]),
        pad=(first.pad[0] + top * second.pad[0], first.pad[1] + left * second.pad[1]),
    )


def ungrouped(weight: np.ndarray, groups: int) -> np.ndarray:
    """The kernel (O, I, kH, kW), float64, with a grouped convolution's zeros."""
    if groups == 1:
        return weight.astype(np.float64)
    o, i = weight.shape[0] // groups, weight.shape[1]
    whole = np.zeros((weight.shape[0], i * groups, *weight.shape[2:]))
    for g in range(groups):
        whole[g * o : (g + 1) * o, g * i : (g + 1) * i] = weight[g * o : (g + 1) * o]
    return whole


def _structured(build: _Build, path: Path, source: Shape, gain: np.ndarray) -> LinearMap | None:
    """The map in a shape of its own, or None. Its target's shape is not looked at, nor what is wrong at its border."""
    if not all(build.take(node) for _, node in path.nodes):
        return None
    node = build.weighted
    if node is None:
        if gain.size > 1 and not build.scale(gain):
            return None
        return _pools_only(source, build) if build.into is None or len(build.into) == source[0] else None
    if gain.size > 1 and isinstance(node, Conv) and not build.scale(gain):
        return None
    inputs = node.weight.shape[1] * (node.groups if isinstance(node, Conv) else 1)
    if build.into is not None and (len(build.into) != inputs or (isinstance(node, Conv) and node.groups > 1)):
        return None
    weight = node.weight.astype(np.float64) * build.factor
    if build.into is not None:
        weight = weight * build.into.reshape(1, -1, *[1] * (weight.ndim - 2))
    if build.out is not None:
        weight = weight * build.out.reshape(-1, *[1] * (weight.ndim - 1))
    if isinstance(node, Linear) or _covers(node, source, build.pre):
        weight = weight.reshape(len(weight), -1)
        if isinstance(node, Linear) and gain.size > 1:
            weight = weight * gain.reshape(-1, 1)
        return LinearMap(kind="dense", weight=_unpool(weight, source, build.pre))
    kind: Literal["conv", "pooled_conv"] = "pooled_conv" if build.pre or build.post else "conv"
    groups = node.groups
    if groups == 1:
        groups, weight = grouped(weight)
    return LinearMap(
        kind=kind,
        weight=weight,
        stride=node.stride,
        pad=node.pad,
        groups=groups,
        pre=tuple(build.pre),
        post=tuple(build.post),
    )


def grouped(weight: np.ndarray) -> tuple[int, np.ndarray]:
    """(groups, weights) of a whole kernel (O, I, kH, kW): the most groups whose channels read their own alone.

    A batch norm of bare spikes is one, and so is every grouped convolution: nir 1.0 infers no shapes through groups,
    so the graph holds it whole; in G groups it has G times fewer synapses.
    """
    o, i = weight.shape[:2]
    joined = weight.any(axis=(2, 3))
    for groups in range(int(np.gcd(o, i)), 1, -1):
        if o % groups or i % groups:
            continue
        own = (np.arange(o) // (o // groups))[:, None] == (np.arange(i) // (i // groups))[None, :]
        if not (joined & ~own).any():
            parts = np.split(weight, groups)
            each = i // groups
            return groups, np.concatenate([part[:, g * each : (g + 1) * each] for g, part in enumerate(parts)])
    return 1, weight


def _pools_only(shape: Shape, build: _Build) -> LinearMap:
    """Spikes straight into a population, or through pools: a depthwise convolution of equal weights per channel."""
    c, pools = shape[0], build.pre
    weight = np.full((c, 1, 1, 1), build.factor)
    if build.into is not None:
        weight = weight * build.into.reshape(c, 1, 1, 1)
    if len(pools) == 1:
        whole = np.broadcast_to(weight, (c, 1, *pools[0].kernel)).copy()
        return LinearMap(kind="conv", weight=whole, stride=pools[0].stride, pad=pools[0].pad, groups=c)
    return LinearMap(kind="pooled_conv" if pools else "conv", weight=weight, groups=c, pre=tuple(pools))


def _covers(node: Conv, source: Shape, pre: list[SumPool]) -> bool:
    """Whether the convolution's only window is its whole input: a dense layer in other words."""
    inside = source
    for pool in pre:
        inside = pool.out_shape(inside)
    return node.groups == 1 and node.weight.shape[2:] == inside[1:] and node.pad == (0, 0)


def _unpool(weight: np.ndarray, shape: Shape, pre: list[SumPool]) -> np.ndarray:
    """Dense weights (O, C*H'*W') behind pools -> (O, C*H*W) on the unpooled source."""
    if not pre:
        return weight
    shapes = [shape]
    for pool in pre:
        shapes.append(pool.out_shape(shapes[-1]))
    whole = weight.reshape(len(weight), *shapes[-1])
    for pool, seen in zip(reversed(pre), reversed(shapes[:-1]), strict=True):
        whole = spread_pool(whole, pool, seen[1:])
    return whole.reshape(len(weight), -1)


def _expanded(path: Path, shape: tuple[int, ...], target: Shape, gain: np.ndarray) -> LinearMap | None:
    """The path multiplied out, column by column, to a dense or sparse matrix over flattened neurons."""
    columns, rows = int(np.prod(shape)), int(np.prod(target))
    if columns * rows > MAX_EXPANDED:
        names = ", ".join(name for name, _ in path.nodes) or path.source
        raise UnsupportedError(
            f"node {path.nodes[-1][0] if path.nodes else path.source}: {names} make one matrix of {rows} x {columns}, "
            f"over {MAX_EXPANDED} entries; put a neuron between them, or give a channel's neurons one parameter"
        )
    linear = [replace(n, bias=None) if isinstance(n, Conv | Linear) else n for _, n in path.nodes]
    matrix = np.zeros((columns, rows))
    for first in range(0, columns, 256):
        last = min(first + 256, columns)
        x = np.eye(last - first, columns, first).reshape(-1, *shape)
        for node in linear:
            x = interpreter.apply(node, x)
        matrix[first:last] = x.reshape(last - first, -1)
    return as_map(matrix.T * gain.reshape(-1, 1))


def as_map(matrix: np.ndarray) -> LinearMap | None:
    """A matrix (targets, sources), dense or sparse; None where it is all zeros."""
    rows = len(matrix)
    present = matrix != 0
    if not present.any():
        return None
    if present.mean() >= SPARSE_BELOW:
        return LinearMap(kind="dense", weight=np.ascontiguousarray(matrix))
    row, column = np.nonzero(present)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))])
    return LinearMap(
        kind="sparse", weight=matrix[present], indices=column.astype(np.int32), indptr=indptr.astype(np.int32)
    )
