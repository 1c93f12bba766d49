"""The network against an interpreter of its own ``layers()``, and the meaning of cells."""

import json
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.network import space
from snnas.search.network.batch_norm import StepwiseBatchNorm
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Cell, Genotype
from snnas.search.network.network import Network

SMALL = NetworkConfig(input_shape=(2, 9, 8), classes=3, channels=4, hidden=12, votes=2, timesteps=4)


def make(genotype: Genotype, seed: int = 0, **changes) -> Network:
    """A network with BN statistics from a few batches, random BN affines, float64, in eval mode."""
    torch.manual_seed(seed)
    reduction = space.get(genotype.space).reduction
    config = NetworkConfig(**{**{f: getattr(SMALL, f) for f in SMALL.__slots__}, "reduction": reduction, **changes})
    network = Network(genotype, config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.8, 1.6)
            torch.nn.init.uniform_(module.bias, -0.2, 0.4)
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(16, *config.input_shape))
    return network.double().eval()


def both_cells(ops: dict, name: str = "lightsnn") -> Genotype:
    return Genotype(name, (Cell.of(ops),) * 2)


def batch_norm(value: torch.Tensor, layer: dict) -> torch.Tensor:
    """BN of (B, C, H, W), or of (B, N) behind a linear layer."""
    names = ("gamma", "beta", "mean", "var")
    gamma, beta, mean, var = (
        torch.from_numpy(layer[name]).double().reshape(-1, *[1] * (value.dim() - 2)) for name in names
    )
    return (value - mean) * gamma / (var + layer["eps"]).sqrt() + beta


MEMORYLESS = {
    "conv": lambda v, y: F.conv2d(v, torch.from_numpy(y["weight"]).double(), None, y["stride"], y["pad"]),
    "bn": batch_norm,
    "maxpool": lambda v, y: F.max_pool2d(v, y["kernel"], y["stride"], y["pad"]),
    "avgpool": lambda v, y: F.avg_pool2d(v, y["kernel"], y["stride"], y["pad"]),
    "linear": lambda v, y: v.reshape(len(v), -1) @ torch.from_numpy(y["weight"]).double().T,
    "vote": lambda v, y: torch.stack([group.mean(1) for group in v.split(y["group"], dim=1)], dim=1),
    "output": lambda v, y: v,
}


