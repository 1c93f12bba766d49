"""All that can only be measured on a GPU."""

from __future__ import annotations

from typing import Literal

from snnas.toolchain.results.record import Amount, Count, Document, Fraction, Record


class NeuronParity(Record):
    """The fused neuron against the CPU's."""

    kernel: str
    """What ran it: lif_triton, lif_kernel (a CPU's), or torch."""
    spikes: Count
    """Neurons x timesteps compared."""
    differing_spikes: Count
    """Of these, those that differ; 0 is asked for."""
    gradient_difference: Amount
    """Largest difference of two gradients, as a share of the largest gradient."""
    good: bool
    """Whether it holds."""


class StepParity(Record):
    """Training steps against the CPU's, float32 without TF32."""

    loss_difference: Amount
    """Largest difference of two losses, as a share."""
    differing_spikes: Fraction
    """Share of spikes that differ, in the worst layer."""
    good: bool
    """Whether it holds."""


class Waiting(Record):
    """What training steps wait for."""

    waits_for: dict[str, str]
    """By kind of step: 'nothing', or torch's message."""
    good: bool
    """Whether all wait for nothing."""


class Throughput(Record):
    """Training steps, timed."""

    images_per_s: dict[str, float]
    """By kind of cell, numbers and way: one by one, graph (a CUDA graph), loop (the papers')."""
    not_captured: dict[str, str]
    """Why a step could not be captured, where it could not."""
    ratio: Amount
    """How many times faster than the loop, feed-forward in float32, the better way."""


class SearchTimes(Record):
    """A LightSNN search, every evaluation of every round."""

    channels: Count
    """Of the first cell."""
    batch: Count
    """Samples that score every candidate."""
    seconds: dict[str, float]
    """Wall clock, by kind of cell."""
    evaluations: dict[str, int]
    """Candidates scored, by kind of cell."""


class Training(Record):
    """A training for the minutes that were left."""

    run: str | None
    """Folder of the run."""
    seconds: Amount
    """Wall clock, data and start included."""
    code: int | None
    """Exit code of ``snnas train``; 130 or -2: it was ended when the time was over."""
    validation_accuracy: Fraction | None
    """Of a training that came to its end."""
    goes_on_with: str | None
    """The command by which one that was ended goes on."""
    left_out: str | None
    """Why there was none."""
    good: bool
    """Whether nothing failed."""


class GpuBench(Document):
    """All that can only be measured on a GPU."""

    printed_by = ("bench gpu",)

    schema_: Literal["snnas.bench.gpu/1"]
    device: str
    """As torch names it."""
    quick: bool
    """Whether the code was only tried."""
    machine: str
    """The GPU's name, or CPU."""
    torch: str
    """Its version."""
    neuron: NeuronParity
    """The fused neuron against the CPU's."""
    step: StepParity
    """Training steps against the CPU's."""
    waiting: Waiting
    """What steps wait for."""
    throughput: Throughput
    """Training steps, timed."""
    search: SearchTimes
    """A search at the papers' size."""
    training: Training
    """A training for the minutes that were left."""
    gate: float
    """Of ``throughput.ratio`` on a GPU."""
    aim: float
    """The aim above the gate."""
    seconds: Amount
    """Wall clock of all of it."""
    good: bool
    """Whether all held, and on a GPU the gate was reached."""
