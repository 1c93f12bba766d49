"""``bench deploy``: methods and proxies against a table of every network's accuracy and energy on target.

The table (``python -m tests.studies.deploy_table``) holds every functionally distinct cell of convolutions and skips at
several widths and timesteps, trained with several seeds. A search that trains is played on it in milliseconds: what it
would train is looked up. It sees the validation samples of the seed that it asks for; it is judged by the mean over all
seeds on their test samples. What published methods would choose is in ``deploy_published``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import GateError, UsageError
from snnas.toolchain.bench.deploy_published import play, rules
from snnas.toolchain.bench.deploy_table import OPS, Name, Row, Table
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import percentiles

if TYPE_CHECKING:
    from snnas.search.methods.trials import Trained, Trial
    from snnas.search.network.design import Design

SCHEMA = "snnas.bench.deploy/2"
FEWEST = 5  # games that an interval over games says something of
DRAWN = ("trained", "random", "random cell", "one draw")  # methods that play as many games as are asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployBenchOptions:
    """What is played."""

    table: Path
    """Of ``tests.studies.deploy_table``, .csv.gz."""
    budgets: tuple[float, ...] = (30.0, 60.0, 120.0)
    """Energies per inference in uJ, upper end of the band."""
    trainings: int = 48
    """Short trainings of every search."""
    games: int = 100
    """Searches of every kind at every budget."""
    seed: int = 0
    """The one seed of all draws."""

    def check(self) -> None:
        """UsageError for what cannot be played."""
        if not self.budgets or min(self.budgets) <= 0:
            raise UsageError(f"--budgets {self.budgets}: expected energies in uJ, above 0")
        for name, least in (("trainings", 4), ("games", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")


def bench_deploy(options: DeployBenchOptions) -> dict[str, Any]:
    """Return the figures of the benchmark, as ``--json`` prints them."""
    options.check()
    table = Table(options.table)
    played = []
    for budget in options.budgets:
        within = table.within(budget)
        if not within:
            raise UsageError(f"--budgets {budget:g}: no network of the table keeps it; expected more uJ")
        played.append(_budget(table, within, budget, options))
    return {
        "schema": SCHEMA,
        "table": str(options.table),
        "networks": len(table.rows),
        "seeds": len(table.seeds),
        "epochs": table.epochs,
        "trainings": options.trainings,
        "games": options.games,
        "seed": options.seed,
        "budgets": played,
        "proxies": proxies(table),
    }


def _budget(table: Table, within: Sequence[Name], budget: float, options: DeployBenchOptions) -> dict[str, Any]:
    """The regret of every method at a budget, in 0..1: what the best network within it is ahead by, on average."""
    truth = {name: table.mean(name, "target_test") for name in within}
    best = max(truth, key=lambda name: truth[name])
    of = rules(options.seed)
    methods: dict[str, Callable[[int], Name | None]] = {
        "trained": lambda game: _search(table, budget, options, game, random=False),
        "random": lambda game: _search(table, budget, options, game, random=True),
        "random cell": lambda game: play(table, within, of["random cell"], game),
        "one draw": lambda game: within[int(stream(options.seed, f"draw {game}").integers(len(within)))],
        **{name: partial(play, table, within, rule) for name, rule in of.items() if name != "random cell"},
        "sahd": lambda game: _picked(table, within, lambda name, row: row["sahd"], game),
        "live_depth": lambda game: _picked(table, within, lambda name, row: row["live_depth"], game),
        "widest convolution": lambda game: _picked(
            table, within, lambda name, row: (name[0] == "002000", name[1], -name[2]), game
        ),
    }
    rows: list[dict[str, Any]] = []
    for method, play_one in methods.items():
        games = options.games if method in DRAWN else len(table.seeds)
        taken = [name for game in range(games) if (name := play_one(game)) is not None]
        row = {"method": method, "games": len(taken), "regret": None, "low": None, "high": None}
        if taken:
            regret = np.array([truth[best] - truth[name] for name in taken])
            row["regret"] = float(regret.mean())
            if len(taken) >= FEWEST:
                means = stream(options.seed, f"bootstrap {method}").choice(regret, (1000, len(regret))).mean(1)
                row["low"], row["high"] = percentiles(means)
        rows.append(row)
    cell, channels, timesteps = best
    return {
        "energy_uJ": budget,
        "networks": len(within),
        "best": {"cell": cell, "channels": channels, "timesteps": timesteps, "accuracy": truth[best]},
        "methods": rows,
    }


def _search(table: Table, budget: float, options: DeployBenchOptions, game: int, *, random: bool) -> Name:
    """The network that a search which trains takes; what it would train is looked up."""
    from snnas.search.methods.trained import Plan, run
    from snnas.search.network.design_space import DesignSpace

    plan = Plan(trainings=options.trainings, costs=("energy_total",), limits={"energy_total": budget}, random=random)
    names = list(table.rows)
    space = DesignSpace.of(
        {
            "ops": ["skip", "conv3x3"],
            "cells": [1],
            "channels": sorted({name[1] for name in names}),
            "timesteps": sorted({name[2] for name in names}),
            "hidden": [1],
            "head": ["linear"],
            "reduction": ["max"],
        }
    )

    def train(trials: Sequence[Trial], each: Callable[[int, Trained], None]) -> None:
        for at, trial in enumerate(trials):
            each(at, table.trained(trial))

    def refuse(designs: Sequence[Design]) -> list[str | None]:
        found = (table.mean(table.names[design.architecture_id], "energy_high_uJ") for design in designs)
        return [None if energy <= budget else "over the budget" for energy in found]

    rng = stream(options.seed, f"game {game}")
    try:
        found = run(space, train, plan, rng=rng, refuse=refuse, log=lambda record: None)
    except GateError as error:
        raise UsageError(
            f"--budgets {budget:g}: a search finds nothing within it ({error}); expected more uJ"
        ) from None
    return table.names[found.genotype.architecture_id]


def _picked(table: Table, within: Sequence[Name], score: Callable[[Any, Row], Any], game: int) -> Name:
    """The best of all by a score of untrained networks; of equal ones the cheapest. game: which seed's scores."""
    seed = table.seeds[game]
    return max(within, key=lambda name: (score(name, table.rows[name][seed]), -table.mean(name, "energy_high_uJ")))


