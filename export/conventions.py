"""What a .nir file leaves open, and how this tool settles it. The only home of these numbers.

A NIR LIF is an ODE with tau in seconds and no step, no reset mode and no comparison. Ours: forward Euler with
``DT``, r = 1 (norse ignores r), reset to zero, and a spike iff v > threshold (what NumPy, snntorch and norse do).
Training fires at v >= threshold, so a deployed threshold is the float32 just below: then ``>`` means ``>=``.
"""

from __future__ import annotations

import numpy as np

DT = 1e-4  # seconds per timestep; snntorch hard-codes it, spikingjelly defaults to it
KEY = "snnas"  # metadata key of graph and nodes; the value is one JSON string
FORMAT = "snnas.nir/1"

OR_TAU_STEPS, OR_THRESHOLD = 2.0, 0.25  # LIF(tau = 2 dt): v = sum / 2 > .25 iff any spike came; it always resets


def deployed_threshold(threshold: float) -> np.float32:
    """The largest float32 below ``threshold``: ``v > it`` iff ``v >= threshold`` for float32 v."""
    return np.float32(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def tau_seconds(tau_steps: float) -> np.float32:
    """A time constant in timesteps as NIR stores it."""
    return np.float32(tau_steps * DT)


def decay_of(tau: np.ndarray) -> np.ndarray:
    """Dt / tau, in float64, of a stored float32 tau: the share of v that is replaced at each timestep."""
    return np.asarray(np.minimum(DT / tau.astype(np.float64), 1.0))  # a tau of dt is a hair below it in float32
