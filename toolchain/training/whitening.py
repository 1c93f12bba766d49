"""A stem that whitens: filters from the principal components of patches, and fixed (Page 2018; Jordan 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.search.network.network import Backbone
from snnas.toolchain.training.evaluation import inputs

SAMPLES = 2000  # whose patches are looked at
FLOOR = 5e-4  # added to variances: components of nothing but noise are not blown up


@torch.no_grad()
def whiten(network: nn.Module, x: Tensor, unit: int) -> None:
    """Fill the stem's weight (O, C, kh, kw) with the O/2 strongest components of the patches, and freeze it.

    Each component stands with both signs, for a neuron answers to one alone. Filters beyond twice the components keep
    their values. x: (N, C, H, W), or (N, T, C, H, W), of which the first frame is looked at; bytes are divided by
    ``unit``. UsageError where the network has no plain stem.
    """
    if not isinstance(network, Backbone):
        raise UsageError(
            "whitening in the training configuration: expected a network of cells with a stem; leave it out"
        )
    conv = network.get_submodule("stem_conv")
    assert isinstance(conv, nn.Conv2d)
    images = inputs(x[:SAMPLES], unit)
    images = network.scaled(images[:, 0] if images.dim() == 5 else images)
    patches = nn.functional.unfold(images, (conv.kernel_size[0], conv.kernel_size[1])).transpose(1, 2)
    rows = patches.reshape(-1, patches.shape[-1]).double()
    centred = rows - rows.mean(0)
    variances, components = torch.linalg.eigh(centred.T @ centred / len(centred))
    filters = (components / (variances + FLOOR).sqrt()).T.flip(0).to(conv.weight.dtype)
    count = min(conv.out_channels // 2, len(filters))
    # A sign that does not depend on the library that solved for it.
    signs = torch.where(filters[:count].sum(1) < 0, -1.0, 1.0)[:, None]
    chosen = (filters[:count] * signs).reshape(count, *conv.weight.shape[1:])
    conv.weight[: 2 * count] = torch.cat([chosen, -chosen])
    conv.weight.requires_grad_(False)
