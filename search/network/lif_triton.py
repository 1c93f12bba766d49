"""The neuron of ``lif`` on a GPU: one launch over all timesteps instead of one per operation and step.

Triton comes with torch for CUDA; without it torch does the same in some 50 launches (T = 5, both passes). Float32 only.
Divisions are IEEE's and nothing is contracted in the forward pass, so that spikes equal a CPU's bit for bit;
gradients do up to rounding. With TRITON_INTERPRET=1 it runs on a CPU, and is compared there
(tests/search/network/test_lif_triton.py).

spikingjelly's Triton LIF computes the same spikes. It is not used: it is a private module there, always writes
the voltages before and behind the reset (12 bytes per neuron and timestep against 8, or 4 where no gradient is asked
for), and wants every step's current in memory, where a still image's is one for all.

Where tau or threshold is learnt (LEARNT), both are tensors () on the device, and read there: the host never waits.
"""

# pyright: reportMissingImports=false, reportIndexIssue=false
from __future__ import annotations

import contextlib

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
PI_SQUARED = tl.constexpr(9.869604401089358)
Number = float | Tensor  # as in ``lif``


@triton.jit(do_not_specialize=["steps"])  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    x, step, before, spikes, voltage, after, steps, n, tau, threshold,
    BEFORE: tl.constexpr, KEPT: tl.constexpr, AFTER: tl.constexpr, LEARNT: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    if LEARNT:
        tau = tl.load(tau)
        threshold = tl.load(threshold)
    place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = place < n
    v = tl.load(before + place, mask=inside & BEFORE, other=0.0)
    x += place
    spikes += place
    voltage += place
    for _ in range(steps):
        v = v + tl.div_rn(tl.load(x, mask=inside, other=0.0) - v, tau)
        if KEPT:
            tl.store(voltage, v, mask=inside)
        fired = v >= threshold
        tl.store(spikes, fired.to(tl.float32), mask=inside)
        v = tl.where(fired, 0.0, v)
        x += step
        spikes += n
        voltage += n
    if AFTER:
        tl.store(after + place, v, mask=inside)


@triton.jit(do_not_specialize=["steps"])  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    grad, step, voltage, later, out, steps, n, tau, threshold,
    LATER: tl.constexpr, LEARNT: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    if LEARNT:
        tau = tl.load(tau)
        threshold = tl.load(threshold)
    place = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = place < n
    carried = tl.load(later + place, mask=inside & LATER, other=0.0)
    last = steps - 1
    grad += place + step * last.to(tl.int64)
    voltage += place + n * last.to(tl.int64)
    out += place + n * last.to(tl.int64)
    for _ in range(steps):
        v = tl.load(voltage, mask=inside, other=0.0)
        distance = v - threshold
        silent = tl.where(v < threshold, carried, 0.0)
        g = tl.load(grad, mask=inside, other=0.0)
        value = tl.div_rn(tl.div_rn(g, 1.0 + PI_SQUARED * distance * distance) + silent, tau)
        tl.store(out, value, mask=inside)
        carried = value * (tau - 1.0)
        grad -= step
        voltage -= n
        out -= n


def usable(*tensors: Tensor | None) -> bool:
    """Return whether the kernel can run on ``tensors``: real ones (no FakeTensor) of float32 on a GPU."""
    suits = all(x is None or (x.dtype == torch.float32 and x.is_cuda and type(x) is Tensor) for x in tensors)
    return suits and torch.cuda.is_available()


def _current(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Triton launches on the device that is current."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def forward(
    rows: Tensor,
    before: Tensor | None,
    constants: tuple[Number, Number],
    spikes: Tensor,
    voltage: Tensor | None,
    after: Tensor | None,
) -> None:
    """Fill ``spikes``, and where given ``voltage`` and ``after``; as ``lif_kernel.forward``.

    constants: tau and threshold, two numbers or two tensors ().
    """
    n = rows.shape[1]
    # A tensor that is not there is not touched; its place takes any.
    ends = spikes, spikes if voltage is None else voltage, spikes if after is None else after
    given = before is not None, voltage is not None, after is not None, isinstance(constants[0], Tensor)
    with _current(rows):
        _forward[(triton.cdiv(n, BLOCK),)](
            rows, rows.stride(0), rows if before is None else before, *ends, len(rows), n, *constants, *given, BLOCK
        )


def backward(
    grad: Tensor, voltage: Tensor, later: Tensor | None, constants: tuple[Number, Number], out: Tensor
) -> None:
    """Fill ``out`` (T, n) with the gradient of the currents; as ``lif_kernel.backward``."""
    n = grad.shape[1]
    with _current(grad):
        _backward[(triton.cdiv(n, BLOCK),)](
            grad, grad.stride(0), voltage, grad if later is None else later, out, len(grad), n, *constants,
            later is not None, isinstance(constants[0], Tensor), BLOCK,
        )  # fmt: skip
