"""Modules of other packages come over: the graph gives every spike that the module gave on the example, or says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snnas

torch = pytest.importorskip("torch")
nn = torch.nn
house = pytest.importorskip(
    "spikingjelly.activation_based", reason="spikingjelly is not installed (pip install snnas[search])"
)
from spikingjelly.activation_based import functional, layer, neuron  # noqa: E402

T = 6


def grown(net: Any, factor: float = 3.0) -> Any:
    """So that every layer fires."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=factor / p[0].numel() ** 0.5)
    return net


def given(*shape: int) -> Any:
    return torch.rand(8, *shape, generator=torch.Generator().manual_seed(1))


def dense(lif: Callable[[], Any]) -> Any:
    return grown(nn.Sequential(layer.Linear(9, 16), lif(), layer.Linear(16, 4), lif()))


def image(lif: Callable[[], Any]) -> Any:
    """What spikingjelly's users write: batch norm behind a convolution, a max over spikes."""
    net = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), lif(), layer.MaxPool2d(2), layer.Flatten(),
        layer.Dropout(0.5), layer.Linear(64, 5), lif(), layer.Linear(5, 3),
    )  # fmt: skip
    with torch.no_grad():
        net[1].running_mean.uniform_(-0.2, 0.2)
        net[1].running_var.uniform_(0.5, 2)
    return grown(net)


