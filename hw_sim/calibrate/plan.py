"""A plan: the probes that were chosen, what each one counts, and what a board like the profile would show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.calibrate import design, model
from snnas.hw_sim.calibrate.probes import Recipe, build, pool, sample
from snnas.hw_sim.energy.profile import UNITS, Constant, Profile, read_constant
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError, brief
from snnas.hw_sim.map.mapping import map_program
from snnas.hw_sim.map.system import System
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.simulator import simulate_input

FORMAT = "snnas.calibration_plan/1"
IDLE = "idle"  # the row of a log that is read while the board waits
CANDIDATES = 120
WAIT_US = 1e7  # how long an idle reading is expected to last


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A program to run on the board."""

    id: str
    """p01, ...; its folder and its name in the log."""
    recipe: Recipe
    """What it is made of."""
    counts: Counts
    """What it does, simulated: of its one recorded input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """See the module's docstring."""

    profile: str
    """The profile whose values were expected."""
    system: str
    """The system on which the probes are placed."""
    constants: model.Constants
    """What is to be fitted, at the values expected: pJ, mW and ns."""
    untold: tuple[str, ...]
    """Counts of the bill that no probe has on this system, so that nothing can be said of their prices."""
    base: Mapping[str, Constant] = field(default_factory=dict)
    """What the profile prices: a constant that is not fitted stays as it is there."""
    probes: tuple[Probe, ...]
    """In the order of their names."""

    @property
    def chips(self) -> int:
        """Chips of the system, which all draw power while it waits."""
        return max(p.counts.chips for p in self.probes)

    @property
    def needed(self) -> int:
        """How many probes tell the constants apart, with the idle row; one more shows whether the fit holds."""
        return len(model.energies(self.constants)) - 1

    def expected(self) -> dict[str, tuple[float, float]]:
        """By probe: microjoules and microseconds of an inference, at the values expected."""
        keys, timed = model.energies(self.constants), {k: self.constants[k] for k in model.times(self.constants)}
        values = np.array([self.constants[key] for key in keys])
        found = {}
        for probe in self.probes:
            tally = model.tally(probe.counts)
            time_us = float(model.time_row(tally, timed) @ np.array(list(timed.values())))
            found[probe.id] = float(model.energy_row(tally, keys, time_us) @ values), time_us
        return found

    def condition(self) -> float:
        """Of the probes' shares, the idle row's included, at the values expected (``design.condition``)."""
        return design.condition(self._rows())

    def _rows(self) -> np.ndarray:
        energy, _ = _tables([model.tally(p.counts) for p in self.probes], self.constants)
        return np.vstack([energy, _idle(self.chips, self.constants)])

    def to_json(self) -> dict[str, Any]:
        """plan.json; each probe's counts lie in its folder."""
        expected = self.expected()
        return {
            "format": FORMAT,
            "profile": self.profile,
            "system": self.system,
            "constants": self.constants,
            "untold": list(self.untold),
            "base": {key: asdict(constant) for key, constant in self.base.items()},
            "probes": [
                {"id": p.id, "recipe": asdict(p.recipe), "energy_uJ": expected[p.id][0], "time_us": expected[p.id][1]}
                for p in self.probes
            ],
        }

    @classmethod
    def from_json(cls, data: Any, counts_of: Callable[[str], Counts]) -> Plan:
        """What ``to_json`` gave. InvalidFileError names the entry that is not what belongs there."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise InvalidFileError(f"plan.json: format {brief(found)}, expected {FORMAT}; plan again")
        constants: Any = data.get("constants")
        good = isinstance(constants, dict) and all(
            key in UNITS and type(value) in (int, float) and value > 0 for key, value in constants.items()
        )
        if not good or not model.energies(constants) or not model.times(constants):
            raise InvalidFileError(f"plan.json: constants {brief(constants)}; expected numbers above 0; plan again")
        listed: Any = data.get("probes")
        names: list[Any] = (
            [p.get("id") if isinstance(p, dict) else None for p in listed] if isinstance(listed, list) else []
        )
        if not names or not all(isinstance(n, str) and n.isalnum() for n in names) or len(set(names)) < len(names):
            raise InvalidFileError(f"plan.json: probes {brief(names)}; expected a name for each; plan again")
        try:
            recipes = [Recipe(**{**p["recipe"], "shape": tuple(p["recipe"]["shape"])}) for p in listed]
        except (KeyError, TypeError) as error:
            raise InvalidFileError(
                f"plan.json: a probe's recipe is damaged ({brief(str(error))}); plan again"
            ) from None
        untold, base = data.get("untold"), data.get("base", {})
        if not isinstance(base, dict) or not set(base) <= set(UNITS):
            raise InvalidFileError(f"plan.json: base {brief(base)}; expected constants of a profile; plan again")
        return cls(
            profile=str(data.get("profile")),
            system=str(data.get("system")),
            constants={key: float(value) for key, value in constants.items()},
            untold=tuple(map(str, untold)) if isinstance(untold, list) else (),
            base={key: read_constant(entry, key, Path("plan.json")) for key, entry in base.items()},
            probes=tuple(Probe(id=n, recipe=r, counts=counts_of(n)) for n, r in zip(names, recipes, strict=True)),
        )


def simulated(recipe: Recipe, system: System) -> Counts | None:
    """What a probe does on a system; None where it does not fit."""
    program, x = build(recipe), sample(recipe)
    mapping = map_program(program, system)
    if not mapping.fits:
        return None
    trace, currents = next(simulate_input(program, x))
    counter = Counter(program, mapping)
    counter.add(trace, currents=currents or None, spikes_in=None if recipe.hosted else x > 0)
    return counter.result()


def make(
    profile: Profile,
    system: System,
    probes: int,
    *,
    small: bool,
    seed: int,
    candidates: int = CANDIDATES,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> Plan:
    """Draws candidates, simulates them, and chooses ``probes`` of them; equal arguments give equal plans.

    UsageError where there are fewer probes than constants, as soon as the candidates show it.
    """
    constants = model.starting(profile)
    _refuse_before(profile, constants, probes, candidates)
    recipes = pool(candidates, seed, small=small, hosted="energy.host_mac" in constants)
    found: list[tuple[Recipe, Counts]] = []
    told: set[str] = set()
    for done, recipe in enumerate(recipes):
        counts = simulated(recipe, system)
        if counts is not None:
            found.append((recipe, counts))
            told |= _told(counts, constants)
            if probes < len(told) - 1:  # the idle row tells one
                names = ", ".join(key.split(".")[1] for key in model.energies(constants) if key in told)
                raise UsageError(
                    f"--probes {probes}: {len(told) - 1} or more are needed to tell {names} apart on {system.name}"
                )
        advance(done + 1, len(recipes))
    if not found:
        raise UnsupportedError(
            f"no probe fits a chip of {system.name}; name a larger system, or --target c for small probes"
        )
    tallies = [model.tally(counts) for _, counts in found]
    tables = _tables(tallies, constants)
    keys = [model.energies(constants), model.times(constants)]
    untold = [
        key for part, table in zip(keys, tables, strict=True) for key, column in zip(part, table.T, strict=True)
        if not column.any()
    ]  # fmt: skip
    constants = {key: value for key, value in constants.items() if key not in untold}
    if probes > len(found):
        raise UsageError(f"--probes {probes}: there are {len(found)} candidates to choose from; ask for fewer")
    tables = _tables(tallies, constants)
    chips = max(t.chips for t in tallies)
    chosen = design.choose(tables, probes, [_idle(chips, constants), tables[1][:0]])
    return Plan(
        profile=profile.name,
        system=system.name,
        constants=constants,
        untold=tuple(untold),
        base=dict(profile.constants),
        probes=tuple(
            Probe(id=f"p{k + 1:02d}", recipe=found[index][0], counts=found[index][1]) for k, index in enumerate(chosen)
        ),
    )


def _refuse_before(profile: Profile, constants: model.Constants, probes: int, candidates: int) -> None:
    """UsageError for a number of probes that will do on no system; what a mesh has is known once they are simulated."""
    every = model.energies(constants)
    least, most = (len(keys) - 1 for keys in ([key for key in every if key not in model.OF_MESH], every))
    if probes < least:
        raise UsageError(
            f"--probes {probes}: {least} or more are needed to tell the constants of {profile.name} apart, and where "
            f"messages pass cores and chips up to {most}"
        )
    if probes > candidates:
        raise UsageError(f"--probes {probes}: there are {candidates} candidates to choose from; ask for fewer")


def _told(counts: Counts, constants: model.Constants) -> set[str]:
    """Of the keys of energies those that a probe has a part of."""
    keys = model.energies(constants)
    return {key for key, part in zip(keys, model.energy_row(model.tally(counts), keys, 1.0), strict=True) if part}


def _tables(tallies: list[model.Tally], constants: model.Constants) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the energy and of the time, (P, K) each."""
    keys, timed = model.energies(constants), {k: constants[k] for k in model.times(constants)}
    rows = np.array([model.time_row(t, timed) for t in tallies])
    values = np.array(list(timed.values()))
    energy = np.array([model.energy_row(t, keys, us) for t, us in zip(tallies, rows @ values, strict=True)])
    return design.shares(energy, np.array([constants[key] for key in keys])), design.shares(rows, values)


def _idle(chips: int, constants: model.Constants) -> np.ndarray:
    keys = model.energies(constants)
    row = model.idle_row(chips, keys, WAIT_US)[None]
    return design.shares(row, np.array([constants[key] for key in keys]))
