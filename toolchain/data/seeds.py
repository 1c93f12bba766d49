"""One seed, many named streams: what one stage draws never shifts what another draws."""

from __future__ import annotations

import hashlib

import numpy as np


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.SeedSequence(seed, spawn_key=tuple(np.frombuffer(digest[:16], dtype="<u4").tolist()))


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of the stream ``name`` ('split', 'shuffle', ...) of ``seed`` >= 0; equal for equal pairs."""
    return np.random.default_rng(_sequence(seed, name))


def torch_seed(seed: int, name: str) -> int:
    """Return a seed in [0, 2^63) for ``torch.manual_seed``, from the stream ``name`` of ``seed``."""
    return int(_sequence(seed, name).generate_state(1, np.uint64)[0] >> np.uint64(1))
