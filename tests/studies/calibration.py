"""Does ``snnas calibrate`` find a board's constants? python -m tests.studies.calibration [--trials 200] [--json]

A board is simulated whose constants are hidden: each is the profile's times a factor of 1/3 to 3, drawn anew for each
trial. A meter reads the plan's probes with multiplicative noise on every energy and, a hundredth of it, on every clock.
What is fitted is held against the truth: the energy of generated programs that no plan holds, and whether each interval
covers its constant.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.calibrate import model
from snnas.hw_sim.calibrate.calibration import Calibration, calibrate
from snnas.hw_sim.calibrate.plan import IDLE, Plan, make, simulated
from snnas.hw_sim.calibrate.probes import pool
from snnas.hw_sim.calibrate.readings import Reading
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.map.mapping import load_system
from snnas.toolchain.cli.options import AsJson
from tests.studies.command import main, tell

SCHEMA = "snnas.study.calibration/1"
SPREAD = 3.0  # of the hidden constants around the profile's
CLOCK = 0.01  # of the meter's noise: a clock is better
WAIT_US = 1e7
HELD_OUT, COVERED = 0.05, 0.9  # what is asked for
OTHERS = 40  # programs that no plan holds


def hidden(plan: Plan, seed: int) -> model.Constants:
    """The constants of a board."""
    rng = np.random.default_rng([seed, 7])
    return {key: value * SPREAD ** rng.uniform(-1, 1) for key, value in plan.constants.items()}


def truth(tally: model.Tally, constants: model.Constants) -> tuple[float, float]:
    """Microjoules and microseconds of an inference on the board."""
    timed = {key: constants[key] for key in model.times(constants)}
    spent = float(model.time_row(tally, timed) @ np.array(list(timed.values())))
    keys = model.energies(constants)
    return float(model.energy_row(tally, keys, spent) @ np.array([constants[key] for key in keys])), spent


def measured(
    plan: Plan, constants: model.Constants, *, repeats: int = 5, noise: float = 0.1, seed: int = 0
) -> list[Reading]:
    """What a meter reads of the board, row for row of the plan's log."""
    rng, found = np.random.default_rng([seed, 8]), list[Reading]()
    true = {p.id: truth(model.tally(p.counts), constants) for p in plan.probes}
    waiting = plan.chips * constants["power.idle"] * WAIT_US * 1e-3
    for _ in range(repeats):
        for name, (energy, spent) in {IDLE: (waiting, WAIT_US), **true}.items():
            error, clock = np.maximum(1 + noise * rng.standard_normal(2) * (1, CLOCK), 0.05)
            found.append(
                Reading(line=len(found) + 2, probe=name, energy_uJ=energy * float(error), time_us=spent * float(clock))
            )
    return found


def as_csv(readings: Sequence[Reading]) -> str:
    """The log of readings, an inference each."""
    rows = (f"{r.probe},{'' if r.probe == IDLE else 1},{r.energy_uJ!s},{r.time_us!s}" for r in readings)
    return "\n".join(["probe,inferences,energy_uJ,time_us", *rows, ""])


def foretold(found: Calibration, tally: model.Tally) -> tuple[float, float]:
    """What the fitted constants say of a program."""
    values = dict(zip((*found.energy.keys, *found.time.keys), (*found.energy.values, *found.time.values), strict=True))
    return truth(tally, {key: float(value) for key, value in values.items()})


def others(plan: Plan, system: str, seed: int, *, small: bool = False, count: int = OTHERS) -> list[model.Tally]:
    """What programs do that are not of the plan."""
    recipes = pool(count, seed + 1000, small=small, hosted=False)
    found = [simulated(recipe, load_system(system)) for recipe in recipes]
    known = {p.recipe for p in plan.probes}
    return [model.tally(c) for c, recipe in zip(found, recipes, strict=True) if c is not None and recipe not in known]


def measure(plan: Plan, unseen: Sequence[model.Tally], *, trials: int, repeats: int, noise: float) -> dict[str, Any]:
    """The figures of so many boards."""
    errors, left_out, covered = [], [], []
    for seed in range(trials):
        constants = hidden(plan, seed)
        found = calibrate(
            plan, measured(plan, constants, repeats=repeats, noise=noise, seed=seed), place="log", seed=seed
        )
        errors.append(np.mean([abs(foretold(found, c)[0] / truth(c, constants)[0] - 1) for c in unseen]))
        left_out.append(found.held_out)
        covered.append(
            {
                key: bool(low <= constants[key] <= high)
                for part in (found.energy, found.time)
                for key, low, high in zip(part.keys, part.low, part.high, strict=True)
            }
        )
    coverage = {key: float(np.mean([c[key] for c in covered])) for key in covered[0]}
    return {
        "schema": SCHEMA,
        "profile": plan.profile,
        "probes": len(plan.probes),
        "repeats": repeats,
        "noise": noise,
        "trials": trials,
        "condition": plan.condition(),
        "unseen_programs": len(unseen),
        "held_out_error": float(np.mean(errors)),
        "held_out_p95": float(np.quantile(errors, 0.95)),
        "left_out_error": float(np.mean(left_out)),
        "coverage": coverage,
        "coverage_mean": float(np.mean(list(coverage.values()))),
        "provenance": "simulated",
    }


def good(result: dict[str, Any]) -> bool:
    """Whether the errors are as small, and each constant is covered as often, as is asked for."""
    return bool(result["held_out_error"] <= HELD_OUT and min(result["coverage"].values()) >= COVERED)


def show(result: dict[str, Any]) -> None:
    """In lines of text."""
    print(
        f"{result['trials']} boards, {result['probes']} probes x {result['repeats']} readings, noise "
        f"{result['noise']:.0%}, profile {result['profile']}, condition number {result['condition']:.3g}"
    )
    print(
        f"energy of {result['unseen_programs']} unseen programs: {result['held_out_error']:.2%} mean error, on 95 % of "
        f"the boards within {result['held_out_p95']:.2%}; each probe by the others {result['left_out_error']:.2%}"
    )
    for key, share in result["coverage"].items():
        print(f"  {key:26} covered {share:.1%}")
    print(f"  {'mean':26} covered {result['coverage_mean']:.1%}; {result['seconds']:.0f} s")


def command(
    profile: Annotated[str, typer.Option(help="What the plan expects.")] = "loihi1",
    probes: Annotated[int, typer.Option(help="Programs in the plan.")] = 10,
    repeats: Annotated[int, typer.Option(help="Readings of each.")] = 5,
    noise: Annotated[float, typer.Option(help="Of an energy, as a share of it.")] = 0.1,
    trials: Annotated[int, typer.Option(help="Boards.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the probes that are tried, and the programs that no fit sees.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit constants to simulated boards with hidden ones, and say how often they are found."""
    start = time.monotonic()
    plan = make(load_profile(profile), load_system("loihi1"), probes, small=False, seed=seed)
    result = measure(plan, others(plan, "loihi1", seed), trials=trials, repeats=repeats, noise=noise)
    tell({**result, "seconds": time.monotonic() - start}, as_json, show, good=good(result))


if __name__ == "__main__":
    main(command)
