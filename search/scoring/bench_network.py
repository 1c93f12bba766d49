"""The networks of SpikeNAS-Bench (IEEE TAI 6(6), 2025) from their six digits, at any width, for scoring only.

Cell: nodes 0 (input) .. 3 (output), a node's value is the sum of its incoming edges, both cells alike. Digits in the
order of ``FORWARD_EDGES``; 0 zero, 1 identity, 2 / 3 / 4 LIF of threshold 0.5 / 1 / 1.5 - conv 3x3 - BN. Skeleton:
conv - BN, cell, BN - LIF - conv - BN - average pool, cell, BN - LIF - average pool, linear - LIF - linear, vote, mean
over T. LIF: tau 4/3, decay_input, hard reset to 0, ATan surrogate, detached reset.

The table was made with 128 channels and 1024 hidden neurons. The head's first linear is scaled so that its LIF fires
(see ``HEAD_INPUT_POWER``): at torch's default it is silent, and no gradient of an untrained network would say anything.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnas.hw_sim.errors import UsageError
from snnas.search.network.genotype import FORWARD_EDGES, Edge, live_edges
from snnas.search.network.network import HEAD_INPUT_POWER
from snnas.search.scoring.proxies import ascending_length, longest_path

THRESHOLDS = {2: 0.5, 3: 1.0, 4: 1.5}
TAU = 4 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSizes:
    """Widths of a bench network: input (C, H, W), channels of the first cell, hidden neurons, outputs per class, T."""

    input_shape: tuple[int, int, int] = (3, 32, 32)
    channels: int = 16
    hidden: int = 128
    classes: int = 10
    votes: int = 10
    timesteps: int = 5


@dataclass(frozen=True, slots=True)
class Tap:
    """A LIF that was run: the current into it and its spikes, both (T, B, ...); by edge or skeleton name."""

    current: Tensor
    spikes: Tensor


def parse_ops(digits: str) -> dict[Edge, int]:
    """Return the live edges of an architecture and their digits; empty where input and output are not connected."""
    if len(digits) != len(FORWARD_EDGES) or not set(digits) <= set("01234"):
        raise UsageError(f"architecture {digits[:20]!r}, expected six digits 0 to 4: one per edge of the cell")
    ops = {edge: int(digit) for edge, digit in zip(FORWARD_EDGES, digits, strict=True) if digit != "0"}
    keep = live_edges(ops)
    return {edge: op for edge, op in ops.items() if edge in keep}


class BenchNetwork(nn.Module):
    """One architecture; edges that are on no path are not built. BN has no gains and uses the batch's statistics.

    A layer's weights depend on the seed and its place alone, so architectures share what they have in common.
    Raises UsageError where no path leads from input to output.
    """

    def __init__(self, digits: str, sizes: BenchSizes, *, seed: int) -> None:
        super().__init__()
        self.ops = parse_ops(digits)
        if not self.ops:
            raise UsageError(f"architecture {digits} has no path from node 0 to node 3")
        self.sizes, self._seed = sizes, seed
        width = sizes.channels
        self.layer_weights = nn.ParameterDict()
        self._conv("stem", sizes.input_shape[0], width)
        for cell in (1, 2):
            for edge, op in self.ops.items():
                if op in THRESHOLDS:
                    self._conv(_name(cell, edge), width * cell, width * cell)
        self._conv("red1", width, 2 * width)
        _, height, breadth = sizes.input_shape
        features = 2 * width * (height // 4) * (breadth // 4)
        self._draw("fc1", (sizes.hidden, features), 1 / math.sqrt(HEAD_INPUT_POWER["average"] * features))
        self._draw("fc2", (sizes.classes * sizes.votes, sizes.hidden), 1 / math.sqrt(3 * sizes.hidden))

    def _conv(self, name: str, inputs: int, outputs: int) -> None:
        self._draw(name, (outputs, inputs, 3, 3), math.sqrt(2 / (9 * inputs)))

    def _draw(self, name: str, shape: tuple[int, ...], std: float) -> None:
        digest = hashlib.sha256(f"{self._seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        self.layer_weights[name] = nn.Parameter(std * torch.randn(shape, generator=generator))

    def forward(self, x: Tensor, taps: dict[str, Tap] | None = None) -> Tensor:
        """Return logits (B, classes) of images (B, C, H, W), held for T steps. ``taps`` gets every LIF by name.

        LIFs of one node and threshold are one neuron: computed once, named once per edge, as the release counts them.
        """
        steps = self.sizes.timesteps
        record = (lambda name, tap: taps.update({name: tap})) if taps is not None else None
        current = self._bn_conv("stem", x[None]).expand(steps, -1, -1, -1, -1)
        for cell in (1, 2):
            current = self._cell(cell, current, record)
            spikes = _tapped(f"red{cell}", _normalise(current), 1.0, record)
            current = F.avg_pool2d((self._bn_conv("red1", spikes) if cell == 1 else spikes).flatten(0, 1), 2)
            current = current.reshape(steps, -1, *current.shape[1:])
        hidden = _tapped("head", F.linear(current.flatten(2), self.layer_weights["fc1"]), 1.0, record)
        out = F.linear(hidden.mean(0), self.layer_weights["fc2"])
        return out.reshape(-1, self.sizes.classes, self.sizes.votes).mean(2)

    def _bn_conv(self, name: str, x: Tensor) -> Tensor:
        folded = F.conv2d(x.flatten(0, 1), self.layer_weights[name], padding=1)
        return _normalise(folded.reshape(*x.shape[:2], *folded.shape[1:]))

    def _cell(self, cell: int, x: Tensor, record: Callable[[str, Tap], None] | None) -> Tensor:
        values = {0: x}
        taps: dict[tuple[int, int], Tap] = {}
        # In the order of FORWARD_EDGES sorted by target, every source is complete before it is read.
        for edge, op in sorted(self.ops.items(), key=lambda item: (item[0][1], item[0][0])):
            source, target = edge
            term = values[source]
            if op in THRESHOLDS:
                if (source, op) not in taps:
                    taps[source, op] = Tap(term, lif(term, THRESHOLDS[op]))
                if record is not None:
                    record(_name(cell, edge), taps[source, op])
                term = self._bn_conv(_name(cell, edge), taps[source, op].spikes)
            values[target] = values[target] + term if target in values else term
        return values[3]


def _name(cell: int, edge: Edge) -> str:
    return f"cell{cell}_e{edge[0]}{edge[1]}"


def _tapped(name: str, current: Tensor, threshold: float, record: Callable[[str, Tap], None] | None) -> Tensor:
    spikes = lif(current, threshold)
    if record is not None:
        record(name, Tap(current, spikes))
    return spikes


def _normalise(x: Tensor) -> Tensor:
    """Batch normalisation of (T, B, C, H, W) by its own statistics over (T, B, H, W)."""
    return F.batch_norm(x.flatten(0, 1), None, None, training=True).reshape(x.shape)


def lif(current: Tensor, threshold: float) -> Tensor:
    """Return the spikes (T, ...) of LIF neurons fed with ``current`` (T, ...), differentiable by the surrogate."""
    apply: Any = _Lif.apply
    spikes: Tensor = apply(current, threshold)
    return spikes


class _Lif(torch.autograd.Function):
    """All timesteps at once: one membrane tensor is kept for the backward pass instead of a graph per step."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, current: Tensor, threshold: float) -> Tensor:
        membrane = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        kept = torch.zeros_like(current[0])
        for step, x in enumerate(current):
            torch.lerp(kept, x, 1 / TAU, out=membrane[step])
            kept = membrane[step] * (membrane[step] < threshold)
        ctx.save_for_backward(membrane)
        ctx.threshold = threshold  # type: ignore[attr-defined]
        return (membrane >= threshold).to(current.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (membrane,) = ctx.saved_tensors  # type: ignore[attr-defined]
        threshold: float = ctx.threshold  # type: ignore[attr-defined]
        # ATan with alpha = 2: d spike / d membrane = 1 / (1 + (pi (v - threshold))^2).
        out = grads[0] / (1 + (math.pi * (membrane - threshold)) ** 2)
        later = torch.zeros_like(out[0])
        for step in range(len(out) - 1, -1, -1):
            # The reset is detached: where the neuron fired, nothing flows to the step before.
            out[step] += later * (1 - 1 / TAU) * (membrane[step] < threshold)
            later = out[step].clone()
        return out / TAU, None


def convs(digits: str) -> int:
    """Return the number of live LIF-convs of a cell."""
    return sum(op in THRESHOLDS for op in parse_ops(digits).values())


def ascending_depth(digits: str) -> float:
    """Return ``lif_depth`` with thresholds counted: low ones are worth more first, high ones last; -1 where no path.

    The largest sum over a cell's paths of ``ascending_length`` per LIF-conv. A rule without a network, with no draw.
    """
    ops = parse_ops(digits)
    lengths = {edge: ascending_length(edge, THRESHOLDS[op]) if op in THRESHOLDS else 0.0 for edge, op in ops.items()}
    return longest_path(lengths) if ops else -1.0


def lif_depth(digits: str) -> int:
    """Return the number of LIF-convs on the longest live path of a cell; -1 where there is none."""
    ops = parse_ops(digits)
    return int(longest_path({edge: float(op in THRESHOLDS) for edge, op in ops.items()})) if ops else -1
