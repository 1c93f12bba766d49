"""A search from its beginning, or from where it was ended, to a trained run."""

from __future__ import annotations

from collections.abc import Callable

from snnas.toolchain import runs
from snnas.toolchain.output.card import write_card
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.relocate import point_to
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.begin import begin_search
from snnas.toolchain.searching.budgets import amounts
from snnas.toolchain.searching.find import find_network
from snnas.toolchain.searching.options import ResumeOptions, SearchOptions
from snnas.toolchain.searching.workers import check_engine
from snnas.toolchain.training.tracking import Listener, listener, require

Begun = Callable[[Run], None]


def run_search(
    options: SearchOptions,
    narrator: Narrator = SILENT,
    *,
    command: str = "snnas.search_network",
    begun: Begun = lambda run: None,
    on_epoch: Listener | None = None,
    target: str | None = None,
) -> Run:
    """Finds a cell on a data set, trains it and keeps the run: genotype, weights and logs are in its folder.

    command: what run.toml says it was made with. begun: is called with the run once it is on disk and goes on, after a
    kill, with ``resume_search``. on_epoch: takes each epoch's record of the training, as train.jsonl has them: a hook
    for wandb, mlflow and others. target: that the run will be exported to; data that it cannot take are refused.
    UsageError (2) for options that do not go together, InvalidFileError (3) for data that cannot be read, GateError (1)
    where no candidate has a finite score or none keeps the budget.
    """
    check_engine(options.engine, options.workers)
    require(options.log_to)
    run = begin_search(runs.directory(options.runs_dir), options.name, options, command, narrator, target=target)
    return _go_through(run, options, narrator, begun, on_epoch)


def resume_search(
    options: ResumeOptions,
    narrator: Narrator = SILENT,
    *,
    begun: Begun = lambda run: None,
    on_epoch: Listener | None = None,
) -> Run:
    """Goes on with a run whose search or training was ended; what is finished is not done again.

    UsageError (2) where there is no such run; other errors as ``run_search``.
    """
    run = runs.find(runs.directory(options.runs_dir), options.run)
    check_engine(options.engine, options.workers)
    require(options.log_to)
    if options.dataset is not None:
        point_to(run, options.dataset)
    return _go_through(run, options, narrator, begun, on_epoch)


def _go_through(
    run: Run,
    options: SearchOptions | ResumeOptions,
    narrator: Narrator,
    begun: Begun,
    on_epoch: Listener | None,
) -> Run:
    begun(run)
    device = options.device if isinstance(options, ResumeOptions) else None  # that of run.toml
    hear = listener(run.path, options.log_to, on_epoch)
    with run.lock():
        narrator.say(f"run {run.name}")
        if not run.genotype.exists():
            _say_begun(run, narrator)
        find_network(
            run, narrator, workers=options.workers, engine=options.engine, train=options.train, device=device,
            on_epoch=hear,
        )  # fmt: skip
        write_card(run)
    return run


def _say_begun(run: Run, narrator: Narrator) -> None:
    """What was read and what is asked of it. Less than was asked for is done aloud."""
    config = run.config()
    notes = [f"note: {note}" for note in config["data"].get("notes", [])]
    budget = config.get("budget") and f"budget: {amounts(config['budget'])}"
    for line in (config["data"].get("summary"), *notes, budget):
        if line:
            narrator.say(f"  {line}")
    batch, there = config["method"]["batch"], config["data"].get("train", 0)
    if batch > there > 0:
        narrator.note(f"--batch {batch} is clipped to the {there} samples of the training split")
