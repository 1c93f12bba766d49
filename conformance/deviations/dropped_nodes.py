"""norse, sinabs | threshold threshold-met i-readout li-readout li-leak-readout cubali-readout li-between i-between
scale scale-image delay delays delay-zero loop-delay | known

A node that the tool does not know is left out, without a word: a Delay delays nothing, a Scale scales nothing, a
readout that integrates hands on what came in. Which nodes a file may hold is to be looked up, not tried.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
maps = {"a": nir.Linear(np.ones((1, 1), np.float32)), "s": nir.Scale(np.full(1, 5.0, np.float32))}
edges = [("input", "a"), ("a", "s"), ("s", "output")]
net = norse.from_nir(nir.NIRGraph({**ends, **maps}, edges), dt=1e-4)
print("expected 5, got", float(net(torch.ones(1, 1))[0]))
