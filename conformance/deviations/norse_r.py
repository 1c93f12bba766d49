"""norse | lif-gain lif-r lif-slow lif-rs lif-gain-met lif-strong deep-met long if-half | known

norse ignores r (a warning in the log is all): the input comes in times dt / tau whatever r says. Files of snntorch and
of spikingjelly's decay_input=False, whose r is tau / dt, fall nearly silent.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (4e-4, 4, 0, 0.5)))  # tau = 4 dt, r = tau / dt
net = norse.from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]), dt=1e-4)
print("expected a spike, 1, got", float(net(torch.ones(1, 1))[0]))
