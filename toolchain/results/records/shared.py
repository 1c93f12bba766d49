"""Parts of several documents: bands, means over samples, register ranges, what a graph's numbers mean."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import AboveZero, Amount, Count, Document, Interval, OrAbsent, Positive, Record

InputKind = Literal["analogue", "spikes", "counts"]
Role = Literal["neuron", "or", "relay"]
Stage = Literal["begun", "searched", "trained", "exported", "failed", "damaged"]


class Band(Record):
    """A range of an estimate."""

    low: float
    """Lower end."""
    nominal: float
    """Nominal value."""
    high: float
    """Upper end."""


class BandOrNone(Record):
    """A range; all three null where there is none."""

    low: float | None
    """Lower end."""
    nominal: float | None
    """Nominal value."""
    high: float | None
    """Upper end."""


class LatencyOverSamples(Record):
    """Latency of single samples, nominal constants."""

    mean: float
    """Microseconds of one inference."""
    p95: float
    """The 95th percentile."""
    samples: Positive
    """How many were timed."""


class SampleMean(Record):
    """A mean over samples."""

    mean: float
    """Mean over the samples."""
    interval: Interval
    """95 % interval, low and high."""


class MeanOrAssumed(Record):
    """A mean over samples, or what follows from an assumed rate."""

    mean: float
    """Mean over the samples."""
    interval: Interval | None
    """95 % interval, low and high."""


class TargetAccuracy(Record):
    """Accuracy, 0..1."""

    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    interval: Interval
    """95 % interval, low and high."""
    samples: int
    """How many samples."""
    balanced: OrAbsent[float] = None
    """Where classes are uneven: mean over the classes of each one's accuracy."""


class Silence(Record):
    """Whether a run measured anything."""

    silent: list[str]
    """Populations that never fired on any sample, in order."""
    populations: Count
    """How many were watched."""
    ties: Count
    """Samples whose largest answer is that of several classes."""
    samples: Count
    """How many samples."""
    constant: bool
    """Whether all samples, two at least, have the same answers."""
    cause: str | None
    """The likely cause, with its mend; null where none is known."""
    options: str | None
    """Options of the command line that are worth trying: '--dt 1'; null where none is known."""
    no_measurement: str | None
    """Why an accuracy of these answers says nothing; null where it is a measurement."""


class Schedule(Record):
    """When what is computed."""

    period: int
    """Hardware steps per timestep."""
    depth: int
    """Hardware steps from the first population to the last."""


class Bound(Record):
    """What a register may hold, or of an observed range what was seen in it."""

    low: int
    """Lower end; of a in weight units, of u and v in 1/64 of them."""
    high: int
    """Upper end, in the same unit."""
    limit: int
    """Largest magnitude that the register holds."""
    margin: Amount
    """Share of the register that is used; above 1 some input may overflow it."""


class Range(Record):
    """Registers of a population."""

    status: Literal["proved", "observed", "unproved"]
    """proved: no input can leave the ranges. observed: no proof covers it, and this was seen on samples. unproved:
    some input might overflow a register."""
    a: Bound
    """Synaptic input of one timestep."""
    u: Bound
    """Current, before it would wrap."""
    v: Bound
    """Membrane, before it would be clipped."""


class Convention(Record):
    """What the graph's numbers mean."""

    dt: AboveZero
    """Seconds per timestep."""
    decay: Literal["euler", "exact"]
    """The share of v that a timestep replaces: dt / tau (euler) or 1 - exp(-dt / tau) (exact)."""
    current: OrAbsent[str] = None
    """Whether a membrane sees the synaptic current of its timestep (now) or of the one before (late)."""
    compare: Literal[">", ">="]
    """A spike where v > or >= threshold."""
    reset: Literal["zero", "subtract", "late"]
    """What a spike does to the membrane: it goes to v_reset (zero), or loses the threshold, at once (subtract) or
    with the next timestep (late)."""
    readout: OrAbsent[str] = None
    """What of the output is the answer: its sum over the timesteps, its last or its largest value."""


class OfModel(Document):
    """What a result says first of the model that it is of, and of its samples. ``schema_`` stands in each document."""

    model: str
    """Path of the model."""
    model_sha256: str
    """Hash of the model's file."""
    data: str | None
    """Data set: a name, or a path."""
    samples: int
    """How many samples."""
    seed: int
    """The one seed that every draw comes from."""
    timesteps: int
    """T, timesteps per sample."""
    input_kind: InputKind
    """analogue, spikes or counts."""
    schedule: Schedule
    """When what is computed."""
    convention: str
    """What a graph's numbers mean: 'snnas', as our own metadata says; 'recorded', as a recording confirms; else
    'unverified'."""
    notes: list[str]
    """What was assumed or should be known, one sentence each."""
