"""The tensors behind ``snnas.search.scoring.batched``: a plan's values, computed tile by tile.

A tile is a few candidates folded into the batch axis. What a node keeps stays until the last candidate that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snnas.search.network.genotype import CONV_KERNELS, DILATIONS, NODES, Edge
from snnas.search.network.layers import average, op_layer, reduction_parts
from snnas.search.scoring import folded
from snnas.search.scoring.proxies import Score, home
from snnas.search.scoring.sharing import STEM, WHOLE, Candidate, Plan, Reduction, Value
from snnas.search.scoring.supernet import Supernet

# Kernels that are turned into float64 together.
KERNELS_AT_ONCE = 256
# One wide convolution is cheaper than several exact ones as long as it computes at most this much that nobody reads.
WASTE = 1.34

Conv = tuple[Edge, str]


class Bank:
    """What all rounds share: the stem's current on the batch ``x``, and weights, stacked where they are used so."""

    def __init__(self, supernet: Supernet, x: Tensor) -> None:
        self.config = supernet.config
        with torch.no_grad():
            self.stem: Tensor = supernet._stem(x)
        self.layers: dict[str, Any] = dict(supernet.named_modules())
        norms = {name: layer for name, layer in self.layers.items() if isinstance(layer, torch.nn.BatchNorm2d)}
        (shifts,) = home([torch.stack([norm.bias.detach().any() for norm in norms.values()])])
        self.shifted = frozenset(name for name, shift in zip(norms, shifts.tolist(), strict=True) if shift)
        self._stacks: dict[tuple[str, ...], tuple[Tensor, ...]] = {}

    def stacked(self, cell: int, convs: Sequence[Conv]) -> tuple[Tensor, ...]:
        """Return weight, BN gain and BN shift of convolutions of one kernel size, stacked on output channels."""
        names = tuple(op_layer(cell, edge, op, "conv") for edge, op in convs)
        if names not in self._stacks:
            layers = [self.layers[name] for name in names]
            norms = [self.norm(cell, conv) for conv in convs]
            parts = ([layer.weight for layer in layers], [n.weight for n in norms], [n.bias for n in norms])
            self._stacks[names] = tuple(torch.cat(part) for part in parts)
        return self._stacks[names]

    def norm(self, cell: int, conv: Conv) -> Any:
        """Return the BN behind a convolution."""
        return self.layers[op_layer(cell, *conv, "bn")]

    def shape(self, cell: int, number: int) -> tuple[int, ...]:
        """Return the shape (timesteps, B, C, H, W) of a node's current in pass ``number`` of a cell."""
        steps = self.config.timesteps if number == WHOLE else 1
        batch = self.stem.shape[1]
        return steps, batch, self.config.width(cell), *self.config.extents(cell - 1)


@dataclass(slots=True)
class _Kept:
    """What later nodes read of one Value, each (passes, B, C, H, W): its current, spikes, voltage, what leaves it."""

    value: Tensor
    spikes: Tensor | None = None
    voltage: Tensor | None = None
    convs: dict[tuple[Edge, str], Tensor] = field(default_factory=dict)
    pooled: dict[bool, Tensor] = field(default_factory=dict)


