"""snntorch | lif-reset lif-reset-negative cuba-reset | known

v_reset of the file is not handed on: a Leaky is at 0 after its spike.
"""

import nir
import numpy as np
import torch
from snntorch.import_nir import import_from_nir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
lif = nir.LIF(*(np.full(1, v, np.float32) for v in (2e-4, 2, 0, 0.5, 0.4)))
net = import_from_nir(nir.NIRGraph({**ends, "n": lif}, [("input", "n"), ("n", "output")]))
y, state = net(torch.ones(1, 1))  # a spike, after which v is 0.4
print("expected 0.4 / 2 + 0.35 > 0.5: a spike, 1, got", float(net(torch.full((1, 1), 0.35), state)[0]))
