"""Batch normalisation inside a cell that runs step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StepwiseBatchNorm(nn.BatchNorm2d):
    """BN for a cell with backward edges, called once per timestep with (B, C, H, W).

    The statistics over (T, B, H, W) of this batch are not known before its last step, and those of a single step are
    far from them: delayed spikes are all 0 at t = 0. A network trained on per-step statistics loses 5 to 10 points of
    accuracy when it is evaluated with running ones (measured on digits). So training normalises by the running
    statistics, as evaluation does, while gradients flow through those of the step: batch renormalisation (Ioffe 2017,
    equations 3 and 4) without clipping. ``commit`` then moves the running statistics towards those over (T, B, H, W).
    Before the first commit, and where there are no running statistics, it is a plain BN of one step.

    The running variance is the biased one, by which training normalises; a plain BN stores the unbiased one. momentum:
    None averages over all batches, 0.0 leaves the running statistics as they are.
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
        var, mean = torch.var_mean(input, dim=(0, 2, 3), correction=0)
        self._steps.append((mean.detach(), var.detach()))
        deviation = (var + self.eps).sqrt()
        scale, shift = torch.ones_like(mean), torch.zeros_like(mean)
        if int(self.num_batches_tracked or 0) > 0:
            running = (self.running_var + self.eps).sqrt()
            scale = deviation.detach() / running
            shift = (mean.detach() - self.running_mean) / running
        gain = self.weight * scale / deviation
        offset = self.bias + self.weight * (shift - mean * scale / deviation)
        return input * gain[:, None, None] + offset[:, None, None]

    @torch.no_grad()
    def commit(self) -> None:
        """Update the running statistics from all steps since ``begin``; the first batches count more."""
        if not self._steps or self.running_mean is None or self.running_var is None:
            return
        means = torch.stack([step for step, _ in self._steps])
        # Not E[x^2] - E[x]^2: in float32 that difference is noise as soon as the mean is far above the deviation.
        within, between = torch.stack([var for _, var in self._steps]).mean(0), means.var(0, correction=0)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / int(self.num_batches_tracked)
        rate = share if self.momentum is None else max(self.momentum, share) if self.momentum > 0 else 0.0
        self.running_mean.lerp_(means.mean(0), rate)
        self.running_var.lerp_(within + between, rate)
        self._steps = []
