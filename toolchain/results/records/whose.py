"""Which tools' conventions give a recording."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Count, Document, OrAbsent, Record


class Dialect(Record):
    """A convention, and how far its spikes are from the recording's."""

    name: str | None
    """Name."""
    tool: str | None
    """The tool that this convention is of; null: none of the table."""
    dt: float | str
    """Seconds per timestep, or how it is found."""
    decay: str
    """euler or exact."""
    drive: str
    """What a membrane's input is multiplied with."""
    synapse: str
    """How a synaptic current steps."""
    current: str
    """Whether a membrane sees the synaptic current of its timestep (now) or of the one before (late)."""
    compare: str
    """A spike where v > or >= threshold."""
    reset: str
    """What a spike does to the membrane."""
    when: str
    """Whether a reset acts now or with the next timestep (late)."""
    many: bool
    """Whether a neuron may spike several times in a timestep."""
    start_at_reset: bool
    """Whether the membrane starts at v_reset."""
    delayed: list[str]
    """Edges that wait a timestep, SRC:DST, or how many genotypes have one."""
    differing: int | None
    """How many spikes differ."""
    compared: int | None
    """How many spikes were compared."""
    doubtful: int | None
    """Decisions within rounding of the threshold, which do not count."""
    not_run: str | None
    """Why this convention could not be run; null: it was."""


class FittingDialect(Dialect):
    """A convention without a difference."""

    dt: float  # pyright: ignore[reportIncompatibleVariableOverride]  # narrower, and frozen
    """Seconds per timestep."""


class ConventionsFound(Document):
    """Which tools' conventions give a recording."""

    printed_by = ("whose",)

    schema_: Literal["snnas.whose/1"]
    status: Literal["named", "ambiguous", "none"]
    """Verdict or state, in one word."""
    headline: str
    """The verdict in a sentence."""
    fitting: list[FittingDialect]
    """Conventions without a difference."""
    open: list[str]
    """Choices that the recording does not settle."""
    writer: OrAbsent[str] = None
    """The tool that wrote the file, where its metadata name one: its rows are answered first."""
    lag: OrAbsent[Count] = None
    """Timesteps by which the recording is late, as a chip's output is."""
    nodes: OrAbsent[dict[str, list[str]]] = None
    """Where no one convention fits: the rows that fit each recorded node, fed what was recorded."""
    dialects: list[Dialect]
    """Every convention of the table, best first."""
