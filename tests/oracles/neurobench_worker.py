"""NeuroBench's SynapticOperations of single layers: .npz in, JSON out. Its own environment (it brings 46 packages).

argv[1]: an .npz with, per layer k, ``x<k>`` uint8 (frames, C, H, W) or (frames, N), ``w<k>`` float32, and ``g<k>``
int (stride, stride, pad, pad, groups) of a convolution. Prints a list of SynapticOperations, summed over the frames.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings

import numpy as np


def main() -> None:
    warnings.simplefilter("ignore")
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    arrays = np.load(sys.argv[1], allow_pickle=False)
    found = []
    for k in range(sum(name.startswith("w") for name in arrays)):
        x, w = torch.from_numpy(arrays[f"x{k}"]).float(), torch.from_numpy(arrays[f"w{k}"])
        if w.ndim == 4:
            s0, s1, p0, p1, groups = (int(n) for n in arrays[f"g{k}"])
            o, i, kh, kw = w.shape
            layer = torch.nn.Conv2d(i * groups, o, (kh, kw), (s0, s1), (p0, p1), groups=groups, bias=False)
        else:
            layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
        layer.weight.data = w
        loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=len(x))
        bench = Benchmark(TorchModel(torch.nn.Sequential(layer)), loader, [], [], [[], [SynapticOperations]])
        with contextlib.redirect_stdout(io.StringIO()):
            result = bench.run()["SynapticOperations"]
        found.append({name: float(value) * len(x) for name, value in result.items()})
    print(json.dumps(found))


main()
