"""Writes N-MNIST as frames for any tool: python frames.py FOLDER (in the environment of snnas).

FOLDER/{train,val,test}.npz with x, uint8 (N, 8, 2, 34, 34) of 0 and 1, and y, int64 (N,). $SNNAS_DATA says where the
official files lie.
"""

import sys
from pathlib import Path

import numpy as np

from snnas.toolchain.data import load as data

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
split = data.load("nmnist", seed=0, frames=8)
for name in ("train", "val", "test"):
    x, y = getattr(split, f"x_{name}"), getattr(split, f"y_{name}")
    np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), y=y)
    print(f"{folder / name}.npz: {len(y)} recordings")
