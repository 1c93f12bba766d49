"""Memory of a deployed network, counted before anything is built: M = weights x bits + neurons x state bits.

The criterion of SpikeNAS (its abstract: memory-aware search), on the deployed network: the stem of an analogue input
runs on the host, voting is folded into the last linear, BN into the synapses, and neurons that read one value are one
population. Ours, as the body of the paper was not available: what is counted, and the default widths. Not counted:
synapses that a chip repeats for several targets, OR and relay neurons, lists and axons; those are known once a
candidate is mapped on a chip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from snnas.hw_sim.errors import UsageError
from snnas.search.mse_nas.config import STEM_WIDTHS, MseConfig
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.plan import links, plan
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import CONV_KERNELS, Cell, Genotype
from snnas.search.network.layers import population_keys


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of a weight, and of a neuron's state (24: Loihi's membrane register); UsageError outside 1..64."""

    weight: int = 8
    state: int = 24

    def __post_init__(self) -> None:
        for name in ("weight", "state"):
            bits = getattr(self, name)
            if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= 64:
                raise UsageError(f"{bits!r} {name} bits, expected a whole number in 1..64")


@dataclass(frozen=True, slots=True)
class LayerSize:
    """What a part of the network stores on the chip: weights (shared kernels once) and neurons."""

    name: str
    weights: int
    neurons: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The parts of a network, in topological order."""

    layers: tuple[LayerSize, ...]

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)

    @property
    def neurons(self) -> int:
        return sum(layer.neurons for layer in self.layers)

    def bytes(self, widths: Widths) -> int:
        """M in whole bytes."""
        return math.ceil((self.weights * widths.weight + self.neurons * widths.state) / 8)


def memory(genotype: Genotype | Genome, config: NetworkConfig | MseConfig) -> Memory:
    """Return what the network of ``genotype`` stores; only live edges count."""
    return Memory(tuple(_layers(genotype, config)))


def parameters(genotype: Genotype | Genome, config: NetworkConfig | MseConfig) -> int:
    """Return the fewest numbers that the deployed graph can store: every kernel once, the host's stem included.

    The graph holds more where a kernel is scaled differently for two targets, and it holds the biases of folded BNs.
    """
    return memory(genotype, config).weights + (_stem(config) if config.input_kind == "analogue" else 0)


def _stem(config: NetworkConfig | MseConfig) -> int:
    taps, widths = (9, STEM_WIDTHS) if isinstance(config, MseConfig) else (_taps(config, 3), 1)
    return taps * config.input_shape[0] * config.channels * widths


def _taps(config: NetworkConfig, kernel: int) -> int:
    return math.prod(config.window(kernel))


def _layers(genotype: Genotype | Genome, config: NetworkConfig | MseConfig) -> Iterator[LayerSize]:
    if isinstance(genotype, Genome) and isinstance(config, MseConfig):
        yield from _layers_of_motifs(genotype, config)
    elif isinstance(genotype, Genotype) and isinstance(config, NetworkConfig):
        yield from _layers_of_cells(genotype, config)
    else:
        raise AssertionError("genotype and sizes of two kinds")


def _layers_of_motifs(genome: Genome, config: MseConfig) -> Iterator[LayerSize]:
    """A node's new version shares the synapses of the old one; a factorised reduction is stored as trained, 3x3."""
    counted: set[str] = set()
    whole = plan(genome, config)
    populations, back = whole[1:], {link.target: link.synapse for link in links(genome, config, whole)}
    for population in populations:
        fresh = {synapse.name: synapse for synapse in population.synapses if synapse.name not in counted}
        if population.name in back:
            fresh["link"] = back[population.name]
        counted |= fresh.keys()
        weights = sum((s.kernel or 3) ** 2 * s.in_channels * s.channels for s in fresh.values())
        on_host = population.name == "stem" and config.input_kind == "analogue"
        height, width = population.size
        yield LayerSize(population.name, 0 if on_host else weights, population.channels * height * width)
    yield LayerSize("head", populations[-1].channels * config.classes, 0)


def _layers_of_cells(genotype: Genotype, config: NetworkConfig) -> Iterator[LayerSize]:
    if config.input_kind != "analogue":
        yield LayerSize("stem", _stem(config), 0)
    for number, cell in enumerate(genotype.cells, start=1):
        channels = config.width(number)
        pixels = math.prod(config.extents(number - 1))
        kernels = sum(_taps(config, CONV_KERNELS[op]) for op in cell.live().values() if op in CONV_KERNELS)
        yield LayerSize(f"cell{number}", kernels * channels**2, populations(cell) * channels * pixels)
        convolution = 2 * _taps(config, 3) * channels**2 if number < config.cells else 0
        yield LayerSize(f"red{number}", convolution, channels * pixels)
    yield LayerSize("head", config.head_weights, config.head_neurons)


def populations(cell: Cell) -> int:
    """Return how many populations the nodes of ``cell`` need: nodes that add up the same terms share one."""
    return len(set(population_keys(cell.live()).values()))
