"""Networks in norse: written as .nir with their recordings, or one of ours read and run. Its own environment.

write FOLDER COUNT SEED   FOLDER/<k>.nir by norse's own exporter, and FOLDER/<k>.npz as ``snnas whose`` takes it
read MODEL.nir IN.npz OUT.npz   ``x`` (B, T, *input shape) in; spikes.<node> and output, (B, T, *shape), out
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")

import nir  # noqa: E402
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
        graph = norse.to_nir(norse.SequentialState(*layers), torch.zeros(1, *shape))
        last = layers[-1].p.v_th.shape  # its exporter leaves the batch axis in both ends
        graph.nodes["input"], graph.nodes["output"] = nir.Input(np.array(shape)), nir.Output(np.array(last))
        graph.infer_types()
        nir.write(folder / f"{k:03}.nir", graph)
        if k % 2:
            records = {"output": list(records.values())[-1]}
        np.savez_compressed(folder / f"{k:03}.npz", x=x, **records)


def in_order(net: torch.nn.Module, graph: nir.NIRGraph) -> torch.nn.Module:
    """With every node after all that feed it.

    nirtorch's executor, which norse 1.1.0 uses, goes depth first: a node that joins two branches runs when the first is
    there, and takes the other one's value of the timestep before.
    """
    nodes, done = {n.name: n for n in net.execution_order}, []
    while len(done) < len(nodes):
        done += [n for n in nodes if n not in done and all(s in done for s, d in graph.edges if d == n)]
    net.execution_order = [nodes[n] for n in sorted(done, key="output".__eq__)]
    return net


@torch.no_grad()
def read(model: Path, given: Path, out: Path) -> None:
    """One sample at a time: Flatten would take the batch with it."""
    found: dict[str, list[np.ndarray]] = {}
    x, graph = np.load(given)["x"].astype(np.float32), nir.read(model)
    for sample in x:
        net = in_order(norse.from_nir(graph, dt=1e-4), graph)
        for name, m in net.named_modules():
            if isinstance(m, norse.LIFBoxCell):
                kept = found.setdefault(f"spikes.{name}", [])
                m.register_forward_hook(
                    lambda _m, _i, y, kept=kept: kept.append((y[0] if isinstance(y, tuple) else y)[0].numpy())
                )
        state = None
        for frame in torch.from_numpy(sample):
            y, state = net(frame[None], state)
            found.setdefault("output", []).append(y[0].numpy())
    np.savez(out, **{n: np.stack(v).reshape(*x.shape[:2], *v[0].shape) for n, v in found.items()})


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        read(*(Path(a) for a in sys.argv[2:5]))
