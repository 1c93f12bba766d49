"""What a search is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search is asked for; which of it a method takes, its runner says."""

    dataset: str = "digits"
    """A name of ``snnas data list``, an .npz, or a folder."""
    method: str = "trained"
    """trained, lightsnn, snasnet, spikenas or mse_nas."""
    proxy: str | None = None
    """What scores a candidate; None: the method's own, sahd, of mse_nas rdm. mse_nas takes sahd too. Of trained asc,
    with thresholds to choose from: half of its random draws are chosen by it."""
    sahd: str = "per-node"
    """LIFs that sahd counts: those deployed, one per node (per-node), or the papers', one per operation (per-op)."""
    name: str | None = None
    """Of the run; None: DATASET-METHOD-001, or the next number that is free."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    seed: int = 0
    """The one seed of split, search and training."""
    timesteps: int | None = None
    """None: as many as the samples have frames, else DEFAULT_TIMESTEPS."""
    channels: int | None = None
    """Channels of the first cell; doubled by each reduction. None: 16; of trained what its space offers."""
    hidden: int | None = None
    """Spiking neurons of the classifier. None: 256; of trained what its space offers."""
    batch: int = 64
    """Samples that score every candidate."""
    candidates: int = 1000
    """Random draws of snasnet."""
    study: int = 0
    """Repeats of spikenas's operation study, 2 to 10; 0: none."""
    space: Path | None = None
    """Space file of trained; None: the one that is shipped."""
    trainings: int = 64
    """Designs that trained trains shortly."""
    short_epochs: int = 4
    """Of each of these; the best third are trained three times as long, the best of these with four seeds."""
    random: bool = False
    """Trained draws all designs at random: what its evolution is compared with."""
    budget: tuple[str, ...] = ()
    """``METRIC=AMOUNT`` with its unit, or .toml files of them."""
    objective: str = "score"
    """``score,energy`` and others: a Pareto front is kept."""
    front: int = 8
    """Points of the front that are kept and trained; 0: none."""
    profile: str | None = None
    """Energy profile of predicted costs; None: the system's own."""
    system: str = "loihi1"
    """Chip that costs are of: a name or a .toml file."""
    bits: int | None = None
    """Of a weight, 8, 6 or 4: programs are measured with them, the run is exported with them, and the budget ``memory``
    counts them. None: 8; of trained what its space offers."""
    state_bits: int = 24
    """Bits of a neuron's state in the budget ``memory``."""
    workers: int = 1
    """Processes that evaluate candidates; 1: this one."""
    engine: str = "process"
    """process, or ray for a cluster."""
    population: int = 12
    """Genomes of a generation of mse_nas."""
    generations: int = 6
    """Generations of mse_nas."""
    cells: int | None = None
    """Cells of the network, each followed by a reduction; None: 2, of mse_nas 3."""
    head: str | None = None
    """What stands before the classes: lif, bn_lif or linear; None: the default. mse_nas has its own."""
    recipe: str | None = None
    """Of the training: a name or a .toml file; None: the data set's own."""
    epochs: int | None = None
    """Of the training; None: the recipe's."""
    data: tuple[str, ...] = ()
    """NAME=VALUE pairs, as ``toolchain/data/options.py`` reads them."""
    backward: bool = False
    """Search backward edges too: recurrent cells."""
    train: bool = True
    """Train what is found."""
    log_to: tuple[str, ...] = ()
    """Where each epoch's figures of the training go too: tensorboard."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""


class SearchKeywords(TypedDict, total=False):
    """The fields of ``SearchOptions`` that ``snnas.search_network`` takes by name, besides its own."""

    method: str
    proxy: str | None
    sahd: str
    seed: int
    timesteps: int | None
    channels: int | None
    hidden: int | None
    batch: int
    candidates: int
    study: int
    space: str | Path | None
    trainings: int
    short_epochs: int
    random: bool
    objective: str
    front: int
    profile: str | None
    system: str
    bits: int | None
    state_bits: int
    workers: int
    engine: str
    population: int
    generations: int
    cells: int | None
    head: str | None
    recipe: str | None
    epochs: int | None
    data: str | Sequence[str]
    backward: bool
    train: bool
    log_to: str | Sequence[str]
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOptions:
    """How a search that was ended goes on; everything else is as it was begun."""

    run: str
    """Name or folder of the run whose search or training was ended."""
    runs_dir: Path | None = None
    """Folder of the runs; None: SNNAS_RUNS, else ./runs."""
    dataset: str | None = None
    """Where its data set is now; None: where it was."""
    workers: int = 1
    """Processes that evaluate candidates; 1: this one."""
    engine: str = "process"
    """process, or ray for a cluster."""
    train: bool = True
    """Train what is found."""
    log_to: tuple[str, ...] = ()
    """Where each epoch's figures of the training go too: tensorboard."""
    device: str | None = None
    """auto, cpu, cuda, ...; None: the one that it was begun on."""
