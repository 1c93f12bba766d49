"""norse | cuba-leak | new

A CubaLIF's v_leak goes to its synapse as well: the current decays to v_leak instead of 0. A neuron without any input
gets a current of v_leak, and with r = tau_mem / dt it fires for good.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
cuba = nir.CubaLIF(*(np.full(1, v, np.float32) for v in (2e-4, 2e-4, 2, 0.25, 0.5)))  # rests below its threshold
net = norse.from_nir(nir.NIRGraph({**ends, "n": cuba}, [("input", "n"), ("n", "output")]), dt=1e-4)
y, state = net(torch.zeros(1, 1))
print("expected a current of 0, got", float(state.state["n"][0][0].v))
