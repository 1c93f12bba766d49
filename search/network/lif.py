"""Leaky integrate-and-fire neurons with a surrogate gradient, over all timesteps at once or one by one.

    v <- v + (x - v)/tau,   spike where v >= threshold,   v <- 0 where it spiked

Backward: d spike / d v = 1 / (1 + (pi (v - threshold))^2), ATan with alpha = 2 (Fang et al. 2021, appendix); the reset
is detached, so nothing flows through it. Spikes equal those of spikingjelly's LIFNode bit for bit; gradients up to
rounding. Of the forward pass only the voltage before the reset is kept: 4 bytes per neuron and timestep.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from snnas.search.network import lif_kernel

# Neurons whose timesteps are computed together on a CPU, so that what one step leaves is in the cache for the next.
# Measured where there is no compiled kernel (1 MB of L2, T = 5, forward and backward, 262,144 and 2,097,152 neurons):
# 16,384 at a time 5.1 and 89 ms, 65,536 3.5 and 73 ms, all 2.9 and 77 ms; spikingjelly 9.8 and 139 ms.
BLOCK = 65_536

# tau and threshold: numbers, or, where one is learnt on a GPU, tensors () there, which nothing waits for.
Number = float | Tensor


class LIF(nn.Module):
    """Neurons of one time constant and threshold, hard reset to 0; no parameters, and nothing in the state dict.

    step_mode 'm': takes currents (T, ...) and starts at rest. step_mode 's': takes the current of one timestep and
    goes on from the voltage ``v``; call ``rest`` before a sequence. Spikes have the dtype of the current; the voltage
    is float32 at least, under autocast too.
    """

    def __init__(self, tau: float = 4 / 3, threshold: float = 1.0) -> None:
        super().__init__()
        self.tau = float(tau)
        self.v_threshold = float(threshold)
        self.step_mode = "m"
        self.v: Tensor | None = None

    def rest(self) -> None:
        """Forget the voltage."""
        self.v = None

    def constants(self) -> tuple[float, float]:
        """Return tau and threshold as they are now."""
        return self.tau, self.v_threshold

    def forward(self, current: Tensor) -> Tensor:
        """Return the spikes, 0 or 1, in the shape of ``current``."""
        if self.step_mode == "m":
            spikes: Tensor = _Sequence.apply(current, self.tau, self.v_threshold)  # type: ignore[no-untyped-call]
            return spikes
        step: Any = _Step.apply
        spikes, self.v = step(current, self.v, self.tau, self.v_threshold)
        return spikes

    def extra_repr(self) -> str:
        return f"tau={self.tau:g}, threshold={self.v_threshold:g}, step_mode={self.step_mode!r}"


class _Sequence(torch.autograd.Function):
    """All timesteps of (T, ...)."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, tau: Number, threshold: Number) -> Tensor:
        spikes = _like(current, current.dtype)
        state = _state_dtype(current)
        voltage = _like(current, state) if ctx.needs_input_grad[0] else None
        rows, out, kept = _rows(current), _rows(spikes), None if voltage is None else _rows(voltage)
        ctx.constants = tau, threshold
        ctx.save_for_backward(voltage)
        if kernel := _kernel(rows, out):
            kernel.forward(rows, None, ctx.constants, out, kept, None)
            return spikes
        share = divisor(tau, rows)
        for block in _blocks(rows):
            here = rows[:, block]
            after = torch.empty(here.shape[1:], dtype=state, device=current.device)
            before = after if kept is None else None
            for step, x in enumerate(here.to(state).unbind(0)):
                v = kept[step, block] if kept is not None else before
                assert v is not None
                if step == 0:
                    torch.div(x, share, out=v)
                else:
                    # With nothing kept, v and after are one tensor: the difference needs a place of its own.
                    difference = x - after if kept is None else torch.sub(x, after, out=v)
                    torch.add(difference.div_(share), after, out=v)
                fired = torch.ge(v, threshold, out=out[step, block])
                # v - v s is v or 0 exactly.
                torch.addcmul(v, v, fired.to(state), value=-1, out=after)
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (voltage,) = ctx.saved_tensors
        tau, threshold = ctx.constants
        grad = grads[0]
        if grad.stride() != voltage.stride():
            grad = _like(voltage, grad.dtype).copy_(grad)
        out = _like(voltage, voltage.dtype)
        rows, kept, into = _rows(grad), _rows(voltage), _rows(out)
        if kernel := _kernel(rows, kept):
            kernel.backward(rows, kept, None, ctx.constants, into)
            return out, None, None
        for block in _blocks(rows):
            v, g, to = kept[:, block], rows[:, block].to(voltage.dtype), into[:, block]
            work, returned = torch.empty_like(v[0]), 1 - 1 / tau
            for step in range(len(v) - 1, -1, -1):
                torch.div(g[step], _flatness(v[step], tau, threshold, work), out=to[step])
                if step + 1 < len(v):
                    torch.lt(v[step], threshold, out=work)
                    to[step].addcmul_(to[step + 1], work.mul_(returned))
        return out, None, None


