"""Accuracy under disturbances."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, OrAbsent, Record


class CurvePoint(Record):
    """Accuracy at one strength."""

    strength: float
    """Strength of the disturbance."""
    training: float
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    training_lowest: OrAbsent[float] = None
    """The lowest of the draws, float network."""
    on_target_lowest: OrAbsent[float] = None
    """The lowest of the draws, on target."""


class RobustnessStudy(Document):
    """Accuracy under disturbances."""

    printed_by = ("bench robustness",)

    schema_: Literal["snnas.bench.robustness/1"] = Field(alias="schema")
    run: str
    """Name of the run."""
    samples: int
    """How many samples."""
    draws: int
    """How many draws."""
    seed: int
    """The one seed that every draw comes from."""
    training: float
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    curves: dict[str, list[CurvePoint]]
    """Accuracy by strength, for each kind of disturbance."""
    provenance: dict[str, str]
    """measured, simulated, estimated or assumed, by figure."""
