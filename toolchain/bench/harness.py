"""How benches time: CPU seconds in one pinned thread, since only those say something on a shared machine."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Turns:
    """What the turns of one kind of cell gave, of the loop (baseline) and of ours: CPU seconds, one per turn."""

    seconds: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)
    difference: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times as long the loop takes: the median over the turns."""
        return statistics.median(b / s for b, s in zip(self.baseline, self.seconds, strict=True))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what the work returns."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, and the process to one core where the system lets us."""
    from snnas.toolchain.training import device

    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with device.one_thread():
        try:
            if cores:
                os.sched_setaffinity(0, {max(cores)})
            yield
        finally:
            if cores:
                os.sched_setaffinity(0, cores)
