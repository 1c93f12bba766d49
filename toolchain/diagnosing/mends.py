"""What gives a loss back: ways out are compiled and run on the same samples, and those that gain are named.

Tried are more bits; scales for what the samples need, where a proof for all input has cost bits; and where a synapse or
a bias has an outlier, which stretches the steps of all its other numbers, the graph with that outlier clipped. Like
``snnas export`` they round by calibration spikes, here of the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Circuit
from snnas.export.compiler.observed_currents import Ranges
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.resolution import resolutions
from snnas.export.compiler.schedule import schedule
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import INPUT
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.data.statistics import beyond_chance
from snnas.toolchain.diagnosing import causes, hybrid
from snnas.toolchain.diagnosing.causes import Setting, SettingRuns
from snnas.toolchain.diagnosing.outliers import outliers
from snnas.toolchain.diagnosing.pairing import Joint

CALIBRATION = 32  # samples
CALIBRATED = "rounding by calibration spikes, as snnas export does"
MOST = 3  # outliers that are tried, the farthest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """cause: what of ``hybrid.CAUSES`` it is a mend of. where: the synapse or population with an outlier, else ''.

    ratio: of the outlier to the median magnitude beside it.
    """

    cause: str
    text: str
    circuit: Circuit
    bits: int
    ranges: Ranges = "proved"
    where: str = ""
    ratio: float | None = None


def tried(
    joint: Joint, x: np.ndarray, measured: SettingRuns, labels: np.ndarray | None, *, compiled: bool
) -> list[Any]:
    """The mends that gain beyond chance, the best first, as plain numbers.

    compiled: the program was compiled for this diagnosis, without calibration.
    """
    spikes = _calibration(joint, x[:CALIBRATION])
    ranges: Ranges = "observed" if joint.program.observed else "proved"
    anew = Mend(cause="weights", text=CALIBRATED, circuit=joint.circuit, bits=joint.program.weight_bits, ranges=ranges)
    base = _run(joint, anew, spikes, x) or measured.program
    found = []
    for mend in [*([anew] if compiled else []), *_candidates(joint)]:
        setting = base if mend is anew else _run(joint, mend, spikes, x)
        if setting is None:
            continue
        worth = causes.worth(setting, measured.program, measured, labels)
        # What is not better than the same network compiled here again has gained by that alone.
        others = [worth] if mend is anew else [worth, causes.worth(setting, base, measured, labels)]
        if not all(beyond_chance(w["mended"], w["broken"]) for w in others):
            continue
        share = causes.share(setting, measured, labels)
        plain = {name: getattr(mend, name) for name in ("cause", "text", "bits", "where", "ratio")}
        figures = {name: share[name] for name in ("accuracy", "agreement")}
        found.append(plain | figures | {name: worth[name] for name in ("points", "mended", "broken")})
    return sorted(found, key=lambda m: -m["points"])


def _candidates(joint: Joint) -> Iterator[Mend]:
    bits, circuit = joint.program.weight_bits, joint.circuit
    for more in limits.WEIGHT_WIDTHS:
        if more > bits:
            yield Mend(cause="weights", text=f"--bits {more}", circuit=circuit, bits=more)
    left = resolutions(circuit.links, joint.program).values()
    if not joint.program.observed and any(r.bits < bits and not r.exact for r in left):
        yield Mend(cause="weights", text="--ranges observed", circuit=circuit, bits=bits, ranges="observed")
    for o in outliers(circuit)[:MOST]:
        text = (
            f"in the graph: clip {o.count:,} of {o.total:,} {o.what} at +-{o.most:.3g}; the largest is {o.ratio:.0f} "
        )
        text += "times the median and stretches the step of all"
        yield Mend(cause=o.cause, text=text, circuit=o.clipped, bits=bits, where=o.where, ratio=o.ratio)


def _calibration(joint: Joint, x: np.ndarray) -> dict[str, np.ndarray]:
    """What each population of the graph fires, bool (B, T, C, H, W)."""
    given = hybrid.stimulus(joint, x)
    exact = hybrid.run_hybrid(joint, given, hybrid.everywhere(joint, hybrid.CAUSES))
    fired = {u.id: exact.spikes[u.id] for u in joint.units if u.group is not None}
    return fired if given.spikes is None else {**fired, INPUT: given.spikes}


def _run(joint: Joint, mend: Mend, spikes: dict[str, np.ndarray], x: np.ndarray) -> Setting | None:
    """None where it does not compile."""
    program = joint.program
    try:
        other = quantise(
            schedule(mend.circuit),
            timesteps=program.timesteps,
            spikes=spikes,
            input_range=program.input_range,
            bits=mend.bits,
            ranges=mend.ranges,
        )
        predictions = [trace.predictions for trace, _ in simulate_input(other, x, batch=causes.batch(joint))]
    except UnsupportedError:
        return None
    return Setting(frozenset(), predictions)
