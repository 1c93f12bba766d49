"""What is said of an accuracy that guessing might reach."""

from __future__ import annotations

import numpy as np

from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.output.stderr import counted


def chance_note(
    accuracy: float, labels: np.ndarray, *, split: str = "validation", longer: str = "train longer with --epochs"
) -> str | None:
    """What is said where the 95 % interval of an accuracy holds the share of the largest class; else None.

    Too few samples to tell, and an accuracy that is no better, are different things. labels: int (N,), one at least.
    longer: what may mend it, as a command.
    """
    samples, most = len(labels), int(np.bincount(labels).max())
    guessed = most / samples
    if wilson(round(accuracy * samples), samples)[0] > guessed:
        return None
    found, more = f"{accuracy:.1%} of {counted(samples, f'{split} sample')}", f"{_VERBS[split]} on more"
    if wilson(samples, samples)[0] <= guessed:
        return (
            f"{found} says nothing: were all of them right, it could still be chance (always naming one class: "
            f"{guessed:.1%}); {more} samples"
        )
    if accuracy > guessed:
        return (
            f"{found} cannot be told from always naming one class ({guessed:.1%}) with so few samples; {more} of them, "
            f"or {longer}"
        )
    return f"{found} is no better than always naming one class ({guessed:.1%}); {longer}, or look at the data"


_VERBS = {"validation": "validate", "test": "test"}
