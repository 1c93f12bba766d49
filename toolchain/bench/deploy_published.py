"""The published methods' rules of choice, played on a table of networks on target.

What is played is the rule by which a method chooses a cell, on the table's space; not the method's own space, widths,
training or budget. The papers leave width and T to the user: a rule takes a cell at each of the table's widths and
timesteps, what it took is trained, and the samples that judge decide between the widths and timesteps. So each rule
has as many trainings as the table has settings, and one seed's scores.

    lightsnn      the cell that its pruning ends with, guards and all (the column 'lightsnn'); known before the budget
                  is: a setting where it is over the budget drops out
    snasnet       the best SAHD of the cells whose edge 0->3 is live; its 5,000 draws meet every one of so few
    spikenas      the best SAHD of the cells without an empty edge, of equal ones the fewest parameters
    mse_nas       the best RDM, its fitness: an evolution of 5,000 genomes meets every one of so few. Its genomes of
                  motifs are no cells of this table
    random cell   a cell at random in the place of the rule: what the trainings alone are worth
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

from snnas.toolchain.bench.deploy_table import OPS, Name, Row, Table
from snnas.toolchain.data.seeds import stream

# What a rule takes at one width and T: of the networks that keep the budget, by the rows of the game's seed.
Rule = Callable[[Table, Sequence[Name], int], Name | None]


def play(table: Table, within: Sequence[Name], rule: Rule, game: int) -> Name | None:
    """The network that ``rule`` comes to with the scores and judges of seed number ``game``; None where it has none."""
    seed = table.seeds[game % len(table.seeds)]
    settings: dict[tuple[int, int], list[Name]] = {}
    for name in within:
        settings.setdefault(name[1:], []).append(name)
    found = (rule(table, names, game) for _, names in sorted(settings.items()))
    taken = [name for name in found if name is not None]
    return max(taken, key=lambda name: (table.rows[name][seed]["target_val"], -_energy(table, name)), default=None)


def rules(draws: int) -> dict[str, Rule]:
    """The rules by name; draws: the seed of the random cells."""
    return {
        "lightsnn": _best(lambda row: row["lightsnn"], "lightsnn", least=1.0),
        "snasnet": _best(lambda row: row["sahd"], "snasnet"),
        "spikenas": _best(lambda row: (row["sahd"], -row["parameters"]), "spikenas"),
        "mse_nas": _best(lambda row: row["rdm"], "lightsnn"),
        "random cell": lambda table, names, game: names[
            int(stream(draws, f"cell {game} {names[0][1:]}").integers(len(names)))
        ],
    }


def _best(score: Callable[[Row], Any], space: str, least: float | None = None) -> Rule:
    """The cell of ``space`` with the best score, of equal ones the cheapest; least: what it has to have."""

    def rule(table: Table, names: Sequence[Name], game: int) -> Name | None:
        seed = table.seeds[game % len(table.seeds)]
        there = [name for name in names if _form(table, name) in _forms(space)]
        if least is not None:
            there = [name for name in there if score(table.rows[name][seed]) >= least]
        return max(there, key=lambda name: (score(table.rows[name][seed]), -_energy(table, name)), default=None)

    return rule


@cache
def _forms(space: str) -> frozenset[Hashable]:
    """The functions of the valid cells of a named space that convolutions 3 x 3, skips and no operation can make."""
    from snnas.search.network.functional import form
    from snnas.search.network.genotype import FORWARD_EDGES, Cell
    from snnas.search.network.space import get

    of = get(space)
    ops = [op for op in of.ops if op in OPS]
    every = (Cell(forward) for forward in itertools.product(ops, repeat=len(FORWARD_EDGES)))
    return frozenset(form(Cell.of(cell.live())) for cell in every if of.valid(cell))


def _form(table: Table, name: Name) -> Hashable:
    from snnas.search.network.functional import form

    return form(table.designs[name].cells[0])


def _energy(table: Table, name: Name) -> float:
    return table.mean(name, "energy_high_uJ")
