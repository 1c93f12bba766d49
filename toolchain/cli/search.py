"""``snnas search``. Registered in ``app``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from snnas.toolchain.cli.options import (
    AsJson,
    DataOptions,
    Device,
    LogTo,
    Quiet,
    RunsDir,
    Then,
    Verbose,
    given,
    options_given,
    options_of,
    typed,
)
from snnas.toolchain.output.stdout import print_table

# With --resume everything else is as the run was begun.
GOES_WITH_RESUME = {
    "resume", "dataset", "runs_dir", "device", "no_train", "as_json", "quiet", "verbose", "workers", "engine",
    "log_to", "then",
}  # fmt: skip


def search(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Option(help="A name of snnas data list, an .npz, a .ts, or a folder; with --resume: where it is now."),
    ] = "digits",
    method: Annotated[str, typer.Option(help="trained, lightsnn, snasnet, spikenas or mse_nas.")] = "trained",
    proxy: Annotated[
        str | None,
        typer.Option(help="What scores a candidate: sahd; of mse_nas rdm, its own, or sahd; of trained asc."),
    ] = None,
    sahd: Annotated[
        str, typer.Option(help="LIFs that sahd counts: per-node, as deployed, or per-op, as in the papers.")
    ] = "per-node",
    name: Annotated[str | None, typer.Option(help="Name of the run [DATASET-METHOD-001].")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this run, whose search or training was ended.")] = None,
    runs_dir: RunsDir = None,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of split, search and training.")] = 0,
    timesteps: Annotated[
        int | None,
        typer.Option("--timesteps", "-T", help="Timesteps per sample [its frames; else the recipe's stages, or 5]."),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(help="Channels of the first cell; doubled by each reduction [16; trained: its space's]."),
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Spiking neurons of the classifier [256; trained: its space's].")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples that score every candidate.")] = 64,
    candidates: Annotated[int, typer.Option(help="Random draws of snasnet; the paper makes 5000.")] = 1000,
    study: Annotated[int, typer.Option(help="Repeats of spikenas's operation study, 2 to 10; 0: none.")] = 0,
    space: Annotated[Path | None, typer.Option(help="Space file of trained, .toml [the one shipped].")] = None,
    trainings: Annotated[int, typer.Option(help="Designs that trained trains shortly.")] = 64,
    short_epochs: Annotated[int, typer.Option(help="Epochs of each; the best third get three times as many.")] = 4,
    random: Annotated[bool, typer.Option("--random", help="Trained draws every design: to compare with.")] = False,
    budget: Annotated[
        list[str] | None, typer.Option(help="energy_total=60uJ, cores=8, params=1M, ..., or a .toml file; repeatable.")
    ] = None,
    objective: Annotated[str, typer.Option(help="score,energy and others: keep a Pareto front.")] = "score",
    front: Annotated[
        int, typer.Option("--train-front", help="Points of the front that are kept and trained; 0: none.")
    ] = 8,
    profile: Annotated[str | None, typer.Option(help="Energy profile of predicted costs [the system's own].")] = None,
    system: Annotated[str, typer.Option(help="Chip that costs are of: a name or a .toml file.")] = "loihi1",
    bits: Annotated[
        int | None, typer.Option(help="Of a weight on the chip: 8, 6 or 4 [8; trained: its space's].")
    ] = None,
    state_bits: Annotated[int, typer.Option(help="Bits of a neuron's state in --budget memory.")] = 24,
    workers: Annotated[int, typer.Option(help="Processes that evaluate candidates; 1: this one.")] = 1,
    engine: Annotated[str, typer.Option(help="process, or ray for a cluster (RAY_ADDRESS).")] = "process",
    population: Annotated[int, typer.Option(help="Genomes of a generation of mse_nas; the paper has 50.")] = 12,
    generations: Annotated[int, typer.Option(help="Generations of mse_nas; the paper has 100.")] = 6,
    cells: Annotated[int | None, typer.Option(help="Cells of the network [2; of mse_nas 3].")] = None,
    head: Annotated[str | None, typer.Option(help="What stands before the classes: lif, bn_lif or linear.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe of the training, a name or .toml [DATASET's].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of training [the recipe's].")] = None,
    data: DataOptions = None,
    backward: Annotated[bool, typer.Option("--backward", help="Search backward edges too: recurrent cells.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Stop after the search.")] = False,
    log_to: LogTo = None,
    then: Then = None,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find a network, train it, keep the run."""
    asked = locals()  # before anything else has a name
    from snnas.toolchain.cli.train import check_then, goes_on_with, show
    from snnas.toolchain.commands.run import Run
    from snnas.toolchain.commands.search import resume_search, run_search
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.searching.options import ResumeOptions, SearchOptions

    _refuse(context, resume, method, then if no_train else None)
    check_then(then)
    narrator = Narrator(quiet=quiet, verbose=verbose)
    begun = goes_on_with("search --resume", runs_dir, then)
    if resume is not None:
        there = {name: asked[name] if given(context, name) else None for name in ("dataset", "device")}
        going_on = options_of(ResumeOptions, asked, run=resume, train=not no_train, **there)
        run = resume_search(going_on, narrator, begun=begun)
    else:
        if not given(context, "dataset"):
            narrator.say(f"--dataset is not given: {dataset}")
        options = options_of(SearchOptions, asked, train=not no_train)
        run = run_search(options, narrator, command=typed(), begun=begun, target=then)
    found = Run(run)
    pick = None
    if (points := found.front) is not None:
        from snnas.toolchain.searching.front import choice
        from snnas.toolchain.searching.front_table import table

        pick = choice(points, found.files.section("budget"))
        if not as_json:
            print_table(table(points))
    show(found.files, as_json, narrator, runs_dir, then, pick)


def _refuse(context: typer.Context, resume: str | None, method: str, untrained: str | None) -> None:
    """UsageError for a word that belongs nowhere, and for options that a run which goes on or a method cannot take."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.searching.methods import RUNNERS, refuse_foreign

    if context.args:
        word = context.args[0]
        raise UsageError(f"unexpected {word!r}; a data set is given with: snnas search --dataset {shlex.quote(word)}")
    if untrained is not None:
        raise UsageError(f"--target {untrained}: an export is of a trained network; leave --no-train out")
    others = {p.name or "" for p in context.command.params} - GOES_WITH_RESUME
    odd = options_given(context, others) if resume is not None else []
    if odd:
        raise UsageError(
            f"{', '.join(odd)} cannot be changed with --resume {resume}: the run goes on as it was begun; "
            "leave it out, or start another run without --resume"
        )
    if resume is None and method in RUNNERS:  # typed, be it with the default
        refuse_foreign(method, [p.name or "" for p in context.command.params if given(context, p.name or "")])
