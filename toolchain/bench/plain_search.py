"""The lean straightforward loop that ``snnas bench search`` compares with: one candidate after the other.

What the published search does, without its faults: neurons and convolutions are called once per timestep, every
operation that starts with a neuron has its own LIF, every LIF a kernel of one matrix product per timestep, hooks do not
pile up, batches are not reloaded, states are reset, the stem runs once. The network is the supernet's: same weights,
same batch, BN by the statistics of the batch (over all timesteps where a cell is feed-forward, of one step where it is
recurrent), so that both give equal scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from snnas.search.scoring.supernet import Choices, Supernet

Steps = list["Tensor"]


class SearchLoop:
    """The candidates of ``supernet``, scored on the batch ``x`` (B, C, H, W), constant in time."""

    def __init__(self, supernet: Supernet, x: Tensor) -> None:
        self.weights: Mapping[str, Tensor] = {name: value.detach() for name, value in supernet.named_parameters()}
        self.config, self.x = supernet.config, x
        self.lifs: dict[str, Any] = {}
        self.trains: dict[str, Steps] = {}

    def score(self, choices: Choices) -> float:
        """Return log |det K|, K summed over every LIF and timestep (LightSNN equations 1 and 2)."""
        import torch

        from snnas.search.scoring.supernet import remaining

        ops = [(edge, op) for edge, names in remaining(choices).items() for op in names]
        for lif in self.lifs.values():
            lif.reset()
        self.trains = {}
        with torch.no_grad():
            current = self.norm("stem_bn", [self.conv("stem_conv", self.x)]) * self.config.timesteps
            for cell in range(1, self.config.cells + 1):
                if any(i > j for (i, j), _ in ops):
                    current = self.recurrent_cell(cell, ops, current)
                else:
                    current = self.cell(cell, ops, current)
                current = self.reduction(cell, current)
            for step in current:
                self.fire("head_lif", torch.nn.functional.linear(step.flatten(1), self.weights["head_fc1.weight"]))
            kernel = sum(_kernel(torch.stack(train)) for train in self.trains.values())
            sign, value = torch.linalg.slogdet(kernel)
        return float(value) if float(sign) else -math.inf

    def cell(self, number: int, ops: list[tuple[tuple[int, int], str]], inputs: Steps) -> Steps:
        """Run a feed-forward cell, operation by operation, each over its timesteps."""
        values: dict[int, Steps] = {0: inputs}
        for node in (1, 2, 3):
            for edge, op in ops:
                if edge[1] == node:
                    out = self.operation(number, edge, op, values[edge[0]])
                    values[node] = [a + b for a, b in zip(values[node], out, strict=True)] if node in values else out
        return values[3]

    def recurrent_cell(self, number: int, ops: list[tuple[tuple[int, int], str]], inputs: Steps) -> Steps:
        """Run a cell timestep by timestep; a backward operation reads the spikes of the step before."""
        import torch

        outputs: Steps = []
        delayed: dict[tuple[tuple[int, int], str], Tensor] = {}
        for current in inputs:
            values: dict[int, Tensor] = {0: current}
            for node in range(4):
                for edge, op in ops:
                    if edge[1] != node:
                        continue
                    if edge[0] < node:
                        out = self.operation(number, edge, op, [values[edge[0]]])[0]
                    else:
                        spikes = delayed.get((edge, op), torch.zeros_like(current))
                        out = self.transform(number, edge, op, [spikes])[0]
                    values[node] = values[node] + out if node in values else out
            for edge, op in ops:
                if edge[0] > edge[1]:
                    delayed[edge, op] = self.fire(self.name(number, edge, op, "lif"), values[edge[0]])
            outputs.append(values[3])
        return outputs

    def operation(self, number: int, edge: tuple[int, int], op: str, inputs: Steps) -> Steps:
        """Run a forward operation: a convolution starts with its own LIF."""
        if op.startswith("conv"):
            inputs = [self.fire(self.name(number, edge, op, "lif"), step) for step in inputs]
        return self.transform(number, edge, op, inputs)

    def transform(self, number: int, edge: tuple[int, int], op: str, inputs: Steps) -> Steps:
        """Apply the linear part of an operation."""
        import torch

        if op == "skip":
            return inputs
        if op == "avgpool3x3":
            return [torch.nn.functional.avg_pool2d(step, 3, stride=1, padding=1) for step in inputs]
        outputs = [self.conv(self.name(number, edge, op, "conv"), step) for step in inputs]
        return self.norm(self.name(number, edge, op, "bn"), outputs)

    def reduction(self, number: int, inputs: Steps) -> Steps:
        """Run BN, LIF and pooling, and before the last cell the convolution that doubles the channels."""
        import torch

        fired = [self.fire(f"red{number}_lif", step) for step in self.norm(f"red{number}_bn", inputs)]
        pool: Callable[..., Tensor] = torch.nn.functional.max_pool2d
        if self.config.reduction == "average":
            pool = torch.nn.functional.avg_pool2d
        if number == self.config.cells:
            return [pool(step, 2) for step in fired]
        if self.config.reduction == "max":
            fired = [pool(step, 2) for step in fired]
        out = self.norm(f"red{number}_bn2", [self.conv(f"red{number}_conv", step) for step in fired])
        return out if self.config.reduction == "max" else [pool(step, 2) for step in out]

    def name(self, number: int, edge: tuple[int, int], op: str, kind: str) -> str:
        """Return the supernet's name of a layer; a LIF belongs to its operation."""
        direction = "e" if edge[0] < edge[1] else "b"
        suffix = op if kind == "lif" else "1x1" if op == "conv1x1" else ""
        return f"cell{number}_{direction}{edge[0]}{edge[1]}_{kind}{suffix}"

    def conv(self, name: str, x: Tensor) -> Tensor:
        """Apply the convolution ``name`` to (B, C, H, W)."""
        import torch

        weight = self.weights[f"{name}.weight"]
        return torch.nn.functional.conv2d(x, weight, padding=weight.shape[2] // 2)

    def norm(self, name: str, steps: Steps) -> Steps:
        """Normalise by the statistics of the batch and the given timesteps."""
        import torch

        gain, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        joined = steps[0] if len(steps) == 1 else torch.cat(steps)
        out = torch.nn.functional.batch_norm(joined, None, None, gain, shift, training=True)
        return list(out.reshape(len(steps), -1, *out.shape[1:]).unbind(0))

    def fire(self, name: str, current: Tensor) -> Tensor:
        """Run one timestep of the LIF ``name``, and keep its spikes for the kernel."""
        if name not in self.lifs:
            from spikingjelly.activation_based import neuron, surrogate

            self.lifs[name] = neuron.LIFNode(
                tau=float(self.config.tau),
                decay_input=True,
                v_threshold=float(self.config.threshold),
                v_reset=0.0,
                surrogate_function=surrogate.ATan(),  # type: ignore[no-untyped-call,unused-ignore]
                detach_reset=True,
            )
        spikes: Tensor = self.lifs[name](current)
        self.trains.setdefault(name, []).append(spikes)
        return spikes


def _kernel(train: Tensor) -> Tensor:
    """Return the kernel (B, B), float64, of one LIF, summed over timesteps; train: 0/1 (T, B, ...)."""
    import torch

    codes = train.flatten(2)
    neurons = codes.shape[2]
    common = (codes @ codes.transpose(1, 2)).double()
    count = common.diagonal(dim1=1, dim2=2)
    hamming = count[:, :, None] + count[:, None, :] - 2 * common
    rate = count / neurons
    expected = neurons * (rate[:, :, None] * (1 - rate[:, None, :]) + (1 - rate[:, :, None]) * rate[:, None, :])
    return (neurons - neurons / 2 * hamming / torch.where(expected > 0, expected, 1.0)).sum(0)
