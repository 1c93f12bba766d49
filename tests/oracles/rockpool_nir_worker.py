"""Networks in rockpool, written as .nir with their recordings: its own environment.

  write FOLDER COUNT SEED   FOLDER/<k>.nir by rockpool's own mapping, and FOLDER/<k>.npz as ``snnas whose`` takes it
  train FOLDER   FOLDER/<network>.nir and .npz likewise, trained on FOLDER/given.npz; .npy: the classes of x_test

``to_nir`` itself leaves batch and time in the shapes of Input and Output, which nobody reads: they are set right here.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import nir  # noqa: E402
import nir_training  # noqa: E402
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
        export(folder / f"{k:03}.nir", layers, sizes)
        steps = int(rng.integers(8, 21))
        frames = rng.random((SAMPLES, steps, sizes[0]))
        x = ((frames < 0.4) if k % 2 else frames).astype(np.float32)
        records = record(layers, x)
        if k % 2:
            records = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


def export(path: Path, layers: list, sizes: list[int]) -> None:
    graph = to_nir(Sequential(*layers), torch.zeros(1, 3, sizes[0]))
    graph.nodes["input"], graph.nodes["output"] = nir.Input(np.array(sizes[:1])), nir.Output(np.array(sizes[-1:]))
    nir.write(path, graph)


@torch.no_grad()
def record(layers: list, x: np.ndarray) -> dict[str, np.ndarray]:
    value, records = torch.from_numpy(x), {}
    for i, layer in enumerate(layers):
        layer.reset_state()
        value, _, _ = layer(value)
        if i % 2:
            records[f"spikes.{i}_{type(layer).__name__}"] = value.numpy().astype(np.uint8)
    return records


def train(folder: Path) -> None:
    """It exports no convolution, and knows no reset but by subtraction. One spike a timestep, or as they come."""

    def lif(n: int, *, one: bool) -> torch.nn.Module:
        most = torch.tensor(1.0 if one else 2.0**16)
        given = {"tau_mem": torch.full((n,), 4e-3), "threshold": torch.full((n,), 1.0)}
        given |= {"learning_window": torch.tensor(1.0)}
        return LIFNeuronTorch(n, dt=1e-3, max_spikes_per_dt=most, **given)

    def forward(x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            layer.reset_state()
            x, _, _ = layer(x)
        return x

    for name in ("dense", "default"):
        torch.manual_seed(0)
        sizes, one = [64, 48, 10], name == "dense"
        layers = [LinearTorch((64, 48), has_bias=True), lif(48, one=one), LinearTorch((48, 10), has_bias=True)]
        parameters = [p for layer in layers[::2] for p in layer.parameters().astorch()]
        np.save(folder / f"{name}.npy", nir_training.teach(forward, parameters, (64,), folder / "given.npz"))
        x = nir_training.sample(folder / "given.npz", (64,))
        np.savez_compressed(folder / f"{name}.npz", x=x, **record(layers, x))
        with torch.no_grad():
            export(folder / f"{name}.nir", layers, sizes)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
