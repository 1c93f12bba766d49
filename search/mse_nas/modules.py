"""The modules of a synapse and of a population.

Signs hold by parametrisation, not by projection: the convolution uses ``sign max(0, w)`` and the batch norm
``|gamma|``, in training and in ``layers()`` alike, so that any optimiser's step leaves excitation and inhibition what
they are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from snnas.search.mse_nas.config import MseConfig
from snnas.search.network.batch_norm import BatchNorm, StepwiseBatchNorm
from snnas.search.network.lif import LIF

CONNECTED = 0.1  # share of a signed convolution's weights that act before training, in every channel


class SignedConv2d(nn.Conv2d):
    """A convolution that keeps the map's size over its stride; weights of one sign, or of any for ``sign`` 0.

    A weight below 0 is a synapse that is not there, and can come back: the gradient passes ``max`` as if it were not
    there. At first one in ten is there. With all of them there every channel follows the count of spikes about it
    (docs/mse_nas.md has the measurement).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, sign: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.sign = sign
        self.draw()

    def draw(self) -> None:
        """Draw the initial weights."""
        nn.init.kaiming_normal_(self.weight)
        if self.sign:
            with torch.no_grad():
                rows = self.weight.flatten(1)
                rows -= rows.quantile(1 - CONNECTED, dim=1, keepdim=True)

    def effective(self) -> Tensor:
        """Return the weights (O, I, kh, kw) that act."""
        if not self.sign:
            return self.weight
        return self.sign * (self.weight + (self.weight.relu() - self.weight).detach())

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.conv2d(input, self.effective(), None, self.stride, self.padding)


class FactorizedReduce(nn.Conv2d):
    """Two 3x3 convolutions of stride 2, the second a pixel further on, side by side by channel: as one of stride 2.

    The second one's kernel is padded with zeros before, the first one's behind: 4x4 where the map's sides are even, 5x5
    else. At the border the release's shift loses the first row and column, which the larger kernel sees.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__(inputs, outputs, 3, stride=2, bias=False)
        self.draw()
        even = size[0] % 2 == 0 and size[1] % 2 == 0
        self.span, self.padding = (4, (1, 1)) if even else (5, (2, 2))

    def draw(self) -> None:
        """Draw the initial weights."""
        nn.init.kaiming_normal_(self.weight)

    def effective(self) -> Tensor:
        """Return the weights (O, I, span, span) that act."""
        half, first = len(self.weight) // 2, self.span - 4
        taps = self.weight.new_zeros(*self.weight.shape[:2], self.span, self.span)
        taps[:half, :, first : first + 3, first : first + 3] = self.weight[:half]
        taps[half:, :, first + 1 :, first + 1 :] = self.weight[half:]
        return taps

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.conv2d(input, self.effective(), None, self.stride, self.padding)


class PositiveBatchNorm2d(BatchNorm):
    """Batch norm with a gain that is never negative: it cannot turn excitation into inhibition. Its shift is free."""

    def effective(self) -> Tensor:
        """Return the gamma (C,) that acts."""
        return self.weight.abs()


class PositiveStepwiseBatchNorm2d(StepwiseBatchNorm):
    """The same where a network runs step by step."""

    def effective(self) -> Tensor:
        """Return the gamma (C,) that acts."""
        return self.weight.abs()


def firing_threshold(threshold: float) -> float:
    """Return the next float32 above: ``v >= it`` iff ``v > threshold`` for float32 v, as layers and LIFs compare."""
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


def lif(config: MseConfig) -> LIF:
    """Return a population's neurons: v <- v + (x - v) / tau, hard reset to 0; x and spikes are (T, B, C, H, W).

    The surrogate is that of all our networks, ATan. The release's triangle max(0, 2 - 4 |v - threshold|) has no
    gradient half a unit from the threshold, and learns less through single-signed synapses (docs/mse_nas.md).
    """
    return LIF(config.tau, firing_threshold(config.threshold))
