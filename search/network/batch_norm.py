"""Batch normalisation: over all timesteps, inside a cell that runs step by step, and over several processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class BatchNorm(nn.BatchNorm2d):
    """BN of (N, C, H, W) whose running statistics are right after the first batch, in one process or several.

    torch's begin at mean 0 and variance 1 and move by ``momentum`` a batch: after n batches .9^n of that 1 is left, and
    swamps the small variances of a short training (400 images of small values, 6 epochs: 100 % in training, 25 % with
    the running statistics). Here batch n moves them by max(momentum, 1/n): the first one replaces what was there, and
    from the tenth on nothing differs. momentum: None averages over all batches, 0.0 leaves the statistics as they are.
    Under autocast statistics and result are float32.

    With ``synced`` the statistics are those of all processes; torch's SyncBatchNorm does that on GPUs alone. It needs
    an initialised process group.
    """

    synced = False
    # Batches that the statistics have seen. num_batches_tracked says it too, and is read when it is loaded: on a GPU to
    # look is to wait for the device.
    _seen: int | None = None

    def effective(self) -> Tensor:
        """Return the gamma (C,) that acts."""
        return self.weight

    def forward(self, input: Tensor) -> Tensor:
        input = _exact(input)
        mean, var = self.running_mean, self.running_var
        moves = self.training and mean is not None
        rate = self._next_rate() if moves else 0.0
        if not (self.synced and moves) or mean is None or var is None:
            by_batch = moves or mean is None
            return nn.functional.batch_norm(input, mean, var, self.effective(), self.bias, by_batch, rate, self.eps)
        out, of_batch, spread, count = _normalise(input, self.effective(), self.bias, None, self.eps, True)
        with torch.no_grad():
            mean.lerp_(of_batch, rate)
            var.lerp_(spread * count / (count - 1), rate)
        return out

    def reset_running_stats(self) -> None:
        self._seen = 0
        super().reset_running_stats()

    def _load_from_state_dict(self, *args: Any, **named: Any) -> None:
        super()._load_from_state_dict(*args, **named)
        self._seen = None
        self._batches()

    def _batches(self) -> int:
        """Return how many batches the running statistics have seen."""
        if self._seen is None:
            self._seen = 0 if self.num_batches_tracked is None else int(self.num_batches_tracked)
        return self._seen

    def _next_rate(self) -> float:
        """Count a batch, and return by how much it moves the running statistics."""
        self._seen = self._batches() + 1
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self._seen
        return share if self.momentum is None else max(self.momentum, share) if self.momentum > 0 else 0.0


class StepwiseBatchNorm(BatchNorm):
    """BN for a cell with backward edges, called once per timestep with (B, C, H, W).

    The statistics over (T, B, H, W) of this batch are not known before its last step, and those of a single step are
    far from them: delayed spikes are all 0 at t = 0. A network trained on per-step statistics loses 5 to 10 points of
    accuracy when it is evaluated with running ones (measured on digits). So training normalises by the running
    statistics, as evaluation does, while gradients flow through those of the step: batch renormalisation (Ioffe 2017,
    equations 3 and 4) without clipping. ``commit`` then moves the running statistics towards those over (T, B, H, W).
    Before the first commit, and where there are no running statistics, it is a plain BN of one step.

    The running variance is the biased one, by which training normalises; a plain BN stores the unbiased one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self._steps: list[tuple[Tensor, Tensor]] = []

    def begin(self) -> None:
        """Forget the steps of a sequence that was not finished."""
        self._steps = []

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised current of one timestep."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        running = (self.running_mean, self.running_var) if self._batches() else None
        out, mean, var, _ = _normalise(_exact(input), self.effective(), self.bias, running, self.eps, self.synced)
        self._steps.append((mean, var))
        return out

    @torch.no_grad()
    def commit(self) -> None:
        """Update the running statistics from all steps since ``begin``."""
        if not self._steps or self.running_mean is None or self.running_var is None:
            return
        means = torch.stack([step for step, _ in self._steps])
        # Not E[x^2] - E[x]^2: in float32 that difference is noise as soon as the mean is far above the deviation.
        within, between = torch.stack([var for _, var in self._steps]).mean(0), means.var(0, correction=0)
        rate = self._next_rate()
        self.running_mean.lerp_(means.mean(0), rate)
        self.running_var.lerp_(within + between, rate)
        self._steps = []


