"""Lava as the witness of an export."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.files import read_text
from snnas.hw_sim.lava import run_lava as stand_alone
from snnas.hw_sim.lava.run import Comparison, compare, run_worker
from snnas.hw_sim.program import Program
from snnas.toolchain.exporting.options import ExportOptions, lava_python
from snnas.toolchain.output.stderr import Narrator


def script() -> str:
    """The text of run_lava.py, which stands alone beside a program."""
    return read_text(Path(stand_alone.__file__))


def run_lava(
    stage: Path, program: Program, golden: dict[str, np.ndarray], options: ExportOptions, narrator: Narrator
) -> tuple[Comparison | None, str]:
    """Lava on the recorded samples; GateError names the first population, step and neuron that differ.

    None with the reason where there is no Lava; UnsupportedError where it was required. Beside a comparison: which
    Lava, and how many spikes it fired, counted here in what it recorded and not by the worker: where that is none,
    equal spikes say nothing, and the report has it beside them.
    """
    if options.target != "lava" and not options.require_lava:
        return None, f"not asked for: --target {options.target}"
    python, why = lava_python(options)
    if python is None:
        if options.require_lava:
            raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {why}")
        narrator.say(f"  Lava not run: {why}")
        return None, why
    samples = len(golden["logits"])
    narrator.say(f"Lava: {samples} samples ({why})")
    out = stage / "lava"
    result = run_worker(stage, out, samples=samples, python=python, timeout=options.lava_timeout)
    comparison = compare(golden, result["arrays"], program, samples)
    shutil.rmtree(out, ignore_errors=True)
    if not comparison.equal and comparison.first is not None:
        f = comparison.first
        raise GateError(
            f"Lava and the simulator differ in {comparison.differing_spikes:,} of {comparison.spikes:,} spikes: "
            f"first at population {f.population}, sample {f.sample}, timestep {f.timestep}, neuron {f.neuron}; "
            "this is a fault of ours, please report it"
        )
    fired = sum(spikes_of(result["arrays"], program).values())
    life = f"{fired:,} fired in it" if fired else "nothing fired in it, so that equal spikes say nothing"
    narrator.say(
        f"  0 of {comparison.spikes:,} spikes differ, {life}; {result['hardware_steps']:,} steps in "
        f"{result['run_seconds']:.1f} s"
    )
    return comparison, f"{why}; {life}"


def spikes_of(arrays: Mapping[str, np.ndarray], program: Program) -> dict[str, int]:
    """How many spikes each population fired; arrays: uint8 (B, T, ceil(N / 8)) by ``spikes.<population>``."""
    return {
        p.id: int(np.unpackbits(arrays[f"spikes.{p.id}"], axis=-1, count=p.size).sum(dtype=np.int64))
        for p in program.populations
    }