class Tiles:
    """The tensors of one plan. per_operation: see ``snnas.search.scoring.batched``."""

    def __init__(self, bank: Bank, plan: Plan, *, per_operation: bool) -> None:
        self.bank, self.plan, self.per_operation = bank, plan, per_operation
        self.config = bank.config
        self.kept: dict[int, _Kept] = {}
        self.behind: dict[int, Tensor] = {}
        self.done: set[int] = set()
        # Counts of common spikes by numbers of neurons and timesteps, and where those of a population stand.
        self.common: dict[tuple[int, int], list[Tensor]] = {}
        self.place: dict[int, tuple[tuple[int, int], int]] = {}

    def compute(self, start: int, stop: int) -> None:
        """Compute what candidates ``start`` to ``stop`` need and none before them did."""
        ways = self.plan.candidates[start:stop]
        for cell in range(1, self.config.cells + 1):
            for number in _passes(ways, cell):
                for node in NODES:
                    self._nodes([self.plan.values[id] for id in self._fresh(ways, (cell, number, node))])
                self._drop(ways, cell, number - 1, stop, keep_value=True)
            ids = dict.fromkeys(way.reductions[cell - 1] for way in ways)
            self._reduce([self.plan.reductions[id] for id in ids if id not in self.done])
            for number in _passes(ways, cell):
                self._drop(ways, cell, number, stop, keep_value=False)
        for way in ways:
            for id in way.reductions:
                if self.plan.reductions[id].last < stop:
                    self.behind.pop(id, None)

    def _fresh(self, ways: Sequence[Candidate], key: tuple[int, int, int]) -> list[int]:
        return [
            id for id in dict.fromkeys(way.passes.get(key) for way in ways) if id is not None and id not in self.done
        ]

    def _drop(self, ways: Sequence[Candidate], cell: int, number: int, stop: int, *, keep_value: bool) -> None:
        """Free a pass that no later candidate needs; the reduction still needs the value of node 3."""
        for node in NODES:
            for way in ways:
                id = way.passes.get((cell, number, node))
                if id is not None and id in self.kept and self.plan.values[id].last < stop:
                    if keep_value and node == 3:
                        self.kept[id] = _Kept(self.kept[id].value)
                    else:
                        del self.kept[id]

    def _nodes(self, values: Sequence[Value]) -> None:
        """Compute one node of one pass for several candidates: sum, neuron, kernel, convolutions."""
        if not values:
            return
        self.done.update(value.id for value in values)
        currents, together = self._sums(values)
        for value, current in zip(values, currents, strict=True):
            self.kept[value.id] = _Kept(current)
        # In one pass of one node either all neurons are at rest or none.
        firing = [value for value in values if value.fires]
        if firing:
            whole = together if len(firing) == len(values) else None
            self._fire(firing, folded.stack([self.kept[v.id].value for v in firing]) if whole is None else whole)

    def _sums(self, values: Sequence[Value]) -> tuple[list[Tensor], Tensor | None]:
        """Return the current (passes, B, C, H, W) of each value, its terms added from left to right.

        And, where they are more than one, all of them as one tensor.
        """
        first = values[0]
        shape = (len(values), *self.bank.shape(first.cell, first.number))
        together = torch.empty(shape, device=self.bank.stem.device) if len(values) > 1 else None
        currents: list[Tensor] = []
        for row, value in enumerate(values):
            terms = [] if value.source is None else [self._input(value)]
            terms += [self._term(value, edge, op, source) for edge, op, source in value.terms]
            out = None if together is None else together[row]
            if len(terms) < 2:
                currents.append(terms[0] if terms else torch.zeros(shape[1:], device=self.bank.stem.device))
                if out is not None:
                    out.copy_(currents[-1])
                continue
            total = torch.add(terms[0], terms[1], out=out)
            for term in terms[2:]:
                total.add_(term)
            currents.append(total)
        return currents, together

    def _input(self, value: Value) -> Tensor:
        whole = self.bank.stem if value.source == STEM else self.behind[value.source or 0]
        return whole if value.number == WHOLE else whole[value.number : value.number + 1]

    def _term(self, value: Value, edge: Edge, op: str, source: int | None) -> Tensor:
        if source is None:
            return self._shift(value, (edge, op))
        kept = self.kept[source]
        if op in CONV_KERNELS:
            return kept.convs[edge, op]
        delayed = edge[0] > edge[1]
        current = kept.spikes if delayed else kept.value
        assert current is not None
        if op == "skip":
            return current
        if delayed not in kept.pooled:
            kept.pooled[delayed] = average(current.flatten(0, 1), self.config).reshape(current.shape)
        return kept.pooled[delayed]

    def _fire(self, values: Sequence[Value], currents: Tensor) -> None:
        """Run the neurons of ``values``, driven by ``currents``, and everything that reads their spikes."""
        cell, number = values[0].cell, values[0].number
        state = None
        if values[0].state is not None:
            state = folded.stack([_there(self.kept[value.state or 0].voltage) for value in values])
        spikes, voltage = folded.fire(currents, state, self.config.tau, self.config.threshold_of(cell))
        fired = self._count([value.id for value in values], spikes)
        last = number in (WHOLE, self.config.timesteps - 1)
        for row, value in enumerate(values):
            kept = self.kept[value.id]
            kept.spikes = spikes[row] if value.raw else None
            kept.voltage = None if last else voltage[row]
            if not fired[row]:
                # A silent node sends what its BNs add; convolutions of nothing are not computed.
                kept.convs = {conv: self._shift(value, conv) for conv in value.convs}
        for convs, rows in _groups({row: tuple(value.convs) for row, value in enumerate(values) if fired[row]}):
            source = spikes if len(rows) == len(values) else spikes[rows]
            for row, current in zip(rows, self._convolve(cell, convs, source), strict=True):
                width = self.config.width(cell)
                for at, conv in enumerate(convs):
                    self.kept[values[row].id].convs[conv] = current[:, :, at * width : (at + 1) * width]

    def _shift(self, value: Value, conv: Conv) -> Tensor:
        shift: Tensor = self.bank.norm(value.cell, conv).bias
        return shift[:, None, None].expand(self.bank.shape(value.cell, value.number))

    def _convolve(self, cell: int, convs: Sequence[Conv], spikes: Tensor) -> list[Tensor]:
        weight, gain, shift = self.bank.stacked(cell, convs)
        like = self.bank.layers[op_layer(cell, *convs[0], "conv")]
        out = functional.conv2d(spikes.flatten(0, 2), weight, padding=like.padding, dilation=like.dilation)
        rows = out.reshape(len(spikes), -1, *out.shape[1:])
        normal = folded.normalise(rows, gain, shift, self.bank.norm(cell, convs[0]).eps)
        return [row.reshape(*spikes.shape[1:3], *row.shape[1:]) for row in normal]

    def _reduce(self, reductions: Sequence[Reduction]) -> None:
        """Run what follows a cell, and behind the last one the head."""
        if not reductions:
            return
        self.done.update(reduction.id for reduction in reductions)
        cell = reductions[0].cell
        ids = [reduction.id for reduction in reductions]
        passes = [[self.kept[id].value for id in reduction.sources] for reduction in reductions]
        currents = folded.stack([part[0] if len(part) == 1 else torch.cat(part) for part in passes])
        currents = self._normalise(f"red{cell}_bn", currents)
        fired, _ = folded.fire(currents, None, self.config.tau, self.config.threshold_of(cell))
        self._count(ids, fired)
        for part in reduction_parts(cell, self.config):
            if part == "bn2":
                fired = self._normalise(f"red{cell}_bn2", fired)
            elif part == "pool" and self.config.reduction == "max":
                fired = folded.max_pool(fired, self.config.window(2))
            else:
                out = self.bank.layers[f"red{cell}_{part}"](fired.flatten(0, 2))
                fired = out.reshape(*fired.shape[:3], *out.shape[1:])
        if cell < self.config.cells:
            self.behind.update(zip(ids, fired, strict=True))
            return
        if self.config.head == "linear":
            return
        hidden = self.bank.layers["head_fc1"](fired.flatten(3))
        if self.config.head == "bn_lif":
            hidden = self._normalise("head_bn", hidden[..., None, None]).flatten(3)
        hidden, _ = folded.fire(hidden, None, self.config.tau, self.config.threshold)
        self._count([~id for id in ids], hidden)

    def _normalise(self, name: str, currents: Tensor) -> Tensor:
        """Return BN ``name`` of (R, T, B, C, H, W)."""
        norm = self.bank.layers[name]
        rows = folded.normalise(currents.flatten(1, 2), norm.weight, norm.bias, norm.eps)
        return folded.stack(rows).reshape(currents.shape)

    def _count(self, ids: Sequence[int], spikes: Tensor) -> list[bool]:
        """Keep what the kernels of populations ``ids`` need; return whether each may have fired."""
        key = (spikes[0, 0, 0].numel(), spikes.shape[1])
        parts = self.common.setdefault(key, [])
        first = sum(len(part) for part in parts)
        parts.append(folded.common_spikes(spikes))
        self.place.update({id: (key, first + row) for row, id in enumerate(ids)})
        if spikes.is_cuda:
            # To look would be to wait for the device.
            return [True] * len(ids)
        fired: list[bool] = parts[-1].flatten(1).any(1).tolist()
        return fired

    def scores(self) -> list[Score]:
        """Turn the counts of every population into kernels, and their sums into scores."""
        made = {key: _kernels(torch.cat(parts), key[0]) for key, parts in self.common.items()}
        totals: list[Tensor] = []
        for way in self.plan.candidates:
            # Added in the order of its populations, so that a score does not depend on what it is scored with.
            total: Tensor | None = None
            for _, readers, ids in way.populations:
                places = [self.place[id] for id in ids]
                parts = [made[key][0][row] for key, row in places]
                kernel = parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
                kernel = kernel * readers if self.per_operation else kernel
                total = kernel if total is None else total + kernel
            totals.append(_there(total))
        matrices, *counted = home([torch.stack(totals), *(counts for _, counts in made.values())])
        counts = {key: of_key.tolist() for key, of_key in zip(made, counted, strict=True)}
        firing = [self._rates(way, counts) for way in self.plan.candidates]
        values = folded.log_determinants(matrices)
        return [Score(value, rates) for value, rates in zip(values, firing, strict=True)]

    def _rates(self, way: Candidate, counts: Mapping[tuple[int, int], Sequence[float]]) -> dict[str, float]:
        """Return spikes / (neurons x T) of every population of a candidate; counts: spikes by row of a kernel."""
        rates = {}
        for name, _, ids in way.populations:
            places = [self.place[id] for id in ids]
            neurons = places[0][0][0]
            spikes = sum(counts[key][row] for key, row in places)
            rates[name] = spikes / (neurons * self.config.timesteps * self.bank.stem.shape[1])
        return rates