def synchronise(network: nn.Module) -> None:
    """Let every BN of ``network`` take its statistics over all processes in training."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.synced = True


def _normalise(
    x: Tensor, weight: Tensor, bias: Tensor, by: tuple[Tensor, Tensor] | None, eps: float, synced: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return BN of ``x``, and mean, biased variance and size of the batch (of all processes where ``synced``).

    by: the statistics that the result is normalised by, those of the batch where None; gradients always flow through
    those of the batch.
    """
    function: Any = _Normalise.apply
    result: tuple[Tensor, Tensor, Tensor, Tensor] = function(x, weight, bias, by, eps, synced)
    return result


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, by: tuple[Tensor, Tensor] | None, eps: float, synced: bool
    ) -> tuple[Tensor, ...]:
        mean, var, count = _statistics(x, eps, synced)
        # The running statistics move before the backward pass: copies.
        shown = (mean, var) if by is None else (by[0].clone(), by[1].clone())
        ctx.save_for_backward(x, weight, mean, var, *shown, count)
        ctx.eps, ctx.synced = eps, synced
        ctx.mark_non_differentiable(mean, var, count)
        ctx.set_materialize_grads(False)
        out = nn.functional.batch_norm(x, *shown, weight.to(shown[0].dtype), bias.to(shown[0].dtype), False, 0.0, eps)
        return out, mean, var, count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, shown_mean, shown_var, count = ctx.saved_tensors
        grad, deviation = grads[0], (shown_var + ctx.eps).sqrt()
        inverse = (var + ctx.eps).rsqrt()
        scale, shift = 1 / (inverse * deviation), (mean - shown_mean) / deviation
        gain = weight * scale
        if not ctx.synced:
            mask = [bool(ctx.needs_input_grad[0]), True, True]
            native = torch.ops.aten.native_batch_norm_backward
            into, along, sums = native(grad, x, gain, None, None, mean, inverse, True, ctx.eps, mask)
        else:
            centred = x - _wide(mean)
            sums, products = grad.sum((0, 2, 3)), (grad * centred).sum((0, 2, 3))
            total = torch.cat([sums, products])
            distributed.all_reduce(total)
            all_sums, all_products = (total / count).chunk(2)
            into = grad - _wide(all_sums) - centred * _wide(all_products * inverse**2)
            into = into * _wide(gain * inverse)
            along = products * inverse
        return into, scale * along + shift * sums, sums, None, None, None


def _statistics(x: Tensor, eps: float, synced: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (C,), biased variance (C,) and size () of the batch, or of all processes' batches together."""
    # torch's own kernel: var_mean over three axes takes three to ten times as long on a CPU.
    _, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    var = (inverse.double() ** -2 - eps).clamp_(min=0).to(mean.dtype)
    count = torch.full((), float(x.numel() // x.shape[1]), device=x.device)
    if not synced:
        return mean, var, count
    # One after the other, each about the common mean: E[x^2] - E[x]^2 would lose what is small beside the mean.
    first = torch.cat([mean * count, count[None]])
    distributed.all_reduce(first)
    together, everything = first[:-1] / first[-1], first[-1]
    second = (var + (mean - together) ** 2) * count
    distributed.all_reduce(second)
    return together, second / everything, everything


def _exact(x: Tensor) -> Tensor:
    """Return what autocast made bfloat16 or half as float32: statistics, current and neurons have that at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _wide(x: Tensor) -> Tensor:
    return x[:, None, None]
