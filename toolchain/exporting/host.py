"""``--host int``: what computing the host stage in integers changes, counted against the same program with floats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snnas.hw_sim.host_stage import integer_stages
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.exporting.on_target import OnTarget, runs
from snnas.toolchain.output.stderr import Narrator


def against_floats(
    program: Program, x: np.ndarray, y: np.ndarray, target: OnTarget, keep: int, narrator: Narrator
) -> dict[str, Any] | None:
    """``host`` of report.json: currents and spikes of the recorded samples, predictions of all; None: in floats.

    x, y: every sample that is measured, and what its prediction is compared with; keep: how many are recorded.
    """
    given = program.host_integers
    if given is None:
        return None
    floats = replace(program, host_integers=None)
    currents, spikes = np.zeros(2, np.int64), np.zeros(2, np.int64)
    pairs = zip(simulate_input(program, x[:keep]), simulate_input(floats, x[:keep]), strict=True)
    for (ours, injected), (theirs, wanted) in pairs:
        for name, value in injected.items():
            currents += int((value != wanted[name]).sum()), value.size
        for name, fired in ours.spikes.items():
            spikes += int((fired != theirs.spikes[name]).sum()), fired.size
    with narrator.progress(f"the float host stage on {len(x)} samples") as advance:
        predictions = np.concatenate([trace.predictions for trace, *_ in runs(floats, x, advance)])
    differing = int((predictions != target.predictions).sum())
    narrator.say(
        f"  against a float host: {spikes[0]:,} of {spikes[1]:,} spikes of {min(keep, len(x)):,} samples differ, and "
        f"{differing:,} of {len(x):,} predictions"
    )
    return {
        "arithmetic": "int",
        "step": given.step,
        "zero": given.zero,
        **({"finer": list(given.finer)} if given.finer else {}),
        "shifts": {name: stage.shift for name, stage in integer_stages(program).items()},
        "recorded_samples": min(keep, len(x)),
        "currents": int(currents[1]),
        "differing_currents": int(currents[0]),
        "spikes": int(spikes[1]),
        "differing_spikes": int(spikes[0]),
        "samples": len(x),
        "differing_predictions": differing,
        "accuracy_of_floats": float((predictions == y).mean()),
    }
