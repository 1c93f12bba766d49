"""snntorch | lif-two-taus lif-taus lif-rs | known

Of neurons with different r dt / tau the smallest gain is taken for all: it goes into one threshold of the layer. Each
other neuron needs more input than it was trained with.
"""

import nir
import numpy as np
import torch
from snntorch.import_nir import import_from_nir

ends = {"input": nir.Input({"input": np.array([2])}), "output": nir.Output({"output": np.array([2])})}
one = np.ones(2, np.float32)
lif = nir.LIF(2e-4 * one, np.float32([1, 2]), 0 * one, 0.5 * one)  # gains of 0.5 and 1
net = import_from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]))
print("expected [0, 1], got", net(torch.full((1, 2), 0.8))[0][0].tolist())
