"""Searched cells against random ones and a chain."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from snnas.toolchain.results.record import AboveZero, Count, Document, OrAbsent, Record


class ArmMeasured(Record):
    """One measurement."""

    arm: str | None
    """What was compared."""
    width: int | None
    """Channels of the first cell."""
    training: float | None
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float | None
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    dynamic: float | None
    """uJ per inference, dynamic part."""
    total: float | None
    """Sum of the priced parts."""
    sar: float | None
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    neurons: float | None
    """How many neurons."""
    cores: float | None
    """Cores used."""


class PairedDifference(Record):
    """Accuracy less that of another arm, paired by seed."""

    mean: float | None
    """Mean of the differences; null: fewer than two seeds."""
    low: float | None
    """Lower end of their 95 % interval."""
    high: float | None
    """Upper end."""
    seeds: Count
    """How many seeds have both."""


class ArmMean(Record):
    """One arm."""

    on_target: float | None
    """Mean accuracy on the integer program, 0..1; null: no seed has one there."""
    seeds: Count
    """How many seeds."""
    minus_chain: OrAbsent[PairedDifference] = None
    """Accuracy less that of the chain, paired by seed; absent: it is that one."""
    minus_random: OrAbsent[PairedDifference] = None
    """Accuracy less that of random cells, paired by seed; absent: it is that one."""


class AtEqualEnergy(Record):
    """Every arm where one inference costs the same."""

    uJ: AboveZero
    """Microjoules of one inference, at which accuracies are interpolated."""
    __pydantic_extra__: dict[str, ArmMean]
    """The other fields: by arm, how it does."""
    model_config = ConfigDict(extra="allow")


class WorthStudy(Document):
    """Searched cells against random ones and a chain."""

    printed_by = ("bench worth",)

    schema_: Literal["snnas.bench.worth/1"] = Field(alias="schema")
    dataset: str | None
    """Data set: a name, or a path."""
    widths: list[int | None] | None
    """Channels of the first cell, ascending."""
    seeds: int | None
    """How many seeds."""
    random: int | None
    """Random valid cells per seed."""
    epochs: int | None
    """Epochs of training."""
    timesteps: int | None
    """T, timesteps per sample."""
    hidden: int | None
    """Neurons of the classifier."""
    train: int | None
    """Training samples taken; 0: all."""
    test: int | None
    """Test samples taken; 0: all."""
    seed: int | None
    """The one seed that every draw comes from."""
    draws: int | None
    """How many draws."""
    profile: str | None
    """Name of the energy profile."""
    arms: list[ArmMeasured | None] | None
    """One measurement each."""
    equal_width: dict[str, dict[str, ArmMean]]
    """By width, then by arm: how it does, and its paired differences."""
    equal_energy: dict[str, AtEqualEnergy]
    """By part of the energy, then by arm: how it does where one inference costs the same."""
