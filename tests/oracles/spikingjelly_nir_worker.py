"""Networks in spikingjelly, written as .nir with their recordings: its own environment (its exporter needs nirtorch).

write FOLDER COUNT SEED   FOLDER/<k>.nir by spikingjelly's own exporter, and FOLDER/<k>.npz as ``snnas whose`` takes it
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
import torch  # noqa: E402
from spikingjelly.activation_based import functional, layer, neuron  # noqa: E402
from spikingjelly.activation_based.nir_exchange import export_to_nir  # noqa: E402

SAMPLES = 8
LIVELY = 0.05  # spikes per neuron and timestep of every layer; weights grow until they give them


class Skip(torch.nn.Module):
    def __init__(self, rng: np.random.Generator, n: int, m: int) -> None:
        super().__init__()
        self.a, self.b, self.c = layer.Linear(n, m), layer.Linear(m, m), layer.Linear(m, m)
        self.na, self.nb, self.nc = (lif(rng, "lif") for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.na(self.a(x))
        return self.nc(self.c(self.nb(self.b(first))) + first)


def lif(rng: np.random.Generator, kind: str, *, dyadic: bool = False) -> torch.nn.Module:
    threshold = float(rng.choice([0.75, 1.0])) if dyadic else float(rng.uniform(0.6, 1.2))
    if kind == "if":
        return neuron.IFNode(v_threshold=threshold)
    if kind == "cuba":
        decays = (float(d) for d in rng.uniform(0.3, 0.8, 2))
        return neuron.CUBALIFNode(*decays, v_threshold=threshold, v_reset=0.0)
    reset = -0.25 if rng.random() < 0.2 else 0.0
    tau = float(rng.choice([2.0, 4.0])) if dyadic else float(rng.uniform(1.3, 6))
    return neuron.LIFNode(tau=tau, decay_input=bool(rng.random() < 0.5), v_threshold=threshold, v_reset=reset)


def network(rng: np.random.Generator, k: int) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Every fourth one is dyadic: its membranes meet their thresholds exactly."""
    dyadic = k % 4 == 3
    kind = ("lif", "cuba", "if", "conv", "skip")[k % 5]
    n, m, o = (int(s) for s in rng.integers(5, 12, 3))
    if kind == "skip":
        return Skip(rng, n, m), (n,)
    if kind == "conv":
        layers = [layer.Conv2d(1, 3, 3, padding=1), lif(rng, "lif"), layer.AvgPool2d(2), layer.Conv2d(3, 2, 2)]
        layers[3].weight.data.abs_()
        return torch.nn.Sequential(*layers, lif(rng, "lif"), layer.Flatten(), layer.Linear(8, o), lif(rng, "lif")), (
            1,
            6,
            6,
        )
    return torch.nn.Sequential(
        layer.Linear(n, m), lif(rng, kind, dyadic=dyadic), layer.Linear(m, o), lif(rng, kind, dyadic=dyadic)
    ), (n,)


def record(net: torch.nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, list[torch.Tensor]] = {}
    hooks = []
    for name, m in net.named_modules():
        if isinstance(m, neuron.BaseNode):
            found[name] = []
            hooks.append(m.register_forward_hook(lambda _m, _i, out, kept=found[name]: kept.append(out)))
    functional.reset_net(net)
    for t in range(x.shape[1]):
        net(torch.from_numpy(x[:, t]))
    for hook in hooks:
        hook.remove()
    return {n: torch.stack(v, 1).numpy().astype(np.uint8) for n, v in found.items()}


def named(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The records under the names that its exporter gives the nodes."""
    return {f"spikes.{n if n.isidentifier() else '_' + n}": v for n, v in found.items()}


def train(folder: Path) -> None:
    def node() -> torch.nn.Module:
        return neuron.LIFNode(tau=4.0, decay_input=False, v_reset=0.0)

    def forward(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return torch.stack([net(frame) for frame in x.unbind(1)], 1)

    for name in nir_training.NETWORKS:
        torch.manual_seed(0)
        if name == "dense":
            shape, layers = (64,), [layer.Linear(64, 48), node(), layer.Linear(48, 10), node()]
        else:
            shape, layers = (1, 8, 8), [layer.Conv2d(1, 8, 3, padding=1), node(), layer.AvgPool2d(2)]
            layers += [layer.Conv2d(8, 16, 3), node(), layer.Flatten(), layer.Linear(64, 10)]
        net = torch.nn.Sequential(*layers)
        np.save(folder / f"{name}.npy", nir_training.teach(forward, net.parameters(), shape, folder / "given.npz"))
        x = nir_training.sample(folder / "given.npz", shape)
        with torch.no_grad():
            np.savez_compressed(folder / f"{name}.npz", x=x, **named(record(net, x)))
            functional.reset_net(net)
            nir.write(folder / f"{name}.nir", export_to_nir(net, torch.zeros(1, *shape)))


@torch.no_grad()
def write(folder: Path, count: int, seed: int) -> None:
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        torch.manual_seed(seed * 1000 + k)
        net, shape = network(rng, k)
        for p in net.parameters():
            if p.ndim > 1:
                p *= float(rng.uniform(3, 5))
            if k % 4 == 3:
                p.copy_(torch.round(p * 8) / 8)
        steps = int(rng.integers(8, 21))
        frames = rng.random((SAMPLES, steps, *shape))
        x = ((frames < 0.4) if k % 2 else frames).astype(np.float32)
        functional.set_step_mode(net, "s")
        found = record(net, x)
        while min(r.mean() for r in found.values()) < LIVELY:
            for p in net.parameters():
                _ = p.mul_(2) if p.ndim > 1 else p.add_(0.25)
            found = record(net, x)
        functional.reset_net(net)
        nir.write(folder / f"{k:03}.nir", export_to_nir(net, torch.zeros(1, *shape)))
        records = named(found)
        if k % 2:
            records = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
