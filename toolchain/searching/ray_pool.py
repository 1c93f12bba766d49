"""Search workers as actors of a Ray cluster: RAY_ADDRESS names one, else a cluster of this machine alone is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from snnas.toolchain.searching.pool import CHUNK, Answer, Pool, Worker


class RayPool(Pool):
    """Workers anywhere in the cluster, one core each. ModuleNotFoundError where ray is not installed."""

    def __init__(self, make: Callable[[], Answer], count: int, *, chunk: int = CHUNK) -> None:
        super().__init__(make, count, chunk=chunk)
        self.ray: Any = import_module("ray")
        self.started = not self.ray.is_initialized()
        if self.started:
            where = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": count, "include_dashboard": False}
            self.ray.init(log_to_driver=False, logging_level="warning", **where)

    def start(self) -> Worker:
        return _Actor(self.ray, self.make)

    def ready(self, busy: Sequence[Worker]) -> Sequence[Worker]:
        actors = [worker for worker in busy if isinstance(worker, _Actor)]
        # A dead actor's answer is ready: to fetch it raises.
        done, _ = self.ray.wait([actor.pending for actor in actors], num_returns=1)
        return [actor for actor in actors if actor.pending in done]

    def close(self) -> None:
        super().close()
        if self.started and self.ray.is_initialized():
            self.ray.shutdown()


class _Actor:
    def __init__(self, ray: Any, make: Callable[[], Answer]) -> None:
        self.ray = ray
        self.handle = ray.remote(num_cpus=1, max_restarts=0)(_Remote).remote(make)
        self.pending: Any = None

    def ask(self, kind: str, chunk: Sequence[Any]) -> None:
        self.pending = self.handle.answer.remote(kind, chunk)

    def answer(self) -> Any:
        try:
            return self.ray.get(self.pending)
        except self.ray.exceptions.RayActorError:
            raise EOFError from None
        except self.ray.exceptions.RayTaskError as error:
            return error.cause

    def stop(self) -> None:
        self.ray.kill(self.handle)


class _Remote:
    """What lives in the cluster."""

    def __init__(self, make: Callable[[], Answer]) -> None:
        self.make = make
        self.made: Answer | None = None

    def answer(self, kind: str, chunk: Sequence[Any]) -> Sequence[Any]:
        self.made = self.made or self.make()
        return self.made(kind, chunk)

    def pid(self) -> int:
        return os.getpid()
