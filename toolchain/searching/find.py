"""What ``snnas search`` does to a run that was begun: search, train, and what a budget or a front asks beyond that."""

from __future__ import annotations

from snnas.hw_sim.errors import GateError
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching.closest_miss import give_back
from snnas.toolchain.searching.front import follow
from snnas.toolchain.searching.session import Session, use_device
from snnas.toolchain.searching.within_budget import search_and_train
from snnas.toolchain.training.tracking import Listener


def find_network(
    run: Run,
    narrator: Narrator,
    *,
    workers: int = 1,
    engine: str = "process",
    train: bool = True,
    device: str | None = None,
    on_epoch: Listener = lambda record: None,
) -> None:
    """Search a run, and with ``train`` train what is found; goes on where an earlier process was ended.

    workers, engine: who evaluates candidates. device: to go on with another than the run was begun on. on_epoch:
    takes each epoch's record of the winner's training. GateError of a search that failed for good, now or before.
    """
    if run.failure is not None:
        give_back(run)
        raise GateError(run.failure)
    if not run.genotype.exists():
        use_device(run, device)
    try:
        with Session.of(run, narrator, workers=workers, engine=engine) as session:
            search_and_train(session, train=train, device=device, on_epoch=on_epoch)
            follow(session, train=train, device=device)
    except GateError as error:
        if not run.genotype.exists():  # no other end is possible: a search draws nothing anew
            run.fail(str(error))
        raise
