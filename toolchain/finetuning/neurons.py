"""A population of a program with a gradient: the integer arithmetic forward, a surrogate backward.

Forward are ``kernels``, bit for bit, on float32 tensors of whole numbers. Backward is that of training, on the
state in units of the threshold: d spike / d v = 1 / (1 + (pi (v / theta - 1))^2) / theta (ATan with alpha = 2, Fang et
al. 2021, appendix); the reset is detached, and what is truncated passes as if it were not.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import Population
from snnas.search.network.lif import LIF
from snnas.toolchain.finetuning.integers import Integers

# A step of the optimiser changes a bias by this share of the threshold, and the threshold by this share of itself.
BIAS_UNIT, THRESHOLD_UNIT = 0.3, 0.3


class Neurons(LIF):
    """The neurons of one population; a ``LIF``, so that what meters spikes counts them.

    trained: whether bias and threshold are. step_mode 'm': currents (T, B, C, H, W), from rest. 's': those of one
    timestep, (1, B, C, H, W), going on from the state; call ``rest`` before a sequence.
    """

    def __init__(self, p: Population, *, leaks: int, timesteps: int, real_bias: np.ndarray | None) -> None:
        super().__init__()
        self.population, self.leaks, self.timesteps = p, leaks, timesteps
        self.u: Tensor | None = None
        theta = max(p.vth, 1) << limits.STATE_SHIFT
        units = None if real_bias is None else _like(real_bias, p.bias.shape) * p.scale * 64 / (1 << p.bias_exponent)
        most = limits.BIAS_MANTISSA_MAX
        unit = max(BIAS_UNIT * theta / (1 << p.bias_exponent), 1.0)
        self.bias = Integers(p.bias, units, -most, most, unit)
        start = np.array(p.vth)
        self.threshold = Integers(start, None, 1, limits.THRESHOLD_MAX, max(THRESHOLD_UNIT * p.vth, 1.0))

    def rest(self) -> None:
        self.v = self.u = None

    def forward(self, current: Tensor | None, still: Tensor | None = None) -> Tensor:
        """Return the spikes (T, B, C, H, W), float32.

        current: in 1/64 of a weight unit, None where nothing moves. still: (B or 1, C, H, W), added at every timestep;
        of a current with memory to the membrane alone. One of the two holds the batch.
        """
        if self.step_mode == "m":
            self.rest()
        p, bias = self.population, self.bias() * (1 << self.population.bias_exponent)
        constant = bias[None] if still is None else still + bias
        vth = int(self.threshold.numbers())
        push = int(bias.detach().abs().max())
        # Verified ranges: whatever comes, and any part of it, stays within CURRENT_MAX.
        fused = kernels.fused(p.dv, vth, self.leaks, current=limits.CURRENT_MAX, bias=push, steps=self.timesteps)
        c = _Constants(p.dv, p.du, vth, self.leaks, self.timesteps, None if p.current_decays else fused)
        ratio = self.threshold() / vth
        spikes: Tensor
        spikes, self.v, self.u = _Fire.apply(current, constant, ratio, self.v, self.u, c)  # type: ignore[no-untyped-call]
        return spikes


class _Constants(NamedTuple):
    dv: int
    du: int
    vth: int
    leaks: int
    timesteps: int
    fused: kernels.Fused | None


class _Fire(torch.autograd.Function):
    """(current or None, still, threshold over itself, states before or None) to (spikes, states behind the reset)."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor | None,
        still: Tensor,
        ratio: Tensor,
        v: Tensor | None,
        u: Tensor | None,
        c: _Constants,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        steps = c.timesteps if current is None else len(current)
        place = still if current is None else current[0]
        state = torch.zeros_like(place) if v is None else v.clone(memory_format=torch.preserve_format)
        before = torch.empty((steps, *place.shape), device=place.device)
        if place.is_contiguous(memory_format=torch.channels_last) and place.dim() == 4:
            before = torch.empty((steps, place.shape[0], *place.permute(0, 2, 3, 1).shape[1:]), device=place.device)
            before = before.permute(0, 1, 4, 2, 3)
        spikes = torch.empty_like(before, dtype=torch.bool)
        if c.fused is not None:
            moving = None if current is None else current.transpose(0, 1)
            kernels.fused_steps(state, moving, still, spikes.transpose(0, 1), c.fused, before.transpose(0, 1))
            held = None
        else:
            state, held = _walk(current, still, state, u, c, spikes, before)
        ctx.constants, ctx.ratio = c, ratio
        ctx.save_for_backward(before, still)
        return spikes.to(torch.float32), state, held

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        before, still = ctx.saved_tensors
        c: _Constants = ctx.constants
        fired, later_v, later_u = grads
        theta = float(c.vth << limits.STATE_SHIFT)
        keep = ((limits.DECAY_ONE - c.dv) / limits.DECAY_ONE) ** c.leaks
        keep_u = (limits.NO_MEMORY - c.du) / limits.DECAY_ONE
        wanted = ctx.needs_input_grad[0]
        into = torch.empty_like(before) if wanted else None
        flow = torch.zeros_like(before[0]) if later_v is None else later_v.clone()
        through = torch.zeros_like(flow) if later_u is None else later_u.clone()
        total, moved = torch.zeros_like(flow), torch.zeros((), device=flow.device)
        for t in range(len(before) - 1, -1, -1):
            x = before[t] / theta - 1
            flow.mul_(x <= 0)
            if fired is not None:
                slope = fired[t] / (1 + (math.pi * x).square_())
                moved -= slope.sum()
                flow.add_(slope, alpha=1 / theta)
            total.add_(flow)
            if c.fused is None:
                through.add_(flow)
            if into is not None:
                into[t] = through if c.fused is None else flow
            flow.mul_(keep)
            through.mul_(keep_u)
        _, _, _, before_v, before_u, _ = ctx.needs_input_grad
        behind = flow if before_v else None, through if before_u else None
        return into, total.sum_to_size(still.shape), moved.reshape(ctx.ratio.shape), *behind, None


def _walk(
    current: Tensor | None, still: Tensor, v: Tensor, u: Tensor | None, c: _Constants, spikes: Tensor, before: Tensor
) -> tuple[Tensor, Tensor]:
    """A current with memory, in int64."""
    constant = still.to(torch.int64)
    state, held = v.to(torch.int64), torch.zeros_like(v, dtype=torch.int64) if u is None else u.to(torch.int64)
    for t in range(len(spikes)):
        a = 0 * state if current is None else current[t].to(torch.int64) >> limits.STATE_SHIFT
        held = kernels.current_step(held, a, c.du)
        state = kernels.membrane(state, held, constant, c.dv, c.leaks)
        before[t] = state
        spikes[t] = state > (c.vth << limits.STATE_SHIFT)
        state = state * ~spikes[t]
    return state.to(torch.float32), held.to(torch.float32)


def _like(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, H, W), or its first column where only channels are told apart."""
    return values if values.shape == shape else values[:, :1, :1]
