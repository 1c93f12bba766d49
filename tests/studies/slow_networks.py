"""Slow networks of SHD's shape on the road to integers: python -m tests.studies.slow_networks

700 channels of spikes, two populations of CubaLIFs with time constants of T / 5 and 2 T / 5 timesteps, and a linear
readout for 20 classes. The task is synthetic: each class raises a few bands of channels at times of its own, jittered,
over noise; spikes are Bernoulli. Hidden weights are random, thresholds at 5 % activity, and the readout is fitted to
the float graph's spikes (ridge regression). With ``--steps`` all weights are then trained through the timesteps
(``slow_training``), on samples drawn anew. On target is the program's accuracy on the same test samples; the gate is 1
point. What is asked is what integers lose of a slow network.
"""

from __future__ import annotations

import itertools
import time
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.parts import differing
from snnas.export.dialects.conventions import DT
from snnas.export.executors import interpreter
from snnas.export.graph.graph import CubaLif, Graph, Input, Linear, Output
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.output.stderr import Narrator
from tests.studies.command import main, numbers, tell

SCHEMA = "snnas.study.slow_networks/1"
CHANNELS, HIDDEN, CLASSES = 700, (128, 96), 20
BANDS, WIDTH = 4, 35  # of channels that a class raises
ACTIVITY = 0.05
MOST_LOST = 0.01  # of the accuracy
CALIBRATION, CHUNK = 32, 50
BATCH = 32  # of training
NOISE = 1.5


def samples(
    rng: np.random.Generator, classes: np.ndarray, templates: np.ndarray, timesteps: int, noise: float = NOISE
) -> np.ndarray:
    """Spikes bool (B, T, CHANNELS). templates: (CLASSES, BANDS, 2), first channel and time, each in 0..1.

    noise: spikes of a channel in a sample that tell of no class.
    """
    now = np.arange(timesteps) / timesteps
    x = np.empty((len(classes), timesteps, CHANNELS), dtype=bool)
    for k, label in enumerate(classes):
        rate = np.full((timesteps, CHANNELS), noise / timesteps)
        for channel, at in templates[label]:
            first = int(channel * (CHANNELS - WIDTH)) + int(rng.integers(-10, 11))
            bump = 25 / timesteps * np.exp(-(((now - at - rng.normal(0, 0.03)) / 0.08) ** 2))
            rate[:, max(first, 0) : first + WIDTH] += bump[:, None]
        x[k] = rng.random((timesteps, CHANNELS)) < rate
    return x


def network(rng: np.random.Generator, timesteps: int, x: np.ndarray) -> Graph:
    """Thresholds such that each population is active for ``ACTIVITY`` of the time on x; the readout is still zero."""
    nodes: dict[str, Any] = {"input": Input(shape=(CHANNELS,))}
    before = CHANNELS
    for k, size in enumerate(HIDDEN):
        weight = rng.normal(0.02, 1.0, (size, before)).astype(np.float32) / np.float32(np.sqrt(before))

        def full(value: float, size: int = size) -> np.ndarray:
            return np.full((size,), value, np.float32)

        nodes[f"w{k}"] = Linear(weight=weight, bias=None)
        threshold = 1.0
        for _ in range(12):
            nodes[f"n{k}"] = CubaLif(
                tau_syn=full(timesteps / 5 * DT), tau_mem=full(2 * timesteps / 5 * DT), r=full(1), w_in=full(1),
                v_leak=full(0), v_threshold=full(threshold), v_reset=full(0),
            )  # fmt: skip
            names = [*nodes, "output"]
            part = Graph(nodes={**nodes, "output": Output(shape=(size,))}, edges=tuple(itertools.pairwise(names)))
            rate = interpreter.run(part, x, timesteps).spikes[f"n{k}"].mean()
            if 0.7 * ACTIVITY < rate < 1.4 * ACTIVITY:
                break
            threshold *= float(np.clip((rate / ACTIVITY) ** 0.7, 0.1, 4.0))
        before = size
    nodes["out"] = Linear(weight=np.zeros((CLASSES, before), np.float32), bias=None)
    nodes["output"] = Output(shape=(CLASSES,))
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))


def with_readout(graph: Graph, counts: np.ndarray, labels: np.ndarray, timesteps: int) -> Graph:
    """The readout that ridge regression gives for the spike counts of the last population."""
    centred = counts - counts.mean(axis=0)
    wanted = np.eye(CLASSES)[labels] - 1 / CLASSES
    weight = np.linalg.solve(centred.T @ centred + 20.0 * np.eye(counts.shape[1]), centred.T @ wanted).T
    bias = ((1 / CLASSES - weight @ counts.mean(axis=0)) / timesteps).astype(np.float32)  # it comes at each timestep
    return Graph(nodes={**graph.nodes, "out": Linear(weight=weight.astype(np.float32), bias=bias)}, edges=graph.edges)


