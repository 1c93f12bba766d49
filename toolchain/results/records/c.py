"""A program as C, run here and on emulated cores."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Amount, Count, OrAbsent, Positive, Record
from snnas.toolchain.results.records.shared import Band


class CRun(Record):
    """What C and the simulator were compared in."""

    missing: str | None
    """Why it was not run; null: it was."""
    compiler: str | None
    """The compiler, as it names itself; null: not run."""
    spikes_compared: Count | None
    """Spikes (neurons x timesteps x recorded samples); null: not run."""
    differing_spikes: Count | None
    """Of them, those that differ; null: not run."""
    differing_logits: Count | None
    """Logits of the recorded samples that differ; null: not run."""


class CNative(CRun):
    """On the machine that exported: the recorded samples under sanitizers, every sample's logits without."""

    split_samples: Count
    """Samples whose logits were compared: all that are measured."""
    split_differing_logits: Count | None
    """Of their logits, those that differ; null: not run."""


class CEstimated(Record):
    """What is said of a core without compiler and emulator."""

    flash_bytes: Count
    """Constants exactly, code as fitted."""
    ram_bytes: Count
    """State exactly, the deepest stack as fitted."""
    instructions: Band
    """Of one inference, by the cost model on the recorded samples; the ends are what the model may be off."""


class CBoard(Record):
    """A board with the core: what the instructions of one inference take there; estimated."""

    profile: str
    """Energy profile."""
    cycles: Band
    """Clock cycles: instructions times the profile's cycles per instruction."""
    latency_ms: Band
    """Milliseconds at the profile's clock."""
    energy_uJ: Band
    """Microjoules of the chip while it computes."""
    evidence: str
    """The weakest basis among the constants."""


class CEnding(Record):
    """``ending_early`` of ``CCore``: the counted samples, each ended once ``snnas_decided`` says so."""

    instructions: Amount
    """Instructions of one inference, the mean: of its timesteps, of asking after each, of init and logits."""
    timesteps: Amount
    """Timesteps until the end, the mean."""


class CCore(CRun):
    """An emulated core."""

    core: str
    """cortex-m4 or rv32imc."""
    flash_bytes: Count | None
    """The model's code and constants; null: not run."""
    state_bytes: Count | None
    """Memory of one instance; null: not run."""
    stack_bytes: Count | None
    """The deepest stack that was seen; null: not run."""
    instructions: Amount | None
    """Instructions of one inference, the mean of ``counted`` samples; null: not run."""
    counted: Count
    """Samples whose instructions were counted."""
    ending_early: OrAbsent[CEnding] = None
    """Of a program with an early exit."""
    estimated: OrAbsent[CEstimated] = None
    """What the cost model says; left out by exports before 0.4."""
    board: OrAbsent[CBoard] = None
    """Of the counted instructions, else of the estimated ones; left out by exports before 0.4."""


class CEncoderCore(Record):
    """encoder.c on an emulated core, whose figures of the network are without it."""

    core: str
    """cortex-m4 or rv32imc."""
    flash_bytes: Count
    """Its code and constants; without the compiler's functions for floats, which one program has once."""
    state_bytes: Count
    """Memory of one encoder."""
    instructions: Count
    """Of one signal, whole, the compiler's functions for floats included."""


class CEncoder(Record):
    """``encoder`` of ``CExport``: encoder.c, which makes spikes of a signal's samples, and what says how."""

    spikes_compared: Count
    """Spikes of each place, of signals that reach every constant of the encoder."""
    differing_spikes: Count
    """Of them, those that differ, wherever it ran."""
    places: list[str]
    """Where it ran: native, and cores."""
    cores: OrAbsent[list[CEncoderCore]] = None
    """What it takes on each emulated core; left out by exports before 0.4."""


class CExport(Record):
    """``c`` of ``Report``."""

    populations: Positive
    """Populations of the C; relays are none."""
    native: CNative
    """The run on the machine that exported."""
    cores: list[CCore]
    """The emulated cores."""
    encoder: OrAbsent[CEncoder] = None
    """Of a program whose spikes an encoder makes of signals; absent: of none, or by an export before encoder.c."""
    host: OrAbsent[Literal["int", "float", "none"]] = None
    """The stage before the first neurons of an analogue input: part of the C (int), or the caller's (float), whose
    work is then in none of these figures; none: there is none. Left out by exports before 0.4."""
