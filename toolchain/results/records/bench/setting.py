"""What both comparisons with a straightforward loop say of how they measured."""

from __future__ import annotations

from snnas.toolchain.results.record import Record


class LoopSetting(Record):
    """What was measured on, and how."""

    channels: list[int]
    """Channels of the first cell, or of each cell."""
    pixels: int
    """Side of the images."""
    batch: int
    """Samples per batch."""
    timesteps: int
    """T, timesteps per sample."""
    seed: int
    """The one seed that every draw comes from."""
    turns: int
    """How often both sides ran, in turns."""
    threads: int
    """Threads."""
    clock: str
    """What was timed."""
