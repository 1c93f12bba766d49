"""Every proxy on one network of SpikeNAS-Bench, from one forward and one backward pass; all higher for better.

``asc`` is a rule, without a network: how deep the cell is, low thresholds first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from snnas.search.network.genotype import Edge
from snnas.search.scoring.bench_network import (
    THRESHOLDS,
    BenchNetwork,
    BenchSizes,
    Tap,
    ascending_depth,
    convs,
    lif_depth,
)
from snnas.search.scoring.proxies import (
    LEAST_LEVELS,
    living_share,
    log_det,
    longest_path,
    rdm,
    sahd_kernel,
    temporal_code,
    time_shares,
    unit_log_det,
)

VERSION = 3  # counts up when a value changes: logs of another version are measured anew

# Score, by name, of plain baselines, and the proxy that has to beat them.
PLAIN = ("sahd_mean", "sahd_sum", "rdm", "convs", "lif_depth")
HEADLINE = "asc"
# Methods whose choice among the rows of a table is the best by a proxy.
METHODS: Mapping[str, str] = {
    "snasnet": "sahd_mean",
    "sahd_sum": "sahd_sum",
    "mse_nas": "rdm",
    "lif_depth": "lif_depth",
    "asc": HEADLINE,
}

MAX_LOG = 30.0  # stands in for the log of 0: no gradient, nothing alive


@dataclass(frozen=True, slots=True)
class Measured:
    """Values and seconds by proxy; what several share (passes, kernels) is counted with each of them."""

    values: dict[str, float]
    seconds: dict[str, float]


class Observation:
    """One network on one batch: spikes by LIF, kernels, gradients, each computed when first asked for."""

    def __init__(self, digits: str, sizes: BenchSizes, batch: tuple[Tensor, Tensor], *, seed: int) -> None:
        self.digits, self.batch = digits, batch
        self.network = BenchNetwork(digits, sizes, seed=seed)

    @cached_property
    def taps(self) -> dict[str, Tap]:
        """Every LIF once per edge that reads it; edges of one node and threshold share the tap."""
        taps: dict[str, Tap] = {}
        with torch.no_grad():
            self.network(self.batch[0], taps)
        return taps

    @property
    def spikes(self) -> list[Tensor]:
        return [tap.spikes for tap in self.taps.values()]

    def cell_spikes(self, cell: int) -> list[Tensor]:
        return [tap.spikes for name, tap in self.taps.items() if name.startswith(f"cell{cell}_")]

    def cell_tap(self, cell: int, edge: Edge) -> Tap:
        return self.taps[f"cell{cell}_e{edge[0]}{edge[1]}"]

    @cached_property
    def kernels(self) -> dict[str, Tensor]:
        shared: dict[int, Tensor] = {}
        for tap in self.taps.values():
            if id(tap) not in shared:
                shared[id(tap)] = sahd_kernel(tap.spikes)
        return {name: shared[id(tap)] for name, tap in self.taps.items()}

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """The loss's gradient by layer, and as 'input' by image."""
        images = self.batch[0].clone().requires_grad_(True)
        loss = F.cross_entropy(self.network(images), self.batch[1])
        weights = dict(self.network.layer_weights.items())
        found = torch.autograd.grad(loss, [*weights.values(), images])
        return dict(zip((*weights, "input"), found, strict=True))


def live_depth(observed: Observation) -> float:
    """Return the depth of the deepest living path, summed over cells: log of the product of its LIFs' resolution.

    A LIF over T steps resolves T + 1 counts, and pieces multiply along a path; a neuron that never fires on the batch
    resolves one, so a LIF counts for its living share. Of all paths the best: training can turn it up.
    """
    levels = observed.network.sizes.timesteps + 1
    return sum(
        longest_path(
            {
                edge: math.log(max(levels * living_share(observed.cell_tap(cell, edge).spikes), LEAST_LEVELS))
                if op in THRESHOLDS
                else 0.0
                for edge, op in observed.network.ops.items()
            }
        )
        for cell in (1, 2)
    )


