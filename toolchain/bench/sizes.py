"""What a timestep of simulation costs by neurons, synapses and activity, up to a million neurons: table and picture."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from snnas.hw_sim.program import INPUT, LinearMap, Population, Program, Schedule, Shape, Synapse
from snnas.hw_sim.readout import summed
from snnas.toolchain.output.drawing import Panel, write_drawing
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.svg import Key, Plane, around_logs

TIMESTEPS = 8
EXTENTS = (11, 36, 114, 363)  # 8 channels of so many points squared: 1 k, 10 k, 104 k and 1.05 M neurons
ACTIVITIES = (0.01, 0.1, 0.5)
CHANNELS = (8, 32, 128)  # inputs of a convolution: synapses at 104 k neurons


def sizes(narrator: Narrator, *, seed: int) -> list[dict[str, float]]:
    """Rows of neurons, synapses (expanded), activity (input spikes per neuron and timestep), us per timestep of one
    sample, ns_per_neuron. One convolution 3x3 of 8 output channels, its spikes handed over.
    """
    cases = [(8, extent, activity) for extent in EXTENTS for activity in ACTIVITIES]
    cases += [(channels, EXTENTS[2], 0.1) for channels in CHANNELS if channels != 8]
    rows = []
    with narrator.progress("cost by size") as advance:
        for k, (channels, extent, activity) in enumerate(cases):
            rows.append(_row(channels, extent, activity, seed))
            advance(k + 1, len(cases))
    return rows


def _row(channels: int, extent: int, activity: float, seed: int) -> dict[str, float]:
    from snnas.hw_sim.linear import fan_out
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

    rng = np.random.default_rng(seed)
    program = one_layer(channels, extent, activity, rng)
    neurons = program.populations[0].size
    samples = max(1, 400_000 // neurons)
    spikes = rng.random((samples, TIMESTEPS, *program.input_shape), dtype=np.float32) < activity
    simulator = TorchSimulator(program)
    trace = simulator.run(spikes_in=spikes)  # the first is not timed
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        simulator.run(spikes_in=spikes)
        best = min(best, time.perf_counter() - began)
    step = best / samples / TIMESTEPS
    return {
        "neurons": neurons,
        "synapses": float(fan_out(program.synapses[0].map, program.input_shape).sum()),
        "activity": activity,
        "firing": float(trace.spikes["layer"].mean()),
        "us": 1e6 * step,
        "ns_per_neuron": 1e9 * step / neurons,
    }


def one_layer(channels: int, extent: int, activity: float, rng: np.random.Generator) -> Program:
    """An input (channels, extent, extent) -> conv 3x3 -> 8 channels, some of whose neurons fire at any activity."""
    source: Shape = (channels, extent, extent)
    shape: Shape = (8, extent, extent)
    weight = rng.integers(-40, 41, (8, channels, 3, 3)).astype(np.int8)
    deviation = 23.4 * np.sqrt(9 * channels * activity)  # of the input, in weight units
    zero = np.zeros((8, 1, 1), dtype=np.int16)
    layer = Population(id="layer", shape=shape, dv=3072, vth=max(1, int(1.2 * deviation)), scale=1.0, bias=zero)
    program = Program(
        timesteps=TIMESTEPS,
        input_shape=source,
        input_kind="spikes",
        populations=(layer,),
        synapses=(Synapse(id="s", src=INPUT, dst="layer", map=LinearMap(kind="conv", weight=weight, pad=(1, 1))),),
        host=(),
        readout=summed(
            src="layer", weight=np.ones((1, layer.size), dtype=np.int8), bias=np.zeros(1, dtype=np.int64), scale=1.0
        ),
        schedule=Schedule(period=1, depth={"layer": 0}),
    )
    program.verify()
    return program


def write_picture(rows: list[dict[str, float]], path: Path) -> None:
    """Time per timestep over neurons, a line per activity, and over synapses, as an .svg."""
    extent = 8 * EXTENTS[2] ** 2
    lines = [[r for r in rows if r["activity"] == a and r["synapses"] / r["neurons"] < 73] for a in ACTIVITIES]
    same = sorted((r for r in rows if r["activity"] == 0.1 and r["neurons"] == extent), key=lambda r: r["synapses"])
    times = around_logs([r["us"] for r in rows])
    left = Plane(around_logs([r["neurons"] for line in lines for r in line]), times, log=True)
    left.axes("neurons, of 72 synapses each", "microseconds per timestep and sample")
    for k, line in enumerate(lines):
        left.line([r["neurons"] for r in line], [r["us"] for r in line], f"c{k + 1}", kind=k)
    right = Plane(around_logs([r["synapses"] for r in same]), times, log=True)
    right.axes(f"synapses of {extent:,} neurons, 10 % active", "microseconds per timestep and sample")
    right.line([r["synapses"] for r in same], [r["us"] for r in same], "c2")
    keys = tuple(Key(f"{activity:.0%} active", f"c{k + 1}", k) for k, activity in enumerate(ACTIVITIES))
    panels = [
        Panel("Time by neurons", left.draw("Time by neurons", f"{extent:,} neurons and others"), keys),
        Panel("Time by synapses", right.draw("Time by synapses", "one convolution of more and more inputs")),
    ]
    write_drawing(path, "What a timestep of simulation costs (measured)", panels)
