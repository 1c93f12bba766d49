"""What a reader gave beside what must come out: the one place where equal and different are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conformance.conventions import BASE, CONVENTIONS
from conformance.vectors import Vector

CLOSE = 1e-5  # of the largest expected value, or of 1: float32's sums; 0 for a graph of exact fractions
EQUAL, OTHER, DIFFERS, STOPS = "equal", "other", "differs", "stops"
OUTCOMES = {
    EQUAL: "what it shows is what is expected",
    OTHER: "it is what another convention gives",
    DIFFERS: "it is what no convention of ours gives, and nothing was said",
    STOPS: "an exception",
}
Read = Callable[[str, np.ndarray], dict[str, np.ndarray]]


class BadReaderError(Exception):
    """The reader cannot be used at all, in one line."""


@dataclass(frozen=True)
class Verdict:
    """outcome: of OUTCOMES. found: the exception, or the first difference. conventions: those that it agrees with.

    shown: how many spike trains and membranes were compared besides the output.
    """

    outcome: str
    found: str = ""
    conventions: tuple[str, ...] = ()
    shown: int = 0


def judged(read: Read, vector: Vector, folder: Path, convention: str) -> Verdict:
    """Run one vector; the file is written into ``folder``. A reader's exception is a verdict, not an error."""
    path = folder / f"{vector.name}.nir"
    path.write_bytes(vector.nir)
    try:
        given = read(str(path), vector.x.copy())
    except (Exception, SystemExit) as error:
        return Verdict(STOPS, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    try:
        arrays = _arrays(given)
    except ValueError as error:
        return Verdict(DIFFERS, str(error))
    said = {name: difference(arrays, vector.under(name), vector.exact_under(name)) for name in vector.expected}
    agree = tuple(name for name in CONVENTIONS if not said.get(name, said[BASE]))
    shown = sum(key != "output" for key in arrays)
    if convention in agree:
        return Verdict(EQUAL, conventions=agree, shown=shown)
    return Verdict(OTHER if agree else DIFFERS, said.get(convention, said[BASE]), agree, shown)


def _arrays(given: Any) -> dict[str, np.ndarray]:
    """ValueError, in one line, for what is no dictionary of finite arrays with an output."""
    if not isinstance(given, dict) or "output" not in given:
        what = f"keys {sorted(map(str, given))[:6]}" if isinstance(given, dict) else type(given).__name__
        raise ValueError(f"the reader returned {what}; expected a dict with 'output', an array (B, T, *shape)")
    found = {}
    for key, value in given.items():
        try:
            array = np.asarray(value)
        except Exception as error:  # of a stranger's object, as of a tensor that requires grad or is on a GPU
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            raise ValueError(f"{key}: cannot be made an array: {said}") from None
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{key} holds {array.dtype}; expected numbers")
        if not np.isfinite(array).all():
            raise ValueError(f"{key} holds NaN or infinity")
        found[str(key)] = array
    return found


def difference(given: dict[str, np.ndarray], wanted: dict[str, np.ndarray], exact: bool) -> str:
    """The first difference in words, '' where there is none. What the reader does not show is not asked for."""
    for key, expected in wanted.items():
        if key not in given:
            continue
        array = given[key]
        if array.shape[:2] != expected.shape[:2] or array.size != expected.size:
            return f"{key} has shape {array.shape}, expected {expected.shape}"
        array = array.reshape(expected.shape)
        if array.dtype.kind == "b" or key.startswith("spikes/"):
            unlike = array != expected
        else:
            limit = 0.0 if exact else CLOSE * max(1.0, float(np.abs(expected).max(initial=0)))
            unlike = np.abs(array.astype(np.float64) - expected) > limit
        if unlike.any():
            at = tuple(int(k) for k in np.argwhere(unlike)[0])
            return (
                f"{key}: {int(unlike.sum())} of {unlike.size} differ; sample {at[0]}, timestep {at[1]}, element "
                f"{at[2:]}: {float(array[at]):g}, expected {float(expected[at]):g}"
            )
    unknown = sorted(set(given) - set(wanted))
    return f"{unknown[0]} is no neuron of the graph; it has {', '.join(sorted(wanted))}" if unknown else ""
