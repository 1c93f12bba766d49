"""Where the figures of each epoch go beside train.jsonl: event files for TensorBoard, and whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import UnsupportedError, UsageError, did_you_mean
from snnas.toolchain.runs.extras import install

Record = dict[str, Any]
Listener = Callable[[Record], None]

TENSORBOARD = "tensorboard"
TRACKERS = (TENSORBOARD,)
# Names of TensorBoard's charts, which it groups by what stands before the slash.
CHARTS = {
    "loss": "loss/training",
    "val_loss": "loss/validation",
    "train_accuracy": "accuracy/training",
    "val_accuracy": "accuracy/validation",
    "val_sar": "spiking activity rate/validation",
    "lr": "training/learning rate",
    "seconds": "training/seconds per epoch",
}


def require(log_to: Sequence[str]) -> None:
    """UsageError for a tracker that is not known, UnsupportedError for one that is not installed: before long work."""
    for name in log_to:
        if name not in TRACKERS:
            raise UsageError(f"--log-to {name!r}: expected {', '.join(TRACKERS)}{did_you_mean(name, TRACKERS)}")
        _writer()


def listener(folder: Path, log_to: Sequence[str], on_epoch: Listener | None) -> Listener:
    """What takes each epoch's record of a run in ``folder``, and hands it on.

    on_epoch: a user's; what it raises ends the training as a fault of its own would.
    """
    listeners = [_to_tensorboard(folder / TENSORBOARD)] if TENSORBOARD in log_to else []
    if on_epoch is not None:
        listeners.append(on_epoch)

    def hear(record: Record) -> None:
        for heard in listeners:
            heard(dict(record))

    return hear


def _writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UnsupportedError(f"--log-to {TENSORBOARD} needs tensorboard; {install(TENSORBOARD)}") from None
    return SummaryWriter


def _to_tensorboard(folder: Path) -> Listener:
    """Adds one point to each chart, and writes it out: whoever watches sees it at once.

    Each training has a folder of its own, 1, 2, ...: no epoch stands twice in a curve. So has one that goes on, whose
    earlier epochs come first.
    """
    writers: list[Any] = []  # made with the first epoch: a training that is refused leaves no file
    last = 0

    def hear(record: Record) -> None:
        nonlocal last
        if not writers or record["epoch"] <= last:  # the next attempt of a search
            while writers:
                writers.pop().close()
            free = next(n for n in count(1) if not (folder / str(n)).exists())
            writers.append(_writer()(str(folder / str(free))))
        last = record["epoch"]
        for name, chart in CHARTS.items():
            if record.get(name) is not None:
                writers[0].add_scalar(chart, record[name], record["epoch"])
        writers[0].flush()

    return hear
