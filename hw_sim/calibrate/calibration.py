"""From a plan and a log to the constants of the board: the faults first, then times, then energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snnas.hw_sim.calibrate import design, faults, model
from snnas.hw_sim.calibrate.fit import Fit, fit, solve
from snnas.hw_sim.calibrate.plan import IDLE, Plan
from snnas.hw_sim.calibrate.readings import Reading

ROUNDS = 6  # of the time's fit: which core is slowest depends on the constants
QUIET = 0.05  # a relative error of times that is taken for a clock's


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a log says of a board."""

    energy: Fit
    """Energies in pJ and powers in mW; its rows are all readings."""
    time: Fit
    """Times in ns; its rows are those of the probes."""
    condition: float
    """Of the energy's rows (``design.condition``)."""
    repeats: dict[str, int]
    """Readings by probe."""
    untold: tuple[str, ...] = ()
    """Times of the plan of which these rows say nothing: no core that a step waits for has their work."""

    @property
    def held_out(self) -> float:
        """Mean absolute relative error of energy over the probes, each foretold by the others; idle left out."""
        return float(np.mean([abs(error) for name, error in self.energy.held_out.items() if name != IDLE]))


def calibrate(
    plan: Plan, readings: Sequence[Reading], *, place: str, seed: int = 0, trust_units: bool = False
) -> Calibration:
    """InvalidFileError names what is wrong with the log at ``place``; see ``faults``."""
    keys = model.energies(plan.constants)
    faults.check_enough(readings, plan, len(keys), place)
    faults.check_units(readings, plan, place, trust=trust_units)
    faults.check_repeats(readings, place)
    faults.check_beyond_idle(readings, place)
    tallies = {p.id: model.tally(p.counts) for p in plan.probes}
    runs = [r for r in readings if r.probe != IDLE]
    spent = np.array([r.time_us for r in runs])
    names = sorted({r.probe for r in runs})

    def residual(renamed: Mapping[str, str]) -> float:
        rows = _time_rows(plan.constants, tallies, [renamed.get(r.probe, r.probe) for r in runs], spent)
        return float(np.sqrt(np.mean((rows @ solve(rows, spent) / spent - 1) ** 2)))

    faults.check_swapped(names, residual, QUIET, place)
    rows = np.array(
        [
            model.idle_row(plan.chips, keys, r.time_us)
            if r.probe == IDLE
            else model.energy_row(tallies[r.probe], keys, r.time_us)
            for r in readings
        ]
    )
    energies = np.array([r.energy_uJ for r in readings])
    relative = rows / energies[:, None]
    condition = design.condition(relative)
    faults.check_told_apart(condition, design.confused(relative, keys), place)
    timed = [r.probe for r in runs]
    clocked = _time_rows(plan.constants, tallies, timed, spent)
    told = np.any(clocked, axis=0).tolist()
    every = model.times(plan.constants)
    times, clocked = [key for key, any_row in zip(every, told, strict=True) if any_row], clocked[:, told]
    shares = clocked / spent[:, None]
    faults.check_told_apart(design.condition(shares), design.confused(shares, times), place)
    return Calibration(
        energy=fit(keys, rows, energies, [r.probe for r in readings], seed),
        time=fit(times, clocked, spent, timed, seed),
        condition=condition,
        repeats=faults.repeats(readings),
        untold=tuple(key for key in every if key not in times),
    )


def _time_rows(
    constants: model.Constants, tallies: Mapping[str, model.Tally], probes: Sequence[str], spent: np.ndarray
) -> np.ndarray:
    """(N, K): with the slowest cores that the fit of these times finds."""
    values = {key: constants[key] for key in model.times(constants)}
    rows = np.zeros((len(probes), len(values)))
    for _ in range(ROUNDS):
        each = {name: model.time_row(tallies[name], values) for name in dict.fromkeys(probes)}
        found = np.array([each[name] for name in probes])
        if np.array_equal(found, rows):
            break
        rows = found
        values = dict(zip(values, map(float, solve(rows, spent)), strict=True))
    return rows
