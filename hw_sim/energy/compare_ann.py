"""An ANN of the same shape: how much work it would do, and whether the spikes pay. Work, not joules.

``ann_macs``: multiply-accumulates of the same weighted layers on dense activations, once per inference, edge-aware
(padding costs nothing). The host stage is in it, but not in the ratio: both sides pay it once.

``spikes_per_synapse``: synops / connections, the mean number of spikes that cross a synapse in an inference.
``rate``: that per timestep. Yardsticks, none of them a measurement of this network:

* Dampfhoffer et al. 2023 (IEEE TETCI 7(3)): with memory accesses counted, an SNN breaks even with an ANN at .15 to
  1.38 spikes per synapse and inference, by hardware and neuron model.
* Yan et al. 2024 (arXiv 2409.08290): a mean rate below 6.4 % at T = 5 to 10, against an ANN quantised to as many levels
  as T timesteps carry. ``break_even_rate`` is the rule of thumb for any T, ``ceil(log2(T + 1)) / (8 T)``, which
  second-hand sources read from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.program import CLOCK, LinearMap, Program, Shape

DAMPFHOFFER = (0.15, 1.38)  # spikes per synapse and inference
YAN_RATE, YAN_STEPS = 0.064, (5, 10)
SOURCES = (
    "Dampfhoffer et al. 2023, IEEE TETCI 7(3): break-even at 0.15 to 1.38 spikes per synapse and inference",
    "Yan et al. 2024, arXiv 2409.08290: rate below 6.4 % at T = 5 to 10; any T: ceil(log2(T + 1)) / (8 T), second-hand",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnComparison:
    """See the module's docstring. ratios are None where one side does nothing."""

    ann_macs: int
    ann_macs_host: int
    synops: float
    synops_per_ann_mac: float | None
    spikes_per_synapse: float
    rate: float
    break_even_rate: float
    verdict: str
    sources: tuple[str, ...] = SOURCES
    provenance: str = "estimated"

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return asdict(self)


def dense_macs(layers: Iterable[tuple[LinearMap, Shape]]) -> int:
    """Multiply-accumulates of weighted layers on inputs of these shapes, edge-aware."""
    return sum(int(fan_out(linear, shape).sum()) for linear, shape in layers)


def program_macs(program: Program) -> int:
    """What ``dense_macs`` of the program's graph would be, from the program alone; host stage included.

    An upper bound: a layer that a skip connection carries to several populations is a synapse into each of them.
    OR and relay neurons stand for no multiplication, the clock for biases.
    """
    gates = {p.id for p in program.populations if p.role != "neuron"}
    layers = [(s.map, program.source_shape(s.src)) for s in program.synapses if s.dst not in gates and s.src != CLOCK]
    return dense_macs(layers) + host_macs(program) + program.readout.connections


def host_macs(program: Program) -> int:
    """Multiply-accumulates of the host stage on one frame."""
    return dense_macs((h.map, program.input_shape) for h in program.host)


def break_even_rate(timesteps: int) -> float:
    """Spikes per synapse and timestep at which an SNN and its quantised ANN cost the same (rule of thumb)."""
    return math.ceil(math.log2(timesteps + 1)) / (8 * timesteps)


def compare(*, synops: float, connections: int, ann_macs: int, ann_macs_host: int, timesteps: int) -> AnnComparison:
    """synops: per inference. connections: of all synapses that they cross."""
    per_synapse = synops / max(1, connections)
    on_chip = ann_macs - ann_macs_host
    rate, limit = per_synapse / timesteps, break_even_rate(timesteps)
    return AnnComparison(
        ann_macs=ann_macs,
        ann_macs_host=ann_macs_host,
        synops=synops,
        synops_per_ann_mac=synops / on_chip if on_chip > 0 else None,
        spikes_per_synapse=per_synapse,
        rate=rate,
        break_even_rate=limit,
        verdict=_verdict(per_synapse, rate, limit, timesteps),
    )


def _verdict(per_synapse: float, rate: float, limit: float, timesteps: int) -> str:
    low, high = DAMPFHOFFER
    found = f"{per_synapse:.2g} spikes per synapse"
    if per_synapse < low:
        first = f"likely less energy than an ANN of the same shape: {found}, below the break-even range {low} to {high}"
    elif per_synapse <= high:
        first = f"undecided, the hardware decides: {found}, inside the break-even range {low} to {high}"
    else:
        first = f"likely more energy than an ANN of the same shape: {found}, above the break-even range {low} to {high}"
    yan = f" and {YAN_RATE:.1%} published" if YAN_STEPS[0] <= timesteps <= YAN_STEPS[1] else ""
    side = "below" if rate < limit else "above"
    return f"{first}; its rate of {rate:.1%} is {side} the break-even of {limit:.1%} at T = {timesteps}{yan}"
