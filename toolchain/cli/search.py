"""``snnas search`` and ``snnas train``. Registered in ``cli``."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, DataOptions, Device, Quiet, RunName, RunsDir, Verbose, given
from snnas.toolchain.output.stdout import print_json, print_table


def search(
    context: typer.Context,
    dataset: Annotated[
        str, typer.Option(help="A name of snnas data list, an .npz, or a folder; with --resume: where it is now.")
    ] = "digits",
    method: Annotated[str, typer.Option(help="lightsnn, snasnet, spikenas or mse_nas.")] = "lightsnn",
    proxy: Annotated[str, typer.Option(help="What scores a candidate: sahd (the papers') or snnas.")] = "sahd",
    name: Annotated[str | None, typer.Option(help="Name of the run [DATASET-METHOD-001].")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this run, whose search or training was ended.")] = None,
    runs_dir: RunsDir = None,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of split, search and training.")] = 0,
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Timesteps per sample [its frames; 5 of still images].")
    ] = None,
    channels: Annotated[int, typer.Option(help="Channels of the first cell; doubled by each reduction.")] = 16,
    hidden: Annotated[int, typer.Option(help="Spiking neurons of the classifier.")] = 256,
    batch: Annotated[int, typer.Option(help="Samples that score every candidate.")] = 64,
    candidates: Annotated[int, typer.Option(help="Random draws of snasnet; the paper makes 5000.")] = 1000,
    study: Annotated[int, typer.Option(help="Repeats of spikenas's operation study, 2 to 10; 0: none.")] = 0,
    budget: Annotated[
        list[str] | None, typer.Option(help="energy_total=60uJ, cores=8, params=1M, ..., or a .toml file; repeatable.")
    ] = None,
    objective: Annotated[str, typer.Option(help="score,energy and others: keep a Pareto front.")] = "score",
    train_front: Annotated[int, typer.Option(help="Points of the front that are kept and trained; 0: none.")] = 8,
    profile: Annotated[str | None, typer.Option(help="Energy profile of predicted costs [the system's own].")] = None,
    system: Annotated[str, typer.Option(help="Chip that costs are of: a name or a .toml file.")] = "loihi1",
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight in --budget memory.")] = 8,
    state_bits: Annotated[int, typer.Option(help="Bits of a neuron's state in --budget memory.")] = 24,
    workers: Annotated[int, typer.Option(help="Processes that evaluate candidates; 1: this one.")] = 1,
    engine: Annotated[str, typer.Option(help="process, or ray for a cluster (RAY_ADDRESS).")] = "process",
    population: Annotated[int, typer.Option(help="Genomes of a generation of mse_nas; the paper has 50.")] = 12,
    generations: Annotated[int, typer.Option(help="Generations of mse_nas; the paper has 100.")] = 6,
    cells: Annotated[int, typer.Option(help="Cells of mse_nas; the others have two.")] = 3,
    recipe: Annotated[str | None, typer.Option(help="Recipe of the training, a name or .toml [DATASET's].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of training [the recipe's].")] = None,
    data: DataOptions = None,
    backward: Annotated[bool, typer.Option("--backward", help="Search backward edges too: recurrent cells.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Stop after the search.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find a cell, train it, keep the run."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.cli import exits as endings
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import relocate as moved_data
    from snnas.toolchain.runs import run as runs
    from snnas.toolchain.searching.begin import begin_search
    from snnas.toolchain.searching.find import check_workers, find_network
    from snnas.toolchain.searching.options import SearchOptions

    if context.args:
        word = context.args[0]
        raise UsageError(f"unexpected {word!r}; a data set is given with: snnas search --dataset {shlex.quote(word)}")
    narrator = Narrator(quiet=quiet, verbose=verbose)
    folder = runs.directory(runs_dir)
    if resume is not None:
        _refuse_with_resume(context, resume)
        run = runs.find(folder, resume)
        check_workers(run.config()["method"]["name"], workers, engine)
        if given(context, "dataset"):
            moved_data.point_to(run, dataset)
    else:
        check_workers(method, workers, engine)
        options = SearchOptions(
            dataset=dataset,
            method=method,
            proxy=proxy,
            seed=seed,
            timesteps=timesteps,
            channels=channels,
            hidden=hidden,
            batch=batch,
            candidates=candidates,
            population=population,
            generations=generations,
            cells=cells,
            recipe=recipe,
            epochs=epochs,
            data=tuple(data or ()),
            backward=backward,
            device=device,
            study=study,
            budget=tuple(budget or ()),
            objective=objective,
            front=train_front,
            profile=profile,
            system=system,
            weight_bits=weight_bits,
            state_bits=state_bits,
        )
        run = begin_search(folder, name, options, shlex.join(["snnas", *sys.argv[1:]]))
    endings.go_on_with(f"snnas search --resume {shlex.quote(run.name)}{_there(runs_dir)}")
    with run.lock():
        narrator.say(f"run {run.name}")
        again = device if resume is not None and given(context, "device") else None
        if not run.genotype.exists():
            _say_begun(run, narrator)
        points = find_network(run, narrator, workers=workers, engine=engine, train=not no_train, device=again)
    if points is not None and not as_json:
        from snnas.toolchain.searching.front_table import table

        print_table(table(points))
    _finished(run, as_json, narrator, runs_dir)


def _there(runs_dir: Path | None) -> str:
    return f" --runs-dir {shlex.quote(str(runs_dir))}" if runs_dir is not None else ""


def _refuse_with_resume(context: typer.Context, run: str) -> None:
    """A run goes on as it was begun; what asks for something else is refused, not ignored."""
    from snnas.hw_sim.errors import UsageError

    kept = {"resume", "dataset", "runs_dir", "device", "no_train", "as_json", "quiet", "verbose", "workers", "engine"}
    with_it = [p.opts[0] for p in context.command.params if p.name not in kept and p.name and given(context, p.name)]
    if with_it:
        raise UsageError(
            f"{', '.join(with_it)} cannot be changed with --resume {run}: the run goes on as it was begun; "
            "leave it out, or start another run without --resume"
        )


def _say_begun(run: Any, narrator: Any) -> None:
    """What was read and what is asked of it. Less than was asked for is done aloud, --quiet or not."""
    from snnas.toolchain.searching.budgets import amounts

    config = run.config()
    for line in (config["data"].get("summary"), config.get("budget") and f"budget: {amounts(config['budget'])}"):
        if line:
            narrator.say(f"  {line}")
    batch, there = config["method"]["batch"], config["data"].get("train", 0)
    if batch > there > 0:
        sys.stderr.write(f"note: --batch {batch} is clipped to the {there} samples of the training split\n")


def _finished(run: Any, as_json: bool, narrator: Any, runs_dir: Path | None) -> None:
    from snnas.toolchain.output import run as run_view

    if as_json:
        print_json(run_view.describe(run))
        return
    print_table(run_view.table(run, brief=True))
    narrator.next(run_view.next_command(run), runs_dir)


def train(
    run: RunName = None,
    runs_dir: RunsDir = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .toml file [the run's own].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs [the recipe's].")] = None,
    target_sar: Annotated[float | None, typer.Option(help="Hold the spiking activity rate to this.")] = None,
    genotype: Annotated[Path | None, typer.Option(help="Begin a run with the cell of this genotype.json.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="With --genotype: the data set. Of a run: where its data set is now.")
    ] = None,
    data: DataOptions = None,
    name: Annotated[str | None, typer.Option(help="With --genotype: name of the run.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --genotype: the one seed.")] = 0,
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", "-T", help="With --genotype: timesteps [frames; 5 of still images].")
    ] = None,
    channels: Annotated[int, typer.Option(help="With --genotype: channels of the first cell.")] = 16,
    hidden: Annotated[int, typer.Option(help="With --genotype: neurons of the classifier.")] = 256,
    force: Annotated[bool, typer.Option("--force", help="Train again where weights exist.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... [as it was searched].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the network of a run, or a known cell on another data set; a training that was ended goes on."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain import training
    from snnas.toolchain.cli import exits as endings
    from snnas.toolchain.data.options import parse_options
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import relocate as moved_data
    from snnas.toolchain.runs import run as runs
    from snnas.toolchain.training import parallel
    from snnas.toolchain.training.of_run import train_run

    narrator = Narrator(quiet=quiet, verbose=verbose)
    changes = {"epochs": epochs, "target_sar": target_sar}
    chosen = training.load_recipe(recipe, changes) if recipe else None
    folder, first = runs.directory(runs_dir), parallel.rank() == 0
    if genotype is not None and (dataset is None or run is not None):
        raise UsageError("--genotype FILE takes --dataset NAME, and begins a run of its own: leave RUN out")
    if genotype is None and dataset is not None and run is None:
        raise UsageError(f"--dataset {dataset}: name the RUN whose data set is there now, or give --genotype FILE too")
    if genotype is not None and dataset is not None:
        from snnas.toolchain.training.transfer import train_genotype

        if parallel.world_size() > 1:
            raise UsageError("one process begins a run: make it with --genotype first, then torchrun ... train RUN")
        found = train_genotype(
            genotype,
            dataset,
            folder=folder,
            command=shlex.join(["snnas", *sys.argv[1:]]),
            name=name,
            seed=seed,
            timesteps=timesteps,
            channels=channels,
            hidden=hidden,
            recipe=chosen or training.recipe_of({}, where="the command line", overrides=changes),
            device=device or "auto",
            data_options=parse_options(data),
        )
    else:
        found = runs.find(folder, run, having="a genotype")
        if dataset is not None:
            moved_data.point_to(found, dataset)
        if chosen is None and any(value is not None for value in changes.values()):
            chosen = training.recipe_of(found.section("train"), where="[train]", overrides=changes)
    endings.go_on_with(f"snnas train {shlex.quote(found.name)}{_there(runs_dir)}")
    with found.lock() if first else contextlib.nullcontext():
        if first and found.trained and not force:
            raise UsageError(f"run {found.name} is trained; train it again with --force")
        train_run(found, narrator, device, chosen)
    if first:
        _finished(found, as_json, narrator, runs_dir)
