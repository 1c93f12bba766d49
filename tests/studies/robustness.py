"""How accuracy falls when inputs or weights are disturbed, in training and on target.

On some samples of a run's test split, for every kind and strength of disturbance: the accuracy of the trained float
network, and of the integer program that is compiled from it. Both get the same disturbed samples.

- noise: Gaussian noise of that standard deviation (of a range of 1) on analogue inputs, cut off at the range.
- dropped: pixels, or in frames events, that are lost with that probability.
- jittered: events move by a normal number of frames of that deviation, and stay within the sample.
- weights: every weight times 1 + a normal number of that deviation; the program is compiled from the disturbed weights,
  with calibration on undisturbed training samples.
"""

from __future__ import annotations

import copy
import statistics
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import Program
from snnas.toolchain.cli.options import AsJson, Quiet, RunsDir
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run, directory, find
from snnas.toolchain.training.restore import network_of
from tests.studies.command import main, tell

if TYPE_CHECKING:
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Array, Dataset

SCHEMA = "snnas.bench.robustness/1"
STRENGTHS = {
    "noise": (0.05, 0.1, 0.2, 0.4),
    "dropped": (0.05, 0.1, 0.2, 0.4),
    "jittered": (0.5, 1.0, 2.0),
    "weights": (0.02, 0.05, 0.1, 0.2),
}


def measure(
    subject: Run, narrator: Narrator, *, samples: int = 500, draws: int = 3, seed: int = 0, device: str = "cpu"
) -> dict[str, Any]:
    """The figures of the benchmark, as ``--json`` prints them; accuracies are fractions, means over the draws.

    samples: of the test split, from its beginning. draws: of every disturbance. Raises UsageError for numbers < 1.
    """
    for name, value in (("samples", samples), ("draws", draws)):
        if value < 1:
            raise UsageError(f"--{name} {value}: expected a whole number >= 1")
    data, network = dataset_of(subject), network_of(subject)
    x, y = data.batch(data.x_test[:samples]), data.y_test[:samples]
    program = _compile(network, data)
    clean = {"strength": 0.0, **_accuracies(network, program, x, y, device)}
    curves: dict[str, list[dict[str, float]]] = {}
    kinds = _kinds(data)
    total, done = sum(len(STRENGTHS[kind]) for kind in kinds) * draws, 0
    with narrator.progress(f"disturbing {len(x)} samples in {len(kinds)} ways") as advance:
        for kind in kinds:
            curves[kind] = [clean]
            for strength in STRENGTHS[kind]:
                points: list[dict[str, float]] = []
                for draw in range(draws):
                    name = f"robustness {kind} {strength:g} {draw}"
                    if kind == "weights":
                        disturbed = _disturbed(network, strength, torch_seed(seed, name))
                        points.append(_accuracies(disturbed, _compile(disturbed, data), x, y, device))
                    else:
                        changed = disturb(x, kind, strength, stream(seed, name), data.range)
                        points.append(_accuracies(network, program, changed, y, device))
                    done += 1
                    advance(done, total)
                means = {key: statistics.fmean(point[key] for point in points) for key in points[0]}
                lowest = {f"{key}_lowest": min(point[key] for point in points) for key in points[0]}
                curves[kind].append({"strength": strength, **means, **lowest})
    return {
        "schema": SCHEMA,
        "run": subject.name,
        "samples": len(x),
        "draws": draws,
        "seed": seed,
        "training": clean["training"],
        "on_target": clean["on_target"],
        "curves": curves,
        "provenance": {"training": "measured", "on_target": "simulated"},
    }


def disturb(x: Array, kind: str, strength: float, rng: np.random.Generator, within: tuple[float, float]) -> Array:
    """Return ``x`` float32 (N, C, H, W) or (N, T, C, H, W), disturbed; 'jittered' takes frames alone."""
    if kind == "noise":
        low, high = within
        noise = rng.standard_normal(x.shape, dtype=np.float32) * np.float32(strength * (high - low))
        return np.clip(x + noise, low, high, dtype=np.float32)
    if kind == "dropped":
        if x.ndim == 5 and x.max(initial=0) > 1:  # counts: each event for itself
            return rng.binomial(x.astype(np.int64), 1 - strength).astype(np.float32)
        return np.where(rng.random(x.shape, dtype=np.float32) < strength, np.float32(0), x)
    sample, step, *place = np.nonzero(x)
    values = x[sample, step, *place]
    moved = step + np.rint(rng.normal(0, strength, len(step))).astype(np.int64)
    moved = moved.clip(0, x.shape[1] - 1)
    out = np.zeros_like(x)
    if x.max(initial=0) > 1:
        np.add.at(out, (sample, moved, *place), values)
    else:
        # A frame of 0 and 1 shows that there was an event, not how many.
        np.maximum.at(out, (sample, moved, *place), values)
    return out


def _kinds(data: Dataset) -> list[str]:
    frames = data.x_test.ndim == 5
    return [*([] if frames else ["noise"]), "dropped", *(["jittered"] if frames else []), "weights"]


def _disturbed(network: Network, strength: float, seed: int) -> Network:
    """Return a copy of the network with disturbed weights; BN is as it was."""
    import torch

    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1 + strength * torch.randn(parameter.shape, generator=generator))
    return other


def _compile(network: Network, data: Dataset) -> Program:
    from snnas.export.compiler.fold import fold
    from snnas.toolchain.exporting.on_target import compile_calibrated

    timesteps = int(network.config.timesteps)
    graph = fold(network.layers(), meta={"timesteps": timesteps, "input_kind": data.input_kind})
    return compile_calibrated(graph, data, timesteps)


def _accuracies(network: Network, program: Program, x: Array, y: Array, device: str) -> dict[str, float]:
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
    from snnas.toolchain.training import evaluate

    training, _ = evaluate(network.to(device), x, y, device=device)
    network.to("cpu")
    parts = [result.predictions for result, _ in TorchSimulator(program, device=device).run_input(x, full=False)]
    return {"training": training, "on_target": float((np.concatenate(parts) == y).mean())}


def print_result(figures: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"robustness of {figures['run']}: {figures['samples']} samples, {figures['draws']} draws"
    table = Table("", "strength", "training", "on target", title=title, title_justify="left")
    for kind, points in figures["curves"].items():
        for point in points:
            cells = (f"{point['training']:.1%}", f"{point['on_target']:.1%}")
            table.add_row(kind if point is points[0] else "", f"{point['strength']:g}", *cells)
    table.caption = "mean accuracies; training measured, on target simulated"
    print_table(table)


def command(
    run: Annotated[str | None, typer.Argument(help="A trained run; the newest one where left out.")] = None,
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of the test split.")] = 500,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the noise at each strength.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of the noise.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure accuracy under noise, dropped and jittered events and weight noise: float network and on target."""
    found = find(directory(runs_dir), run)
    figures = measure(found, Narrator(quiet=quiet), samples=samples, draws=draws, seed=seed)
    tell(figures, as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
