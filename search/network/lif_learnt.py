"""LIF neurons whose time constant or threshold is learnt: one number for the whole population.

tau = 1 + exp(a), threshold = exp(b): a and b are free, and tau > 1, threshold > 0. Spikes and the gradient of the
currents are those of ``lif``, and so is the speed; the two numbers' gradients are read off what it keeps. With
v the voltage before the reset, u that behind the reset of the step before, g the gradient of the spikes and d that of
the currents (Fang et al. 2021, "Parametric LIF", for tau; the reset is detached here too):

    d loss / d tau       = - sum of d (v - u)                   as v = u + (x - u) / tau
    d loss / d threshold = - sum of g / (1 + (pi (v - threshold))^2)  = - sum of (tau d - what came back through time)
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from snnas.search.network.lif import LIF, Number, _Sequence, _Step

LEARNABLE = ("tau", "threshold")
# exp(-6) to exp(6): tau from 1.0025 to 404, threshold from .0025 to 403.
BOUND = 6.0


class LearntLIF(LIF):
    """A LIF of which ``what``, out of LEARNABLE, is a parameter: ``log_tau``, ``log_threshold``, each of shape ().

    shared: a LIF that emits the same spikes; this one then has its numbers, and none of its own. On a GPU the numbers
    stay there: nothing waits for them.
    """

    def __init__(self, tau: float, threshold: float, what: Collection[str], shared: LearntLIF | None = None) -> None:
        super().__init__(tau, threshold)
        self.what = tuple(name for name in LEARNABLE if name in what)
        self.log_tau: nn.Parameter | None
        self.log_threshold: nn.Parameter | None
        self._start = self.tau, self.v_threshold
        del self.tau, self.v_threshold  # what was given is not what it is: ``constants``
        # In a tuple it is no child: its parameters are listed once, under its own name.
        self._shared = (shared,) if shared is not None else ()
        for name, start in zip(LEARNABLE, (tau - 1, threshold), strict=True):
            own = name in self.what and shared is None
            self.register_parameter(f"log_{name}", nn.Parameter(torch.tensor(math.log(start))) if own else None)

    def numbers(self) -> tuple[Tensor, Tensor]:
        """Return tau and threshold, each a tensor ()."""
        if self._shared:
            return self._shared[0].numbers()
        a, b = self.log_tau, self.log_threshold
        device = next((x.device for x in (a, b) if x is not None), None)
        tau, threshold = (torch.full((), start, device=device) for start in self._start)
        return (
            tau if a is None else 1 + a.clamp(-BOUND, BOUND).exp(),
            threshold if b is None else b.clamp(-BOUND, BOUND).exp(),
        )

    @torch.no_grad()
    def constants(self) -> tuple[float, float]:
        tau, threshold = self.numbers()
        return (
            float(tau) if "tau" in self.what else self._start[0],
            float(threshold) if "threshold" in self.what else self._start[1],
        )

    def forward(self, current: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and self.what):
            return self._plain(current)
        if not current.requires_grad:
            current = current.detach().requires_grad_()  # the voltages are kept for a current that needs a gradient
        numbers, values = self.numbers(), self._values(current)
        if self.step_mode == "m":
            spikes: Tensor = _LearntSequence.apply(current, *numbers, values)  # type: ignore[no-untyped-call]
            return spikes
        step: Any = _LearntStep.apply
        spikes, self.v = step(current, self.v, *numbers, values)
        return spikes

    def _plain(self, current: Tensor) -> Tensor:
        if self.step_mode == "m":
            spikes: Tensor = _Sequence.apply(current, *self._values(current))  # type: ignore[no-untyped-call]
            return spikes
        step: Any = _Step.apply
        spikes, self.v = step(current, self.v, *self._values(current))
        return spikes

    @torch.no_grad()
    def _values(self, current: Tensor) -> tuple[Number, Number]:
        """Return tau and threshold as the neurons take them: numbers on a CPU; on a GPU to read one is to wait."""
        return self.numbers() if current.is_cuda and self.what else self.constants()

    def extra_repr(self) -> str:
        tau, threshold = self.constants()
        return f"tau={tau:g}, threshold={threshold:g}, learnt={self.what}, step_mode={self.step_mode!r}"


class _LearntSequence(torch.autograd.Function):
    """``_Sequence``, and the gradients of tau and threshold."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, tau: Tensor, threshold: Tensor, values: tuple[Number, Number]) -> Tensor:
        return _Sequence.forward(ctx, current, *values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, _, _ = _Sequence.backward(ctx, *grads)
        (v,) = ctx.saved_tensors
        tau, threshold = ctx.constants
        silent = v < threshold
        behind = torch.where(silent, v, 0)[:-1]  # the voltage behind each reset but the last
        of_tau = -(out * v).sum() + (out[1:] * behind).sum()
        back = (out[1:] * silent[:-1]).sum() * (tau - 1)
        return out, of_tau, back - tau * out.sum(), None


class _LearntStep(torch.autograd.Function):
    """``_Step``, and the gradients of tau and threshold."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, before: Tensor | None, tau: Tensor, threshold: Tensor, values: tuple[Number, Number]
    ) -> tuple[Tensor, Tensor]:
        ctx.before = None if before is None else before.detach()
        return _Step.forward(ctx, current, before, *values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, into_before, _, _ = _Step.backward(ctx, *grads)
        (v,) = ctx.saved_tensors
        tau, threshold = ctx.constants
        change = v[0] if ctx.before is None else v[0] - ctx.before
        back = (grads[1] * (v[0] < threshold)).sum()
        return out, into_before, -(out * change).sum(), back - tau * out.sum(), None