class Skip(nn.Module):
    """Two ways into one layer: a + that exporters drop."""

    def __init__(self, lif: Callable[[], Any]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(9, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.na, self.nb, self.nc = lif(), lif(), lif()

    def forward(self, x: Any) -> Any:
        first = self.na(self.a(x))
        return self.nc(self.c(self.nb(self.b(first)) + first))


NEURONS: dict[str, Callable[[], Any]] = {
    "lif": lambda: neuron.LIFNode(tau=2.0, v_reset=0.0),
    "lif, no decay of its input": lambda: neuron.LIFNode(tau=3.0, decay_input=False, v_reset=0.0),
    "if": lambda: neuron.IFNode(v_reset=0.0),
    "learnt": lambda: neuron.ParametricLIFNode(init_tau=2.5, v_reset=0.0),
    "soft": lambda: neuron.LIFNode(tau=2.0, v_reset=None),
    "current": lambda: neuron.CUBALIFNode(0.5, 0.75, v_reset=0.0),
}


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_of_spikingjelly(name: str) -> None:
    model = snnas.from_torch(dense(NEURONS[name]), given(9), timesteps=T)
    assert model.verified
    assert model.confirmed is not None
    assert model.confirmed.compared == 8 * T * 20
    assert model.reading.said == "spikingjelly" + " with --reset subtract" * (name == "soft")
    x = given(9).numpy()
    assert model.compile(x).simulate(x).answers.shape == (8, 4)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_an_image_network(mode: str) -> None:
    net = image(NEURONS["lif"])
    functional.set_step_mode(net, mode)
    net.train()
    model = snnas.from_torch(net, 2 * given(1, 8, 8), timesteps=T)
    assert net.training  # as it was
    assert all(m.v == 0.0 for m in net.modules() if isinstance(m, neuron.BaseNode))  # at rest
    assert [type(n).__name__ for n in model.graph.nodes.values()].count("Threshold") == 1
    net.eval()
    functional.set_step_mode(net, "m")
    with torch.no_grad():
        theirs = net((2 * given(1, 8, 8)).expand(T, 8, 1, 8, 8)).sum(0)
    np.testing.assert_allclose(model.run(2 * given(1, 8, 8)), theirs.numpy(), rtol=1e-4, atol=1e-4)


def test_a_sum_keeps_all_its_terms() -> None:
    model = snnas.from_torch(grown(Skip(NEURONS["lif"])), given(9), timesteps=T)
    assert sorted(model.graph.sources("c")) == ["na", "nb"]


def test_frames() -> None:
    frames = (torch.rand(8, 10, 9, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    model = snnas.from_torch(dense(NEURONS["lif"]), frames)
    assert (model.timesteps, model.input_kind) == (10, "spikes")
    assert snnas.from_torch(dense(NEURONS["lif"]), frames / 2).input_kind == "analogue"


class Unrolled(nn.Module):
    """A loop over timesteps in the module itself, as tutorials have it."""

    def __init__(self, steps: int, *, frames: bool = False, read: Callable[[list[Any]], Any] | None = None) -> None:
        super().__init__()
        self.steps, self.frames = steps, frames
        self.read = read or (lambda found: torch.stack(found).mean(0))
        self.fc1, self.lif1, self.fc2, self.lif2 = (*dense(NEURONS["lif"]),)

    def forward(self, x: Any) -> Any:
        found = []
        for t in range(self.steps):
            found.append(self.lif2(self.fc2(self.lif1(self.fc1(x[t] if self.frames else x)))))
        return self.read(found)


@pytest.mark.parametrize(
    "read", [sum, lambda found: (torch.stack(found), found), lambda found: torch.stack(found).sum(0)]
)
def test_what_a_loop_makes_of_its_timesteps(read: Any) -> None:
    model = snnas.from_torch(Unrolled(T, read=read), given(9), timesteps=T)
    assert model.graph.sources(model.graph.output) == ["lif2"]


def test_a_loop_over_timesteps() -> None:
    assert snnas.from_torch(Unrolled(T), given(9), timesteps=T).verified
    assert snnas.from_torch(Unrolled(T, frames=True), given(T, 9)).verified
    with pytest.raises(snnas.UsageError, match=r"timesteps 8: the module runs lif1 for 6; give timesteps=6"):
        snnas.from_torch(Unrolled(T), given(9), timesteps=8)


class Odd(nn.Module):
    def __init__(self, act: Callable[[Odd, Any], Any]) -> None:
        super().__init__()
        self.act = act
        self.a, self.na = nn.Linear(9, 9), NEURONS["lif"]()

    def forward(self, x: Any) -> Any:
        return self.act(self, x)


REFUSED = {
    "a function": (lambda m, x: m.na(torch.tanh(m.a(x))), r"tanh: tanh\(\) has no counterpart"),
    "itself": (lambda m, x: m.na(m.a(x) + m.a(x)), "a value that is added to itself"),
    "a constant": (lambda m, x: m.na(m.a(x) + 1), "a constant that is added"),
    "a layer twice": (lambda m, x: m.na(m.a(m.na(m.a(x)))), "a reads na, and input in another call"),
    "no neuron": (lambda m, x: m.a(x), "no spiking neuron of spikingjelly, snntorch or norse"),
    "inside a sum": (lambda m, x: m.na(m.a(x) + torch.relu(m.a(x))), r"relu: relu\(\) has no counterpart"),
    "inside a function": (lambda m, x: m.na(torch.relu(m.a(x) * 2)), r"mul: mul\(\) has no counterpart"),
    "a sample": (lambda m, x: m.na(m.a(x))[0], r"an element \[0\] of na has no counterpart"),
    "an element of a flat": (lambda m, x: m.na(m.a(x)).flatten(1)[0], r"an element \[0\] of na_flat has no"),
    "a part of each frame": (lambda m, x: m.na(m.a(x[:, 2:])), "an element .* of input has no counterpart"),
    "a sum over classes": (
        lambda m, x: m.na(m.a(x)).reshape(-1, 3, 3).sum(2),
        r"sum\(\) over dim 2, where no dim is time",
    ),
    "a mean over all": (lambda m, x: m.na(m.a(x)).mean(), r"mean\(\) over all dims, where no dim is time"),
    "another shape": (
        lambda m, x: m.na(m.a(x)).reshape(-1, 3, 3),
        r"module answers \(8, 3, 3\), and na_flat .* \(8, 9\)",
    ),
    "another shape within": (
        lambda m, x: m.na(m.a(x).reshape(-1, 3, 3)),
        r"na reads values of shape \(3, 3\), and a_flat",
    ),
    "a stack of layers": (
        lambda m, x: (lambda one: torch.stack([m.na(one), one]))(m.a(x)),
        "a stack of na and a has no counterpart",
    ),
    "two answers": (lambda m, x: [m.a(x), m.na(m.a(x))], "the output is a list of a and na; return the one that"),
    "a branch": (lambda m, x: m.na(m.a(x)) if x.sum() > 0 else x, "cannot be traced"),
}


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda found: torch.stack(found).sum(2), r"sum\(\) over dim 2, where dim 0 alone is time"),
        (lambda found: torch.stack(found, 1).mean(0), r"mean\(\) over dim 0, where dim 1 alone is time"),
        (lambda found: torch.stack(found).sum(0, keepdim=True), r"module answers \(1, 8, 4\), and lif2 .* \(8, 4\)"),
        (lambda found: torch.stack(found).flatten(1), r"flatten\(\) of a stack of timesteps"),
        (lambda found: torch.stack(found[1:]).sum(0), "a stack of 5 values, where timesteps are 6"),
        (lambda found: sum(found[1:]), "the output holds 5 of the 6 timesteps"),
        (lambda found: found[-1], "the output holds 1 of the 6 timesteps"),
    ],
)
def test_what_a_loop_may_not_make_of_its_timesteps(read: Any, said: str) -> None:
    with pytest.raises(snnas.UnsupportedError, match=said):
        snnas.from_torch(Unrolled(T, read=read), given(9), timesteps=T)


@pytest.mark.parametrize(
    "act",
    [
        lambda m, x: m.na(m.a(x)).mean((3, 4)).sum(0),
        lambda m, x: m.na(m.a(x)).sum(0).mean((2, 3)),
        lambda m, x: m.na(m.a(x)).mean((2, 3)),
    ],
)
def test_a_pool_over_places_is_no_sum_over_timesteps(act: Any) -> None:
    net = Odd(act)
    net.a = layer.Conv2d(1, 3, 3)
    functional.set_step_mode(net, "m")
    with pytest.raises(
        snnas.UnsupportedError, match=r"mean\(\) over dim \(.*\), where (no dim is|dim 0 alone is) time"
    ):
        snnas.from_torch(grown(net), given(1, 5, 5), timesteps=T)
    functional.set_step_mode(net, "s")
    with pytest.raises(snnas.UnsupportedError, match="where no dim is time"):
        snnas.from_torch(net, given(1, 5, 5), timesteps=T)


@pytest.mark.parametrize("act", [lambda m, x: m.na(m.a(x)).sum(0), lambda m, x: torch.mean(m.na(m.a(x)), dim=0)])
def test_all_timesteps_summed(act: Any) -> None:
    net = grown(Odd(act))
    functional.set_step_mode(net, "m")
    assert snnas.from_torch(net, given(9), timesteps=T).verified


def test_a_loop_over_frames_behind_the_samples() -> None:
    class BatchFirst(Unrolled):
        def forward(self, x: Any) -> Any:
            return sum(self.lif2(self.fc2(self.lif1(self.fc1(x[:, t])))) for t in range(self.steps))

    net, frames = BatchFirst(T), 3 * given(T, 9)
    model = snnas.from_torch(net, frames)
    assert model.verified
    with torch.no_grad():
        np.testing.assert_array_equal(model.run(frames), net(frames).numpy())


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_layer_named_as_a_node_of_the_graph(name: str) -> None:
    net = nn.Sequential()
    for path, module in zip(["fc", name, f"{name}_", "last"], dense(NEURONS["lif"]), strict=True):
        net.add_module(path, module)
    model = snnas.from_torch(net, given(9), timesteps=T)
    assert model.confirmed is not None
    assert model.confirmed.compared == 8 * T * 20
    assert model.graph.sources(f"{name}_") == [f"{name}__"]
    assert model.graph.sources(f"{name}__") == ["fc"]
    x = given(9).numpy()
    assert model.compile(x).simulate(x).answers.shape == (8, 4)


def test_a_batch_norm_without_statistics_is_refused() -> None:
    net = nn.Sequential(nn.Linear(9, 9), nn.BatchNorm1d(9, track_running_stats=False), NEURONS["lif"]())
    with pytest.raises(snnas.UnsupportedError, match="1: track_running_stats=False norms by each batch"):
        snnas.from_torch(grown(net), given(9), timesteps=T)


def test_modules_stay_in_their_modes() -> None:
    net = dense(NEURONS["lif"]).train()
    net[0].eval()
    snnas.from_torch(net, given(9), timesteps=T)
    assert [m.training for m in net] == [False, True, True, True]


def test_no_error_names_a_file_that_nobody_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.hw_sim.errors import InvalidFileError
    from snnas.toolchain.commands import from_torch

    def unread(path: Any, recorded: Any) -> Any:
        raise InvalidFileError(f"{path}: cannot be read; {recorded}: neither")

    monkeypatch.setattr(from_torch, "whose", unread)
    net = dense(NEURONS["lif"])
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    with pytest.raises(InvalidFileError, match=r"^Sequential\.nir: cannot be read; recorded\.npz: neither$"):
        snnas.from_torch(net, given(9), timesteps=T)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_named(name: str) -> None:
    act, said = REFUSED[name]
    with pytest.raises(snnas.UnsupportedError, match=said):
        snnas.from_torch(grown(Odd(act)), given(9), timesteps=T)


def test_a_max_over_currents_is_refused() -> None:
    net = nn.Sequential(layer.Conv2d(1, 2, 3), layer.MaxPool2d(2), NEURONS["lif"]())
    with pytest.raises(snnas.UnsupportedError, match="1: a max over currents has no counterpart on a chip"):
        snnas.from_torch(grown(net), given(1, 8, 8), timesteps=T)


def test_a_module_that_does_not_fire_confirms_nothing() -> None:
    net = dense(NEURONS["lif"])
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
        net[2].bias.zero_()
    with pytest.raises(snnas.GateError, match="holds no spike, which confirms no convention"):
        snnas.from_torch(net, given(9), timesteps=T)


def test_a_module_that_does_something_else_is_found_out() -> None:
    """A neuron whose class says one thing and whose step does another."""

    class Weak(neuron.LIFNode):
        def single_step_forward(self, x: Any) -> Any:
            return super().single_step_forward(0.6 * x)

    said = r"the graph does not give the module's spikes as spikingjelly: .* node 1, .*; whose: none"
    with pytest.raises(snnas.GateError, match=said):
        snnas.from_torch(dense(lambda: Weak(v_reset=0.0)), given(9), timesteps=T)


@pytest.mark.parametrize(("example", "timesteps"), [(np.zeros(9), 4), (np.zeros((8, 9)), None), (np.zeros((8, 9)), 0)])
def test_an_example_of_another_shape(example: np.ndarray, timesteps: int | None) -> None:
    with pytest.raises(snnas.UsageError, match="example of shape"):
        snnas.from_torch(dense(NEURONS["lif"]), example, timesteps=timesteps)


class Tutorial(nn.Module):
    """snntorch's own: state handed on, a list of spikes and one of membranes."""

    def __init__(self, leaky: Callable[..., Any]) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(9, 16), nn.Linear(16, 4)
        self.lif1, self.lif2 = leaky(init_hidden=False), leaky(init_hidden=False)

    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(T):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


@pytest.mark.parametrize("shape", ["hidden", "tutorial", "skip", "a beta each", "synaptic"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_modules_of_snntorch(shape: str, reset: str) -> None:
    snn = pytest.importorskip("snntorch", reason="snntorch is not installed (pip install snntorch)")

    def leaky(**more: Any) -> Any:
        return snn.Leaky(**{"beta": 0.8, "init_hidden": True, "reset_mechanism": reset} | more)

    wanted = {"subtract": "snntorch", "zero": "snntorch-zero"}[reset]
    if shape == "synaptic":

        def synaptic() -> Any:
            return snn.Synaptic(alpha=0.6, beta=0.8, init_hidden=True, reset_mechanism=reset)

        net = grown(nn.Sequential(nn.Linear(9, 16), synaptic(), nn.Linear(16, 4), synaptic()))
        if reset == "zero":
            with pytest.raises(snnas.UnsupportedError, match="its reset acts a timestep later"):
                snnas.from_torch(net, given(9), timesteps=T)
            return
    elif shape == "a beta each":
        betas = torch.linspace(0.5, 0.9, 16)
        net = grown(nn.Sequential(nn.Linear(9, 16), leaky(beta=betas), nn.Linear(16, 4), leaky()))
    elif shape == "hidden":
        net = grown(nn.Sequential(nn.Linear(9, 16), leaky(), nn.Linear(16, 4), leaky()))
    else:
        net = grown(Tutorial(leaky) if shape == "tutorial" else Skip(leaky))
    model = snnas.from_torch(net, given(9), timesteps=T)
    assert model.verified
    assert model.reading.said == wanted


def test_what_snntorch_has_and_chips_have_not() -> None:
    snn = pytest.importorskip("snntorch", reason="snntorch is not installed (pip install snntorch)")
    for module, said in (
        (snn.RLeaky(beta=0.8, linear_features=16, init_hidden=True), "1: a RLeaky of snntorch"),
        (snn.Leaky(beta=0.8, init_hidden=True, graded_spikes_factor=2.0), "graded_spikes_factor"),
    ):
        net = nn.Sequential(nn.Linear(9, 16), module, nn.Linear(16, 4), snn.Leaky(beta=0.8, init_hidden=True))
        with pytest.raises(snnas.UnsupportedError, match=said):
            snnas.from_torch(grown(net), given(9), timesteps=T)


@pytest.mark.parametrize("cell", ["LIFBoxCell", "LIFCell", "IAFCell"])
def test_modules_of_norse(cell: str) -> None:
    norse = pytest.importorskip("norse.torch", reason="norse is not installed (pip install norse)")
    make = getattr(norse, cell)
    net = grown(norse.SequentialState(nn.Linear(9, 16), make(), nn.Linear(16, 4), make()), 12.0)
    model = snnas.from_torch(net, given(9), timesteps=30)
    assert model.verified
    assert model.reading.said == "norse"
