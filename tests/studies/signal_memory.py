"""Do slow neurons and backward edges help signals? python -m tests.studies.signal_memory

Two channels of spikes, one pulse in each, over noise: the label says which pulse came first, and nothing else tells the
two classes apart. How often a neuron without memory fires is the same for both, so a network that sums spikes has to
remember. Four networks of one cell and equal width: neurons of tau 4/3, tau and threshold learnt from T / 4 on, a
backward edge, and both; trained alike on new samples from each seed, and measured on target (simulated) on samples of
their own. With T the pulses grow and what lies between them: a network must remember for a share of T.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.data.load import Dataset
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.exporting.on_target import measure as on_target
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.training import TrainingConfig, build, train
from tests.studies.command import main, tell

SCHEMA = "snnas.study.signal_memory/1"
NOISE = 0.05  # spikes of noise a timestep
FORWARD = {(0, 1): "conv3x3", (1, 3): "conv3x3"}
LEARNT = ("tau", "threshold")
BACK = {(3, 0): "conv3x3"}
# Backward edges, and whether neurons are slow.
ARMS: dict[str, tuple[dict[tuple[int, int], str], bool]] = {
    "fast": ({}, False),
    "slow": ({}, True),
    "backward": (BACK, False),
    "both": (BACK, True),
}


def begins_with(slow: bool, timesteps: int) -> tuple[float, float]:
    """Tau in timesteps, and the threshold. A pulse lifts a slow neuron by 1 / tau of its weight, so both scale."""
    tau = timesteps / 4
    return (tau, 2.4 / tau) if slow else (4 / 3, 1.0)


def samples(rng: np.random.Generator, count: int, timesteps: int) -> tuple[np.ndarray, np.ndarray]:
    """x float32 (N, T, 2, 1, 1) of 0 and 1, and y: the channel whose pulse comes first."""
    pulse, apart = max(1, 3 * timesteps // 32), max(1, 6 * timesteps // 32)  # timesteps; apart: at the least
    y = np.arange(count) % 2
    first = rng.integers(0, timesteps - 2 * pulse - apart, count)
    gap = pulse + apart + (rng.random(count) * (timesteps - first - 2 * pulse - apart)).astype(int)
    x = rng.random((count, timesteps, 2)) < NOISE
    for k in range(count):
        x[k, first[k] : first[k] + pulse, y[k]] = True
        x[k, first[k] + gap[k] : first[k] + gap[k] + pulse, 1 - y[k]] = True
    return x.astype(np.float32)[..., None, None], y.astype(np.int64)


def one(arm: str, seed: int, timesteps: int, count: int, epochs: int) -> dict[str, Any]:
    """The figures of one training."""
    edges, slow = ARMS[arm]
    tau, threshold = begins_with(slow, timesteps)
    parts = {}
    for part, size in (("train", count), ("val", count // 2), ("test", count)):
        parts[f"x_{part}"], parts[f"y_{part}"] = samples(stream(seed, f"signal memory {part}"), size, timesteps)
    data = Dataset(name="order of two pulses", classes=2, input_kind="spikes", **parts)
    sizes: dict[str, Any] = {"channels": 12, "hidden": 24, "votes": 5, "cells": 1, "head": "bn_lif"}
    sizes |= {"tau": tau, "threshold": threshold}
    config = NetworkConfig(input_shape=(2, 1, 1), classes=2, input_kind="spikes", timesteps=timesteps, **sizes)
    network = build(Genotype("lightsnn_1d", (Cell.of(FORWARD | edges),)), config, seed=seed)
    recipe = TrainingConfig(epochs=epochs, batch=32, learning_rate=1e-2, warmup=1, learn=LEARNT if slow else ())
    result = train(network, data, recipe, seed=seed)
    figures = on_target(network.cpu().eval(), data, data.x_test, data.y_test, None)
    return {
        "arm": arm,
        "seed": seed,
        "validation_accuracy": result.validation_accuracy,
        "on_target": figures.accuracy,
        "sar": figures.counts.sar,
        "tau": max(float(module.constants()[0]) for module in network.modules() if hasattr(module, "constants")),
    }


def measure(
    seeds: int, timesteps: int, count: int, epochs: int, narrator: Narrator, arms: tuple[str, ...] = tuple(ARMS)
) -> dict[str, Any]:
    """Every arm with every seed, and the means."""
    began, runs = time.perf_counter(), list[dict[str, Any]]()
    with narrator.progress(f"{len(arms)} networks", "trainings") as advance:
        for seed in range(seeds):
            for arm in arms:
                runs.append(one(arm, seed, timesteps, count, epochs))
                advance(len(runs), seeds * len(arms))
    means = {arm: float(np.mean([run["on_target"] for run in runs if run["arm"] == arm])) for arm in arms}
    sizes = {"timesteps": timesteps, "samples": count, "epochs": epochs, "seeds": seeds}
    return {"schema": SCHEMA, **sizes, "runs": runs, "on_target": means, "seconds": time.perf_counter() - began}


def good(result: dict[str, Any]) -> bool:
    """Each kind of memory is worth five points at least."""
    means = result["on_target"]
    return all(means[arm] >= means["fast"] + 0.05 for arm in means if arm != "fast")


def _asked(arms: str) -> tuple[str, ...]:
    """UsageError for a network that there is not."""
    found = tuple(arms.split(","))
    if "fast" not in found or not {*found} <= {*ARMS}:
        raise UsageError(f"--arms {arms}: expected fast and some of {', '.join(ARMS)}")
    return found


def _print(result: dict[str, Any]) -> None:
    for arm, mean in result["on_target"].items():
        runs = [run for run in result["runs"] if run["arm"] == arm]
        each = ", ".join(f"{run['on_target']:.1%}" for run in runs)
        tau = ", ".join(f"{run['tau']:.3g}" for run in runs)
        print(f"{arm:9} on target {mean:.1%} ({each}); longest tau {tau}; SAR {np.mean([r['sar'] for r in runs]):.3f}")
    print(f"T = {result['timesteps']}, {result['samples']} samples, {result['seconds']:.0f} s")


def command(
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 2,
    timesteps: Annotated[int, typer.Option(min=20, help="T.")] = 32,
    count: Annotated[int, typer.Option("--samples", min=8, help="To train on, and as many to test.")] = 192,
    epochs: Annotated[int, typer.Option(min=2, help="Of each training.")] = 40,
    arms: Annotated[str, typer.Option(help="Which networks, fast among them.")] = ",".join(ARMS),
    as_json: AsJson = False,
) -> None:
    """What slow neurons and a backward edge gain where order has to be remembered; exit 1 where less than 5 points."""
    result = measure(seeds, timesteps, count, epochs, Narrator(), _asked(arms))
    tell(result, as_json, _print, good=good(result))


if __name__ == "__main__":
    main(command)
