"""The network of a genome: a torch module for training, and the same as plain data for the exporter.

    current of a population = sum over its synapses of BN(conv(spikes of the sources, side by side))
    v <- v + (current - v) / tau,  spike where v > threshold,  hard reset to 0

Links, where a genome has some, carry spikes of the timestep before. The populations from the first that a link reaches
to the last that one comes from then run step by step, and the BNs that see them likewise (``StepwiseBatchNorm``).

Then global average pooling of the last population's spikes, a linear layer, and the mean over T. All timesteps pass a
synapse at once, folded into the batch; a static image passes the stem once. BN statistics are over (T, B, H, W).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.layers import describe
from snnas.search.mse_nas.modules import (
    FactorizedReduce,
    PositiveBatchNorm2d,
    PositiveStepwiseBatchNorm2d,
    SignedConv2d,
    lif,
)
from snnas.search.mse_nas.plan import INPUT, REDUCE, Population, Synapse, links, plan


class MseNetwork(nn.Module):
    """The network of one genome; raises UsageError when it has not a motif for every cell that takes one.

    Children: <synapse>_conv, <synapse>_bn, <population>_lif, and head_fc.
    """

    def __init__(self, genotype: Genome, config: MseConfig) -> None:
        super().__init__()
        if len(genotype.cells) != len(config.motif_cells):
            raise UsageError(
                f"a genome of {len(genotype.cells)} motif cells, expected {len(config.motif_cells)}: {config.cells} "
                f"cells with reductions at {list(config.reductions)}, as configured"
            )
        self.genotype, self.config = genotype, config
        self.populations = plan(genotype, config)
        self.links = links(genotype, config, self.populations)
        self.back = {link.target: link.synapse for link in self.links}
        self.loop = _loop(self.populations, self.back)
        for population in self.populations[1:]:
            for synapse in self._synapses(population):
                # A new version of a node shares the synapses of the old one.
                if f"{synapse.name}_conv" not in self._modules:
                    stepwise = population.name in self.loop and self._looped(synapse)
                    norm = PositiveStepwiseBatchNorm2d if stepwise else PositiveBatchNorm2d
                    self.add_module(f"{synapse.name}_conv", _conv(synapse))
                    self.add_module(f"{synapse.name}_bn", norm(synapse.channels))
            self.add_module(f"{population.name}_lif", lif(config))
        self.add_module("head_fc", nn.Linear(self.populations[-1].channels, config.classes, bias=False))

    def draw(self, seed: int) -> None:
        """Draw the initial weights, those of every layer from a stream of its own name.

        So a gene that changes one layer changes no other's weights. Torch's global generator is left as it was.
        """
        with torch.random.fork_rng(devices=[]):
            for name, child in self.named_children():
                if isinstance(child, SignedConv2d | FactorizedReduce | nn.Linear):
                    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
                    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
                    child.reset_parameters() if isinstance(child, nn.Linear) else child.draw()

    def layer(self, name: str) -> Any:
        """Return the child called ``name``."""
        return self._modules[name]

    def set_timesteps(self, timesteps: int) -> None:
        """Run ``timesteps`` steps from now on; see ``Network.set_timesteps``."""
        self.config = replace(self.config, timesteps=timesteps)

    def forward(self, x: Tensor, *, spikes: MutableMapping[str, Tensor] | None = None) -> Tensor:
        """Return logits (B, classes) for x (B, C, H, W), constant in time, or (B, T, C, H, W).

        ``spikes``, when given, is filled with one detached 0/1 tensor (T, B, C, H, W) per LIF, by name, as they come.
        """
        fired: dict[str, Tensor] = {INPUT: self._frames(x)}
        currents: dict[str, Tensor] = {}
        for population in self.populations[1:]:
            if population.name in self.loop:
                if population.name not in fired:
                    self._run_loop(fired)
            else:
                for synapse in population.synapses:
                    if synapse.name not in currents:
                        currents[synapse.name] = self._current(synapse, fired)
                terms = [currents[synapse.name] for synapse in population.synapses]
                fired[population.name] = self._fire(population, sum(terms[1:], terms[0]))
            if spikes is not None:
                spikes[f"{population.name}_lif"] = fired[population.name].detach()
        last = fired[self.populations[-1].name]
        # Behind the last LIF everything is linear: the means over T, H and W may come first, and together.
        logits: Tensor = self.layer("head_fc")(last.mean((0, 3, 4)))
        return logits

    def _fire(self, population: Population, current: Tensor) -> Tensor:
        neurons = self.layer(f"{population.name}_lif")
        neurons.step_mode = "m"
        out: Tensor = neurons(current.expand(self.config.timesteps, *current.shape[1:]))
        return out

    def _synapses(self, population: Population) -> tuple[Synapse, ...]:
        """Return the synapses into a population, a link included."""
        back = self.back.get(population.name)
        return population.synapses + ((back,) if back is not None else ())

    def _looped(self, synapse: Synapse) -> bool:
        """Whether a synapse reads populations of the loop: all of its sources are, or none."""
        return all(source.name in self.loop for source in synapse.sources)

    def _run_loop(self, fired: dict[str, Tensor]) -> None:
        """Run the populations of the loop step by step; ``fired`` has what they read, and gets what they fire."""
        inside = [population for population in self.populations if population.name in self.loop]
        norms = {synapse.name: self.layer(f"{synapse.name}_bn") for p in inside for synapse in self._synapses(p)}
        stepwise = [norm for norm in norms.values() if isinstance(norm, PositiveStepwiseBatchNorm2d)]
        neurons = [self.layer(f"{population.name}_lif") for population in inside]
        for norm in stepwise:
            norm.begin()
        for neuron in neurons:
            neuron.step_mode = "s"
            neuron.rest()
        given = {
            synapse.name: self._current(synapse, fired).expand(self.config.timesteps, *[-1] * 4)
            for population in inside
            for synapse in population.synapses
            if not self._looped(synapse)
        }
        trains: dict[str, list[Tensor]] = {population.name: [] for population in inside}
        for step in range(self.config.timesteps):
            now: dict[str, Tensor] = {name: current[step] for name, current in given.items()}
            for population in inside:
                for synapse in population.synapses:
                    if synapse.name not in now:
                        sources = [trains[source.name][step] for source in synapse.sources]
                        now[synapse.name] = self._carry(synapse, torch.cat(sources, dim=1))
                terms = [now[synapse.name] for synapse in population.synapses]
                if population.name in self.back:
                    terms.append(self._returned(self.back[population.name], trains, terms[0]))
                trains[population.name].append(self.layer(f"{population.name}_lif")(sum(terms[1:], terms[0])))
        for norm in stepwise:
            norm.commit()
        for neuron in neurons:
            neuron.rest()
        fired.update({name: torch.stack(train) for name, train in trains.items()})

    def _returned(self, synapse: Synapse, trains: dict[str, list[Tensor]], like: Tensor) -> Tensor:
        """Return the current of a link: of the last spikes there are, and of none at the first timestep."""
        before = [trains[source.name][-1] for source in synapse.sources if trains[source.name]]
        x = torch.cat(before, dim=1) if before else like.new_zeros(len(like), synapse.in_channels, *synapse.size)
        return self._carry(synapse, x)

    def _carry(self, synapse: Synapse, x: Tensor) -> Tensor:
        out: Tensor = self.layer(f"{synapse.name}_bn")(self.layer(f"{synapse.name}_conv")(x))
        return out

    def _frames(self, x: Tensor) -> Tensor:
        """Return the input as (T, B, C, H, W), or (1, B, C, H, W) where it is constant in time."""
        shape, expected = tuple(x.shape), self.config.input_shape
        if x.dim() not in (4, 5) or shape[-3:] != expected:
            raise UsageError(f"input of shape {shape}, expected (B, C, H, W) or (B, T, C, H, W) ending in {expected}")
        if x.dim() == 4:
            return x[None]
        if shape[1] != self.config.timesteps:
            raise UsageError(f"input of {shape[1]} timesteps, expected {self.config.timesteps} as configured")
        return x.transpose(0, 1)

    def _current(self, synapse: Synapse, fired: dict[str, Tensor]) -> Tensor:
        x = torch.cat([fired[source.name] for source in synapse.sources], dim=2)
        out = self._carry(synapse, x.flatten(0, 1))
        return out.reshape(*x.shape[:2], *out.shape[1:])

    def layers(self) -> list[dict[str, Any]]:
        """Return the network as plain data in topological order, in the form of ``Network.layers``.

        A convolution that reads several populations becomes one per population, a slice of its weights by input
        channel, summed at the BN behind them. Pooling is folded into the linear layer.
        """
        return list(describe(self.config, self.populations, self.links, self))


def _conv(synapse: Synapse) -> nn.Module:
    if synapse.kernel == REDUCE:
        return FactorizedReduce(synapse.in_channels, synapse.channels, synapse.size)
    return SignedConv2d(synapse.in_channels, synapse.channels, synapse.kernel, synapse.stride, synapse.sign)


def _loop(populations: tuple[Population, ...], back: Mapping[str, Synapse]) -> frozenset[str]:
    """Return the populations from the first that a link reaches to the last that one comes from."""
    names = [population.name for population in populations]
    if not back:
        return frozenset()
    last = max(names.index(source.name) for synapse in back.values() for source in synapse.sources)
    return frozenset(names[min(map(names.index, back)) : last + 1])
