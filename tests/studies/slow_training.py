"""Trains the networks of ``slow_networks`` through their timesteps, by a surrogate of the spike's derivative.

Forward it is the graph's own arithmetic (Euler, the membrane sees the current of its timestep, reset to zero), in
float32. Backward a spike has ATan's derivative on v in units of the threshold, and the reset none. Samples are drawn
anew for every step, so none is seen twice. Thresholds and time constants stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from snnas.export.dialects.conventions import DT
from snnas.export.graph.graph import CubaLif, Graph, Linear

SHARE = 0.03  # of a layer's root mean square weight: its learning rate
SHARPNESS = 10.0  # of the logits; a fitted readout gives about 0 to 1
MOST_ACTIVE = 0.1  # beyond it activity costs
Batch = Callable[[], tuple[np.ndarray, np.ndarray]]


class _Spike(torch.autograd.Function):
    """1 where x > 0; backward ATan's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad / (1 + (torch.pi * x).square())


def fired(currents: Tensor, node: CubaLif) -> Tensor:
    """(B, T, N) currents through a population whose neurons are alike -> its spikes, 0 or 1."""
    syn, mem, gain, w_in, threshold = (
        float(v.reshape(-1)[0]) for v in (DT / node.tau_syn, DT / node.tau_mem, node.r, node.w_in, node.v_threshold)
    )
    u = v = torch.zeros_like(currents[:, 0])
    found = []
    for now in currents.unbind(1):
        u = u + syn * (w_in * now - u)
        v = v + mem * (gain * u - v)
        spike: Tensor = _Spike.apply(v / threshold - 1)
        v = v * (1 - spike.detach())
        found.append(spike)
    return torch.stack(found, dim=1)


def logits(graph: Graph, weights: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """x: (B, T, channels). The readout's sum over the timesteps, (B, classes), and the share of each population."""
    rates, out = [], graph.nodes["out"]
    for name in (n for n, node in graph.nodes.items() if isinstance(node, CubaLif)):
        node = graph.nodes[name]
        assert isinstance(node, CubaLif)
        x = fired(functional.linear(x, weights[f"w{name.removeprefix('n')}"]), node)
        rates.append(x.mean())
    assert isinstance(out, Linear)
    assert out.bias is not None
    bias = torch.from_numpy(out.bias) * x.shape[1]
    return functional.linear(x.sum(dim=1), weights["out"], bias), rates


def trained(graph: Graph, batch: Batch, steps: int, advance: Callable[[int, int], None]) -> Graph:
    """The graph with all its weights trained. batch: gives spikes bool (B, T, channels) and labels (B,)."""
    weights = {n: torch.tensor(node.weight) for n, node in graph.nodes.items() if isinstance(node, Linear)}
    rates = {n: SHARE * float(w.square().mean().sqrt()) for n, w in weights.items()}
    groups = [{"params": [w.requires_grad_()], "lr": rates[n]} for n, w in weights.items()]
    optimiser = torch.optim.Adam(groups)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for done in range(steps):
        x, labels = batch()
        made, activity = logits(graph, weights, torch.from_numpy(x.astype(np.float32)))
        loss = functional.cross_entropy(SHARPNESS * made, torch.from_numpy(labels))
        loss = loss + sum(functional.relu(rate - MOST_ACTIVE) for rate in activity) * 100
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        falling.step()
        advance(done + 1, steps)
    learnt = {n: w.detach().numpy() for n, w in weights.items()}
    nodes = {
        n: replace(node, weight=learnt[n]) if isinstance(node, Linear) else node for n, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)
