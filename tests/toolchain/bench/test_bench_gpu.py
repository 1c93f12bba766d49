"""``snnas bench gpu`` on a CPU: what is found wrong. All of it runs in tests/toolchain/results/test_schemas.py."""

from collections.abc import Callable

import pytest

from snnas.search.network import lif
from snnas.toolchain.bench import gpu, gpu_speed
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.training.step import Stepper

SMALL = gpu_speed.Sizes(neurons=160, channels=16, pixels=8, batch=4, steps=1, width=4, proxy_batch=4)


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if gpu_device():
        pytest.skip("there is a GPU")
    assert run_command(["bench", "gpu"]) == 2
    assert "device 'cuda' cannot be used" in capsys.readouterr().err


def gpu_device() -> bool:
    import torch

    return torch.cuda.is_available()


def test_parity_holds_against_itself() -> None:
    found = gpu.neuron_parity("cpu", SMALL, 0)
    assert found["good"]
    assert found["spikes"] > 1000


def test_a_neuron_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = iter([1.0, 1.1] * 3)
    monkeypatch.setattr(lif, "LIF", lambda tau, threshold, of=lif.LIF: of(tau, next(thresholds)))
    found = gpu.neuron_parity("cpu", SMALL, 0)
    assert not found["good"]
    assert found["differing_spikes"] > 0


def test_a_step_that_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "KINDS", {"feedforward": gpu_speed.KINDS["feedforward"]})
    steps = iter(range(100))

    def backward(*given: object, of: Callable[..., object] = Stepper.backward) -> object:
        if next(steps) == 5:  # of the second training
            raise RuntimeError("called a synchronizing CUDA operation")
        return of(*given)

    monkeypatch.setattr(Stepper, "backward", backward)
    found = gpu.waiting("cpu", SMALL, 0)
    assert not found["good"]
    assert list(found["waits_for"].values()) == ["nothing", "called a synchronizing CUDA operation"]
