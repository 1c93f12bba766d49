"""sinabs: ``from_nir`` as it comes, with the older nir that it pins; ``without_reset`` leaves v_reset out of the file.

sinabs 3.1.3 asks for nir <= 1.0.4, which refuses the v_reset that every newer nir writes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import nir
import numpy as np
import sinabs.nir
import torch

VERSIONS = ("sinabs", "nirtorch", "torch")


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Time and batch are one axis to sinabs: (B T, *shape)."""
    net = sinabs.nir.from_nir(nir.read(path), batch_size=len(x))
    with torch.no_grad():
        y = net(torch.from_numpy(x.reshape(-1, *x.shape[2:])))
    y = y[0] if isinstance(y, tuple) else y
    return {"output": y.numpy().reshape(*x.shape[:2], *y.shape[1:])}


def without_reset(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Of a copy of the file that lacks every v_reset, where they are all 0."""
    with tempfile.TemporaryDirectory() as folder:
        older = Path(folder) / "older.nir"
        older.write_bytes(Path(path).read_bytes())
        with h5py.File(older, "r+") as file:
            for node in file["node/nodes"].values():
                if "v_reset" in node:
                    if np.any(node["v_reset"][()]):
                        raise ValueError("its v_reset is not 0, which nir 1.0.4 cannot say")
                    del node["v_reset"]
        return read(str(older), x)
