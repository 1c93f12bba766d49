"""The fitness of MSE-NAS: how unlike each other the samples of a batch look in spikes, without training.

For LIF m and timestep t let X (B, N_m) be the spikes of a batch: H[i, j] = |X_i - X_j| is a representational
dissimilarity matrix. The release's fitness is the sum over i, j of the mean over m, t of H, and grows with N_m: early,
large maps decide, and a network whose last cells are dead can beat a living one. Here each LIF counts alike,

    F = mean over m, t of  sum over i, j of H_mt[i, j] / (N_m B (B - 1))        (0 .. about 1/2)

a LIF that is silent counts 0, and a network whose output is the same for all samples is refused. The release's sum is
kept as the term ``total``. BN uses the statistics of the batch (train mode); all candidates see the same batches, and
a layer that two of them share has the same weights in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.network import MseNetwork
from snnas.search.network.batch_norm import BatchNorm
from snnas.search.scoring.guards import Finding, extent, no_signal
from snnas.search.scoring.proxies import Score, home, log_det, sahd_kernel

MEASURES = ("per_neuron", "total", "sahd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness(Score):
    """What one genome scored; -inf where it is refused.

    total: the release's sum. refusal: the guard's sentence, or ''. constant: LIFs that fire alike for every sample.
    """

    total: float = 0.0
    refusal: str = ""
    constant: tuple[str, ...] = ()


class RdmScorer:
    """Scores genomes on ``batches``, each (B, C, H, W) or (B, T, C, H, W) with B >= 2; a mean over the batches.

    measure: 'per_neuron'; 'total' as in the release; or 'sahd', of ``proxies``, a kernel per LIF. seed: of the weights.
    The batches' device is the networks'.
    """

    def __init__(self, config: MseConfig, batches: Sequence[Tensor], *, seed: int, measure: str = "per_neuron") -> None:
        assert measure in MEASURES
        self.config, self.batches, self.seed, self.measure = config, tuple(batches), seed, measure

    def __call__(self, genomes: Sequence[Genome]) -> list[Fitness]:
        """Return the fitness of each; what one gets does not depend on the others."""
        return [self._score(genome) for genome in genomes]

    def inspect(self, genome: Genome) -> tuple[Finding, ...]:
        """Return what the guards find beyond the refusal in a fitness: nothing."""
        return ()

    @torch.no_grad()
    def _score(self, genome: Genome) -> Fitness:
        with torch.random.fork_rng(devices=[]):
            network = MseNetwork(genome, self.config)
        network.draw(self.seed)
        network.to(self.batches[0].device).train()
        for module in network.modules():
            if isinstance(module, BatchNorm):
                # Without running statistics every batch is normalised by its own, step by step in a loop.
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        seen = []
        for batch in self.batches:
            distances = Distances(kernels=self.measure == "sahd")
            seen.append((distances, extent(network(batch, spikes=distances))))
        count = len(seen)
        kernels = [distances.kernel for distances, _ in seen if distances.kernel is not None]
        found = home([*(distances.sums for distances, _ in seen), *(span for _, span in seen), *kernels])
        for (distances, _), sums in zip(seen, found, strict=False):
            distances.read(sums)
        refusals = (no_signal(span, len(batch)) for span, batch in zip(found[count:], self.batches, strict=False))
        refusal = next((refusal for refusal in refusals if refusal), "")
        per_neuron = sum(sum(d.share.values()) / len(d.share) for d, _ in seen) / count
        total = sum(sum(d.total.values()) / len(d.total) for d, _ in seen) / count
        if self.measure == "sahd":
            value = sum(log_det([kernel]) for kernel in found[2 * count :]) / count
        else:
            value = per_neuron if self.measure == "per_neuron" else total
        names = list(seen[0][0])
        return Fitness(
            -math.inf if refusal else value,
            {name: sum(d.firing[name] for d, _ in seen) / count for name in names},
            total=total,
            refusal=refusal,
            constant=tuple(name for name in names if all(d.total[name] == 0 for d, _ in seen)),
        )


class Distances(MutableMapping[str, Tensor]):
    """Takes the spikes of a network as they come and keeps the sums alone: a batch's spikes need not fit in memory.

    share, total, firing: {LIF: ...}, once ``read`` has been told what ``sums`` are on the host; total is the sum over
    i, j of H, mean over timesteps, and share that by N B (B - 1). kernel: the sum of the LIFs' SAHD kernels (B, B),
    with ``kernels``.
    """

    def __init__(self, *, kernels: bool = False) -> None:
        self.kernels = kernels
        self.kernel: Tensor | None = None
        self._sums: dict[str, Tensor] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self.share: dict[str, float] = {}
        self.total: dict[str, float] = {}
        self.firing: dict[str, float] = {}

    def __setitem__(self, name: str, spikes: Tensor) -> None:
        """Take the spikes (T, B, ...) of one LIF."""
        train = spikes.flatten(2)
        _, batch, neurons = train.shape
        # A neuron that k of B samples fire differs in 2 k (B - k) ordered pairs.
        fired = train.sum(1, dtype=torch.float64)
        self._sums[name] = torch.stack([(2 * fired * (batch - fired)).sum(1).mean(), fired.mean()])
        self._sizes[name] = batch, neurons
        if self.kernels:
            kernel = sahd_kernel(spikes)
            self.kernel = kernel if self.kernel is None else self.kernel + kernel

    @property
    def sums(self) -> Tensor:
        """What was kept, (LIFs, 2), where the spikes were."""
        return torch.stack(list(self._sums.values()))

    def read(self, sums: Tensor) -> None:
        """Fill the figures from ``sums`` on the host."""
        for (name, (batch, neurons)), (total, fired) in zip(self._sizes.items(), sums.tolist(), strict=True):
            self.total[name] = total
            self.share[name] = total / (neurons * batch * (batch - 1))
            self.firing[name] = fired / batch

    def __getitem__(self, name: str) -> Tensor:
        raise KeyError(name)

    def __delitem__(self, name: str) -> None:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)
