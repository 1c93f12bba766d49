"""A run: its run.toml, and what is shown of it: tables of that file, the genotype, how far it has come."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from snnas.toolchain.results.record import (
    AboveZero,
    Amount,
    Count,
    Document,
    Fraction,
    OrAbsent,
    Positive,
    Record,
    Sha256,
)
from snnas.toolchain.results.records.data import DataTable
from snnas.toolchain.results.records.shared import InputKind, Stage

Head = Literal["lif", "bn_lif", "linear"]
Reduction = Literal["max", "average"]
Operation = Literal["zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3", "conv5x5", "conv3x3d2"]


class MemoryWidths(Record):
    """[method.widths]: bits that memory is counted with."""

    weight: int
    """Bits of a weight."""
    state: int
    """Bits of a state."""


class DesignAxes(Record):
    """[method.axes]: the space of designs, as a space file has it, reduced by options and data."""

    ops: list[Operation]
    """Operations of an edge, beside none."""
    cells: list[Positive]
    """Numbers of cells."""
    channels: list[Positive]
    """Channels of the first cell."""
    timesteps: list[Positive]
    """Timesteps per sample."""
    hidden: list[Positive]
    """Neurons of a head that has some."""
    head: list[Head]
    """Heads."""
    reduction: list[Reduction]
    """How cells are reduced."""
    bits: OrAbsent[list[Literal[4, 6, 8]]] = None
    """Bits of a weight; absent: 8."""
    thresholds: OrAbsent[list[AboveZero]] = None
    """Of a cell's neurons, in units of the network's threshold; absent: 1."""


class MethodTable(Record):
    """[method] of run.toml: the search method and its options."""

    name: str
    """Search method."""
    space: str
    """Search space."""
    proxy: OrAbsent[Literal["sahd", "rdm", "asc", "snnas"]] = None
    """What scores a candidate without training; of trained asc, which half of its random draws are chosen by. Older
    runs may say snnas, a score that is gone, and sahd where none was used: those of trained, and those of mse_nas that
    lack ``sahd``, which meant rdm."""
    sahd: OrAbsent[Literal["per-node", "per-op"]] = None
    """LIFs that sahd counts; absent: per-node."""
    backward: bool
    """Whether backward edges are searched too."""
    batch: Annotated[int, Field(ge=2)]
    """Samples that score every candidate."""
    candidates: OrAbsent[Positive] = None
    """Random draws."""
    study: OrAbsent[Annotated[int, Field(ge=2)]] = None
    """Repeats of spikenas's operation study."""
    population: OrAbsent[Positive] = None
    """Genomes of a generation, of mse_nas."""
    generations: OrAbsent[Positive] = None
    """Generations, of mse_nas."""
    trainings: OrAbsent[Positive] = None
    """Designs that are trained shortly, of trained."""
    short_epochs: OrAbsent[Positive] = None
    """Epochs of each of these."""
    random: OrAbsent[bool] = None
    """Whether trained draws all designs at random."""
    axes: OrAbsent[DesignAxes] = None
    """Choices that trained has, by axis."""
    widths: OrAbsent[MemoryWidths] = None
    """Bits that memory is counted with."""


class NetworkTable(Record):
    """[network] of run.toml: sizes of the network; of trained those that are no choice of a design."""

    input_shape: Annotated[list[int], Field(min_length=3, max_length=3)]
    """C, H, W."""
    classes: Positive
    """Classes."""
    input_kind: InputKind
    """analogue, spikes or counts."""
    channels: OrAbsent[Positive] = None
    """Channels of the first cell; each reduction doubles them; not of trained."""
    hidden: OrAbsent[Positive] = None
    """Neurons of the head; not of mse_nas."""
    head: OrAbsent[Head] = None
    """Linear, LIF, linear; the same with a batch norm before the LIF; or linear alone. Left out by runs before 0.2,
    which mean lif; not of mse_nas."""
    votes: OrAbsent[Positive] = None
    """Outputs averaged per class; not of mse_nas."""
    timesteps: OrAbsent[Positive] = None
    """T, timesteps per sample; not of trained."""
    tau: AboveZero
    """Membrane time constant of every LIF, in timesteps."""
    threshold: AboveZero
    """Threshold of every LIF."""
    reduction: OrAbsent[Reduction] = None
    """How cells are reduced: max pools spikes; not of mse_nas."""
    dropout: OrAbsent[Fraction] = None
    """Dropped before the head, in training; not of mse_nas."""
    gain: OrAbsent[list[Annotated[float, Field(gt=0)]]] = None
    """What the stem takes each channel of a signal times; none: values as they are. Not of mse_nas."""
    cells: OrAbsent[Positive] = None
    """Cells; not of trained."""
    reductions: OrAbsent[list[int]] = None
    """Numbers of the cells that halve the map and hold no motif; of mse_nas alone."""


