import numpy as np
import pytest
import torch

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.graph.graph import parameters_of
from snnas.hw_sim.errors import UsageError
from snnas.search.methods.memory import Widths, memory, parameters, populations
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.network import Network

CONFIG = NetworkConfig(input_shape=(1, 8, 8), classes=3, channels=2, hidden=6, votes=2, timesteps=3)


def test_by_hand() -> None:
    cell = Cell.of({(0, 1): "conv3x3", (1, 3): "conv1x1", (0, 2): "conv3x3"})  # node 2 leads nowhere
    found = memory(Genotype("snasnet", (cell, cell)), CONFIG)
    assert [(layer.name, layer.weights, layer.neurons) for layer in found.layers] == [
        ("cell1", 10 * 4, 2 * 2 * 64),
        ("red1", 9 * 2 * 4, 2 * 64),
        ("cell2", 10 * 16, 2 * 4 * 16),
        ("red2", 0, 4 * 16),
        ("head", 6 * (4 * 4 + 3), 6),
    ]
    assert found.bytes(Widths(8, 24)) == found.weights + 3 * found.neurons
    assert found.bytes(Widths(1, 1)) == -(-(found.weights + found.neurons) // 8)


def test_nodes_that_add_up_the_same_are_one_population() -> None:
    assert populations(Cell.of({(0, 1): "skip", (0, 3): "conv3x3", (1, 3): "conv3x3"})) == 1
    assert populations(Cell.of({(0, 1): "avgpool3x3", (0, 3): "conv3x3", (1, 3): "conv3x3"})) == 2
    assert populations(Cell.of({(0, 3): "skip"})) == 0


@pytest.mark.parametrize("name", space.names)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_as_the_deployed_network_has_it(name: str, backward: bool, kind: str) -> None:
    """Neurons are those of the program; weights those of the network, of which the graph holds no fewer."""
    chosen, rng = space.get(name), np.random.default_rng(3)
    plain = {"input_shape": (1, 8, 8), "classes": 3, "channels": 2, "hidden": 6, "votes": 2, "timesteps": 2}
    config = NetworkConfig(**plain, input_kind=kind, reduction=chosen.reduction)
    merged = 0
    for _ in range(7):
        genotype = chosen.random_genotype(rng, backward=backward)
        network = Network(genotype, config).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 1.5)
        graph = fold(network.layers())
        program = compile_graph(graph, timesteps=2, input_kind=kind)
        found = memory(genotype, config)
        assert found.neurons == sum(p.size for p in program.populations if p.role == "neuron")
        assert parameters(genotype, config) <= parameters_of(graph)
        built = sum(p.numel() for n, p in network.named_parameters() if p.dim() > 1)
        voted = config.hidden * config.classes * (config.votes - 1)
        assert parameters(genotype, config) == built - voted
        lifs = sum(name.startswith("cell") and name.endswith("lif") for name, _ in network.named_children())
        merged += lifs - sum(populations(cell) for cell in genotype.cells)
    assert merged > 0 or name in ("snasnet", "snasnet_1d", "lightsnn_1d") or backward


@pytest.mark.parametrize("bits", [0, 65, 1.5, True])
def test_widths_are_checked(bits: float) -> None:
    with pytest.raises(UsageError, match="weight bits, expected a whole number"):
        Widths(weight=bits)  # type: ignore[arg-type]
