"""spikingjelly | lif-met lif-gain-met lif-zero-threshold if-met if-strong cuba-met deep-met image-met | known

A neuron spikes where v >= threshold, not where v > threshold. Of weights that are no short fractions no spike shows
it; of quantised ones many meet the threshold exactly, and a threshold of 0 fires at every timestep.
"""

import nir
import numpy as np
import torch
from spikingjelly.activation_based.nir_exchange import import_from_nir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 1, 0, 0.5)))
net = import_from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]))
print("expected 0, got", float(net(torch.ones(1, 1))[0]))
