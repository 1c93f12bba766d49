"""norse | lif-reset lif-reset-negative lif-leak-reset if-reset cuba-reset | known

v_reset of the file is not handed on: a neuron is at 0 after its spike.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 1, 0, 0.5, 0.4)))
net = norse.from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]), dt=1e-4)
print("expected v = 0.4 after the spike, got", float(net(torch.full((1, 1), 2.0))[1].state["n"][0].v))
