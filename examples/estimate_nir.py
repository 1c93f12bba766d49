"""A graph that nir wrote, compiled and priced: python estimate_nir.py [FOLDER]"""

import sys
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np

import snnas

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(0)


def lif(n: int) -> nir.LIF:
    one = np.ones(n)  # tau is in seconds: five timesteps of 1e-4 s
    return nir.LIF(tau=5e-4 * one, r=one, v_leak=0 * one, v_threshold=0.25 * one)


nodes = {
    "input": nir.Input({"input": np.array([16])}),
    "w1": nir.Affine(weight=rng.normal(0, 0.5, (32, 16)), bias=np.full(32, 0.1)),
    "lif1": lif(32),
    "w2": nir.Linear(weight=rng.normal(0, 0.5, (4, 32))),
    "lif2": lif(4),
    "output": nir.Output({"output": np.array([4])}),
}
names = list(nodes)
nir.write(folder / "model.nir", nir.NIRGraph(nodes, list(pairwise(names))))
x = (rng.random((20, 10, 16)) < 0.3).astype(np.uint8)  # (N, T, ...): spikes
program = snnas.read_graph(folder / "model.nir").compile(x[:4])
bill = program.estimate(x[4:])
print("notes:", *program.notes)
print(f"{bill.figures['fit']['cores']} core; {bill.figures['spikes_per_inference']['mean']:.0f} spikes per inference")
print(f"energy: {bill.figures['energy_uJ']['total']} uJ")
print("not priced:", ", ".join(entry["item"] for entry in bill.figures["energy_uJ"]["unpriced"]))
