"""SIGINT and SIGTERM in a training: held back until the step is done and the checkpoint written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stopped(BaseException):
    """SIGINT or SIGTERM came, and the checkpoint is written; ``interruptible`` turns it into the signal."""


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Hold SIGINT and SIGTERM back until the step is done; the list names the one that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        # A second one is not held back: something may hang.
        came.append(number)
        if len(came) > 1:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    stopped = False
    try:
        yield came
    except Stopped:
        stopped = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came or stopped:
        signal.raise_signal(came[0] if came else signal.SIGTERM)
    if stopped:
        raise KeyboardInterrupt
