"""Time and energy of a microcontroller: instructions x cycles per instruction x time or energy per cycle.

The core computes while an inference lasts, and is taken to sleep afterwards: what it draws then has no line here.
"""

from __future__ import annotations

from snnas.hw_sim.energy.latency import Latency
from snnas.hw_sim.energy.price import ZERO, Bill, Line
from snnas.hw_sim.energy.profile import Band, Constant, Profile, weakest
from snnas.hw_sim.errors import UnsupportedError


def multiplied(one: Band, other: Band) -> Band:
    """End by end: as if both moved together."""
    return Band(low=one.low * other.low, nominal=one.nominal * other.nominal, high=one.high * other.high)


def cycles_of(instructions: Band, profile: Profile) -> Band:
    """Clock cycles of so many instructions; UnsupportedError for a profile of no microcontroller."""
    return multiplied(instructions, _constant(profile, "cycles.instruction").band)


def latency_of(instructions: Band, profile: Profile, timesteps: int) -> Latency:
    """Of one inference; a step is a timestep."""
    constant = _constant(profile, "time.cycle")
    inference = multiplied(cycles_of(instructions, profile), constant.band) * 1e-3
    return Latency(
        steps=timesteps,
        step_us=inference * (1 / timesteps),
        inference_us=inference,
        throughput=Band(low=1e6 / inference.high, nominal=1e6 / inference.nominal, high=1e6 / inference.low),
        evidence=weakest([constant.basis, _constant(profile, "cycles.instruction").basis]) or "",
    )


def bill_of(instructions: Band, profile: Profile) -> Bill:
    """Of one inference."""
    constant, each = _constant(profile, "energy.cycle"), _constant(profile, "cycles.instruction")
    cycles = cycles_of(instructions, profile)
    energy = multiplied(cycles, constant.band) * 1e-6
    line = Line(part="dynamic", item="cycle", count=cycles.nominal, energy=energy, basis=constant.basis,
                source=constant.source)  # fmt: skip
    return Bill(
        profile=profile.name,
        profile_version=profile.version,
        scope=profile.scope,
        banner=profile.banner,
        provenance="estimated",
        evidence=weakest([constant.basis, each.basis]),
        encode=ZERO,
        dynamic=energy,
        floor=ZERO,
        total=energy,
        lines=(line,),
        unpriced=(),
    )


def _constant(profile: Profile, key: str) -> Constant:
    found = profile.get(key)
    if found is None:
        raise UnsupportedError(
            f"profile {profile.name} prices no microcontroller ({key} is missing); name one that does, as stm32l412 or "
            "esp32c3"
        )
    return found
