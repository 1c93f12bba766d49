"""A network handed over as plain modules of another package, spikingjelly or snntorch, to go on with there.

What comes is a ``torch.fx.GraphModule`` of one timestep: its children are that package's layers and neurons, named as
in ``Network.layers``, and ``net.code`` is its forward as Python to read. Batch norms are kept apart, so that training
goes on; dropout is not handed over. Neurons are at rest at first; the package's own function puts them back to it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from snnas.hw_sim.errors import UnsupportedError
from snnas.search.network.layers import Layer

# Makes the module of a layer; of a LIF also what its current is multiplied with. flat: it acts on vectors.
Make = Callable[[Layer, bool], tuple[nn.Module, float]]


def to_spikingjelly(layers: Iterable[Layer]) -> fx.GraphModule:
    """The network in spikingjelly's modules; ``functional.reset_net`` puts it to rest, ``set_step_mode`` works on it.

    UnsupportedError (4) without spikingjelly, and for a network with backward edges.
    """
    try:
        from spikingjelly.activation_based import layer as house
        from spikingjelly.activation_based import neuron, surrogate
    except ImportError as error:
        raise UnsupportedError(f"to_spikingjelly() needs spikingjelly 2 ({error}); pip install spikingjelly") from None

    def make(found: Layer, flat: bool) -> tuple[nn.Module, float]:
        if found["op"] != "lif":
            return _filled(found, house, flat), 1.0
        return neuron.LIFNode(
            tau=found["tau"],
            decay_input=True,
            v_threshold=found["threshold"],
            v_reset=0.0,
            surrogate_function=surrogate.ATan(),
            detach_reset=True,
        ), 1.0

    return _assembled(layers, make, house.Flatten)


def to_snntorch(layers: Iterable[Layer]) -> fx.GraphModule:
    """The network in torch's layers and snntorch's Leaky; ``snntorch.utils.reset`` puts it to rest.

    Leaky fires above its threshold, these neurons from it on: the threshold is the float32 just below. UnsupportedError
    (4) without snntorch, and for a network with backward edges.
    """
    try:
        snntorch, surrogate = import_module("snntorch"), import_module("snntorch.surrogate")
    except ImportError as error:
        raise UnsupportedError(f"to_snntorch() needs snntorch ({error}); pip install snntorch") from None

    def make(found: Layer, flat: bool) -> tuple[nn.Module, float]:
        if found["op"] != "lif":
            return _filled(found, nn, flat), 1.0
        below = float(np.nextafter(np.float32(found["threshold"]), np.float32(-np.inf)))
        share = 1 / found["tau"]
        leaky: nn.Module = snntorch.Leaky(
            beta=1 - share, threshold=below, reset_mechanism="zero", init_hidden=True, spike_grad=surrogate.atan()
        )
        return leaky, share

    return _assembled(layers, make, nn.Flatten)


def _voted(layers: Iterable[Layer]) -> Iterable[Layer]:
    """With votes averaged in the weights of the linear layer before them: the same answers, a class each."""
    every = list(layers)
    votes = {found["inputs"][0]: found for found in every if found["op"] == "vote"}
    named = {found["name"]: found["inputs"][0] for found in votes.values()}
    for found in every:
        if found["op"] == "vote":
            continue
        found = {**found, "inputs": [named.get(name, name) for name in found["inputs"]]}
        if found["name"] in votes:
            weight, group = found["weight"], votes[found["name"]]["group"]
            found["weight"] = weight.reshape(-1, group, weight.shape[1]).mean(axis=1)
        yield found


def _filled(found: Layer, house: Any, flat: bool) -> nn.Module:
    """A layer of the package, with the network's numbers in it."""
    op = found["op"]
    if op == "conv":
        out, each, *kernel = found["weight"].shape
        module = house.Conv2d(each, out, kernel, found["stride"], found["pad"], bias=False)
    elif op == "linear":
        module = house.Linear(found["weight"].shape[1], found["weight"].shape[0], bias=False)
    elif op == "bn":
        kind = house.BatchNorm1d if flat else house.BatchNorm2d
        module = kind(len(found["gamma"]), eps=found["eps"])
        for name, key in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "var")):
            getattr(module, name).data = torch.from_numpy(found[key])
    elif op in ("avgpool", "maxpool"):
        kind = house.AvgPool2d if op == "avgpool" else house.MaxPool2d
        module = kind(found["kernel"], found["stride"], found["pad"])
    else:
        raise UnsupportedError(f"layer {found['name']}: {op} has no plain module; export the run as NIR instead")
    if op in ("conv", "linear"):
        module.weight.data = torch.from_numpy(found["weight"])
    whole: nn.Module = module
    return whole


def _assembled(layers: Iterable[Layer], make: Make, flatten: type[nn.Module]) -> fx.GraphModule:
    root, graph = nn.Module(), fx.Graph()
    values: dict[str, fx.Node] = {}
    flat: dict[str, bool] = {}

    def call(name: str, module: nn.Module, value: fx.Node) -> fx.Node:
        root.add_module(name, module)
        return graph.call_module(name, (value,))

    for found in _voted(layers):
        name, op = found["name"], found["op"]
        if op == "delay":
            raise UnsupportedError(
                f"layer {name}: a backward edge reads the timestep before, which no plain module of theirs does; "
                "its export's model.nir carries it"
            )
        if op == "input":
            values[name], flat[name] = graph.placeholder("x"), False
            continue
        value = values[found["inputs"][0]]
        for source in found["inputs"][1:]:
            value = graph.call_function(operator.add, (value, values[source]))
        vector = flat[found["inputs"][0]]
        if op == "output":
            graph.output(value)
            continue
        if op == "linear" and not vector:
            value, vector = call(f"{name}_flat", flatten(), value), True
        module, gain = make(found, vector)
        if gain != 1:
            value = graph.call_function(operator.mul, (value, gain))
        values[name], flat[name] = call(name, module, value), vector
    graph.lint()
    return fx.GraphModule(root, graph, "Network").eval()
