"""An MSE-NAS network as plain data: the border between the search and the exporter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn

from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.modules import firing_threshold
from snnas.search.mse_nas.plan import Link, Population, Synapse
from snnas.search.network.layers import Layer, array, layer


def describe(
    config: MseConfig, plan: Sequence[Population], links: Sequence[Link], network: nn.Module
) -> Iterator[Layer]:
    """Yield the layers of ``network`` in topological order; only the input of a delay may come later.

    plan: its populations, the input first. links: what comes back. network: has the children of ``MseNetwork``.
    """
    source, *populations = plan
    # What a synapse reads: the input itself, or a population's LIF.
    names = {source.name: source.name} | {population.name: f"{population.name}_lif" for population in populations}
    yield layer(source.name, "input", (), shape=config.input_shape, kind=config.input_kind, range=(0.0, 1.0))
    constants = {"tau": float(config.tau), "threshold": firing_threshold(config.threshold)}
    described: set[str] = set()
    delayed: dict[str, str] = {}
    for population in populations:
        for synapse in population.synapses:
            if synapse.name not in described:
                described.add(synapse.name)
                yield from _describe_synapse(network, synapse, names)
        terms = [f"{synapse.name}_bn" for synapse in population.synapses]
        for link in (link for link in links if link.target == population.name):
            for origin in (names[p.name] for p in link.synapse.sources):
                if origin not in delayed:
                    delayed[origin] = origin.removesuffix("_lif") + "_delay"
                    yield layer(delayed[origin], "delay", (origin,))
            yield from _describe_synapse(network, link.synapse, {p: delayed.get(n, n) for p, n in names.items()})
            terms.append(f"{link.synapse.name}_bn")
        yield layer(names[population.name], "lif", terms, **constants, decay_input=True, reset="zero")
    last = populations[-1]
    weight, pixels = array(_child(network, "head_fc").weight), last.size[0] * last.size[1]
    pooled = np.repeat(weight / np.float32(pixels), pixels, axis=1)
    yield layer("head_fc", "linear", (names[last.name],), weight=pooled, bias=None)
    yield layer("output", "output", ("head_fc",))


def _describe_synapse(network: nn.Module, synapse: Synapse, names: dict[str, str]) -> Iterator[Layer]:
    conv, norm = _child(network, f"{synapse.name}_conv"), _child(network, f"{synapse.name}_bn")
    weight = array(conv.effective())
    ends = np.cumsum([source.channels for source in synapse.sources])
    parts = []
    for source, end in zip(synapse.sources, ends, strict=True):
        name = f"{synapse.name}_conv" + (f"_{source.name}" if len(synapse.sources) > 1 else "")
        parts.append(name)
        kernel = weight[:, end - source.channels : end].copy()
        yield layer(name, "conv", (names[source.name],), weight=kernel, bias=None, stride=conv.stride, pad=conv.padding)
    stored = {"gamma": norm.effective(), "beta": norm.bias, "mean": norm.running_mean, "var": norm.running_var}
    arrays = {key: array(value) for key, value in stored.items()}
    yield layer(f"{synapse.name}_bn", "bn", parts, **arrays, eps=norm.eps)


def _child(network: nn.Module, name: str) -> Any:
    return network.get_submodule(name)
