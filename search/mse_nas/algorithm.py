"""The genetic algorithm of pymoo with the operators of mse_nas; imported when it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.operators.crossover.pntx import TwoPointCrossover

from snnas.search.mse_nas.encoding import Genes, GenomeSpace, scales_of
from snnas.search.mse_nas.genome import Genome


class OneScale(Mutation):  # type: ignore[misc]
    """One expressed gene of a child takes another value: of a kernel, a motif or the macro scale, a third each.

    Of all genes some nine in ten are kernels: with one probability for each, a motif would change in 18 of 100 children
    (measured), although it is what changes a network most.
    """

    def __init__(self, space: GenomeSpace) -> None:
        super().__init__(prob=1.0)
        self.space, self.sizes = space, space.sizes

    def _do(self, problem: Any, X: Genes, *, random_state: np.random.Generator, **_: Any) -> Genes:
        changed = X.astype(np.int64)
        for genes in changed:
            scales = [[at for at in scale if self.sizes[at] > 1] for scale in scales_of(self.space, genes)]
            scales = [scale for scale in scales if scale]
            if scales:
                places = scales[int(random_state.integers(len(scales)))]
                at = places[int(random_state.integers(len(places)))]
                genes[at] = (genes[at] + random_state.integers(1, self.sizes[at])) % self.sizes[at]
        return changed


class SameGenome(DuplicateElimination):  # type: ignore[misc]
    """Two vectors that express one genome are duplicates."""

    def __init__(self, space: GenomeSpace) -> None:
        super().__init__()
        self.space = space

    def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
        seen = set(self._genomes(other)) if other is not None else set()
        for place, genome in enumerate(self._genomes(pop)):
            is_duplicate[place] = genome in seen
            if other is None:
                seen.add(genome)
        return is_duplicate

    def _genomes(self, pop: Any) -> list[Genome]:
        return [self.space.decode(one.X.astype(np.int64)) for one in pop]


def algorithm_for(space: GenomeSpace, first: Genes, seed: int, *, objectives: int, generations: int) -> Any:
    """Return the algorithm, ready to be asked: GA for one objective, NSGA-II for more. first: the first vectors.

    Both keep the best of parents and children, and take what is feasible (G <= 0) before anything that is not.
    """
    problem = Problem(n_var=len(space.sizes), n_obj=objectives, n_ieq_constr=1, xl=0, xu=space.sizes - 1, vtype=int)
    settings: dict[str, Any] = {
        "pop_size": len(first),
        "sampling": first,
        "crossover": TwoPointCrossover(prob=1.0),
        "mutation": OneScale(space),
        "eliminate_duplicates": SameGenome(space),
    }
    algorithm = (GA if objectives == 1 else NSGA2)(**settings)
    algorithm.setup(problem, termination=("n_gen", generations), seed=seed, verbose=False)
    return algorithm
