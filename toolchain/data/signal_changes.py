"""Changes to training signals, drawn anew for every epoch and made of the values, before frames and spikes are.

``scale:P``: a signal is multiplied by 1, more or less by up to P %, with a slope of up to P % over its length.
``stretch:P``: time runs faster or slower by up to P %, about a place that is drawn. ``delay:P``: it begins earlier or
later by up to P % of the length; the ends hold their values. ``noise:P``: normal noise of P % of a channel's standard
deviation. Of signals that are spikes only time moves, by whole samples. (Um et al. 2017, "Data augmentation of wearable
sensor data", compares such.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snnas.toolchain.data.datasets.raw import Array

KINDS = ("scale", "stretch", "delay", "noise")


def changed(x: Array, steps: Sequence[tuple[str, int]], rng: np.random.Generator, *, spikes: bool) -> Array:
    """Return signals (N, L, C), float32, changed by ``steps``: kinds of ``KINDS`` with their percentages, each once.

    spikes: whether values are 0 and 1, and stay so.
    """
    shares = {kind: percent / 100 for kind, percent in steps}
    count, length, channels = x.shape
    # Drawn alike whatever is asked for: to add a kind changes nothing else.
    speed, start, centre, gain, slope = rng.uniform(-1, 1, (5, count, 1))
    grain = rng.standard_normal(x.shape) if "noise" in shares else None
    time = np.arange(length)
    if shares.keys() & {"stretch", "delay"}:
        middle = (centre + 1) / 2 * (length - 1)
        source = middle + (time - middle) * (1 + shares.get("stretch", 0) * speed)
        source = (source + shares.get("delay", 0) * length * start).clip(0, length - 1)
        x = _at(x, np.rint(source) if spikes else source)
    if spikes:
        return x
    if "scale" in shares:
        factor = 1 + shares["scale"] * (gain + slope * np.linspace(-1, 1, length))
        x = x * factor[:, :, None]
    if grain is not None:
        x = x + shares["noise"] * x.reshape(-1, channels).std(0) * grain
    return x.astype(np.float32)


def _at(x: Array, source: Array) -> Array:
    """Values of signals (N, L, C) at the times ``source`` (N, L), between samples on a line."""
    below = np.floor(source).astype(np.int64)
    above = np.minimum(below + 1, x.shape[1] - 1)
    share = (source - below)[:, :, None].astype(np.float32)
    rows = np.arange(len(x))[:, None]
    moved: Array = x[rows, below] * (1 - share) + x[rows, above] * share
    return moved
