"""Writes a graph as ONNX: one timestep, its state going in and out, the LIF as a function of the model itself.

    inputs    x (B, *shape): the sample, or its frame of this timestep
              <lif>_v (B, *shape): the membrane after the step before; <node>_past_<k>: what a delayed edge reads
    outputs   y (B, classes): what the readout got in this step; sum it over the T steps (or take the last, or the
              largest: ``read`` of the metadata), the largest class wins
              <lif>_v_next and <node>_past_<k>_next: feed them back; <lif>_z: the spikes, 0 or 1
              (other neurons: <node>_i of a synaptic current, <node>_owed of a reset that comes a timestep later)

All state starts at zero. What belongs together stands in the metadata key ``snnas``, with T, dt and the graph's own
metadata. Loops over time and cycles need no support by a runtime: they are the caller's loop. ``LIF`` lives in the
domain ``snnas`` as a model-local function of standard operators, which a runtime inlines; ``inline`` does it in the
file, for those that cannot. Opset 20 and IR 10 are fixed: newer defaults are ahead of the runtimes in use.

In float32 a convolution's sum may round to the other side of a threshold. ``precision='float64'`` computes as the
deployed network does; as runtimes have no convolution in float64, it is then a sum of matrix products, one for each
place of the kernel: the same spikes, several times slower.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.formats.onnx_neurons import add_neuron, narrow
from snnas.export.graph.graph import (
    SPIKING,
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    Graph,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Node,
    Output,
    Pool,
    Scale,
    Threshold,
)
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.files import write_bytes

if TYPE_CHECKING:
    import onnx

DOMAIN = "snnas"
FORMAT = "snnas.onnx/2"
OPSET, IR = 20, 10
_READ = {"sum": "sum over the timesteps", "last": "value at the last timestep", "max": "largest value of all timesteps"}

Precision = Literal["float32", "float64"]


def write_onnx(
    path: Path, graph: Graph, *, timesteps: int, precision: Precision = "float32", inline: bool = False
) -> None:
    """Write ``graph`` to ``path``, whole or not at all; the same graph gives the same bytes.

    timesteps: T of the training, kept as metadata. Raises UnsupportedError where onnx is missing, or for a node that
    has no counterpart.
    """
    model = build_onnx(graph, timesteps=timesteps, precision=precision, inline=inline)
    write_bytes(path, model.SerializeToString(deterministic=True))


def build_onnx(graph: Graph, *, timesteps: int, precision: Precision = "float32", inline: bool = False) -> Any:
    """Return the checked ``onnx.ModelProto`` of ``graph``; parameters and errors as ``write_onnx``."""
    try:
        import onnx
        from onnx import checker, helper, inliner
    except ImportError:
        raise UnsupportedError("ONNX needs the package onnx; install snnas with the extra [onnx]") from None
    graph.verify()
    builder = _Builder(graph, precision)
    builder.build()
    pairs = [{"input": name, "output": f"{name}_next"} for name in builder.states]
    metadata = {
        **graph.meta,
        "format": FORMAT,
        "timesteps": timesteps,
        **asdict(graph.convention),
        "precision": precision,
        "state": pairs,
        "spikes": [f"{name}_z" for name in graph.of_type(SPIKING)],
        "read": graph.read,
        "readout": f"y: its {_READ[graph.read]}; argmax, ties to the lowest index",
        "delayed": [list(edge) for edge in sorted(graph.delayed)],
    }
    model = helper.make_model(
        helper.make_graph(builder.nodes, "step", builder.inputs, builder.outputs, builder.constants),
        functions=[_lif_function()] if builder.calls_lif else [],
        opset_imports=[
            helper.make_opsetid("", OPSET),
            *([helper.make_opsetid(DOMAIN, 1)] if builder.calls_lif else []),
        ],
        ir_version=IR,
        producer_name="snnas",
    )
    helper.set_model_props(model, {conventions.KEY: json.dumps(metadata, sort_keys=True)})
    if inline and builder.calls_lif:
        model = inliner.inline_local_functions(model)
    checker.check_model(model, full_check=True)
    assert isinstance(model, onnx.ModelProto)
    return model


def _lif_function() -> onnx.FunctionProto:
    """(x, v, decay, r, leak, threshold, reset) -> (z, v_next): one Euler step, a spike where v > threshold."""
    from onnx import helper

    make = helper.make_node
    body = [
        make("Mul", ["r", "x"], ["driven"]),
        make("Add", ["leak", "driven"], ["target"]),
        make("Sub", ["target", "v"], ["gap"]),
        make("Mul", ["decay", "gap"], ["change"]),
        make("Add", ["v", "change"], ["u"]),
        make("Greater", ["u", "threshold"], ["fired"]),
        make("CastLike", ["fired", "x"], ["z"]),
        make("Where", ["fired", "reset", "u"], ["v_next"]),
    ]
    inputs = ["x", "v", "decay", "r", "leak", "threshold", "reset"]
    return helper.make_function(DOMAIN, "LIF", inputs, ["z", "v_next"], body, [helper.make_opsetid("", OPSET)])


class _Builder:
    """Nodes, constants, inputs and outputs of the step, filled in the graph's own order."""

    def __init__(self, graph: Graph, precision: Precision) -> None:
        from onnx import TensorProto

        self.graph, self.dtype = graph, np.dtype(precision)
        self.element = TensorProto.DOUBLE if precision == "float64" else TensorProto.FLOAT
        self.shapes = graph.shapes()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.states: list[str] = []
        self.value: dict[str, str] = {}
        self.calls_lif = False

    def build(self) -> None:
        for name in self.graph.order():
            node = self.graph.nodes[name]
            if isinstance(node, Input):
                self.value[name] = "x"
                self.inputs.append(self._tensor("x", node.shape))
            elif isinstance(node, Delay):
                # Read from the past alone: its input, ready later in this step, becomes the past of the next.
                self.value[name] = self._past(name, node.steps, self.shapes[name])
            else:
                self.value[name] = self._node(name, node, self._arriving(name))
        for name in self.graph.of_type(Delay):
            delay = self.graph.nodes[name]
            assert isinstance(delay, Delay)
            self._advance(name, delay.steps, self._sum(f"{name}_in", (self.value[s] for s in self.graph.sources(name))))
        for name in sorted({s for s, _ in self.graph.delayed}):
            self._advance(name, 1, self.value[name])
        self.inputs.sort(key=lambda tensor: tensor.name != "x")
        self.outputs.sort(key=lambda tensor: tensor.name != "y")

    def _arriving(self, name: str) -> str:
        """The sum of what the edges bring; one that waits brings what its source gave a step before."""
        terms = []
        for source in self.graph.sources(name):
            if (source, name) in self.graph.delayed:
                terms.append(self._past(source, 1, self.shapes[source]))
            else:
                terms.append(self.value[source])
        return self._sum(f"{name}_in", terms)

    def _sum(self, name: str, terms: Iterable[str]) -> str:
        found = list(terms)
        return found[0] if len(found) == 1 else self.add("Sum", found, name)

    def _node(self, name: str, node: Node, x: str) -> str:
        match node:
            case Output():
                self.outputs.append(self._tensor("y", (int(np.prod(node.shape)),)))
                return self.add("Flatten", [x], "y", axis=1)
            case Lif() if self.graph.convention == conventions.OURS:
                return self._lif(name, node, x)
            case Lif() | If() | CubaLif() | Threshold() | Li() | CubaLi() | I():
                return add_neuron(self, name, node, x, self.graph.convention)
            case Scale():
                return self.add("Mul", [x, self.constant(f"{name}_scale", narrow(node.scale))], name)
            case Conv():
                return self._conv(name, node, x, self.shapes[name][1:])
            case Linear():
                weight = self.constant(f"{name}_weight", node.weight.T)
                out = self.add("MatMul", [x, weight], name)
                return out if node.bias is None else self.add("Add", [out, self.constant(f"{name}_bias", node.bias)])
            case Pool():
                return self._pool(name, node, x)
            case Flatten():
                return self.add("Flatten", [x], name, axis=1)
        raise UnsupportedError(f"ONNX: node {name} of type {type(node).__name__} has no counterpart; leave it out")

    def _lif(self, name: str, node: Lif, x: str) -> str:
        shape, self.calls_lif = node.shape, True
        voltage = self.state(f"{name}_v", shape)
        values = {
            "decay": conventions.decay_of(node.tau),
            "r": node.r,
            "leak": node.v_leak,
            "threshold": node.v_threshold,
            "reset": node.v_reset,
        }
        constants = [self.constant(f"{name}_{key}", narrow(value)) for key, value in values.items()]
        self.add("LIF", [x, voltage, *constants], f"{name}_z", f"{voltage}_next", domain=DOMAIN)
        self.outputs += [self._tensor(f"{name}_z", shape), self._tensor(f"{voltage}_next", shape)]
        return f"{name}_z"

    def _conv(self, name: str, node: Conv, x: str, size: tuple[int, ...]) -> str:
        top, left = node.pad
        if self.dtype == np.float32:
            bias = [] if node.bias is None else [self.constant(f"{name}_bias", node.bias)]
            weight = self.constant(f"{name}_weight", node.weight)
            strides = {"strides": list(node.stride), "pads": [top, left, top, left], "group": node.groups}
            return self.add("Conv", [x, weight, *bias], name, **strides)
        return self._conv_by_products(name, node, x, size)

    def _conv_by_products(self, name: str, node: Conv, x: str, size: tuple[int, ...]) -> str:
        """The sum over the kernel's places of (shifted, strided input) x (weight there), channels last."""
        weight = _ungrouped(node)
        height, width = size
        padded = self._padded(name, node.pad, self.add("Transpose", [x], f"{name}_last", perm=[0, 2, 3, 1]))
        terms = []
        for row in range(weight.shape[2]):
            for column in range(weight.shape[3]):
                starts, steps = (row, column), node.stride
                ends = [s + step * (n - 1) + 1 for s, step, n in zip(starts, steps, (height, width), strict=True)]
                place = f"{name}_{row}_{column}"
                seen = self.add(
                    "Slice", [padded, *(self._integers(f"{place}_{k}", v) for k, v in
                              (("from", starts), ("to", ends), ("axes", (1, 2)), ("step", steps)))], f"{place}_seen"
                )  # fmt: skip
                factor = self.constant(f"{place}_weight", weight[:, :, row, column].T)
                terms.append(self.add("MatMul", [seen, factor], place))
        if node.bias is not None:
            terms.append(self.constant(f"{name}_bias", node.bias))
        return self.add("Transpose", [self._sum(f"{name}_sum", terms)], name, perm=[0, 3, 1, 2])

    def _padded(self, name: str, pad: tuple[int, int], x: str) -> str:
        if not any(pad):
            return x
        pads = self._integers(f"{name}_pads", (0, *pad, 0, 0, *pad, 0))
        return self.add("Pad", [x, pads, self.constant(f"{name}_zero", np.zeros(()))], f"{name}_padded")

    def _pool(self, name: str, node: Pool, x: str) -> str:
        channels, *size = self.shapes[name]
        area = node.kernel[0] * node.kernel[1]
        # As a float32, 1/9 is rounded: in float64 the sum is divided, as the deployed network does.
        divided = node.average and self.dtype == np.float64
        value = 1 / area if node.average and not divided else 1.0
        weight = np.full((channels, 1, *node.kernel), value, dtype=np.float32)
        conv = Conv(weight=weight, bias=None, stride=node.stride, pad=node.pad, groups=channels)
        if not divided:
            return self._conv(name, conv, x, tuple(size))
        total = self._conv(f"{name}_total", conv, x, tuple(size))
        return self.add("Div", [total, self.constant(f"{name}_area", np.float64(area))], name)

    # ------------------------------------------------------------------------------------------------ state and pieces

    def _past(self, name: str, steps: int, shape: tuple[int, ...]) -> str:
        """What ``name`` gave ``steps`` timesteps before."""
        wanted = f"{name}_past_{steps}"
        if wanted not in self.states:
            for k in range(1, steps + 1):
                self.state(f"{name}_past_{k}", shape)
        return wanted

    def _advance(self, name: str, steps: int, now: str) -> None:
        """Every past becomes one step older."""
        for k in range(1, steps + 1):
            self.add("Identity", [now if k == 1 else f"{name}_past_{k - 1}"], f"{name}_past_{k}_next")
            self.outputs.append(self._tensor(f"{name}_past_{k}_next", self.shapes[name]))

    def state(self, name: str, shape: tuple[int, ...]) -> str:
        self.states.append(name)
        self.inputs.append(self._tensor(name, shape))
        return name

    def out(self, name: str, shape: tuple[int, ...]) -> None:
        self.outputs.append(self._tensor(name, shape))

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Any:
        from onnx import helper

        return helper.make_tensor_value_info(name, self.element, ["B", *shape])

    def add(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        from onnx import helper

        names = list(outputs) or [f"{inputs[0]}_{op.lower()}"]
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names[0]

    def constant(self, name: str, value: Any) -> str:
        return self._store(name, np.ascontiguousarray(value, dtype=self.dtype))

    def _integers(self, name: str, values: Iterable[int]) -> str:
        return self._store(name, np.array(list(values), dtype=np.int64))

    def _store(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _ungrouped(node: Conv) -> np.ndarray:
    """The weight (O, I, kH, kW) of the convolution without groups: zero across them."""
    outputs, share = node.weight.shape[:2]
    full = np.zeros((outputs, share * node.groups, *node.weight.shape[2:]), dtype=node.weight.dtype)
    for group in range(node.groups):
        rows = slice(group * outputs // node.groups, (group + 1) * outputs // node.groups)
        full[rows, group * share : (group + 1) * share] = node.weight[rows]
    return full
