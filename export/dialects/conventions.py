"""What a .nir file leaves open, and how it is settled. The only home of these numbers.

A NIR neuron is an ODE with tau in seconds: no step, no form of decay, no comparison, and the reset that a tool means
is not always the one that it writes. A ``Convention`` is the answers. Ours: forward Euler with ``DT``, r = 1
(norse ignores r), reset to zero, and a spike iff v > threshold (what NumPy, snntorch and norse do). Training fires at
v >= threshold, so a deployed threshold is the float32 just below: then ``>`` means ``>=``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError

DT = 1e-4  # seconds per timestep; snntorch hard-codes it, spikingjelly defaults to it
KEY = "snnas"  # metadata key of graph and nodes; the value is one JSON string
FORMAT = "snnas.nir/1"

OR_TAU_STEPS, OR_THRESHOLD = 2.0, 0.25  # LIF(tau = 2 dt): v = sum / 2 > .25 iff any spike came; it always resets

Decay = Literal["euler", "exact"]
Compare = Literal[">", ">="]
Reset = Literal["zero", "subtract", "late"]
Current = Literal["now", "late"]
Readout = Literal["sum", "last", "max", "membrane-sum", "membrane-last", "membrane-max"]
_CHOICES: dict[str, tuple[str, ...]] = {
    "decay": get_args(Decay),
    "compare": get_args(Compare),
    "reset": get_args(Reset),
    "current": get_args(Current),
    "readout": get_args(Readout),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How a graph's ODEs become steps.

    dt: seconds per timestep. decay: the share of v that a timestep replaces, ``dt / tau`` (euler) or
    ``1 - exp(-dt / tau)`` (exact). compare: of v with the threshold. reset: to v_reset as NIR says (zero), or by
    subtracting the threshold (subtract), or by subtracting it, undecayed, with the next timestep (late). current: a
    membrane behind a synaptic current sees that of its timestep (now, as Loihi does) or of the one before (late, as the
    reference implementation of NIR's paper does). readout: what of the output is the answer, its sum over the timesteps
    (or its mean, which has the same largest class), its last or its largest value; ``membrane-``: of the membrane of
    the neurons before the output, which never reset (snntorch's reset_mechanism="none"). None: the last of what
    integrates, the sum of anything else.
    """

    dt: float = DT
    decay: Decay = "euler"
    compare: Compare = ">"
    reset: Reset = "zero"
    current: Current = "now"
    readout: Readout | None = None

    def __str__(self) -> str:
        decay = "Euler steps" if self.decay == "euler" else "exact decay"
        reset = {"zero": "reset to v_reset", "subtract": "reset by subtraction"}.get(
            self.reset, "reset by subtraction a timestep later"
        )
        late = ", a membrane sees the current of the timestep before" if self.current == "late" else ""
        read = f", the output's {self.readout} read" if self.readout else ""
        return f"dt = {self.dt:g} s, {decay}, a spike iff v {self.compare} threshold, {reset}{late}{read}"

    def changed(self, **given: Any) -> Convention:
        """With the answers that are not None in place of its own; UsageError where one is none."""
        found = {k: v for k, v in given.items() if v is not None}
        for name, value in found.items():
            if why := _wrong(name, value):
                raise UsageError(f"--{name} {value}: expected {why}")
        return replace(self, **found)

    def to_metadata(self) -> dict[str, Any]:
        """What a file keeps; the two that few graphs need only where they say something."""
        given = asdict(self)
        return {
            name: value for name, value in given.items() if name not in ("current", "readout") or value != _UNSAID[name]
        }


OURS = Convention()
_UNSAID = asdict(OURS)
NAMES = tuple(f.name for f in fields(Convention))


def from_metadata(meta: dict[str, Any], path: object) -> Convention:
    """The convention that a file's ``snnas`` metadata names, ours where it is silent; InvalidFileError for nonsense."""
    given = {name: meta[name] for name in ("dt", *_CHOICES) if name in meta}
    for name, value in given.items():
        if why := _wrong(name, value):
            raise InvalidFileError(f"{path}: its metadata's {name} is {str(value)[:40]!r}; expected {why}")
    return replace(OURS, **given)


def _wrong(name: str, value: object) -> str:
    """What was expected in place of ``value``; '' where it is right."""
    if name in _CHOICES:
        return "" if value in _CHOICES[name] else " or ".join(_CHOICES[name])
    right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return "" if right else "seconds, a number > 0"


def deployed_threshold(threshold: float) -> np.float32:
    """The largest float32 below ``threshold``: ``v > it`` iff ``v >= threshold`` for float32 v."""
    return np.float32(np.nextafter(np.float32(threshold), np.float32(-np.inf)))


def tau_seconds(tau_steps: float) -> np.float32:
    """A time constant in timesteps as NIR stores it."""
    return np.float32(tau_steps * DT)


def decay_of(tau: np.ndarray, convention: Convention = OURS) -> np.ndarray:
    """The share of v that is replaced at each timestep, in float64, of a stored float32 tau."""
    share = convention.dt / tau.astype(np.float64)
    if convention.decay == "exact":
        return np.asarray(-np.expm1(-share))
    return np.asarray(np.minimum(share, 1.0))  # a tau of dt is a hair below it in float32
