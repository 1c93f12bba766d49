"""A search that trains: evolution over designs by accuracy and cost on target, and successive halving.

First designs are drawn, half of them at random, half with one convolution in all: a plain network leaves most of a
budget to its width, and what evolution adds has to be worth more (with the deepest of several draws in their place
98.4 % at 90 uJ on digits, where one convolution per cell had 99.2 %; means of three seeds). Then the best breed, mu +
lambda, beside a few that are drawn anew. Where something is limited, plain networks and half of the children are as
wide as the limits are predicted to let them be: width is what a budget is best spent on, and steps of one width at a
time came to it in one seed of five. Best are, under a budget, the most accurate, for only accuracy is left to win
there; else those on the first fronts of accuracy and cost (NSGA-II). What breaks a limit stands behind everything that
keeps all, by how much. No functional duplicate is trained twice.

Every design is trained shortly on a part of the data; the best third longer; the best of these with more seeds, on
another part of the data each, and the mean over seeds decides: so no lucky one wins. Where nothing limits the cost, the
cheapest wins of those within a standard error of the most accurate.

Ours. Successive halving: Jamieson and Talwalkar, AISTATS 2016; sorting and crowding: Deb et al., IEEE TEC 6(2), 2002;
the rule of one standard error: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snnas.hw_sim.errors import GateError
from snnas.search.methods import Record, Refuse, SearchResult
from snnas.search.methods.nondominated import by_rank_and_crowding, hypervolume
from snnas.search.methods.trials import Log, NothingTrainedError, Trained, Trial, mean
from snnas.search.network.design import Design
from snnas.search.network.design_space import DesignSpace

POPULATION, CHILDREN = 12, 8
FIRST_SHARE = 1 / 3  # of the trainings: what is drawn before anything breeds
WIDEST_SHARE = 1 / 2  # of the children, where something is limited
PRIOR_DRAWS = 8  # of which a prior takes the best
FRESH = 2  # of the children: drawn anew, so that no family of designs is all there is
LONGER_SHARE = 1 / 3  # of the trainings: designs that are trained longer
FINAL_SHARE = 1 / 8  # of the trainings: designs that are trained longer with several seeds
SEEDS = 4  # of each of these
PATIENCE = 40  # times that as many designs are drawn as are wanted; where every one is refused, HOPELESS times
HOPELESS = 8


# Trains, and tells of each training when it has ended.
Train = Callable[[Sequence[Trial], Callable[[int, Trained], None]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is trained, and what counts.

    trainings: short ones. costs: names of the figures that evolution makes small beside the error. limits: that the
    search keeps. final: limits that the choice keeps; lower, where a budget's earlier attempts say so. banned: ids of
    designs that are not chosen. random: draw all, breed none. front: points of a front that is wanted. prior: of a
    design, higher for better; half of the random draws are then the best of PRIOR_DRAWS by it.
    """

    trainings: int
    costs: tuple[str, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    final: Mapping[str, float] = field(default_factory=dict)
    banned: Collection[str] = ()
    random: bool = False
    front: int = 0
    prior: Callable[[Design], float] | None = None

    @property
    def finalists(self) -> int:
        """How many designs are trained longer with several seeds."""
        return min(self.trainings, max(2, round(self.trainings * FINAL_SHARE), self.front))

    @property
    def longer(self) -> int:
        """How many designs are trained longer."""
        return max(self.finalists, round(self.trainings * LONGER_SHARE))

    @property
    def all_trainings(self) -> int:
        """Short and long ones, where the first choice keeps all limits."""
        return self.trainings + self.longer + (SEEDS - 1) * self.finalists


def run(
    space: DesignSpace,
    train: Train,
    plan: Plan,
    *,
    rng: np.random.Generator,
    refuse: Refuse,
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    earlier: Iterable[Mapping[str, Any]] = (),
    say: Callable[[str], None] = lambda text: None,
) -> SearchResult:
    """Search and return the design that is the most accurate on average of those that keep all limits.

    train: of a trial the result must not depend on the others. refuse: asked before a design is trained. log: takes one
    record per training ({"event": "evaluation", "round": generation, or 'final', "op": architecture id, "seed", "how",
    "score", "cost", "reason", "seconds" of all that were trained at once, "genotype"}) as soon as it has ended, and per
    refusal; the choice, with what it was made from, and hypervolumes of random draws and of as many bred designs.
    resume: the records of the search that goes on. earlier: of others whose trainings are taken over. The result is
    the same whoever trains and however often it was ended. GateError where no design keeps the limits.
    """
    search = _Search(space, train, plan, rng, refuse, Log(log, resume, earlier), say)
    search.first()
    while search.breed():
        pass
    return search.choose()


class _Search:
    def __init__(
        self,
        space: DesignSpace,
        train: Train,
        plan: Plan,
        rng: np.random.Generator,
        refuse: Refuse,
        log: Log,
        say: Callable[[str], None],
    ) -> None:
        self.space, self.train, self.plan, self.rng, self.refuse, self.log = space, train, plan, rng, refuse, log
        self.say = say
        self.designs: dict[str, Design] = {}
        self.how: dict[str, str] = {}
        self.short: dict[str, Trained] = {}
        self.seen: set[str] = set()
        self.generation = 0
        self.asked: set[str] = set()

    def first(self) -> None:
        """Draw and train the first designs."""
        count = self.plan.trainings
        if not self.plan.random:
            count = min(count, max(2, round(count * FIRST_SHARE)))
        drawn = -(-count // 2) if not self.plan.random else count
        by_prior = drawn // 2 if self.plan.prior else 0
        found = [(design, "random") for design in self._new(drawn - by_prior, lambda: self.space.draw(self.rng))]
        found += [(design, "prior") for design in self._new(by_prior, self._likely)]
        if not self.plan.random:
            plain = self._new(count - len(found), lambda: self._widest(self.space.draw_plain(self.rng)))
            found += [(design, "plain") for design in plain]
        if not found:
            raise GateError(f"none of the {len(self.seen)} designs drawn is predicted to keep the budget")
        self._train(found)

    def breed(self) -> bool:
        """Train a generation of children; False where enough is trained, or nothing new can be bred."""
        left = self.plan.trainings - len(self.short)
        if left <= 0:
            return False
        self.generation += 1
        order = self._ranked if self.plan.front or not self.plan.limits else self._by_accuracy
        parents = order(self.short)[:POPULATION]

        def child() -> Design:
            one, other = self._parent(parents), self._parent(parents)
            crossed = self.space.cross(one, other, self.rng) if self.rng.random() < 0.5 else one
            known = crossed.architecture_id in self.seen
            made = self.space.mutate(crossed, self.rng) if known or self.rng.random() < 0.5 else crossed
            return self._widest(made) if self.rng.random() < WIDEST_SHARE else made

        count = min(left, CHILDREN)
        bred = [] if self.plan.random else self._new(max(1, count - FRESH), child)
        drawn = self._new(count - len(bred), lambda: self.space.draw(self.rng))
        self._train([*((design, "bred") for design in bred), *((design, "random") for design in drawn)])
        return bool(bred or drawn)

    def choose(self) -> SearchResult:
        """Train the best for longer, and choose among them by the mean over seeds."""
        limits = {**self.plan.limits, **self.plan.final}
        order = self._ranked if self.plan.front else self._by_accuracy
        finals: dict[str, list[Trained]] = {}

        def kept(found: Mapping[str, Trained]) -> list[str]:
            return [name for name in order(found) if found[name].excess(limits) == 0 and name not in self.plan.banned]

        def chosen() -> str | None:
            means = {name: mean(results) for name, results in finals.items()}
            return self._chosen({name: finals[name] for name in kept(means)})

        waiting = kept(self.short)
        while waiting and chosen() is None:
            part, waiting = waiting[: self.plan.longer], waiting[self.plan.longer :]
            once = {name: mean(results) for name, results in self._longer(part, (1,)).items()}
            promising = kept(once)
            while promising and chosen() is None:
                some, promising = promising[: self.plan.finalists], promising[self.plan.finalists :]
                finals.update(self._longer(some, range(1, SEEDS + 1)))
        best = chosen()
        if best is None:
            reasons = self._reasons()
            if len(reasons) == len(self.short):
                raise NothingTrainedError(f"none of {len(reasons)} trainings came to anything, the last: {reasons[-1]}")
            raise GateError(
                f"none of the {len(self.short)} designs that were trained keeps the budget as it was measured"
            )
        means = {name: mean(results) for name, results in finals.items()}
        worth = self._worth()
        self.log.write(
            "choice",
            best,
            "final",
            score=means[best].accuracy,
            finalists=[
                {"op": name, "score": found.accuracy, "cost": found.cost, "genotype": self.designs[name].to_json()}
                for name, found in means.items()
                if not found.reason
            ],
            **({"hypervolume": worth} if worth else {}),
        )
        if worth:
            self.say(
                f"  hypervolume: {worth['random']:.3f} by random draws and {worth['bred']:.3f} by bred designs, "
                f"{worth['trainings']} each; {worth['all']:.3f} by all"
            )
        return SearchResult(self.designs[best], len(self.asked), (), {}, means[best].accuracy)

    def _chosen(self, finals: Mapping[str, Sequence[Trained]]) -> str | None:
        """The most accurate on average; where nothing is limited, the cheapest that is as good within its error."""
        first = self.plan.costs[0]
        means = {name: mean(results) for name, results in finals.items()}
        best = min(means, key=lambda n: (-means[n].accuracy, means[n].figure(first)), default=None)
        if best is None or self.plan.limits or self.plan.front:
            return best
        spread = float(np.std([found.accuracy for found in finals[best]], ddof=1)) / math.sqrt(SEEDS)
        as_good = [name for name in means if means[name].accuracy >= means[best].accuracy - spread]
        return min(as_good, key=lambda n: (means[n].figure(first), -means[n].accuracy))

    def _parent(self, ranked: Sequence[str]) -> Design:
        """A binary tournament: the better ranked of two."""
        return self.designs[ranked[min(int(at) for at in self.rng.integers(len(ranked), size=2))]]

    def _likely(self) -> Design:
        """The best of a few draws by the prior."""
        assert self.plan.prior is not None
        return max((self.space.draw(self.rng) for _ in range(PRIOR_DRAWS)), key=self.plan.prior)

    def _widest(self, design: Design) -> Design:
        """The design, as wide as it is predicted to keep the limits; where nothing is limited, as it is."""
        if not self.plan.limits:
            return design
        choices = self.space.channels
        kept, refused = -1, len(choices)
        while refused - kept > 1:  # the wider, the dearer
            middle = (kept + refused) // 2
            wide = self.refuse([replace(design, channels=choices[middle])])[0] is None
            kept, refused = (middle, refused) if wide else (kept, middle)
        return replace(design, channels=choices[max(kept, 0)])

    def _new(self, count: int, make: Callable[[], Design]) -> list[Design]:
        """At most ``count`` designs that were not seen before and are not refused."""
        found: list[Design] = []
        for round_ in range(PATIENCE):
            fresh: dict[str, Design] = {}
            for _ in range(PATIENCE * count):
                if len(fresh) == count - len(found):
                    break
                design = make()
                name = design.architecture_id
                if name not in self.seen:
                    self.seen.add(name)
                    fresh[name] = design
            reasons = self.refuse(list(fresh.values())) if fresh else ()
            for (name, design), reason in zip(fresh.items(), reasons, strict=True):
                if reason is None:
                    found.append(design)
                else:
                    self.log.write("refusal", name, self.generation, reason=reason)
            if len(found) == count or not fresh or (not found and round_ + 1 == HOPELESS):
                break
        return found

    def _train(self, found: Sequence[tuple[Design, str]]) -> None:
        for design, how in found:
            self.designs[design.architecture_id], self.how[design.architecture_id] = design, how
        trials = [Trial(design, 0) for design, _ in found]
        self.short.update(
            zip((d.architecture_id for d, _ in found), self._results(trials, self.generation), strict=True)
        )
        best = next(iter(self._by_accuracy(self.short)), None)
        if best is not None and found:
            one, cost = self.short[best], self.plan.costs[0]
            over = " (over the budget)" if one.excess(self.plan.limits) else ""
            self.say(
                f"  generation {self.generation}: {len(self.short)} of {self.plan.trainings} trained; best "
                f"{one.accuracy:.1%} on target, {cost} {one.figure(cost):.4g}{over}"
            )
        reasons = self._reasons()
        if reasons and found:
            self.say(f"  {len(reasons)} of {len(self.short)} trainings came to nothing, the last: {reasons[-1]}")

    def _reasons(self) -> list[str]:
        """Why short trainings came to nothing, of those that did."""
        return [result.reason for result in self.short.values() if result.reason]

    def _longer(self, names: Sequence[str], seeds: Sequence[int]) -> dict[str, list[Trained]]:
        trials = [Trial(self.designs[name], seed) for name in names for seed in seeds]
        results = iter(self._results(trials, "final"))
        return {name: [next(results) for _ in seeds] for name in names}

    def _results(self, trials: Sequence[Trial], number: int | str) -> list[Trained]:
        """What came of each; what is known is not trained again."""
        self.asked.update(trial.name for trial in trials)
        missing = [trial for trial in trials if trial.name not in self.log.known]

        def ended(at: int, result: Trained) -> None:
            self.log.known[missing[at].name] = result, float(result.cost.get("seconds", 0.0))
            self._write(missing[at], number)

        if missing:
            self.train(missing, ended)
        for trial in trials:
            self._write(trial, number)  # what an earlier search has trained is a record of this one too
        return [self.log.known[trial.name][0] for trial in trials]

    def _write(self, trial: Trial, number: int | str) -> None:
        result, seconds = self.log.known[trial.name]
        name = trial.design.architecture_id
        self.log.write(
            "evaluation",
            name,
            number,
            seed=trial.seed,
            how=self.how[name],
            score=result.accuracy if math.isfinite(result.accuracy) else None,
            cost=result.cost,
            reason=result.reason,
            seconds=seconds,
            genotype=trial.design.to_json(),
        )

    def _row(self, found: Trained) -> list[float]:
        """What is made small: the error, and the logarithm of each cost."""
        return [1 - found.accuracy, *(math.log(max(found.figure(cost), 1e-12)) for cost in self.plan.costs)]

    def _ranked(self, results: Mapping[str, Trained]) -> list[str]:
        """The best first: by rank and crowding, then by how far over the limits."""
        every = {name: found.excess(self.plan.limits) for name, found in results.items()}
        rows = {name: self._row(results[name]) for name, over in every.items() if over == 0}
        kept = [name for name, row in rows.items() if all(map(math.isfinite, row))]
        order = [kept[at] for at in by_rank_and_crowding([rows[name] for name in kept])]
        return order + sorted(set(every) - set(order), key=lambda name: (every[name], name))

    def _by_accuracy(self, results: Mapping[str, Trained]) -> list[str]:
        """The most accurate that keeps the limits first, then by how far over them."""
        first = self.plan.costs[0]

        def key(name: str) -> tuple[float, float, float]:
            found = results[name]
            return found.excess(self.plan.limits), -found.accuracy, found.figure(first)

        return sorted(results, key=key)

    def _worth(self) -> dict[str, Any]:
        """Hypervolumes of the random draws and of as many bred designs, the last; {} where nothing was bred."""
        of = {
            how: [name for name in self.short if self.how[name] == how and not self.short[name].reason]
            for how in ("random", "bred")
        }
        count = min(map(len, of.values()))
        rows = {name: row for name in self.short if all(map(math.isfinite, row := self._row(self.short[name])))}
        if not count or not rows:
            return {}
        box = list(rows.values())
        parts = {"random": of["random"][:count], "bred": of["bred"][-count:], "all": list(rows)}
        volumes = {key: hypervolume([rows[n] for n in names if n in rows], box) for key, names in parts.items()}
        return {"trainings": count, "costs": list(self.plan.costs), **volumes}
