"""A traced torch module as a NIR graph, and the recording of the module itself on an example.

Batch norms fold into the layer before them, a max-pool of spikes becomes a sum and a Threshold (a max over spikes is an
OR), shapes carry no batch axis, and no edge is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.toolchain.models.torch_neurons import Neuron, is_neuron, neuron_of, rest
from snnas.toolchain.models.torch_trace import INPUT, OUTPUT, Traced, name_of

if TYPE_CHECKING:
    import nir
    from torch import Tensor, nn

Sources = tuple[str, ...]
SAMPLES = 8  # of an example, that are recorded


@dataclass(frozen=True, slots=True)
class Seen:
    """What the module did. spikes: {neuron: (B, T, *shape)}. inputs, shapes: of every layer, without batch and time.

    answer: the shape of what it returned.
    """

    spikes: dict[str, np.ndarray]
    inputs: dict[str, tuple[int, ...]]
    shapes: dict[str, tuple[int, ...]]
    answer: tuple[int, ...]


def watch(model: nn.Module, traced: Traced, x: Tensor, timesteps: int, *, framed: bool) -> Seen:
    """Runs the module from rest on samples, in eval mode, and puts it back to rest.

    x: (B, ...), shown at every timestep, or (B, T, ...). UsageError where it runs other timesteps than are asked for.
    """
    import torch

    inputs: dict[str, tuple[int, ...]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    fired: dict[str, list[Tensor]] = {path: [] for path in traced.calls}

    def hook(path: str) -> Any:
        def seen(_module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
            value = out[0] if isinstance(out, tuple) else out
            axes = 2 if traced.whole else 1
            inputs.setdefault(path, tuple(next(iter((*given, *named.values()))).shape[axes:]))
            shapes.setdefault(path, tuple(value.shape[axes:]))
            if path in fired:
                fired[path].append(value.detach())

        return seen

    handles = [module.register_forward_hook(hook(path), with_kwargs=True) for path, module in traced.modules.items()]
    training = {module: module.training for module in model.modules()}
    rest(model)
    model.eval()
    try:
        with torch.no_grad():
            answer = _run(model, traced, x, timesteps, framed=framed)
    finally:
        for handle in handles:
            handle.remove()
        rest(model)
        for module, mode in training.items():
            module.training = mode
    spikes = {}
    for path, calls in fired.items():
        values = calls[0] if traced.whole else torch.stack(calls)
        if len(values) != timesteps:
            raise UsageError(
                f"timesteps {timesteps}: the module runs {path} for {len(values)}; give timesteps={len(values)}"
            )
        spikes[path] = values.transpose(0, 1).cpu().numpy()
    while isinstance(answer, list | tuple):
        answer = answer[0]
    return Seen(spikes, inputs, shapes, tuple(answer.shape))


def _run(model: nn.Module, traced: Traced, x: Tensor, timesteps: int, *, framed: bool) -> Any:
    """What the module returns, in its last call."""
    frames = x.transpose(0, 1) if framed else x.expand(timesteps, *x.shape)
    if traced.whole:
        return model(frames)
    if traced.loops:
        return model(frames.transpose(0, 1) if traced.indexed == 1 else frames if traced.indexed == 0 or framed else x)
    state: Any = None
    out: Any = None
    for frame in frames:
        if _takes_state(model):
            out, state = model(frame, state)
        else:
            out = model(frame)
    return out


def _takes_state(model: nn.Module) -> bool:
    """Whether it is (x, state) to (y, state), as norse has it."""
    import inspect

    return "state" in list(inspect.signature(model.forward).parameters)[1:2]


@dataclass(frozen=True, slots=True)
class Built:
    """graph: of nir. conventions: of every neuron, by its node. soft: whether they reset by subtraction."""

    graph: nir.NIRGraph
    conventions: dict[str, str]
    soft: bool


def build(traced: Traced, seen: Seen, shape: tuple[int, ...]) -> Built:
    """The graph of nir. shape: of a frame. UnsupportedError names the layer that has no counterpart."""
    import nir

    readers = Counter(source for sources in traced.feeds.values() for source in sources) + Counter(traced.output)
    nodes: dict[str, Any] = {INPUT: nir.Input({"input": np.array(shape)})}
    feeds: dict[str, tuple[str, ...]] = {}
    stands_for: dict[str, str] = {}
    shapes, neurons = {INPUT: shape, **seen.shapes}, dict[str, Neuron]()
    for path, sources in traced.feeds.items():
        if path not in traced.flat:
            _agree(path, {source: shapes[source] for source in sources}, seen.inputs[path])
        sources = tuple(stands_for.get(source, source) for source in sources)
        if path in traced.flat:
            shapes[path] = (int(np.prod(shapes[sources[0]])),)
            nodes[path] = _flatten(nir, shapes[sources[0]])
        elif is_neuron(traced.modules[path]):
            neurons[path] = neuron_of(path, traced.modules[path], seen.shapes[path])
            nodes[path] = neurons[path].node
        elif name_of(traced.modules[path]).startswith("BatchNorm"):
            if len(sources) != 1 or readers[sources[0]] != 1 or not hasattr(nodes[sources[0]], "weight"):
                raise UnsupportedError(
                    f"{path}: a batch norm folds into a Linear or Conv that it alone reads; place it so"
                )
            _fold(nodes, sources[0], path, traced.modules[path])
            stands_for[path] = sources[0]
            continue
        elif name_of(traced.modules[path]) == "MaxPool2d":
            _or(nodes, feeds, path, traced, sources, seen)
            continue
        else:
            nodes[path] = _layer(nir, path, traced.modules[path], seen.inputs[path])
        feeds[path] = sources
    output = tuple(stands_for.get(source, source) for source in traced.output)
    samples, timesteps = next(iter(seen.spikes.values())).shape[:2]
    answer = [samples, *shapes[traced.output[0]]]
    if traced.time is not None:
        answer.insert(traced.time % (len(answer) + 1), timesteps)
    if tuple(answer) != seen.answer:
        raise UnsupportedError(
            f"the module answers {seen.answer}, and {traced.output[0]} in the graph {tuple(answer)}; behind the last "
            "layer a graph only flattens and sums over timesteps: do the rest with its answers"
        )
    nodes[OUTPUT] = nir.Output({"output": np.array(shapes[traced.output[0]])})
    edges = [(source, path) for path, sources in (*feeds.items(), (OUTPUT, output)) for source in sources]
    softs = {neuron.soft for neuron in neurons.values()}
    if len(softs) > 1:
        raise UnsupportedError("some neurons reset to a value, others by subtraction; give all one kind of v_reset")
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    return Built(graph, {path: neuron.convention for path, neuron in neurons.items()}, softs == {True})


def _agree(path: str, given: dict[str, tuple[int, ...]], read: tuple[int, ...]) -> None:
    """UnsupportedError where a value was given another shape on its way to a layer."""
    for source, shape in given.items():
        if shape != read:
            raise UnsupportedError(
                f"{path} reads values of shape {read}, and {source} gives {shape} in the graph; reshape only to flatten"
            )


def _flatten(nir: Any, shape: tuple[int, ...]) -> Any:
    return nir.Flatten(start_dim=0, end_dim=-1, input_type={"input": np.array(shape)})


def _layer(nir: Any, path: str, module: Any, shape: tuple[int, ...]) -> Any:
    """A linear layer. shape: of its input."""
    kind = name_of(module)
    if kind == "Flatten":
        return _flatten(nir, shape)
    if kind == "AvgPool2d":
        if module.ceil_mode or module.divisor_override or (np.any(module.padding) and not module.count_include_pad):
            raise UnsupportedError(f"{path}: NIR's AvgPool2d counts the padding and rounds down; set it so")
        pair = [np.array(_pair(value)) for value in (module.kernel_size, module.stride, module.padding)]
        return nir.AvgPool2d(*pair)
    weight = _numbers(module.weight)
    bias = np.zeros(len(weight), np.float32) if module.bias is None else _numbers(module.bias)
    if kind == "Linear":
        return nir.Affine(weight, bias)
    if module.padding_mode != "zeros":
        raise UnsupportedError(f"{path}: padding_mode {module.padding_mode!r}; NIR pads with zeros")
    shared = {"weight": weight, "bias": bias, "groups": module.groups}
    if kind == "Conv1d":
        pad = module.padding if isinstance(module.padding, str) else module.padding[0]
        stride, dilation = module.stride[0], module.dilation[0]
        return nir.Conv1d(input_shape=shape[-1], stride=stride, padding=pad, dilation=dilation, **shared)
    return nir.Conv2d(
        input_shape=shape[-2:], stride=module.stride, padding=module.padding, dilation=module.dilation, **shared
    )


def _fold(nodes: dict[str, Any], into: str, path: str, norm: Any) -> None:
    """A batch norm in eval mode, into the layer before it."""
    if norm.running_mean is None or norm.running_var is None:
        raise UnsupportedError(f"{path}: track_running_stats=False norms by each batch; train it with True")
    node = nodes[into]
    gamma = 1.0 if norm.weight is None else _numbers(norm.weight).astype(np.float64)
    beta = 0.0 if norm.bias is None else _numbers(norm.bias).astype(np.float64)
    scale = gamma / np.sqrt(_numbers(norm.running_var).astype(np.float64) + norm.eps)
    weight = node.weight * scale.reshape(-1, *[1] * (node.weight.ndim - 1))
    bias = (node.bias - _numbers(norm.running_mean)) * scale + beta
    node.weight, node.bias = weight.astype(np.float32), bias.astype(np.float32)


def _or(
    nodes: dict[str, Any], feeds: dict[str, tuple[str, ...]], path: str, traced: Traced, sources: Sources, seen: Seen
) -> None:
    """A max-pool of spikes: how many there are in a window, and whether there is one."""
    import nir

    module: Any = traced.modules[path]
    if len(sources) != 1 or sources[0] not in traced.calls:
        raise UnsupportedError(
            f"{path}: a max over currents has no counterpart on a chip; put MaxPool2d behind the neurons, or average"
        )
    if module.ceil_mode or _pair(module.dilation) != (1, 1):
        raise UnsupportedError(f"{path}: MaxPool2d with ceil_mode or dilation; leave these out")
    window = [np.array(_pair(value)) for value in (module.kernel_size, module.stride, module.padding)]
    nodes[f"{path}_sum"] = nir.SumPool2d(*window)
    nodes[path] = nir.Threshold(np.full(seen.shapes[path], 0.5, np.float32))
    feeds[f"{path}_sum"], feeds[path] = sources, (f"{path}_sum",)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _numbers(tensor: Any) -> np.ndarray:
    found: np.ndarray = tensor.detach().cpu().numpy().astype(np.float32)
    return found
