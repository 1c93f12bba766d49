"""The conformance page is what the code does, and its Lava column is what Lava does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnas.export.executors import interpreter
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.simulate.simulator import simulate, simulate_input
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
from snnas.toolchain.exporting.on_target import recorded
from tests.studies.conformance_matrix import CASES, EQUAL, STEPS, Case, outcome, page

pytest.importorskip("torch")
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "python -m tests.studies.conformance_matrix > docs/conformance.md"
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_case_lives_and_every_cell_is_equal_or_says_why(case: Case) -> None:
    found = outcome(case)
    graph = case.graph()
    x = found.x.reshape(*found.x.shape[:2], *graph.nodes[graph.input].shape)  # type: ignore[union-attr]
    for name, spikes in interpreter.run(graph, x, STEPS).spikes.items():
        assert 0 < spikes.mean() < 1, name
    for cell in found.cells:
        assert cell in (EQUAL, "no program") or cell.startswith("refused: ")
    assert (found.program is None) == bool(found.refusal)
    if found.program is not None:
        trace = simulate(found.program, spikes_in=found.x > 0)
        other = TorchSimulator(found.program).run(spikes_in=found.x > 0)
        assert all(np.array_equal(trace.spikes[n], other.spikes[n]) for n in trace.spikes)
        assert np.array_equal(trace.logits, other.logits)


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_lava_column(case: Case, lava_python: Path, tmp_path: Path) -> None:
    found = outcome(case)
    if found.program is None or found.cells[-1] != EQUAL:
        assert found.cells[-1] == "no program" or "a soft reset" in found.cells[-1]
        return
    program, samples = found.program, len(found.x)
    trace, currents = next(simulate_input(program, found.x, batch=samples))
    golden = recorded(trace.spikes, trace.logits, currents, np.asarray(found.x > 0), samples)
    write_program(tmp_path / "program.npz", program)
    write_npz(tmp_path / "golden.npz", golden)
    result = lava.run_worker(tmp_path, tmp_path / "lava", samples=samples, python=lava_python)
    comparison = lava.compare(golden, result["arrays"], program, samples)
    assert comparison.differing_spikes == 0, comparison.first
