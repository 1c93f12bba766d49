"""A network as plain data: the border between the search and the exporter. See ``Network.layers`` for the format."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import CONV_KERNELS, NODES, CellOps, Edge

Layer = dict[str, Any]
# Layers on the way, and at the end the names whose sum is the current behind them.
Part = Generator[Layer, None, list[str]]


# What stands between the last reduction and the votes, by ``NetworkConfig.head``.
HEAD_PARTS = {
    "lif": ("head_fc1", "head_lif", "head_fc2"),
    "bn_lif": ("head_fc1", "head_bn", "head_lif", "head_fc2"),
    "linear": ("head_fc",),
}


def lif_nodes(ops: CellOps) -> set[int]:
    """Return the nodes that something reads through a neuron: a convolution, or any backward operation."""
    return {i for (i, j), names in ops.items() if i > j or any(op in CONV_KERNELS for op in names)}


def population_keys(ops: Mapping[Edge, str]) -> dict[int, tuple[Any, ...]]:
    """Return for every node with a neuron what adds up at it: nodes of equal keys emit the same spikes.

    ops: the one operation on every live edge. They are one population where tau and threshold are the same.
    """
    arriving: dict[int, list[tuple[Edge, str]]] = {node: [] for node in NODES}
    for (i, j), op in ops.items():
        if i > j:
            # What a delayed skip carries is the spikes of node i, whichever edge takes it.
            arriving[j].append(((i, i), op) if op == "skip" else ((i, j), op))
    for node in NODES:
        for (i, j), op in ops.items():
            if i == node and j > i:
                arriving[j] += arriving[i] + ([((0, 0), "input")] if i == 0 else []) if op == "skip" else [((i, j), op)]
    read = lif_nodes({edge: (op,) for edge, op in ops.items()})
    return {node: tuple(sorted(arriving[node] + ([((0, 0), "input")] if node == 0 else []))) for node in sorted(read)}


def convolutions(ops: CellOps) -> list[tuple[Edge, str]]:
    """Return the edge and the name of every convolution."""
    return [(edge, op) for edge, names in ops.items() for op in names if op in CONV_KERNELS]


def op_layer(cell: int, edge: Edge, op: str, kind: str) -> str:
    """Return the layer name of an operation: cell1_e01_conv, cell1_b30_bn; what is not conv3x3 says so."""
    direction = "e" if edge[0] < edge[1] else "b"
    suffix = op[4:] if op in CONV_KERNELS and op != "conv3x3" else ""
    return f"cell{cell}_{direction}{edge[0]}{edge[1]}_{kind}{suffix}"


def reduction_parts(cell: int, config: NetworkConfig) -> tuple[str, ...]:
    """Return what stands behind the LIF of reduction number ``cell``; the last one has no convolution."""
    pool = ("pool",) if config.window(2) != (1, 1) else ()
    if cell == config.cells:
        return pool
    return (*pool, "conv", "bn2") if config.reduction == "max" else ("conv", "bn2", *pool)


def average(x: Tensor, config: NetworkConfig) -> Tensor:
    """Return the operation avgpool3x3 of (N, C, H, W); the average counts the padding."""
    kernel = config.window(3)
    return nn.functional.avg_pool2d(x, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))


def describe(config: NetworkConfig, cells: Sequence[CellOps], network: nn.Module) -> Generator[Layer, None, None]:
    """Yield the layers of ``network`` in topological order; only the input of a delay may come later.

    cells: the one operation on every live edge. network: has a child for every layer that stores something.
    """
    yield layer("input", "input", (), shape=config.input_shape, kind=config.input_kind, range=(0.0, 1.0))
    stem = _torch_layer(network, "stem_conv", ["input"])
    if config.gain:
        stem["weight"] *= np.array(config.gain, np.float32)[None, :, None, None]
    yield stem
    terms = yield from _chain(network, ["stem_conv"], "stem_bn")
    for cell, ops in enumerate(cells, start=1):
        terms = yield from _describe_cell(network, config, cell, ops, terms)
        parts = ("bn", "lif", *reduction_parts(cell, config))
        terms = yield from _chain(network, terms, *(f"red{cell}_{part}" for part in parts))
    terms = yield from _chain(network, terms, *HEAD_PARTS[config.head])
    if config.head != "linear":
        yield layer("head_vote", "vote", terms, group=config.votes)
        terms = ["head_vote"]
    yield layer("output", "output", terms)


def _describe_cell(network: nn.Module, config: NetworkConfig, cell: int, ops: CellOps, inputs: Sequence[str]) -> Part:
    arriving: dict[int, list[str]] = {node: [] for node in NODES}
    arriving[0] += inputs
    for node in sorted({i for i, j in ops if i > j}):
        yield layer(f"cell{cell}_n{node}_delay", "delay", (f"cell{cell}_n{node}_lif",))
    for edge, (op,) in ops.items():
        if edge[0] > edge[1]:
            delayed = [f"cell{cell}_n{edge[0]}_delay"]
            arriving[edge[1]] += yield from _describe_op(network, config, cell, edge, op, delayed)
    for node in NODES:
        lif = f"cell{cell}_n{node}_lif"
        if node in lif_nodes(ops):
            yield _torch_layer(network, lif, arriving[node])
        for edge, (op,) in ops.items():
            if edge[0] == node and edge[1] > node:
                source = [lif] if op in CONV_KERNELS else arriving[node]
                arriving[edge[1]] += yield from _describe_op(network, config, cell, edge, op, source)
    return arriving[3]


def _describe_op(network: nn.Module, config: NetworkConfig, cell: int, edge: Edge, op: str, source: list[str]) -> Part:
    if op == "skip" or (op == "avgpool3x3" and config.window(3) == (1, 1)):
        return list(source)
    if op == "avgpool3x3":
        name = op_layer(cell, edge, op, "pool")
        kernel = config.window(3)
        yield layer(name, "avgpool", source, kernel=kernel, stride=(1, 1), pad=(kernel[0] // 2, kernel[1] // 2))
        return [name]
    return (yield from _chain(network, source, *(op_layer(cell, edge, op, kind) for kind in ("conv", "bn"))))


def _chain(network: nn.Module, terms: list[str], *names: str) -> Part:
    """Yield torch layers one behind the other."""
    for name in names:
        yield _torch_layer(network, name, terms)
        terms = [name]
    return terms


def _torch_layer(network: nn.Module, name: str, inputs: Sequence[str]) -> Layer:
    child: Any = network.get_submodule(name)
    match child:
        case nn.Conv2d():
            weight, pad = dilated(array(child.weight), child.dilation), tuple(child.padding)
            return layer(name, "conv", inputs, weight=weight, bias=None, stride=tuple(child.stride), pad=pad)
        case nn.BatchNorm2d():
            stored = {"gamma": child.weight, "beta": child.bias, "mean": child.running_mean, "var": child.running_var}
            return layer(name, "bn", inputs, **{key: array(value) for key, value in stored.items()}, eps=child.eps)
        case nn.Linear():
            return layer(name, "linear", inputs, weight=array(child.weight), bias=None)
        case nn.MaxPool2d() | nn.AvgPool2d():
            op = "maxpool" if isinstance(child, nn.MaxPool2d) else "avgpool"
            window: Any = child.kernel_size
            return layer(name, op, inputs, kernel=window, stride=window, pad=(0, 0))
        case _:
            tau, threshold = child.constants()
            return layer(name, "lif", inputs, tau=tau, threshold=threshold, decay_input=True, reset="zero")


def dilated(weight: np.ndarray[Any, Any], steps: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return a kernel (O, I, kh, kw) with the zeros between its taps written out."""
    if tuple(steps) == (1, 1):
        return weight
    spread = [(taps - 1) * step + 1 for taps, step in zip(weight.shape[2:], steps, strict=True)]
    out = np.zeros((*weight.shape[:2], *spread), weight.dtype)
    out[:, :, :: steps[0], :: steps[1]] = weight
    return out


def layer(name: str, op: str, inputs: Sequence[str], **values: Any) -> Layer:
    """Return one layer; the form is that of ``Network.layers``."""
    return {"name": name, "op": op, "inputs": list(inputs), **values}


def array(tensor: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a float32 copy on the host."""
    values: Tensor = tensor.detach().cpu()
    return np.array(values.numpy(), dtype=np.float32)
