"""snntorch: ``import_from_nir`` as it comes. It knows one timestep, 1e-4 s."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import snntorch as snn
from snntorch.import_nir import import_from_nir

from conformance.readers.torch_readers import graph_of, stepped

VERSIONS = ("snntorch", "nirtorch", "torch")


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        net = import_from_nir(graph_of(path))
    neurons = {n: m for n, m in net.named_modules() if isinstance(m, snn.SpikingNeuron)}
    return stepped(net, neurons, x)
