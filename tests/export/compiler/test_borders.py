"""Layers in a row as one map, or a kernel and its border: equal in real numbers, whatever strides and paddings are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.adjoint import matrix_of
from snnas.export.compiler.parts import Part, cut
from snnas.export.compiler.paths import Path, compose
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Conv, If, Node, Pool, Scale, output_shape
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import Shape


def pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    return int(rng.integers(low, high)), int(rng.integers(low, high))


def drawn(rng: np.random.Generator) -> tuple[Shape, list[Node], Shape] | None:
    """Two to four layers on a small image; None where a window does not fit."""
    source = shape = (int(rng.integers(1, 4)), int(rng.integers(4, 9)), int(rng.integers(4, 9)))
    nodes: list[Node] = []
    for _ in range(int(rng.integers(2, 5))):
        node: Any
        kind, channels = rng.choice(["pool", "conv", "conv", "depthwise", "factors"]), shape[0]
        if kind == "pool":
            node = Pool(kernel=pair(rng, 1, 4), stride=pair(rng, 1, 3), pad=pair(rng, 0, 2), average=rng.random() < 0.5)
        elif kind == "factors":
            node = Scale(scale=np.broadcast_to(rng.normal(size=(channels, 1, 1)), shape).astype(np.float32))
        else:
            out, groups = (channels, channels) if kind == "depthwise" else (int(rng.integers(1, 4)), 1)
            weight = rng.normal(size=(out, channels // groups, *pair(rng, 1, 4))).astype(np.float32)
            node = Conv(weight=weight, bias=None, stride=pair(rng, 1, 3), pad=pair(rng, 0, 3), groups=groups)
        nodes.append(node)
        try:
            shape = output_shape("n", node, shape)  # type: ignore[assignment]
        except InvalidFileError:
            return None
    return source, nodes, shape


def test_a_kernel_and_its_border_are_the_layers() -> None:
    rng, bordered = np.random.default_rng(0), 0
    for _ in range(70):
        found = drawn(rng)
        if found is None:
            continue
        source, nodes, target = found
        x = wanted = rng.normal(size=(2, *source))
        for node in nodes:
            wanted = interpreter.apply(node, wanted)
        gain = rng.normal(size=(target[0], 1, 1)) * np.ones(target) if rng.random() < 0.5 else np.array(0.7)
        path = Path("s", tuple((f"n{k}", node) for k, node in enumerate(nodes)), 0)
        maps = compose(path, source, target, gain)
        np.testing.assert_allclose(sum(apply(m, x, target) for m in maps), wanted * gain, atol=1e-9)
        bordered += len(maps) == 2
    assert bordered > 5


@pytest.mark.parametrize("channels", [True, False])
def test_a_border_is_cut_without_its_zeros(channels: bool) -> None:
    """As the matrix is, for some channels of the target and some neurons of the source."""
    rng, shape = np.random.default_rng(1), (3, 9, 8)
    layers = [Conv(weight=rng.normal(size=(3, 3, 3, 3)).astype(np.float32), bias=None, pad=(1, 1)) for _ in range(2)]
    ring = compose(Path("s", (("a", layers[0]), ("b", layers[1])), 0), shape, shape, np.array(1.0))[1]
    every = np.arange(3 * 72)
    rows = every[72:] if channels else np.sort(rng.permutation(every)[:50])
    columns = every[every // 72 != 1]

    def part(index: np.ndarray) -> Part:
        own = np.ones((len(index), 1, 1), np.float32)
        return Part(id="p", shape=own.shape, node=If(r=own, v_threshold=own, v_reset=own * 0), index=index)

    own = cut(ring, shape, shape, part(rows), part(columns))
    assert own is not None
    assert own.kind == "sparse"
    found = matrix_of(own, (len(columns), 1, 1), (len(rows), 1, 1))
    assert np.array_equal(found, matrix_of(ring, shape, shape)[rows][:, columns])
