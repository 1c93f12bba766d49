"""rockpool | cuba cuba-plain cuba-w-in cuba-leak cuba-reset cuba-equal-taus cuba-met loop-cuba | known

The timestep is taken from r, as tau_mem / (1 + r), though rockpool itself writes r = tau exp(-dt / tau) / dt: read
back, its own dt is another. w_in is not read, v_leak becomes a bias, spikes are several in a timestep. (A LIF cannot
be read at all: its importer looks for a tau_mem that nir.LIF does not have.)
"""

import nir
import numpy as np
from rockpool.nn.modules import from_nir

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([1])})}
cuba = nir.CubaLIF(*(np.full(1, v, np.float32) for v in (4e-4, 2e-4, 2, 0, 0.5)))  # r = tau_mem / dt at 1e-4 s
net = from_nir(nir.NIRGraph({**ends, "n": cuba}, [("input", "n"), ("n", "output")]))
print("expected dt = 0.0001, got", float(net.get_submodule("n").dt))
