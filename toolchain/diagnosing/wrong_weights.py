"""Stored weights against those that they stand for: what was done to them, by name, where one transformation says it.

Rounding hands its error on to weights not yet rounded, so a healthy weight may lie some steps off: 3.5 at most at 8
bits, 5.8 at 6 and 4, over 60 random networks (measured; 2.9 on MNIST). What lies farther, or is like another
arrangement of the same weights, is a fault. A single weight that is wrong by less cannot be told from rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from snnas.hw_sim.program import Shape

if TYPE_CHECKING:
    from snnas.toolchain.results.records.diagnose import FaultKind

FAR, FAR_FEWER = 6.0, 9.0  # steps: no rounding goes so far, at 8 bits and at fewer
SPREADS = 10.0  # times the spread of a synapse's own errors: nor does it so far
WIDE = 1.2  # steps: a spread of errors that no rounding has
ALIKE = 0.5  # an arrangement explains the weights if it leaves less than this share of the errors
GAIN = 0.15  # healthy factors lie within (measured: 1 +- .07 at 4 bits)
MOST_NAMED = 3
MAX_ROWS = 4096  # of a matrix whose rows are matched


@dataclass(frozen=True, slots=True)
class Wrong:
    """kind: for machines. text: what a person reads. count: weights concerned."""

    kind: FaultKind
    text: str
    count: int


def compare(
    real: np.ndarray,
    stored: np.ndarray,
    allowed: tuple[int, int],
    source: Shape,
    *,
    moved: bool = False,
    room: float | None = None,
) -> list[Wrong]:
    """real: the graph's weights in steps of the stored integers; allowed: their range. source: (C, H, W) before them.

    moved: they have been fine-tuned, so that only another arrangement is a fault. room: times the range that weights
    may be clipped from on purpose; None: 1 at 8 bits, and 2, an exponent, at fewer. [] where nothing is wrong.
    """
    low, high = allowed
    least = FAR if high >= 127 else FAR_FEWER
    wanted = real.clip(low, high)
    if not stored.any() and np.abs(wanted).max(initial=0) > FAR / 2:
        return [Wrong("synapse lost", f"all {stored.size} weights are zero", stored.size)]
    found = [] if moved else list(_clipping(real, stored, allowed, room or (1.0 if high >= 127 else 2.0)))
    errors = stored - wanted
    spread = 1.4826 * float(np.median(np.abs(errors)))
    everywhere = spread > WIDE or _rms(errors) > ALIKE * _rms(wanted)
    far = least if everywhere else max(least, SPREADS * spread)
    if everywhere or (np.abs(errors).max(initial=0) > far and not moved):
        named = _arranged(real, stored, allowed, source)
        if named is not None:
            return [named]
    return found if moved else found + list(_single(wanted, stored, far))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _clipping(real: np.ndarray, stored: np.ndarray, allowed: tuple[int, int], room: float) -> Iterator[Wrong]:
    """Weights further beyond the range than ``room``."""
    low, high = allowed
    over = ((stored == high) & (real > room * (high + 0.5))) | ((stored == low) & (real < room * (low - 0.5)))
    count = int(over.sum())
    if count:
        top = float(np.abs(real).max())
        yield Wrong(
            "weights saturated",
            f"{count:,} of {real.size:,} weights clipped at {high}; the graph's go up to {top:.0f} steps",
            count,
        )


def _arranged(real: np.ndarray, stored: np.ndarray, allowed: tuple[int, int], source: Shape) -> Wrong | None:
    """The one arrangement, or factor, of the graph's weights that leaves least of the errors; None where none does."""
    low, high = allowed
    errors = _rms(stored - real.clip(low, high))
    best: tuple[float, FaultKind, str] | None = None
    for kind, text, other in _candidates(real, stored, allowed, source):
        left = _rms(stored - other.clip(low, high))
        if left < ALIKE * errors and (best is None or left < 0.9 * best[0]):
            best = left, kind, text
    return None if best is None else Wrong(best[1], best[2], real.size)


def _candidates(
    real: np.ndarray, stored: np.ndarray, allowed: tuple[int, int], source: Shape
) -> Iterator[tuple[FaultKind, str, np.ndarray]]:
    yield "sign flipped", "the sign of every weight is flipped", -real
    inside = np.abs(stored) < np.abs(stored).max(initial=1)
    gain = (
        float((real * stored)[inside].sum() / max(float(np.square(real[inside]).sum()), 1e-12)) if inside.any() else 1
    )
    if abs(gain - 1) > GAIN and gain > 0:
        power = round(float(np.log2(gain)))
        if power and allowed[1] <= 127 and abs(gain / 2.0**power - 1) < GAIN / 2:
            yield "wrong exponent", f"every weight is {2.0**power:g} times too large: wrong exponent", real * 2.0**power
        bytes_too = {255: ": bytes for values of 0..1", 1 / 255: ": values of 0..1 taken for bytes"}
        why = next((text for k, text in bytes_too.items() if abs(gain / k - 1) < 0.01), "")
        yield "scaled", f"every weight is {gain:.3g} times what it should be{why}", real * gain
    if real.ndim == 4:
        yield from _kernels(real)
    if real.ndim == 2:
        yield from _flattenings(real, source)
    if real.ndim >= 2:
        yield from _permutations(real, stored, source)


