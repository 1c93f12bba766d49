"""The method that searches genomes of circuit motifs: mse_nas."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.searching.cell_methods import TIMED
from snnas.toolchain.searching.cost import figure
from snnas.toolchain.searching.least import FEW, Floor
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import Bank, Runner, Scorer, Spec, Task

if TYPE_CHECKING:
    from snnas.search.kinds import Sizes
    from snnas.search.methods import SearchResult
    from snnas.search.mse_nas.encoding import GenomeSpace
    from snnas.search.mse_nas.genome import Genome
    from snnas.toolchain.data.load import Dataset

CELLS = 3


class MseNas(Runner):
    """Evolution over genomes of motifs."""

    space = "mse_nas"
    own = ("population", "generations")
    shared = ("proxy", "backward")
    proxies = ("rdm", "sahd")
    chunk = 1
    batches = 2  # the fitness is a mean over so many

    def network(self, options: SearchOptions, given: Mapping[str, Any], device: str) -> Sizes:
        from snnas.search.mse_nas.config import MseConfig, reductions_for

        if given["input_shape"][1] == 1:
            raise UsageError(
                f"--method {options.method}: it searches images, and these samples are signals {given['input_shape']}; "
                "take another method"
            )
        cells = options.cells or CELLS
        reductions = reductions_for(given["input_shape"], cells)
        return MseConfig(**given, cells=cells, reductions=reductions)

    def settings(self, options: SearchOptions, data: Dataset) -> dict[str, Any]:
        counted = {"sahd": options.sahd} if options.proxy == "sahd" else {}
        return {**super().settings(options, data), **counted}

    def floors(self, spec: Spec) -> Sequence[Floor]:
        """The motif with the fewest nodes, synapses and levels, and the smaller fan-in and kernels."""
        from snnas.search.mse_nas.genome import Genome, MotifCell
        from snnas.search.mse_nas.motifs import FAN_INS, KERNELS, MOTIFS

        motif = MOTIFS["FE"]
        cell = MotifCell(motif.name, (min(KERNELS),) * len(motif.edges(min(FAN_INS))))
        return ((Genome(min(FAN_INS), (cell,) * len(spec.network.motif_cells)), spec.network),)

    def smallest(self, spec: Spec) -> Iterable[Any]:
        """One motif in all cells, with the smaller fan-in and kernels: the motifs with the fewest synapses."""
        from snnas.search.mse_nas.genome import Genome, MotifCell
        from snnas.search.mse_nas.motifs import FAN_INS, KERNELS, MOTIFS

        fan_in = min(FAN_INS)
        sizes = sorted((len(motif.edges(fan_in)), name) for name, motif in MOTIFS.items())
        for edges, name in sizes[:FEW]:
            yield Genome(fan_in, (MotifCell(name, (min(KERNELS),) * edges),) * len(spec.network.motif_cells))

    def scorer(self, spec: Spec, bank: Bank) -> Scorer:
        import torch

        from snnas.search.mse_nas.rdm import RdmScorer

        size = len(bank.batch) // self.batches
        drawn = torch.from_numpy(bank.batch).to(spec.device)
        batches = [drawn[k * size : (k + 1) * size] for k in range(self.batches)]
        # A run of before --proxy says "sahd" and means rdm: it lacks what SAHD counts.
        measure = "sahd" if spec.settings.get("sahd") else "per_neuron"
        return RdmScorer(spec.network, batches, seed=bank.seed, measure=measure)

    def some(self, task: Task) -> Sequence[Any]:
        rng, genomes = stream(task.seed, "outlook"), _space(task.spec)
        return [genomes.random(rng) for _ in range(TIMED)]

    def key(self, candidate: Any, network: Sizes) -> Hashable:
        genome: Hashable = candidate
        return genome

    def plan(self, task: Task) -> tuple[int, str]:
        population, generations = task.setting("population"), task.setting("generations")
        what = f"evolving {counted(population, 'genome')} over {counted(generations, 'generation')}"
        return population * generations, what

    def run(self, task: Task) -> SearchResult:
        from snnas.search.methods import mse_nas, no_refusal

        names = task.spec.objectives

        def refuse(genomes: Sequence[Genome]) -> Sequence[str | None]:
            reasons = (task.refuse or no_refusal)(genomes)
            if names:  # priced here all at once, where workers share them; below they are known
                task.costs([g for g, reason in zip(genomes, reasons, strict=True) if reason is None])
            return reasons

        def priced(name: str, genome: Genome) -> float:
            (cost,) = task.costs([genome])
            return math.inf if isinstance(cost, str) else figure(cost.to_json(), name)

        return mse_nas.run(
            _space(task.spec),
            task.score,
            log=task.log,
            resume=task.resume,
            rng=stream(task.seed, "mse_nas"),
            population=task.setting("population"),
            generations=task.setting("generations"),
            costs={name: partial(priced, name) for name in names},
            refuse=refuse,
        )


def _space(spec: Spec) -> GenomeSpace:
    from snnas.search.mse_nas.encoding import GenomeSpace

    network = spec.network
    return GenomeSpace(len(network.motif_cells), links=network.links if spec.settings["backward"] else ())
