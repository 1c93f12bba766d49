"""Why a program does not do what its graph does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from snnas.toolchain.results.record import Amount, Count, Document, Fraction, OrAbsent, Positive, Record, Sha256
from snnas.toolchain.results.records.shared import Convention, Role, Silence

PopulationCause = Literal[
    "input", "weights", "saturation", "threshold", "bias", "leak", "truncation", "reset", "timing"
]
LossCause = Literal[PopulationCause, "readout"]
# What of a program is not its graph's, for machines; ``toolchain/diagnosing`` finds no other kinds.
FaultKind = Literal[
    "bias lost",
    "bias saturated",
    "bias sign flipped",
    "bias wrong",
    "channels transposed",
    "comparison",
    "delay added",
    "delay lost",
    "dt or tau wrong",
    "few bits left",
    "flattened otherwise",
    "geometry",
    "host map added",
    "host map lost",
    "input channels permuted",
    "input range",
    "kernel flipped",
    "kernel mirrored",
    "kernel rotated",
    "kernel transposed",
    "matrix transposed",
    "output channels permuted",
    "relay broken",
    "reset read wrongly",
    "rows permuted",
    "scaled",
    "sign flipped",
    "synapse added",
    "synapse lost",
    "synaptic tau wrong",
    "threshold off",
    "timesteps",
    "weights differ",
    "weights saturated",
    "wrong exponent",
    "wrong role",
    "wrong scale",
    "wrong source",
]


class WeightsMoved(Record):
    """``finetuned`` of ``Diagnosis``."""

    weights: Count
    """Weights of synapses."""
    moved: Count
    """Weights more than a step from the graph's."""
    populations: Count
    """Populations with such a weight."""


class Outcome(Record):
    """What came of the samples."""

    accuracy: Fraction | None
    """Accuracy, 0..1; null without labels."""
    agreement: Fraction
    """Share of predictions that are the graph's."""
    changed_predictions: Count
    """Predictions that are not the graph's."""
    differing_spikes: Count
    """Spikes that are not the graph's, over all neurons, timesteps and samples."""
    differing_fraction: Fraction
    """The same, of all neurons x timesteps x samples."""


class Loss(Record):
    """``loss`` of ``Diagnosis``."""

    points: float
    """Points lost; negative: won."""
    lost: Count
    """Samples that only the graph is right on."""
    won: Count
    """Samples that only the program is right on."""
    beyond_chance: bool
    """Whether a sign test on those samples says at 5 % that it is a loss."""


class ExportSaid(Record):
    """What report.json beside the program says of all its samples."""

    samples: Count
    """Samples of the report."""
    training: Fraction | None
    """Accuracy in float; null: no labels."""
    on_target: Fraction | None
    """Accuracy on target; null: no labels."""
    agreement: Fraction | None
    """Predictions as the graph's, of an export without labels."""
    taken: Positive
    """Samples of this diagnosis."""
    data: str
    """What --data takes for all of them; empty: the run's test split."""


class DiagnosisChecks(Record):
    """``checks`` of ``Diagnosis``."""

    hybrid_differs_from_simulator: Literal[0]
    """Spikes in which the simulator of the diagnosis, all integer, and the program's differ; any other than 0 ends
    the command."""
    exact_differs_from_interpreter: Count
    """Spikes in which it, all exact, and the graph's interpreter differ: membranes that meet their threshold to the
    last bit of a float64."""


class Setting(Outcome):
    """What came of the samples with some pieces exact and the others integer, and what that is worth."""

    mended: Count
    """Samples that come right by it; without labels, that become as the graph's."""
    broken: Count
    """Samples that come wrong by it."""
    points: float
    """Mended less broken, in points: 100 x of the samples."""
    spikes: int
    """Differing spikes fewer than in what it is compared with; negative: more."""
    spikes_share: float | None
    """The same, of those of what it is compared with; null where that has none."""


class SettingNotRun(Record):
    """A setting that could not be run."""

    not_run: str
    """Why this could not be run."""


class Fault(Record):
    """A number of the program that is not the graph's."""

    population: str
    """Population that it is in; readout: the host's."""
    kind: FaultKind
    """What is wrong."""
    cause: LossCause
    """Cause of loss that it belongs to."""
    where: str
    """Synapse or host map; empty: the population's own numbers."""
    count: Positive
    """How many numbers are wrong."""
    text: str
    """The fault in a sentence."""
    mended: Setting | SettingNotRun
    """The program with this population's cause made exact, compared with the program."""


class CauseEffect(Record):
    """What one cause of loss costs."""

    cause: LossCause
    """Cause."""
    meaning: str
    """What it is, in words."""
    off_alone: Setting | SettingNotRun
    """The program without this cause, compared with the program."""
    on_alone: Setting | SettingNotRun
    """The graph with this cause alone, compared with the graph."""


