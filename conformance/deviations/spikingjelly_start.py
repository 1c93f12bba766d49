"""spikingjelly | lif-leak-reset if-reset cuba-reset | new

A membrane begins at v_reset, not at 0. NIR does not say where it begins: of networks with a reset voltage other than 0
the first spikes come at other timesteps than in other tools.
"""

import nir
import numpy as np
import torch
from spikingjelly.activation_based.nir_exchange import import_from_nir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
neuron = nir.IF(*(np.full(1, v, np.float32) for v in (1e4, 1, 0.5)))
net = import_from_nir(nir.NIRGraph({**ends, "n": neuron}, [("input", "n"), ("n", "output")]))
print("from v = 0 expected 0, got", float(net(torch.full((1, 1), 0.75))[0]))
