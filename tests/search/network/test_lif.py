"""The neuron against spikingjelly's, in C and in torch."""

import logging
import tempfile
from pathlib import Path

import pytest
import torch
from spikingjelly.activation_based import neuron, surrogate

from snnas.search.network import lif, lif_kernel
from snnas.search.network.lif import LIF


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(lif_kernel, "usable", lambda *tensors: False)
    elif not lif_kernel.usable():
        pytest.skip("no C compiler here")
    return request.param


def reference(mode: str, tau: float, threshold: float) -> neuron.LIFNode:
    return neuron.LIFNode(
        tau=tau, v_threshold=threshold, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode=mode
    )


def currents(layout: str, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(5, 3, 6, 7, 8, generator=generator) * 1.5
    if layout == "channels last":
        return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    if layout == "constant":
        return x[0].expand(5, -1, -1, -1, -1)
    return x[:, :, :, ::2] if layout == "strided" else x


@pytest.mark.parametrize("layout", ["plain", "channels last", "constant", "strided"])
@pytest.mark.parametrize(("tau", "threshold"), [(4 / 3, 1.0), (2.0, 0.5)])
def test_sequences_equal_spikingjelly(way: str, layout: str, tau: float, threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (currents(layout, torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2))
    grad = torch.randn(ours.shape, generator=generator)
    spikes, expected = LIF(tau, threshold)(ours), reference("m", tau, threshold)(theirs)
    assert torch.equal(spikes, expected)
    assert 0.05 < float(spikes.detach().mean()) < 0.6
    spikes.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(LIF(tau, threshold)(ours), expected)


def test_steps_equal_spikingjelly_and_the_sequence(way: str) -> None:
    ours, theirs = (currents("plain", torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2))
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    stepped, node = LIF(), reference("s", 4 / 3, 1.0)
    stepped.step_mode = "s"
    spikes = torch.stack([stepped(x) for x in ours])
    expected = torch.stack([node(x) for x in theirs])
    assert torch.equal(spikes, expected)
    assert torch.equal(spikes, LIF()(ours))
    spikes.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    assert stepped.v is not None
    stepped.rest()
    assert torch.equal(stepped(ours[0]), expected[0])


def test_a_gradient_through_the_voltage_alone(way: str) -> None:
    """The last voltage as an output: d v' / d x = 1/tau where silent, 0 where it spiked."""
    x = torch.tensor([0.4, 4.0], requires_grad=True)
    neurons = LIF(2.0, 1.0)
    neurons.step_mode = "s"
    neurons(x)
    assert neurons.v is not None
    neurons.v.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0.0]


def test_float64_and_bfloat16() -> None:
    x = currents("plain", torch.Generator().manual_seed(0))
    assert LIF()(x.double()).dtype == torch.float64
    half = x.bfloat16().requires_grad_()
    spikes = LIF()(half)
    # The state is float32: the spikes are those of the rounded currents in float32.
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), LIF()(half.detach().float()))
    spikes.sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    if not lif_kernel.usable():
        pytest.skip("no C compiler here")
    x = currents("plain", torch.Generator().manual_seed(0))
    one = LIF()(x)
    monkeypatch.setattr(lif_kernel, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(one, LIF()(x))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lif_kernel, "usable", lambda *tensors: False)
    x = currents("plain", torch.Generator().manual_seed(0)).requires_grad_()
    whole = LIF()(x)
    (expected,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(lif, "BLOCK", 100)
    assert torch.equal(whole, LIF()(x))
    assert torch.equal(expected, torch.autograd.grad(LIF()(x).square().sum(), x)[0])


def test_a_broken_compiler_is_logged_and_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "false")
    lif_kernel._library.cache_clear()
    try:
        with caplog.at_level(logging.INFO):
            assert not lif_kernel.usable()
        assert "C compiler failed" in caplog.text
        assert LIF()(torch.full((2, 3), 2.0)).tolist() == [[1.0] * 3] * 2
    finally:
        lif_kernel._library.cache_clear()


def test_it_has_no_state_to_save() -> None:
    assert LIF().state_dict() == {}


def test_what_a_compiler_leaves_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is ended leaves its own temporary files."""
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n: > "$TMPDIR/left.s"\nexit 1\n')
    compiler.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    for name, value in (("CC", compiler), ("TMPDIR", tmp_path / "tmp")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("SNNAS_NO_CC", raising=False)
    assert lif_kernel._library.__wrapped__() is None
    assert list((tmp_path / "tmp").iterdir()) == []