def one(
    timesteps: int, train: int, test: int, seed: int, narrator: Narrator, steps: int = 0, noise: float = NOISE
) -> dict[str, Any]:
    """The figures of one length. steps: of training; 0: hidden weights stay random."""
    rng = stream(seed, f"slow networks {timesteps}")
    templates, labels = rng.random((CLASSES, BANDS, 2)), rng.integers(0, CLASSES, train + test)
    templates[:, :, 1] = 0.1 + 0.8 * templates[:, :, 1]
    calibration = samples(rng, labels[:CALIBRATION], templates, timesteps, noise)
    graph = network(rng, timesteps, calibration[:8].astype(np.float32))
    counts = []
    with narrator.progress(f"T = {timesteps}, training the readout", "samples") as advance:
        for first in range(0, train, CHUNK):
            x = samples(rng, labels[first : min(first + CHUNK, train)], templates, timesteps, noise)
            run = interpreter.run(graph, x.astype(np.float32), timesteps)
            counts.append(run.spikes["n1"].sum(axis=1))
            advance(min(first + CHUNK, train), train)
    graph = with_readout(graph, np.concatenate(counts).astype(np.float64), labels[:train], timesteps)
    if steps:
        from tests.studies.slow_training import trained

        own = stream(seed, f"slow networks {timesteps}, trained")

        def batch() -> tuple[np.ndarray, np.ndarray]:
            drawn = own.integers(0, CLASSES, BATCH)
            return samples(own, drawn, templates, timesteps, noise), drawn

        with narrator.progress(f"T = {timesteps}, training all", "steps") as advance:
            graph = trained(graph, batch, steps, advance)
    spikes = calibration_spikes(graph, calibration.astype(np.float32), timesteps, "spikes")
    program = compile_graph(graph, timesteps=timesteps, input_kind="spikes", spikes=spikes)
    simulator = TorchSimulator(program)
    right, lost, gained = [0, 0], 0, 0
    wrong = total = changed = 0
    activity = {name: 0.0 for name in ("n0", "n1")}
    with narrator.progress(f"T = {timesteps}, float and on target", "samples") as advance:
        for first in range(0, test, CHUNK):
            at = slice(train + first, min(train + first + CHUNK, train + test))
            x = samples(rng, labels[at], templates, timesteps, noise)
            run = interpreter.run(graph, x.astype(np.float32), timesteps)
            trace = simulator.run(spikes_in=x.reshape(*x.shape[:2], CHANNELS, 1, 1))
            unlike, count = differing(program, trace.spikes, run.spikes)
            wrong, total = wrong + unlike, total + count
            ours, theirs = trace.predictions == labels[at], run.predictions == labels[at]
            right = [right[0] + int(theirs.sum()), right[1] + int(ours.sum())]
            lost, gained = lost + int((theirs & ~ours).sum()), gained + int((ours & ~theirs).sum())
            changed += int((run.predictions != trace.predictions).sum())
            for name in activity:
                activity[name] += float(run.spikes[name].mean()) * len(x) / test
            advance(min(first + CHUNK, test), test)
    weights = {s.id: s.map.weight for s in program.synapses}
    return {
        "timesteps": timesteps,
        "tau_syn": timesteps / 5,
        "tau_mem": 2 * timesteps / 5,
        "train": train,
        "steps": steps,
        "noise": noise,
        "test": test,
        "activity": activity,
        "float": right[0] / test,
        "on_target": right[1] / test,
        "interval_float": wilson(right[0], test),
        "interval_on_target": wilson(right[1], test),
        "lost": lost,
        "gained": gained,
        "predictions_changed": changed / test,
        "spikes_differing": wrong / total,
        "largest_weight": {name: int(np.abs(w).max()) for name, w in weights.items()},
        "distinct_weights": {name: int(np.unique(w).size) for name, w in weights.items()},
        "observed": sorted(program.observed),
    }


def measure(
    lengths: tuple[int, ...], train: int, test: int, seed: int, narrator: Narrator, steps: int = 0, noise: float = NOISE
) -> dict[str, Any]:
    """Each length of ``lengths`` by itself."""
    began = time.perf_counter()
    found = [one(timesteps, train, test, seed, narrator, steps, noise) for timesteps in lengths]
    return {"schema": SCHEMA, "seed": seed, "networks": found, "seconds": time.perf_counter() - began}


def good(result: dict[str, Any]) -> bool:
    """No network loses over a point on target."""
    return all(n["float"] - n["on_target"] <= MOST_LOST + 1e-12 for n in result["networks"])


def _print(result: dict[str, Any]) -> None:
    for n in result["networks"]:
        print(
            f"T = {n['timesteps']:5}: float {n['float']:.1%}, on target {n['on_target']:.1%} of {n['test']}; "
            f"predictions changed {n['predictions_changed']:.1%}, spikes {n['spikes_differing']:.2%}; "
            f"largest weights {', '.join(map(str, n['largest_weight'].values()))}; "
            f"observed {', '.join(n['observed']) or 'none'}"
        )
    print(f"seed {result['seed']}, {result['seconds']:.0f} s")


def command(
    lengths: Annotated[str, typer.Option(help="Timesteps, each a network of its own.")] = "100,1000",
    train: Annotated[int, typer.Option(min=40, help="Samples that the readout is trained on.")] = 400,
    test: Annotated[int, typer.Option(min=20, help="Samples that are compared.")] = 200,
    steps: Annotated[int, typer.Option(min=0, help="Of training all weights; 0: the readout alone.")] = 0,
    noise: Annotated[float, typer.Option(min=0, help="Spikes of a channel that tell of no class.")] = NOISE,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of task, weights and samples.")] = 0,
    as_json: AsJson = False,
) -> None:
    """What slow networks of SHD's shape lose on target; exit 1 where one loses over a point of accuracy."""
    asked = numbers(lengths, "--lengths", "100,1000")
    result = measure(asked, train, test, seed, Narrator(), steps, noise)
    tell(result, as_json, _print, good=good(result))


if __name__ == "__main__":
    main(command)
