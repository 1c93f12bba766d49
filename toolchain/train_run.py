"""Trains the network of a run, and keeps what came of it in the run's folder."""

from __future__ import annotations

import os

from hw_sim.errors import InvalidFileError, UsageError
from toolchain.files import JsonLines
from toolchain.narration import Narrator
from toolchain.restoring import dataset_of, network_of
from toolchain.runs import Run
from toolchain.starting import resolve_device


def train(run: Run, narrator: Narrator, device: str | None = None) -> None:
    """Trains a run's network; the epoch with the best validation accuracy stays.

    device: None for the one it was searched on. Weights, log and figures of an earlier training stay until this one
    is whole.
    """
    from toolchain import training

    config = run.config()
    device = resolve_device(device or config["versions"]["device"])
    network = network_of(run, trained=False)
    try:
        recipe = training.TrainingConfig(**run.section("train"))
    except (TypeError, UsageError) as error:
        raise InvalidFileError(f"{run.path / 'run.toml'}: [train]: {error}") from None
    log = JsonLines(run.path / ".train.jsonl.part")
    log.path.unlink(missing_ok=True)  # of a process that was killed
    try:
        with narrator.progress(f"training {recipe.epochs} epochs") as advance:
            result = training.train(
                network,
                dataset_of(run),
                recipe,
                seed=config["seed"],
                device=device,
                log=log.append,
                on_epoch=advance,
            )
        training.save_weights(network, run.weights)
        os.replace(log.path, run.train_log.path)
    except BaseException:
        log.path.unlink(missing_ok=True)
        raise
    narrator.say(
        f"  {result.seconds:.1f} s; best epoch {result.best_epoch} of {result.epochs}, "
        f"validation accuracy {result.validation_accuracy:.1%}"
    )
    config["training"] = {
        "seconds": round(result.seconds, 3),
        "best_epoch": result.best_epoch,
        "validation_accuracy": result.validation_accuracy,
        "device": device,
    }
    run.write_config(config)
