"""Data of your own: writes bars.npz and searches a network for it: python own_data.py [FOLDER]"""

import sys
from pathlib import Path

import numpy as np

import snnas

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(0)
y = rng.integers(0, 4, 240)  # a bar that moves: lying, upright, and the two diagonals
bar = np.zeros((8, 8), np.uint8)
bar[3] = 1
bars = np.stack([bar, bar.T, np.eye(8, dtype=np.uint8), np.eye(8, dtype=np.uint8)[::-1]])
x = np.zeros((len(y), 6, 1, 8, 8), np.uint8)  # (N, T, C, H, W): a frame per timestep; 0 and 1 are spikes
for sample, kind in enumerate(y):
    for t, at in enumerate(rng.integers(0, 8) + np.arange(6)):
        x[sample, t, 0] = np.roll(bars[kind], at, axis=1 if kind else 0)
np.savez(folder / "bars.npz", x=x, y=y)

data, runs = str(folder / "bars.npz"), folder / "runs"
options = snnas.SearchOptions(dataset=data, runs_dir=runs, trainings=8, epochs=15)
run = snnas.run_search(options, snnas.Narrator()).run
print(f"{run.path}: validation accuracy {run.table('training')['validation_accuracy']:.1%}")
print(f"on target: snnas export {run.path}")
