"""norse | two-outputs three-ways edges | new

norse gives the value of whichever node its executor (nirtorch 2.6, behind ``nirtorch.load``) comes to last, and it goes
depth first: where two ways join, the second way's layer comes after Output and is taken for it. A network with skips
returns an inner layer, of its shape, without a complaint, and the join sees the second way a timestep late. (The demo's
digits network comes back as (8, 16, 8, 8): ``cell1_e13_conv``, a convolution of its first cell. The file is in order:
its one Output is named, its edges run forward.) Read such a file with ``sorted_first`` of conformance/readers/norse.py.
"""

import nir
import norse.torch as norse
import numpy as np
import torch

ends = {"input": nir.Input({"input": np.array([1])}), "output": nir.Output({"output": np.array([2])})}
maps = {
    n: nir.Linear(weight=np.ones(s, np.float32))
    for n, s in (("a", (3, 1)), ("b", (3, 3)), ("c", (3, 3)), ("d", (2, 3)))
}
edges = [("input", "a"), ("a", "b"), ("a", "c"), ("b", "e"), ("c", "e"), ("e", "d"), ("d", "output")]
join = nir.LIF(*(np.full(3, v, np.float32) for v in (2e-4, 1, 0, 0.5)))
net = norse.from_nir(nir.NIRGraph({**ends, **maps, "e": join}, edges), dt=1e-4)
print("expected (1, 2), got", tuple(net(torch.ones(1, 1))[0].shape))
