import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snnas.hw_sim.errors import UnsupportedError, UsageError, WorkerError
from snnas.toolchain.searching.pool import CHUNK, RETRIES
from snnas.toolchain.searching.process_pool import ProcessPool
from snnas.toolchain.searching.workers import check_engine, open_pool
from tests.interrupts import heeded

ROOT = Path(__file__).parents[3]


class Doubler:
    """Doubles numbers; ends its process on the questions of ``deadly``, once per file in ``graves``, or always."""

    def __init__(self, deadly: int = -1, grave: Path | None = None) -> None:
        self.deadly, self.grave = deadly, grave

    def __call__(self, kind: str, questions: list[int]) -> list[int]:
        if kind == "fail":
            raise UsageError(f"no {questions[0]}")
        if kind == "pid":
            time.sleep(0.2)
            return [os.getpid()] * len(questions)
        if self.deadly in questions and (self.grave is None or not self.grave.exists()):
            if self.grave is not None:
                self.grave.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [2 * question for question in questions]


class Maker:
    def __init__(self, *values) -> None:
        self.values = values

    def __call__(self) -> Doubler:
        return Doubler(*self.values)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_answers_come_in_order_from_several_processes() -> None:
    with ProcessPool(Maker(), 2) as ask:
        heard: dict[int, int] = {}
        doubled = [2 * k for k in range(5 * CHUNK + 3)]
        assert ask("double", range(5 * CHUNK + 3), each=heard.__setitem__) == doubled
        assert heard == dict(enumerate(doubled))
        assert ask("double", []) == []
        pids = set(ask("pid", range(4 * CHUNK)))
        assert len(pids) == 2
        assert os.getpid() not in pids
    assert not any(map(alive, pids))


def test_a_dead_worker_is_replaced_and_its_chunk_asked_again(tmp_path: Path) -> None:
    with ProcessPool(Maker(17, tmp_path / "grave"), 2) as ask:
        assert ask("double", range(40)) == [2 * k for k in range(40)]
        assert ask.deaths == 1
        assert len(ask.workers) == 2
        # One that dies while it has nothing to do.
        (victim, *_) = set(ask("pid", range(CHUNK)))
        os.kill(victim, signal.SIGKILL)
        assert ask("double", range(40)) == [2 * k for k in range(40)]
        assert ask.deaths == 2


def test_a_chunk_that_always_kills_ends_the_search() -> None:
    ask = ProcessPool(Maker(3), 1)
    with pytest.raises(WorkerError, match=f"{RETRIES} search workers died") as error, ask:
        ask("double", range(5))
    assert error.value.exit_code == 75
    assert ask.workers == []


def test_errors_arrive_as_they_were() -> None:
    with ProcessPool(Maker(), 1) as ask, pytest.raises(UsageError, match="no 4"):
        ask("fail", [4])


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="--workers 0"):
        check_engine("process", 0)
    with pytest.raises(UsageError, match="'threads': expected process, ray"), open_pool("threads", Maker(), 1):
        pass


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snnas.toolchain.searching.workers.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"\.\[ray\]"), open_pool("ray", Maker(), 1):
        pass


SEARCH = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
from test_workers import Maker
from snnas.toolchain.searching.process_pool import ProcessPool
if __name__ == "__main__":
    with ProcessPool(Maker(), 2) as ask:
        print(*set(ask("pid", range(32))), flush=True)
        while True:
            ask("pid", range(32))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(tmp_path: Path, number: int) -> None:
    script = tmp_path / "searching.py"
    script.write_text(SEARCH.format(root=str(ROOT), here=str(Path(__file__).parent)))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=heeded,
    ) as search:
        assert search.stdout is not None
        pids = [int(pid) for pid in search.stdout.readline().split()]
        assert len(pids) == 2
        # As a terminal does it: Ctrl-C reaches the workers too.
        (os.killpg if number == signal.SIGINT else os.kill)(search.pid, number)
        try:
            search.wait(600)
        finally:
            search.kill()
        deadline = time.monotonic() + 600
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.slow
# Ray warns of its own: of files that it leaves open, of signatures that are to change.
@pytest.mark.filterwarnings("ignore")
def test_ray_with_a_worker_killed_on_the_way(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed (pip install -e '.[ray]')")
    with open_pool("ray", Maker(17, tmp_path / "grave"), 2) as ask:
        assert ask("double", range(40)) == [2 * k for k in range(40)]
        assert ask.deaths == 1
        assert len(set(ask("pid", range(4 * CHUNK)))) == 2
        with pytest.raises(UsageError, match="no 4"):
            ask("fail", [4])