class _Step(torch.autograd.Function):
    """One timestep: (current, voltage before or None) to (spikes, voltage behind the reset)."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, before: Tensor | None, tau: Number, threshold: Number
    ) -> tuple[Tensor, Tensor]:
        x = current.to(_state_dtype(current))[None]
        if before is not None and before.stride() != x.stride()[1:]:
            before = _like(x, x.dtype)[0].copy_(before)
        v, fired, after = (_like(x, x.dtype) for _ in range(3))
        ctx.constants = tau, threshold
        ctx.save_for_backward(v)
        if _dense(x[0]) and (kernel := _kernel(x, before)):
            flat = None if before is None else _rows(before[None])[0]
            kernel.forward(_rows(x), flat, ctx.constants, _rows(fired), _rows(v), _rows(after)[0])
            return fired[0], after[0]
        share = divisor(tau, x)
        if before is None:
            torch.div(x, share, out=v)
        else:
            torch.sub(x, before, out=v).div_(share).add_(before)
        torch.ge(v, threshold, out=fired)
        torch.addcmul(v, v, fired, value=-1, out=after)
        return fired[0].to(current.dtype), after[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        (v,) = ctx.saved_tensors
        tau, threshold = ctx.constants
        grad, later = (g if g.stride() == v[0].stride() else _like(v, v.dtype)[0].copy_(g) for g in grads)
        out = _like(v, v.dtype)
        if kernel := _kernel(grad, later, v):
            kernel.backward(_rows(grad[None]), _rows(v), _rows(later[None])[0], ctx.constants, _rows(out))
        else:
            torch.div(grad, _flatness(v, tau, threshold, out), out=out)
            out.addcmul_(later, torch.lt(v, threshold, out=torch.empty_like(v)).div_(tau))
        return out[0], out[0] * (tau - 1) if ctx.needs_input_grad[1] else None, None, None


def _flatness(v: Tensor, tau: Number, threshold: Number, out: Tensor) -> Tensor:
    """Fill and return ``out`` = tau + tau pi^2 (v - threshold)^2: tau over the surrogate's slope."""
    torch.sub(v, threshold, out=out)
    if isinstance(tau, Tensor):
        return out.square_().mul_(math.pi**2).add_(1).mul_(tau)
    return torch.addcmul(out.new_full((), tau), out, out, value=tau * math.pi**2, out=out)


def divisor(tau: Number, like: Tensor) -> Number:
    """Return what currents of the kind of ``like`` are divided by. On a GPU torch would multiply by 1 / a number."""
    if isinstance(tau, Tensor) or not like.is_cuda:
        return tau
    return torch.full((), tau, dtype=like.dtype, device=like.device)


def _kernel(*tensors: Tensor | None) -> Any | None:
    """Return the module whose ``forward`` and ``backward`` can run on ``tensors``; None where torch has to."""
    kernel: Any = _of_gpu() if any(x is not None and x.is_cuda for x in tensors) else lif_kernel
    return kernel if kernel is not None and kernel.usable(*tensors) else None


@functools.cache
def _of_gpu() -> Any | None:
    try:
        from snnas.search.network import lif_triton
    except ImportError:
        return None
    return lif_triton


def _state_dtype(current: Tensor) -> torch.dtype:
    return torch.float64 if current.dtype == torch.float64 else torch.float32


def _like(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an empty tensor (T, ...) whose timesteps lie one behind the other, each laid out as those of ``x``."""
    step = x[0]
    if not _dense(step):
        step = torch.empty(step.shape, device="meta")
    size = step.numel()
    return torch.empty_strided(x.shape, (size, *step.stride()), dtype=dtype, device=x.device)


def _rows(x: Tensor) -> Tensor:
    """Return (T, neurons), the neurons in the order in which they lie in memory; no copy for a dense layout.

    A current that is constant in time may be expanded: its rows then share their memory.
    """
    if not _dense(x[0]):
        return x.reshape(len(x), -1)
    return x.as_strided((len(x), x[0].numel()), (x.stride(0), 1))


def _dense(step: Tensor) -> bool:
    dense: bool = torch.ops.aten.is_non_overlapping_and_dense(step)
    return dense


def _blocks(rows: Tensor) -> list[slice]:
    size = rows.shape[1] if rows.is_cuda else BLOCK
    return [slice(start, start + size) for start in range(0, rows.shape[1], size)]
