"""What weights of fewer bits cost, before and after fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record


class AtWidth(Record):
    """The programs of one width."""

    accuracy: float | None
    """Mean accuracy on target, a fraction."""
    loss: float | None
    """Mean accuracy of the float networks less this one's, a fraction."""
    over_measurements: list[float | None] | None
    """95 % bootstrap interval of the loss over networks and fine-tunings, low and high; null: one measurement."""
    over_samples: list[float | None] | None
    """95 % bootstrap interval of the loss over test samples, low and high."""


class WidthRow(Record):
    """What one width costs."""

    bits: int | None
    """Bits of a weight."""
    measurements: int | None
    """Networks times fine-tunings."""
    float_: float | None = Field(alias="float")
    """Mean accuracy of the float networks, a fraction."""
    compiled: AtWidth | None
    """The programs as they are compiled."""
    finetuned: AtWidth | None
    """The programs fine-tuned."""
    weights_changed: float | None
    """Mean share of the stored weights that fine-tuning changed."""
    seconds: float | None
    """Mean seconds of a fine-tuning."""


class BitsProvenance(Record):
    """``provenance`` of ``BitsStudy``."""

    float_: str | None = Field(alias="float")
    """Of the float networks."""
    compiled: str | None
    """Of the programs as compiled."""
    finetuned: str | None
    """Of the programs fine-tuned."""


class BitsStudy(Document):
    """What weights of fewer bits cost, before and after fine-tuning."""

    printed_by = ("bench bits",)

    schema_: Literal["snnas.bench.bits/1"] = Field(alias="schema")
    dataset: str | None
    """Data set of new networks: a name, or a path."""
    widths: list[int | None] | None
    """Bits of a weight that are measured."""
    seeds: int | None
    """New networks, or fine-tunings of each given run."""
    epochs: int | None
    """Epochs of a fine-tuning."""
    rate: float | None
    """Learning rate of a fine-tuning."""
    train: int | None
    """Training samples taken; 0: all."""
    test: int | None
    """Test samples taken; 0: all."""
    seed: int | None
    """The first seed."""
    draws: int | None
    """Draws of the bootstrap."""
    runs: list[str | None] | None
    """Names of the runs."""
    table: list[WidthRow | None] | None
    """By width."""
    gate: float | None
    """The largest loss that passes, a fraction, at 4 bits after fine-tuning."""
    good: bool | None
    """Whether the gate is met."""
    provenance: BitsProvenance | None
    """Of each figure: measured or simulated."""
