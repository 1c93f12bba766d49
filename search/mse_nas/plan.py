"""From genome to plan: the whole network as synapses and populations, in the order in which they act.

A population is a current and its neurons; a synapse is convolution and BN from the spikes of one or more populations,
side by side by channel, to a current. Whatever the network has is one of the two: a motif's edge, a cell's input
brought to its width, a reduction, stem and head. Within the timestep it is feed-forward. A link is a synapse too: from
the output of a cell to the input of the same or an earlier one, a timestep later (the only recurrence; the release's
EB-NAS has it, MSE-NAS has not).

Reading k cells (release, MSE-NAS): the input from a cell with r reductions behind it goes through a 1x1 convolution
(r = 0), or a factorised reduction and r - 1 convolutions of stride 2. Between two of those the release has no neuron;
a product of two convolutions is no synapse, so here each has its own population.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from snnas.hw_sim.errors import UsageError
from snnas.search.mse_nas.config import STEM_WIDTHS, MseConfig
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.motifs import MOTIFS, expanded

INPUT = "input"
HEAD = "head"
REDUCE = 0  # in place of a kernel: the factorised reduction


@dataclass(frozen=True, slots=True)
class Synapse:
    """Convolution and BN. sources: populations, concatenated. kernel: 1, 3, 5 or REDUCE. sign: 0 for any.

    size: (H, W) of the sources' maps.
    """

    name: str
    sources: tuple[Population, ...]
    channels: int
    size: tuple[int, int]
    kernel: int
    stride: int = 1
    sign: int = 0

    @property
    def in_channels(self) -> int:
        return sum(source.channels for source in self.sources)

    @property
    def out_size(self) -> tuple[int, int]:
        """(H, W) of the current: every kernel is padded so that a stride of 1 keeps the size."""
        height, width = self.size
        return -(-height // self.stride), -(-width // self.stride)


@dataclass(frozen=True, slots=True)
class Population:
    """Neurons of one current: the sum of ``synapses``. The network's input is one without any, which fires nothing."""

    name: str
    synapses: tuple[Synapse, ...]
    channels: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Link:
    """A synapse into the population ``target`` that carries the spikes of the timestep before."""

    target: str
    synapse: Synapse


# What a cell hands on: populations of one size, concatenated.
Output = tuple[Population, ...]


def plan(genome: Genome, config: MseConfig) -> tuple[Population, ...]:
    """Return the populations in topological order, the input first and the one that the classifier reads last."""
    return tuple(_populations(genome, config))


def links(genome: Genome, config: MseConfig, populations: tuple[Population, ...]) -> tuple[Link, ...]:
    """Return the links of a genome whose ``plan`` is ``populations``; each is a 1x1 convolution of any sign and a BN.

    Raises UsageError where one comes from behind a reduction: its maps are smaller.
    """
    by_name, found = {population.name: population for population in populations}, []
    for place, back in enumerate(genome.links):
        if not back:
            continue
        target, source = config.motif_cells[place], config.motif_cells[place + back - 1]
        if back > config.links[place]:
            raise UsageError(
                f"link {back} into motif cell {place + 1} of a genome comes from cell {source}, behind a reduction, "
                f"expected at most {config.links[place]}"
            )
        outputs = MOTIFS[genome.cells[place + back - 1].motif].outputs
        sources = tuple(by_name[f"cell{source}_{name}"] for name in outputs)
        synapse = _synapse(f"cell{target}_link", sources, config.width(target), 1)
        found.append(Link(f"cell{target}_in1", synapse))
    return tuple(found)


def _populations(genome: Genome, config: MseConfig) -> Iterator[Population]:
    channels, height, width = config.input_shape
    source = Population(INPUT, (), channels, (height, width))
    stem = _behind("stem", (source,), STEM_WIDTHS * config.channels, 3)
    yield source
    yield stem
    outputs: list[Output] = [(stem,)]
    motifs = dict(zip(config.motif_cells, genome.cells, strict=True))
    for number in range(1, config.cells + 1):
        if number in config.reductions:
            cell = _behind(f"cell{number}", outputs[-1], STEM_WIDTHS * config.width(number), REDUCE, stride=2)
            yield cell
            outputs.append((cell,))
        else:
            outputs.append((yield from _motif_cell(number, motifs[number], genome.fan_in, outputs, config)))
    if len(outputs[-1]) > 1:
        # The readout takes one population: the head reads the last motif as a cell would.
        yield _behind(HEAD, outputs[-1], config.width(config.cells), 1)


def _motif_cell(
    number: int, cell: MotifCell, fan_in: int, outputs: list[Output], config: MseConfig
) -> Generator[Population, None, Output]:
    """Yield the populations of a cell; return its output."""
    width, motif = config.width(number), MOTIFS[cell.motif]
    nodes: dict[str, Population] = {}
    for back in range(1, fan_in + 1):
        # Before the first cell there is the stem's output alone.
        place = max(number - back, 0)
        halvings = sum(place < reduction < number for reduction in config.reductions)
        nodes[f"in{back}"] = yield from _input(f"cell{number}_in{back}", outputs[place], width, halvings)
    kernels = iter(cell.kernels)
    for node in motif.nodes:
        base = nodes[node.version_of].synapses if node.version_of else ()
        own = tuple(
            _synapse(f"cell{number}_{edge.source}_{edge.target}", (nodes[edge.source],), width, kernel, sign=edge.sign)
            for edge, kernel in zip(expanded(node, fan_in), kernels, strict=False)
        )
        nodes[node.name] = Population(f"cell{number}_{node.name}", base + own, width, nodes["in1"].size)
        yield nodes[node.name]
    return tuple(nodes[name] for name in motif.outputs)


def _input(name: str, sources: Output, width: int, halvings: int) -> Generator[Population, None, Population]:
    """Yield the populations that bring an earlier output to the cell's width and size; return the last."""
    for left in range(halvings, 1, -1):
        half = _behind(f"{name}_half{left - 1}", sources, width, REDUCE if left == halvings else 3, stride=2)
        yield half
        sources = (half,)
    if halvings == 0:
        last = _behind(name, sources, width, 1)
    else:
        last = _behind(name, sources, width, REDUCE if halvings == 1 else 3, stride=2)
    yield last
    return last


def _behind(name: str, sources: Output, channels: int, kernel: int, stride: int = 1) -> Population:
    """Return a population of one synapse."""
    synapse = _synapse(name, sources, channels, kernel, stride=stride)
    return Population(name, (synapse,), channels, synapse.out_size)


def _synapse(name: str, sources: Output, channels: int, kernel: int, *, stride: int = 1, sign: int = 0) -> Synapse:
    return Synapse(name, sources, channels, sources[0].size, kernel, stride, sign)


def depth(populations: tuple[Population, ...]) -> int:
    """Return how many populations stand one behind the other on the longest way from the input."""
    levels: dict[str, int] = {}
    for population in populations:
        sources = (source for synapse in population.synapses for source in synapse.sources)
        levels[population.name] = 1 + max((levels[source.name] for source in sources), default=-1)
    return max(levels.values())