class NodeCell(Record):
    """A cell of four nodes."""

    forward: dict[str, Operation]
    """Operation by edge; every edge is named."""
    backward: dict[str, Operation]
    """Operation by backward edge; zeroize where it is not named."""


class MotifCell(Record):
    """A cell of mse_nas."""

    motif: str
    """Its motif."""
    kernels: dict[str, Literal[3, 5]]
    """Size of the kernel, in pixels, by synapse."""


class Genotype(Record):
    """genotype.json of a run."""

    format: Literal["snnas-genotype", "snnas-design"]
    """Format of the file."""
    version: Literal[1, 2]
    """Its version; a design's is 2 since it says its bits, that of a genome of mse_nas where it has links."""
    space: str
    """Search space."""
    fan_in: OrAbsent[Literal[2, 3]] = None
    """Preceding cells that a cell reads; of mse_nas alone."""
    cells: Annotated[list[NodeCell | MotifCell], Field(min_length=1)]
    """Cells, the first first."""
    links: OrAbsent[list[Count]] = None
    """Whose output of the timestep before each motif cell reads: 0 nobody's, 1 its own, 2 the next motif cell's, ...;
    of mse_nas with --backward alone, where there is one."""
    channels: OrAbsent[Positive] = None
    """Channels of the first cell; of a design alone, as what follows."""
    timesteps: OrAbsent[Positive] = None
    """T, timesteps per sample."""
    hidden: OrAbsent[Count] = None
    """Neurons of the head; 0 where it is linear."""
    head: OrAbsent[Head] = None
    """What stands before the classes."""
    reduction: OrAbsent[Reduction] = None
    """How cells are reduced: max pools spikes."""
    bits: OrAbsent[Literal[4, 6, 8]] = None
    """Of a weight; designs of version 1, which lack it, have 8."""
    thresholds: OrAbsent[list[AboveZero]] = None
    """Of each cell's neurons and of the reduction behind it, in units of the network's threshold; absent: 1."""


class SearchTable(Record):
    """[search] of run.toml: what the search came to."""

    seconds: Amount
    """Seconds of wall clock."""
    evaluations: Count
    """Evaluations of the search."""
    score: OrAbsent[float] = None
    """Score of what was found, higher is better; left out where it is minus infinity, as of a batch in which two
    samples fire alike."""
    silent_layers: OrAbsent[Count] = None
    """Layers of what was found that fired no spike on the batch."""
    guards: Count
    """Guard events: candidates or states that had to be treated apart."""
    architecture: str
    """Content hash of the genotype."""
    resumed: OrAbsent[bool] = None
    """Whether it went on from a log."""


class TrainingTable(Record):
    """[training] of run.toml: what the training came to."""

    seconds: Amount
    """Seconds of wall clock."""
    best_epoch: Positive
    """Epoch whose weights were kept."""
    validation_accuracy: Fraction
    """Accuracy on the validation split, of those weights."""
    validation_balanced_accuracy: OrAbsent[Fraction] = None
    """Mean over the classes of each one's accuracy there; where classes are uneven."""
    validation_sar: Fraction
    """Spiking activity rate there: spikes / (neurons x timesteps)."""
    statistics: OrAbsent[Literal["running", "measured"]] = None
    """Whose the batch norms' statistics are: as training left them, or measured over training samples at its end; left
    out by trainings before 0.2."""
    silent: OrAbsent[list[str]] = None
    """Neuron layers that fire on none of the first validation samples; left out where all fire."""
    no_measurement: OrAbsent[str] = None
    """Why the accuracy says nothing; left out where it is a measurement."""
    device: str
    """Device of the training."""


