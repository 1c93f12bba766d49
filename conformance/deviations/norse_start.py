"""norse | lif-leak lif-leak-reset | new

A LIF's membrane begins at v_leak, not at 0. NIR does not say where it begins: of networks with a leak voltage other
than 0 the first spikes come earlier or later than in other tools, the later ones as well where tau is long.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 1, 1, 0.9)))  # rests at 1, above its threshold
net = norse.from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]), dt=1e-4)
print("from v = 0 expected 0, got", float(net(torch.zeros(1, 1))[0]))
