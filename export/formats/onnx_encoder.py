"""The encoder of a program's signals as an ONNX step: values in, the spikes of one timestep out, state in and out.

What ``hw_sim/signals.py`` computes, in the same float32 operations and order, so that the spikes are the same on any
runtime. It goes before ``model.onnx``, which takes its output ``y`` as ``x``. Inputs ending with ``_next`` among the
outputs are state: zeros at first.

    delta     x (B, C), one sample of B signals. y (B, 2 C). State: reference, begun.
    level     x (B, C), one sample. y (B, K C).
    latency   x (B, C, 1, W), the same frame for S steps. y (B, C, 1, W). State: step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.signal_probes import probes
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.files import write_bytes
from snnas.hw_sim.signals import SignalInput, windows

OPSET, IR = 20, 10
CHECKED = 32  # signals that a written encoder is compared on


def write_encoder(path: Path, signal: SignalInput, channels: int) -> int:
    """Write the encoder to ``path`` and compare it with ``SignalInput.apply``; return how many spikes were compared.

    GateError where one differs; UnsupportedError where onnx or onnxruntime is missing.
    """
    write_bytes(path, encoder_bytes(signal, channels))
    x = probes(signal, channels, CHECKED)
    wanted = signal.apply(x)
    found = run_encoder(path, signal, x)
    differing = int((found != wanted).sum())
    if differing:
        raise GateError(
            f"{path.name}: {differing} of {wanted.size} spikes differ; this is a fault of ours, please report it"
        )
    return int(wanted.size)


def encoder_bytes(signal: SignalInput, channels: int) -> bytes:
    """What is written: the same bytes for the same encoder."""
    return bytes(build_encoder(signal, channels).SerializeToString(deterministic=True))


def build_encoder(signal: SignalInput, channels: int) -> Any:
    """Return the checked ``onnx.ModelProto``."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise UnsupportedError("ONNX needs the package onnx; install snnas with the extra [onnx]") from None
    nodes: list[Any] = []
    stored: list[Any] = []

    def constant(name: str, value: Any) -> str:
        stored.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def add(op: str, inputs: list[str], out: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def fired(name: str) -> str:
        return add("Cast", [name], f"{name}_spikes", to=TensorProto.FLOAT)

    states: list[tuple[str, tuple[int, ...]]] = []
    size = (channels, 1, signal.window) if signal.encoding == "latency" else (channels,)
    if signal.encoding == "delta":
        states = [("reference", size), ("begun", size)]
        threshold = constant("threshold", np.array(signal.thresholds))
        begun = add("Cast", ["begun"], "has_begun", to=TensorProto.BOOL)
        before = add("Where", [begun, "reference", "x"], "before")
        up = fired(add("GreaterOrEqual", [add("Sub", ["x", before], "above"), threshold], "up"))
        down = fired(add("GreaterOrEqual", [add("Sub", [before, "x"], "below"), threshold], "down"))
        add("Concat", [up, down], "y", axis=1)
        moved = add("Mul", [threshold, add("Sub", [up, down], "steps")], "moved")
        add("Add", [before, moved], "reference_next")
        add("Add", [add("Mul", ["begun", constant("zero", 0)], "none"), constant("one", 1)], "begun_next")
    elif signal.encoding == "level":
        reached = np.array(signal.reached)
        lines = [
            fired(add("GreaterOrEqual", ["x", constant(f"level{k}", reached[:, k])], f"reaches{k}"))
            for k in range(signal.levels)
        ]
        add("Concat", lines, "y", axis=1)
    elif signal.encoding == "latency":
        states = [("step", (1, 1, 1))]
        low, high = (np.array(signal.ends, np.float32)[:, k].reshape(channels, 1, 1) for k in (0, 1))
        beyond = add("Sub", ["x", constant("low", low)], "beyond")
        share = add("Div", [beyond, constant("span", high - low)], "of_span")
        share = add("Clip", [share, constant("zero", 0), constant("one", 1)], "share")
        late = add("Mul", [add("Sub", ["one", share], "rest"), constant("last", signal.steps - 1)], "late")
        when = add("Floor", [add("Add", [late, constant("half", 0.5)], "rounded")], "when")
        nodes.append(helper.make_node("Equal", [when, "step"], ["now"], name="now"))
        add("Cast", ["now"], "y", to=TensorProto.FLOAT)
        onward = add("Add", ["step", "one"], "onward")
        begins = add("Equal", [onward, constant("steps", signal.steps)], "begins")
        add("Where", [begins, "zero", onward], "step_next")
    else:
        raise UnsupportedError(f"encoder {signal.encoding!r}: values stay values; model.onnx takes them as they are")

    def tensor(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    inputs = [tensor("x", size), *(tensor(name, shape) for name, shape in states)]
    outputs = [tensor("y", (channels * signal.lines, *size[1:])), *(tensor(f"{n}_next", shape) for n, shape in states)]
    model = helper.make_model(
        helper.make_graph(nodes, "encoder", inputs, outputs, stored),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="snnas",
    )
    helper.set_model_props(model, {"signal": json.dumps(signal.to_json(), sort_keys=True)})
    checker.check_model(model, full_check=True)
    return model


def run_encoder(path: Path, signal: SignalInput, x: np.ndarray) -> np.ndarray:
    """Return what ``SignalInput.apply`` returns of signals (N, L, C), each timestep by onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        raise UnsupportedError("running ONNX needs onnxruntime; install snnas with the extra [onnx]") from None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    shapes = {value.name: tuple(value.shape) for value in session.get_inputs()}
    plain = SignalInput(
        window=signal.window if signal.encoding == "latency" else 0, hop=signal.hop, length=signal.length
    )
    frames = plain.apply(x)
    frames = frames if frames.ndim == 5 else frames[:, None]
    size = shapes["x"][1:]
    steps = np.repeat(frames.reshape(*frames.shape[:2], *size), signal.frame_steps, 1)
    state = {name: np.zeros((len(x), *shape[1:]), np.float32) for name, shape in shapes.items() if name != "x"}
    out = []
    for t in range(steps.shape[1]):
        made = dict(zip(names, session.run(names, {"x": steps[:, t], **state}), strict=True))
        out.append(np.asarray(made["y"], np.float32))
        state = {name: made[f"{name}_next"] for name in state}
    spikes = np.stack(out, axis=1).astype(np.uint8)
    if signal.encoding == "latency":
        return spikes
    if signal.window:
        return windows(spikes, signal.window, signal.stride)
    return spikes[..., None, None]
