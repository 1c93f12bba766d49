"""rockpool: ``from_nir`` as it comes. It takes the timestep from r, of each layer."""

from __future__ import annotations

import numpy as np
import torch
from rockpool.nn.modules import from_nir

from conformance.readers.torch_readers import graph_of

VERSIONS = ("rockpool", "nirtorch", "torch")


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Its modules take (B, T, N) as a whole."""
    net = from_nir(graph_of(path))
    with torch.no_grad():
        y = net(torch.from_numpy(x))
    while isinstance(y, tuple):
        y = y[0]
    return {"output": y.numpy()}
