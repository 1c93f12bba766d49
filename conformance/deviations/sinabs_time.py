"""sinabs | neuron-alone affine input-skip flatten-alone flatten-counted lif-zero-threshold bias delay delays
delay-zero i-between | known

sinabs counts tau in timesteps, reads r nowhere, subtracts the threshold and spikes several times in a timestep. A file
whose tau is in seconds has neurons without memory, and every number behind them is another.
"""

import nir  # the nir 1.0.4 that sinabs pins
import numpy as np
import sinabs.nir
import torch

ends = {"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}
lif = nir.LIF(*(torch.full((1,), v) for v in (2e-4, 1.0, 0.0, 0.5)))
net = sinabs.nir.from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]), batch_size=1)
print("expected a spike, 1, got", float(net(torch.full((1, 1), 3.0))[0]))
