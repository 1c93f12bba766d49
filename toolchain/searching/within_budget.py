"""A search under a budget: found by predicted costs, trained, measured on target, and searched again where that fails.

A cost predicted before training is not the one measured after it. So the trained winner is measured on the validation
split, and where it is over a limit by what depends on data, the search is repeated: the network is refused, and limits
on predictions are lowered by the largest ratio of measured to predicted that was seen; where nothing is left then, to
just below what was predicted of the networks that failed. MARGIN is kept for samples that were not seen. Every attempt
is a record of the search's log ("event": "trial"), and the last decides. Where none is within the budget, the run has
failed, and keeps the network that misses by the least.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import GateError, InvalidFileError
from snnas.hw_sim.files import read_text
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching import closest_miss
from snnas.toolchain.searching.budgets import Excess, Limits, amounts, excesses
from snnas.toolchain.searching.closest_miss import MARGIN, OF_DATA, reserved
from snnas.toolchain.searching.cost import Cost, live, measure
from snnas.toolchain.searching.session import Session
from snnas.toolchain.searching.smaller import shrinking
from snnas.toolchain.training.of_run import train_run
from snnas.toolchain.training.restore import network_of
from snnas.toolchain.training.tracking import Listener

if TYPE_CHECKING:
    from snnas.search.kinds import Architecture

ATTEMPTS = 5


def search_and_train(
    session: Session, *, train: bool = True, device: str | None = None, on_epoch: Listener = lambda record: None
) -> None:
    """Find, and with ``train`` train, a network within the run's budget; GateError where none of ATTEMPTS is.

    Without a budget: one search, one training. Without training, the budget holds for predicted figures alone.
    """
    run, narrator = session.run, session.narrator
    training = partial(train_run, run, narrator, device, on_epoch=on_epoch) if train else None
    if not session.limits:
        _once(session, (), training)
        return
    while True:
        trials = trials_of(run)
        if trials and not trials[-1]["over"]:
            closest_miss.drop(run)
            return
        if trials:
            _forget(run, trials[-1])
        if len(trials) == ATTEMPTS:
            why = f"none of {ATTEMPTS} trained networks is within the budget on target"
            raise closest_miss.miss(run, trials, session.limits, why, shrinking(session.spec, session.data))
        try:
            _once(session, trials, training)
        except GateError:
            if not trials or run.genotype.exists():
                raise
            why = f"after {len(trials)} of {ATTEMPTS} attempts no network is left that is predicted to take less"
            options = shrinking(session.spec, session.data)
            raise closest_miss.miss(run, trials, session.limits, why, options) from None
        if not train:
            narrator.say("  within the budget as predicted; what counts is measured after training")
            return
        _try(session, len(trials) + 1)


def trials_of(run: Run) -> list[dict[str, Any]]:
    """The attempts that were trained and measured, in order; InvalidFileError where one is not what it should be."""
    trials = [record for record in run.search_log.read() if record.get("event") == "trial"]
    for trial in trials:
        if not _is_trial(trial):
            raise InvalidFileError(f"{run.search_log.path}: a trial lacks a figure, or it is none; search again")
    return trials


def _is_trial(trial: Mapping[str, Any]) -> bool:
    """Whether it holds what ``_try`` writes, in the same types."""
    over, ratios, predicted = trial.get("over"), trial.get("ratios"), trial.get("predicted")
    figures = predicted.get("figures") if isinstance(predicted, dict) else {}
    measured = trial.get("measured")
    return (
        isinstance(over, list)
        and all(isinstance(text, str) for text in over)
        and isinstance(ratios, dict)
        and isinstance(figures, dict)
        and isinstance(measured, dict)
        and isinstance(measured.get("figures"), dict)
        and all(v is None or type(v) in (int, float) for v in measured["figures"].values())
        and all(_is_positive(value) and _is_positive(figures.get(name)) for name, value in ratios.items())
        and isinstance(trial.get("genotype"), str)
        and isinstance(trial.get("architecture"), str)
        and type(trial.get("ratio")) in (int, float)
    )


def _is_positive(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < 1e300  # type: ignore[operator]


def _once(session: Session, trials: Sequence[dict[str, Any]], training: Callable[[], None] | None) -> None:
    if not session.run.genotype.exists():
        if trials:
            shown = amounts(calibrated(session.limits, trials))
            session.narrator.say(f"attempt {len(trials) + 1} of {ATTEMPTS}, predicted within {shown}")
        _search(session, trials)
    if training is not None and not session.run.trained:
        training()


def replay(session: Session) -> None:
    """Search once more what a run has found: all from its log, so that the session knows the candidates."""
    trials = trials_of(session.run)
    _search(session, trials[:-1] if trials and not trials[-1]["over"] else trials)


def _search(session: Session, trials: Sequence[dict[str, Any]]) -> None:
    banned = {_key(trial): f"measured over the budget in attempt {k}" for k, trial in enumerate(trials, start=1)}
    attempt = len(trials) + 1
    try:
        session.search(attempt=attempt, limits=calibrated(session.limits, trials), banned=banned)
    except GateError:
        if not trials:
            raise
        # The ratio of one network is no law for all: whatever is predicted to take less than what failed may do.
        session.search(attempt=attempt, limits=below(session.limits, trials), banned=banned)


def calibrated(limits: Limits, trials: Sequence[dict[str, Any]]) -> Limits:
    """The limits for predictions: lowered where training raised a figure, by as much as it ever did."""
    raised = {name: max([1.0, *(float(t["ratios"].get(name, 1.0)) for t in trials)]) for name in limits}
    return {name: limit / raised[name] for name, limit in limits.items()}


def below(limits: Limits, trials: Sequence[dict[str, Any]]) -> Limits:
    """The limits for predictions, lowered to just below those of trials that failed by what depends on data."""
    lowered = dict(limits)
    for trial in trials:
        for name in limits.keys() & trial["ratios"].keys():
            lowered[name] = min(lowered[name], trial["predicted"]["figures"][name] * (1 - 1e-9))
    return lowered


def over_budget(limits: Limits, found: Cost) -> list[Excess]:
    """The limits that a measured cost does not keep; of what depends on data, with MARGIN to spare."""
    return excesses(reserved(limits), found.figures)


def _try(session: Session, attempt: int) -> None:
    """Measure the trained network and write down what came of it."""
    run, narrator = session.run, session.narrator
    network = network_of(run)
    (predicted,) = session.costs([network.genotype])
    found = measure(network, session.data, session.spec.predictor.chip, session.spec.predictor.widths)
    over = over_budget(session.limits, found)
    ratios = {}
    for name in OF_DATA:
        before = None if isinstance(predicted, str) else predicted.figures.get(name)
        after = found.figures.get(name)
        if before and after:
            ratios[name] = after * (1 + MARGIN) / before
    shown = amounts({name: found.figures[name] for name in session.limits}, measured=True)
    balanced = "" if found.balanced is None else f" (balanced {found.balanced:.1%})"
    narrator.say(f"  on target, validation split: accuracy {found.accuracy:.1%}{balanced}, {shown}")
    for excess in over:
        share = f" by {excess.ratio - 1:.1%}" if math.isfinite(excess.ratio) else ""
        spare = f", of which {MARGIN:.0%} is kept for other samples" if excess.metric in OF_DATA else ""
        limit = amounts({excess.metric: session.limits[excess.metric]})
        narrator.say(f"  over the budget{share}: {limit}{spare}")
    ratio = min(over[0].ratio, 1e9) if over else 0.0
    if over and all(ratio < float(trial["ratio"]) for trial in trials_of(run)):
        closest_miss.keep(run)
    run.search_log.append(
        {
            "event": "trial",
            "round": "trial",
            "edge": None,
            "op": network.genotype.architecture_id,
            "attempt": attempt,
            "architecture": network.genotype.architecture_id,
            "genotype": network.genotype.to_json(),
            "predicted": predicted if isinstance(predicted, str) else predicted.to_json(),
            "measured": found.to_json(),
            "ratios": ratios,
            "ratio": ratio,
            "over": [str(excess) for excess in over],
        }
    )


def _forget(run: Run, trial: dict[str, Any]) -> None:
    """Remove the network of a trial that failed, unless the next attempt's stands there already."""
    if run.genotype.exists() and read_text(run.genotype) == trial["genotype"]:
        for path in (run.weights, run.train_log.path, run.genotype):
            path.unlink(missing_ok=True)


def _key(trial: dict[str, Any]) -> Any:
    return live(_genotype(trial))


def _genotype(trial: dict[str, Any]) -> Architecture:
    from snnas.search.kinds import read_genotype

    return read_genotype(trial["genotype"], where="a trial in search.jsonl")
