"""norse | loop loop-cuba loop-if loop-two loop-mixed | known

In a cycle nirtorch's executor runs the layers in the order in which it met them, and gives back the last one met, which
is the layer on the way back and not the output. A recurrent network's answer is its feedback current.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
nodes = {
    "n": nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 1, 0, 0.5))),
    "back": nir.Linear(np.full((1, 1), 7.0, np.float32)),
}
edges = [("input", "n"), ("n", "output"), ("n", "back"), ("back", "n")]
net = norse.from_nir(nir.NIRGraph({**ends, **nodes}, edges), dt=1e-4)
print("expected a spike, 1, got", float(net(torch.full((1, 1), 2.0))[0]))
