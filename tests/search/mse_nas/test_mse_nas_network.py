from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.hw_sim.errors import UsageError
from snnas.search.mse_nas.config import MseConfig, reductions_for
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.modules import FactorizedReduce, PositiveBatchNorm2d, SignedConv2d, lif
from snnas.search.mse_nas.motifs import MOTIFS, NAMES
from snnas.search.mse_nas.network import MseNetwork
from snnas.search.mse_nas.plan import depth


def config(shape=(1, 8, 8), cells: int = 1, **sizes) -> MseConfig:
    return MseConfig(
        **{
            "input_shape": shape,
            "classes": 3,
            "channels": 2,
            "timesteps": 3,
            "cells": cells,
            "reductions": reductions_for(shape, cells),
            **sizes,
        }
    )


def genome(sizes: MseConfig, *motifs: str, fan_in: int = 2, seed: int = 0) -> Genome:
    rng = np.random.default_rng(seed)
    cells = [
        MotifCell(name, tuple(int(k) for k in rng.choice([3, 5], len(MOTIFS[name].edges(fan_in))))) for name in motifs
    ]
    return Genome(fan_in, tuple(cells[k % len(cells)] for k in range(len(sizes.motif_cells))))


@pytest.mark.parametrize("cells", [1, 4, 6, 8])
@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 11, 9), (1, 2, 2)])
@pytest.mark.parametrize("fan_in", [2, 3])
def test_every_skeleton_runs(shape: tuple[int, int, int], cells: int, fan_in: int) -> None:
    sizes = config(shape, cells)
    for name in NAMES:
        network = MseNetwork(genome(sizes, name, fan_in=fan_in), sizes)
        spikes: dict[str, torch.Tensor] = {}
        logits = network(torch.rand(2, *shape), spikes=spikes)
        assert logits.shape == (2, 3)
        assert list(spikes) == [f"{p.name}_lif" for p in network.populations[1:]]
        for population in network.populations[1:]:
            assert spikes[f"{population.name}_lif"].shape == (3, 2, population.channels, *population.size)


def test_a_cell_has_the_populations_of_its_motif() -> None:
    sizes = config()
    found = {p.name: [s.name for s in p.synapses] for p in MseNetwork(genome(sizes, "FbI"), sizes).populations}
    assert found == {
        "input": [],
        "stem": ["stem"],
        "cell1_in1": ["cell1_in1"],
        "cell1_in2": ["cell1_in2"],
        "cell1_B": ["cell1_in1_B", "cell1_in2_B"],
        "cell1_C": ["cell1_B_C"],
        "cell1_Bi": ["cell1_in1_B", "cell1_in2_B", "cell1_C_Bi"],
        "cell1_D": ["cell1_Bi_D"],
        "head": ["head"],
    }


def test_inputs_from_behind_reductions_are_brought_to_size() -> None:
    sizes = config((3, 32, 32), 6)  # reductions 2, 4 and 5
    network = MseNetwork(genome(sizes, "FE", fan_in=3), sizes)
    found = {
        p.name: (p.size, [s.kernel for s in p.synapses], [q.name for s in p.synapses for q in s.sources])
        for p in network.populations[1:]
    }
    assert found["cell1_in3"] == ((32, 32), [1], ["stem"])
    assert found["cell3_in1"] == ((16, 16), [1], ["cell2"])
    assert found["cell3_in2"] == ((16, 16), [0], ["cell1_B", "cell1_C"])
    assert found["cell3_in3"] == ((16, 16), [0], ["stem"])
    assert found["cell6_in2"] == ((4, 4), [0], ["cell4"])
    assert found["cell6_in3_half1"] == ((8, 8), [0], ["cell3_B", "cell3_C"])
    assert found["cell6_in3"] == ((4, 4), [3], ["cell6_in3_half1"])
    # stem, in, B, C of cell 1, cell 2, the same of cell 3, cells 4 and 5, of cell 6, head
    assert depth(network.populations) == 1 + 3 + 1 + 3 + 2 + 3 + 1


def test_a_reduction_at_the_end_is_read_as_it_is() -> None:
    sizes = config(cells=2, reductions=(2,))
    network = MseNetwork(genome(sizes, "FI"), sizes)
    assert network.populations[-1].name == "cell2"
    assert network(torch.rand(1, 1, 8, 8)).shape == (1, 3)


def test_wrong_genomes_and_inputs_are_refused() -> None:
    sizes = config()
    with pytest.raises(UsageError, match="2 motif cells, expected 1"):
        MseNetwork(genome(config(cells=2, reductions=()), "FE"), sizes)
    network = MseNetwork(genome(sizes, "FE"), sizes)
    for shape in ((1, 2, 8, 8), (1, 8, 8), (2, 4, 1, 8, 8)):
        with pytest.raises(UsageError, match="expected"):
            network(torch.rand(*shape))


def test_frames_that_repeat_an_image_are_the_image() -> None:
    sizes = config(cells=3, timesteps=4)
    network = MseNetwork(genome(sizes, "LI", "MI"), sizes).eval()
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(network(x), network(x[:, None].expand(-1, 4, -1, -1, -1)))


