"""The campaign against proved ranges: it counts, it repeats, and it finds a bound that is too narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import Narrator
from tests.studies import ranges as bench_ranges
from tests.studies.command import run_study

QUIET = Narrator(quiet=True)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    graph = bench_ranges.cuba_chain(np.random.default_rng(0))
    write_program(tmp_path / "program.npz", compile_graph(graph, timesteps=4, input_kind="spikes"))
    return tmp_path / "program.npz"


def plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in figures.items() if not k.startswith("seconds")}


def test_it_counts_and_repeats(program: Path) -> None:
    found = bench_ranges.measure(QUIET, inputs=333, seed=3, programs=[program])
    again = bench_ranges.measure(QUIET, inputs=333, seed=3, programs=[program])
    (network,) = found["networks"]
    assert (found["inputs"], found["counterexamples"]) == (334, 0)
    assert (network["proved"], network["populations"], network["neurons"]) == (2, 2, 820)
    assert network["reached_u"] == {"mean": 1.0, "least": 1.0}
    assert plain(network) == plain(again["networks"][0])
    with pytest.raises(UsageError, match="--inputs 0: expected a whole number >= 1"):
        bench_ranges.measure(QUIET, inputs=0, programs=[program])


@pytest.mark.parametrize("register", ["a", "u", "v"])
def test_a_bound_that_is_one_unit_too_narrow_is_found(
    register: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench_ranges.neuron_bounds

    def narrower(*args: Any) -> Any:
        bounds = real(*args)
        low, high = bounds[register]
        return {**bounds, register: (low + 1, high)}

    monkeypatch.setattr(bench_ranges, "neuron_bounds", narrower)
    code = run_study(bench_ranges.command, [str(program), "--inputs", "400", "-q"])
    assert code == 1
    assert bench_ranges.measure(QUIET, inputs=400, programs=[program])["counterexamples"] > 0


def test_the_command_prints_a_row_per_program(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    code = run_study(bench_ranges.command, [str(program), "--inputs", "200", "-q"])
    assert code == 0
    out = capsys.readouterr().out
    assert "2 of 2" in out
    assert "0 of 200 inputs beyond the bounds" in out


def test_its_own_programs_cover_what_can_differ() -> None:
    pytest.importorskip("torch")
    programs = dict(bench_ranges.random_programs(1))
    assert [p.schedule.period > 1 for p in programs.values()] == [False, False, True, False]
    assert programs["MNIST's shape"].input_shape == (1, 28, 28)
    assert any(s.src == "clock" for s in programs["recurrent"].synapses)
    assert all(p.current_decays for p in programs["CubaLIF"].populations)
