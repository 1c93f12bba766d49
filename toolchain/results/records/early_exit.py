"""How early inferences may end."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Fraction, Interval, Positive, Record
from snnas.toolchain.results.records.shared import SampleMean


class EnergyLeft(Record):
    """``energy_uJ`` of ``EarlyExit``, nominal, in microjoules per inference."""

    whole: float
    """With all timesteps."""
    ending_early: float
    """With the early exit: the floor is shorter by the share of hardware steps left out, the rest as it was."""


class EarlyExit(Record):
    """``early_exit`` of ``Report``: when an inference ends, and what that saves. Other figures are of whole ones."""

    mode: Literal["exact", "confidence"]
    """exact: no spike can change the answer any more. confidence: the first class leads by a margin."""
    level: Fraction | None
    """Of a confidence: the share of answers that were to stay, on the samples it was chosen on; null of exact."""
    margin: Positive | None
    """Of a confidence: the lead, in the readout's units; null of exact."""
    chosen_on: Positive | None
    """Of a confidence: how many samples it was chosen on, none of them measured on; null of exact."""
    samples: Positive
    """How many samples were measured."""
    timesteps: SampleMean
    """Timesteps until the end."""
    of_timesteps: Positive
    """T."""
    early: Count
    """Samples that end before T."""
    hardware_steps: float
    """The mean in steps of the hardware, to the readout: timesteps x period + depth."""
    of_hardware_steps: Positive
    """The same of T."""
    changed: Count
    """Predictions that are others than after T timesteps; 0 of exact."""
    stay_interval: Interval
    """95 % Wilson interval of the share that stays."""
    accuracy: Fraction | None
    """Accuracy on target with the early exit, 0..1; null where the samples have no labels."""
    energy_uJ: EnergyLeft | None
    """What it saves of energy; null where the profile prices no floor."""