def test_the_neuron_fires_above_the_threshold_and_not_at_it() -> None:
    neurons = lif(config(timesteps=8))
    constant = torch.tensor([0.6, 0.5, 1.0, 1.0001]).expand(8, 4)
    fired = neurons(constant)
    assert fired[:3, 0].tolist() == [0, 0, 1]  # .3, .45, .525
    assert fired[:, 1].sum() == 0  # tends to .5 and never exceeds it
    assert fired[0].tolist() == [0, 0, 0, 1]  # 1.0 reaches .5 in one step, exactly


@settings(max_examples=200)
@given(
    current=st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=30),
    inhibition=st.lists(st.tuples(st.integers(0, 29), st.floats(0, 3, width=32)), min_size=1, max_size=6),
)
def test_more_inhibition_never_adds_a_spike(current: list[float], inhibition: list[tuple[int, float]]) -> None:
    """Up to every timestep; a suppressed spike may come later, because there was no reset."""
    neurons = lif(config())
    free = torch.tensor(current)
    held = free.clone()
    for at, amount in inhibition:
        held[at % len(held)] -= amount
    more, fewer = neurons(free[:, None]).cumsum(0), neurons(held[:, None]).cumsum(0)
    assert bool((fewer <= more).all())


def test_an_inhibitory_synapse_inhibits_and_an_excitatory_one_excites() -> None:
    torch.manual_seed(0)
    for sign in (1, -1):
        conv, norm = SignedConv2d(3, 4, 3, 1, sign), PositiveBatchNorm2d(4).eval()
        torch.nn.init.normal_(norm.weight)
        few = (torch.rand(5, 3, 6, 6) < 0.2).float()
        more = torch.maximum(few, (torch.rand(5, 3, 6, 6) < 0.3).float())
        difference = sign * (norm(conv(more)) - norm(conv(few))).detach()
        assert float(difference.min()) >= -1e-6
        assert float(difference.max()) > 0.01


def test_signs_hold_through_training_and_in_the_layers() -> None:
    torch.manual_seed(0)
    sizes = config(cells=3, channels=3)
    network = MseNetwork(genome(sizes, "MI", "FI"), sizes)
    signs = {s.name: s.sign for p in network.populations for s in p.synapses if s.sign}
    before = {name: network.layer(f"{name}_conv").weight.detach().clone() for name in signs}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.3)  # a gain of 1 is below 0 within four steps
    for _ in range(6):
        x = torch.rand(8, 1, 8, 8)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), torch.arange(8) % 3).backward()
        optimizer.step()
    assert any(bool((m.weight < 0).any()) for m in network.modules() if isinstance(m, PositiveBatchNorm2d))
    layers = {layer["name"]: layer for layer in network.layers()}
    assert Counter(signs.values()) == {1: 8, -1: 3}
    for name, sign in signs.items():
        assert (sign * layers[f"{name}_conv"]["weight"] >= 0).all()
        assert (layers[f"{name}_bn"]["gamma"] >= 0).all()
        changed = network.layer(f"{name}_conv").weight
        # A synapse that is not there can come, and one that is can go.
        assert bool(((before[name] < 0) & (changed > 0)).any())
        assert bool(((before[name] > 0) & (changed < 0)).any())


def test_one_synapse_in_ten_is_there_at_first() -> None:
    for inputs in (1, 7):
        weight = SignedConv2d(inputs, 5, 3, 1, -1).effective()
        there = (weight != 0).flatten(1).float().mean(1)
        assert bool(((there > 0) & (there < 0.2)).all())  # in every channel


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (8, 7), (1, 1), (2, 3)])
def test_the_factorised_reduction_is_two_convolutions_a_pixel_apart(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x, reduce = torch.rand(2, 3, *size), FactorizedReduce(3, 5, size)
    first, second = reduce.weight[:2], reduce.weight[2:]
    shifted = torch.nn.functional.pad(x, (0, 1, 0, 1))
    expected = torch.cat(
        [
            torch.nn.functional.conv2d(x, first, stride=2, padding=1),
            # Rows and columns from 1 on, with what the release cuts off in their place.
            torch.nn.functional.conv2d(torch.nn.functional.pad(shifted, (0, 1, 0, 1)), second, stride=2)[
                ..., : -(-size[0] // 2), : -(-size[1] // 2)
            ],
        ],
        1,
    )
    assert torch.allclose(reduce(x), expected, atol=1e-6)


def test_a_concatenation_is_split_and_its_parts_add_up() -> None:
    sizes = config()
    network = MseNetwork(genome(sizes, "FI"), sizes)
    layers = {layer["name"]: layer for layer in network.layers()}
    parts = [f"head_conv_cell1_{name}" for name in "BCD"]
    assert layers["head_bn"]["inputs"] == parts
    assert [layers[name]["inputs"] for name in parts] == [[f"cell1_{name}_lif"] for name in "BCD"]
    whole = np.concatenate([layers[name]["weight"] for name in parts], axis=1)
    assert np.array_equal(whole, network.layer("head_conv").weight.detach().numpy())
    assert {layer["threshold"] for layer in layers.values() if layer["op"] == "lif"} == {
        float(np.nextafter(np.float32(0.5), np.float32(1)))
    }
    assert layers["output"]["inputs"] == ["head_fc"]


def test_equal_seeds_give_equal_networks() -> None:
    sizes = config(cells=4)
    drawn = GenomeSpace(len(sizes.motif_cells)).random(np.random.default_rng(3))
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        states.append(MseNetwork(drawn, sizes).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
