"""What ``snnas search`` does to a run that was begun: search, train, and what a budget or a front asks beyond that."""

from __future__ import annotations

from typing import Any

from hw_sim.errors import GateError, UsageError
from toolchain import budgeted, front, nearest, searching, searching_mse, train_run
from toolchain.narration import Narrator
from toolchain.runs import Run
from toolchain.workers import check


def find(
    run: Run, narrator: Narrator, *, workers: int, engine: str, train: bool, device: str | None
) -> dict[str, Any] | None:
    """Search a run, and with ``train`` train what is found; goes on where an earlier process was ended.

    workers, engine: who evaluates candidates. device: to go on with another than the run was begun on. Returns the
    front of a run that was asked for one, else None. GateError of a search that failed for good, now or before.
    """
    if run.failure is not None:
        nearest.give_back(run)
        raise GateError(run.failure)
    try:
        return _find(run, narrator, workers=workers, engine=engine, train=train, device=device)
    except GateError as error:
        if not run.genotype.exists():  # no other end is possible: a search draws nothing anew
            run.fail(str(error))
        raise


def check_workers(method: str, workers: int, engine: str) -> None:
    """UsageError, or UnsupportedError, where no search by ``method`` can be evaluated by these."""
    check(engine, workers)
    if method == "mse_nas" and (workers, engine) != (1, "process"):
        raise UsageError("--workers and --engine: mse_nas evaluates in one process; leave them out")


def _find(
    run: Run, narrator: Narrator, *, workers: int, engine: str, train: bool, device: str | None
) -> dict[str, Any] | None:
    if not run.genotype.exists():
        searching.use_device(run, device)
    if run.value("method", "name", str) == "mse_nas":
        searching_mse.search(run, narrator)
        if train and not run.trained:
            train_run.train(run, narrator, device)
        return None
    with searching.Session.of(run, narrator, workers=workers, engine=engine) as session:
        budgeted.search_and_train(session, run, narrator, train=train, device=device)
        return front.follow(session, run, narrator, train=train, device=device)
