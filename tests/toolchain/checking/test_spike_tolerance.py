"""Why SN311 lets 60 % of a population's spikes differ: rounding stays far below, another network comes out above."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.folder_runs import simulate
from snnas.toolchain.checking.same_network import SPIKES, check_spikes
from tests.export.nir_nets import read
from tests.studies.growth import graph_of_size
from tests.toolchain.checking.test_check_fooled import shuffled

STEPS, SAMPLES, SIDE = 8, 16, 12


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Two layers of convolutions with weights that no integers are, and a readout."""
    return read(tmp_path_factory.mktemp("graph"), graph_of_size("neurons", SIDE))


X = (np.random.default_rng(1).random((SAMPLES, STEPS, 4, SIDE, SIDE)) < 0.3).astype(np.float32)


def program_of(graph: Graph, bits: int) -> Program:
    spikes = calibration_spikes(graph, X[:16], STEPS, "spikes")
    return compile_graph(graph, timesteps=STEPS, input_kind="spikes", bits=bits, spikes=spikes)


def share(graph: Graph, program: Program) -> float:
    """The largest share of a population's spikes that graph and program do not have in common, by the rule's words."""
    book = Book(Path("export"), "export")
    fired, _ = simulate(program, X)
    check_spikes(book, program, fired, interpreter.run(graph, X, STEPS))
    (finding,) = book.findings
    found = re.search(r"most of \w+: ([\d.]+)%", finding.detail)
    assert found is not None
    return float(found[1]) / 100


@pytest.mark.parametrize(("bits", "most"), [(8, 0.05), (6, 0.15), (4, 0.4)])
def test_rounding_stays_well_below_the_tolerance(graph: Graph, bits: int, most: float) -> None:
    assert share(graph, program_of(graph, bits)) < most < SPIKES


def test_the_weights_of_other_neurons_come_out_above_it(graph: Graph) -> None:
    assert share(graph, shuffled(program_of(graph, 8))) > SPIKES
