"""A network's layer list before it is folded: what is live, what is one population, and every layer's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import window_count

Layer = dict[str, Any]


def live(layers: Sequence[Layer]) -> list[Layer]:
    """The layers from which a way leads to the output; the rest would be neurons that nobody reads."""
    inputs = {layer["name"]: layer.get("inputs", ()) for layer in layers}
    pending = [layer["name"] for layer in layers if layer["op"] in ("input", "output")]
    live = set(pending)
    while pending:
        found = [n for n in inputs.get(pending.pop(), ()) if n not in live]
        live.update(found)
        pending += found
    return [layer for layer in layers if layer["name"] in live]


def merged_layers(layers: Sequence[Layer]) -> tuple[dict[str, Layer], dict[str, str]]:
    """LIFs that read the same values with the same parameters are one population: the layers without the rest.

    Also {the name of a LIF that is gone: the one that stands for it}.
    """
    gone: dict[str, str] = {}
    left = {layer["name"]: dict(layer) for layer in layers}
    merged = True
    while merged:
        merged = False
        first = dict[tuple[Any, ...], str]()
        for name, layer in list(left.items()):
            inputs: list[str] = [str(gone.get(n, n)) for n in layer.get("inputs", ())]
            layer["inputs"] = inputs
            if layer["op"] != "lif":
                continue
            key = (
                layer["tau"],
                layer["threshold"],
                layer.get("reset"),
                layer.get("decay_input", True),
                *sorted(inputs),
            )
            if first.setdefault(key, name) != name:
                gone[name] = first[key]
                del left[name]
                merged = True
    return left, gone


def shapes_of(layers: dict[str, Layer]) -> dict[str, tuple[int, int, int]]:
    """Every layer's output shape. Cycles are no obstacle: any input whose shape is known tells it."""
    shapes: dict[str, tuple[int, int, int]] = {}
    found = True
    while found:
        found = False
        for name, layer in layers.items():
            if name not in shapes and (layer["op"] == "input" or any(n in shapes for n in layer["inputs"])):
                known = next((shapes[n] for n in layer.get("inputs", ()) if n in shapes), None)
                shapes[name] = _layer_shape(layer, known)
                found = True
    for name in layers:
        if name not in shapes:
            raise UsageError(f"layer {name} is not connected to the input")
    return shapes


def _layer_shape(layer: Layer, shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
    if shape is None:
        return shape3(layer["shape"])
    match layer["op"]:
        case "conv":
            o, _, kh, kw = layer["weight"].shape
            return (o, *_pooled(shape, (kh, kw), pair(layer["stride"]), pair(layer["pad"]))[1:])
        case "linear":
            return len(layer["weight"]), 1, 1
        case "vote":
            return shape[0] // int(layer["group"]), 1, 1
        case "maxpool" | "avgpool":
            return _pooled(shape, pair(layer["kernel"]), pair(layer["stride"]), pair(layer["pad"]))
    return shape


def _pooled(
    shape: tuple[int, int, int], kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
) -> tuple[int, int, int]:
    return (
        shape[0],
        window_count(shape[1], kernel[0], stride[0], pad[0]),
        window_count(shape[2], kernel[1], stride[1], pad[1]),
    )


def pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1]))


def shape3(value: Any) -> tuple[int, int, int]:
    c, h, w = (int(n) for n in value)
    return c, h, w
