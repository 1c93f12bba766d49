"""What a measurement says of the constants: energy and time of a probe, linear in them.

Energy of an inference is ``price``'s bill: counts times energies, and chips times powers times the time that was
measured. Its time is ``latency``'s closed form, a sum over hardware steps of the slowest core: linear once it is known
which core that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snnas.hw_sim.energy.price import work
from snnas.hw_sim.energy.profile import Profile
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.simulate.counts import Counts

FLOOR = ("power.idle", "power.run")
# What the bill counts on any chip; synops by their formats only where the profile tells them apart.
BILL = (
    "energy.update_active",
    "energy.update_idle",
    "energy.spike_generation",
    "energy.message",
    "energy.hop_ew",
    "energy.hop_ns",
    "energy.crossing",
    "energy.input_spike",
)
OF_MESH = ("energy.hop_ew", "energy.hop_ns", "energy.crossing")  # of the bill: not on every system
SYNOPS = ("energy.synop_conv", "energy.synop_dense", "energy.synop_sparse")
TIMES = ("time.update_active", "time.update_idle", "time.synop", "time.message", "time.barrier")

Constants = dict[str, float]  # in pJ, mW and ns, by the keys of ``profile.UNITS``


def starting(profile: Profile) -> Constants:
    """The constants that are to be fitted, with the values that they are expected to have.

    One that the profile does not price begins at its message's or its synop's price: a scale, no more than that.
    UnsupportedError for a profile of a microcontroller, which has no such constants.
    """
    if profile.get("energy.cycle") is not None:
        raise UnsupportedError(
            f"profile {profile.name} prices cycles of a microcontroller: its energy is power times time, which needs "
            "no probes; name a profile of synops and updates, as loihi1"
        )
    known = {key: c.value for key, c in profile.constants.items()}
    formats = [key for key in SYNOPS if key in known]
    if len(formats) < len(SYNOPS):  # what the others are billed to
        formats.append("energy.synop")
    scale = known.get("energy.message") or known.get(formats[0]) or 1.0
    wanted = [*formats, *BILL]
    wanted += ["energy.host_mac"] if "energy.host_mac" in known else []
    found = {key: known.get(key) or scale for key in wanted}
    found |= {key: known.get(key) or 1.0 for key in FLOOR}
    return found | {key: known.get(key) or 1.0 for key in TIMES}


def energies(constants: Mapping[str, float]) -> list[str]:
    """The keys that energy depends on."""
    return [key for key in constants if not key.startswith("time.")]


def times(constants: Mapping[str, float]) -> list[str]:
    """The keys that time depends on."""
    return [key for key in constants if key.startswith("time.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts of one inference, in the form that the rows below are made of."""

    priced: dict[str, float]
    """By constant: how often it is due."""
    chips: int
    """Chips of the system."""
    chips_used: int
    """Of them, those that hold a core of the program."""
    loads: dict[str, np.ndarray]
    """By constant of time: (cores, steps), how often it is due on each core."""
    steps: int
    """Hardware steps, each of which ends with a barrier."""


def tally(counts: Counts) -> Tally:
    """Of counts, the mean inference."""
    active, synops, messages = (
        np.array([getattr(core, name) for core in counts.cores]) / counts.samples
        for name in ("active", "synops", "messages")
    )
    idle = np.array([core.compartments for core in counts.cores])[:, None] - active
    return Tally(
        priced={key: n / counts.samples for _, key, n in work(counts)},
        chips=counts.chips,
        chips_used=counts.chips_used,
        loads=dict(zip(TIMES, (active, idle, synops, messages), strict=False)),
        steps=counts.steps,
    )


def energy_row(found: Tally, keys: Sequence[str], time_us: float) -> np.ndarray:
    """(K,): microjoules of an inference per unit of each constant."""
    row = dict.fromkeys(keys, 0.0)
    for key, n in found.priced.items():
        due = key if key in row else "energy.synop" if key in SYNOPS else None
        if due in row:
            row[due] += n * 1e-6  # pJ to uJ
    row["power.idle"] = found.chips * time_us * 1e-3  # mW x us = nJ
    row["power.run"] = found.chips_used * time_us * 1e-3
    return np.array([row[key] for key in keys])


def idle_row(chips: int, keys: Sequence[str], time_us: float) -> np.ndarray:
    """The same of a board that waits."""
    return np.array([chips * time_us * 1e-3 if key == "power.idle" else 0.0 for key in keys])


def time_row(found: Tally, values: Mapping[str, float]) -> np.ndarray:
    """(K,): microseconds of an inference per unit of each constant, the cores as slow as ``values`` say."""
    busy = sum(load * values.get(key, 0.0) for key, load in found.loads.items())
    slowest = np.argmax(busy, axis=0)
    steps = np.arange(len(slowest))
    row = {key: float(load[slowest, steps].sum()) for key, load in found.loads.items()}
    row["time.barrier"] = float(found.steps)
    return np.array([row[key] * 1e-3 for key in values])
