"""Samples as a model in C takes them, and a program's spikes as it gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.model import model_text
from snnas.export.formats.c.plan import Plan, words
from snnas.hw_sim.c.model import CModel, Ran
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import pixels
from snnas.hw_sim.simulate.simulator import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where C and the program first part: a population's neuron in (C, H, W) order, or a logit where it is None."""

    population: str | None
    sample: int
    timestep: int
    neuron: int

    def __str__(self) -> str:
        if self.population is None:
            return f"sample {self.sample}, logit {self.neuron}"
        return f"population {self.population}, sample {self.sample}, timestep {self.timestep}, neuron {self.neuron}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How many spikes and logits were compared, how many differ, and the first of these."""

    spikes: int
    differing_spikes: int
    logits: int
    differing_logits: int
    first: Difference | None

    @property
    def equal(self) -> bool:
        return not self.differing_spikes and not self.differing_logits


def c_model(plan: Plan) -> CModel:
    """The C of a plan, with its shapes."""
    header, source = model_text(plan)
    analogue = plan.program.input_kind == "analogue"
    return CModel(
        header=header,
        source=source,
        timesteps=plan.program.timesteps,
        classes=plan.program.readout.classes,
        frame=plan.frame,
        value=np.int16 if analogue and not plan.integers else np.uint8,
        words=tuple(words(u.population.size) for u in plan.units),
    )


def frames(plan: Plan, x: np.ndarray, currents: Mapping[str, np.ndarray]) -> np.ndarray:
    """(B, T, frame): what ``snnas_step`` takes. x: samples; currents: as ``host_currents`` gives them of these.

    UnsupportedError for a current that 16 bits do not hold, which a chip could not take either.
    """
    steps = plan.program.timesteps
    if plan.integers:
        return _timed(pixels(plan.program, x if x.ndim == 5 else x[:, None]), steps)
    if plan.program.input_kind != "analogue":
        return (x > 0).reshape(len(x), steps, plan.frame).astype(np.uint8)
    parts = []
    for u in plan.hosted:
        given = currents[u.population.id]
        low, high = int(given.min()), int(given.max())
        if max(high, -low) > np.iinfo(np.int16).max:
            raise UnsupportedError(
                f"population {u.population.id}: the host injects {high if high >= -low else low}, beyond 16 bits; "
                "calibrate on samples like these, or export with --ranges proved"
            )
        parts.append(_timed(given.astype(np.int16), steps))
    return np.concatenate(parts, axis=2)


def _timed(given: np.ndarray, steps: int) -> np.ndarray:
    """(B, T or 1, C, H, W) to (B, T, C H W)."""
    return np.broadcast_to(given, (len(given), steps, *given.shape[2:])).reshape(len(given), steps, -1)


def expected(plan: Plan, spikes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Uint32 (B, T, words of all populations) of bool spikes (B, T, C, H, W)."""
    parts = []
    for u in plan.units:
        fired = spikes[u.population.id]
        flat = fired.reshape(*fired.shape[:2], -1)[..., u.layout.order]
        size = words(u.population.size) * 32
        filled = np.pad(flat, ((0, 0), (0, 0), (0, size - flat.shape[2])))
        parts.append(as_words(filled))
    return np.concatenate(parts, axis=2)


def as_words(bits: np.ndarray) -> np.ndarray:
    """Uint32 words of 0 and 1 (..., a multiple of 32), the lowest bit first."""
    return np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little")).view("<u4")


def compare(plan: Plan, trace: Trace, ran: Ran) -> Compared:
    """The program's run against C's."""
    wanted = expected(plan, trace.spikes)
    unlike = np.bitwise_count(wanted ^ ran.spikes) if hasattr(np, "bitwise_count") else _bits(wanted ^ ran.spikes)
    logits = trace.logits != ran.logits
    return Compared(
        spikes=sum(v.size for n, v in trace.spikes.items() if any(u.population.id == n for u in plan.units)),
        differing_spikes=int(unlike.sum()),
        logits=logits.size,
        differing_logits=int(logits.sum()),
        first=_first(plan, wanted ^ ran.spikes, logits),
    )


def _bits(values: np.ndarray) -> np.ndarray:
    return np.unpackbits(np.ascontiguousarray(values).view(np.uint8))


def _first(plan: Plan, unlike: np.ndarray, logits: np.ndarray) -> Difference | None:
    """By sample and timestep, then in the order in which populations run."""
    at = np.argwhere(unlike)
    if not len(at):
        wrong = np.argwhere(logits)
        return (
            Difference(population=None, sample=int(wrong[0][0]), timestep=0, neuron=int(wrong[0][1]))
            if len(wrong)
            else None
        )
    sample, timestep, word = (int(n) for n in at[0])
    value = int(unlike[sample, timestep, word])
    for u in plan.units:
        size = words(u.population.size)
        if word < size:
            index = 32 * word + (value & -value).bit_length() - 1
            neuron = int(u.layout.order[index]) if index < u.population.size else index
            return Difference(population=u.population.id, sample=sample, timestep=timestep, neuron=neuron)
        word -= size
    raise AssertionError("no population has that word")  # pragma: no cover
