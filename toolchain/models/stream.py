"""How soon a program decides, and what it does on samples that follow each other without a reset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import Program
from snnas.hw_sim.readout import Readout, answers, currents
from snnas.hw_sim.simulate.simulator import host_currents, simulate


def _sums_spikes(readout: Readout) -> bool:
    """Whether the answer of any timesteps is that of their spikes alone."""
    return readout.counts_spikes and len(readout.bias) == 1


def decided(program: Program, spikes: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """int64 (B,): the timestep, from 1, from which the answer is the one at the end; None where it is not a sum of all.

    spikes: bool (B, T, ...) by population. The answer at t is of all spikes to t, so a later change of mind counts.
    """
    readout, steps = program.readout, program.timesteps
    if not _sums_spikes(readout):
        return None
    times = np.arange(1, steps + 1)[:, None]
    so_far = 64 * currents(readout, spikes, steps).cumsum(axis=1) * readout.response[0] + times * readout.bias[0]
    at = so_far.argmax(axis=2)
    other = at != at[:, -1:]
    last = np.where(other, np.arange(1, steps + 1), 0).max(axis=1)
    found: np.ndarray = last.astype(np.int64) + 1
    return found


class Streamed(NamedTuple):
    """predictions: int64 (N,). timesteps: as ``decided``, (N,)."""

    predictions: np.ndarray
    timesteps: np.ndarray


def in_a_row(program: Program, x: np.ndarray, row: int, batch: int) -> Iterator[Streamed]:
    """Runs samples in rows of ``row``, in their order; neurons keep their state from one to the next, readouts do not.

    x: (N, C, H, W), or (N, T, C, H, W) of frames; the samples behind the last full row are left out. UsageError where
    there is no full row, UnsupportedError where the readout is no sum of spikes.
    """
    if not 2 <= row <= len(x):
        raise UsageError(f"--stream {row}: expected 2 to {len(x)} samples in a row, as many as there are")
    if not _sums_spikes(program.readout):
        raise UnsupportedError("--stream: the readout weighs timesteps or membranes; only sums of spikes begin anew")
    steps = program.timesteps
    long = replace(program, timesteps=row * steps)
    for start in range(0, len(x) // row * row, row * max(1, batch // row)):
        part = x[start : start + row * max(1, batch // row)]
        part = part[: len(part) // row * row]
        frames = part if part.ndim == 5 else np.repeat(part[:, None], steps, axis=1)
        frames = frames.reshape(len(part) // row, row * steps, *frames.shape[2:])
        if program.input_kind == "analogue":
            trace = simulate(long, currents=host_currents(long, frames))
        else:
            trace = simulate(long, spikes_in=frames > 0)
        read = {reading.src for reading in program.readout.readings}
        windows = {n: s.reshape(len(part), steps, *s.shape[2:]) for n, s in trace.spikes.items() if n in read}
        timesteps = decided(program, windows)
        assert timesteps is not None
        yield Streamed(answers(program.readout, windows, steps).argmax(axis=1), timesteps)
