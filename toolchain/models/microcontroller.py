"""What a program costs on a system: on a chip of neurons by its counts, on a microcontroller by the C it becomes.

Of a microcontroller flash, memory and instructions are estimated without a compiler (``export/formats/c``): constants
and state are exact, the rest is fitted. An export to C measures them where a compiler and an emulator are installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snnas.export.formats.c import Plan, c_model, plan
from snnas.export.formats.c.footprint import Footprint, footprint
from snnas.export.formats.c.instructions import ERROR, instructions
from snnas.export.formats.c.rest import shares
from snnas.export.formats.c.work import work
from snnas.hw_sim.energy.latency import Latency, estimate_latency
from snnas.hw_sim.energy.microcontroller import bill_of, latency_of
from snnas.hw_sim.energy.price import Bill, price
from snnas.hw_sim.energy.profile import Band, Profile
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import with_integers
from snnas.hw_sim.map.mapping import Mapping as Placement
from snnas.hw_sim.map.mapping import Misfit, map_program
from snnas.hw_sim.map.system import System
from snnas.hw_sim.program import INPUT, Program
from snnas.hw_sim.simulate.counts import Counts

PROFILE_OF = {"cortex-m4": "stm32l412", "rv32imc": "esp32c3"}  # of a board with the core


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlash:
    """A program on a microcontroller. instructions: of one inference; None: not counted."""

    core: str
    footprint: Footprint
    instructions: Band | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Of one inference. None: the profile does not price it, or it fits nowhere. device: of a microcontroller."""

    latency: Latency | None
    bill: Bill | None
    device: InFlash | None


def for_system(program: Program, system: System, seen: Sequence[np.ndarray] = ()) -> Program:
    """The program as the system runs it: a microcontroller has no floats, so its host stage computes in integers.

    seen: samples of what it is given, as of ``with_integers``.
    """
    wanted = system.core is not None and program.host and program.host_integers is None
    return with_integers(program, seen) if wanted else program


class Rested:
    """How often the populations of a C rest, measured while samples run: a program's own figure is its maker's word."""

    def __init__(self, program: Program, device: InFlash | None) -> None:
        self._plan = None if device is None else plan(program)
        self._sums, self._samples = dict[str, float](), 0

    def add(self, spikes: Mapping[str, np.ndarray], spikes_in: np.ndarray | None) -> None:
        """Of some samples the spikes of populations and of the input, (B, T, ...)."""
        if self._plan is None:
            return
        some = len(next(iter(spikes.values())))
        for name, share in shares(self._plan, spikes if spikes_in is None else {**spikes, INPUT: spikes_in}).items():
            self._sums[name] = self._sums.get(name, 0.0) + some * share
        self._samples += some

    @property
    def shares(self) -> dict[str, float]:
        """Of timesteps, by population."""
        return {name: total / self._samples for name, total in self._sums.items()}


def place(
    program: Program, system: System, *, rates: Mapping[str, float] | None = None
) -> tuple[Placement, InFlash | None]:
    """Where it lies; what exceeds flash or memory is a misfit as a core's is. rates: which weight the hops."""
    mapping = map_program(program, system, rates=rates)
    if system.core is None:
        return mapping, None
    found = footprint(c_model(plan(program)), system.core)
    needs = (("flash", found.flash, system.flash), ("ram", found.ram, system.ram))
    over = tuple(
        Misfit(place="program", resource=n, used=used, limit=limit) for n, used, limit in needs if used > limit
    )
    return replace(mapping, misfits=(*mapping.misfits, *over)), InFlash(core=system.core, footprint=found)


def priced(
    program: Program,
    counts: Counts,
    mapping: Placement,
    device: InFlash | None,
    profile: Profile | None,
    rested: Mapping[str, float] | None = None,
) -> Priced:
    """What an inference takes. device: as ``place`` gave it; rested: as ``work`` takes it, of a microcontroller."""
    if device is None:
        latency = estimate_latency(counts, profile) if profile else None
        bill = price(counts, profile, latency) if profile and mapping.fits else None
        return Priced(latency=latency, bill=bill, device=None)
    taken = instructions_of(program, counts, device.core, rested)
    device = replace(device, instructions=taken)
    if profile is None:
        return Priced(latency=None, bill=None, device=device)
    bill = bill_of(taken, profile) if mapping.fits else None
    return Priced(latency=latency_of(taken, profile, program.timesteps), bill=bill, device=device)


def of_device(device: InFlash | None) -> dict[str, float | None]:
    """What budgets bind on: bytes, and the upper end of the instructions; nothing of a chip of neurons."""
    if device is None:
        return {}
    taken = device.instructions
    return {
        "flash": float(device.footprint.flash),
        "ram": float(device.footprint.ram),
        "instructions": taken.high if taken else None,
    }


def instructions_of(program: Program, counts: Counts, core: str, rested: Mapping[str, float] | None = None) -> Band:
    """Of one inference with the spikes that were counted, and how far the model may be off."""
    slots = counts.samples * counts.timesteps
    rates = {p.id: sum(p.spikes) / (slots * p.neurons) for p in counts.populations}
    size = program.input_shape[0] * program.input_shape[1] * program.input_shape[2]
    rates |= {s.id: s.spikes / (slots * size) for s in counts.sources if s.id == INPUT}
    return estimated(plan(program), rates, frames_of(program, counts), core, rested)


def estimated(
    made: Plan, rates: Mapping[str, float], frames: int, core: str, rested: Mapping[str, float] | None = None
) -> Band:
    """Instructions of one inference at these rates (``export/formats/c/work.py``), and how far the model may be off."""
    taken = instructions(work(made, rates, frames, rested), core)
    return Band(low=taken * (1 - ERROR), nominal=taken, high=taken * (1 + ERROR))


def frames_of(program: Program, counts: Counts) -> int:
    """Frames of a sample that the host stage computes: 1 of a still input."""
    from snnas.hw_sim.energy.compare_ann import host_macs

    once = host_macs(program) * counts.samples
    return max(1, round(counts.host_macs / once)) if once else 1


def check_profile(system: System, profile: Profile) -> None:
    """UnsupportedError where a chip's prices meet a microcontroller, or a microcontroller's a chip."""
    mcu = profile.get("energy.cycle") is not None
    if mcu != (system.core is not None):
        kind = "a microcontroller" if mcu else "a chip of neurons"
        raise UnsupportedError(
            f"profile {profile.name} prices {kind}, the program is mapped on {system.name}; leave --profile out for "
            "the system's own"
        )
