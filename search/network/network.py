"""The network of a genotype: a torch module for training, and the same as plain data for the exporter.

Skeleton (SNASNet section 3, LightSNN section III): stem convolution and BN, then cell and reduction in turn, then
linear - LIF - linear, voting, mean over T (other heads: ``config.HEADS``). Node values are analogue currents:

    x_j(t) = in(t) [j = 0]  +  sum over i < j of f_ij(x_i(t))  +  sum over k > j of g_kj(x_k(t-1))

A forward operation acts on the current (skip, average pool) or starts with a neuron (convolution: LIF - conv - BN). A
backward operation always starts with a neuron: LIF - delay - (conv - BN | identity | average pool). All neurons that
read one node are the same neurons, so a node has one LIF. Neuron: v <- v + (x - v)/tau, spike where v >= threshold,
hard reset to 0, ATan surrogate, detached reset.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from snnas.hw_sim.errors import UsageError, brief
from snnas.search.network.batch_norm import BatchNorm, StepwiseBatchNorm
from snnas.search.network.config import NetworkConfig
from snnas.search.network.convolution import Convolution
from snnas.search.network.genotype import CONV_KERNELS, DILATIONS, NODES, CellOps, Edge, Genotype
from snnas.search.network.layers import (
    average,
    convolutions,
    describe,
    lif_nodes,
    op_layer,
    population_keys,
    reduction_parts,
)
from snnas.search.network.lif import LIF
from snnas.search.network.lif_learnt import LEARNABLE, LearntLIF

# The head 'lif' has no BN between its first linear and its LIF. Weights of variance 1 / (power N) give its current unit
# variance when this is the mean square of its inputs (spikes, or averages of four), so that the head is alive before
# training: torch's default leaves it silent.
HEAD_INPUT_POWER = {"max": 0.15, "average": 0.03}


class Backbone(nn.Module):
    """What a network and a supernet share: skeleton and cells, with a set of summed operations on every edge.

    Every layer is a direct child named as in ``Network.layers``. BN statistics are taken over (T, B, H, W): T is
    folded into the batch. A cell with a backward edge has to run step by step, where its BN sees one timestep at a
    time: in training it then normalises as StepwiseBatchNorm says; in eval there is no difference.
    """

    def __init__(self, config: NetworkConfig, cells: Sequence[CellOps]) -> None:
        super().__init__()
        self.config = config
        self.cells: tuple[CellOps, ...] = tuple(cells)
        gain = torch.tensor(config.gain)[:, None, None] if config.gain else None
        self.register_buffer("stem_gain", gain, persistent=False)
        self._conv("stem_conv", config.input_shape[0], config.channels, 3)
        self.add_module("stem_bn", BatchNorm(config.channels))
        for number, ops in enumerate(self.cells, start=1):
            self._build_cell(number, ops)
            self._build_reduction(number)
        self.add_module("head_drop", nn.Dropout(config.dropout))
        self._build_head()

    def _build_cell(self, number: int, ops: CellOps) -> None:
        width = self.config.width(number)
        make_bn = StepwiseBatchNorm if any(i > j for i, j in ops) else BatchNorm
        for node in sorted(lif_nodes(ops)):
            self._lif(f"cell{number}_n{node}_lif", number)
        for edge, op in convolutions(ops):
            self._conv(op_layer(number, edge, op, "conv"), width, width, CONV_KERNELS[op], DILATIONS.get(op, 1))
            self.add_module(op_layer(number, edge, op, "bn"), make_bn(width))

    def _build_reduction(self, number: int) -> None:
        width = self.config.width(number)
        self.add_module(f"red{number}_bn", BatchNorm(width))
        self._lif(f"red{number}_lif", number)
        window = self.config.window(2)
        if window != (1, 1):
            pool = nn.MaxPool2d(window) if self.config.reduction == "max" else nn.AvgPool2d(window)
            self.add_module(f"red{number}_pool", pool)
        if number < self.config.cells:
            self._conv(f"red{number}_conv", width, 2 * width, 3)
            self.add_module(f"red{number}_bn2", BatchNorm(2 * width))

    def _build_head(self) -> None:
        config = self.config
        if config.head == "linear":
            self.add_module("head_fc", nn.Linear(config.features, config.classes, bias=False))
            return
        fc1 = nn.Linear(config.features, config.hidden, bias=False)
        nn.init.normal_(fc1.weight, std=1 / math.sqrt(HEAD_INPUT_POWER[config.reduction] * config.features))
        self.add_module("head_fc1", fc1)
        if config.head == "bn_lif":
            self.add_module("head_bn", BatchNorm(config.hidden))
        self._lif("head_lif")
        self.add_module("head_fc2", nn.Linear(config.hidden, config.classes * config.votes, bias=False))

    def _conv(self, name: str, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        window = self.config.window(kernel)
        pad = dilation * (window[0] // 2), dilation * (window[1] // 2)
        conv = Convolution(inputs, outputs, window, padding=pad, dilation=dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        self.add_module(name, conv)

    def _lif(self, name: str, cell: int = 0) -> None:
        """cell: whose threshold the neurons have, counted from 1; 0: the common one."""
        config = self.config
        self.add_module(name, LIF(config.tau, config.threshold_of(cell) if cell else config.threshold))

    def set_timesteps(self, timesteps: int) -> None:
        """Run ``timesteps`` steps from now on; ``config`` says so. Weights, BN statistics, tau and thresholds stay.

        For a training that goes up in T by stages, and for evaluating or exporting at another T than the trained one:
        nothing that is stored depends on T. Raises UsageError where it is not a whole number >= 1.
        """
        self.config = replace(self.config, timesteps=timesteps)

    def run(self, x: Tensor, cells: Sequence[CellOps], spikes: dict[str, Tensor] | None) -> Tensor:
        """Return the logits (B, classes) of ``x`` with the operations ``cells``, a subset of those built.

        x: (B, C, H, W), constant in time, or (B, T, C, H, W). ``spikes`` is filled when given.
        """
        current = self._stem(x)
        for number, ops in enumerate(cells, start=1):
            current = self._run_cell(number, ops, current, spikes)
            current = self._run_reduction(number, current, spikes)
        return self._run_head(current, spikes)

    def _layer(self, name: str) -> Any:
        return self._modules[name]

    def _stem(self, x: Tensor) -> Tensor:
        """Return the stem's current (T, B, C, H, W); a static image passes once, whatever T."""
        shape, expected = tuple(x.shape), self.config.input_shape
        if x.dim() not in (4, 5) or shape[-3:] != expected:
            raise UsageError(f"input of shape {shape}, expected (B, C, H, W) or (B, T, C, H, W) ending in {expected}")
        x = self.scaled(x)
        if x.dim() == 4:
            current = self._fold(x, "stem_conv", "stem_bn")
            return current.expand(self.config.timesteps, *current.shape)
        if shape[1] != self.config.timesteps:
            raise UsageError(f"input of {shape[1]} timesteps, expected {self.config.timesteps} as configured")
        return self._fold(x.transpose(0, 1), "stem_conv", "stem_bn")

    def scaled(self, x: Tensor) -> Tensor:
        """Return an input (..., C, H, W), each channel multiplied by its gain."""
        gain: Tensor | None = self._buffers["stem_gain"]
        return x if gain is None else x * gain

    def _fold(self, x: Tensor, *names: str) -> Tensor:
        """Apply layers that act on (B, C, H, W) one behind the other; a leading T is folded into the batch."""
        folded = x.flatten(0, -4)
        for name in names:
            folded = self._layer(name)(folded)
        return folded.reshape(*x.shape[:-3], *folded.shape[1:])

    def _fire(self, name: str, current: Tensor, mode: str = "m") -> Tensor:
        lif = self._layer(name)
        lif.step_mode = mode
        out: Tensor = lif(current)
        return out

    def _run_cell(self, number: int, ops: CellOps, x: Tensor, spikes: dict[str, Tensor] | None) -> Tensor:
        """Return the value of node 3, shape (T, B, C, H, W)."""
        returning = {i for i, j in ops if i > j}
        if not returning:
            out, fired = self._cell_pass(number, ops, x, {}, "m")
        else:
            norms = [self._layer(op_layer(number, *at, "bn")) for at in convolutions(ops)]
            lifs = [self._layer(f"cell{number}_n{node}_lif") for node in lif_nodes(ops)]
            for norm in norms:
                norm.begin()
            for lif in lifs:
                lif.rest()
            delayed = {node: torch.zeros_like(x[0]) for node in returning}
            steps: list[tuple[Tensor, dict[int, Tensor]]] = []
            for current in x:
                steps.append(self._cell_pass(number, ops, current, delayed, "s"))
                delayed = {node: steps[-1][1][node] for node in returning}
            for norm in norms:
                norm.commit()
            for lif in lifs:
                lif.rest()
            out = torch.stack([value for value, _ in steps])
            fired = {node: torch.stack([step[node] for _, step in steps]) for node in steps[0][1]}
        if spikes is not None:
            spikes.update({f"cell{number}_n{node}_lif": train.detach() for node, train in sorted(fired.items())})
        return out

    def _cell_pass(
        self, number: int, ops: CellOps, x: Tensor, delayed: Mapping[int, Tensor], mode: str
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Run the four nodes once, over all timesteps (mode 'm') or over one ('s').

        x: the cell's input. delayed: spikes of the step before, by node. Returns the value of node 3 and the spikes
        of every node that something reads through a neuron.
        """
        values: dict[int, Tensor] = {}
        fired: dict[int, Tensor] = {}
        with_lif = lif_nodes(ops)
        for node in NODES:
            terms = [x] if node == 0 else []
            for edge, names in ops.items():
                if edge[1] != node:
                    continue
                for op in names:
                    analogue = edge[0] < node and op not in CONV_KERNELS
                    source = values if analogue else fired if edge[0] < node else delayed
                    terms.append(self._run_op(number, edge, op, source[edge[0]]))
            if terms:
                values[node] = sum(terms[1:], terms[0])
            if node in with_lif:
                fired[node] = self._fire(f"cell{number}_n{node}_lif", values[node], mode)
        return values[3], fired

    def _run_op(self, number: int, edge: Edge, op: str, source: Tensor) -> Tensor:
        if op == "skip":
            return source
        if op == "avgpool3x3":
            return average(source.flatten(0, -4), self.config).reshape(source.shape)
        return self._fold(source, *(op_layer(number, edge, op, kind) for kind in ("conv", "bn")))

    def _run_reduction(self, number: int, x: Tensor, spikes: dict[str, Tensor] | None) -> Tensor:
        """Return the next cell's input current, or behind the last cell the head's input."""
        prefix = f"red{number}"
        fired = self._fire(f"{prefix}_lif", self._fold(x, f"{prefix}_bn"))
        if spikes is not None:
            spikes[f"{prefix}_lif"] = fired.detach()
        # Max stands on spikes: over currents it would have no counterpart on a chip. The average is linear: after BN.
        return self._fold(fired, *(f"{prefix}_{part}" for part in reduction_parts(number, self.config)))

    def _run_head(self, x: Tensor, spikes: dict[str, Tensor] | None) -> Tensor:
        # Everything behind the last LIF is linear, so the mean over T may come first.
        features = self._layer("head_drop")(x.flatten(2))
        if self.config.head == "linear":
            logits: Tensor = self._layer("head_fc")(features.mean(0))
            return logits
        current = self._layer("head_fc1")(features)
        if self.config.head == "bn_lif":
            current = self._fold(current[..., None, None], "head_bn").flatten(2)
        hidden = self._fire("head_lif", current)
        if spikes is not None:
            spikes["head_lif"] = hidden.detach()[..., None, None]
        out: Tensor = self._layer("head_fc2")(hidden.mean(0))
        return out.reshape(-1, self.config.classes, self.config.votes).mean(2)


class Network(Backbone):
    """The network of one genotype; nodes and edges that are not on a walk from input to output are not built.

    Raises UsageError when the number of cells differs from the configuration, or a cell's output never sees its input.
    """

    def __init__(self, genotype: Genotype, config: NetworkConfig) -> None:
        if len(genotype.cells) != config.cells:
            raise UsageError(f"a genotype of {len(genotype.cells)} cells, expected {config.cells} as configured")
        cells = [{edge: (op,) for edge, op in cell.live().items()} for cell in genotype.cells]
        for number, ops in enumerate(cells, start=1):
            if not ops:
                raise UsageError(
                    f"cell {number} of genotype {genotype.architecture_id} has no path from node 0 to node 3; "
                    f"expected an operation other than zeroize on one"
                )
        super().__init__(config, cells)
        self.genotype = genotype

    def learn(self, what: Collection[str], *, tau: float | None = None) -> None:
        """Make tau or threshold of every population a parameter, out of ``LEARNABLE``; once made, it stays one.

        Neurons that read the same sum share theirs, so that they stay one population on a chip. tau: where a tau that
        is learnt begins; None: where it is. Raises UsageError for something else.
        """
        odd = set(what) - set(LEARNABLE)
        if odd:
            raise UsageError(f"learn: unknown {brief(min(odd))}, expected some of {', '.join(LEARNABLE)}")
        shared: dict[tuple[Any, ...], LearntLIF] = {}
        keys = {
            f"cell{number}_n{node}_lif": (number, *key)
            for number, cell in enumerate(self.genotype.cells, start=1)
            for node, key in population_keys(cell.live()).items()
        }
        for name, lif in list(self.named_children()):
            if type(lif) is LIF and what:
                key = keys.get(name, (name,))
                now, threshold = lif.constants()
                learnt = LearntLIF(now if tau is None else tau, threshold, what, shared.get(key))
                self.add_module(name, learnt.to(next(self.parameters())))
                shared.setdefault(key, learnt)

    def forward(self, x: Tensor, *, spikes: dict[str, Tensor] | None = None) -> Tensor:
        """Return logits (B, classes) for x (B, C, H, W), constant in time, or (B, T, C, H, W).

        ``spikes``, when given, is filled with one detached 0/1 tensor (T, B, C, H, W) per LIF, by name; the hidden LIF
        as (T, B, hidden, 1, 1).
        """
        return self.run(x, self.cells, spikes)

    def layers(self) -> list[dict[str, Any]]:
        """Return the network as plain data in topological order; only the input of a 'delay' may stand later.

        Each layer: name, op, inputs (summed; **a name that stands twice counts twice**), and by op: input(shape,
        kind, range), conv(weight (O, I, kh, kw), bias, stride, pad), bn(gamma, beta, mean, var, eps), lif(tau,
        threshold, decay_input, reset), maxpool/avgpool(kernel, stride, pad; the average counts the padding),
        delay(), linear(weight (O, N) on the C-order flattened input, bias), vote(group), output(). Arrays are float32
        copies. Dropout is not a layer: this is the network in eval mode.
        """
        return list(describe(self.config, self.cells, self))
