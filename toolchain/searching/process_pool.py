"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context
from typing import Any

from snnas.toolchain.searching.pool import Answer, Pool, Worker

JOIN_SECONDS = 5.0


class ProcessPool(Pool):
    """Workers that are processes of this machine."""

    def start(self) -> Worker:
        return _Process(self.make)

    def ready(self, busy: Sequence[Worker]) -> Sequence[Worker]:
        by_pipe: dict[Any, Worker] = {worker.pipe: worker for worker in busy if isinstance(worker, _Process)}
        # A dead worker's pipe is at its end, and so ready too.
        return [by_pipe[pipe] for pipe in connection.wait(list(by_pipe))]


class _Process:
    def __init__(self, make: Callable[[], Answer]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, make), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, kind: str, chunk: Sequence[Any]) -> None:
        # Of a worker that died idle the answer is missed later, as of one that dies at work.
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send((kind, chunk))

    def answer(self) -> Any:
        try:
            return self.pipe.recv()
        except ConnectionResetError:
            raise EOFError from None

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(JOIN_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def serve(pipe: connection.Connection, make: Callable[[], Answer]) -> None:
    """A worker's life: answer until the other end of ``pipe`` is closed, which the death of the search does too."""
    # Ctrl-C reaches every process of a terminal; the search ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer: Answer | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            kind, chunk = pipe.recv()
            try:
                answer = answer or make()
                found: Any = answer(kind, chunk)
            except Exception as error:
                found = error
            pipe.send(found)
