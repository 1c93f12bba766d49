"""Padded convolutions in a row: what one kernel over all of them gets wrong at the border, as a sparse matrix.

Between two layers there is no neuron, so on a chip a synapse carries the product of their weights, and int8 holds that
product once: two int8 factors would be rounded twice and then need 16 bits. One kernel over both layers is that
product, and right wherever the second one does not read what it has padded: there it reads zeros, while the kernel over
both goes on reading the input. Those outputs form a ring of a few pixels. The ring's *border* is the true matrix less
the kernel's: added, the two are the layers, exactly in real numbers, each weight rounded once in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snnas.export.graph.graph import Conv
from snnas.hw_sim.program import LinearMap, Shape, window_count


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution (of one group, float64). merged: the kernel over all does not see where this layer's input ends."""

    conv: Conv
    merged: bool


@dataclass(frozen=True, slots=True)
class _Window:
    """What of each layer's input an output sees along an axis. cuts: (below, above) that are left out of it, layer by
    layer from the last; start: of what is left of the source.
    """

    cuts: tuple[tuple[int, int], ...]
    start: int


def border(layers: Sequence[Layer], shape: Shape, most: int) -> LinearMap | None:
    """The matrix to be added to the kernel over all layers; None where it has over ``most`` weights.

    shape: the source's (C, H, W). Rows are the flattened outputs.
    """
    sizes: list[tuple[int, ...]] = [shape[1:]]
    for layer in layers:
        kernel, conv = layer.conv.weight.shape[2:], layer.conv
        along = zip(sizes[-1], kernel, conv.stride, conv.pad, strict=True)
        sizes.append(tuple(window_count(*n) for n in along))
    rows, columns = (_kinds(layers, sizes, axis) for axis in (0, 1))
    size, out = len(layers[-1].conv.weight), sizes[-1]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    count = 0
    for (true_y, whole_y), at_y in rows.items():
        for (true_x, whole_x), at_x in columns.items():
            if true_y.cuts == whole_y.cuts and true_x.cuts == whole_x.cuts:
                continue
            difference = -_patch(layers, whole_y, whole_x)
            here = _patch(layers, true_y, true_x)
            y, x = true_y.start - whole_y.start, true_x.start - whole_x.start
            if here.any():  # what has no window left in some layer has no place either
                difference[:, :, y : y + here.shape[2], x : x + here.shape[3]] += here
            o, c, i, j = np.nonzero(difference)
            count += len(o) * len(at_y) * len(at_x)
            if count > most:
                return None
            values = difference[o, c, i, j]
            for py, start_y in at_y:
                for px, start_x in at_x:
                    column = (c * shape[1] + i + start_y) * shape[2] + j + start_x
                    found.append(((o * out[0] + py) * out[1] + px, column, values))
    if not count:
        found.append((np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)))
    row, column, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=size * out[0] * out[1]))])
    return LinearMap(
        kind="sparse", weight=value[order], indices=column[order].astype(np.int32), indptr=indptr.astype(np.int32)
    )


_Kinds = dict[tuple[_Window, _Window], list[tuple[int, int]]]


def _kinds(layers: Sequence[Layer], sizes: list[tuple[int, ...]], axis: int) -> _Kinds:
    """The different windows along an axis, true and of the kernel, from 0 on; with each the outputs that have it, and
    where the kernel's window of each begins in the source.
    """
    found: _Kinds = {}
    for position in range(sizes[-1][axis]):
        true, whole = (_window(layers, sizes, axis, position, everywhere=all_) for all_ in (True, False))
        kind = (_Window(true.cuts, true.start - whole.start), _Window(whole.cuts, 0))
        found.setdefault(kind, []).append((position, whole.start))
    return found


def _window(
    layers: Sequence[Layer], sizes: list[tuple[int, ...]], axis: int, position: int, *, everywhere: bool
) -> _Window:
    start, length, cuts = position, 1, []
    for k in range(len(layers) - 1, -1, -1):
        c = layers[k].conv
        start = start * c.stride[axis] - c.pad[axis]
        length = max(length - 1, 0) * c.stride[axis] + c.weight.shape[2 + axis]
        cut = (0, 0)
        if everywhere or not layers[k].merged:
            below = min(max(0, -start), length)
            cut = (below, min(max(0, start + length - sizes[k][axis]), length - below))
        cuts.append(cut)
        start, length = start + cut[0], length - sum(cut)
    return _Window(tuple(cuts), start)


def _patch(layers: Sequence[Layer], rows: _Window, columns: _Window) -> np.ndarray:
    """The weights of one output pixel over its window of the source: (O, C, h, w)."""
    seen = np.eye(len(layers[-1].conv.weight))[:, :, None, None]
    for layer, (top, bottom), (left, right) in zip(reversed(layers), rows.cuts, columns.cuts, strict=True):
        weight, (sy, sx) = layer.conv.weight, layer.conv.stride
        kh, kw = weight.shape[2:]
        high, wide = seen.shape[2:]
        grown = np.zeros((len(seen), weight.shape[1], max(high - 1, 0) * sy + kh, max(wide - 1, 0) * sx + kw))
        for y in range(high):
            for x in range(wide):
                part = np.tensordot(seen[:, :, y, x], weight, axes=1)
                grown[:, :, y * sy : y * sy + kh, x * sx : x * sx + kw] += part
        seen = grown[:, :, top : grown.shape[2] - bottom, left : grown.shape[3] - right]
    return seen
