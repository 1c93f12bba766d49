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
Nominal = tuple[float, float] | None  # microjoules of a whole inference, and of its floor alone


def with_rule(program: Program, asked: str, held_back: np.ndarray) -> Program:
    """The program with its rule. held_back: samples that nothing is measured on, for a confidence."""
    early_exit.require_sum(program)
    level = early_exit.level_of(asked)
    rule = Rule(mode="exact")
    if level is not None:
        found = [so_far(program, trace.spikes) for trace, *_ in runs(program, held_back)]
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
    nominal = None
    if m.c is None and bill is not None and bill.total is not None and bill.floor is not None:  # of C the steps say it
        nominal = (bill.total.nominal, bill.floor.nominal)
    return described(m.program, rule, exits, m.target.predictions, m.labels, nominal)


def described(
    program: Program, rule: Rule, exits: Exits, whole: np.ndarray, labels: np.ndarray | None, nominal: Nominal
) -> dict[str, Any]:
    """What ``figures`` returns. whole: int64 (N,), predictions after all timesteps. labels: likewise, None without.

    nominal: microjoules of the whole inference, and of its floor alone; None without a price.
    """
    changed = exits.predictions != whole
    steps = steps_of(program, exits)
    return {
        **{"level": None, "margin": None, "chosen_on": None, **rule.to_json()},
        **steps,
        "changed": int(changed.sum()),
        "stay_interval": list(wilson(int((~changed).sum()), len(changed))),
        "accuracy": None if labels is None else float((exits.predictions == labels).mean()),
        "energy_uJ": energy_of(steps, nominal),
    }


def energy_of(steps: dict[str, Any], nominal: Nominal) -> dict[str, float] | None:
    """Microjoules with all steps and with those of ``steps``; nominal: as of ``described``."""
    if nominal is None:
        return None
    saved = nominal[1] * (1 - steps["hardware_steps"] / steps["of_hardware_steps"])
    return {"whole": nominal[0], "ending_early": nominal[0] - saved}


def steps_of(program: Program, exits: Exits) -> dict[str, Any]:
    """How long inferences last: in timesteps, and in hardware steps to the answer."""
    mean = float(exits.timesteps.mean())
    return {
        "samples": len(exits.timesteps),
        "timesteps": {"mean": mean, "interval": list(bootstrap(exits.timesteps, SEED))},
        "of_timesteps": program.timesteps,
        "early": int((exits.timesteps < program.timesteps).sum()),
        **hardware_steps(program, mean),
    }


def hardware_steps(program: Program, mean: float) -> dict[str, float]:
    """Hardware steps to an answer that takes ``mean`` timesteps, and to one that takes all."""
    period, depth = program.schedule.period, program.schedule.total_depth
    return {"hardware_steps": mean * period + depth, "of_hardware_steps": program.timesteps * period + depth}
