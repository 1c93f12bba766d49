"""spikingjelly | sumpool-overlap | new

SumPool2d's padding is left out (by nirtorch's own map of nodes, which snntorch uses too; norse says so in a warning):
what comes out is smaller. A layer of no fixed shape behind it runs on, on another image.
"""

import nir
import numpy as np
import torch
from spikingjelly.activation_based.nir_exchange import import_from_nir

two, one = np.array([2, 2]), np.array([1, 1])
ends = {"input": nir.Input({"input": np.array([1, 2, 2])}), "output": nir.Output({"output": np.array([1, 2, 2])})}
graph = nir.NIRGraph({**ends, "s": nir.SumPool2d(two, two, one)}, [("input", "s"), ("s", "output")])
print("expected (1, 1, 2, 2), got", tuple(import_from_nir(graph)(torch.ones(1, 1, 2, 2))[0].shape))
