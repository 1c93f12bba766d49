"""The Triton kernel of the neuron without a GPU: run by Triton's interpreter, and compiled for one."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from snnas.search.network import lif_kernel

triton = pytest.importorskip("triton", reason="Triton comes with torch for CUDA, or with snnas[triton]")
NAME = "snnas.search.network.lif_triton"
CONSTANTS = (4 / 3, 1.0)
LEARNT = tuple(torch.tensor(value) for value in CONSTANTS)
STEPS, NEURONS = 5, 700  # not a multiple of a block

pytestmark = pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")


def imported(interpreted: bool) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", str(int(interpreted)))
        sys.modules.pop(NAME, None)
        yield importlib.import_module(NAME)
        sys.modules.pop(NAME, None)


@pytest.fixture
def kernel() -> Iterator[ModuleType]:
    yield from imported(True)


@pytest.fixture
def compiled() -> Iterator[ModuleType]:
    yield from imported(False)


@pytest.mark.parametrize("kind", ["from rest", "goes on", "constant"])
def test_spikes_are_those_of_the_cpu_bit_for_bit(kernel: ModuleType, kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = 2 * torch.randn(STEPS, NEURONS, generator=generator)
    rows = rows[:1].expand(STEPS, NEURONS) if kind == "constant" else rows
    before = torch.rand(NEURONS, generator=generator) if kind == "goes on" else None
    mine, theirs = ([torch.empty(STEPS, NEURONS), torch.empty(STEPS, NEURONS), torch.empty(NEURONS)] for _ in range(2))
    kernel.forward(rows, before, CONSTANTS, *mine)
    lif_kernel.forward(rows, before, CONSTANTS, *theirs)
    assert 0.1 < float(mine[0].mean()) < 0.5
    assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))
    spikes = torch.empty(STEPS, NEURONS)
    kernel.forward(rows, before, LEARNT, spikes, None, None)
    assert torch.equal(spikes, mine[0])


@pytest.mark.parametrize("later", [False, True])
def test_gradients_are_those_of_the_cpu(kernel: ModuleType, later: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    grad, voltage = (torch.randn(STEPS, NEURONS, generator=generator) for _ in range(2))
    carried = torch.randn(NEURONS, generator=generator) if later else None
    mine, theirs = torch.empty(STEPS, NEURONS), torch.empty(STEPS, NEURONS)
    kernel.backward(grad, voltage, carried, CONSTANTS, mine)
    lif_kernel.backward(grad, voltage, carried, CONSTANTS, theirs)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    again = torch.empty(STEPS, NEURONS)
    kernel.backward(grad, voltage, carried, LEARNT, again)
    torch.testing.assert_close(again, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("learnt", [False, True])
def test_it_compiles_for_a_gpu_with_exact_divisions(compiled: ModuleType, learnt: bool, monkeypatch, tmp_path) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    number = "*fp32" if learnt else "fp32"
    kinds = {"steps": "i32", "step": "i32", "n": "i32", "tau": number, "threshold": number}
    for function, size in ((compiled._forward, 4), (compiled._backward, 2)):
        flags = [name for name in function.arg_names if name.isupper()]
        assert len(flags) == size + 1
        signature = {name: "constexpr" if name in flags else kinds.get(name, "*fp32") for name in function.arg_names}
        constants: dict[str, int] = dict.fromkeys(flags, True) | {"SIZE": compiled.BLOCK, "LEARNT": learnt}
        source = ASTSource(fn=function, signature=signature, constexprs=constants)
        code = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
        assert "div.rn.f32" in code
        assert "div.full.f32" not in code
        # Contracted to one rounding, v + (x - v)/tau would be another voltage.
        assert function is compiled._backward or "fma.rn.f32" not in code
