"""Training steps against a straightforward loop."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Document
from snnas.toolchain.results.records.bench.setting import LoopSetting


class TrainSetting(LoopSetting):
    """``setting`` of ``TrainBench``."""

    hidden: int
    """Neurons of the classifier."""
    cell: dict[str, str]
    """The cell trained: operation by edge."""
    recurrent_cell: str
    """What the recurrent cell holds besides."""
    peak_bytes: str
    """Bytes that autograd keeps for the backward pass."""


class TrainBench(Document):
    """Training steps against a straightforward loop."""

    printed_by = ("bench train",)

    schema_: Literal["snnas.bench.train/1"]
    ratio_feedforward: float
    """How many times faster than the loop, feed-forward cell."""
    seconds_feedforward: float
    """CPU seconds of snnas, feed-forward cell."""
    baseline_seconds_feedforward: float
    """CPU seconds of the loop, feed-forward cell."""
    images_per_s_feedforward: float
    """Images per second, feed-forward cell."""
    baseline_images_per_s_feedforward: float
    """Images per second of the loop, feed-forward cell."""
    peak_bytes_feedforward: int
    """Bytes kept for the backward pass, feed-forward cell."""
    baseline_peak_bytes_feedforward: int
    """Bytes the loop keeps, feed-forward cell."""
    loss_difference_feedforward: float
    """Difference of the losses, feed-forward cell."""
    loss_difference_as_timed_feedforward: float
    """The same with the options that were timed."""
    ratio_recurrent: float
    """How many times faster than the loop, recurrent cell."""
    seconds_recurrent: float
    """CPU seconds of snnas, recurrent cell."""
    baseline_seconds_recurrent: float
    """CPU seconds of the loop, recurrent cell."""
    images_per_s_recurrent: float
    """Images per second, recurrent cell."""
    baseline_images_per_s_recurrent: float
    """Images per second of the loop, recurrent cell."""
    peak_bytes_recurrent: int
    """Bytes kept for the backward pass, recurrent cell."""
    baseline_peak_bytes_recurrent: int
    """Bytes the loop keeps, recurrent cell."""
    loss_difference_recurrent: float
    """Difference of the losses, recurrent cell."""
    loss_difference_as_timed_recurrent: float
    """The same with the options that were timed."""
    ratio: float
    """How many times faster than the loop; the lower of both cells."""
    seconds: float
    """Seconds of wall clock."""
    baseline_seconds: float
    """Seconds of the loop, both cells."""
    images_per_s: float
    """Images per second, both cells."""
    baseline_images_per_s: float
    """Images per second of the loop, both cells."""
    peak_bytes: int
    """Bytes that autograd keeps for the backward pass."""
    baseline_peak_bytes: int
    """Bytes the loop keeps."""
    loss_difference: float
    """The larger difference of the losses."""
    tolerance: float
    """Largest difference that counts as equal."""
    gate: float
    """The gate."""
    aim: float
    """The aim above the gate."""
    good: bool
    """Whether every gate was reached."""
    setting: TrainSetting
    """What was measured on."""
