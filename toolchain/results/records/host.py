"""The host stage in integers."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import AboveZero, Count, Fraction, OrAbsent, Positive, Record


class HostStage(Record):
    """``host`` of ``Report``: what computing the layers before the first neuron in integers changes."""

    arithmetic: Literal["int"]
    """int16 weights on uint8 pixels, sums of 32 bits, rounded half up."""
    step: AboveZero
    """What one unit of a pixel stands for."""
    zero: Count
    """The pixel that stands for 0."""
    finer: OrAbsent[list[Count]] = None
    """By channel of the input: how often its step is halved; absent where all have the same."""
    shifts: dict[str, Count]
    """By population: by how many bits a sum is shifted, rounded, to be a current."""
    recorded_samples: Positive
    """Samples whose currents and spikes were compared."""
    currents: Count
    """Injected currents that were compared with those of a float host."""
    differing_currents: Count
    """Of them, those that differ."""
    spikes: Count
    """Spikes that were compared."""
    differing_spikes: Count
    """Of them, those that differ."""
    samples: Positive
    """Samples whose predictions were compared."""
    differing_predictions: Count
    """Of them, those that differ."""
    accuracy_of_floats: Fraction
    """Accuracy on target with a float host, in 0..1."""
