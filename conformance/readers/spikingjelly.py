"""spikingjelly: ``import_from_nir`` as it comes; its timestep is 1e-4 s unless told otherwise."""

from __future__ import annotations

import numpy as np
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.nir_exchange import import_from_nir

from conformance.readers.torch_readers import graph_of, stepped

VERSIONS = ("spikingjelly", "nirtorch", "torch")


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    net = import_from_nir(graph_of(path))
    neurons = {n: m for n, m in net.named_children() if isinstance(getattr(m, "module", None), neuron.BaseNode)}
    return stepped(net, neurons, x)
