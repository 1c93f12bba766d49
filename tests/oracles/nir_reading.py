"""Runs .nir files of ours in a tool: the tools' workers call it.

FOLDER/<k>.nir with ``x`` (B, T, *input shape) in FOLDER/<k>.npz become FOLDER/<k>.out.npz: spikes.<node> of every
neuron that the tool made, and output, each (B, T, n); or FOLDER/<k>.error, the exception in one line.
FOLDER/versions.json gets the tool's version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

# A graph's network from rest, with the modules that spike by node, and one timestep of it: (y, state) of (x, state).
Load = Callable[[nir.NIRGraph], tuple[torch.nn.Module, dict[str, torch.nn.Module]]]


def read_all(folder: Path, load: Load) -> None:
    tool = Path(sys.argv[0]).name.removesuffix("_nir_worker.py")
    (folder / "versions.json").write_text(json.dumps({tool: version(tool)}))
    for model in sorted(folder.glob("*.nir")):
        with np.load(model.with_suffix(".npz")) as arrays:
            x = torch.from_numpy(arrays["x"].astype(np.float32))
        try:
            found = run(model, x, load)
        except Exception as error:
            model.with_suffix(".error").write_text(f"{type(error).__name__}: {' '.join(str(error).split())}")
            continue
        np.savez(model.with_suffix(".out.npz"), **found)


@torch.no_grad()
def run(model: Path, x: torch.Tensor, load: Load) -> dict[str, np.ndarray]:
    """One sample at a time: Flatten may take the batch with it."""
    found: dict[str, list[np.ndarray]] = {"output": []}
    for sample in x:
        net, neurons = load(graph_of(model))
        for name, module in neurons.items():
            kept = found.setdefault(f"spikes.{name}", [])
            module.register_forward_hook(lambda _m, _i, y, kept=kept: kept.append(first(y)))
        state = None
        for frame in sample:
            y, state = net(frame[None], state)
            found["output"].append(first(y))
    return {n: np.stack(v).reshape(*x.shape[:2], -1) for n, v in found.items()}


def graph_of(model: Path) -> nir.NIRGraph:
    """nir 1.0.8 infers wrong shapes for kernels that are not square, and refuses its own right ones."""
    try:
        return nir.read(model)
    except ValueError:
        return nir.read(model, type_check=False)


def first(y: Any) -> np.ndarray:
    return (y[0] if isinstance(y, tuple) else y).reshape(-1).numpy()
