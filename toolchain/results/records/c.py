"""A program as C, run here and on emulated cores."""

from __future__ import annotations

from snnas.toolchain.results.record import Amount, Count, Positive, Record


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


class CExport(Record):
    """``c`` of ``Report``."""

    populations: Positive
    """Populations of the C; relays are none."""
    native: CNative
    """The run on the machine that exported."""
    cores: list[CCore]
    """The emulated cores."""