class Mend(Record):
    """What was compiled and run otherwise, and gave points back."""

    cause: Literal["weights", "input", "bias", "readout"]
    """Cause of loss that it is a mend of."""
    text: str
    """What to do."""
    bits: int
    """Bits of a weight it was compiled with."""
    where: str
    """Synapse, host map or population of biases with an outlier, or readout; empty: the whole network."""
    ratio: Amount | None
    """Of the outlier to the median magnitude beside it; null: no outlier is concerned."""
    accuracy: Fraction | None
    """With the mend; null: no labels."""
    agreement: Fraction
    """Predictions as the graph's, with the mend."""
    points: float
    """Points gained on the program."""
    mended: Count
    """Samples that only the mended program is right on."""
    broken: Count
    """Samples that only the program is right on."""


class FirstDifference(Record):
    """``first`` of ``Diagnosis``."""

    population: str
    """Population."""
    node: str
    """Node of the graph that it stands for."""
    timestep: Count
    """Timestep, from 0."""
    neuron: Annotated[list[Count], Field(min_length=3, max_length=3)]
    """Channel, row and column, from 0."""
    sample: Count
    """Sample, from 0."""
    float_fires: bool
    """Whether the graph's neuron fires."""
    float_v_over_threshold: float
    """The graph's membrane before its reset, in thresholds."""
    float_margin: float
    """The same less 1: above 0 it fires."""
    node_threshold: float
    """Threshold of the neuron, as the graph's file has it."""
    integer_v: int
    """The program's membrane before its reset, in 1/64 weight units."""
    integer_threshold: int
    """The program's threshold, in the same unit."""
    removed_by: list[PopulationCause]
    """Causes that, exact at this population alone, turn this spike."""


class PopulationDivergence(Record):
    """How far spikes of one population part."""

    population: str
    """Population."""
    node: str
    """Node of the graph that it stands for."""
    role: Role
    """What it is for."""
    neurons: Positive
    """How many neurons."""
    differing: list[Count]
    """Spikes that differ, by timestep."""
    fraction: list[Fraction]
    """The same, of neurons x samples."""
    own_fraction: list[Fraction]
    """What the population adds by itself, fed with the program's spikes."""


class Divergence(Record):
    """``divergence`` of ``Diagnosis``."""

    samples: Positive
    """How many samples."""
    timesteps: Positive
    """T, timesteps per sample."""
    populations: list[PopulationDivergence]
    """Populations that stand for a node, in the order in which they compute."""


class SmallestInput(Record):
    """``smallest`` of ``Diagnosis``."""

    sample: Count
    """Sample that it was made of, from 0."""
    differs_in: Literal["prediction", "spike"]
    """What differs."""
    graph_predicts: Count
    """Class that the graph predicts."""
    program_predicts: Count
    """Class that the program predicts."""
    nonzero: Count
    """Values of it that are not zero."""
    nonzero_before: Count
    """Values of the sample that are not zero."""


class SilenceOfPair(Record):
    """``silence`` of ``Diagnosis``."""

    graph: Silence
    """Of the graph, run in float."""
    program: Silence
    """Of the program, with the likely cause."""


class Diagnosis(Document):
    """Why a program does not do what its graph does: faults, causes, where spikes part."""

    printed_by = ("diagnose",)

    schema_: Literal["snnas.diagnose/1"]
    subject: str
    """Export folder or graph, as a path of this machine."""
    program_sha256: Sha256 | None
    """SHA-256 of program.npz; null: the program was compiled from the graph for this."""
    data: str
    """What the samples are."""
    samples: Positive
    """How many samples."""
    labels: bool
    """Whether the samples have labels."""
    timesteps: Positive
    """T, timesteps per sample."""
    bits: int
    """Bits of a weight."""
    finetuned: WeightsMoved | None
    """What training on the integers moved; null: the program was not fine-tuned."""
    convention: Convention
    """What the graph's numbers mean."""
    notes: list[str]
    """What was assumed or should be known, one sentence each."""
    graph: Outcome
    """The graph, run in float."""
    program: Outcome
    """The program, run in integers."""
    silence: OrAbsent[SilenceOfPair] = None
    """What never fired, and whether the accuracies are measurements."""
    loss: Loss
    """What the program lost against the graph: accuracy, or without labels agreement."""
    export: ExportSaid | None
    """What report.json beside the program says of all its samples; null: there is none, or its samples are not those
    of an export."""
    checks: DiagnosisChecks
    """What the diagnosis rests on."""
    faults: list[Fault]
    """Numbers of the program that are not the graph's, in causal order; empty where there is none. Rounding is no
    fault."""
    causes: list[CauseEffect]
    """Causes of loss that can act in this program: where points were lost, the one whose mending gives most of them
    back first, else the one without which fewest spikes differ."""
    mends: list[Mend]
    """What was compiled and run otherwise on these samples and gave points back, the best first; empty where nothing
    was lost or nothing helped."""
    note: str
    """How to read the causes."""
    first: FirstDifference | None
    """The first spike that differs: of the earliest timestep, the shallowest population; null: none differs."""
    divergence: Divergence
    """How far spikes part, by population and timestep."""
    smallest: SmallestInput | None
    """The smallest input found that still shows a difference; null: no spike differs, or it was not looked for."""
