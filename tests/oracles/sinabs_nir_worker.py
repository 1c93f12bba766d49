"""Networks in sinabs, written as .nir with their recordings: its own environment (it pins nir to 1.0.4).

write FOLDER COUNT SEED   FOLDER/<k>.nir by sinabs's own exporter, and FOLDER/<k>.npz as ``snnas whose`` takes it
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
import sinabs.layers as sl  # noqa: E402
import sinabs.nir  # noqa: E402
import torch  # noqa: E402
from sinabs.activation import MembraneReset, MembraneSubtract, MultiSpike, SingleSpike  # noqa: E402

SAMPLES = 8
LIVELY = 0.05  # spikes per neuron and timestep of every layer; weights grow until they give them


def network(rng: np.random.Generator, k: int, steps: int) -> tuple[torch.nn.Sequential, tuple[int, ...]]:
    options = {
        "spike_fn": SingleSpike if k % 3 == 1 else MultiSpike,
        "reset_fn": MembraneReset() if k % 5 == 2 else MembraneSubtract(),
        "num_timesteps": steps,
    }
    norm = k % 4 != 3

    def lif(shape: tuple[int, ...]) -> torch.nn.Module:
        tau = torch.full(shape, float(rng.uniform(1.5, 12)))
        return sl.LIFSqueeze(tau_mem=tau, spike_threshold=torch.full(shape, 0.5), norm_input=norm, **options)

    def iaf() -> torch.nn.Module:
        return sl.IAFSqueeze(spike_threshold=torch.tensor(float(rng.uniform(0.6, 1.4))), **options)

    kind = ("lif", "lif", "mixed", "conv", "iaf")[k % 5]
    if kind == "conv":
        layers = [torch.nn.Conv2d(1, 3, 3, padding=1), lif((3, 6, 6)), sl.SumPool2d(2)]
        layers += [torch.nn.Conv2d(3, 2, 2), lif((2, 2, 2)), torch.nn.Flatten(), torch.nn.Linear(8, 5), lif((5,))]
        return torch.nn.Sequential(*layers), (1, 6, 6)
    a, b, c = (int(n) for n in rng.integers(5, 12, 3))
    first = iaf() if kind == "iaf" else lif((b,))
    second = lif((c,)) if kind == "lif" else iaf()
    return torch.nn.Sequential(torch.nn.Linear(a, b), first, torch.nn.Linear(b, c), second), (a,)


def record(net: torch.nn.Sequential, x: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    value = torch.from_numpy(x).flatten(0, 1)
    for name, layer in net.named_children():
        if isinstance(layer, sl.LIF | sl.IAF):
            layer.reset_states()
        value = layer(value)
        if isinstance(layer, sl.LIF | sl.IAF):
            found[name] = value.reshape(*x.shape[:2], *value.shape[1:]).numpy().astype(np.uint8)
    return found


def train(folder: Path) -> None:
    """One spike a timestep and a reset to zero, or as they come: several, and by subtraction."""

    def lif(*shape: int, hard: bool) -> torch.nn.Module:
        given = {"tau_mem": torch.full(shape, 4.0), "spike_threshold": torch.full(shape, 0.25)}
        given |= {"spike_fn": SingleSpike, "reset_fn": MembraneReset()} if hard else {}
        return sl.LIFSqueeze(**given, norm_input=True, num_timesteps=nir_training.STEPS)

    def forward(x: torch.Tensor) -> torch.Tensor:
        for m in net:
            if isinstance(m, sl.LIF):
                m.reset_states()
        return net(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    for name in (*nir_training.NETWORKS, "default"):
        torch.manual_seed(0)
        if name == "conv":
            shape, layers = (1, 8, 8), [torch.nn.Conv2d(1, 8, 3, padding=1), lif(8, 8, 8, hard=True), sl.SumPool2d(2)]
            layers += [torch.nn.Conv2d(8, 16, 3), lif(16, 2, 2, hard=True)]
            layers += [torch.nn.Flatten(), torch.nn.Linear(64, 10)]
        else:
            shape, hard = (64,), name == "dense"
            layers = [torch.nn.Linear(64, 48), lif(48, hard=hard), torch.nn.Linear(48, 10), lif(10, hard=hard)]
        net = torch.nn.Sequential(*layers)
        weights = [p for n, p in net.named_parameters() if n.endswith(("weight", "bias"))]  # else every tau_mem too
        np.save(folder / f"{name}.npy", nir_training.teach(forward, weights, shape, folder / "given.npz"))
        x = nir_training.sample(folder / "given.npz", shape)
        with torch.no_grad():
            np.savez_compressed(folder / f"{name}.npz", x=x, **{f"spikes.{n}": r for n, r in record(net, x).items()})
            graph = sinabs.nir.to_nir(net, torch.zeros(nir_training.STEPS, *shape))
            graph.infer_types()
            nir.write(folder / f"{name}.nir", graph)


@torch.no_grad()
def write(folder: Path, count: int, seed: int) -> None:
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        torch.manual_seed(seed * 1000 + k)
        steps = int(rng.integers(8, 21))
        net, shape = network(rng, k, steps)
        strength = 10.0 if k % 4 != 3 else 2.5
        for layer in net:
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                layer.weight *= strength
        frames = rng.random((SAMPLES, steps, *shape))
        x = ((frames < 0.4) if k % 2 else frames).astype(np.float32)
        found = record(net, x)
        while min(r.mean() for r in found.values()) < LIVELY:
            for layer in net:
                if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                    layer.weight *= 2
                    layer.bias += 0.25
            found = record(net, x)
        graph = sinabs.nir.to_nir(net, torch.zeros(steps, *shape))
        graph.infer_types()  # nir 1.0.4 cannot write a convolution without
        nir.write(folder / f"{k:03}.nir", graph)
        records = {"output": list(found.values())[-1]} if k % 2 else {f"spikes.{n}": v for n, v in found.items()}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
