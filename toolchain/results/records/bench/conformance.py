"""Random genotypes through compiler and lava."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Document, OrAbsent, Record


class SharesDiffering(Record):
    """``quantisation_differing`` of ``ConformanceBench``."""

    feed_forward: float | None
    """Of feed-forward networks."""
    recurrent: float | None
    """How many, or which figure, of recurrent networks."""


class ConformanceInC(Record):
    """``c`` of ``ConformanceBench``."""

    compiler: str
    """The compiler of this machine."""
    programs: Count
    """Programs that were compiled, with sanitizers, and run."""
    spikes_compared: Count
    """Spikes and logits that were compared."""
    differing: Count
    """Of them, those that differ."""
    emulator: str
    """The emulator, or why there was none."""
    emulated: Count
    """Programs that emulated cores ran."""
    emulated_spikes_compared: Count
    """Spikes and logits of emulated cores."""
    emulated_differing: Count
    """Of them, those that differ."""
    refused: list[str]
    """Programs that C cannot hold, with the reason."""
    first_differences: list[str]
    """The first difference of each, in a sentence."""
    seconds: float
    """Seconds of wall clock."""


class RefusedGenotype(Record):
    """One of ``refused_genotypes`` of ``ConformanceBench``."""

    index: Count
    """Which one of the seed."""
    architecture: str
    """Its content hash."""
    reason: str
    """Why it does not compile."""


class ConformanceBench(Document):
    """Random genotypes through compiler and Lava."""

    printed_by = ("bench conformance",)

    schema_: Literal["snnas.bench.conformance/1"]
    seed: int
    """The one seed that every draw comes from."""
    genotypes: int
    """How many genotypes."""
    compiled: int
    """Compiled to programs, or with torch.compile."""
    refused: int
    """How many do not compile."""
    refusals: dict[str, int]
    """How many refusals, by reason."""
    refused_genotypes: list[RefusedGenotype]
    """Genotypes that do not compile, with the reason."""
    recurrent: int
    """How many, or which figure, of recurrent networks."""
    delayed: int
    """Edges that wait a timestep, SRC:DST, or how many genotypes have one."""
    periods: dict[str, int]
    """How many programs, by period."""
    populations: dict[str, int]
    """How many populations, by role."""
    nir_differing_spikes: int
    """Spikes in which the file, read again without metadata, and the deployed network differ."""
    quantisation_differing: SharesDiffering
    """Share of spikes in which program and float graph differ; null: none of that kind."""
    lava: str
    """What Lava was, or why it did not run."""
    lava_checked: int
    """How many Lava ran."""
    lava_recurrent: int
    """Recurrent ones among those that Lava ran."""
    lava_samples: int
    """Samples that Lava ran."""
    lava_spikes_compared: int | None
    """How many spikes Lava and the program were compared in; null: Lava did not run."""
    lava_differing_spikes: int | None
    """Spikes in which Lava and the program differ; null: Lava did not run."""
    lava_first_differences: list[str]
    """The first difference of each, in a sentence."""
    lava_genotypes: list[int]
    """Which genotypes Lava ran."""
    seconds: float
    """Seconds of wall clock."""
    seconds_lava: float
    """Seconds of Lava."""
    c: OrAbsent[ConformanceInC] = None
    """Of --target c: what C was compared in."""
    good: bool
    """Whether every gate was reached."""


class ForeignBench(Document):
    """Random foreign graphs through interpreter, compiler and Lava."""

    printed_by = ("bench conformance --foreign",)

    schema_: Literal["snnas.bench.foreign/1"]
    seed: int
    """The one seed that every draw comes from."""
    graphs: Count
    """How many graphs; every other one of quarters and binary time constants."""
    redrawn: Count
    """Drawings before them of which a layer would not fire."""
    drawn: dict[str, Count]
    """How many graphs have it, by what is drawn."""
    refused: Count
    """How many do not compile."""
    refusals: dict[str, Count]
    """How many refusals, by reason."""
    float_decisions: Count
    """Spikes or none, compared with the second interpreter's."""
    float_differing: Count
    """Of them, those that differ, and graphs whose output does."""
    nearest: float
    """The smallest |v - threshold| that was met."""
    populations: Count
    """Populations of all programs, but their gates and relays."""
    exact: Count
    """Of them, those that fire their graph's spikes on every input."""
    exact_spikes: Count
    """Their recorded spikes: neurons x timesteps x samples, a spike or none each."""
    exact_differing: Count
    """Of them, those that differ from the graph's."""
    early: Count
    """Of the others, those that do so for some timesteps from a sample's beginning."""
    early_spikes: Count
    """Their recorded spikes in these timesteps."""
    early_differing: Count
    """Of them, those that differ from the graph's."""
    obstacles: dict[str, Count]
    """What keeps the others from being exact, and how many."""
    inexact_spikes: Count
    """Recorded spikes of the others."""
    inexact_differing: Count
    """Of them, those that differ from the graph's."""
    lava: str
    """What Lava was, or why it did not run."""
    lava_graphs: Count
    """How many programs Lava ran."""
    lava_spikes_compared: Count
    """Spikes that Lava and the program were compared in."""
    lava_differing_spikes: Count
    """Of them, those that differ."""
    lava_first_differences: list[str]
    """The first difference of each, in a sentence."""
    seconds: float
    """Seconds of wall clock."""
    c: OrAbsent[ConformanceInC] = None
    """Of --target c: what C was compared in."""
    good: bool
    """Whether every gate was reached."""
