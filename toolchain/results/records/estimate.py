"""What a program would cost on a chip."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Interval, OrAbsent, Record
from snnas.toolchain.results.records.shared import (
    Band,
    LatencyOverSamples,
    MeanOrAssumed,
    OfModel,
    Silence,
    TargetAccuracy,
)


class Utilisation(Record):
    """How full the cores are in one resource."""

    limit: int | None
    """The limit; null: none is public."""
    mean: float | None
    """Mean over the samples."""
    highest: float | None
    """Of the fullest core, 0..1."""
    used: int
    """Of the whole chip, in its own unit."""
    binds: int
    """What limits it."""


class Hops(Record):
    """``hops`` of ``Fit``."""

    before: float
    """Hops before the placement search."""
    after: float
    """Hops after it."""
    crossings_before: float
    """Chip crossings before the placement search."""
    crossings_after: float
    """Chip crossings after it."""
    weights: str
    """How many weights, or what weights the hops."""


class Memory(Record):
    """``microcontroller`` of ``Fit``: what the C takes, estimated without a compiler."""

    flash_bytes: Count
    """Code and constants."""
    flash_limit: Count
    """Bytes of flash that the system has."""
    ram_bytes: Count
    """One instance and the deepest stack, beside the caller's frame."""
    ram_limit: Count
    """Bytes of memory that the system has."""


class Fit(Record):
    """``fit`` of ``Estimate``."""

    system: str
    """Name of the system."""
    fits: bool
    """Whether it fits."""
    cores: int | None
    """Cores used."""
    chips: int | None
    """Chips of the system."""
    chips_used: int | None
    """Chips that hold a part of the program."""
    binds: str | None
    """What limits it."""
    utilisation: dict[str, Utilisation]
    """How full the cores are, by resource."""
    hops: Hops | None
    """Hops of the placement."""
    misfits: list[str]
    """What does not fit, one sentence each."""
    advice: list[str]
    """What would make it fit."""
    microcontroller: OrAbsent[Memory] = None
    """Flash and memory; left out of a chip of neurons."""


class Work(Record):
    """``work`` of ``Estimate``."""

    synops_per_inference: MeanOrAssumed
    """Synaptic operations of one inference."""
    host_macs: float
    """Multiplications of the host before the first neuron."""
    host_comparisons: float
    """Comparisons of an encoder of signals, on the host."""
    updates_active: float
    """Neuron updates with input or state."""
    updates_idle: float
    """Neuron updates without input or state."""
    messages: float
    """Spikes sent, one per spike and destination core."""
    hops_ew: float
    """Hops between tiles, east-west."""
    hops_ns: float
    """Hops between tiles, north-south."""
    crossings: float
    """Chip crossings."""
    neurobench: dict[str, float]
    """Under NeuroBench 2.3's names."""


class BillLine(Record):
    """One item of the bill."""

    part: Literal["encode", "dynamic", "floor"]
    """encode, dynamic or floor."""
    item: str
    """Constant of the profile."""
    count: float
    """How often it happened, per inference."""
    energy: Band
    """uJ per inference."""
    basis: str
    """What the constant rests on."""
    source: str
    """Where it comes from."""


class UnpricedItem(Record):
    """What happened and has no price."""

    item: str
    """Constant of the profile."""
    count: float
    """How often it happened, per inference."""


class Priced(Record):
    """Counts under one energy profile."""

    profile: str | None
    """Name of the energy profile."""
    evidence: str | None
    """The weakest basis among the constants used: measured > calibrated > simulated > derived > analytic."""
    banner: str
    """What this profile's figures leave out."""
    encode: Band | None
    """What the host does before the first neuron."""
    dynamic: Band | None
    """uJ per inference, dynamic part."""
    floor: Band | None
    """What the chips take while an inference lasts."""
    total: Band | None
    """Sum of the priced parts."""


class EnergyBill(Priced):
    """``energy_uJ`` of an estimate: the bill with all its items."""

    lines: list[BillLine]
    """The bill, item by item."""
    unpriced: list[UnpricedItem]
    """What happened and has no price in this profile; never counted as zero."""
    dynamic_interval: OrAbsent[Interval] = None
    """95 % bootstrap interval of the dynamic part over the samples, nominal constants, uJ."""


class UnderProfile(Priced):
    """The same counts under one of the shipped profiles."""

    profile: str  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower, and frozen
    """Name of the energy profile."""
    unpriced: list[str]
    """What happened and has no price in this profile; never counted as zero."""


class ComputeOnly(Record):
    """``compute_only`` of ``AnnComparison``."""

    snn_uJ: float
    """Arithmetic of the spiking network alone, uJ."""
    ann_uJ: float
    """Arithmetic of the ANN alone, uJ."""
    banner: str
    """What this profile's figures leave out."""


class AnnComparison(Record):
    """``ann`` of ``Estimate``."""

    ann_macs: int
    """Multiplications of an ANN of the same shape."""
    ann_macs_host: int
    """Multiplications before the first neuron."""
    synops: float
    """Synaptic operations of one inference."""
    synops_per_ann_mac: float | None
    """Synaptic operations per multiplication of the ANN, host stage left out."""
    spikes_per_synapse: float
    """Spikes that cross a synapse in one inference."""
    rate: float
    """Spikes per synapse and timestep."""
    break_even_rate: float
    """Below this rate a spiking network needs less arithmetic."""
    verdict: str
    """Whether the spikes pay, in a sentence."""
    sources: list[str]
    """Where the yardsticks come from."""
    provenance: str
    """measured, simulated, estimated or assumed, by figure."""
    shape_from: str
    """Whether the ANN's shape is the graph's or the program's."""
    compute_only: ComputeOnly
    """Arithmetic alone at 45 nm: not chip energy."""


class Estimate(OfModel):
    """Counts, fit, latency, energy band and the ANN of the same shape; of a network that does not fit, the fit
    alone.
    """

    printed_by = ("estimate",)

    schema_: Literal["snnas.estimate/1"]
    fit: Fit
    """How it fits on the system."""
    assumed_rate: float | None = None
    """The rate that --rate assumed; null: data was run."""
    accuracy: TargetAccuracy | None = None
    """Accuracy, 0..1."""
    silence: Silence | None = None
    """What never fired, and whether the accuracy is a measurement; null where no sample was run."""
    instructions: OrAbsent[Band] = None
    """Of one inference on a microcontroller; left out of a chip of neurons."""
    sar: OrAbsent[MeanOrAssumed] = None
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    sar_per_population: OrAbsent[dict[str, float]] = None
    """Spiking activity rate by population."""
    spikes_per_inference: OrAbsent[MeanOrAssumed] = None
    """Spikes of one inference, OR and relay neurons left out."""
    overhead_spikes_per_inference: OrAbsent[float] = None
    """Spikes of OR and relay neurons."""
    work: OrAbsent[Work] = None
    """What happens in one inference."""
    latency_us: Band | None
    """Microseconds of one inference at batch 1, of the mean load."""
    latency_samples_us: LatencyOverSamples | None = None
    """The same of single samples, nominal; null where no sample was run or nothing is timed."""
    throughput_per_s: Band | None = None
    """Inferences per second, back to back."""
    energy_uJ: EnergyBill | None
    """Microjoules per inference at batch 1."""
    profiles: list[UnderProfile] | None = None
    """The same counts under every shipped profile; null where it was not asked for."""
    ann: OrAbsent[AnnComparison] = None
    """The work of an ANN of the same shape."""
    provenance: OrAbsent[dict[str, str]] = None
    """measured, simulated, estimated or assumed, by figure."""
