from __future__ import annotations

import copy
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from snnas.export.formats import hdf5_guard
from snnas.hw_sim.lava import environment as lava_environment
from tests.without_lava import without_lava

# `snnas check` refuses to write expectations where a pipeline runs it; the suite runs in pipelines and at desks,
# and means the same in both. The tests of the refusal set the variable themselves.
os.environ.pop("CI", None)

# A busy machine makes no test fail; and in pipelines, where hypothesis has another default, new examples are drawn too.
settings.register_profile(
    "any machine",
    parent=settings.get_profile("default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


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


@pytest.fixture
def no_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Lava worker is found, whatever this machine has."""
    without_lava(monkeypatch)


_READ: dict[tuple[object, ...], hdf5_guard.Tree] = {}
_GUARD_TESTS = {"formats", "faults"}  # folders whose tests are of the guarded child itself


@pytest.fixture(autouse=True)
def _hdf5_is_read_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of equal content are read by one guarded child, of which each costs a quarter of a second."""
    if _GUARD_TESTS & set(request.path.parts):
        return
    ask = hdf5_guard.ask_child

    def ask_once(child: Path, path: Path, what: str, **limits: Any) -> hdf5_guard.Tree:
        key = (child, hashlib.sha256(path.read_bytes()).digest(), *sorted(limits.items()))
        if key not in _READ:
            _READ[key] = ask(child, path, what, **limits)
        return copy.deepcopy(_READ[key])

    monkeypatch.setattr(hdf5_guard, "ask_child", ask_once)
