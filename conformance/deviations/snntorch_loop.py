"""snntorch | loop loop-cuba | known

A LIF with a Linear from itself to itself becomes an RLeaky, which neither scales the way back by the LIF's gain nor
feeds the input to the neuron but to the feedback's weights: a recurrent network of r = 1 gives other spikes.
"""

import nir
import numpy as np
import torch
from snntorch.import_nir import import_from_nir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 2, 0, 0.9)))
nodes = {"n": lif, "back": nir.Linear(np.full((1, 1), -2.0, np.float32))}
net = import_from_nir(nir.NIRGraph({**ends, **nodes}, [("input", "n"), ("n", "output"), ("n", "back"), ("back", "n")]))
y, state = net(torch.ones(1, 1))
print("expected 1 then 0, got", float(y), "then", float(net(torch.ones(1, 1), state)[0]))
