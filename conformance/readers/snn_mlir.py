"""snn-mlir: its own parser, ``parse_graph``, and each parsed layer's op in numpy, as its lowering to linalg has it.

What compiles the emitted MLIR (``snn-opt``) is on no package index, and its sources are not in the wheel; MLIR itself
would be there (xtc-mlir-dev 22.1.8). So what
is judged is what the tool understands of a file, its decays, thresholds, weights and refusals, and not its compiled
code. The ops are those of lib/Conversion/SNNToLinalg of its repository (1.0.0): v = decay v + x, a spike iff
v > threshold, then v = 0; the current of a CubaLIF likewise before it.
"""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import snn_mlir
from snn_mlir import nodes

from conformance import reference

VERSIONS = ("snn-mlir",)


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that nir infers wrongly
        graph = snn_mlir.parse_graph(path)
    state: dict[str, dict[str, Any]] = {name: {} for name in graph.order}
    spikes: dict[str, list[np.ndarray]] = {}
    late = {synapse: neuron for neuron, synapse in graph.recurrent_edges}
    output, before = [], dict[str, np.ndarray]()
    for t in range(x.shape[1]):
        now = {"input": x[:, t]}
        for name in graph.order:
            layer = graph.nodes[name]
            sources = [now[s] for s in graph.predecessors(name)]
            if name in late:
                last = before.get(late[name])
                sources = [np.zeros((len(x), *graph.nodes[late[name]].shape), np.float32) if last is None else last]
            now[name] = _op(layer, np.sum(sources, axis=0, dtype=np.float32), state[name])
            if isinstance(layer, nodes.LIFInfo | nodes.CubaLIFInfo):
                spikes.setdefault(f"spikes/{name}", []).append(now[name])
        output.append(np.sum([now[s] for s in graph.predecessors("output")], axis=0))
        before = now
    return {"output": np.stack(output, 1)} | {k: np.stack(v, 1) for k, v in spikes.items()}


def _op(layer: Any, x: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    if isinstance(layer, nodes.LinearInfo):
        y = x @ np.asarray(layer.weights, np.float32).T
        return y if layer.bias is None else y + np.asarray(layer.bias, np.float32)
    if isinstance(layer, nodes.ConvInfo | nodes.Conv1dInfo):
        bias = np.zeros(len(layer.weights), np.float32) if layer.bias is None else layer.bias
        kind = nir.Conv2d if isinstance(layer, nodes.ConvInfo) else nir.Conv1d
        plain = {"input_shape": None, "dilation": 1, "groups": 1, "bias": bias}
        node = kind(weight=layer.weights, stride=layer.stride, padding=layer.padding, **plain)
        return reference.stateless(node, x).astype(np.float32)
    if isinstance(layer, nodes.SumPool2dInfo | nodes.AvgPool2dInfo):
        kind = nir.SumPool2d if isinstance(layer, nodes.SumPool2dInfo) else nir.AvgPool2d
        node = kind(*(np.array(a) for a in (layer.kernel, layer.stride, layer.padding)))
        return reference.stateless(node, x).astype(np.float32)
    if isinstance(layer, nodes.FlattenInfo):
        return x.reshape(len(x), *layer.out_shape)
    return _neuron(layer, x, state)


def _neuron(layer: Any, x: np.ndarray, state: dict[str, Any]) -> np.ndarray:
    if isinstance(layer, nodes.CubaLIFInfo | nodes.CubaLIInfo):
        x = state["i"] = np.float32(layer.cur_decay) * state.get("i", 0) + x
    decay = layer.decay if isinstance(layer, nodes.LIFInfo | nodes.LIInfo) else layer.vol_decay
    v = np.float32(decay) * state.get("v", 0) + x
    if isinstance(layer, nodes.LIInfo | nodes.CubaLIInfo):
        state["v"] = v
        return v
    fired = v > np.float32(layer.threshold)
    state["v"] = np.where(fired, np.float32(0), v)
    return fired.astype(np.float32)