def interpret(layers: list[dict], x: torch.Tensor, steps: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Run a layer list step by step; x (B, C, H, W) or (B, T, C, H, W). Returns logits and the spikes of every LIF."""
    state: dict[str, torch.Tensor] = {}
    before: dict[str, torch.Tensor] = {}
    spikes: dict[str, list] = {layer["name"]: [] for layer in layers if layer["op"] == "lif"}
    outputs = []
    for t in range(steps):
        out = {"input": x[:, t] if x.dim() == 5 else x}
        cell_input = x
        for layer in layers[1:]:
            name = layer["name"]
            if layer["op"] == "delay":
                # Zero at t = 0, in the shape of the cell's input: the delays of a cell stand right behind it.
                out[name] = before[layer["inputs"][0]] if t else torch.zeros_like(cell_input)
                continue
            value = sum(out[source] for source in layer["inputs"])
            if layer["op"] == "lif":
                assert (layer["decay_input"], layer["reset"]) == (True, "zero")
                v = state.get(name, torch.zeros_like(value))
                v = v + (value - v) / layer["tau"]
                out[name] = (v >= layer["threshold"]).double()
                state[name] = torch.where(out[name] > 0, 0.0, v)
                spikes[name].append(out[name])
            else:
                out[name] = MEMORYLESS[layer["op"]](value, layer)
            cell_input = out[name]
        before = {name: out[name] for name in spikes}
        outputs.append(out["output"])
    return torch.stack(outputs).mean(0), {name: torch.stack(train) for name, train in spikes.items()}


@pytest.mark.parametrize("name", space.names)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("frames", [False, True])
def test_layers_reproduce_forward(name: str, backward: bool, frames: bool) -> None:
    for seed in range(3):
        genotype = space.get(name).random_genotype(np.random.default_rng(seed), backward=backward)
        network = make(genotype, seed)
        x = torch.rand(3, *((4,) if frames else ()), 2, 9, 8, dtype=torch.float64)
        spikes: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            logits = network(x, spikes=spikes)
            expected, trains = interpret(network.layers(), x, 4)
        assert set(spikes) == set(trains)
        for lif, train in trains.items():
            assert torch.equal(spikes[lif].reshape(train.shape), train), f"{genotype} {lif}"
        assert sum(float(train.sum()) for train in trains.values()) > 0
        torch.testing.assert_close(logits, expected)


def test_every_way_of_being_recurrent_at_once() -> None:
    ops = dict.fromkeys(Cell.of({}).ops(), "conv3x3")
    ops.update({(0, 2): "skip", (1, 3): "avgpool3x3", (3, 0): "skip", (2, 0): "avgpool3x3", (2, 1): "conv1x1"})
    network = make(both_cells(ops, "snasnet"))
    x = torch.rand(3, 2, 9, 8, dtype=torch.float64)
    spikes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        network(x, spikes=spikes)
        _, trains = interpret(network.layers(), x, 4)
    assert all(torch.equal(spikes[lif].reshape(train.shape), train) for lif, train in trains.items())
    assert all(float(train.sum()) > 0 for train in trains.values())


def test_layers_are_plain_topological_and_named() -> None:
    network = make(both_cells({(0, 1): "conv3x3", (1, 3): "skip", (3, 0): "conv3x3"}))
    seen: set[str] = set()
    for layer in network.layers():
        assert re.fullmatch(r"[A-Za-z0-9_]+", layer["name"])
        assert layer["op"] == "delay" or seen.issuperset(layer["inputs"])
        assert layer["name"] not in seen
        seen.add(layer["name"])
        arrays = [value for value in layer.values() if isinstance(value, np.ndarray)]
        assert all(array.dtype == np.float32 for array in arrays)
    expected = "stem_conv stem_bn cell1_n3_delay cell1_b30_conv cell1_b30_bn cell1_n0_lif cell1_e01_conv cell1_e01_bn"
    expected += " cell1_n3_lif red1_bn red1_lif red1_pool red1_conv red1_bn2 red2_pool head_fc1 head_lif head_fc2"
    assert seen.issuperset(expected.split())


def test_arrays_of_layers_are_copies() -> None:
    network = make(both_cells({(0, 3): "conv3x3"}))
    weight = next(layer for layer in network.layers() if layer["name"] == "stem_conv")["weight"]
    weight[:] = 0
    assert float(network.get_submodule("stem_conv").weight.detach().abs().sum()) > 0


def test_a_term_that_arrives_twice_is_listed_twice() -> None:
    network = make(both_cells({(0, 1): "skip", (0, 3): "skip", (1, 3): "skip"}))
    red = next(layer for layer in network.layers() if layer["name"] == "red1_bn")
    assert red["inputs"] == ["stem_bn", "stem_bn"]


def test_dead_nodes_are_not_built() -> None:
    network = make(both_cells({(0, 3): "conv3x3", (0, 1): "conv3x3", (2, 3): "conv3x3", (2, 1): "skip"}))
    names = {name for name, _ in network.named_modules() if name.startswith("cell1")}
    assert {name for name in names if "surrogate" not in name} == {"cell1_n0_lif", "cell1_e03_conv", "cell1_e03_bn"}


def test_readers_of_a_node_share_one_lif() -> None:
    network = make(
        both_cells({(0, 1): "conv3x3", (0, 2): "conv3x3", (0, 3): "conv3x3", (1, 3): "skip", (2, 3): "skip"})
    )
    assert [name for name, _ in network.named_modules() if re.fullmatch(r"cell1_n\d_lif", name)] == ["cell1_n0_lif"]
    # Equal to the paper's reading, a LIF in every operation: copies of a LIF on one value emit the same spikes.
    layers = []
    for layer in network.layers():
        if re.fullmatch(r"cell\d_e0\d_conv", layer["name"]):
            cell = layer["name"][:5]
            source = next(other for other in layers if other["name"] == f"{cell}_n0_lif")
            layers.append({**source, "name": layer["name"] + "_lif"})
            layer = {**layer, "inputs": [layer["name"] + "_lif"]}
        layers.append(layer)
    x = torch.rand(3, 2, 9, 8, dtype=torch.float64)
    spikes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        network(x, spikes=spikes)
        _, trains = interpret(layers, x, 4)
    assert torch.equal(trains["cell1_e01_conv_lif"], trains["cell1_e02_conv_lif"])
    assert all(torch.equal(spikes[name].reshape(trains[name].shape), trains[name]) for name in spikes)


def test_backward_edges_act_from_the_second_step() -> None:
    network = make(both_cells({(0, 3): "conv3x3", (3, 0): "conv3x3"}), timesteps=5)
    x = torch.rand(8, 2, 9, 8, dtype=torch.float64)
    before: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        first = network(x, spikes=before)
        network.get_submodule("cell1_b30_conv").weight.neg_()
        second = network(x, spikes=after)
    assert not torch.equal(first, second)
    assert torch.equal(before["cell1_n0_lif"][0], after["cell1_n0_lif"][0])
    assert not torch.equal(before["cell1_n0_lif"][1:], after["cell1_n0_lif"][1:])


def test_backward_skip_carries_spikes_of_the_step_before() -> None:
    network = make(both_cells({(0, 3): "conv3x3", (3, 0): "skip"}))
    spikes: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        network(torch.rand(4, 2, 9, 8, dtype=torch.float64), spikes=spikes)
    lif = network.get_submodule("cell1_n3_lif")
    assert lif.step_mode == "s"
    assert 0 < float(spikes["cell1_n3_lif"].mean()) < 1


def test_max_pool_stands_on_spikes() -> None:
    network = make(both_cells({(0, 3): "conv3x3"}))
    seen: list[torch.Tensor] = []
    hooks = [
        network.get_submodule(f"red{k}_pool").register_forward_hook(lambda m, args, out: seen.extend([*args, out]))
        for k in (1, 2)
    ]
    with torch.no_grad():
        network(torch.rand(4, 2, 9, 8, dtype=torch.float64))
    for hook in hooks:
        hook.remove()
    assert len(seen) == 4
    assert all(torch.isin(value, torch.tensor([0.0, 1.0], dtype=value.dtype)).all() for value in seen)


@pytest.mark.parametrize("back", [{}, {(3, 0): "conv3x3"}])
def test_state_does_not_leak_between_batches(back: dict) -> None:
    network = make(both_cells({(0, 3): "conv3x3", **back}))
    x = torch.rand(4, 2, 9, 8, dtype=torch.float64)
    with torch.no_grad():
        first = network(x)
        network(torch.rand(7, 2, 9, 8, dtype=torch.float64))
        assert torch.equal(network(x), first)


def test_a_static_image_equals_its_repetition() -> None:
    network = make(both_cells({(0, 1): "conv3x3", (1, 3): "skip", (3, 1): "conv3x3"}))
    x = torch.rand(4, 2, 9, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(x[:, None].expand(4, 4, 2, 9, 8)))


@pytest.mark.parametrize("back", [{}, {(3, 0): "conv3x3"}])
def test_a_network_runs_at_another_t_as_one_that_was_built_for_it(back: dict) -> None:
    genotype = both_cells({(0, 3): "conv3x3", **back})
    network, x = make(genotype), torch.rand(3, 2, 9, 8, dtype=torch.float64)
    other = make(genotype, timesteps=7)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert not torch.equal(network(x), other(x))
        network.set_timesteps(7)
        assert torch.equal(network(x), other(x))
    assert network.config == other.config
    with pytest.raises(UsageError, match="timesteps = 0"):
        network.set_timesteps(0)


def test_training_reaches_every_parameter_and_running_statistics() -> None:
    genotype = both_cells({(0, 1): "conv3x3", (1, 3): "conv3x3", (0, 3): "skip", (3, 1): "conv3x3"})
    torch.manual_seed(0)
    network = Network(genotype, SMALL)
    for _ in range(2):
        network(torch.rand(16, 2, 9, 8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name
    assert int(network.get_submodule("cell1_b31_bn").num_batches_tracked) == 2


def test_stepwise_bn_trains_on_what_it_evaluates() -> None:
    """After the first batch, a recurrent cell emits the same spikes in training as in evaluation."""
    network = make(both_cells({(0, 3): "conv3x3", (3, 0): "conv3x3"}))
    x = torch.rand(16, 2, 9, 8, dtype=torch.float64)
    current = network._layer("stem_bn")(network._layer("stem_conv")(x)).expand(4, 16, 4, 9, 8)
    outs = []
    for mode in (False, True):
        for norm in ("cell1_e03_bn", "cell1_b30_bn"):
            network.get_submodule(norm).train(mode)
        outs.append(network._run_cell(1, network.cells[0], current, None).detach())
    torch.testing.assert_close(outs[0], outs[1])


@pytest.mark.parametrize(("mean", "deviation"), [(1000.0, 0.01), (0.0, 1.0)])
def test_stepwise_bn_commits_the_variance_of_all_steps(mean: float, deviation: float) -> None:
    norm = StepwiseBatchNorm(3)
    torch.manual_seed(0)
    steps = [torch.randn(16, 3, 9, 8, dtype=torch.float64) * deviation + mean + t * deviation for t in range(4)]
    norm.begin()
    for step in steps:
        norm(step.float())
    norm.commit()
    true = torch.stack(steps).float().double().var(dim=(0, 1, 3, 4), correction=0)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var.double(), true, rtol=1e-2, atol=0)


@pytest.mark.parametrize(("momentum", "share"), [(None, 0.5), (0.0, 0.0), (0.9, 0.9), (0.1, 0.5)])
def test_stepwise_bn_takes_momentum_as_batch_norm_does(momentum: float | None, share: float) -> None:
    norm = StepwiseBatchNorm(1)
    norm.momentum = momentum
    for value in (1.0, 3.0):
        norm.begin()
        norm(torch.full((2, 1, 2, 2), value))
        norm.commit()
    assert norm.running_mean is not None
    assert float(norm.running_mean) == pytest.approx(1 + 2 * share if momentum != 0 else 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_shape": (1, 3, 8)}, "H and W >= 4"),
        ({"input_shape": (1, 8)}, "three whole numbers"),
        ({"classes": 0}, "classes = 0"),
        ({"timesteps": True}, "timesteps = True"),
        ({"tau": 1.0}, "tau = 1.0"),
        ({"tau": float("nan")}, "tau = nan"),
        ({"threshold": 0.0}, "threshold = 0.0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"reduction": "mean"}, "'max' or 'average'"),
        ({"input_kind": "events"}, "analogue, spikes, counts"),
    ],
)
def test_configuration_is_checked(changes: dict, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        NetworkConfig(**{"input_shape": (1, 8, 8), "classes": 10, **changes})


def test_configuration_round_trip_and_strictness() -> None:
    assert NetworkConfig.from_json(SMALL.to_json()) == SMALL
    plain = json.loads(SMALL.to_json())
    for bad in ({**plain, "colour": 1}, {**plain, "tau": "x"}, {**plain, "input_shape": 3}, [], 3):
        with pytest.raises(InvalidFileError, match=r"n\.json"):
            NetworkConfig.from_json(json.dumps(bad), where="n.json")
    with pytest.raises(InvalidFileError, match="not JSON"):
        NetworkConfig.from_json("{")


def test_the_smallest_image_works() -> None:
    network = make(both_cells({(0, 3): "conv3x3"}), input_shape=(2, 4, 7))
    assert network(torch.rand(2, 2, 4, 7, dtype=torch.float64)).shape == (2, 3)


def test_wrong_inputs_and_genotypes_are_refused() -> None:
    network = make(both_cells({(0, 3): "conv3x3"}))
    with pytest.raises(UsageError, match=r"shape \(3, 2, 8, 8\)"):
        network(torch.rand(3, 2, 8, 8))
    with pytest.raises(UsageError, match="6 timesteps, expected 4"):
        network(torch.rand(3, 6, 2, 9, 8))
    with pytest.raises(UsageError, match="1 cells, expected 2"):
        Network(Genotype("lightsnn", (Cell.of({(0, 3): "skip"}),)), SMALL)
    with pytest.raises(UsageError, match="no path from node 0 to node 3"):
        Network(both_cells({(0, 1): "skip"}), SMALL)
