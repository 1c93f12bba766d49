"""Runs a model that ``onnx_file`` wrote in onnxruntime, one timestep after the other, state fed back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.dialects import conventions
from snnas.export.executors.interpreter import fitted
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError

BATCH = 128
MAX_TIMESTEPS = 1 << 16
MAX_VALUES = 1 << 26  # of one input or state of one sample


class OnnxModel:
    """A model.onnx on one CPU thread, unoptimised: what is compared should not depend on a machine's fusions.

    Raises UnsupportedError where onnxruntime is missing, InvalidFileError where it cannot load the file or the file's
    metadata do not say what feeds what.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UnsupportedError(
                "running ONNX needs the package onnxruntime; install snnas with the extra [onnx]"
            ) from None
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        onnxruntime.set_default_logger_severity(4)  # what a session has not begun to say, too
        expected = "expected a model.onnx as snnas export --target onnx writes it"
        try:
            # The fallback of the Python wrapper prints on stdout.
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime has a type of its own for every way to fail
            raise InvalidFileError(f"{path} cannot be loaded ({_line(error)}), {expected}") from None
        self.path = path
        try:
            self.about: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[conventions.KEY])
            self.timesteps = int(self.about["timesteps"])
            self._dtype = np.dtype(str(self.about["precision"]))
            self._shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in self._session.get_inputs()}
            self._next = {str(pair["input"]): str(pair["output"]) for pair in self.about["state"]}
            self.spikes = [str(name) for name in self.about["spikes"]]
            self.read = str(self.about["read"])
            if self.read not in ("sum", "last", "max"):
                raise ValueError(f"read {self.read[:40]!r}")
            self._outputs = [tensor.name for tensor in self._session.get_outputs()]
            whole = {"x", *self._next} == set(self._shapes) and {"y", *self._next.values(), *self.spikes} <= set(
                self._outputs
            )
            if not (0 < self.timesteps <= MAX_TIMESTEPS and self._dtype.kind == "f"):
                raise ValueError(f"{self.timesteps} timesteps of {self._dtype}")
            if not all(map(_small, self._shapes.values())):
                raise ValueError("an input is too large, or leaves an extent open")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise InvalidFileError(f"{path}: its metadata cannot be used ({_line(error)}), {expected}") from None
        if not whole:
            raise InvalidFileError(f"{path}: its metadata name inputs or outputs that it does not have, {expected}")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample, or of one of its frames."""
        return self._shapes["x"]

    def run(self, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """x: (B, C, H, W), constant in time, or (B, T, C, H, W).

        Returns the spikes {neuron's name: bool (B, T, *shape)} and the answers, float64 (B, classes): the output's sum
        over time, its last or its largest value, as the model says.
        InvalidFileError where the model cannot be run.
        """
        try:
            x = fitted(x, self._shapes["x"])
            parts = [self._run(x[k : k + BATCH]) for k in range(0, len(x), BATCH)]
        except Exception as error:  # as above: the file loads, and cannot be run
            raise InvalidFileError(f"{self.path} cannot be run ({_line(error)})") from None
        names = parts[0][0]
        return {n: np.concatenate([p[0][n] for p in parts]) for n in names}, np.concatenate([p[1] for p in parts])

    def _run(self, x: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        static = x.ndim == 1 + len(self._shapes["x"])
        state = {name: np.zeros((len(x), *self._shapes[name]), self._dtype) for name in self._next}
        spikes: dict[str, list[np.ndarray]] = {name: [] for name in self.spikes}
        total: np.ndarray | None = None
        for t in range(self.timesteps):
            frame = (x if static else x[:, t]).astype(self._dtype)
            ran = self._session.run(None, {"x": frame, **state})
            step = {name: np.asarray(value) for name, value in zip(self._outputs, ran, strict=True)}
            state = {name: step[after] for name, after in self._next.items()}
            y = step["y"].astype(np.float64)
            if total is None or self.read == "last":
                total = y
            else:
                total = total + y if self.read == "sum" else np.maximum(total, y)
            for name, found in spikes.items():
                found.append(step[name] > 0)
        assert total is not None, "at least one timestep"
        return {name.removesuffix("_z"): np.stack(found, axis=1) for name, found in spikes.items()}, total


def _small(shape: tuple[Any, ...]) -> bool:
    """Whether it can be fed; an extent that the file leaves open is None or a name in onnxruntime."""
    return all(type(n) is int and n > 0 for n in shape) and math.prod(shape) <= MAX_VALUES


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
