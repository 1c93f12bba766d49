"""What a fine-tuning is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from snnas.hw_sim.errors import UsageError

LEARNING_RATE = 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuning:
    """epochs: over the training split. rate: Adam's peak, in shares of a map's root mean square weight."""

    epochs: int
    rate: float = LEARNING_RATE

    def check(self) -> None:
        if not 1 <= self.epochs <= 10_000:
            raise UsageError(f"--finetune {self.epochs}: expected a number of epochs from 1 to 10000")
        if not 0 < self.rate <= 1:
            raise UsageError(f"--finetune-lr {self.rate:g}: expected a number > 0 and <= 1")


def asked(epochs: int | None, rate: float | None) -> Finetuning | None:
    """The fine-tuning of a command line; UsageError for a rate without epochs."""
    if epochs is None:
        if rate is not None:
            raise UsageError("--finetune-lr is of a fine-tuning: give --finetune EPOCHS too, or leave it away")
        return None
    return Finetuning(epochs=epochs, rate=LEARNING_RATE if rate is None else rate)
