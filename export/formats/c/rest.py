"""Populations at rest: whose update may be left out, because it would change nothing and nothing would fire.

Without a spike that arrives, a membrane comes nearer to what its leak and bias hold it at; with whole numbers it gets
there, after a number of timesteps that the program's own numbers give. From then on it stays, and where that is below
the threshold nothing fires. A counter of timesteps tells it, so that no update looks at what it computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.plan import Plan, Unit
from snnas.hw_sim.kernels import STATE_LIMIT, STATE_SHIFT, decay, membrane_step, wrap_current
from snnas.hw_sim.program import INPUT

RESTS = "rests"  # of a program's meta: {population: share of timesteps in which its update may be left out}


@dataclass(frozen=True, slots=True)
class Rest:
    """Updates until every neuron rests: ``begin``: of a new instance; ``after``: the last spike that arrived.

    Without another one in between; as many as there are timesteps: never again.
    """

    begin: int
    after: int


def rest(u: Unit, timesteps: int) -> Rest | None:
    """None where a neuron may fire or move without a spike that arrives, or where nothing is ever at rest.

    A membrane without input goes by ``g(v) = trunc(v f) + bias``, clipped: whole, never falling, and never steeper than
    1. So all that begin between two that no longer move end between these, and there g(v) - v, which never rises, is 0
    at both ends: none of them moves. Two are watched, from the lowest and from the highest that an update can leave.
    """
    p = u.population
    if p.current_decays and u.lanes == 0:  # whose current may lie beyond what ``_forgotten`` begins with
        return None
    if u.hosted or not u.connections or any(late and values.any() for late, values in u.constants):
        return None
    given = sum((values for _, values in u.constants), np.zeros((1, 1, 1), np.int64))
    if p.current_decays and given.any():
        return None
    bias = wrap_current(given << STATE_SHIFT) + (p.bias.astype(np.int64) << p.bias_exponent)
    bias = np.unique(np.broadcast_to(bias, np.broadcast_shapes(bias.shape, p.shape)))
    threshold = p.vth << STATE_SHIFT

    def next_of(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return membrane_step(v, np.zeros_like(v), bias, p.dv, p.vth, u.leaks, p.taken)

    def still(start: int) -> int:
        """Timesteps until none that begins there moves."""
        v = np.full_like(bias, start)
        for count in range(timesteps):
            before, (v, _) = v, next_of(v)
            if (before == v).all():
                return count
        return timesteps

    high = np.full_like(bias, threshold)
    if next_of(high)[1].any():  # else none from below the threshold ever rises above it
        return None
    count = _forgotten(p.du, timesteps) if p.current_decays else 0
    high = np.full_like(bias, u.reach if p.taken else threshold)
    while (high > threshold).any() and count < timesteps:  # what a soft reset leaves may fire again
        high, count = np.maximum(next_of(high)[0], threshold), count + 1
    found = Rest(still(0), min(count + max(still(threshold), still(-max(u.reach, p.taken))), timesteps))
    return found if min(found.begin, found.after) < timesteps else None


def _forgotten(du: int, limit: int) -> int:
    """Timesteps until a current of any size is 0."""
    current, count = np.array([STATE_LIMIT << STATE_SHIFT + 1]), 0
    while current.any() and count < limit:
        current, count = decay(current, du + 1), count + 1
    return count


def left_out(found: Rest, silent: np.ndarray) -> np.ndarray:
    """(B, T): which updates are left out. silent: bool (B, T), whether no spike arrives."""
    out = np.zeros_like(silent)
    awake = np.full(len(silent), found.begin)
    for t in range(silent.shape[1]):
        awake = np.where(silent[:, t], awake, found.after + 1)
        out[:, t] = awake == 0
        awake = np.maximum(awake - 1, 0)
    return out


def measured(plan: Plan, fired: Mapping[str, np.ndarray]) -> dict[str, float]:
    """``RESTS`` of samples: ``shares``, in four digits, of populations that rest at all."""
    return {name: rounded for name, share in shares(plan, fired).items() if (rounded := round(share, 4))}


def shares(plan: Plan, fired: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The share of timesteps in which each population that may rest does.

    fired: spikes (B, T, ...) of populations and the input; one that is not among them counts as never silent.
    """
    found_of: dict[str, float] = {}
    for u in plan.units:
        found = rest(u, plan.program.timesteps)
        if found is None:
            continue
        arrives = [_silent(fired.get(INPUT if c.src < 0 else plan.units[c.src].population.id), c.distance)
                   for c in u.connections]  # fmt: skip
        known = [a for a in arrives if a is not None]
        if len(known) == len(arrives):
            found_of[u.population.id] = float(left_out(found, np.logical_and.reduce(known)).mean())
    return found_of


def _silent(spikes: np.ndarray | None, late: int) -> np.ndarray | None:
    """(B, T): whether a source's spikes of ``late`` timesteps ago are none."""
    if spikes is None:
        return None
    none = np.asarray(~(spikes.reshape(*spikes.shape[:2], -1) > 0).any(axis=2))
    return np.concatenate([np.ones_like(none[:, :late]), none[:, : max(none.shape[1] - late, 0)]], axis=1)