class VersionsTable(Record, extra="allow"):
    """[versions] of run.toml: the device, and beside it a version by package."""

    __pydantic_extra__: dict[str, str]  # pyright: ignore[reportIncompatibleVariableOverride]
    device: str
    """Device of the search."""


class ChipTable(Record, extra="forbid"):
    """[chip] of run.toml: what candidates are priced on."""

    system: OrAbsent[str] = None
    """System that programs are mapped on: a name, or a .toml file; loihi1 where it is left out."""
    profile: OrAbsent[str] = None
    """Energy profile, likewise; the system's where it is left out."""
    bits: OrAbsent[Literal[4, 6, 8]] = None
    """Of a weight of a program, where no design says it; absent: 8."""


class ObjectivesTable(Record, extra="forbid"):
    """[objectives] of run.toml: of a search that keeps a front."""

    names: list[str]
    """Score and metrics."""
    train: Count
    """Points of the front that are trained."""


class TransferTable(Record):
    """[transfer] of run.toml: of a run whose genotype was brought from elsewhere."""

    genotype: str
    """Its file, absolute, of this machine."""
    sha256: Sha256
    """Of that file."""
    weights: OrAbsent[str] = None
    """The file whose weights the training begins with, absolute, of this machine; absent where they are drawn."""
    weights_sha256: OrAbsent[Sha256] = None
    """Of that file, of which the run holds a copy, start.safetensors."""


class FailedTable(Record):
    """[failed] of run.toml: of a run whose search failed for good."""

    reason: str
    """Why."""


class RunFile(Record):
    """run.toml: what a search or a transfer writes before anything else, and what each finished stage adds."""

    name: OrAbsent[str] = None
    """Name of the run, as it was created."""
    created_at: OrAbsent[str] = None
    """ISO 8601, UTC."""
    command: OrAbsent[str] = None
    """The command that began it."""
    seed: Count
    """The one seed that every draw comes from."""
    data: DataTable
    """The data set."""
    method: MethodTable
    """The search method and its options."""
    network: NetworkTable
    """Sizes of the network."""
    train: dict[str, Any]
    """The recipe of the training, which ``snnas.toolchain.training.config`` checks."""
    first_train: OrAbsent[dict[str, Any]] = None
    """The recipe that the command which began it asked for, where it was trained with another since."""
    versions: VersionsTable
    """Versions and device."""
    budget: OrAbsent[dict[str, Any]] = None
    """Limits by metric, which ``snnas.toolchain.searching.budgets`` checks."""
    chip: OrAbsent[ChipTable] = None
    """What candidates are priced on."""
    objectives: OrAbsent[ObjectivesTable] = None
    """Of a search that keeps a front."""
    search: OrAbsent[SearchTable] = None
    """The search."""
    training: OrAbsent[TrainingTable] = None
    """The training."""
    transfer: OrAbsent[TransferTable] = None
    """Where the genotype is from."""
    failed: OrAbsent[FailedTable] = None
    """Why its search failed for good."""


class RunShown(Document):
    """One run: how it was made, what it found, how far it has come."""

    printed_by = ("search", "train", "runs show")

    schema_: Literal["snnas.run/2"]
    run: str
    """Name of the run."""
    path: str
    """Path of this machine."""
    stage: Stage
    """How far the run has come."""
    failed: str | None
    """Why its search failed for good, so that going on fails again; null where it did not."""
    created_at: str | None
    """ISO 8601, UTC."""
    command: str | None
    """The command that began it."""
    seed: int
    """The one seed that every draw comes from."""
    data: DataTable
    """The data set, as run.toml has it."""
    method: MethodTable
    """The search method and its options, as run.toml has them."""
    network: NetworkTable
    """Sizes of the network, as run.toml has them."""
    versions: dict[str, str]
    """Versions and device, as run.toml has them."""
    genotype: Genotype | None
    """genotype.json; null before the search."""
    search: SearchTable | None
    """The search, as run.toml has it; null before it."""
    training: TrainingTable | None
    """The training, as run.toml has it; null before it."""
    exports: list[str]
    """Targets that it was exported to."""
