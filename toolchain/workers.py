"""Many processes that evaluate candidates: the results are those of one, whatever their number and their timing.

A call is cut into chunks of a fixed size, the chunks go to whoever is idle, the answers are put back in order. A worker
that dies is replaced and its chunk given out again; a chunk that ends RETRIES workers ends the search. What computes is
made inside each worker by a function that is sent to it; then nothing but questions and answers moves.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from multiprocessing import connection, get_context
from types import TracebackType
from typing import Any, Protocol, Self

from hw_sim.errors import UnsupportedError, UsageError, WorkerError
from toolchain.extras import install

# Answers a list of questions of one kind.
Answer = Callable[[str, Sequence[Any]], Sequence[Any]]
ENGINES = ("process", "ray")
# Independent of the number of workers, so that what is computed together is.
CHUNK = 8
RETRIES = 3
JOIN_SECONDS = 5.0


class Worker(Protocol):
    """A process with one question at most."""

    def ask(self, kind: str, chunk: Sequence[Any]) -> None: ...

    def answer(self) -> Any:
        """The answers, or the exception that came of it. EOFError: the worker is dead."""
        ...

    def stop(self) -> None: ...


class Pool:
    """``count`` workers, started when they are first asked something. A context manager: at its end none is left."""

    def __init__(self, make: Callable[[], Answer], count: int) -> None:
        self.make, self.count = make, count
        self.workers: list[Worker] = []
        self.deaths = 0

    def start(self) -> Worker:
        """Start one worker."""
        raise NotImplementedError

    def ready(self, busy: Sequence[Worker]) -> Sequence[Worker]:
        """Wait until some of ``busy`` have answered or died; return these."""
        raise NotImplementedError

    def __call__(self, kind: str, questions: Sequence[Any]) -> list[Any]:
        """The answer to each question; raises what a worker raised, WorkerError where one chunk ends RETRIES."""
        chunks = [list(questions[at : at + CHUNK]) for at in range(0, len(questions), CHUNK)]
        answers: dict[int, Sequence[Any]] = {}
        waiting, asked, died = deque(range(len(chunks))), dict[int, int](), Counter[int]()
        while len(answers) < len(chunks):
            self._fill()
            for place, worker in enumerate(self.workers):
                if waiting and place not in asked:
                    asked[place] = waiting.popleft()
                    worker.ask(kind, chunks[asked[place]])
            done = self.ready([self.workers[place] for place in asked])
            for place in [place for place in asked if self.workers[place] in done]:
                number = asked.pop(place)
                try:
                    answer = self.workers[place].answer()
                except EOFError:
                    died[number] += 1
                    self._replace(place, died[number])
                    waiting.appendleft(number)
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                answers[number] = answer
        return [answer for number in range(len(chunks)) for answer in answers[number]]

    def _fill(self) -> None:
        while len(self.workers) < self.count:
            self.workers.append(self.start())

    def _replace(self, place: int, times: int) -> None:
        self.deaths += 1
        self.workers[place].stop()
        if times == RETRIES:
            raise WorkerError(
                f"{times} search workers died on the same {CHUNK} candidates or fewer, expected them to finish; is "
                "there memory for --workers that many? go on with: snnas search --resume RUN"
            )
        self.workers[place] = self.start()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        while self.workers:
            self.workers.pop().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ProcessPool(Pool):
    """Workers that are processes of this machine."""

    def start(self) -> Worker:
        return _Process(self.make)

    def ready(self, busy: Sequence[Worker]) -> Sequence[Worker]:
        by_pipe = {worker.pipe: worker for worker in busy if isinstance(worker, _Process)}
        # A dead worker's pipe is at its end, and so ready too.
        return [by_pipe[pipe] for pipe in connection.wait(list(by_pipe)) if isinstance(pipe, connection.Connection)]


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


def check(engine: str, count: int) -> None:
    """UsageError where no pool is like that, UnsupportedError where ray is not installed."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine!r}: expected {', '.join(ENGINES)}")
    if not 1 <= count <= 1024:
        raise UsageError(f"--workers {count}: expected a whole number in 1..1024")
    if engine == "ray" and find_spec("ray") is None:
        raise UnsupportedError(f"--engine ray: ray is not installed; mend: {install('ray')}")


@contextlib.contextmanager
def pool(engine: str, make: Callable[[], Answer], count: int) -> Iterator[Pool]:
    """A pool of ``engine`` 'process' or 'ray'; raises what ``check`` does."""
    check(engine, count)
    kind: type[Pool] = ProcessPool
    if engine == "ray":
        from toolchain.ray_pool import RayPool

        kind = RayPool
    with kind(make, count) as workers:
        yield workers