def mean_depth(observed: Observation) -> float:
    """Return the expected number of LIF-convs on a signal path, paths weighted by their share of a node's variance.

    BN gives every conv variance 1; an identity hands on its source's. Skips dilute: what they carry is shallow.
    """
    variance = {0: 1.0}
    depth = {0: 0.0}
    for target in (1, 2, 3):
        arriving = [
            (1.0, depth[source] + 1) if op in THRESHOLDS else (variance[source], depth[source])
            for (source, node), op in observed.network.ops.items()
            if node == target
        ]
        if arriving:
            variance[target] = sum(share for share, _ in arriving)
            depth[target] = sum(share * value for share, value in arriving) / variance[target]
    return depth[3]


def upstream_gradient(observed: Observation) -> float:
    """Return the log of the gradient's energy at convs that other LIFs follow within the cell, over that outside.

    A deep cell trains as a deep one only if the gradient passes the surrogates of its later LIFs.
    """
    energy = {name: float(grad.double().square().sum()) for name, grad in observed.gradients.items()}
    upstream = sum(value for name, value in energy.items() if name.startswith("cell") and not name.endswith("3"))
    outside = energy["red1"] + energy["fc1"]
    return max(math.log(upstream / outside), -MAX_LOG) if upstream > 0 < outside else -MAX_LOG


def gradient_norm(observed: Observation) -> float:
    """Return the log of the gradient's norm over all weights (Abdelfattah et al., ICLR 2021)."""
    energy = sum(float(grad.double().square().sum()) for name, grad in observed.gradients.items() if name != "input")
    return max(math.log(energy) / 2, -MAX_LOG) if energy > 0 else -MAX_LOG


def jacobian(observed: Observation) -> float:
    """Return the log-det of the correlations of the samples' input gradients: how differently it treats samples.

    After Mellor et al. (2020, first version), through the surrogate.
    """
    rows = F.normalize(observed.gradients["input"].flatten(1).double(), dim=1)
    ridge = 1e-5 * torch.eye(len(rows), dtype=rows.dtype)
    return float(torch.linalg.slogdet(rows @ rows.T + ridge)[1])


@dataclass(frozen=True, slots=True)
class _Proxy:
    score: Callable[[Observation], float]
    needs: tuple[str, ...] = ("taps",)


_PROXIES = {
    "sahd_mean": _Proxy(lambda o: log_det(list(o.kernels.values()), reduction="mean"), ("taps", "kernels")),
    "sahd_sum": _Proxy(lambda o: log_det(list(o.kernels.values())), ("taps", "kernels")),
    "rdm": _Proxy(lambda o: rdm(o.spikes)),
    "convs": _Proxy(lambda o: float(convs(o.digits)), ()),
    "asc": _Proxy(lambda o: ascending_depth(o.digits), ()),
    "lif_depth": _Proxy(lambda o: float(lif_depth(o.digits)), ()),
    "mean_depth": _Proxy(mean_depth, ()),
    "unit_kernels": _Proxy(lambda o: unit_log_det(list(o.kernels.values())), ("taps", "kernels")),
    "unit_last": _Proxy(lambda o: unit_log_det([o.kernels["red2"]]), ("taps", "kernels")),
    "live_depth": _Proxy(live_depth),
    "temporal_code": _Proxy(lambda o: sum(temporal_code(map(time_shares, o.cell_spikes(cell))) for cell in (1, 2))),
    "upstream_gradient": _Proxy(upstream_gradient, ("gradients",)),
    "gradient_norm": _Proxy(gradient_norm, ("gradients",)),
    "jacobian": _Proxy(jacobian, ("gradients",)),
}
PROXIES = tuple(_PROXIES)
FORWARD_PROXIES = tuple(name for name, proxy in _PROXIES.items() if "gradients" not in proxy.needs)


def measure(
    digits: str, sizes: BenchSizes, batch: tuple[Tensor, Tensor], *, seed: int, names: Sequence[str] = PROXIES
) -> Measured:
    """Return the proxies ``names`` of architecture ``digits`` on ``batch``: images (B, C, H, W) and labels (B,)."""
    observed = Observation(digits, sizes, batch, seed=seed)
    needed = [part for part in ("taps", "kernels", "gradients") if any(part in _PROXIES[name].needs for name in names)]
    shared = {part: _timed(partial(getattr, observed, part))[1] for part in needed}
    values, seconds = {}, {}
    for name in names:
        proxy = _PROXIES[name]
        values[name], own = _timed(partial(proxy.score, observed))
        seconds[name] = own + sum(shared[need] for need in proxy.needs)
    return Measured(values, seconds)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
