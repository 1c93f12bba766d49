"""The straightforward training loop that ``snnas bench train`` compares with: one timestep after the other.

What the papers' releases do, without their faults: the whole network is called once per timestep with its stem, every
operation that starts with a neuron has its own single-step LIF (spikingjelly), autograd records every step, the loss
is read after every batch, states are reset. The network is the one that it is given: same weights, same batch. BN sees
one timestep at a time, so that in training its statistics differ from a network's that folds T into the batch; with
running statistics (eval mode) both give equal losses.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn

from snnas.search.network.genotype import Edge
from snnas.search.network.layers import op_layer, reduction_parts
from snnas.search.network.network import Network


class TrainLoop(nn.Module):
    """``network`` as a step-by-step module; it starts with copies of its weights and running statistics."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.config, self.cells = network.config, network.cells
        for name, layer in network.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                norm = nn.BatchNorm2d(layer.num_features)
                norm.load_state_dict(layer.state_dict())
                self.add_module(name, norm)
            elif isinstance(layer, nn.Conv2d | nn.Linear | nn.MaxPool2d | nn.AvgPool2d | nn.Dropout):
                self.add_module(name, copy.deepcopy(layer))
        for number, ops in enumerate(self.cells, start=1):
            for edge, (op,) in ops.items():
                if edge[0] > edge[1] or op.startswith("conv"):
                    self._lif(op_layer(number, edge, op, "lif"))
            self._lif(f"red{number}_lif")
        self._lif("head_lif")

    def _lif(self, name: str) -> None:
        lif: Any = neuron.LIFNode(
            tau=float(self.config.tau),
            v_threshold=float(self.config.threshold),
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
            step_mode="s",
        )
        self.add_module(name, lif)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) for x (B, C, H, W), constant in time, or (B, T, C, H, W)."""
        functional.reset_net(self)
        total: Tensor | None = None
        delayed: list[dict[Edge, Tensor]] = [{} for _ in self.cells]
        for step in range(self.config.timesteps):
            current = self._through(x[:, step] if x.dim() == 5 else x, "stem_conv", "stem_bn")
            for number, ops in enumerate(self.cells, start=1):
                current = self._cell(number, ops, current, delayed[number - 1])
                parts = ("bn", "lif", *reduction_parts(number, self.config))
                current = self._through(current, *(f"red{number}_{part}" for part in parts))
            out = self._through(current.flatten(1), "head_drop", "head_fc1", "head_lif", "head_fc2")
            total = out if total is None else total + out
        assert total is not None
        return (total / self.config.timesteps).reshape(len(x), self.config.classes, -1).mean(2)

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x

    def _cell(self, number: int, ops: Mapping[Edge, tuple[str, ...]], x: Tensor, delayed: dict[Edge, Tensor]) -> Tensor:
        """Run a cell for one timestep; ``delayed`` holds the spikes that backward operations read, and is renewed."""
        values = {0: x}
        for node in range(4):
            for edge, (op,) in ops.items():
                if edge[1] != node:
                    continue
                if edge[0] > node:
                    out = self._linear(number, edge, op, delayed.get(edge, torch.zeros_like(x)))
                elif op.startswith("conv"):
                    fired = self._through(values[edge[0]], op_layer(number, edge, op, "lif"))
                    out = self._linear(number, edge, op, fired)
                else:
                    out = self._linear(number, edge, op, values[edge[0]])
                values[node] = values[node] + out if node in values else out
        for edge, (op,) in ops.items():
            if edge[0] > edge[1]:
                delayed[edge] = self._through(values[edge[0]], op_layer(number, edge, op, "lif"))
        return values[3]

    def _linear(self, number: int, edge: Edge, op: str, x: Tensor) -> Tensor:
        if op == "skip":
            return x
        if op == "avgpool3x3":
            return nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
        return self._through(x, *(op_layer(number, edge, op, kind) for kind in ("conv", "bn")))


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """Take one step on a batch and return its loss."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()
