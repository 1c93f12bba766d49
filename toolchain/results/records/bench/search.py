"""The search against a straightforward loop."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Document
from snnas.toolchain.results.records.bench.setting import LoopSetting


class SearchSetting(LoopSetting):
    """``setting`` of ``SearchBench``."""

    data: str
    """Data set: a name, or a path."""


class SearchBench(Document):
    """The search against a straightforward loop."""

    printed_by = ("bench search",)

    schema_: Literal["snnas.bench.search/1"]
    ratio_feedforward: float
    """How many times faster than the loop, feed-forward cell."""
    seconds_feedforward: float
    """CPU seconds of snnas, feed-forward cell."""
    baseline_seconds_feedforward: float
    """CPU seconds of the loop, feed-forward cell."""
    evaluations_feedforward: int
    """Evaluations of a search, feed-forward cell."""
    silent_layers_feedforward: int
    """Layers that fire nothing, feed-forward cell."""
    firing_feedforward: list[float]
    """Firing rates by layer, feed-forward cell."""
    ratio_recurrent: float
    """How many times faster than the loop, recurrent cell."""
    seconds_recurrent: float
    """CPU seconds of snnas, recurrent cell."""
    baseline_seconds_recurrent: float
    """CPU seconds of the loop, recurrent cell."""
    evaluations_recurrent: int
    """Evaluations of a search, recurrent cell."""
    silent_layers_recurrent: int
    """Layers that fire nothing, recurrent cell."""
    firing_recurrent: list[float]
    """Firing rates by layer, recurrent cell."""
    max_score_difference: float
    """Largest difference of two scores."""
    tolerance: float
    """Largest difference that counts as equal."""
    same_genotype: bool
    """Whether both sides found the same genotype."""
    gates: dict[str, float]
    """The gates, by kind of cell."""
    good: bool
    """Whether every gate was reached."""
    setting: SearchSetting
    """What was measured on."""
