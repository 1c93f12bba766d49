"""How benches time: CPU seconds in one pinned thread, since only those say something on a shared machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what the work returns."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, and the process to one core where the system lets us."""
    import torch

    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    torch.set_num_threads(1)
    try:
        if cores:
            os.sched_setaffinity(0, {max(cores)})
        yield
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