def _kernels(common: Tensor, neurons: int) -> tuple[Tensor, Tensor]:
    """Return kernels (R, B, B) and numbers of spikes of ``common`` (R, T, B, B), each row summed over timesteps."""
    kernels: list[Tensor] = []
    for start in range(0, len(common), KERNELS_AT_ONCE):
        steps = folded.kernels(common[start : start + KERNELS_AT_ONCE], neurons).unbind(1)
        kernels.append(sum(steps[1:], steps[0]))
    return torch.cat(kernels), common.diagonal(dim1=2, dim2=3).sum((1, 2), dtype=torch.float64)


def _groups(wanted: Mapping[int, tuple[Conv, ...]]) -> Iterator[tuple[list[Conv], list[int]]]:
    """Yield convolutions of one kernel size that are stacked, and the rows that they are computed for.

    wanted: the convolutions that each row needs.
    """
    kinds = {op for convs in wanted.values() for _, op in convs}
    for kind in sorted(kinds, key=lambda op: (CONV_KERNELS[op], DILATIONS.get(op, 1))):
        groups: dict[tuple[Conv, ...], list[int]] = {}
        for row, convs in wanted.items():
            own = tuple(conv for conv in convs if conv[1] == kind)
            if own:
                groups.setdefault(own, []).append(row)
        union = list(dict.fromkeys(conv for convs in groups for conv in convs))
        rows = sorted(row for members in groups.values() for row in members)
        if len(union) * len(rows) <= WASTE * sum(len(convs) * len(members) for convs, members in groups.items()):
            yield union, rows
        else:
            yield from ((list(convs), members) for convs, members in groups.items())


def _passes(ways: Sequence[Candidate], cell: int) -> list[int]:
    return sorted({number for way in ways for at, number, _ in way.passes if at == cell})


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
