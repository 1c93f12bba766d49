"""A run's cell, cross-validated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record


class WithInterval(Record):
    """A figure with its 95 % interval."""

    value: float
    """Value."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


class FoldsStudy(Document):
    """A run's cell, cross-validated."""

    printed_by = ("bench folds",)

    schema_: Literal["snnas.bench.folds/1"] = Field(alias="schema")
    run: str
    """Name of the run."""
    folds: int
    """How many folds."""
    recipe: str | None
    """Recipe of the training; null: the run's own."""
    epochs: int | None
    """Epochs of training."""
    profile: str
    """Name of the energy profile."""
    seed: int
    """The one seed that every draw comes from."""
    samples: int
    """How many samples."""
    accuracy: WithInterval
    """Accuracy, 0..1."""
    accuracy_on_target: WithInterval
    """Accuracy of the programs, 0..1, with its 95 % interval."""
    sar: float
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    spikes: float
    """Spikes of one inference."""
    synops: float
    """Synaptic operations of one inference."""
    energy_low: float | None
    """uJ per inference, lower end."""
    energy: float | None
    """uJ per inference."""
    energy_high: float | None
    """uJ per inference, upper end."""
    by_fold: list[float]
    """Accuracy of each fold, 0..1."""
