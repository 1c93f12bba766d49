"""What a program did on samples."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import OrAbsent, Record
from snnas.toolchain.results.records.c import CExport
from snnas.toolchain.results.records.shared import OfModel, Range, Role, SampleMean, Silence, TargetAccuracy


class PopulationDone(Record):
    """What one population did."""

    id: str
    """Name of the population."""
    role: Role
    """neuron, or (what the target needs besides) or, relay."""
    shape: list[int]
    """C, H, W."""
    neurons: int
    """How many neurons."""
    spikes_per_inference: float
    """Spikes of one inference, OR and relay neurons left out."""
    sar: float
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""


class Decision(Record):
    """How soon the program's answer is the one at the end, and stays."""

    timesteps: SampleMean
    """Timesteps, from 1."""
    p95: float
    """Timesteps that 95 % of the samples need at the most."""
    hardware_steps: float
    """The mean in steps of the hardware, to the readout: timesteps x period + depth."""


class EarlyExitDone(Record):
    """Where inferences end by the program's rule; every other figure is of whole ones."""

    mode: Literal["exact", "confidence"]
    """exact: no spike can change the answer any more. confidence: the first class leads by a margin."""
    level: float | None
    """Of a confidence: the share of answers that were to stay, where it was chosen; null of exact."""
    timesteps: SampleMean
    """Timesteps until the end."""
    hardware_steps: float
    """The mean in steps of the hardware, to the readout: timesteps x period + depth."""
    early: int
    """Samples that end before T."""
    changed: int
    """Predictions that are others than after T timesteps; 0 of exact."""
    accuracy: TargetAccuracy | None
    """Accuracy with the early exit, 0..1."""


class Stream(Record):
    """The same samples one after the other, without a reset of the neurons between them."""

    row: int
    """Samples in a row; each row begins from rest."""
    samples: int
    """How many samples: full rows."""
    accuracy: TargetAccuracy | None
    """Accuracy, 0..1."""
    changed: int
    """Predictions that are others than with a reset before each sample."""
    decision: Decision
    """How soon the answer stays, from the sample's first timestep."""


class Simulation(OfModel):
    """What a program did on samples."""

    printed_by = ("simulate",)

    schema_: Literal["snnas.simulate/1"]
    accuracy: TargetAccuracy | None
    """Accuracy, 0..1."""
    silence: OrAbsent[Silence] = None
    """What never fired, and whether the accuracy is a measurement."""
    decision: OrAbsent[Decision] = None
    """How soon the answer stays; of readouts that sum spikes."""
    early_exit: OrAbsent[EarlyExitDone] = None
    """Of a program that was exported with --early-exit."""
    stream: OrAbsent[Stream] = None
    """Without a reset between samples, with --stream."""
    sar: SampleMean
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    spikes_per_inference: SampleMean
    """Spikes of one inference, OR and relay neurons left out."""
    overhead_spikes_per_inference: float
    """Spikes of OR and relay neurons."""
    synops_per_inference: SampleMean
    """Synaptic operations of one inference."""
    populations: list[PopulationDone]
    """Populations."""
    weight_bits: int
    """Bits of a weight."""
    ranges: dict[str, Range]
    """Which integers can occur, by population."""
    c: OrAbsent[CExport] = None
    """Of an export to C: its run here and on emulated cores."""
    provenance: Literal["simulated"]
    """What every figure here is."""
