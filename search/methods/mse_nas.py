"""MSE-NAS: evolution of motif genomes (arXiv 2304.10749; the release's operators, with their faults mended).

Elitist, mu + lambda: parents by binary tournament, two-point crossover of the whole vector, mutation, and of parents
and children the best stay. One objective: the fitness. With costs besides: rank and crowding (NSGA-II), and a front.

Ours: a mutated gene takes another value, each equally likely (the release moves motifs to their neighbours by number,
which means nothing), and one *expressed* gene of a child mutates (there: 0.2 genes), of a kernel, a motif or the
fan-in, a third each. A genome that a guard, a cost or a budget refuses loses against every other; one over the budget
is not even scored. Equal genomes are scored once, whatever their silent genes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.search.methods import Record, Refuse, SearchResult, no_refusal, pareto
from snnas.search.methods.journal import Journal, finite
from snnas.search.mse_nas.encoding import Genes, GenomeSpace
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.rdm import Fitness

ScoreFunction = Callable[[Sequence[Genome]], Sequence[Fitness]]
# What a genome costs on its chip, lower for better; not finite where it cannot run there.
Cost = Callable[[Genome], float]

POPULATION, GENERATIONS = 50, 100
CHUNK = 8  # genomes scored in one call: what a kill loses at most


@dataclass(frozen=True, slots=True)
class EvolutionResult(SearchResult):
    """What evolution found. front: the genomes that none beats, with {objective: value}, the fittest first.

    Without costs the front is the fittest alone; it is empty where every genome is refused.
    """

    genotype: Genome  # type: ignore[assignment]  # a genome where other methods have a genotype of cells
    front: tuple[tuple[Genome, Mapping[str, float]], ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A genome with what it was worth. objectives: minimised, minus the fitness first, then the costs."""

    genome: Genome
    fitness: Fitness
    objectives: tuple[float, ...]

    @property
    def feasible(self) -> bool:
        """Whether neither a guard nor a cost refuses it."""
        return all(map(math.isfinite, self.objectives))


def run(
    space: GenomeSpace,
    score: ScoreFunction,
    *,
    log: Callable[[Record], None],
    resume: Iterable[Mapping[str, Any]] = (),
    rng: np.random.Generator,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    costs: Mapping[str, Cost] | None = None,
    refuse: Refuse = no_refusal,
) -> EvolutionResult:
    """Evolve ``population`` genomes over ``generations``, the first, drawn one included; return the fittest.

    score: the fitness of genomes; of one it must not depend on the others. costs: further objectives by name. refuse:
    the budget, asked before a genome is scored; what it refuses is logged ("refusal"), and GateError raised where that
    is all. log: takes one record per evaluation ({"event": "evaluation", "round": generation, "op": architecture id,
    "score", "costs", "refusal", "silent_layers", "constant_layers", "firing", "seconds", "genome"}), per guard, and the
    choice. resume: the records of an interrupted search of the same space, seed and batches, which are not scored
    again; the result is the same. Ties: the genome evaluated first. ``front`` of the result: every genome that no other
    equals or beats in all objectives, as (genome, {objective: value}), the fittest first; the genotype is its first.
    Raises InvalidFileError for records of another search, ModuleNotFoundError without pymoo.
    """
    if population < 2 or generations < 1:
        raise UsageError(f"population {population}, {generations} generations, expected >= 2 and >= 1")
    records = list(resume)
    journal = Journal("mse_nas", log, [record for record in records if record.get("event") != "evaluation"])
    archive = _Archive(score, dict(costs or {}), refuse, journal, log, records)
    _evolve(space, archive, rng, population, generations)
    archive.finish()
    if not archive.scored:
        raise GateError(f"each of the {len(archive.found)} genomes evolved is over the budget")
    front = archive.front()
    best = front[0] if front else archive.scored[0]
    number = archive.born[best.genome.architecture_id]
    if not front:
        refusal = best.fitness.refusal
        journal.guard(
            "input" if refusal else "cost",
            ("guard", number, None, best.genome.architecture_id),
            f"all {len(archive.scored)} genomes are refused, the first is taken: {refusal or 'a cost is not finite'}",
        )
    journal.silent(number, best.fitness)
    named = tuple((one.genome, archive.named(one)) for one in front)
    journal.write(
        ("choice", number, None, best.genome.architecture_id),
        score=finite(best.fitness.value),
        front=[{"op": genome.architecture_id, **values} for genome, values in named],
    )
    return EvolutionResult(
        best.genome,
        len(archive.scored),
        tuple(journal.guards),
        dict(best.fitness.firing),
        best.fitness.value,
        refused=not front,
        front=named,
    )


