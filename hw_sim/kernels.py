"""The integer arithmetic of a Loihi neuron and synapse: its only home.

Every function takes NumPy arrays or torch tensors of int64 alike (only operators and methods that both have are
used) and is exact. The source is Lava 0.10's ``fixed_pt`` models, confirmed step by step by running them:

    u(t) = trunc(u(t-1) * (4096 - (du + 1)) / 4096) + (a(t) << 6),  du = 4095 here, so u = a << 6; 24-bit wrap
    v(t) = clip(trunc(v(t-1) * (4096 - dv) / 4096) + u(t) + bias, -(2**23 - 1), 2**23 - 1)
    spike iff v(t) > (vth << 6), strictly; then v := 0

``trunc`` rounds toward zero. ``bias`` is ``mantissa << exponent`` in 1/64 of a weight unit. Python 3.10 syntax and
no import of ours, so that the Lava side can read it too.
"""

from __future__ import annotations

from typing import Any

DECAY_BITS = 12
STATE_SHIFT = 6
STATE_LIMIT = 1 << 23

Array = Any  # numpy.ndarray or torch.Tensor, int64


def decay(v: Array, dv: int) -> Array:
    """``trunc(v * (4096 - dv) / 4096)``: the leak of one hardware step, rounded toward zero."""
    product = v * ((1 << DECAY_BITS) - dv)
    return (product + ((product >> 63) & ((1 << DECAY_BITS) - 1))) >> DECAY_BITS


def wrap_current(u: Array) -> Array:
    """The 24-bit overflow of u: one turn, and +2**23 itself survives (as Lava computes it)."""
    u = u - (u > STATE_LIMIT) * (2 * STATE_LIMIT)
    return u + (u <= -STATE_LIMIT) * (2 * STATE_LIMIT)


def neuron_step(v: Array, a: Array, bias: Array, dv: int, vth: int, leaks: int = 1) -> tuple[Array, Array]:
    """One timestep of a population: ``(v, spikes)`` after it.

    v: state, in 1/64 of a weight unit. a: synaptic input in weight units. bias: 1/64 of a weight unit.
    leaks: hardware steps per timestep; input and bias arrive on the last of them.
    """
    for _ in range(leaks):
        v = decay(v, dv)
    v = (v + wrap_current(a << STATE_SHIFT) + bias).clip(-(STATE_LIMIT - 1), STATE_LIMIT - 1)
    spikes = v > (vth << STATE_SHIFT)
    return v * ~spikes, spikes


def effective_bias(mantissa: Array, exponent: int) -> Array:
    """The bias that acts, in 1/64 of a weight unit."""
    return mantissa << exponent


def quantise(values: Array, scale: float, exponent: int, low: int, high: int) -> Array:
    """``round-half-even(values * scale / 2**exponent)`` clipped to [low, high]; still floating point."""
    return (values * (scale / (1 << exponent))).round().clip(low, high)
