"""What currents a population meets on calibration samples, in real units: what its registers need, not what they might.

The worst case over all spikes is far from what a network sends: of 700 inputs a few fire together. Where a scale that
holds for it would leave the weights few bits, registers get ``MARGIN`` times what was seen instead. The program then
says ``observed`` of that population, and simulators refuse samples on which a register overflows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from snnas.export.compiler.circuit import Group, Link
from snnas.export.compiler.signed_sums import signed_sums
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.linear import apply as apply_map
from snnas.hw_sim.program import Shape

MARGIN = 2.0  # registers hold so many times what the calibration samples filled
CHUNK = 1 << 24  # numbers of a population's currents at once

Ranges = Literal["auto", "proved", "observed"]


def check_ranges_option(ranges: str) -> None:
    """UsageError for an option that there is not."""
    if ranges not in get_args(Ranges):
        raise UsageError(f"--ranges {ranges}: expected one of {', '.join(get_args(Ranges))}")


def observed_reach(
    group: Group,
    links: Sequence[tuple[Link, Shape]],
    spikes: Mapping[str, np.ndarray],
    constant: tuple[np.ndarray, np.ndarray],
    timesteps: int,
) -> tuple[float, float] | None:
    """The largest synaptic input of a timestep and the largest current, either way; None where no samples are known.

    links: with the shape of each source. spikes: bool (B, T, C, H, W) by source; a source that is missing counts with
    its bounds. constant: the least and the largest current of anything else.
    """
    known = [(k, spikes[k.src]) for k, _ in links if k.src in spikes]
    if not known:
        return None
    low, high = constant
    for k, shape in links:
        if k.src not in spikes:
            down, up = signed_sums(k.map, shape, group.shape)
            low, high = low + down, high + up
    samples = min(len(s) for _, s in known)
    steps = min(timesteps, *(s.shape[1] for _, s in known))
    size = max(1, CHUNK // (steps * max(int(np.prod(group.shape)), *(int(np.prod(s.shape[2:])) for _, s in known))))
    a = u = 0.0
    for start in range(0, samples, size):
        part = slice(start, min(start + size, samples))
        now = np.zeros((part.stop - part.start, steps, *group.shape))
        for k, fired in known:
            here = fired[part, : steps - k.distance]
            made = apply_map(k.map, here.reshape(-1, *here.shape[2:]), group.shape)
            now[:, k.distance :] += made.reshape(len(here), steps - k.distance, *group.shape)
        a = max(a, float((now + high).max()), -float((now + low).min()))
        top, bottom = np.zeros((2, len(now), *group.shape))
        for t in range(steps):
            top = top * (1 - group.decay) + now[:, t] + high
            bottom = bottom * (1 - group.decay) + now[:, t] + low
            u = max(u, float(top.max()), -float(bottom.min()))
    return a, u
