"""Methods and proxies against a table of networks on target."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Document, Record


class DeployBest(Record):
    """``best`` of ``DeployBudget``."""

    cell: str
    """A digit per forward edge: 0 zeroize, 1 skip, 2 conv3x3."""
    channels: int
    """Of its cell."""
    timesteps: int
    """T."""
    accuracy: float
    """On target, the mean over the seeds on their test samples."""


class DeployMethod(Record):
    """One row of ``methods`` of ``DeployBudget``."""

    method: str
    """Its name."""
    games: int
    """Searches that took a network within the budget."""
    regret: float | None
    """What the best network within the budget is ahead by, in 0..1; the mean over the games. None without a game."""
    low: float | None
    """Its 95 % interval; None of fewer than five games."""
    high: float | None
    """Its 95 % interval."""


class DeployBudget(Record):
    """One row of ``budgets`` of ``DeployBench``."""

    energy_uJ: float
    """The limit, upper end of the band, per inference."""
    networks: int
    """How many keep it."""
    best: DeployBest
    """The best of these."""
    methods: list[DeployMethod]
    """What each way to choose a network loses."""


class DeployProxy(Record):
    """One row of ``proxies`` of ``DeployBench``."""

    proxy: str
    """Its name."""
    spearman: float
    """With accuracy on target, over all networks."""
    at_equal_energy: float | None
    """The same within bands of nominal energy, their mean by size; None where no band has eight networks."""


class DeployBench(Document):
    """Methods and proxies against a table of networks on target."""

    printed_by = ("bench deploy",)

    schema_: Literal["snnas.bench.deploy/2"]
    table: str
    """The file."""
    networks: int
    """Of the table."""
    seeds: int
    """Trainings of each."""
    epochs: int
    """Of each training."""
    trainings: int
    """Short trainings of a search."""
    games: int
    """Searches of a kind at a budget."""
    seed: int
    """The one seed of all draws."""
    budgets: list[DeployBudget]
    """By budget."""
    proxies: list[DeployProxy]
    """What ranks accuracy on target; the best at equal energy first."""
