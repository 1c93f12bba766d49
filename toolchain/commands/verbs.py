"""What ``import snnas`` begins with: search, train, load, and runs beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.toolchain.commands import report
from snnas.toolchain.commands.check import Limit, spelt
from snnas.toolchain.commands.exported import Export, read_export
from snnas.toolchain.commands.given import path_of, several
from snnas.toolchain.commands.model import Model, read_graph
from snnas.toolchain.commands.program import Program, read_program
from snnas.toolchain.commands.report import Compared
from snnas.toolchain.commands.run import Run
from snnas.toolchain.commands.runs import find_run
from snnas.toolchain.commands.search import run_search
from snnas.toolchain.commands.train import TrainOptions, run_training
from snnas.toolchain.output.spoken import spoken
from snnas.toolchain.output.telling import Progress, narrator_of
from snnas.toolchain.searching.options import SearchKeywords, SearchOptions
from snnas.toolchain.training.tracking import Listener

# Options that are whole numbers: what a command parses, Python gives as it likes.
_COUNTS = {field.name for field in fields(SearchOptions) if field.type in ("int", "int | None")}


@spoken
def search_network(
    dataset: str | Path = "digits",
    *,
    budget: Mapping[str, Limit] | str | Sequence[str] | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    progress: Progress = None,
    begun: Callable[[Run], None] | None = None,
    on_epoch: Listener | None = None,
    command: str = "snnas.search_network",
    **options: Unpack[SearchKeywords],
) -> Run:
    """Finds a network on a data set, trains it and keeps the run. As ``snnas search``.

    dataset: a name of ``list_datasets``, an .npz (x, y), a .ts, or a folder. budget: costs that the network must keep,
    ``{"energy_total": "30uJ", "cores": 8}``, or as the command line takes them. name: of the run; None:
    DATASET-METHOD-001. runs_dir: where runs are kept; None: SNNAS_RUNS, else ./runs. progress: True tells on stderr
    what goes on, with bars on a terminal; a function (stage, done, total) is called with it; None is silent. begun: is
    called with the run once it is on disk, so that a killed one goes on with ``run.resume()``. on_epoch: takes each
    epoch's record of the training, a hook for wandb, mlflow and others. options: the rest of
    ``SearchOptions`` by name, such as ``method``, ``seed``, ``epochs``, ``channels``, ``timesteps``, ``train``.
    command: what run.toml says it was made with.

    UsageError (2) for options that do not go together, InvalidFileError (3) for data that cannot be read, GateError (1)
    where no candidate keeps the budget.
    """
    if not isinstance(dataset, str | Path):
        raise UsageError(
            f"search_network: dataset is a {type(dataset).__name__}; a run keeps where its data lie: write them with "
            "numpy.savez('data.npz', x=..., y=...) and name the file"
        )
    given: dict[str, Any] = dict(options)
    known = [field.name for field in fields(SearchOptions)]
    for key in given:
        if key not in known:
            raise UsageError(f"search_network: no option {key!r}{did_you_mean(key, known)}")
        if key in _COUNTS and type(given[key]) is not int and given[key] is not None:
            raise UsageError(f"--{key.replace('_', '-')} {given[key]!r}: expected a whole number")
    if given.get("space") is not None:
        given["space"] = Path(given["space"])
    for key in {"data", "log_to"} & given.keys():
        given[key] = several(given[key])
    if isinstance(budget, Mapping):
        budget = spelt(budget).split(",") if budget else ()
    asked = SearchOptions(
        dataset=str(dataset),
        budget=several(budget or ()),
        name=name,
        runs_dir=path_of(runs_dir),
        **given,
    )
    tell = begun or (lambda run: None)
    narrator = narrator_of(progress)
    run = run_search(asked, narrator, command=command, begun=lambda run: tell(Run(run)), on_epoch=on_epoch)
    return Run(run)


@spoken
def train_network(
    genotype: str | Path | Run,
    dataset: str | Path,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    timesteps: int | None = None,
    channels: int | None = None,
    hidden: int | None = None,
    cells: int | None = None,
    head: str | None = None,
    weights: str | Path | Run | None = None,
    data: str | Sequence[str] = (),
    seed: int = 0,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    device: str | None = None,
    progress: Progress = None,
    on_epoch: Listener | None = None,
) -> Run:
    """Trains a known cell or design on a data set, as a run of its own; ``run.train()`` goes on with it.

    As ``snnas train --genotype``.

    genotype: a genotype.json, or the run that found it. The rest as of ``search_network``; recipe: a recipe's name, or
    a .toml file. weights: a run of the same architecture, or its weights.safetensors, to begin with; None: drawn from
    the seed. UsageError (2) for options that do not go together, InvalidFileError (3) for what cannot be read.
    """
    file = genotype.files.genotype if isinstance(genotype, Run) else Path(genotype)
    start = weights.files.weights if isinstance(weights, Run) else path_of(weights)
    options = TrainOptions(
        genotype=file, dataset=str(dataset), recipe=recipe, epochs=epochs, timesteps=timesteps, channels=channels,
        hidden=hidden, cells=cells, head=head, weights=start, data=several(data), seed=seed, name=name,
        runs_dir=path_of(runs_dir), device=device,
    )  # fmt: skip
    run = run_training(options, narrator_of(progress), command="snnas.train_network", on_epoch=on_epoch)
    assert run is not None  # process 0 alone begins runs
    return Run(run)


@spoken
def load(path: str | Path | None = None, *, runs_dir: str | Path | None = None) -> Run | Export | Model | Program:
    """What lies at a path: a run's folder, name or .zip, an export's folder, a .nir or a program.npz.

    path: None is the newest run of ``runs_dir``; a packed run is unpacked into that. UsageError (2) where there is none
    of these, InvalidFileError (3) for one that is damaged.
    """
    place = path_of(path)
    if place is not None and place.suffix == ".nir":
        return read_graph(place)
    if place is not None and place.suffix == ".npz":
        return read_program(place)
    if place is not None and not (place / "run.toml").exists() and (place / "report.json").is_file():
        return read_export(place)
    return load_run(None if path is None else str(path), runs_dir=runs_dir)


@spoken
def load_run(name: str | None = None, *, runs_dir: str | Path | None = None) -> Run:
    """The run of that name or folder, or the newest one; UsageError (2) where there is none."""
    return Run(find_run(name, path_of(runs_dir)))


@spoken
def compare_runs(*given: Run | str, runs_dir: str | Path | None = None, pick: int | None = None) -> Compared:
    """Two to twelve runs beside each other; one that is not exported takes part with what it has."""
    names = tuple(str(run.path) if isinstance(run, Run) else run for run in given)
    return report.compare_runs(report.ReportOptions(names=names, runs_dir=path_of(runs_dir), pick=pick))
