"""``--early-exit`` of an export: the rule is chosen, and what it saves is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim import early_exit
from snnas.hw_sim.early_exit import Exits, Rule, rule_of, so_far
from snnas.hw_sim.energy.price import Bill
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.program import Program
from snnas.toolchain.data.statistics import bootstrap, wilson
from snnas.toolchain.exporting.on_target import runs

if TYPE_CHECKING:
    from snnas.toolchain.exporting.measured import Measured

SEED = 0  # of the bootstrap


def with_rule(program: Program, asked: str, held_back: np.ndarray) -> Program:
    """The program with its rule. held_back: samples that nothing is measured on, for a confidence."""
    early_exit.require_sum(program)
    level = early_exit.level_of(asked)
    rule = Rule(mode="exact")
    if level is not None:
        found = [so_far(program, trace.spikes) for trace, _ in runs(program, held_back, lambda _done, _total: None)]
        rule = early_exit.choose(level, np.concatenate(found) if found else np.zeros((0, program.timesteps, 1)))
    return replace(program, meta={**program.meta, early_exit.KEY: rule.to_json()})


def figures(m: Measured, bill: Bill | None) -> dict[str, Any] | None:
    """``early_exit`` of report.json; None of a program without a rule. GateError where exact changes an answer.

    Energy is an estimate of what is left: the floor is shorter by the share of hardware steps that are left out, as if
    all took as long; what neurons did of later timesteps is taken to be done already, as it partly is in a pipeline.
    """
    rule, exits = rule_of(m.program), m.target.exits
    if rule is None or exits is None:
        return None
    changed = exits.predictions != m.target.predictions
    if rule.mode == "exact" and changed.any():
        raise GateError(
            f"--early-exit exact changed the answer of {int(changed.sum())} samples, first of sample "
            f"{int(changed.argmax())}; this is a fault of ours, please report it"
        )
    return {
        **{"level": None, "margin": None, "chosen_on": None, **rule.to_json()},
        **steps_of(m.program, exits),
        "changed": int(changed.sum()),
        "stay_interval": list(wilson(int((~changed).sum()), len(changed))),
        "accuracy": float((exits.predictions == m.labels).mean()),
        "energy_uJ": _energy(m, exits, bill),
    }


def steps_of(program: Program, exits: Exits) -> dict[str, Any]:
    """How long inferences last: in timesteps, and in hardware steps to the answer."""
    period, depth = program.schedule.period, program.schedule.total_depth
    mean = float(exits.timesteps.mean())
    return {
        "samples": len(exits.timesteps),
        "timesteps": {"mean": mean, "interval": list(bootstrap(exits.timesteps, SEED))},
        "of_timesteps": program.timesteps,
        "early": int((exits.timesteps < program.timesteps).sum()),
        "hardware_steps": mean * period + depth,
        "of_hardware_steps": program.timesteps * period + depth,
    }


def _energy(m: Measured, exits: Exits, bill: Bill | None) -> dict[str, float] | None:
    """Nominal total with and without, where the profile prices a floor; of C the steps say it all."""
    if m.c is not None or bill is None or bill.total is None or bill.floor is None:
        return None
    found = steps_of(m.program, exits)
    saved = bill.floor.nominal * (1 - found["hardware_steps"] / found["of_hardware_steps"])
    return {"whole": bill.total.nominal, "ending_early": bill.total.nominal - saved}
