"""The report of an export: the figures of a deployment, each training beside on target."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import (
    Amount,
    Count,
    Document,
    Fraction,
    Interval,
    OrAbsent,
    Positive,
    Record,
    Sha256,
)
from snnas.toolchain.results.records.c import CExport
from snnas.toolchain.results.records.early_exit import EarlyExit
from snnas.toolchain.results.records.host import HostStage
from snnas.toolchain.results.records.shared import (
    BandOrNone,
    Convention,
    InputKind,
    LatencyOverSamples,
    Range,
    Schedule,
    Silence,
)


class SearchDone(Record):
    """``search`` of ``Report``."""

    seconds: float | None
    """Seconds of wall clock."""
    evaluations: int | None
    """Evaluations of the search."""
    device: str | None
    """Device of the search."""
    architecture: str | None
    """Content hash of the genotype."""


class Accuracies(Record):
    """``accuracy`` of ``Report``."""

    training: float | None
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    nir: float | None
    """Accuracy of the file run by NumPy, 0..1."""
    on_target: float | None
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    samples: int
    """How many samples."""
    interval: Interval | None
    """95 % interval, low and high."""
    flips: int
    """Predictions that differ."""
    flips_to_wrong: int | None
    """Predictions that were right in the float network, and are not on target."""
    flips_to_right: int | None
    """Predictions that are right on target alone."""
    balanced_training: OrAbsent[Fraction] = None
    """Where classes are uneven: mean over the classes of each one's accuracy, in the float network."""
    balanced_on_target: OrAbsent[Fraction] = None
    """The same on the integer program."""
    agreement: OrAbsent[Fraction] = None
    """Samples without labels: share of predictions on target that are the float network's."""


class PopulationRate(Record):
    """Spiking activity of one population."""

    training: float | None
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    neurons: int
    """How many neurons."""


class ActivityRates(Record):
    """``sar`` of ``Report``."""

    training: float
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    lightsnn: float
    """As the released code of LightSNN measures it: one batch."""
    per_population: dict[str, PopulationRate]
    """By population."""


class SpikeCounts(Record):
    """``spikes_per_inference`` of ``Report``."""

    training: float
    """In the float network: a fraction, 0..1 (a count where it is spikes)."""
    on_target: float
    """On the integer program: a fraction, 0..1 (a count where it is spikes)."""
    overhead: float
    """Spikes of OR and relay neurons."""


class Energy(Record):
    """``energy_uJ`` of ``Report``."""

    profile: str
    """Name of the energy profile."""
    evidence: Literal["measured", "calibrated", "simulated", "derived", "analytic"] | None
    """The weakest basis among the constants used: measured > calibrated > simulated > derived > analytic."""
    unpriced: list[str]
    """What happened and has no price in this profile; never counted as zero."""
    encode: BandOrNone
    """What the host does before the first neuron."""
    dynamic: BandOrNone
    """uJ per inference, dynamic part."""
    floor: BandOrNone
    """What the chips take while an inference lasts."""
    total: BandOrNone
    """Sum of the priced parts."""


class Resources(Record):
    """``resources`` of ``Report``."""

    parameters: int
    """How many weights of the deployed network."""
    neurons: int
    """How many neurons."""
    overhead_neurons: int
    """OR and relay neurons."""
    synapses: int
    """How many synapses, connections counted one by one."""
    cores: int
    """Cores used."""
    chips: int
    """Chips of the system."""
    weight_bits: int
    """Bits of a weight."""
    fits: bool
    """Whether it fits."""
    misfits: list[str]
    """What does not fit, one sentence each."""


class Relays(Record):
    """``relays`` of ``ScheduleWithRelays``."""

    populations: int
    """Populations."""
    neurons: int
    """How many neurons."""
    spikes_per_inference: float
    """Spikes of one inference, OR and relay neurons left out."""
    synops_per_inference: float
    """Synaptic operations of one inference."""


class SilenceOfBoth(Record):
    """``silence`` of ``Report``."""

    training: Silence
    """Of the float network."""
    on_target: Silence
    """Of the program."""


class ScheduleWithRelays(Schedule):
    """``schedule`` of ``Report``."""

    relays: Relays
    """What the relays cost."""


class JointChecks(Record):
    """``checks`` of ``Report``."""

    fold_differing_spikes: int | None
    """Spikes in which the trained and the deployed network differ; null: a foreign graph."""
    nir_differing_spikes: int
    """Spikes in which the file, read again without metadata, and the deployed network differ."""
    nir_smallest_margin: float | None
    """The smallest distance of a membrane from its threshold; null: no neuron."""
    ranges_proved: int
    """Populations whose integers cannot leave their ranges on any input."""
    ranges_populations: int
    """Populations looked at."""
    lava_samples: int
    """Samples that Lava ran."""
    lava_differing_spikes: int | None
    """Spikes in which Lava and the program differ; null: Lava did not run."""
    lava_spikes_compared: int | None
    """How many spikes Lava and the program were compared in; null: Lava did not run."""
    lava: str
    """What Lava was and how many spikes it fired, or why it did not run."""


class ValidationGain(Record):
    """``validation`` of ``Finetuned``."""

    before: Fraction
    """Accuracy on the validation split of the program as it was compiled."""
    after: Fraction
    """Accuracy on the validation split of the program that was kept."""
    samples: OrAbsent[Positive] = None
    """Samples of the validation split."""
    gained: OrAbsent[Count] = None
    """Of them, those that only the best epoch is right on, kept or not."""
    lost: OrAbsent[Count] = None
    """Those that only the program as it was compiled is right on; the epoch is kept where gained - lost is above the
    root of their sum."""


class TestGain(Record):
    """``test`` of ``Finetuned``."""

    before: Fraction
    """Accuracy on the test split of the program as it was compiled."""
    after: Fraction
    """Accuracy on the test split of the program that was kept."""


