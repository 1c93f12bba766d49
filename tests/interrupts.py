"""For tests that interrupt a process: what a shell starts in the background inherits that SIGINT is ignored."""

from __future__ import annotations

import signal


def heeded() -> None:
    """``preexec_fn`` of a process that is to end by SIGINT wherever the tests are run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
