"""Named rules against networks that cannot work, for every method to call; each returns what is wrong, or None.

    input     the output depends on the input: not the same for all samples of a batch
    constant  no LIF fires alike for every sample of the batch (a silent one does)

'path', 'conv' and 'alive' stand with the pruning (``snnas.search.methods.lightsnn``). A total dissimilarity, such as
MSE-NAS's fitness, does not see the first: a network that is constant behind its first cells can score above a live one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

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
    dead = input_independent(outputs)
    alike = [name for name in constant_layers(spikes) if bool(spikes[name].any())]
    return (
        *([Finding("input", dead, refuses=True)] if dead else []),
        *(Finding("constant", f"{name} fires alike for every sample of the batch") for name in alike),
    )


def input_independent(outputs: Tensor, *, tolerance: float = TOLERANCE) -> str | None:
    """Guard 'input': say so when ``outputs`` (B, ...), of B >= 2 different samples, are the same for all of them."""
    values = outputs.detach().flatten(1).double()
    spread = float((values.amax(0) - values.amin(0)).amax())
    if spread > tolerance * max(float(values.abs().amax()), 1e-30):
        return None
    return f"the output is the same for all {len(values)} samples of the batch (spread {spread:.3g}): no signal arrives"


def constant_layers(spikes: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Guard 'constant': return the LIFs that fire alike for every sample; spikes: {name: 0/1 (T, B, ...)}, B >= 2."""
    return tuple(name for name, train in spikes.items() if bool((train == train[:, :1]).all()))
