"""Which samples train, validate and test: what a set has of a split is kept, the rest drawn once, from the seed."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.toolchain.data.datasets.npz import check_classes
from snnas.toolchain.data.datasets.raw import Array, Raw
from snnas.toolchain.data.seeds import stream

VALIDATION_SHARE = 0.08
COUNTED_BYTES = 1 << 30  # what is hashed in a second or two


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """bool (N,) each, no sample in two of them."""

    train: Array
    val: Array
    test: Array


def split(raw: Raw, seed: int, *, name: str, train_limit: int | None = None) -> Masks:
    """The parts of a set. Draws are stratified and rounded up; of groups, whole ones are drawn.

    Raises UsageError for a train_limit that does not fit, InvalidFileError where a group is in two parts of the set's
    own split or there are too few groups to draw from.
    """
    rng = stream(seed, "split")
    y, every = raw.y, np.ones(len(raw.y), dtype=bool)
    own = [part for part in (raw.test, raw.val) if part is not None]
    pool = every if not own else ~np.logical_or.reduce(own)
    test, val = raw.test, raw.val
    least = 1 if raw.groups is not None else 1 + (test is None) + (val is None)
    check_classes(y[pool], name, least=least, names=raw.class_names)
    if raw.groups is not None:
        _require_apart(raw, pool, name)

    def part(pool: Array, shared: Array, share: float, what: str) -> Array:
        size = math.ceil(share * int(shared.sum()))
        if raw.groups is None:
            return _draw(y, pool, shared, size, rng)
        return _draw_groups(y, raw.groups, pool, size, rng, name, what)

    if test is None:
        # Of a set with neither, a fifth of all samples; beside an own validation split, a fifth of what trains.
        test = part(pool, pool, raw.test_share, "test")
    if val is None:
        val = part(pool & ~test, pool if own else every, VALIDATION_SHARE, "validation")
    train = ~(test | val)
    if train_limit is not None:
        if not raw.classes <= train_limit <= int(train.sum()):
            raise UsageError(
                f"--data train_limit={train_limit}: expected {raw.classes} (one sample of each class) to "
                f"{int(train.sum())}"
            )
        train = _draw(y, train, train, train_limit, stream(seed, "train limit"))
    return Masks(train=train, val=val, test=test)


def _draw(y: Array, pool: Array, shared: Array, size: int, rng: np.random.Generator) -> Array:
    """Return a mask of about ``size`` samples of the mask ``pool``, each class by its share in the mask ``shared``.

    One of each class at least; exactly ``size`` where that leaves a class one sample; the largest remainders are
    rounded up.
    """
    counts = np.bincount(y[shared], minlength=int(y.max()) + 1)
    share = size * counts / counts.sum()
    quota = np.maximum(np.floor(share).astype(np.int64), 1)
    for label in np.argsort(np.floor(share) - share, kind="stable")[: max(size - int(quota.sum()), 0)]:
        quota[label] += 1
    mask = np.zeros(len(y), dtype=bool)
    for label, wanted in enumerate(quota):
        mask[rng.permutation(np.flatnonzero(pool & (y == label)))[:wanted]] = True
    return mask


def _draw_groups(
    y: Array, groups: Array, pool: Array, size: int, rng: np.random.Generator, name: str, what: str
) -> Array:
    """Whole groups of ``pool``, of about ``size`` samples and its shares of the classes."""
    at = np.flatnonzero(pool)
    there = len(np.unique(groups[at]))
    if there < 2:
        raise InvalidFileError(
            f"{name}: {there} group is left to draw {what} samples from, expected at least two; a split by groups "
            f"needs three or more of them"
        )
    if int(np.bincount(y[at]).max()) < 2:
        raise InvalidFileError(f"{name}: {len(at)} samples are left to draw {what} samples from, no two of one class")
    mask = np.zeros(len(y), dtype=bool)
    mask[at] = folds_of_groups(y[at], groups[at], size, rng)[0]
    lost = sorted(set(y[at].tolist()) - set(y[pool & ~mask].tolist()))
    if lost:
        raise InvalidFileError(
            f"{name}: all samples of class {lost[0]} are of groups that {what} takes; add groups with that class, or "
            f"try another --seed"
        )
    return mask


def folds_of_groups(y: Array, groups: Array, size: int, rng: np.random.Generator) -> list[Array]:
    """Masks of whole groups, each sample in one, of about ``size`` samples and the classes' shares: scikit-learn's.

    Of two groups or more, and a class of two samples or more. A group of many samples makes a fold as large.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError:
        raise UnsupportedError("--data groups needs scikit-learn; install snnas with the extra [search]") from None
    number = min(max(2, round(len(y) / size)), len(np.unique(groups)), int(np.bincount(y).max()))
    fold = StratifiedGroupKFold(number, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer samples than folds: whoever minds them looks
        found = [drawn for _, drawn in fold.split(y, y, groups)]
    return [np.isin(np.arange(len(y)), drawn) for drawn in found]


def apart(y: Array, groups: Array, size: int, rng: np.random.Generator) -> Array:
    """The fold that leaves the most classes on its other side, and of these the one that is nearest to ``size``."""

    def merit(fold: Array) -> tuple[int, int]:
        return len(np.unique(y[~fold])), -abs(int(fold.sum()) - size)

    return max(folds_of_groups(y, groups, size, rng), key=merit)


def _require_apart(raw: Raw, pool: Array, name: str) -> None:
    """InvalidFileError where a group is in two parts of the set's own split."""
    assert raw.groups is not None
    parts = {"train": pool, "val": raw.val, "test": raw.test}
    held = {part: set(raw.groups[mask].tolist()) for part, mask in parts.items() if mask is not None}
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        both = held.get(one, set()) & held.get(other, set())
        if both:
            samples = int((raw.groups == min(both)).sum())
            raise InvalidFileError(
                f"{name}: {len(both)} groups are in {one} and in {other} (the first has {samples} samples), expected "
                f"each on one side; divide the files by group, or leave --data groups away"
            )


def copies_in_test(train: Array, test: Array) -> int:
    """How many test samples equal a training sample, value by value."""
    known = {content(sample) for sample in train}
    return sum(content(sample) in known for sample in test)


def test_copies_note(train: Array, test: Array) -> list[str]:
    """A line on test samples that are copies of training samples; none where there are none, or too many to look."""
    if train.nbytes + test.nbytes > COUNTED_BYTES:
        return []
    copies = copies_in_test(train, test)
    if not copies:
        return []
    return [
        f"{copies} of {len(test)} test samples are copies of training samples: they tell nothing about new ones; "
        f"remove them, or keep what belongs together on one side (--data groups=)"
    ]


def content(sample: Array) -> bytes:
    """A digest that equal samples, and only they, share."""
    return hashlib.blake2b(np.ascontiguousarray(sample).tobytes(), digest_size=16).digest()


def class_weights(y: Array, classes: int) -> tuple[float, ...]:
    """'balanced': N / (classes x samples of the class), so that every class adds as much to the loss."""
    counts = np.bincount(y, minlength=classes)
    weights = len(y) / (classes * np.maximum(counts, 1))
    return tuple(float(weight) for weight in weights)
