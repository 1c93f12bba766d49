"""On a GPU a step waits for nothing and copies nothing: proved with FakeTensors on a CUDA that computes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_cuda import build

ROOT = Path(__file__).parents[3]
STEPS = (
    "feed-forward", "recurrent", "target_sar", "bf16", "recurrent bf16", "sgd", "accumulate", "whitening", "dropout",
    "class weights", "learn", "learn tau, recurrent", "learn threshold", "mse_nas", "mse_nas with links",
)  # fmt: skip
KINDS = ("feed-forward", "recurrent")
SCORES = (*(f"{proxy}, {kind}" for proxy in ("sahd", "sahd of one", "guards") for kind in KINDS), "rdm")
PLANTED = {
    "item": "sync",
    "bool": "sync",
    "host tensor": "raised",
    "host index": "mixed",
    "numpy index": "copy",
    "made on the host": "copy",
    "copied": "copy",
}

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


@pytest.fixture(scope="module")
def found() -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fake_cuda.run"], cwd=ROOT, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_stays_on_the_device(found: dict[str, dict], name: str) -> None:
    case = found[f"step {name}"]
    assert (case["error"], case["faults"]) == ("", {})
    assert case["operations"] > 500  # forward, backward and optimiser were looked at


@pytest.mark.parametrize("name", SCORES)
def test_scoring_comes_home_once(found: dict[str, dict], name: str) -> None:
    case = found[f"score {name}"]
    assert (case["error"], case["faults"]) == ("", {})
    assert case["operations"] > 100


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(found: dict[str, dict], name: str) -> None:
    case = found[f"planted {name}"]
    if PLANTED[name] == "raised":
        assert "two devices, cuda:0 and cpu" in case["error"]
    else:
        assert any(fault.startswith(PLANTED[name]) and ".py:" in fault for fault in case["faults"])


@pytest.mark.parametrize("name", ["step", "validation"])
def test_processes_add_up_tensors_of_the_device_alone(found: dict[str, dict], name: str) -> None:
    assert found[f"collectives {name}"]["error"] == ""


def test_a_sum_on_the_host_is_found(found: dict[str, dict]) -> None:
    assert "all_reduce of a tensor on cpu" in found["collectives planted"]["error"]
