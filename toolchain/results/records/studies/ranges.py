"""Proved register ranges under attack."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record


class Reached(Record):
    """Share of a bound that was reached."""

    mean: float
    """Over the attacked neurons."""
    least: float
    """Of any of them."""


class Gap(Record):
    """How far the attacks stayed from a bound."""

    mean: float
    """Over the attacked neurons."""
    largest: float
    """Of any of them."""


class AttackedNetwork(Record):
    """One program under attack."""

    name: str
    """Name or file of the program."""
    populations: int
    """Its populations."""
    neurons: int
    """Its neurons, gates included."""
    timesteps: int
    """Timesteps per sample."""
    period: int
    """Hardware steps per timestep."""
    proved: int
    """Populations whose ranges are proved."""
    seconds_proof: float
    """Seconds of the proof."""
    inputs: int
    """Inputs it was attacked with."""
    counterexamples: int
    """Inputs that took a register beyond its bound."""
    reached_a: Reached
    """Share of the bounds of a that was reached."""
    reached_u: Reached
    """Share of the bounds of u that was reached."""
    reached_v_low: Reached
    """Share of v's lower bound that was reached."""
    gap_v_high: Gap
    """How far below v's upper bound the attacks ended, in thresholds."""


class RangesStudy(Document):
    """Proved register ranges under attack."""

    printed_by = ("bench ranges",)

    schema_: Literal["snnas.bench.ranges/1"] = Field(alias="schema")
    seed: int
    """The one seed that every draw comes from."""
    inputs: int
    """Inputs in all."""
    counterexamples: int
    """Inputs that took a register beyond its bound; 0 expected."""
    populations: int
    """Populations of all programs."""
    proved: int
    """Populations whose ranges are proved."""
    seconds_proof: float
    """Seconds of all proofs."""
    seconds: float
    """Seconds of everything."""
    networks: list[AttackedNetwork]
    """Each program."""
