"""A Pareto front of a search: the networks that no other one beats in every objective, trained and measured.

Of all whole networks that the search scored, the front is made of scores and predicted costs. Its points become runs of
their own, ``front/01`` and on, so that whatever works on a run works on a point: training, ``export``, ``check``. What
is then measured may order them differently; ``front.json`` keeps both (schema snnas.front/1).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import copy, read_bytes, read_json, write_json, write_text
from snnas.toolchain.data.statistics import spearman
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.runs.run import FRONT, Run
from snnas.toolchain.searching.cost import Cost, figure, measure, merit
from snnas.toolchain.searching.session import Session
from snnas.toolchain.searching.within_budget import over_budget, replay
from snnas.toolchain.training.of_run import train_run
from snnas.toolchain.training.restore import network_of

if TYPE_CHECKING:
    from snnas.search.network.genotype import Genotype

SCHEMA = "snnas.front/1"
FILE, PICTURE = "front.json", "front.svg"


def member(run: Run, number: int) -> Run:
    """The run of point ``number``, from 1; UsageError where there is no such point."""
    found = Run(run.path / FRONT / f"{number:02d}")
    if not (found.path / "run.toml").is_file():
        there = sorted(int(path.parent.name) for path in run.path.glob(f"{FRONT}/*/run.toml"))
        known = f"{there[0]} to {there[-1]} are there" if there else "it has none; search with --objective score,energy"
        raise UsageError(f"--pick {number}: run {run.name} has no such point of a front; {known}")
    return found


def read_front(run: Run) -> dict[str, Any]:
    """front.json; InvalidFileError where it is none."""
    found = read_json(run.path / FILE)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("points"), list):
        raise InvalidFileError(f"{run.path / FILE}: no {SCHEMA}; search again")
    return found


def choice(front: dict[str, Any], limits: dict[str, float]) -> int | None:
    """The point that is best as measured, within the limits where some is, and not beaten; None where none is.

    Of equally good ones that which costs less of the first objective beside the score.
    """
    points = [p for p in front["points"] if p["measured"] is not None and p["beaten"] is False]
    within = [p for p in points if not over_budget(limits, Cost.of(p["measured"]))] or points
    price = next(name for name in front["objectives"] if name != "score")
    best = max(within, key=lambda p: (merit(p["measured"]), -figure(p["measured"], price)), default=None)
    return None if best is None else int(best["n"])


def follow(session: Session, *, train: bool = True, device: str | None = None) -> dict[str, Any] | None:
    """Build, and with ``train`` train, the front of a run that was asked for one, and draw it; None of another."""
    from snnas.toolchain.searching.front_picture import write_picture

    run = session.run
    if not run.section("objectives"):
        return None
    front = build(session)
    if train and run.section("objectives")["train"]:
        front = train_points(session, device)
    write_picture(front, run.path / PICTURE)
    return front


def build(session: Session) -> dict[str, Any]:
    """Write and return the front of a finished search, not trained yet; a front that is there stays as it is."""
    run = session.run
    if (run.path / FILE).exists():
        return read_front(run)
    if not session.candidates and not session.runner.trains:
        replay(session)
    names = list(run.section("objectives")["names"])
    scored = scored_networks(session)
    genotypes = [genotype for genotype, _ in scored]
    costs = session.costs(genotypes)
    every = {at: objectives(names, scored[at][1], cost) for at, cost in enumerate(costs) if isinstance(cost, Cost)}
    places = [at for at, row in every.items() if all(map(math.isfinite, row))]
    rows = [every[at] for at in places]
    chosen = [places[at] for at in _front(rows)]
    points = []
    for number, at in enumerate(thinned(chosen, int(run.section("objectives")["train"]) or len(chosen)), start=1):
        point = f"{FRONT}/{number:02d}"
        _begin(run, point, genotypes[at])
        cost = costs[at]
        assert isinstance(cost, Cost)
        points.append(
            {
                "n": number,
                "path": point,
                "architecture": genotypes[at].architecture_id,
                "genotype": json.loads(genotypes[at].to_json()),
                "score": scored[at][1],
                "predicted": cost.to_json(),
                "validation_accuracy": None,
                "measured": None,
                "beaten": None,
            }
        )
    front = {
        "schema": SCHEMA,
        "run": run.name,
        "objectives": names,
        "priced": len(places),
        "unpriced": len(genotypes) - len(places),
        "on_front": len(chosen),
        # What the front was chosen from, for the picture: the score, and the other objectives as predicted.
        "candidates": [[-row[0], *row[1:]] for row in rows],
        "points": points,
        "rank_correlation": None,
    }
    write_json(run.path / FILE, front)
    return front


def train_points(session: Session, device: str | None = None) -> dict[str, Any]:
    """Train and measure what of the front is not yet; killed at any moment, it goes on.

    The network that the search chose is trained already: a point that is the same takes its weights.
    """
    run, narrator = session.run, session.narrator
    front = read_front(run)
    missing = [point for point in front["points"] if not Run(run.path / point["path"]).trained]
    same = [point for point in missing if _is_winner(run, Run(run.path / point["path"]))]
    if missing:
        known = f"; point {same[0]['n']} is the network above" if same else ""
        trainings = counted(len(missing) - len(same), "training")
        narrator.say(f"{trainings} for {counted(len(front['points']), 'point')}{known}")
    for point in front["points"]:
        found = Run(run.path / point["path"])
        if point["measured"] is not None:
            continue
        narrator.say(f"point {point['n']} of {len(front['points'])}")
        if not found.trained:
            with found.lock():
                if _is_winner(run, found):
                    _take_weights(run, found)
                else:
                    train_run(found, narrator, device)
        measured = measure(network_of(found), session.data, session.spec.predictor.chip, session.spec.predictor.widths)
        point["validation_accuracy"] = found.table("training")["validation_accuracy"]
        point["measured"] = measured.to_json()
        write_json(run.path / FILE, front)
    conclude(front)
    write_json(run.path / FILE, front)
    return front


def conclude(front: dict[str, Any]) -> None:
    """Say of trained points which are beaten as measured, and how well ranks were predicted."""
    points = front["points"]
    if not points or any(point["measured"] is None for point in points):
        return
    others = [name for name in front["objectives"] if name != "score"]
    rows = [[-merit(point["measured"]), *(figure(point["measured"], name) for name in others)] for point in points]
    kept = set(_front(rows))
    for at, point in enumerate(points):
        point["beaten"] = at not in kept
    pairs = {
        "score_accuracy": ([p["score"] for p in points], [merit(p["measured"]) for p in points]),
        **{
            name: ([figure(p["predicted"], name) for p in points], [figure(p["measured"], name) for p in points])
            for name in others
        },
    }
    front["rank_correlation"] = {name: spearman(np.array(a), np.array(b)) for name, (a, b) in pairs.items()}


def objectives(names: Sequence[str], score: float, cost: Cost) -> list[float]:
    """One network's objectives, all to be small."""
    plain = cost.to_json()
    return [-score, *(figure(plain, name) for name in names if name != "score")]


