"""Networks in rockpool, written as .nir with their recordings: its own environment.

  write FOLDER COUNT SEED   FOLDER/<k>.nir by rockpool's own mapping, and FOLDER/<k>.npz as ``snnas whose`` takes it

``to_nir`` itself leaves batch and time in the shapes of Input and Output, which nobody reads: they are set right here.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import nir  # noqa: E402
import torch  # noqa: E402
from rockpool.nn.combinators import Sequential  # noqa: E402
from rockpool.nn.modules import LIFNeuronTorch, LIFTorch, LinearTorch, to_nir  # noqa: E402

SAMPLES = 8


def network(rng: np.random.Generator, k: int) -> tuple[list, list[int]]:
    kinds = ((LIFTorch, LIFTorch), (LIFNeuronTorch, LIFNeuronTorch), (LIFTorch, LIFNeuronTorch))[k % 3]
    dt = (1e-3, 1e-2)[k % 2]
    sizes = [int(n) for n in rng.integers(5, 12, 3)]
    layers = []
    for a, b, kind in zip(sizes, sizes[1:], kinds, strict=False):
        given = {"tau_mem": torch.full((b,), dt * float(rng.uniform(2, 20))), "threshold": torch.full((b,), 1.0)}
        if kind is LIFTorch:
            given["tau_syn"] = torch.full((b, 1), dt * float(rng.uniform(1.5, 8)))
        one = torch.tensor(1.0 if k % 4 == 3 else 2.0**16)
        layers += [LinearTorch((a, b), has_bias=True), kind(b, dt=dt, max_spikes_per_dt=one, **given)]
        weight = rng.normal(0.15, 0.5, (a, b)).astype(np.float32)
        layers[-2].weight = torch.nn.Parameter(torch.from_numpy(weight))
    return layers, sizes


def write(folder: Path, count: int, seed: int) -> None:
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        torch.manual_seed(seed * 1000 + k)
        layers, sizes = network(rng, k)
        graph = to_nir(Sequential(*layers), torch.zeros(1, 3, sizes[0]))
        graph.nodes["input"], graph.nodes["output"] = nir.Input(np.array(sizes[:1])), nir.Output(np.array(sizes[-1:]))
        nir.write(folder / f"{k:03}.nir", graph)
        steps = int(rng.integers(8, 21))
        frames = rng.random((SAMPLES, steps, sizes[0]))
        x = ((frames < 0.4) if k % 2 else frames).astype(np.float32)
        value, records = torch.from_numpy(x), {}
        with torch.no_grad():
            for i, layer in enumerate(layers):
                layer.reset_state()
                value, _, _ = layer(value)
                if i % 2:
                    records[f"spikes.{i}_{type(layer).__name__}"] = value.numpy().astype(np.uint8)
        if k % 2:
            records = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
