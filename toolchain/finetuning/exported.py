"""Fine-tuning as a part of ``snnas export``: where the samples, the teacher and the checkpoint come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import Program
from snnas.toolchain import training
from snnas.toolchain.data.load import Array, Dataset
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.finetuning.options import Finetuning
from snnas.toolchain.finetuning.tune import Tuned, finetune, predictions, recipe_for
from snnas.toolchain.output.stderr import Advance, Narrator
from snnas.toolchain.runs.run import Run
from snnas.toolchain.training.evaluation import logits
from snnas.toolchain.training.of_run import say_epoch

if TYPE_CHECKING:
    from snnas.search.network.network import Network

CHUNK = 64
LEAST = 100
FEW = 500  # validation samples below which a point is a handful of them
TRAINING_SHARE, VALIDATION_SHARE = 0.6, 0.2  # of a user's samples; the rest is measured


def of_run(
    run: Run, network: Network, program: Program, graph: Graph, data: Dataset, asked: Finetuning, narrator: Narrator
) -> Tuned:
    """Fine-tune the program of a run's network; one that was ended goes on from the run's ``finetune/``."""
    recipe = recipe_for(training.recipe_of(run.section("train"), where="[train]"), asked)
    teacher = logits(network, data.x_train, "cpu", 256, data.unit).numpy()
    folder = run.path / "finetune"
    seed: int = run.config()["seed"]
    tuned = _narrated(program, graph, data, recipe, narrator, seed=seed, teacher=teacher, checkpoint=folder)
    training.Checkpoint(folder, "").remove()
    return tuned


@dataclass(frozen=True, slots=True)
class Samples:
    """A user's samples for fine-tuning, as the program takes them; y: labels, or None where there are none."""

    x_train: Array
    y_train: Array | None
    x_val: Array
    y_val: Array | None


def of_graph(program: Program, graph: Graph, given: Samples, asked: Finetuning, seed: int, narrator: Narrator) -> Tuned:
    """Fine-tune the program of somebody's graph: the graph is the teacher, and where labels lack it gives them."""
    x_train, x_val = (np.ascontiguousarray(x, dtype=np.float32) for x in (given.x_train, given.x_val))
    with narrator.progress(f"float run of {len(x_train) + len(x_val)} samples to learn from") as advance:
        answers = [_answers(graph, x, program.timesteps, advance) for x in (x_train, x_val)]
    labels = [a.argmax(1) if y is None else y for a, y in zip(answers, (given.y_train, given.y_val), strict=True)]
    data = Dataset(
        name="a user's",
        x_train=x_train,
        y_train=labels[0],
        x_val=x_val,
        y_val=labels[1],
        x_test=x_val[:0],
        y_test=labels[1][:0],
        classes=answers[0].shape[1],
        input_kind=program.input_kind,
        range=program.input_range,
    )
    recipe = recipe_for(training.TrainingConfig(), asked)
    teacher = answers[0].astype(np.float32)
    return _narrated(program, graph, data, recipe, narrator, seed=seed, teacher=teacher, checkpoint=None)


def _answers(graph: Graph, x: Array, timesteps: int, advance: Advance) -> Array:
    """The graph's answers, float64 (N, classes), as means over the timesteps where they are sums."""
    parts = []
    for k in range(0, len(x), CHUNK):
        run = interpreter.run(graph, x[k : k + CHUNK], timesteps)
        parts.append(run.answers / timesteps if run.read == "sum" else run.answers)
        advance(min(k + CHUNK, len(x)), len(x))
    found: Array = np.concatenate(parts)
    return found


def drawn(total: int, seed: int) -> tuple[Array, Array, Array]:
    """Which of a user's samples train, validate and are measured, each ascending; UsageError where they are too few."""
    if total < LEAST:
        raise UsageError(
            f"--finetune: {total} samples, of which part has to train and part to validate; expected at least {LEAST}"
        )
    order = stream(seed, "finetune split").permutation(total)
    train, val = int(TRAINING_SHARE * total), int(VALIDATION_SHARE * total)
    return np.sort(order[:train]), np.sort(order[train : train + val]), np.sort(order[train + val :])


def figures(tuned: Tuned, before: Program, x: Array, y: Array, after: Array) -> dict[str, Any]:
    """``finetune`` of report.json; x, y: the test split, read once nothing is left to choose; after: predictions."""
    accuracy = {"before": float((predictions(before, x) == y).mean()), "after": float((after == y).mean())}
    return {**tuned.to_json(), "test": accuracy}


def _narrated(
    program: Program,
    graph: Graph,
    data: Dataset,
    recipe: training.TrainingConfig,
    narrator: Narrator,
    *,
    seed: int,
    teacher: Array | None,
    checkpoint: Path | None,
) -> Tuned:
    """What is asked: as ``finetune`` takes it."""
    goes_on = checkpoint is not None and checkpoint.exists()
    if goes_on:
        narrator.say("  a checkpoint is there: fine-tuning goes on where what was asked for is the same")
    what = f"fine-tuning {recipe.epochs} epochs at {program.weight_bits} bits"
    with narrator.progress(what, goes_on=goes_on) as advance:
        latest: dict[str, Any] = {}
        tuned = finetune(
            program,
            graph,
            data,
            recipe,
            seed=seed,
            teacher=teacher,
            log=latest.update,
            on_epoch=lambda done, total: say_epoch(narrator, latest, recipe),
            on_step=advance,
            checkpoint=checkpoint,
        )
    few = len(data.y_val)
    if few < FEW:
        narrator.say(
            f"  only {few} validation samples choose, each of them {100 / few:.1f} points: what they find may be chance"
        )
    kept = f"epoch {tuned.best_epoch} of {tuned.epochs}"
    if not tuned.best_epoch:
        kept = f"no epoch gained more than its standard error (the best: +{tuned.gained} -{tuned.lost}): it stays"
    narrator.say(
        f"  {tuned.seconds:.1f} s; {kept}; validation accuracy {tuned.before:.2%} -> {tuned.after:.2%}, "
        f"{tuned.weights_changed:,} of {tuned.weights:,} weights changed"
    )
    return tuned
