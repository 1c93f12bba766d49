"""A stem that begins by whitening: filters from the principal components of patches (Page 2018; Jordan 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnas.toolchain.training.evaluation import inputs

SAMPLES = 2000  # whose patches are looked at
FLOOR = 5e-4  # added to variances: components of nothing but noise are not blown up


@torch.no_grad()
def whiten(conv: nn.Conv2d, x: Tensor, unit: int) -> None:
    """Fill the weight (O, C, kh, kw) with the O/2 strongest components of the patches, each with both signs.

    Currents of both signs, for a neuron answers to one alone. Filters beyond twice the components keep their values.
    x: (N, C, H, W), or (N, T, C, H, W), of which the first frame is looked at. All filters get the size that the
    initial ones have on these samples.
    """
    images = inputs(x[:SAMPLES], unit)
    images = images[:, 0] if images.dim() == 5 else images
    patches = (
        nn.functional.unfold(images, conv.kernel_size, padding=0).transpose(1, 2).reshape(-1, conv.weight[0].numel())
    )
    centred = patches.double() - patches.double().mean(0)
    variances, components = torch.linalg.eigh(centred.T @ centred / len(centred))
    filters = (components / (variances + FLOOR).sqrt()).T.flip(0).to(conv.weight.dtype)
    count = min(conv.out_channels // 2, len(filters))
    chosen = filters[:count].reshape(count, *conv.weight.shape[1:])
    # A sign that does not depend on the library that solved for it.
    chosen = chosen * torch.where(chosen.flatten(1).sum(1) < 0, -1.0, 1.0).reshape(-1, 1, 1, 1)
    conv.weight[: 2 * count] = torch.cat([chosen, -chosen])
