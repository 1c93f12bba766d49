"""Mse-nas's fitness against trained accuracies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record


class Correlation(Record):
    """Rank correlation with the trained accuracy, with its 95 % interval."""

    kendall: float
    """Kendall's tau."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


class AccuracySpread(Record):
    """``accuracy`` of ``MseNasStudy``."""

    low: float
    """Lower end."""
    mean: float
    """Mean over the samples."""
    high: float
    """Upper end."""


class GenomeRow(Record):
    """One genome."""

    key: str
    """Hash of the settings."""
    architecture: str
    """Content hash of the genotype."""
    motifs: list[str]
    """Motifs."""
    fan_in: int
    """Inputs of every cell."""
    per_neuron: float | None
    """Fitness per neuron; null: not finite."""
    total: float
    """Sum of the priced parts."""
    sahd: float | None
    """SAHD score; null: minus infinity."""
    parameters: int
    """How many weights of the deployed network."""
    depth: int
    """Hardware steps from the first population to the last."""
    silent_layers: int
    """Layers that fire nothing on the batch."""
    accuracy: float
    """Accuracy, 0..1."""


class MseNasStudy(Document):
    """MSE-NAS's fitness against trained accuracies."""

    printed_by = ("bench mse-nas",)

    schema_: Literal["snnas.bench.mse_nas/1"] = Field(alias="schema")
    dataset: str
    """Data set: a name, or a path."""
    genomes: int
    """How many genomes."""
    epochs: int
    """Epochs of training."""
    channels: int
    """Channels of the first cell, or of each cell."""
    cells: int
    """Cells."""
    timesteps: int
    """T, timesteps per sample."""
    batch: int
    """Samples per batch."""
    seed: int
    """The one seed that every draw comes from."""
    draws: int
    """How many draws."""
    measures: dict[str, Correlation]
    """Rank correlation with the trained accuracy, by measure."""
    accuracy: AccuracySpread
    """Accuracy, 0..1."""
    motifs: dict[str, float]
    """Motifs."""
    seconds: float
    """Seconds of wall clock."""
    rows: list[GenomeRow]
    """Rows."""
