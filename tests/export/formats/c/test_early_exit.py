"""snnas_decided: the C ends where the simulator does, and its own test says so where it does not."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnas.export.formats.c import c_model, frames, plan, write_c
from snnas.hw_sim.c import compilers
from snnas.hw_sim.early_exit import Rule, stops
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate
from tests.programs import random_program

EXACT = Rule(mode="exact")
MARGIN = Rule(mode="confidence", level=0.9, margin=3000, chosen_on=10)


def written(folder: Path, program: Program, seed: int) -> np.ndarray:
    """The C of a program with samples of spikes; when each ends."""
    x = np.random.default_rng(seed).random((12, program.timesteps, *program.input_shape)) < 0.4
    trace, made = simulate(program, spikes_in=x), plan(program)
    write_c(folder, made, c_model(made), frames(made, x, {}), trace)
    rule = MARGIN if program.meta["early_exit"] != EXACT.to_json() else EXACT
    return stops(program, rule, trace.spikes).timesteps


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    found, why = compilers.native()
    if found is None:
        pytest.skip(f"no C compiler: {why}")
    return subprocess.run(
        ["make", "-s", "test", f"CC={found.command[0]}"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("rule", [EXACT, MARGIN], ids=["exact", "margin"])
def test_c_ends_where_the_simulator_does(rule: Rule, tmp_path: Path) -> None:
    seen: set[int] = set()
    for seed in range(3):
        program = replace(random_program(seed, kind="spikes"), meta={"early_exit": rule.to_json()})
        folder = tmp_path / str(seed)
        folder.mkdir()
        seen |= set(written(folder, program, seed).tolist())
        done = run(folder)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(seen) > 1, "no sample ends early: nothing is tested"


def test_an_exit_at_another_timestep_is_found(tmp_path: Path) -> None:
    program = replace(random_program(0, kind="spikes"), meta={"early_exit": MARGIN.to_json()})
    written(tmp_path, program, 0)
    model = (tmp_path / "model.c").read_text()
    assert "INT64_C(3000)" in model
    (tmp_path / "model.c").write_text(model.replace("INT64_C(3000)", "INT64_C(3000000000)"))
    done = run(tmp_path)
    assert done.returncode != 0
    assert f"ends after {program.timesteps} timesteps" in done.stdout


def test_without_a_rule_the_c_is_as_it_was(tmp_path: Path) -> None:
    program = random_program(0, kind="spikes")
    model = c_model(plan(program))
    assert "snnas_decided" not in model.header + model.source
    ruled = c_model(plan(replace(program, meta={"early_exit": EXACT.to_json()})))
    assert "uint32_t snnas_decided(const snnas_state *state);" in ruled.header
    assert "slack[" in ruled.source
