"""What a command asks of a graph that may be anybody's, and the options that ask for the same once more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnas.export.dialects import conventions
from snnas.export.dialects import table as dialects
from snnas.export.dialects.conventions import Convention
from snnas.export.dialects.table import Dialect
from snnas.hw_sim.errors import UsageError, did_you_mean
from snnas.hw_sim.program import InputKind

SINGLE = ("dt", "decay", "compare", "reset", "current", "readout")  # in place of a tool's answers, or of ours
KINDS: tuple[InputKind, ...] = ("analogue", "spikes", "counts")
BASE = "nir"  # where single nodes' conventions are named alone
SPELT = {">": "gt", ">=": "ge"}  # as no shell takes for a redirection
MEANT = {spelt: sign for sign, spelt in SPELT.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """The options of the commands; None where the file or its run shall say."""

    data: str | None = None
    """The samples: an .npz (x and, for accuracy, y), or a data set's name."""
    timesteps: int | None = None
    """Timesteps of a sample."""
    input_kind: str | None = None
    """analogue (currents, such as pixels), spikes or counts."""
    delayed: tuple[str, ...] = ()
    """SRC:DST: edges of the graph that wait a timestep."""
    limit: int | None = None
    """Only the first so many samples."""
    seed: int | None = None
    """Of intervals and digits' split; None: the run's, else 0."""
    samples: bool = True
    """False where none are needed, so that an export's own are not read."""
    convention: str | None = None
    """A tool's name, and behind commas those of single nodes: 'snntorch-zero,lif3=snntorch'."""
    dt: float | None = None
    """Seconds per timestep. This and the next five are single answers in place of the tool's."""
    decay: str | None = None
    """euler or exact: how a membrane leaks in a timestep."""
    compare: str | None = None
    """'>' or '>=': whether a spike is v > threshold or v >= threshold."""
    reset: str | None = None
    """zero, subtract or late: what a spike does to the membrane."""
    current: str | None = None
    """now or late: which synaptic current a membrane sees."""
    readout: str | None = None
    """sum, last or max of the outputs, or of membranes: membrane-sum, ..."""
    bits: int | None = None
    """Of a weight; None: 8 of a graph, what a program says of itself."""
    expect: Path | None = None
    """A recording that the convention must give."""
    calibration: str | None = None
    """Samples that steer the scales of an export."""

    def check(self) -> None:
        """UsageError for a value out of its range."""
        for name, count in (("timesteps", self.timesteps), ("limit", self.limit)):
            if count is not None and count < 1:
                raise UsageError(f"--{name} {count}: expected a whole number >= 1")
        if self.input_kind is not None and self.input_kind not in KINDS:
            near = did_you_mean(self.input_kind, KINDS)
            raise UsageError(f"--input-kind {self.input_kind!r}: expected {', '.join(KINDS)}{near}")

    @property
    def single(self) -> dict[str, Any]:
        """The single answers that are given."""
        return {name: getattr(self, name) for name in SINGLE if getattr(self, name) is not None}

    @property
    def answers(self) -> Convention | None:
        """The convention that the options name, a tool's or ours with single answers; None where they name none."""
        dialect = self.dialect
        if dialect is not None:
            return dialect.convention
        return conventions.OURS.changed(**self.single) if self.single else None

    @property
    def dialect(self) -> Dialect | None:
        """The tool's dialect that ``convention`` names first, with single answers in place of its own."""
        if self.convention is None:
            return None
        first = self.convention.split(",")[0]
        return self._named(BASE if "=" in first else first)

    @property
    def own(self) -> dict[str, Dialect]:
        """Nodes with a dialect of their own: those of 'snntorch-zero,lif3=snntorch', with the same single answers."""
        pairs = [part.partition("=") for part in (self.convention or "").split(",") if "=" in part]
        return {node: self._named(name) for node, _, name in pairs}

    def _named(self, name: str) -> Dialect:
        found = dialects.named(name)
        return replace(found, convention=found.convention.changed(**self.single))

    @property
    def said(self) -> str:
        """Whose convention the options name, and what they change of it: 'norse with --decay exact'; '' for none."""
        dialect = self.dialect
        changes = " ".join(f"--{name} {_spelt(value)}" for name, value in self.single.items())
        if dialect is None:
            return changes
        others = "".join(f", {node}: {of.name}" for node, of in self.own.items())
        return f"{dialect.name}{others} with {changes}" if changes else f"{dialect.name}{others}"

    def arguments(self, **instead: Any) -> list[str]:
        """The options of the command line that ask for this. instead: fields with other values."""
        given = replace(self, **instead)
        out: list[str] = []
        for name in ("data", "convention", *SINGLE, "timesteps", "input_kind", "limit", "seed", "bits", "expect"):
            value = getattr(given, name)
            if value is not None:
                out += [f"--{name.replace('_', '-')}", _spelt(value)]
        for edge in given.delayed:
            out += ["--delayed", edge]
        return out


def _spelt(value: Any) -> str:
    return SPELT.get(value, value) if isinstance(value, str) else str(value).removesuffix(".0")


def edges_of(wanted: ReadingOptions) -> frozenset[tuple[str, str]] | None:
    """The delayed edges that the options name; None where they name none."""
    return frozenset(_edge(text) for text in wanted.delayed) or None


def _edge(text: str) -> tuple[str, str]:
    source, colon, target = text.partition(":")
    if not (source and colon and target):
        raise UsageError(f"--delayed {text!r}: expected SRC:DST, the names of two nodes of the graph")
    return source, target