def proxies(table: Table) -> list[dict[str, Any]]:
    """How well scores of untrained networks, and plain sizes, rank accuracy on target: over all, and at equal energy.

    At equal energy: Spearman's correlation within bands of nominal energy, each half as wide again as it begins, of
    eight networks at least; the mean over the bands by their sizes.
    """
    from snnas.toolchain.data.statistics import spearman

    names = list(table.rows)
    truth = np.array([table.mean(name, "target_test") for name in names])
    energy = np.array([table.mean(name, "energy_nominal_uJ") for name in names])
    values = {
        column: np.array([table.mean(name, column) for name in names])
        for column in ("sahd", "live_depth", "temporal_code", "rdm", "parameters", "synops", "sar")
    }
    values["convolutions"] = np.array([name[0].count(str(OPS.index("conv3x3"))) for name in names], dtype=float)
    values["channels"] = np.array([name[1] for name in names], dtype=float)
    values["energy"] = energy
    values["float accuracy"] = np.array([table.mean(name, "float_test") for name in names])
    bands = np.floor(np.log(energy) / math.log(1.5))
    groups = [np.flatnonzero(bands == band) for band in np.unique(bands)]
    groups = [group for group in groups if len(group) >= 8]
    rows = []
    for name, found in values.items():
        equal = [spearman(found[group], truth[group]) for group in groups]
        weights = [len(group) for group in groups]
        rows.append(
            {
                "proxy": name,
                "spearman": spearman(found, truth),
                "at_equal_energy": float(np.average(equal, weights=weights)) if groups else None,
            }
        )
    return sorted(rows, key=lambda row: -(row["at_equal_energy"] or 0.0))


def print_result(result: Mapping[str, Any]) -> None:
    """A table per budget, and one of the proxies."""
    from rich.table import Table as Printed

    from snnas.toolchain.output.stdout import print_table

    for budget in result["budgets"]:
        best = budget["best"]
        title = (
            f"{budget['energy_uJ']:g} uJ: the best of {budget['networks']} networks has {best['accuracy']:.2%} "
            f"({best['cell']}, {best['channels']} channels, T = {best['timesteps']})"
        )
        shown = Printed("method", "regret, points", "95 %", title=title, title_justify="left")
        for row in budget["methods"]:
            if row["regret"] is None:
                shown.add_row(row["method"], "-", "takes nothing within it")
                continue
            band = "-" if row["low"] is None else f"{100 * row['low']:.2f} .. {100 * row['high']:.2f}"
            shown.add_row(row["method"], f"{100 * row['regret']:.2f}", band)
        print_table(shown)
    ranked = Printed("ranks accuracy on target", "Spearman, all", "at equal energy")
    for row in result["proxies"]:
        equal = "-" if row["at_equal_energy"] is None else f"{row['at_equal_energy']:+.3f}"
        ranked.add_row(row["proxy"], f"{row['spearman']:+.3f}", equal)
    print_table(ranked)
