"""Trains the network of a run, and keeps what came of it in the run's folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.toolchain.data.redraw import require_signals
from snnas.toolchain.data.statistics import balanced_accuracy, uneven
from snnas.toolchain.output.chance import chance_note
from snnas.toolchain.output.stderr import Narrator, counted, span_of
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run
from snnas.toolchain.training.device import has_bf16, resolve_device
from snnas.toolchain.training.restore import network_of
from snnas.toolchain.training.stages import epochs_behind

if TYPE_CHECKING:
    from torch import nn

    from snnas.hw_sim.simulate.silence import Silence
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import Record, TrainingConfig, TrainingResult
    from snnas.toolchain.training.tracking import Listener

# Epochs that take this long are narrated one by one, others when nothing was said for a while.
LONG_EPOCH_SECONDS = 5.0
LONG_SILENCE_SECONDS = 15.0
GAP = 0.2  # between accuracies in training and on validation samples that is worth a word


def train_run(
    run: Run,
    narrator: Narrator,
    device: str | None = None,
    recipe: TrainingConfig | None = None,
    *,
    on_epoch: Listener = lambda record: None,
) -> None:
    """Trains a run's network; the epoch with the best validation accuracy stays.

    device: None for the one it was searched on. recipe: None for the one of run.toml; another one is written there.
    on_epoch: takes each epoch's record, those of a training that goes on first.
    Weights, log and figures of an earlier training stay until this one is whole. One that was killed goes on from
    ``checkpoint/`` where it had the same recipe; the folder is removed once the weights are written. Under ``torchrun``
    process 0 alone writes and narrates.
    """
    from snnas.toolchain import training
    from snnas.toolchain.training import parallel
    from snnas.toolchain.training.outlook import seconds_ahead
    from snnas.toolchain.training.silence import silence_of

    config = run.config()
    device = resolve_device(parallel.local_device(resolve_device(device or config["versions"]["device"])))
    network = network_of(run, trained=False)
    try:
        asked = recipe or training.recipe_of(run.section("train"), where="[train]")
    except (TypeError, UsageError) as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [train]: {error}") from None
    recipe = asked.on(device)
    first = parallel.rank() == 0
    narrator = narrator if first else Narrator(quiet=True)
    log = JsonLines(run.path / ".train.jsonl.part")
    if first:
        log.path.unlink(missing_ok=True)  # of a process that was killed: the checkpoint holds what it said

    latest: Record = {}

    def record(entry: Record) -> None:
        if first:
            log.append(entry)
            on_epoch(entry)
        latest.update(entry)

    if recipe.amp == "bf16" and device == "cpu" and not has_bf16(device):
        narrator.say(
            "  note: amp = 'bf16' on this CPU, which has no bfloat16 units, is slower than 'none': 13 times, measured"
        )
    folder = run.path / "checkpoint"
    if folder.exists():
        narrator.say("  a checkpoint is there: training goes on where the recipe is the same")
    try:
        data = dataset_of(run)
        require_signals(data, recipe.augment)
        if not narrator.quiet and parallel.world_size() == 1 and not folder.exists():
            with narrator.watched("trying a step"):
                seconds = seconds_ahead(network, data, recipe, seed=config["seed"], device=device)
            epochs = f"{counted(recipe.epochs, 'epoch')} of {counted(len(data.y_train), 'sample')}"
            narrator.ahead(seconds, f"training {epochs}, T = {network.config.timesteps}, on {device}")
        what, goes_on = f"training {counted(recipe.epochs, 'epoch')}", folder.exists()
        with narrator.progress(what, "batches", goes_on=goes_on) as advance:
            result = training.train(
                network,
                data,
                recipe,
                seed=config["seed"],
                device=device,
                log=record,
                on_epoch=lambda done, total: say_epoch(narrator, latest, recipe),
                on_step=advance,
                checkpoint=folder,
            )
        if not first:
            return
        training.save_weights(network, run.weights)
        os.replace(log.path, run.train_log.path)
    except BaseException:
        if first:
            log.path.unlink(missing_ok=True)
        raise
    resumed = f", resumed at step {result.resumed_at}" if result.resumed_at else ""
    balanced = _balanced(network, data, device)
    beside = "" if balanced is None else f" (balanced {balanced:.1%})"
    anew = ", batch norm's statistics measured anew" if result.statistics == "measured" else ""
    narrator.say(
        f"  {result.seconds:.1f} s{resumed}; best epoch {result.best_epoch} of {result.epochs}, "
        f"validation accuracy {result.validation_accuracy:.1%}{beside}, SAR {result.sar:.3f}{anew}"
    )
    mute = silence_of(network, data, device)
    doubts = (
        None if mute.no_measurement else chance_note(result.validation_accuracy, data.y_val),
        gap_note(result),
        silence_note(mute),
    )
    for doubt in filter(None, doubts):
        narrator.say(f"  note: {doubt}")
    _keep_first(config, recipe)
    config["train"] = recipe.plain()
    config["training"] = {
        "seconds": round(result.seconds, 3),
        "best_epoch": result.best_epoch,
        "validation_accuracy": result.validation_accuracy,
        **({} if balanced is None else {"validation_balanced_accuracy": balanced}),
        "validation_sar": result.sar,
        "statistics": result.statistics,
        **({"silent": list(mute.silent)} if mute.silent else {}),
        **({"no_measurement": mute.no_measurement} if mute.no_measurement else {}),
        "device": device,
    }
    run.write_config(config)
    training.Checkpoint(folder, "").remove()


def _keep_first(config: dict[str, Any], recipe: TrainingConfig) -> None:
    """The recipe that the run began with stays in its run.toml where this one is another."""
    if recipe.plain() != {**type(recipe)().plain(), **config["train"]}:
        config.setdefault("first_train", config["train"])


def _balanced(network: nn.Module, data: Dataset, device: str) -> float | None:
    """The balanced accuracy on the validation split where its classes are uneven, else None."""
    from snnas.toolchain.training.evaluation import evaluate

    if not uneven(data.y_val):
        return None
    _, predictions = evaluate(network, data.x_val, data.y_val, device=device, unit=data.unit)
    return balanced_accuracy(predictions, data.y_val)


def silence_note(mute: Silence) -> str | None:
    """What is said of populations that never fire on validation samples, and of answers that are no measurement."""
    mend = "train longer with --epochs, or with a lower learning_rate in the recipe"
    return f"{mute} (on {counted(mute.samples, 'validation sample')}); {mend}" if mute else None


def gap_note(result: TrainingResult) -> str | None:
    """What is said where training and validation part by more than GAP, and which of two reasons it has."""
    known, seen, found = result.training_accuracy, result.seen_accuracy, result.validation_accuracy
    if max(known, seen) - found <= GAP:
        return None
    if known - seen > GAP:
        return (
            f"{known:.1%} in training, and {seen:.1%} on the same samples once batch norm uses its running statistics: "
            f"these are off (validation {found:.1%}); train longer with --epochs, or use a larger batch"
        )
    return (
        f"{seen:.1%} on training samples, {found:.1%} on validation samples: over-fitting; use more data, augmentation "
        "(augment in a recipe), or fewer --channels"
    )


def say_epoch(narrator: Narrator, entry: Record, recipe: TrainingConfig) -> None:
    """Narrates an epoch that took long, or that ends a long silence, and the time that is left."""
    if entry["seconds"] >= LONG_EPOCH_SECONDS or narrator.silence >= LONG_SILENCE_SECONDS:
        left = epochs_behind(recipe, entry["epoch"]) * entry["seconds"]
        ahead = f"; about {span_of(left)} left" if left else ""
        narrator.say(
            f"  epoch {entry['epoch']} of {recipe.epochs}: loss {entry['loss']:.3f}, validation accuracy "
            f"{entry['val_accuracy']:.2%}, {entry['seconds']:.0f} s{ahead}"
        )
