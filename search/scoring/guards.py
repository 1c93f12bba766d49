"""Named rules against networks that cannot work, for every method to call; each returns what is wrong, or None.

    input     the output depends on the input: not the same for all samples of a batch
    constant  no LIF fires alike for every sample of the batch (a silent one does)

'path', 'conv' and 'alive' stand with the pruning (``snnas.search.methods.lightsnn``). A total dissimilarity, such as
MSE-NAS's fitness, does not see the first: a network that is constant behind its first cells can score above a live one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snnas.search.scoring.proxies import home

# Of the outputs' size: rounding in a batch of equal rows stays far below it, a spike more or less far above.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """What a guard found. refuses: a method takes the next candidate instead, where it has one."""

    guard: str
    text: str
    refuses: bool = False


def inspect(outputs: Tensor, spikes: Mapping[str, Tensor]) -> tuple[Finding, ...]:
    """Return what the guards say of one candidate's outputs (B, ...) and spikes {LIF: 0/1 (T, B, ...)}, B >= 2.

    'input' refuses; 'constant' reports the LIFs that fire, and alike for every sample.
    """
    span, *rest = home([extent(outputs), *(_alike(train) for train in spikes.values())])
    dead = no_signal(span, len(outputs))
    alike = [name for name, flags in zip(spikes, rest, strict=True) if bool(flags.all())]
    return (
        *([Finding("input", dead, refuses=True)] if dead else []),
        *(Finding("constant", f"{name} fires alike for every sample of the batch") for name in alike),
    )


def extent(outputs: Tensor) -> Tensor:
    """Return (2,): by how much ``outputs`` (B, ...) differ between samples, and how large they are."""
    values = outputs.detach().flatten(1).double()
    return torch.stack([(values.amax(0) - values.amin(0)).amax(), values.abs().amax()])


def no_signal(extent: Tensor, samples: int, *, tolerance: float = TOLERANCE) -> str | None:
    """Guard 'input' of what ``extent`` returned, on the host: say so when the output is the same for all samples."""
    spread, size = extent.tolist()
    if spread > tolerance * max(size, 1e-30):
        return None
    return f"the output is the same for all {samples} samples of the batch (spread {spread:.3g}): no signal arrives"


def _alike(train: Tensor) -> Tensor:
    """Return (2,): whether all samples fire alike, and whether anything fires."""
    return torch.stack([(train == train[:, :1]).all(), train.any()])
