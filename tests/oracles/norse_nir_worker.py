"""Networks in norse: written as .nir with their recordings: its own environment.

write FOLDER COUNT SEED   FOLDER/<k>.nir by norse's own exporter, and FOLDER/<k>.npz as ``snnas whose`` takes it
train FOLDER   FOLDER/<network>.nir and .npz likewise, trained on FOLDER/given.npz; .npy: the classes of x_test
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import nir  # noqa: E402
import nir_training  # noqa: E402
import norse.torch as norse  # noqa: E402
import torch  # noqa: E402

SAMPLES = 8
LIVELY = 0.05  # spikes per neuron and timestep of every layer; weights grow until they give them
CELLS = {
    "LIFBox": (norse.LIFBoxCell, norse.LIFBoxParameters),
    "LIF": (norse.LIFCell, norse.LIFParameters),
    "IAF": (norse.IAFCell, norse.IAFParameters),
}


def neuron(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> torch.nn.Module:
    cell, parameters = CELLS[kind]
    values = {"v_th": 0.5 if kind == "IAF" else float(rng.uniform(0.3, 0.8)), "v_leak": 0.0}
    values |= {"tau_mem_inv": 1 / float(rng.uniform(2e-3, 1.2e-2)), "tau_syn_inv": 1 / float(rng.uniform(1.5e-3, 6e-3))}
    return cell(parameters(**{n: torch.full(shape, v) for n, v in values.items() if n in parameters._fields}))


def network(rng: np.random.Generator, k: int) -> tuple[list[torch.nn.Module], tuple[int, ...]]:
    kind = ("LIFBox", "LIF", "IAF", "conv", "mixed")[k % 5]
    if kind == "conv":
        layers = [
            torch.nn.Conv2d(1, 3, 3, padding=1),
            neuron(rng, "LIFBox", (3, 6, 6)),
            torch.nn.Conv2d(3, 2, 3, stride=2),
            neuron(rng, "LIFBox", (2, 2, 2)),
        ]
        return layers, (1, 6, 6)
    sizes = [int(n) for n in rng.integers(5, 12, 4)]
    kinds = ("LIFBox", "LIF", "IAF") if kind == "mixed" else (kind, kind)
    layers = []
    for a, b, name in zip(sizes, sizes[1:], kinds, strict=False):
        layers += [torch.nn.Linear(a, b), neuron(rng, name, (b,))]
    return layers, (sizes[0],)


def record(layers: list[torch.nn.Module], x: np.ndarray) -> dict[str, np.ndarray]:
    states: list = [None] * len(layers)
    found: dict[str, list[torch.Tensor]] = {str(i): [] for i in range(1, len(layers), 2)}
    for t in range(x.shape[1]):
        value = torch.from_numpy(x[:, t])
        for i, layer in enumerate(layers):
            if i % 2:
                value, states[i] = layer(value, states[i])
                found[str(i)].append(value)
            else:
                value = layer(value)
    return {f"spikes.{n}": torch.stack(v, 1).numpy().astype(np.uint8) for n, v in found.items()}


@torch.no_grad()
def write(folder: Path, count: int, seed: int) -> None:
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        torch.manual_seed(seed * 1000 + k)
        layers, shape = network(rng, k)
        for layer in layers:
            for p in layer.parameters():
                p *= float(rng.uniform(3, 6)) if k % 5 != 2 else 2.0
                if k % 5 == 2:  # without a leak and dyadic: membranes meet their thresholds exactly
                    p.copy_(torch.round(p * 8) / 8)
        steps = int(rng.integers(8, 21))
        frames = rng.random((SAMPLES, steps, *shape))
        x = ((frames < 0.4) if k % 2 or k % 5 == 2 else frames).astype(np.float32)
        records = record(layers, x)
        while min(r.mean() for r in records.values()) < LIVELY:
            for layer in layers:
                for p in layer.parameters():
                    _ = p.mul_(2) if p.ndim > 1 else p.add_(0.25)
            records = record(layers, x)
        export(folder / f"{k:03}.nir", layers, shape, layers[-1].p.v_th.shape)
        if k % 2:
            records = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


def export(path: Path, layers: list[torch.nn.Module], shape: tuple[int, ...], last: tuple[int, ...]) -> None:
    graph = norse.to_nir(norse.SequentialState(*layers), torch.zeros(1, *shape))
    # its exporter leaves the batch axis in both ends
    graph.nodes["input"], graph.nodes["output"] = nir.Input(np.array(shape)), nir.Output(np.array(last))
    graph.infer_types()
    nir.write(path, graph)


def train(folder: Path) -> None:
    """Its exporter knows no Flatten: a convolution is the last layer."""

    def box(*shape: int) -> torch.nn.Module:
        values = {"tau_mem_inv": 250.0, "v_th": 0.25, "v_leak": 0.0}
        values = {n: torch.full(shape, v) for n, v in values.items()}
        return norse.LIFBoxCell(norse.LIFBoxParameters(**values, alpha=torch.tensor(10.0)))

    def forward(x: torch.Tensor) -> torch.Tensor:
        state, found = None, []
        for frame in x.unbind(1):
            y, state = net(frame, state)
            found.append(y.flatten(1))
        return torch.stack(found, 1)

    for name in nir_training.NETWORKS:
        torch.manual_seed(0)
        if name == "dense":
            shape, last = (64,), (10,)
            layers = [torch.nn.Linear(64, 48), box(48), torch.nn.Linear(48, 10), box(10)]
        else:
            shape, last = (1, 8, 8), (10, 1, 1)
            layers = [torch.nn.Conv2d(1, 8, 3, padding=1), box(8, 8, 8), torch.nn.Conv2d(8, 16, 3, stride=2)]
            layers += [box(16, 3, 3), torch.nn.Conv2d(16, 10, 3)]
        net = norse.SequentialState(*layers)
        np.save(folder / f"{name}.npy", nir_training.teach(forward, net.parameters(), shape, folder / "given.npz"))
        x = nir_training.sample(folder / "given.npz", shape)
        with torch.no_grad():
            np.savez_compressed(folder / f"{name}.npz", x=x, **record(layers, x))
            export(folder / f"{name}.nir", layers, shape, last)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        train(Path(sys.argv[2]))
