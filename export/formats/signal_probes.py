"""Signals that an encoder, written in another language, is compared on."""

from __future__ import annotations

import numpy as np

from snnas.hw_sim.signals import SignalInput


def probes(signal: SignalInput, channels: int, count: int) -> np.ndarray:
    """Signals (count, L, C), float32, that reach every level and end of the encoder: walks, scaled to its constants.

    Every fourth of them goes by what is compared with itself: there ``>`` and ``>=`` part.
    """
    rng = np.random.default_rng(0)
    walks = rng.normal(size=(count, signal.length, channels)).cumsum(axis=1)
    scale = np.array(signal.thresholds or (1.0,) * channels)
    middle = np.zeros(channels)
    ends = signal.ends or tuple((row[0], row[-1]) for row in signal.reached)
    if ends:
        low, high = np.array(ends).T
        middle, scale = (low + high) / 2, np.maximum(high - low, 1e-6) / np.sqrt(signal.length)
    x = (middle + walks * scale).astype(np.float32)
    exact = x[::4]
    if signal.encoding == "delta":
        exact[:] = np.rint(walks[::4]) * np.array(signal.thresholds, np.float32)
    elif ends:
        met = np.array(signal.reached or signal.ends, np.float32)  # (C, constants)
        drawn = rng.integers(met.shape[1], size=exact.shape)
        exact[:] = met[np.arange(channels), drawn]
    return x
