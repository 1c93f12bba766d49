"""The simulator against lava and the float network."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Amount, Count, Document, Record


class LavaTime(Record):
    """Lava's time with one kind of process."""

    samples: Count
    """Samples that Lava ran."""
    hardware_steps: Count
    """Hardware steps that it ran."""
    processes: Count
    """Lava processes."""
    build_seconds: Amount
    """Seconds to build them."""
    run_seconds: Amount
    """Seconds to run them."""
    versions: dict[str, str]
    """Versions of the worker."""


class LavaTimes(Record):
    """``lava`` of ``SimulateBench``."""

    conv: LavaTime
    """With its stock Conv processes."""
    sparse: LavaTime
    """With its stock Sparse processes."""


class BenchVersions(Record):
    """``versions`` of ``SimulateBench``."""

    torch: str
    """Version of torch."""
    numpy: str
    """Version of NumPy."""
    lava_worker: dict[str, str]
    """Versions of the worker."""


class ImageSpeed(Record):
    """``images`` of ``SimulateBench``."""

    images: int
    """How many images."""
    weights: int
    """How many weights, or what weights the hops."""
    timesteps: int
    """T, timesteps per sample."""
    neurons: int
    """How many neurons."""
    populations: int
    """Populations."""
    mean_firing_rate: float
    """Spikes / (neurons x timesteps)."""
    samples_per_second: float
    """Samples per second."""
    float_samples_per_second: float
    """Samples per second of the float network."""
    seconds_for_10000: float
    """Seconds for 10,000 images at this speed."""
    slower_than_float: float
    """Time over the float network's."""


class SimulateBench(Document):
    """The simulator against Lava and the float network."""

    printed_by = ("bench simulate",)

    schema_: Literal["snnas.bench.simulate/1"]
    seed: int
    """The one seed that every draw comes from."""
    provenance: str
    """measured, simulated, estimated or assumed, by figure."""
    ratio_batch64: float
    """How many times faster than Lava, batch 64."""
    ratio_batch1: float
    """How many times faster than Lava, batch 1."""
    ratio_sparse: float
    """How many times faster than Lava with sparse matrices, batch 64."""
    differing_spikes: int
    """How many spikes differ."""
    spikes_compared: int
    """How many spikes (neurons x timesteps x samples) were compared."""
    gate: float
    """The gate."""
    samples_per_second: dict[str, float]
    """Samples per second."""
    lava: LavaTimes
    """What Lava did."""
    firing_rates: dict[str, float]
    """Firing rate of every population."""
    warm_up_seconds: float
    """Seconds of warm-up, left out of the speeds."""
    compiled: bool
    """Compiled to programs, or with torch.compile."""
    threads: int
    """Threads."""
    cores: int
    """Cores used."""
    load_average: float
    """Load of the machine over the last minute."""
    versions: BenchVersions
    """Versions of what it was made with."""
    images: ImageSpeed
    """How many images."""
