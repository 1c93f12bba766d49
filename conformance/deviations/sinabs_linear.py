"""sinabs | lif lif-gain lif-r lif-one-step lif-slow lif-thresholds lif-two-taus lif-taus lif-rs if if-half
affine-chain metadata analogue rough flatten | new

nir.Linear, a layer without a bias, is left out without a word (nir.Affine is read). A classifier whose last layer has
no bias returns the spikes before it. sinabs itself writes an Affine with zeros; files of other tools hold Linear.
"""

import nir  # the nir 1.0.4 that sinabs pins
import numpy as np
import sinabs.nir
import torch

ends = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([3]))}
maps = {"a": nir.Affine(np.ones((2, 2)), np.zeros(2)), "b": nir.Linear(np.ones((3, 2)))}
net = sinabs.nir.from_nir(nir.NIRGraph({**ends, **maps}, [("input", "a"), ("a", "b"), ("b", "output")]), batch_size=1)
print("expected (1, 3), got", tuple(net(torch.ones(1, 2))[0].shape))
