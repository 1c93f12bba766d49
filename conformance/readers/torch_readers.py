"""What the readers of torch packages share: a network stepped through time, with the spikes of its neurons.

The whole batch goes in at once, as users do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
import torch


def graph_of(path: str) -> Any:
    """Nir 1.0.8 infers wrong shapes for kernels that are not square and for groups, and refuses its own right ones."""
    try:
        return nir.read(path)
    except ValueError:
        return nir.read(path, type_check=False)


@torch.no_grad()
def stepped(
    net: torch.nn.Module,
    neurons: Mapping[str, torch.nn.Module],
    x: np.ndarray,
    forward: Callable[[torch.Tensor, Any], tuple[Any, Any]] | None = None,
) -> dict[str, np.ndarray]:
    """forward: (frame, state) -> (output, state) of one timestep; ``net`` itself where it is None."""
    kept: dict[str, list[np.ndarray]] = {f"spikes/{name}": [] for name in neurons}
    for name, module in neurons.items():
        module.register_forward_hook(lambda _m, _i, y, key=f"spikes/{name}": kept[key].append(_first(y)))
    step, state, output = forward or net, None, []
    for t in range(x.shape[1]):
        y, state = step(torch.from_numpy(x[:, t]), state)
        output.append(_first(y))
    steps = len(output)
    found = {name: np.stack(v, 1) for name, v in kept.items() if len(v) == steps}
    return {"output": np.stack(output, 1), **found}


def _first(y: Any) -> np.ndarray:
    """Of a neuron that gives its state as well, what it gives on."""
    return (y[0] if isinstance(y, tuple) else y).detach().numpy().copy()
