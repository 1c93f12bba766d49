"""Cells that compute the same functions have one form, and cells that do not have two."""

import itertools

import pytest
import torch
from torch import Tensor

from snnas.search.network.config import NetworkConfig
from snnas.search.network.functional import form, representatives
from snnas.search.network.genotype import CONV_KERNELS, FORWARD_EDGES, Cell, Genotype
from snnas.search.network.network import Network
from snnas.search.network.space import get

CONFIG = NetworkConfig(input_shape=(1, 4, 4), classes=3, channels=3, hidden=8, timesteps=3, cells=1)
CONV, ONE = "conv3x3", "conv1x1"


def cell(**edges: str) -> Cell:
    """cell(e01="skip", ...)"""
    return Cell.of({(int(name[1]), int(name[2])): op for name, op in edges.items()})


def network(found: Cell, seed: int) -> Network:
    """A network whose batch norms have statistics and gains of their own, and whose neurons fire."""
    torch.manual_seed(seed)
    made = Network(Genotype("snasnet", (found,)), CONFIG).eval()
    for name, module in made.named_children():
        if name.endswith(("bn", "bn1x1")):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0.5)
    return made


def folded(net: Network, edge: str) -> tuple[Tensor, Tensor]:
    """Weights and bias of a convolution with its batch norm, of unit statistics, as a 3x3."""
    kind = "" if hasattr(net, f"cell1_{edge}_conv") else "1x1"
    norm = getattr(net, f"cell1_{edge}_bn{kind}")
    weight = getattr(net, f"cell1_{edge}_conv{kind}").weight * norm.weight[:, None, None, None]
    return torch.nn.functional.pad(weight, (1, 1, 1, 1)) if kind else weight, norm.bias


def outputs(one: Network, other: Network) -> tuple[Tensor, Tensor]:
    x = torch.rand(8, 1, 4, 4) * 4
    with torch.no_grad():
        return one(x), other(x)


CASES = {
    # a cell; another of the same form; the convolutions of the other as sums of those of the first
    "parallel": (
        cell(e01="skip", e03=CONV, e13=CONV),
        cell(e03=CONV),
        {"e03": ("e03", "e13")},
    ),
    "a 1x1 beside a 3x3": (
        cell(e01="skip", e03=ONE, e13=CONV),
        cell(e03=CONV),
        {"e03": ("e03", "e13")},
    ),
    "a convolution of two targets beside one of either": (
        cell(e01=CONV, e13="skip", e12=CONV, e23="skip", e03=CONV),
        cell(e01=CONV, e12=CONV, e23="skip", e03=CONV),
        {"e01": ("e01",), "e12": ("e12",), "e03": ("e01", "e03")},
    ),
    "neurons have no order": (
        cell(e01=CONV, e13=CONV, e02="skip", e23="skip", e03=CONV),
        cell(e02=CONV, e23=CONV, e01="skip", e13="skip", e03=CONV),
        {"e02": ("e01",), "e23": ("e13",), "e03": ("e03",)},
    ),
    "the order of two neurons on one level": (
        cell(e01=CONV, e02=CONV, e12="skip", e13=CONV, e23=CONV),
        cell(e01=CONV, e02=CONV, e13=CONV, e23=CONV),
        {"e01": ("e01",), "e02": ("e01", "e02"), "e13": ("e13",), "e23": ("e23",)},
    ),
    "the output's scale": (cell(e01="skip", e13="skip", e03="skip"), cell(e03="skip"), {}),
    "the input's scale": (
        cell(e01="skip", e02="skip", e12="skip", e23=CONV),
        cell(e03=CONV),
        {"e03": ("e23",)},
    ),
}
GAINS = {"the output's scale": "red1_bn", "the input's scale": "stem_bn"}


@pytest.mark.parametrize("case", CASES)
def test_equal_forms_compute_equal_functions(case: str) -> None:
    first, second, sums = CASES[case]
    assert form(first) == form(second)
    one, other = network(first, 0), network(second, 1)
    common = {k: v for k, v in one.state_dict().items() if not k.startswith("cell") and k in other.state_dict()}
    other.load_state_dict(common, strict=False)
    for edge, parts in sums.items():
        found = [folded(one, part) for part in parts]
        getattr(other, f"cell1_{edge}_conv").weight.data = sum(weight for weight, _ in found).data
        getattr(other, f"cell1_{edge}_bn").weight.data.fill_(1)
        getattr(other, f"cell1_{edge}_bn").bias.data = sum(bias for _, bias in found).data
    if case in GAINS:
        norm = getattr(other, GAINS[case])
        norm.weight.data *= 2
        if case == "the input's scale":
            norm.bias.data *= 2
    a, b = outputs(one, other)
    assert a.abs().max() > 0
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    if sums:
        getattr(other, f"cell1_{next(iter(sums))}_bn").weight.data.fill_(3)  # another weight is another output
        assert not torch.allclose(*outputs(one, other), atol=1e-3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (cell(e03=CONV), cell(e03="skip")),
        (cell(e03=CONV), cell(e03=ONE)),
        (cell(e03=CONV), cell(e03=CONV, e01="skip", e13="skip")),  # beside it the input
        (cell(e01=CONV, e13=CONV), cell(e03=CONV)),
        (cell(e03="skip"), cell(e03="avgpool3x3")),
        (cell(e01="avgpool3x3", e13=CONV), cell(e03=CONV)),
        (cell(e03=CONV), Cell.of({(0, 3): CONV, (3, 0): "skip"})),
    ],
)
def test_other_functions_are_other_forms(one: Cell, other: Cell) -> None:
    assert form(one) != form(other)


def test_what_is_dead_has_no_part() -> None:
    assert form(cell(e03=CONV, e01=CONV)) == form(cell(e03=CONV))
    assert form(cell(e01=CONV)) is None
    back = Cell.of({(0, 3): CONV, (3, 0): "skip", (0, 1): "skip"})
    assert form(back) == form(Cell.of(back.live()))


def test_lightsnn_holds_48_functions() -> None:
    """729 matrices, 290 cells by live edges, 275 with a convolution."""
    found = representatives(tuple(sorted(get("lightsnn").ops)))
    assert len(found) == 48
    assert sum(any(op in CONV_KERNELS for op in c.live().values()) for c in found.values()) == 47
    every = (Cell(ops) for ops in itertools.product(get("lightsnn").ops, repeat=len(FORWARD_EDGES)))
    for one in itertools.islice((c for c in every if c.live()), 0, None, 37):
        plain = found[form(one)]
        assert form(plain) == form(one)
        assert sum(op == CONV for op in plain.live().values()) <= sum(op == CONV for op in one.live().values())