class Finetuned(Record):
    """``finetune`` of ``Report``."""

    epochs: Positive
    """Epochs asked for."""
    best_epoch: Count
    """Epoch that was kept; 0: none was clearly better than the program as it was compiled, which stays."""
    weights_changed: Count
    """Weights of synapses that are other integers now."""
    weights: Count
    """Weights of synapses."""
    bits: int
    """Bits of a weight."""
    seconds: Amount
    """Seconds of wall clock."""
    validation: ValidationGain
    """On the validation split, which chose the epoch."""
    test: TestGain
    """On what is reported; without labels, agreement with the float network."""


class BitsLeft(Record):
    """Bits that a population's weights have left."""

    bits: Positive
    """That the largest weight takes, its sign included, of the synapse that has least."""
    largest: Count
    """Its magnitude, in steps."""
    values: Positive
    """How many different integers there are, over all synapses."""
    zeros: Fraction
    """Share of the graph's weights other than 0 that became 0."""
    exact: bool
    """Whether no weight was rounded: then few bits are all that the weights need."""


class Rounding(Record):
    """What rounding did to one population."""

    weight: Amount
    """RMS of the rounding / RMS of the weights."""
    threshold: float
    """Threshold on target / threshold of the graph - 1."""
    leak: float
    """Share of the membrane that a timestep keeps, program less graph."""
    current_decay: float
    """Share of the current that a timestep keeps, program less graph."""
    bias: Amount
    """Largest error of a bias, in thresholds."""
    resolution: BitsLeft | None = None
    """Bits that its weights have left; null where none are rounded, left out by exports before 0.2."""
    inexact: OrAbsent[str] = None
    """What keeps it from firing the graph's spikes on every input; '' where nothing does; not in old exports."""
    differing: Count
    """Recorded spikes that differ from the graph's, what the populations before caused included."""
    spikes: Count
    """How many were recorded: neurons x timesteps x samples, a spike or none each."""


class Hashes(Record):
    """``hashes`` of ``Report``."""

    weights: OrAbsent[Sha256] = None
    """weights.safetensors of the run."""
    genotype: OrAbsent[Sha256] = None
    """genotype.json of the run."""
    graph: OrAbsent[Sha256] = None
    """The foreign .nir file."""
    data: str | None
    """The data; of a set that has a name and no file, that name."""


class RecordingAgreed(Record):
    """``recording`` of ``ConventionRead``."""

    file: str
    """Its name."""
    sha256: str
    """Of its bytes."""
    compared: int
    """Decisions that were compared, all of them equal."""
    doubtful: int
    """Decisions too near a threshold to count."""


class ConventionRead(Convention):
    """``convention`` of ``Report``."""

    verified: bool
    """Whether a recording or our own metadata confirms the convention."""
    of: str | None = None
    """The tool's convention and the single answers that the options named; null: the file's own, or ours."""
    recording: RecordingAgreed | None = None
    """The recording that was given and agrees; null without one."""
    input_kind: InputKind
    """analogue, spikes or counts."""
    timesteps: int
    """T, timesteps per sample."""


class Report(Document):
    """An export's figures, training beside on target, as in report.json."""

    printed_by = ("export", "report")

    schema_: Literal["snnas.report/1"]
    run: str
    """Name of the run."""
    seed: int | None
    """The one seed that every draw comes from."""
    dataset: str | None
    """Data set: a name, or a path."""
    method: str | None
    """Search method; null: none of ours."""
    timesteps: int
    """T, timesteps per sample."""
    search: SearchDone
    """The search."""
    accuracy: Accuracies
    """Accuracy, 0..1."""
    silence: OrAbsent[SilenceOfBoth] = None
    """What never fired, and whether the accuracy is a measurement; left out by exports before 0.3."""
    sar: ActivityRates
    """Spiking activity rate: spikes / (neurons x timesteps), 0..1."""
    spikes_per_inference: SpikeCounts
    """Spikes of one inference, OR and relay neurons left out."""
    synops_per_inference: float
    """Synaptic operations of one inference."""
    latency_us: BandOrNone
    """Microseconds of one inference at batch 1, of the mean load."""
    latency_samples_us: LatencyOverSamples | None = None
    """The same of single samples, nominal; null where nothing is timed, left out by exports before 0.2."""
    energy_uJ: Energy
    """Microjoules per inference at batch 1."""
    resources: Resources
    """What the program takes."""
    schedule: ScheduleWithRelays
    """When what is computed."""
    checks: JointChecks
    """The joints of the chain."""
    finetune: Finetuned | None
    """Fine-tuning through the integers; null: none."""
    quantisation: dict[str, Rounding]
    """What rounding did, by population."""
    ranges: dict[str, Range]
    """Which integers can occur, by population."""
    host: OrAbsent[HostStage] = None
    """What a host stage in integers changes; left out where it computes in floats."""
    c: OrAbsent[CExport] = None
    """What the C does; left out where the target is another."""
    early_exit: OrAbsent[EarlyExit] = None
    """How early inferences may end; left out without --early-exit."""
    provenance: dict[str, Literal["measured", "simulated", "estimated"]]
    """measured, simulated or estimated, by figure."""
    versions: dict[str, str]
    """Versions of what made the run."""
    hashes: Hashes
    """SHA-256 of what it was made from."""
    convention: OrAbsent[ConventionRead] = None
    """What a graph's numbers mean; 'unverified' where nothing confirms it."""
    notes: OrAbsent[list[str]] = None
    """What was assumed or should be known, one sentence each."""
    calibration: OrAbsent[str] = None
    """Which samples calibrated the scales."""
    netx: OrAbsent[str] = None
    """model.net where lava-dl can hold the program, else why not."""