def scored_networks(session: Session) -> list[tuple[Genotype, float]]:
    """Every whole network that the last attempt scored, in the order of the log, with its score."""
    judged = session.judged()
    if judged is not None:
        return [(one.genotype, one.score) for one in judged.values()]
    records = [r for r in session.run.search_log.read() if r.get("event") == "evaluation"]
    last = max((r.get("attempt", 1) for r in records), default=1)
    found: dict[str, float] = {}
    for record in records:
        studied = isinstance(record["round"], str)
        if record.get("attempt", 1) == last and not studied and record["op"] in session.candidates:
            found[record["op"]] = float("-inf") if record["score"] is None else float(record["score"])
    return [(session.candidates[name], score) for name, score in found.items()]


def thinned(places: Sequence[int], count: int) -> list[int]:
    """At most ``count`` of a sequence, evenly spread, both ends kept."""
    if len(places) <= count:
        return list(places)
    return [places[round(k * (len(places) - 1) / max(1, count - 1))] for k in range(count)]


def _is_winner(run: Run, point: Run) -> bool:
    return run.trained and read_bytes(run.genotype) == read_bytes(point.genotype)


def _take_weights(run: Run, point: Run) -> None:
    """The training of the run itself, whose network, recipe and seed are the point's; the weights come last."""
    config = run.config()
    point.write_config({**point.config(), "train": config["train"], "training": config["training"]})
    for source, target in ((run.train_log.path, point.train_log.path), (run.weights, point.weights)):
        copy(source, target)


def _front(rows: Sequence[Sequence[float]]) -> list[int]:
    from snnas.search.methods.pareto import front

    return front(rows)


def _begin(run: Run, point: str, genotype: Genotype) -> None:
    """A run of its own for a point, as the search's, searched and not trained."""
    found = Run(run.path / point)
    found.path.mkdir(parents=True, exist_ok=True)
    config = run.config()
    config["name"] = f"{run.name}/{point}"
    config.pop("training", None)
    config["search"]["architecture"] = genotype.architecture_id
    for table in ("budget", "objectives"):
        config.pop(table, None)
    found.write_config(config)
    write_text(found.genotype, genotype.to_json())
