"""Who evaluates the candidates of a search beside this process: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.toolchain.runs.extras import install
from snnas.toolchain.searching.pool import CHUNK, Answer, Pool
from snnas.toolchain.searching.process_pool import ProcessPool
from snnas.toolchain.searching.ray_pool import RayPool

ENGINES: dict[str, type[Pool]] = {"process": ProcessPool, "ray": RayPool}


def check_engine(engine: str, count: int) -> None:
    """UsageError where no pool is like that, UnsupportedError where ray is not installed."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine!r}: expected {', '.join(ENGINES)}")
    if not 1 <= count <= 1024:
        raise UsageError(f"--workers {count}: expected a whole number in 1..1024")
    if engine == "ray" and find_spec("ray") is None:
        raise UnsupportedError(f"--engine ray: ray is not installed; mend: {install('ray')}")


@contextlib.contextmanager
def open_pool(engine: str, make: Callable[[], Answer], count: int, *, chunk: int = CHUNK) -> Iterator[Pool]:
    """A pool of ``count`` workers of ``engine``; raises what ``check_engine`` does."""
    check_engine(engine, count)
    with ENGINES[engine](make, count, chunk=chunk) as workers:
        yield workers
