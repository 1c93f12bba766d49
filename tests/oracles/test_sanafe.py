"""Counts and prices against SANA-FE 2.2.9's own simulation of Loihi, in a process and environment of its own.

``SNNAS_SANAFE_PYTHON`` names an interpreter that has it (``pip install sanafe``). Same spikes, and the same energy
within 1e-9, on random networks over several cores. SANA-FE charges the sources of input their messages and hops, and
needs one hardware step more (input stands on a core there): both are added by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.map.mapping import Mapping, load_system, map_program
from snnas.hw_sim.map.wiring import READOUT
from snnas.hw_sim.program import INPUT, LinearMap, Population, Program, Schedule, Shape, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate
from tests.hw_sim.simulate.test_counts import unrolled

pytestmark = pytest.mark.oracle
WORKER = Path(__file__).with_name("sanafe_worker.py")
INPUT_CORE = 127  # far from everything, so that the input's hops count


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("SNNAS_SANAFE_PYTHON")
    if not found:
        pytest.skip("SANA-FE: set SNNAS_SANAFE_PYTHON to a Python that has it (pip install sanafe)")
    return found


def random_net(rng: np.random.Generator) -> Program:
    """Dense, sparse and convolution; no leak (SANA-FE truncates on another grid); weights above zero, so that a

    neuron's state is zero after a spike only.
    """

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(1, 30, shape).astype(np.int8)

    def population(name: str, shape: Shape) -> Population:
        bias = np.zeros((shape[0], 1, 1), dtype=np.int16)
        return Population(id=name, shape=shape, dv=0, vth=int(rng.integers(20, 150)), scale=1.0, bias=bias)

    rows = rng.random((9, 3 * 5 * 4)) < 0.3
    rows[:, 0] = True  # no row is empty
    sparse = LinearMap(
        kind="sparse",
        weight=weights(int(rows.sum())),
        indices=np.nonzero(rows)[1].astype(np.int32),
        indptr=np.concatenate([[0], rows.sum(axis=1).cumsum()]).astype(np.int32),
    )
    maps = [
        LinearMap(kind="conv", weight=weights(4, 2, 3, 3), pad=(1, 1)),
        LinearMap(kind="conv", weight=weights(3, 4, 3, 3), pad=(1, 1)),
        sparse,
        LinearMap(kind="dense", weight=weights(12, 9)),
    ]
    shapes: list[Shape] = [(4, 5, 4), (3, 5, 4), (9, 1, 1), (12, 1, 1)]
    names = ["a", "b", "c", "d"]
    made = Program(
        timesteps=6,
        input_shape=(2, 5, 4),
        input_kind="spikes",
        populations=tuple(population(n, s) for n, s in zip(names, shapes, strict=True)),
        synapses=tuple(
            Synapse(id=f"s{n}", src=src, dst=n, map=m) for n, src, m in zip(names, [INPUT, *names], maps, strict=False)
        ),
        host=(),
        readout=summed(src="d", weight=weights(3, 12), bias=np.zeros(3, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={n: i for i, n in enumerate(names)}),
    )
    made.verify()
    return made


def task(made: Program, mapping: Mapping, spikes_in: np.ndarray) -> dict[str, Any]:
    """The program as the worker takes it. Weights and thresholds as they are: integers, exact in SANA-FE."""
    sizes = {p.id: p.shape for p in made.populations} | {READOUT: (made.readout.classes, 1, 1)}
    maps = {s.id: s.map for s in made.synapses} | {
        READOUT: LinearMap(kind="dense", weight=made.readout.readings[0].weight)
    }
    wires = unrolled_weights(made, maps)
    formats = {dst: maps[name].kind for name, (_, dst, _) in wires.items()}
    trains = spikes_in[0].reshape(made.timesteps, -1).T.astype(int).tolist()
    populations = [
        {"name": "in", "format": "dense", "threshold": 0, "cores": [INPUT_CORE] * len(trains), "trains": trains}
    ]
    for name, shape in sizes.items():
        cores = np.zeros(shape, dtype=int)
        for part in mapping.of(name):
            cores[part.where] = part.core
        vth = 10**9 if name == READOUT else made.population(name).vth
        populations.append(
            {
                "name": name.strip("@"),
                "format": formats[name],
                "threshold": vth,
                "cores": cores.ravel().tolist(),
                "trains": None,
            }
        )
    edges = []
    for src, dst, matrix in wires.values():
        j, i = np.nonzero(matrix)
        ends = {"src": "in" if src == INPUT else src, "dst": dst.strip("@")}
        edges.append({**ends, "pairs": np.stack([i, j], axis=1).tolist(), "weights": matrix[j, i].tolist()})
    steps = made.timesteps + made.schedule.total_depth + 1
    return {"steps": steps, "populations": populations, "edges": edges}


def unrolled_weights(made: Program, maps: dict[str, LinearMap]) -> dict[str, tuple[str, str, np.ndarray]]:
    """{synapse: (source, target, int weights (targets, sources))}."""
    from snnas.hw_sim.linear import apply

    found = {}
    for name, (src, dst, _, _) in unrolled(replace_readout(made)).items():
        shape = made.source_shape(src)
        n = int(np.prod(shape))
        target = (made.readout.classes, 1, 1) if dst == READOUT else made.population(dst).shape
        matrix = apply(maps[name], np.eye(n).reshape(n, *shape), target).reshape(n, -1).T
        found[name] = (src, dst, matrix.astype(int))
    return found


def replace_readout(made: Program) -> Program:
    """``unrolled`` knows two classes."""
    r = made.readout
    first = replace(r.readings[0], weight=r.readings[0].weight[:2])
    return replace(made, readout=replace(r, readings=(first,), bias=r.bias[:, :2]))


@pytest.mark.parametrize("seed", range(6))
def test_equal_spikes_and_energy(python: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = random_net(rng)
    system = replace(load_system(), compartments=int(rng.integers(5, 30)), chips=(1,))
    mapping = map_program(made, system)
    assert mapping.fits
    assert mapping.cores > 5
    spikes_in = rng.random((1, made.timesteps, *made.input_shape)) < 0.4
    done = subprocess.run(
        [python, str(WORKER)],
        input=json.dumps(task(made, mapping, spikes_in)),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    theirs = json.loads(done.stdout)
    trace = simulate(made, spikes_in=spikes_in)
    ours = {
        (p.id, int(n), int(t) + made.schedule.depth[p.id] + 1)
        for p in made.populations
        for t, n in np.argwhere(trace.spikes[p.id][0].reshape(made.timesteps, -1))
    }
    assert {(p, n, t) for p, n, t in theirs["spikes"] if p != "in"} == ours
    assert len(ours) > 20
    counter = Counter(made, mapping)
    counter.add(trace, spikes_in=spikes_in)
    bill = price(counter.result(), load_profile("loihi1_calibrated"), None)
    assert bill.dynamic is not None
    compartments = sum(p.size for p in made.populations) + made.readout.classes
    extra = compartments * 51.2e-6 + input_hops(made, mapping, spikes_in)
    joules = theirs["energy"]
    assert (bill.dynamic.nominal + extra) * 1e-6 == pytest.approx(joules["total"], rel=1e-9)
    synapses = sum(line.energy.nominal for line in bill.lines if line.item.startswith("synop")) * 1e-6
    assert synapses == pytest.approx(joules["synapse"], rel=1e-9)


def input_hops(made: Program, mapping: Mapping, spikes_in: np.ndarray) -> float:
    """Microjoules of the hops from the input's core, message by message."""
    _, x, y = mapping.system.position(INPUT_CORE)
    matrix = unrolled(replace_readout(made))["sa"][3]
    core = np.zeros(made.population("a").shape, dtype=int)
    for part in mapping.of("a"):
        core[part.where] = part.core
    total = 0.0
    for _, neuron in np.argwhere(spikes_in[0].reshape(made.timesteps, -1)):
        for there in set(core.ravel()[np.flatnonzero(matrix[:, neuron])].tolist()):
            _, column, row = mapping.system.position(there)
            total += 3.0 * abs(column - x) + 4.2 * abs(row - y)
    return total * 1e-6
