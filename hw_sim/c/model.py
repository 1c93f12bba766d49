"""What has to be known of a model in C to build and run it, whatever wrote it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class CModel:
    """A model.h and a model.c, and the shapes of what goes in and comes out."""

    header: str
    source: str
    timesteps: int
    classes: int
    frame: int
    """Values of a frame."""
    value: type[np.uint8] | type[np.int16]
    """Of a frame: spikes, or currents."""
    words: tuple[int, ...]
    """32-bit words of each population's spikes, in the order in which they run."""
    floats: bool = False
    """Whether it computes with floats, for which a core without a unit has its compiler's runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a model did. spikes: uint32 (B, T, words of all populations); logits: int64 (B, classes)."""

    spikes: np.ndarray
    logits: np.ndarray


def decoded(model: CModel, raw: bytes, samples: int) -> Ran | None:
    """What a traced run wrote: per sample the spikes of each timestep, then the logits; None where it is cut."""
    spikes = model.timesteps * sum(model.words)
    each = spikes + 2 * model.classes
    if len(raw) != 4 * each * samples:
        return None
    both = np.frombuffer(raw, "<u4").reshape(samples, each)
    logits = np.ascontiguousarray(both[:, spikes:]).view("<i8")
    return Ran(spikes=both[:, :spikes].reshape(samples, model.timesteps, -1), logits=logits)
