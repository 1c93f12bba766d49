"""The samples that score every candidate: drawn from the training part, no two of them equal.

Two equal samples fire alike in every network, and the kernel of the score is then singular for all candidates: each
scores -inf, and whichever comes first is the winner. Data sets hold copies, so copies are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.split import COUNTED_BYTES, content

if TYPE_CHECKING:
    from snnas.toolchain.data.datasets.raw import Array
    from snnas.toolchain.data.load import Dataset


def scoring_batch(data: Dataset, seed: int, size: int, name: str = "proxy") -> Array:
    """At most ``size`` training samples of which no two are equal, (B, ...) float32, drawn from the stream ``name``.

    In the order of a random permutation; where that begins with samples that all differ, they are the batch.
    """
    order = stream(seed, name).permutation(len(data.x_train))
    return data.x_train[distinct(data.x_train, order, size)]


def distinct(x: Array, order: Iterable[int], size: int) -> Array:
    """The first ``size`` places of ``order`` whose samples of ``x`` equal none before them; fewer where that is all."""
    found: dict[bytes, int] = {}
    for place in order:
        if len(found) == size:
            break
        found.setdefault(content(x[place]), int(place))
    return np.array(list(found.values()), dtype=np.int64)


def require_distinct(data: Dataset, least: int) -> None:
    """InvalidFileError where the training part holds fewer than ``least`` samples that differ."""
    found = len(distinct(data.x_train, range(len(data.x_train)), least))
    if found < least:
        raise InvalidFileError(
            f"{data.path or data.name}: the {len(data.x_train)} training samples hold {found} distinct, expected at "
            f"least {least}: candidates are scored by how they tell samples apart; add samples that differ"
        )


def copies_note(data: Dataset, size: int, drawn: int) -> str | None:
    """What is said of a batch of ``drawn`` samples where ``size`` were asked for and copies had to be passed over.

    None where there are no copies, or the training part is too large to be looked through for what does not matter.
    """
    total = len(data.x_train)
    if drawn == min(size, total) and data.x_train.nbytes > COUNTED_BYTES:
        return None
    copies = total - len({content(sample) for sample in data.x_train})
    if not copies:
        return None
    return (
        f"{copies:,} of {total:,} training samples are copies of others; the scoring batch holds {drawn} distinct ones"
    )
