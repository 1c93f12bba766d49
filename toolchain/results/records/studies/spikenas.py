"""Proxies against spikenas-bench."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snnas.toolchain.results.record import Document, Record


class ProxyRank(Record):
    """How one proxy ranks the rows."""

    spearman: float
    """Spearman's rank correlation."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    kendall: float
    """Kendall's tau."""
    spearman_one_seed: float
    """Mean of the rank correlations of single seeds."""
    top5pct_mean: float
    """Mean test accuracy, in percent, of the five percent ranked highest."""
    seconds: float
    """Seconds of wall clock."""


class MethodPick(Record):
    """The architecture that one method would pick."""

    test_acc: float
    """Test accuracy, in percent."""
    ops: str
    """Operations, one digit per edge."""
    seconds: float
    """Seconds of wall clock."""


class Margin(Record):
    """A 95 % interval of a difference."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""


class RankGate(Record):
    """``gate`` of ``SpikenasStudy``."""

    proxy: str
    """What the gate is of."""
    margin_over: dict[str, Margin]
    """95 % interval of its rank correlation less that of each baseline, by name."""
    passed: bool
    """Whether it was reached."""


class SpikenasStudy(Document):
    """Proxies against SpikeNAS-Bench."""

    printed_by = ("bench spikenas",)

    schema_: Literal["snnas.bench.spikenas/1"] = Field(alias="schema")
    rows: int
    """Rows."""
    seeds: int
    """How many seeds."""
    channels: int
    """Channels of the first cell, or of each cell."""
    batch: int
    """Samples per batch."""
    size: int
    """Images are averaged down to this width."""
    epochs: int
    """Epochs of training."""
    seed: int
    """The one seed that every draw comes from."""
    draws: int
    """How many draws."""
    gradients: bool
    """Whether proxies that need a backward pass were measured."""
    rows_in_table: int
    """Rows of the table."""
    rows_without_a_path: int
    """Rows left out, for lack of a path from input to output."""
    proxies: dict[str, ProxyRank]
    """How each proxy ranks the rows."""
    methods: dict[str, MethodPick]
    """The architecture that each method would pick."""
    gate: RankGate
    """The gate."""
