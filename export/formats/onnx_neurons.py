"""A neuron's timestep in ONNX's operators: every kind of neuron, in every convention that a graph may have.

The equations and their order are the interpreter's (``executors/interpreter.py``), so that float64 gives its spikes.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from snnas.export.dialects.conventions import Convention, decay_of
from snnas.export.graph.graph import SPIKING, CubaLi, CubaLif, I, If, Integrating, Li, Lif, Spiking, Threshold


class Step(Protocol):
    """What a neuron's operators are written into; names of tensors go in and out."""

    def add(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str: ...
    def constant(self, name: str, value: Any) -> str: ...
    def state(self, name: str, shape: tuple[int, ...]) -> str: ...
    def out(self, name: str, shape: tuple[int, ...]) -> None: ...


def add_neuron(step: Step, name: str, node: Spiking | Integrating, x: str, convention: Convention) -> str:
    """The node's spikes, ``<name>_z``, or what it holds; x: its input."""
    return _Neuron(step, name, node, convention).after(x)


class _Neuron:
    def __init__(self, step: Step, name: str, node: Spiking | Integrating, convention: Convention) -> None:
        self.step, self.name, self.node, self.convention = step, name, node, convention

    def after(self, x: str) -> str:
        if isinstance(self.node, Threshold):
            fired = self._above(x, self.node.threshold)
            return self._spikes(fired, x)
        v = self._membrane(x)
        if isinstance(self.node, SPIKING):
            return self._fire(v)
        self.step.add("Identity", [v], f"{self.name}_v_next")
        return v

    def _constant(self, key: str, value: np.ndarray) -> str:
        return self.step.constant(f"{self.name}_{key}", narrow(value))

    def _state(self, key: str) -> str:
        self.step.out(f"{self.name}_{key}_next", self.node.shape)
        return self.step.state(f"{self.name}_{key}", self.node.shape)

    def _membrane(self, x: str) -> str:
        """V with its leak and its input, before anything is reset."""
        node, add = self.node, self.step.add
        assert not isinstance(node, Threshold)
        r = node.r.astype(np.float64)
        if isinstance(node, CubaLif | CubaLi):
            x = self._current(node, x)
        if isinstance(node, If | I):
            pushed = add("Mul", [self._constant("gain", self.convention.dt * r), x], f"{self.name}_push")
            return add("Add", [self._state("v"), pushed], f"{self.name}_u")
        v = self._state("v")
        away = add("Sub", [self._constant("leak", node.v_leak), v], f"{self.name}_away")
        gap = add("Add", [away, add("Mul", [self._constant("r", r), x], f"{self.name}_driven")], f"{self.name}_gap")
        tau = node.tau if isinstance(node, Lif | Li) else node.tau_mem
        change = add("Mul", [self._constant("decay", decay_of(tau, self.convention)), gap], f"{self.name}_change")
        return add("Add", [v, change], f"{self.name}_u")

    def _current(self, node: CubaLif | CubaLi, x: str) -> str:
        """The synaptic current that the membrane sees."""
        add, before = self.step.add, self._state("i")
        driven = add("Mul", [self._constant("w_in", node.w_in), x], f"{self.name}_in")
        gap = add("Sub", [driven, before], f"{self.name}_i_gap")
        share = self._constant("i_decay", decay_of(node.tau_syn, self.convention))
        change = add("Mul", [share, gap], f"{self.name}_i_change")
        now = add("Add", [before, change], f"{self.name}_i_next")
        return before if self.convention.current == "late" else now

    def _fire(self, v: str) -> str:
        node, add, name = self.node, self.step.add, self.name
        assert isinstance(node, Lif | If | CubaLif)
        reset = self.convention.reset
        if reset == "late":
            v = add("Sub", [v, self._state("owed")], f"{name}_left")
        fired = self._above(v, node.v_threshold)
        z = self._spikes(fired, v)
        if reset == "zero":
            add("Where", [fired, self._constant("reset", node.v_reset), v], f"{name}_v_next")
            return z
        taken = add("Mul", [z, f"{name}_threshold"], f"{name}_taken" if reset == "subtract" else f"{name}_owed_next")
        if reset == "subtract":
            add("Sub", [v, taken], f"{name}_v_next")
        else:
            add("Identity", [v], f"{name}_v_next")
        return z

    def _above(self, v: str, threshold: np.ndarray) -> str:
        op = "Greater" if self.convention.compare == ">" else "GreaterOrEqual"
        return self.step.add(op, [v, self._constant("threshold", threshold)], f"{self.name}_fired")

    def _spikes(self, fired: str, like: str) -> str:
        self.step.out(f"{self.name}_z", self.node.shape)
        return self.step.add("CastLike", [fired, like], f"{self.name}_z")


def narrow(value: np.ndarray) -> np.ndarray:
    """One number where all neurons share it; an axis for the batch where not."""
    first = value.reshape(-1)[:1]
    return first.reshape(()) if bool((value == first).all()) else value[None]
