"""Trains in snntorch alone, and writes what its own exporter gives: python train.py FOLDER (in snntorch's environment).

Needs snntorch, nir and nirtorch. FOLDER/{train,val,test}.npz as frames.py writes them. FOLDER/model.nir is the network,
and FOLDER/recorded.npz what it did on eight samples of noise, as ``snnas whose`` takes it.
"""

import sys
import warnings
from pathlib import Path

import nir
import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from snntorch.export_nir import export_to_nir
from torch import Tensor, nn

warnings.filterwarnings("ignore", category=DeprecationWarning)
EPOCHS, BATCH, RATE = 30, 32, 3e-3
SHIFT = 2  # pixels, of the augmentation
SPIKING = ("1", "3")  # the neurons' names in the network, and in the file


def leaky(*shape: int) -> nn.Module:
    """NIR wants parameters in the layer's shape. The reset is to zero: no chip of Loihi's family subtracts."""
    return snn.Leaky(
        beta=torch.full(shape, 0.75),
        threshold=torch.full(shape, 1.0),
        reset_mechanism="zero",
        spike_grad=surrogate.atan(),
        init_hidden=True,
    )


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 8, 5, stride=2),
        leaky(8, 15, 15),
        nn.Conv2d(8, 16, 3, stride=2),
        leaky(16, 7, 7),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),  # nothing fires behind it: its output, summed over time, is the answer
    )


def run(net: nn.Sequential, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """x (B, T, 2, 34, 34): the output (B, T, 10), and the spikes (B, T, C, H, W) by layer."""
    for layer in net:
        if isinstance(layer, snn.Leaky):
            layer.mem = torch.zeros(0)
    outputs, spikes = [], {name: [] for name in SPIKING}
    for t in range(x.shape[1]):
        value = x[:, t]
        for name, layer in net.named_children():
            value = layer(value)
            if name in spikes:
                spikes[name].append(value)
        outputs.append(value)
    return torch.stack(outputs, 1), {name: torch.stack(s, 1) for name, s in spikes.items()}


def read(path: Path) -> tuple[Tensor, Tensor]:
    with np.load(path) as arrays:
        return torch.from_numpy(arrays["x"]).float(), torch.from_numpy(arrays["y"])


def shifted(x: Tensor) -> Tensor:
    down, right = (int(n) for n in torch.randint(-SHIFT, SHIFT + 1, (2,)))
    return torch.roll(x, (down, right), (3, 4))  # the borders of the recordings are all but empty


@torch.no_grad()
def accuracy(net: nn.Sequential, x: Tensor, y: Tensor) -> float:
    return float((run(net, x)[0].sum(1).argmax(1) == y).float().mean())


def train(net: nn.Sequential, folder: Path) -> None:
    (x, y), val = read(folder / "train.npz"), read(folder / "val.npz")
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        for k in range(len(x) // BATCH):
            batch = order[k * BATCH : (k + 1) * BATCH]
            loss = nn.functional.cross_entropy(run(net, shifted(x[batch]))[0].mean(1), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, validation {accuracy(net, *val):.1%}", flush=True)


@torch.no_grad()
def write(net: nn.Sequential, folder: Path) -> None:
    run(net, torch.zeros(1, 1, 2, 34, 34))
    nir.write(folder / "model.nir", export_to_nir(net, torch.zeros(1, 2, 34, 34), ignore_dims=[0]))
    noise = np.random.default_rng(0).random((8, 8, 2, 34, 34)) < 0.15  # nobody's data: it can go with the model
    _, spikes = run(net, torch.from_numpy(noise).float())
    records = {f"spikes.{name}": s.numpy().astype(bool) for name, s in spikes.items()}
    np.savez_compressed(folder / "recorded.npz", x=noise, **records)
    print({name: f"{s.float().mean():.1%} of neurons and timesteps fire" for name, s in spikes.items()})


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    net = network()
    train(net, folder)
    print(f"test: {accuracy(net, *read(folder / 'test.npz')):.1%}")
    write(net, folder)
