"""The training of a run's network, or of a known cell on other data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snnas.hw_sim.errors import UsageError
from snnas.toolchain import runs, training
from snnas.toolchain.data.datasets.signals import declared
from snnas.toolchain.data.options import parse_options
from snnas.toolchain.output.card import write_card
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.relocate import point_to
from snnas.toolchain.runs.run import Run
from snnas.toolchain.training.tracking import Listener, listener, require

if TYPE_CHECKING:
    from snnas.toolchain.training import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What a training is asked for: of a run, or with ``genotype`` and ``dataset`` of a new one."""

    run: str | None = None
    """Name or folder of a searched run; None: the newest one."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    recipe: str | None = None
    """A recipe's name, or a .toml file; None: the run's own, with ``genotype`` that of the data set."""
    epochs: int | None = None
    """None: the recipe's."""
    accumulate: int | None = None
    """Parts of a batch, run one after the other so that they fit the memory; None: the recipe's."""
    target_sar: float | None = None
    """The spiking activity rate that training is held to, in (0, 1); None: free."""
    genotype: Path | None = None
    """Begin a run with the cell of this genotype.json."""
    dataset: str | None = None
    """With ``genotype``: the data set. Of a run: where its data set is now."""
    data: tuple[str, ...] = ()
    """With ``genotype``: NAME=VALUE pairs, as ``toolchain/data/options.py`` reads them."""
    name: str | None = None
    """With ``genotype``: of the run."""
    seed: int = 0
    """With ``genotype``: the one seed."""
    timesteps: int | None = None
    """With ``genotype``; None: the samples' frames, or 5 of still images."""
    channels: int | None = None
    """With ``genotype``: channels of the first cell; None: the design's, or 16."""
    hidden: int | None = None
    """With ``genotype``: spiking neurons of the classifier; None: the design's, or 256."""
    cells: int | None = None
    """With ``genotype``: so many cells, of a file whose cells are all alike; None: as many as the file has."""
    weights: Path | None = None
    """With ``genotype``: the weights.safetensors of a run of the same architecture, to begin with; None: drawn."""
    head: str | None = None
    """With ``genotype``: what stands before the classes, lif, bn_lif or linear; None: the default."""
    force: bool = False
    """Train again where weights exist."""
    log_to: tuple[str, ...] = ()
    """Where each epoch's figures go too: tensorboard."""
    device: str | None = None
    """auto, cpu, cuda, ...; None: as it was searched."""


def run_training(
    options: TrainOptions,
    narrator: Narrator = SILENT,
    *,
    command: str = "snnas.train_network",
    begun: Callable[[Run], None] = lambda run: None,
    on_epoch: Listener | None = None,
) -> Run | None:
    """Trains the network of a run, or a known cell on another data set; a training that was ended goes on.

    command, begun, on_epoch: as of ``run_search``. Returns the run; None in the helping processes of ``torchrun``,
    where process 0 alone writes. UsageError (2) for options that do not go together and for a run that is trained
    already.
    """
    from snnas.toolchain.training import parallel
    from snnas.toolchain.training.of_run import train_run

    _check(options)
    require(options.log_to)
    changes = {"epochs": options.epochs, "target_sar": options.target_sar, "accumulate": options.accumulate}
    recipe: TrainingConfig | None
    if options.genotype is not None:
        signals = declared(parse_options(options.data)) is not None
        recipe = training.recipe_for(str(options.dataset), options.recipe, changes, signals=signals)
        run = _begun(options, recipe, command)
    else:
        recipe = training.load_recipe(options.recipe, changes) if options.recipe else None
        run = runs.find(runs.directory(options.runs_dir), options.run, having="a genotype")
        if options.dataset is not None:
            point_to(run, options.dataset)
        if recipe is None and any(value is not None for value in changes.values()):
            recipe = training.recipe_of(run.section("train"), where="[train]", overrides=changes)
    begun(run)
    first = parallel.rank() == 0
    with run.lock() if first else contextlib.nullcontext():
        if first and run.trained and not options.force:
            write_card(run)  # a training that was killed between its last word and its card has none
            raise UsageError(f"run {run.name} is trained; train it again with --force, or export it")
        train_run(run, narrator, options.device, recipe, on_epoch=listener(run.path, options.log_to, on_epoch))
        if first:
            write_card(run)
    return run if first else None


def _check(options: TrainOptions) -> None:
    genotype, dataset, run = options.genotype, options.dataset, options.run
    if genotype is not None and (dataset is None or run is not None):
        raise UsageError("--genotype FILE takes --dataset NAME, and begins a run of its own: leave RUN out")
    if genotype is None and dataset is not None and run is None:
        raise UsageError(f"--dataset {dataset}: name the RUN whose data set is there now, or give --genotype FILE too")
    for name, value in (("cells", options.cells), ("head", options.head), ("weights", options.weights)):
        if genotype is None and value is not None:
            raise UsageError(f"--{name} {value}: of a run that begins; give --genotype FILE, or leave it out")


def _begun(options: TrainOptions, recipe: TrainingConfig, command: str) -> Run:
    """A run of the genotype on the data set."""
    from snnas.toolchain.training import parallel
    from snnas.toolchain.training.transfer import train_genotype

    assert options.genotype is not None
    assert options.dataset is not None
    if parallel.world_size() > 1:
        raise UsageError("one process begins a run: make it with --genotype first, then torchrun ... train RUN")
    of_run = ("name", "seed", "timesteps", "channels", "hidden", "cells", "head", "weights")
    return train_genotype(
        options.genotype,
        options.dataset,
        folder=runs.directory(options.runs_dir),
        command=command,
        recipe=recipe,
        device=options.device or "auto",
        data_options=parse_options(options.data),
        **{name: getattr(options, name) for name in of_run},
    )