class _Archive:
    """Every genome that was evaluated, in order; what the log holds is replayed, what is new is logged."""

    def __init__(
        self,
        score: ScoreFunction,
        costs: dict[str, Cost],
        refuse: Refuse,
        journal: Journal,
        log: Callable[[Record], None],
        records: list[Mapping[str, Any]],
    ) -> None:
        self.score, self.costs, self.refuse, self.journal, self.log = score, costs, refuse, journal, log
        self.found: dict[str, Evaluated] = {}
        self.scored: list[Evaluated] = []
        self.born: dict[str, int] = {}
        self._known = {}
        for line, record in enumerate(records, start=1):
            if record.get("event") == "evaluation":
                try:
                    self._known[int(record["round"]), str(record["op"])] = self._read(record)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise InvalidFileError(
                        f"record {line} of the log to resume from cannot be used ({type(error).__name__}: {error}), "
                        f"expected what a mse_nas search of these costs logs; start afresh"
                    ) from None

    def evaluate(self, generation: int, genomes: Sequence[Genome]) -> list[Evaluated]:
        """Return what each genome is worth; those that are new are logged before they count."""
        fresh = {g.architecture_id: g for g in genomes if g.architecture_id not in self.found}
        self._refuse(generation, fresh)
        for name in [name for name in fresh if (generation, name) in self._known]:
            fitness, objectives = self._known.pop((generation, name))
            self._keep(generation, Evaluated(fresh.pop(name), fitness, objectives))
        todo = list(fresh.values())
        for start in range(0, len(todo), CHUNK):
            part, begun = todo[start : start + CHUNK], time.perf_counter()
            scores = self.score(part)
            share = (time.perf_counter() - begun) / len(part)
            for genome, fitness in zip(part, scores, strict=True):
                begun = time.perf_counter()
                prices = [_number(cost(genome)) for cost in self.costs.values()]
                one = Evaluated(genome, fitness, (-_number(fitness.value, worst=-math.inf), *prices))
                self.log(self._record(generation, one, share + time.perf_counter() - begun))
                self._keep(generation, one)
        return [self.found[genome.architecture_id] for genome in genomes]

    def _refuse(self, generation: int, fresh: dict[str, Genome]) -> None:
        """Take out of ``fresh``, and log, what the budget refuses."""
        reasons = self.refuse(list(fresh.values())) if fresh else ()
        for name, reason in list(zip(fresh, reasons, strict=True)):
            if reason is not None:
                worst = Fitness(-math.inf, {}, refusal=reason)
                self.journal.refuse(generation, name, reason)
                self.found[name] = Evaluated(fresh.pop(name), worst, (math.inf,) * (1 + len(self.costs)))

    def front(self) -> list[Evaluated]:
        """Return the feasible ones that no other dominates or equals, the fittest first, then the first evaluated."""
        found = list(self.found.values())
        return [found[place] for place in pareto.front([one.objectives for one in found])]

    def named(self, one: Evaluated) -> dict[str, float]:
        """Return the fitness and the costs of a genome by name."""
        return {"fitness": one.fitness.value, **dict(zip(self.costs, one.objectives[1:], strict=True))}

    def finish(self) -> None:
        """Raise InvalidFileError when the resumed log holds an evaluation that this search never asked for."""
        if self._known:
            generation, name = next(iter(self._known))
            raise InvalidFileError(
                f"the log to resume from holds an evaluation of {name} in generation {generation}, which this search "
                f"never makes, expected a log of the same space, seed and batches; start afresh"
            )

    def _keep(self, generation: int, one: Evaluated) -> None:
        self.found[one.genome.architecture_id] = one
        self.scored.append(one)
        self.born[one.genome.architecture_id] = generation

    def _record(self, generation: int, one: Evaluated, seconds: float) -> Record:
        fitness = one.fitness
        return {
            "event": "evaluation",
            "round": generation,
            "edge": None,
            "op": one.genome.architecture_id,
            "score": finite(fitness.value),
            "total": fitness.total,
            "costs": {name: finite(value) for name, value in zip(self.costs, one.objectives[1:], strict=True)},
            "refusal": fitness.refusal,
            "silent_layers": fitness.silent_layers,
            "constant_layers": list(fitness.constant),
            "firing": dict(fitness.firing),
            "seconds": round(seconds, 6),
            "genome": one.genome.plain(),
        }

    def _read(self, record: Mapping[str, Any]) -> tuple[Fitness, tuple[float, ...]]:
        value = -math.inf if record["score"] is None else float(record["score"])
        fitness = Fitness(
            value,
            {str(name): float(rate) for name, rate in record["firing"].items()},
            total=float(record["total"]),
            refusal=str(record["refusal"]),
            constant=tuple(map(str, record["constant_layers"])),
        )
        if set(record["costs"]) != set(self.costs):
            raise ValueError(f"costs {json.dumps(sorted(record['costs']))[:60]}")
        prices = (record["costs"][name] for name in self.costs)
        return fitness, (-value, *(math.inf if price is None else float(price) for price in prices))


def _number(value: float, worst: float = math.inf) -> float:
    return worst if math.isnan(value) else float(value)


def _evolve(space: GenomeSpace, archive: _Archive, rng: np.random.Generator, population: int, generations: int) -> None:
    """Run the generations; what pymoo draws comes from ``rng`` alone."""
    from snnas.search.mse_nas.algorithm import algorithm_for

    first = np.stack([space.draw(rng) for _ in range(population)])
    seed = int(rng.integers(2**31))
    algorithm = algorithm_for(space, first, seed, objectives=1 + len(archive.costs), generations=generations)
    generation = 0
    while algorithm.has_next():
        asked = algorithm.ask()
        # None where crossover and mutation find nothing new any more.
        if asked is None or len(asked) == 0:
            return
        vectors: Genes = asked.get("X").astype(np.int64)
        evaluated = archive.evaluate(generation, [space.decode(genes) for genes in vectors])
        # Feasible ones come first, whatever their objectives; those of the others must be numbers all the same.
        values = [one.objectives if one.feasible else (0.0,) * len(one.objectives) for one in evaluated]
        asked.set("F", np.array(values))
        asked.set("G", np.array([[0.0 if one.feasible else 1.0] for one in evaluated]))
        for individual in asked:
            individual.evaluated.update(("F", "G"))
        algorithm.tell(infills=asked)
        generation += 1
