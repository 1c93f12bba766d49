from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from snnas.hw_sim.lava import environment as lava_environment

# `snnas check` refuses to write expectations where a pipeline runs it; the suite runs in pipelines and at desks,
# and means the same in both. The tests of the refusal set the variable themselves.
os.environ.pop("CI", None)


class _BareNames:
    """The folders stand at the top of the repository: as bare names they would load twice, with errors of their own."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in ("toolchain", "search", "export", "hw_sim"):
            raise ImportError(f"import snnas.{name}, not {name}")


sys.meta_path.insert(0, _BareNames())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of comparing with it")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def lava_python() -> Path:
    """The interpreter of a usable Lava worker; the test is skipped, with the reason, where there is none."""
    python, reason = lava_environment.find_python()
    if python is None:
        pytest.skip(f"no Lava worker: {reason}")
    found = lava_environment.probe(python)
    if not found["usable"]:
        pytest.skip(f"no Lava worker: {found['reason']}")
    return python
