from __future__ import annotations

from pathlib import Path

import pytest

from hw_sim import lava_environment


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