def _kernels(real: np.ndarray) -> Iterator[tuple[FaultKind, str, np.ndarray]]:
    square = real.shape[2] == real.shape[3]
    if square:
        yield "kernel transposed", "the kernels are transposed (rows are columns)", real.transpose(0, 1, 3, 2)
    flipped = real[:, :, ::-1, ::-1]
    yield "kernel flipped", "the kernels are flipped (a convolution for a cross-correlation)", flipped
    yield "kernel mirrored", "the kernels are mirrored top to bottom", real[:, :, ::-1]
    yield "kernel mirrored", "the kernels are mirrored left to right", real[:, :, :, ::-1]
    if square:
        both = flipped.transpose(0, 1, 3, 2)
        yield "kernel transposed", "the kernels are transposed and flipped", both
        yield "kernel rotated", "the kernels are rotated by a quarter", real.transpose(0, 1, 3, 2)[:, :, ::-1]
        yield "kernel rotated", "the kernels are rotated by a quarter", real.transpose(0, 1, 3, 2)[:, :, :, ::-1]
    if real.shape[0] == real.shape[1]:
        yield "channels transposed", "input and output channels have changed places", real.transpose(1, 0, 2, 3)


def _flattenings(real: np.ndarray, source: Shape) -> Iterator[tuple[FaultKind, str, np.ndarray]]:
    """Orders in which a tool may lay out (C, H, W); the matrix is meant for C first."""
    names = {(1, 2, 0): "(H, W, C)", (2, 1, 0): "(W, H, C)", (0, 2, 1): "(C, W, H)"}
    if int(np.prod(source)) == real.shape[1] and sum(n > 1 for n in source) > 1:
        boxed = real.reshape(-1, *source)
        for axes, name in names.items():
            laid = boxed.transpose(0, *(a + 1 for a in axes)).reshape(real.shape)
            yield "flattened otherwise", f"its inputs are laid out as {name}, not (C, H, W)", laid
    if real.shape[0] == real.shape[1]:
        yield "matrix transposed", "the matrix is transposed", real.T


def _permutations(real: np.ndarray, stored: np.ndarray, source: Shape) -> Iterator[tuple[FaultKind, str, np.ndarray]]:
    rows = real.shape[0]
    kind: FaultKind = "rows permuted" if real.ndim == 2 else "output channels permuted"
    order = _matched(real.reshape(rows, -1), stored.reshape(rows, -1))
    if order is not None:
        yield kind, f"{kind}: {_moves(order)}", real[order]
    if real.ndim == 2 and int(np.prod(source)) == real.shape[1] and source[0] > 1:
        real_in, stored_in = (w.reshape(rows, source[0], -1).swapaxes(0, 1) for w in (real, stored))
    else:
        real_in, stored_in = real.swapaxes(0, 1), stored.swapaxes(0, 1)
    order = _matched(real_in.reshape(len(real_in), -1), stored_in.reshape(len(real_in), -1))
    if order is not None:
        back = real_in[order].swapaxes(0, 1).reshape(real.shape)
        yield "input channels permuted", f"input channels permuted: {_moves(order)}", back


def _matched(real: np.ndarray, stored: np.ndarray) -> np.ndarray | None:
    """For each stored row the real one that is nearest; None where that is no permutation, or nothing moves."""
    if not 1 < len(real) <= MAX_ROWS:
        return None
    distance = np.square(real).sum(axis=1)[None, :] - 2 * (stored @ real.T)
    order = distance.argmin(axis=1)
    here = distance[np.arange(len(real)), np.arange(len(real))] <= distance.min(axis=1) + 1e-9
    order = np.where(here, np.arange(len(real)), order)
    if len(set(order.tolist())) < len(order) or (order == np.arange(len(order))).all():
        return None
    return order


def _moves(order: np.ndarray) -> str:
    moved = [(int(k), int(n)) for k, n in enumerate(order) if k != n]
    said = ", ".join(f"{k} holds {n}" for k, n in moved[:MOST_NAMED])
    return said + (f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else "")


def _single(wanted: np.ndarray, stored: np.ndarray, far: float) -> Iterator[Wrong]:
    """Weights that lie far off, each by itself."""
    off = np.abs(stored - wanted) > far
    flipped = off & (np.abs(stored + wanted) <= far / 2)
    lost = off & (stored == 0)
    kinds: dict[FaultKind, tuple[np.ndarray, str]] = {
        "sign flipped": (flipped, "of the wrong sign"),
        "synapse lost": (lost, "zero, though the graph's is not"),
        "weights differ": (off & ~flipped & ~lost, "not what the graph says"),
    }
    for kind, (mask, text) in kinds.items():
        count = int(mask.sum())
        if count:
            places = [tuple(int(n) for n in at) for at in np.argwhere(mask)[:MOST_NAMED]]
            said = "; ".join(f"{_index(at)} is {stored[at]:g}, expected {wanted[at]:.1f}" for at in places)
            noun = "weight is" if count == 1 else f"of {stored.size:,} weights are"
            more = "" if count <= MOST_NAMED else "; ..."
            yield Wrong(kind, f"{count} {noun} {text}: {said}{more}", count)


def _index(at: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, at)) + "]"
