"""Networks in snntorch: written as .nir with their recordings: its own environment.

  write FOLDER COUNT SEED   FOLDER/<k>.nir by snntorch's own exporter, and FOLDER/<k>.npz as ``snnas whose`` takes it
  train FOLDER   FOLDER/<network>.nir and .npz likewise, trained on FOLDER/given.npz; .npy: the classes of x_test

Hidden state is reset before each sample. (n,) parameters, as NIR needs; the sample's batch axis named to the exporter.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import nir  # noqa: E402
import nir_training  # noqa: E402
import snntorch as snn  # noqa: E402
import torch  # noqa: E402
from snntorch import surrogate  # noqa: E402
from snntorch.export_nir import export_to_nir  # noqa: E402

SAMPLES = 8
LIVELY = 0.05  # spikes per neuron and timestep of every layer; weights grow until they give them


def full(shape: tuple[int, ...], value: float) -> torch.Tensor:
    return torch.full(shape, value)


def neuron(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], reset: str, *, dyadic: bool = False
) -> torch.nn.Module:
    beta, threshold = full(shape, float(rng.uniform(0.5, 0.95))), full(shape, float(rng.uniform(0.6, 1.2)))
    if dyadic:
        beta, threshold = full(shape, float(rng.choice([0.5, 0.75]))), full(shape, 1.0)
    given = {"threshold": threshold, "init_hidden": True, "reset_mechanism": reset}
    if kind == "Synaptic":
        return snn.Synaptic(alpha=full(shape, float(rng.uniform(0.3, 0.8))), beta=beta, **given)
    if kind == "RLeaky":
        return snn.RLeaky(beta=beta, linear_features=shape[0], **given)
    return snn.Leaky(beta=beta, reset_delay=bool(rng.random() < 0.7), **given)


def network(rng: np.random.Generator, k: int) -> tuple[torch.nn.Sequential, tuple[int, ...]]:
    """Every fourth one is dyadic: its membranes meet their thresholds exactly."""
    kind = ("Leaky", "Synaptic", "RLeaky", "conv")[k % 4]
    reset = "subtract" if k % 3 else "zero"
    if kind == "conv":
        layers = [
            torch.nn.Conv2d(1, 3, 3, padding=1),
            neuron(rng, "Leaky", (3, 6, 6), reset),
            torch.nn.Conv2d(3, 2, 3, stride=2),
            neuron(rng, "Leaky", (2, 2, 2), reset),
        ]
        layers[3].reset_delay = layers[1].reset_delay
        return torch.nn.Sequential(*layers), (1, 6, 6)
    sizes = [int(n) for n in rng.integers(5, 12, 3)]
    first, second = (neuron(rng, kind, (n,), reset, dyadic=k % 4 == 0) for n in sizes[1:])
    if kind == "Leaky":
        second.reset_delay = first.reset_delay
    layers = [torch.nn.Linear(sizes[0], sizes[1]), first, torch.nn.Linear(sizes[1], sizes[2]), second]
    return torch.nn.Sequential(*layers), (sizes[0],)


def fresh(net: torch.nn.Module) -> None:
    for m in net.modules():
        for name in ("mem", "syn", "spk"):
            if isinstance(m, snn.SpikingNeuron) and hasattr(m, name):
                setattr(m, name, torch.zeros(0))


def record(net: torch.nn.Sequential, x: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, list[torch.Tensor]] = {n: [] for n, m in net.named_children() if isinstance(m, snn.SpikingNeuron)}
    fresh(net)
    for t in range(x.shape[1]):
        value = torch.from_numpy(x[:, t])
        for name, layer in net.named_children():
            value = layer(value)
            if name in found:
                found[name].append(value)
    fresh(net)
    return {name: torch.stack(v, 1).numpy().astype(np.uint8) for name, v in found.items()}


@torch.no_grad()
def write(folder: Path, count: int, seed: int) -> None:
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        torch.manual_seed(seed * 1000 + k)
        net, shape = network(rng, k)
        for p in net.parameters():
            if p.ndim > 1:
                p *= float(rng.uniform(2, 4))
            if k % 4 == 0:
                p.copy_(torch.round(p * 8) / 8)
        steps = int(rng.integers(8, 21))
        frames = rng.random((SAMPLES, steps, *shape))
        x = ((frames < 0.4) if k % 2 or k % 4 == 0 else frames).astype(np.float32)
        records = record(net, x)
        while min(r.mean() for r in records.values()) < LIVELY:
            for p in net.parameters():
                _ = p.mul_(2) if p.ndim > 1 else p.add_(0.25)
            records = record(net, x)
        nir.write(folder / f"{k:03}.nir", export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0]))
        nodes = nir.read(folder / f"{k:03}.nir").nodes
        named = {f"spikes.{n if n in nodes else n + '.lif'}": r for n, r in records.items()}
        if k % 2:
            named = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **named)


def train(folder: Path) -> None:
    """Reset to zero; by subtraction (soft); or as it comes: by subtraction, a timestep late."""

    def leaky(*shape: int) -> torch.nn.Module:
        given = {"reset_mechanism": "zero"} if name in nir_training.NETWORKS else {"reset_delay": name == "default"}
        given |= {"init_hidden": True, "spike_grad": surrogate.atan()}
        return snn.Leaky(beta=full(shape, 0.75), threshold=full(shape, 1.0), **given)

    def forward(x: torch.Tensor) -> torch.Tensor:
        fresh(net)
        return torch.stack([net(frame) for frame in x.unbind(1)], 1)

    for name in (*nir_training.NETWORKS, "default", "soft"):
        torch.manual_seed(0)
        if name != "conv":
            shape, layers = (64,), [torch.nn.Linear(64, 48), leaky(48), torch.nn.Linear(48, 10), leaky(10)]
        else:
            shape, layers = (1, 8, 8), [torch.nn.Conv2d(1, 8, 3, padding=1), leaky(8, 8, 8)]
            layers += [torch.nn.Conv2d(8, 16, 3, stride=2), leaky(16, 3, 3)]
            layers += [torch.nn.Flatten(), torch.nn.Linear(144, 10)]
        net = torch.nn.Sequential(*layers)
        np.save(folder / f"{name}.npy", nir_training.teach(forward, net.parameters(), shape, folder / "given.npz"))
        x = nir_training.sample(folder / "given.npz", shape)
        with torch.no_grad():
            records = {f"spikes.{n}": r for n, r in record(net, x).items()}
            nir.write(folder / f"{name}.nir", export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0]))
        np.savez_compressed(folder / f"{name}.npz", x=x, **records)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        train(Path(sys.argv[2]))
