"""Links: what comes back to a motif cell a timestep later, as a gene, in the network, on paper."""

import json

import numpy as np
import pytest
import torch

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.methods.memory import memory
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import GenomeSpace, scales_of
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.network import MseNetwork

T = 4
CONFIG = MseConfig(input_shape=(1, 8, 8), classes=3, channels=2, timesteps=T, cells=3, reductions=())
REDUCED = MseConfig(input_shape=(1, 8, 8), classes=3, channels=2, timesteps=T, cells=4, reductions=(2,))
FE = MotifCell("FE", (3, 3, 3))


def genome(*links: int) -> Genome:
    return Genome(2, (FE,) * 3, links)


def network(found: Genome, config: MseConfig = CONFIG, seed: int = 3) -> MseNetwork:
    made = MseNetwork(found, config)
    made.draw(seed)
    return made.eval()


def fired(made: MseNetwork, x: torch.Tensor) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        made(x, spikes=seen)
    return seen


def x(count: int = 4) -> torch.Tensor:
    return 4 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_genome_without_links_is_what_it_was_and_one_with_links_says_so_in_its_file() -> None:
    plain = Genome(2, (FE,) * 3)
    assert genome(0, 0, 0) == plain
    assert genome(0, 0, 0).architecture_id == plain.architecture_id
    assert json.loads(plain.to_json())["version"] == 1
    assert "links" not in json.loads(plain.to_json())
    linked = genome(3, 0, 1)
    said = json.loads(linked.to_json())
    assert (said["version"], said["links"]) == (2, [3, 0, 1])
    assert Genome.from_json(linked.to_json()) == linked
    assert linked.architecture_id != plain.architecture_id


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"links": [4, 0, 0]}, "link 4 into motif cell 1, expected 0 to 3"),
        ({"links": [0, 0, 2]}, "link 2 into motif cell 3, expected 0 to 1"),
        ({"links": [1, 0]}, "2 links beside 3 motif cells"),
        ({"links": [True, 0, 0]}, "link True into motif cell 1"),
        ({"links": "1"}, "links '1'"),
        ({"links": [0, 0, 0]}, "links, all 0"),
        ({"links": []}, "links, all 0"),
        ({"version": 1}, "expected"),
    ],
)
def test_a_file_of_bad_links_is_refused(changes: dict, words: str) -> None:
    said = json.loads(genome(1, 0, 0).to_json()) | changes
    with pytest.raises(InvalidFileError, match=r"genotype\.json") as caught:
        Genome.from_json(json.dumps(said))
    assert words in str(caught.value)


def test_links_are_genes_of_the_macro_scale() -> None:
    assert CONFIG.links == (3, 2, 1)
    assert REDUCED.links == (1, 2, 1)
    space, without = GenomeSpace(3, links=CONFIG.links), GenomeSpace(3)
    assert space.sizes[: without.macro + 1].tolist() == without.sizes.tolist()
    assert space.sizes[without.macro + 1 :].tolist() == [4, 3, 2]
    drawn = [space.random(np.random.default_rng(seed)) for seed in range(40)]
    assert {g.links[0] for g in drawn if g.links} == {0, 1, 2, 3}
    assert all(space.decode(space.encode(g)) == g for g in drawn)
    with pytest.raises(UsageError, match="expected at most"):
        without.encode(genome(1, 0, 0))
    vector = space.encode(genome(1, 0, 0))
    assert scales_of(space, vector)[2] == list(range(space.macro, len(vector)))


def test_a_third_of_the_children_change_what_comes_back_or_how_many_cells_are_read() -> None:
    pytest.importorskip("pymoo")
    from snnas.search.mse_nas.algorithm import OneScale

    space, rng = GenomeSpace(3, links=CONFIG.links), np.random.default_rng(0)
    parents = np.stack([space.draw(rng) for _ in range(3000)])
    children = OneScale(space)._do(None, parents, random_state=rng)
    places = (children != parents).argmax(1)
    assert ((children != parents).sum(1) == 1).all()
    assert 900 < (places >= space.macro).sum() < 1100
    assert all((places == at).any() for at in range(space.macro, len(space.sizes)))


@pytest.mark.parametrize("links", [(1, 0, 0), (3, 0, 0), (0, 2, 1)])
def test_a_link_acts_a_timestep_later_and_without_gain_not_at_all(links: tuple[int, ...]) -> None:
    with_links, without = network(genome(*links)), network(genome(0, 0, 0))
    with torch.no_grad():
        without.train()(x())  # statistics by which it is alive
    with_links.load_state_dict(without.eval().state_dict(), strict=False)
    back = [synapse.name for synapse in with_links.back.values()]
    for name in back:
        with_links.layer(f"{name}_bn").weight.data.zero_()
    expected, found = fired(without, x()), fired(with_links, x())
    assert all(bool(train.any()) for train in expected.values())
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    for name in back:
        with_links.layer(f"{name}_bn").weight.data.fill_(5.0)
    found = fired(with_links, x())
    target = f"{next(iter(with_links.back))}_lif"
    assert all(torch.equal(found[name][0], expected[name][0]) for name in expected)
    assert not torch.equal(found[target], expected[target])


def test_a_link_is_trained_step_by_step_and_settles_to_the_same_statistics() -> None:
    made = network(genome(0, 2, 0)).train()
    made(x()).square().sum().backward()
    grads = {name: parameter.grad for name, parameter in made.named_parameters()}
    assert all(bool(grad.isfinite().all()) for grad in grads.values())
    assert all(bool(grad.any()) for name, grad in grads.items() if "link" in name)
    assert any("link" in name for name in grads)
    link = made.layer("cell2_link_conv").weight
    assert link.grad.abs().sum() > 0
    norm = made.layer("cell2_link_bn")
    assert norm.num_batches_tracked == 1
    assert norm.running_var.ne(1).any()
    # Everything before the loop is folded over timesteps, as it was.
    assert "cell1_B" not in made.loop
    assert made.loop >= {"cell2_in1", "cell3_C"}


def test_what_is_behind_a_reduction_cannot_come_back() -> None:
    MseNetwork(Genome(2, (FE,) * 3, (1, 2, 1)), REDUCED)
    with pytest.raises(UsageError, match="link 2 into motif cell 1 of a genome comes from cell 3, behind a reduction"):
        MseNetwork(Genome(2, (FE,) * 3, (2, 0, 0)), REDUCED)


def test_memory_counts_a_link() -> None:
    more = memory(genome(1, 0, 0), CONFIG).weights - memory(genome(), CONFIG).weights
    assert more == 2 * CONFIG.channels**2  # B and C, side by side, to the channels of the cell
