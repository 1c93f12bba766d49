"""A row of the leaderboard: what one network does on target, and the commands that make it again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
from snnas.toolchain.results.records.shared import Band


class RowOnCore(Record):
    """``c`` of ``LeaderboardRow``: the same program as C on one core, emulated."""

    core: str
    """cortex-m4 or rv32imc."""
    flash_bytes: Count
    """The model's code and constants."""
    ram_bytes: Count
    """State of one instance and the deepest stack that was seen."""
    instructions: Amount
    """Of one inference."""
    compiler: OrAbsent[str] = None
    """The cross compiler, as it names itself; absent: an older row."""


class RowFile(Record):
    """A file that ``commands`` of ``RowMade`` name, as the run resolved what its own said."""

    name: Literal["space.toml", "recipe.toml", "budget.toml", "train.toml"]
    """What the commands call it."""
    sha256: Sha256
    """Of the text."""
    text: Annotated[str, Field(max_length=1 << 16)]
    """TOML."""


class RowMade(Record):
    """``made`` of ``LeaderboardRow``: how to make it again, and what it was when it was made."""

    commands: list[str]
    """In this order, in an empty folder; ``genotype.json`` is the row's ``genotype``."""
    files: OrAbsent[list[RowFile]] = None
    """What of the user's own the commands name, genotype.json left out; absent: nothing."""
    seed: Count
    """The one seed."""
    blind: bool
    """Whether no choice saw a test sample, as whoever submits it says."""
    seconds_search: Amount | None
    """Seconds of wall clock; null: nothing was searched."""
    seconds_training: Amount
    """Seconds of wall clock."""
    genotype: str
    """The text of genotype.json: what was found, or given."""
    data_sha256: Sha256
    """Hash of the data set as it was split."""
    weights_sha256: Sha256
    """Hash of the trained weights."""
    attestation: Sha256
    """Digest of ``snnas attest`` of the export."""
    lava_differing_spikes: Count | None
    """Spikes in which stock Lava and the program differ; null: Lava did not run."""
    lava_spikes_compared: Count | None
    """Spikes compared."""
    versions: dict[str, str]
    """Of what the network was made with."""


class RowFiles(Document):
    """The files that a row's commands name, written out."""

    printed_by = ("submit --files",)

    schema_: Literal["snnas.leaderboard.files/1"]
    files: list[str]
    """Paths of this machine."""
    commands: list[str]
    """That make the row again, in the folder of the files."""


class LeaderboardRow(Document):
    """A row of the leaderboard; energy, latency and what C takes are estimates or emulated."""

    printed_by = ("submit",)

    schema_: Literal["snnas.leaderboard/1"]
    name: str
    """What the row is called."""
    dataset: str
    """Data set."""
    method: str
    """What chose the network: a method of snnas search, random draws of what trained searches, or given by hand."""
    published: str | None
    """Where a row that is not ours was published; null: it was made with this tool."""
    note: str
    """What a reader must know; '' for nothing."""
    accuracy: Fraction | None
    """Of the float network on the test split."""
    on_target: Fraction | None
    """On target."""
    interval: Interval | None
    """95 % of it, over the test samples."""
    test_samples: Positive | None
    """How many."""
    timesteps: Positive | None
    """T."""
    sar: Fraction | None
    """Spikes / (neurons x timesteps), on target."""
    synops: Amount | None
    """Synaptic operations per inference, on target."""
    energy_uJ: Band | None
    """Per inference."""
    latency_us: Band | None
    """Per inference."""
    energy_profile: str | None
    """What prices both."""
    cores: Count | None
    """Of the chip."""
    neurons: Count | None
    """Deployed, relays and ORs left out."""
    parameters: Count | None
    """Deployed."""
    weight_bits: OrAbsent[Positive] = None
    """Of a weight."""
    c: list[RowOnCore]
    """As C; empty where it was not exported to C, or no emulator was there."""
    made: RowMade | None
    """How it is made again; null: published."""
