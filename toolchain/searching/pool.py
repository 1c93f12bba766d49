"""Many processes that evaluate candidates: the results are those of one, whatever their number and their timing.

A call is cut into chunks of a fixed size, the chunks go to whoever is idle, the answers are put back in order. A worker
that dies is replaced and its chunk given out again; a chunk that ends RETRIES workers ends the search. What computes is
made inside each worker by a function that is sent to it; then nothing but questions and answers moves.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from snnas.hw_sim.errors import WorkerError

# Answers a list of questions of one kind.
Answer = Callable[[str, Sequence[Any]], Sequence[Any]]
# Takes the place of a question and its answer, as soon as it is known.
Each = Callable[[int, Any], None]
# Independent of the number of workers, so that what is computed together is.
CHUNK = 8
RETRIES = 3


class Worker(Protocol):
    """A process with one question at most."""

    def ask(self, kind: str, chunk: Sequence[Any]) -> None: ...

    def answer(self) -> Any:
        """The answers, or the exception that came of it. EOFError: the worker is dead."""
        ...

    def stop(self) -> None: ...


class Ask(Protocol):
    """Who answers many questions: a pool, or an evaluator in this process. each: hears of every answer at once."""

    def __call__(self, kind: str, questions: Sequence[Any], *, each: Each | None = None) -> Sequence[Any]: ...


class Pool:
    """``count`` workers, started when they are first asked something. A context manager: at its end none is left.

    chunk: questions that a worker takes at once.
    """

    def __init__(self, make: Callable[[], Answer], count: int, *, chunk: int = CHUNK) -> None:
        self.make, self.count, self.chunk = make, count, chunk
        self.workers: list[Worker] = []
        self.deaths = 0

    def start(self) -> Worker:
        """Start one worker."""
        raise NotImplementedError

    def ready(self, busy: Sequence[Worker]) -> Sequence[Worker]:
        """Wait until some of ``busy`` have answered or died; return these."""
        raise NotImplementedError

    def __call__(self, kind: str, questions: Sequence[Any], *, each: Each | None = None) -> list[Any]:
        """The answer to each question; raises what a worker raised, WorkerError where one chunk ends RETRIES."""
        chunks = [list(questions[at : at + self.chunk]) for at in range(0, len(questions), self.chunk)]
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
                for at, one in enumerate(answer if each else ()):
                    assert each is not None
                    each(number * self.chunk + at, one)
        return [answer for number in range(len(chunks)) for answer in answers[number]]

    def _fill(self) -> None:
        while len(self.workers) < self.count:
            self.workers.append(self.start())

    def _replace(self, place: int, times: int) -> None:
        self.deaths += 1
        self.workers[place].stop()
        if times == RETRIES:
            raise WorkerError(
                f"{times} search workers died on the same {self.chunk} candidates or fewer, expected them to finish; "
                "is there memory for --workers that many? go on with: snnas search --resume RUN"
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
