"""Network -> deployed graph: batch norms folded, voting folded, max-pools on spikes lowered, thresholds adjusted.

The input is a network's layer list: plain dicts in topological order, as ``Network.layers`` gives
them. Every LIF's current is a sum of terms, each a spike source followed by linear layers; a per-channel affine (a
batch norm) commutes with everything in a term but the convolution, so it scales that convolution's weights. All in
float64; stored as float32 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from snnas.export.compiler.layer_list import Layer, live, merged_layers, pair, shape3, shapes_of
from snnas.export.compiler.terms import Stage, Term, Value, absorbed, distinct, scaled
from snnas.export.dialects import conventions
from snnas.export.graph.flat import without_space
from snnas.export.graph.graph import Conv, Delay, Flatten, Graph, Input, Lif, Linear, Node, Output, Pool
from snnas.hw_sim.errors import UnsupportedError, UsageError


def fold(layers: Sequence[Layer], *, meta: dict[str, Any] | None = None) -> Graph:
    """The deployed graph of a layer list. UnsupportedError names the layer that no chip can express."""
    return _Folder(layers).graph(meta or {})


class _Folder:
    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers, self.merged = merged_layers(live(layers))
        self.shapes = shapes_of(self.layers)
        self.values: dict[str, Value] = {}
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.delayed: set[tuple[str, str]] = set()

    def graph(self, meta: dict[str, Any]) -> Graph:
        for layer in self.layers.values():
            if layer["op"] == "input":
                shape = shape3(layer["shape"])
                self.nodes[layer["name"]] = Input(shape=shape)
                self.values[layer["name"]] = Value((Term(layer["name"]),), shape)
        for layer in self.layers.values():
            if layer["op"] in ("lif", "output"):
                self.value(layer["name"])
        for layer in self.layers.values():
            if layer["op"] in ("lif", "output"):
                self._connect(layer)
        if self.merged:
            meta = {**meta, "merged": self.merged}
        graph = Graph(nodes=self.nodes, edges=tuple(self.edges), delayed=frozenset(self.delayed), meta=meta)
        return _in_order(without_space(graph))

    # -- values ------------------------------------------------------------------------------------------------

    def value(self, name: str) -> Value:
        """The output of a layer. A LIF is a source of its own: its value does not look at what feeds it."""
        if name not in self.values:
            layer = self.layers[name]
            handler = getattr(self, f"_{layer['op']}", None)
            if handler is None:
                raise UnsupportedError(f"layer {name}: op {layer['op']!r} has no counterpart on a chip")
            self.values[name] = handler(layer)
        return self.values[name]

    def _sum(self, layer: Layer) -> Value:
        parts = [self.value(n) for n in layer["inputs"]]
        shift = None
        for p in parts:
            if p.shape != parts[0].shape:
                raise UsageError(f"layer {layer['name']} adds shapes {p.shape} and {parts[0].shape}")
            if p.shift is not None:
                shift = p.shift if shift is None else shift + p.shift
        return Value(
            distinct([t for p in parts for t in p.terms], parts[0].shape[0], layer["name"]), parts[0].shape, shift
        )

    def _lif(self, layer: Layer) -> Value:
        if layer.get("reset", "zero") != "zero":
            raise UnsupportedError(
                f"layer {layer['name']}: a soft reset (by subtraction) has no counterpart in Loihi's LIF, which "
                "resets to zero; fine-tune the network with a hard reset"
            )
        if not layer.get("decay_input", True):
            raise UnsupportedError(
                f"layer {layer['name']}: decay_input must be true; scale the weights by 1/tau instead"
            )
        name, shape = layer["name"], self.shapes[layer["name"]]
        self._neuron(name, shape, layer["tau"], conventions.deployed_threshold(layer["threshold"]))
        return Value((Term(name),), shape)

    def _neuron(self, name: str, shape: tuple[int, int, int], tau: float, threshold: np.float32) -> None:
        full = np.ones(shape, np.float32)
        self.nodes[name] = Lif(
            tau=full * conventions.tau_seconds(tau),
            r=full,
            v_leak=full * 0,
            v_threshold=full * threshold,
            v_reset=full * 0,
        )

    def _delay(self, layer: Layer) -> Value:
        value = self._sum(layer)
        if any(t.stages or t.delayed for t in value.terms):
            raise UnsupportedError(
                f"layer {layer['name']}: only spikes can wait a timestep; put the delay behind a LIF"
            )
        return replace(value, terms=tuple(replace(t, delayed=True) for t in value.terms))

    def _conv(self, layer: Layer) -> Value:
        value = self._sum(layer)
        self._spikes_only(layer, value)
        weight = np.asarray(layer["weight"], np.float64)
        bias = np.zeros(len(weight)) if layer.get("bias") is None else np.asarray(layer["bias"], np.float64)
        stage = Stage(
            layer["name"], "conv", weight, bias, pair(weight.shape[2:]), pair(layer["stride"]), pair(layer["pad"])
        )
        return Value(_behind(value, stage), self.shapes[layer["name"]])

    def _spikes_only(self, layer: Layer, value: Value) -> None:
        """A weighted layer behind another one would be two matrices in a row: no network of ours has it."""
        if value.shift is not None or any(s.op in ("conv", "linear") for t in value.terms for s in t.stages):
            raise UnsupportedError(
                f"layer {layer['name']} reads a current that already has weights; put a LIF between them"
            )

    def _linear(self, layer: Layer) -> Value:
        value = self._sum(layer)
        self._spikes_only(layer, value)
        weight = np.asarray(layer["weight"], np.float64)
        bias = np.zeros(len(weight)) if layer.get("bias") is None else np.asarray(layer["bias"], np.float64)
        stage = Stage(layer["name"], "linear", weight, bias, (value.shape[1], value.shape[2]))
        return Value(_behind(value, stage), (len(weight), 1, 1))

    def _bn(self, layer: Layer) -> Value:
        gain = np.asarray(layer["gamma"], np.float64) / np.sqrt(np.asarray(layer["var"], np.float64) + layer["eps"])
        shift = np.asarray(layer["beta"], np.float64) - gain * np.asarray(layer["mean"], np.float64)
        value = self._sum(layer)
        terms = tuple(scaled(t, gain, layer["name"]) for t in value.terms)
        if value.shift is not None:
            shift = shift + gain * value.shift
        return absorbed(Value(terms, value.shape, shift))

    def _avgpool(self, layer: Layer) -> Value:
        value = self._sum(layer)
        kernel, stride, pad = pair(layer["kernel"]), pair(layer["stride"]), pair(layer["pad"])
        if any(pad) and value.shift is not None:
            # A constant is not constant any more after a zero-padded average: give it to a stage before the pool.
            value = self._carried(layer["name"], value)
        stage = Stage(layer["name"], "avgpool", None, None, kernel, stride, pad)
        terms = tuple(replace(t, stages=(*t.stages, stage)) for t in value.terms)
        return Value(terms, self.shapes[layer["name"]], value.shift)

    def _maxpool(self, layer: Layer) -> Value:
        """A max over spikes is an OR: SumPool2d, then a memoryless neuron. Over currents it has no counterpart."""
        value = self._sum(layer)
        term, *others = value.terms
        if others or term.stages or term.source not in self.nodes or isinstance(self.nodes[term.source], Input):
            raise UnsupportedError(
                f"layer {layer['name']}: a max-pool over analogue currents has no counterpart on a chip; "
                "put it behind the LIF (LIF, max-pool, conv), or use an average pool"
            )
        kernel, stride, pad = pair(layer["kernel"]), pair(layer["stride"]), pair(layer["pad"])
        shape = self.shapes[layer["name"]]
        name, total = layer["name"], f"{layer['name']}_sum"
        self.nodes[total] = Pool(kernel=kernel, stride=stride, pad=pad)
        self._neuron(name, shape, conventions.OR_TAU_STEPS, np.float32(conventions.OR_THRESHOLD))
        self._edge(term.source, total, term.delayed)
        self._edge(total, name)
        return Value((Term(name),), shape)

    def _vote(self, layer: Layer) -> Value:
        value = self._sum(layer)
        assert value.shift is None, "a linear layer leaves no shift"
        group = int(layer["group"])
        classes = value.shape[0] // group
        mean = np.kron(np.eye(classes), np.full((1, group), 1.0 / group))
        terms = []
        for t in value.terms:
            if not t.stages or t.stages[-1].op != "linear":
                raise UnsupportedError(f"layer {layer['name']}: voting folds into a linear layer; none feeds it")
            last = t.stages[-1]
            assert last.weight is not None
            assert last.bias is not None
            terms.append(
                replace(t, stages=(*t.stages[:-1], replace(last, weight=mean @ last.weight, bias=mean @ last.bias)))
            )
        return Value(tuple(terms), (classes, 1, 1))

    def _output(self, layer: Layer) -> Value:
        return self._sum(layer)

    # -- nodes and edges ---------------------------------------------------------------------------------------

    def _carried(self, name: str, value: Value) -> Value:
        """Gives a shift that no term can carry to a new term: a 1x1 convolution with zero weights."""
        for term in value.terms:
            node = self.nodes[term.source]
            assert isinstance(node, Lif | Input)
            if node.shape[1:] == value.shape[1:]:
                zeros = np.zeros((value.shape[0], node.shape[0], 1, 1))
                constant = Term(term.source, (Stage(f"{name}_bias", "conv", zeros, value.shift),))
                return replace(value, terms=(*value.terms, constant), shift=None)
        raise UnsupportedError(f"layer {name}: no source of size {value.shape[1:]} can carry its constant current")

    def _edge(self, src: str, dst: str, delayed: bool = False) -> None:
        """Two nodes have one edge at most: where spikes are read now and late, the late ones go through a Delay."""
        if (src, dst) not in self.edges:
            self.edges.append((src, dst))
            if delayed:
                self.delayed.add((src, dst))
        elif delayed != ((src, dst) in self.delayed):
            late = f"{src}_late_to_{dst}"
            self.delayed.discard((src, dst))
            if late not in self.nodes:
                self.nodes[late] = Delay(steps=1)
                self.edges += [(src, late), (late, dst)]

    def _connect(self, layer: Layer) -> None:
        """Writes the terms of a LIF's (or the output's) current as nodes; equal terms of several readers are shared."""
        name = layer["name"]
        value = self._sum(layer)
        if value.shift is not None:
            value = self._carried(name, value)
        flat = False
        for term in value.terms:
            src, delayed = term.source, term.delayed
            for stage in term.stages:
                src, flat = self._stage(src, stage, delayed)
                delayed = False
            self._edge(src, name, delayed)
        lif = self.nodes.get(name)
        if lif is None:
            self.nodes[name] = Output(shape=value.shape[:1] if flat else value.shape)
        elif flat:
            assert isinstance(lif, Lif)
            flatten = {f: getattr(lif, f).reshape(-1) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}
            self.nodes[name] = Lif(**flatten)

    def _stage(self, src: str, stage: Stage, delayed: bool) -> tuple[str, bool]:
        """Adds one linear node behind ``src``; returns its name and whether its output is flat (N,)."""
        flat = False
        node: Node
        if stage.op == "avgpool":
            name = f"{stage.name}_of_{src}"
            node = Pool(kernel=stage.kernel, stride=stage.stride, pad=stage.pad, average=True)
        else:
            assert stage.weight is not None
            assert stage.bias is not None
            name = stage.name
            bias = stage.bias.astype(np.float32)
            weight = stage.weight.astype(np.float32)
            if stage.op == "linear":
                kh, kw = stage.kernel
                reads = self.nodes[src]
                if isinstance(reads, Lif) and len(reads.shape) == 1:
                    flat, node = True, Linear(weight=weight, bias=bias)
                elif kh == kw:  # as a convolution over the whole map: readers disagree about Flatten's axes
                    node = Conv(weight=weight.reshape(len(weight), -1, kh, kw), bias=bias)
                else:
                    # One for each source: what two of them send must not be added before the weights.
                    flattened = self._shared_name(f"{stage.name}_flatten", src, Flatten())
                    self.nodes[flattened] = Flatten()
                    self._edge(src, flattened, delayed)
                    src, delayed, flat = flattened, False, True
                    node = Linear(weight=weight, bias=bias)
            else:
                node = Conv(weight=weight, bias=bias, stride=stage.stride, pad=stage.pad)
            name = self._shared_name(stage.name, src, node)
        self.nodes[name] = node
        self._edge(src, name, delayed)
        return name, flat

    def _shared_name(self, base: str, src: str, node: Node) -> str:
        """``base``, or ``base_2`` ... where that name already holds other weights or another source."""
        name, k = base, 1
        while name in self.nodes and not (_same(self.nodes[name], node) and (src, name) in self.edges):
            k += 1
            name = f"{base}_{k}"
        return name


def _same(a: Node, b: Node) -> bool:
    if isinstance(a, Flatten):
        return isinstance(b, Flatten)
    if isinstance(a, Conv) and isinstance(b, Conv):
        return (a.stride, a.pad) == (b.stride, b.pad) and np.array_equal(a.weight, b.weight) and _equal(a.bias, b.bias)
    return (
        isinstance(a, Linear)
        and isinstance(b, Linear)
        and np.array_equal(a.weight, b.weight)
        and _equal(a.bias, b.bias)
    )


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))


def _in_order(graph: Graph) -> Graph:
    """The same graph with nodes and edges in topological order: norse executes edges as listed."""
    order = graph.order()
    place = {n: k for k, n in enumerate(order)}
    edges = tuple(sorted(graph.edges, key=lambda e: (place[e[1]], place[e[0]])))
    return replace(graph, nodes={n: graph.nodes[n] for n in order}, edges=edges)


def _behind(value: Value, stage: Stage) -> tuple[Term, ...]:
    """The terms of ``value`` with a weighted layer behind each; its bias is added once, with the first of them."""
    assert stage.bias is not None
    unbiased = replace(stage, bias=np.zeros_like(stage.bias))
    return tuple(replace(t, stages=(*t.stages, unbiased if k else stage)) for k, t in enumerate(value.terms))
