"""Random foreign graphs: our float decisions against a second reading of NIR, and exact graphs down to the chip.

The first of what ``snnas bench conformance --foreign N`` measures on hundreds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.toolchain.bench.foreign.literal import convolved
from snnas.toolchain.bench.foreign.random_graphs import LEAST, MOST, Foreign, draw
from snnas.toolchain.bench.foreign.road import read, take
from snnas.toolchain.bench.in_lava import compare_in_lava
from snnas.toolchain.exporting.on_target import reference

SEED, GRAPHS, EXACT = 0, 18, 12


@pytest.mark.parametrize("index", range(GRAPHS))
def test_no_float_decision_differs_from_the_literal_interpreters(index: int) -> None:
    foreign = draw(SEED, index)
    assert all(LEAST <= s.mean() <= MOST for s in foreign.played.spikes.values())
    found = take(foreign, guarded=index == 0)
    assert found.float_differing == 0, foreign.has
    assert found.output < 1e-9
    assert found.decisions > 100
    if found.program is None:
        assert found.refusal.split()[0] in ("node", "population"), found.refusal
    else:
        assert sum(p.differing for p in found.told) <= 0.1 * sum(p.spikes for p in found.told)


@pytest.mark.parametrize("index", range(EXACT))
def test_no_spike_of_an_exact_population_differs(index: int) -> None:
    found = take(draw(SEED, index, exact=True))
    assert found.float_differing == 0
    assert found.program is not None, found.refusal
    assert sum(p.differing for p in found.exact) == 0
    assert sum(p.early_differing for p in found.told) == 0


@pytest.mark.parametrize("index", [1, 35, 55, 142])
def test_what_is_not_exact_begins_exactly(index: int) -> None:
    """The others cannot be demanded of every input, but for their beginning: of 701 populations of 200 graphs 74.

    A leak of 1/2 at each of two hardware steps, or of 3/4 at each of three, is a root that 12 bits do not hold (20 of
    them; of 55 some do differ); a leak takes bits, more in 8 timesteps than 16 bits of input and 24 of membrane have
    (14); int8 holds 127 steps of a weight (3); what they feed inherits it (37). But nothing leaks at the first
    timestep, and bits last as long as the compiler says: so 61 begin exactly.
    """
    found = take(draw(SEED, index, exact=True))
    later = [p for p in found.told if p.inexact]
    assert later
    assert all(p.early > 0 for p in later)
    assert sum(p.early_differing for p in found.told) == 0
    assert index != 55 or sum(p.differing for p in later) > 0


def test_most_populations_of_graphs_of_quarters_are_exact() -> None:
    told = [p for k in range(EXACT) for p in take(draw(SEED, k, exact=True)).told]
    assert sum(not p.inexact for p in told) > 0.8 * len(told)


def test_a_graph_does_not_depend_on_how_many_are_drawn() -> None:
    first, again = draw(SEED, 3), draw(SEED, 3)
    assert first.graph.edges == again.graph.edges
    assert np.array_equal(first.x, again.x)
    assert {n: s.sum() for n, s in first.played.spikes.items()} == {n: s.sum() for n, s in again.played.spikes.items()}


def test_a_planted_fault_is_seen() -> None:
    """A threshold that one of the interpreters has and the other has not."""
    foreign = draw(SEED, 0)
    name = next(n for n, node in foreign.graph.nodes.items() if hasattr(node, "v_threshold"))
    foreign.graph.nodes[name].v_threshold = foreign.graph.nodes[name].v_threshold * np.float32(1.5)
    assert take(foreign).float_differing > 0


def test_the_literal_convolution_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 4, 7, 6)), rng.normal(size=(6, 2, 3, 2)), rng.normal(size=6)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(weight), torch.from_numpy(bias), (2, 1), (1, 2), (2, 1), 2
    )
    assert np.allclose(convolved(x, weight, (2, 1), (1, 2), (2, 1), 2, bias), theirs.numpy(), atol=1e-12)


@pytest.mark.lava
@pytest.mark.parametrize("index", [0, 3, 4, 7])
def test_exact_graphs_in_stock_lava(index: int, lava_python: Path) -> None:
    found = take(draw(SEED, index, exact=True))
    assert sum(p.differing for p in found.told) == 0
    assert found.program is not None
    assert found.x is not None
    comparison, _ = compare_in_lava(found.program, reference(found.program, found.x), lava_python)
    assert comparison.differing_spikes == 0, comparison.first
    assert comparison.spikes >= 500


def test_what_is_drawn_can_be_read_without_metadata() -> None:
    foreign: Foreign = draw(SEED, 2)
    assert not read(foreign).meta
