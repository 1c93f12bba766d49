"""The integer arithmetic of a Loihi neuron and synapse: its only home.

Every function takes NumPy arrays or torch tensors of int64 alike (only operators and methods that both have are
used) and is exact. The source is Lava 0.10's ``fixed_pt`` models, confirmed step by step by running them:

    u(t) = trunc(u(t-1) * (4096 - (du + 1)) / 4096) + (a(t) << 6), 24-bit wrap; du = 4095: u = a << 6
    v(t) = clip(trunc(v(t-1) * (4096 - dv) / 4096) + u(t) + bias, -(2**23 - 1), 2**23 - 1)
    spike iff v(t) > (vth << 6), strictly; then v := 0

A soft reset, ``v := v - taken``, is no part of them: a digital neuron that is not Loihi's, in the same units.

``trunc`` rounds toward zero. ``bias`` is ``mantissa << exponent`` in 1/64 of a weight unit. Python 3.10 syntax and
no import of ours, so that the Lava side can read it too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

DECAY_BITS = 12
STATE_SHIFT = 6
STATE_LIMIT = 1 << 23
CURRENT_LIMIT = (1 << 15) - 1

Array = Any  # numpy.ndarray or torch.Tensor, int64


def decay(v: Array, dv: int) -> Array:
    """``trunc(v * (4096 - dv) / 4096)``: the leak of one hardware step, rounded toward zero."""
    product = v * ((1 << DECAY_BITS) - dv)
    return (product + ((product >> 63) & ((1 << DECAY_BITS) - 1))) >> DECAY_BITS


def wrap_current(u: Array) -> Array:
    """The 24-bit overflow of u: one turn, and +2**23 itself survives (as Lava computes it)."""
    u = u - (u > STATE_LIMIT) * (2 * STATE_LIMIT)
    return u + (u <= -STATE_LIMIT) * (2 * STATE_LIMIT)


def overflow(u: Array, a: Array, du: int) -> tuple[str, int, int] | None:
    """(register, value, limit) of a timestep in which a 16-bit ``a`` or the 24-bit u after it overflows; else None.

    u: the synaptic current before it, or zeros where it has no memory. A chip says nothing, it computes otherwise.
    """
    if not len(a):
        return None
    pushed = decay(u, du + 1) + (a << STATE_SHIFT)
    for register, values, limit in (("a", a, CURRENT_LIMIT), ("u", pushed, STATE_LIMIT - 1)):
        low, high = int(values.min()), int(values.max())
        if max(high, -low) > limit:
            return register, high if high >= -low else low, limit
    return None


def current_step(u: Array, a: Array, du: int) -> Array:
    """The synaptic current after a timestep of one hardware step, in 1/64 of a weight unit; a: weight units."""
    return wrap_current(decay(u, du + 1) + (a << STATE_SHIFT))


def neuron_step(
    v: Array, a: Array, bias: Array, dv: int, vth: int, leaks: int = 1, taken: int = 0
) -> tuple[Array, Array]:
    """One timestep of a population whose current has no memory: ``(v, spikes)`` after it.

    v: state, in 1/64 of a weight unit. a: synaptic input in weight units. bias: 1/64 of a weight unit.
    leaks: hardware steps per timestep; input and bias arrive on the last of them. taken: see ``after_spikes``.
    """
    return membrane_step(v, wrap_current(a << STATE_SHIFT), bias, dv, vth, leaks, taken)


def membrane_step(
    v: Array, u: Array, bias: Array, dv: int, vth: int, leaks: int = 1, taken: int = 0
) -> tuple[Array, Array]:
    """``neuron_step`` with the synaptic current ``u`` given, in 1/64 of a weight unit."""
    v = membrane(v, u, bias, dv, leaks)
    spikes = v > (vth << STATE_SHIFT)
    return after_spikes(v, spikes, taken), spikes


def after_spikes(v: Array, spikes: Array, taken: int = 0) -> Array:
    """The state once its spikes have reset it: 0, or where ``taken`` is not 0 less by that (1/64 of a weight unit)."""
    return v - spikes * taken if taken else v * ~spikes


def membrane(v: Array, u: Array, bias: Array, dv: int, leaks: int = 1) -> Array:
    """What ``membrane_step`` compares with the threshold: the state before a spike resets it."""
    for _ in range(leaks):
        v = decay(v, dv)
    return (v + u + bias).clip(-(STATE_LIMIT - 1), STATE_LIMIT - 1)


def effective_bias(mantissa: Array, exponent: int) -> Array:
    """The bias that acts, in 1/64 of a weight unit."""
    return mantissa << exponent


def quantise(values: Array, scale: float, exponent: int, low: int, high: int) -> Array:
    """``round-half-even(values * scale / 2**exponent)`` clipped to [low, high]; still floating point."""
    return (values * (scale / (1 << exponent))).round().clip(low, high)


class Fused(NamedTuple):
    """What ``fused_steps`` needs to know of a population; ``fused`` proves that float32 holds it."""

    divisor: float  # v is divided by this, a power of two, in one timestep; 0: leak by leak, as below
    factor: int  # 4096 - dv
    leaks: int
    whole: bool  # v * factor fits 24 bits
    threshold: int  # vth << 6
    clip: bool  # v may reach the clip


def fused(dv: int, vth: int, leaks: int, *, current: int, bias: int, steps: int) -> Fused | None:
    """The constants for ``fused_steps``, or None where float32 is not proven to be exact.

    current: bound of |a| in weight units, partial sums included. bias: bound of |bias|. steps: timesteps of a run.
    Float32 holds integers up to 2**24 (and those times a power of two). If ``64 current <= 2**23`` and ``64 current +
    bias < 2**24``, u does not wrap and u + bias is exact in any order. v + u + bias is then exact below 2**24; beyond
    it, rounding cannot bring the sum back below 2**24, and both the exact and the rounded one are clipped.
    """
    push = (current << STATE_SHIFT) + bias
    if current << STATE_SHIFT > STATE_LIMIT or push >= 2 * STATE_LIMIT:
        return None
    one, threshold = 1 << DECAY_BITS, vth << STATE_SHIFT
    factor = one - dv
    # Survivors lie at or below the threshold; below zero, v sinks at most to the sum of the geometric series.
    kept = (factor / one) ** leaks
    deepest = min(push * steps, push / (1 - kept) if kept < 1 else push * steps)
    reach = min(max(deepest, threshold + push) * 1.0001, STATE_LIMIT)
    odd = factor // (factor & -factor)
    # trunc(trunc(v / 2^a) / 2^b) = trunc(v / 2^(a + b)): the leaks of a timestep are one division; 2^24 leaves nothing
    divisor = 2.0 ** min(leaks * (DECAY_BITS + 1 - factor.bit_length()), 24) if odd == 1 else 0.0
    return Fused(divisor, factor, leaks, reach * odd < 2 * STATE_LIMIT, threshold, reach >= STATE_LIMIT - 1)


def fused_steps(
    v: Array, u: Array | None, constant: Array | None, spikes: Array, f: Fused, before: Array | None = None
) -> None:
    """``neuron_step`` over consecutive timesteps in float32 torch tensors, in place and equal bit for bit.

    v: float32 (B, N), the state. u: (B, T, N), input times 64. constant: (B or 1, N), what is added at every step, the
    bias included. spikes: bool (B, T, N), written; before: float32 (B, T, N), written where it is given: the state that
    the threshold sees. Five or six passes, of the kinds that torch has vectorised:
    measured, ``trunc_``, ``masked_fill_`` and comparisons into bool are three to forty times slower than these.
    """
    import torch  # here alone: the rest of this module is read without torch

    above = torch.empty_like(v)
    for t in range(spikes.shape[1]):
        _fused_drive(v, None if u is None else u[:, t], constant, f)
        if before is not None:
            before[:, t].copy_(v)
        torch.threshold(v, f.threshold, 0.0, out=above)  # v where it fires, else 0; v > threshold >= 0 is not 0
        spikes[:, t].copy_(above)
        v.sub_(above)


def fused_step(v: Array, u: Array | None, constant: Array | None, spikes: Array, threshold: Array, f: Fused) -> None:
    """One timestep of ``fused_steps`` in a form that torch.compile fuses well: no mask, no loop.

    u: (B, N). spikes: uint8 (B, N), written. threshold: f.threshold in a float32 tensor without axes (and f.threshold
    set to 0), so that populations of one leak share a compiled function. Beyond eight leaks torch goes on eagerly.
    """
    _fused_drive(v, u, constant, f)
    fires = (v - threshold).clamp(0.0, 1.0)  # both are integers
    v.mul_(1.0 - fires)
    spikes.copy_(fires)


def _fused_drive(v: Array, u: Array | None, constant: Array | None, f: Fused) -> None:
    """Leak, input, constant and clip."""
    if f.divisor > 1:
        v.div_(f.divisor, rounding_mode="trunc")
    for _ in range(0 if f.divisor else f.leaks):
        if f.whole:
            v.mul_(f.factor).div_(1 << DECAY_BITS, rounding_mode="trunc")
            continue
        # v = 4096 high + low, both of v's sign, so trunc(v factor / 4096) = high factor + trunc(low factor / 4096),
        # and each product stays below 2**24
        high = v.div(1 << DECAY_BITS, rounding_mode="trunc")
        v.sub_(high, alpha=1 << DECAY_BITS).mul_(f.factor).div_(1 << DECAY_BITS, rounding_mode="trunc")
        v.add_(high, alpha=f.factor)
    if u is not None:
        v.add_(u)
    if constant is not None:
        v.add_(constant)
    if f.clip:
        v.clamp_(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
