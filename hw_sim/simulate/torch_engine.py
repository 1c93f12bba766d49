"""A program laid out for torch, and how a block of samples runs through it: the engine of ``torch_simulator``.

Populations are taken in groups, the strongly connected components of the synapses of either distance. Outside of a
cycle a population's whole input is known before it runs, so time folds into the batch: one convolution per synapse.
Only inside a cycle are timesteps walked. A relay is its source, an OR a maximum over windows. What float32 is not
proven to hold exactly (``kernels.fused``) goes through ``kernels.neuron_step`` in int64.

Spikes are bool (B, T, N) tensors whose neurons lie in (H, W, C) order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

from snnas.hw_sim import kernels, limits
from snnas.hw_sim.errors import overflowed
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import CLOCK, INPUT, Pool, Population, Program, Shape, Synapse
from snnas.hw_sim.simulate.torch_maps import TorchMap, any_pool, hwc

if TYPE_CHECKING:
    from torch import Tensor


def components(program: Program) -> list[tuple[list[Population], bool]]:
    """Populations by strongly connected component, sources first, and whether the component holds a cycle."""
    order = program.in_order
    place = {p.id: k for k, p in enumerate(order)}
    joins = [(place[s.src], place[s.dst]) for s in program.synapses if s.src in place]
    reach = np.eye(len(order), dtype=np.float32)  # float32: a matrix product through BLAS
    for src, dst in joins:
        reach[src, dst] = 1
    while True:
        further = (reach @ reach > 0).astype(np.float32)
        if np.array_equal(further, reach):
            break
        reach = further
    head = (reach * reach.T > 0).argmax(axis=1).tolist()  # the first population that each one shares a cycle with
    before: dict[int, set[int]] = {h: set() for h in head}
    for src, dst in joins:
        if head[src] != head[dst]:
            before[head[dst]].add(head[src])
    loops = {head[src] for src, dst in joins if head[src] == head[dst]}
    return [
        ([p for k, p in enumerate(order) if head[k] == h], h in loops) for h in TopologicalSorter(before).static_order()
    ]


def gate_of(program: Program, p: Population) -> tuple[Synapse, Pool | None] | None:
    """The synapse, and window, of a relay or an OR: one source whose every spike makes its readers fire."""
    inputs = list(program.into(p.id))
    driven = any(h.dst == p.id for h in program.host)
    if len(inputs) != 1 or inputs[0].src == CLOCK or p.bias.any() or driven or p.current_decays or p.taken:
        return None
    s = inputs[0]
    w = s.map.weight
    if s.map.kind != "conv" or s.map.groups != program.source_shape(s.src)[0] or len(w) != s.map.groups:
        return None
    one, window = int(w.flat[0]) << s.exponent, int(np.prod(w.shape[2:]))
    # Without a spike nothing changes v = 0; with one, it fires and is reset: whatever the leak, it holds no state.
    if (w != w.flat[0]).any() or not p.vth < one or one * window > limits.CURRENT_MAX:
        return None
    plain = window == 1 and s.map.stride == (1, 1) and s.map.pad == (0, 0)
    return s, None if plain else Pool((w.shape[2], w.shape[3]), s.map.stride, s.map.pad)


class Engine:
    """A program's constants on a device. ``fused``: ``kernels.fused_steps`` or a compiled equal of it."""

    def __init__(self, program: Program, device: str) -> None:
        self.program, self.device = program, device
        self.groups = components(program)
        self.maps = {
            s.id: TorchMap(s.map, program.source_shape(s.src), program.population(s.dst).shape, s.exponent, device)
            for s in program.synapses
            if s.src != CLOCK
        }
        self.inputs = {p.id: [s for s in program.into(p.id) if s.src != CLOCK] for p in program.populations}
        self.gates = {p.id: gate for p in program.populations if (gate := gate_of(program, p)) is not None}
        self.bias = {p.id: self._bias(p) for p in program.populations}
        self.clock = {p.id: self._clocked(p) for p in program.populations}
        self.done = self._last_readers()
        self.fused: Callable[..., None] = kernels.fused_steps

    def constants(self, p: Population, current: int) -> kernels.Fused | None:
        """``kernels.fused`` of a population whose host currents stay within +-``current`` weight units.

        None also where the current has a memory, the reset is soft or registers are watched: that is computed in int64.
        """
        if p.current_decays or p.taken or p.id in self.program.observed:
            return None
        bound = sum(self.maps[s.id].bound for s in self.inputs[p.id])
        bound += sum(int(np.abs(c).max()) for _, c in self.clock[p.id])
        hosted = (1 << current.bit_length()) if current else 0  # few distinct values: fewer compilations
        return kernels.fused(
            p.dv,
            p.vth,
            self.program.schedule.period,
            current=bound + hosted,
            bias=int(np.abs(self.bias[p.id]).max()),
            steps=self.program.timesteps,
        )

    def _bias(self, p: Population) -> np.ndarray:
        """In 1/64 of a weight unit, int64 (N,) in (H, W, C) order."""
        bias = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent)
        return np.broadcast_to(bias, p.shape).ravel()[hwc(p.shape)]

    def _clocked(self, p: Population) -> list[tuple[int, np.ndarray]]:
        """(distance, weight units (N,) in (H, W, C) order) of what the clock brings."""
        one = np.ones((1, 1, 1, 1))
        brought = [(s, apply(s.map, one, p.shape)) for s in self.program.into(p.id) if s.src == CLOCK]
        return [(s.distance, a.astype(np.int64).ravel()[hwc(p.shape)] << s.exponent) for s, a in brought]

    def _last_readers(self) -> dict[int, list[str]]:
        """By group: the populations whose spikes nobody reads after it."""
        last = {p.id: k for k, (group, _) in enumerate(self.groups) for p in group}
        for k, (group, _) in enumerate(self.groups):
            for p in group:
                for s in self.inputs[p.id]:
                    if s.src != INPUT:
                        last[s.src] = max(last[s.src], k)
        done: dict[int, list[str]] = {}
        for name, k in last.items():
            if name not in self.program.readout.sources:
                done.setdefault(k, []).append(name)
        return done


@dataclass
class Block:
    """One block of samples on its way through the groups.

    currents: {population: int64 (B, T or 1, N), weight units}. fused: each population's constants. spikes: what is
    known so far, the input's included; bool (B, T, N). out: where the spikes of those that are kept go.
    """

    engine: Engine
    samples: int
    currents: dict[str, Tensor]
    fused: dict[str, kernels.Fused | None]
    spikes: dict[str, Tensor] = field(default_factory=dict)
    out: dict[str, Tensor] = field(default_factory=dict)

    def run(self, note: Callable[[str, Tensor], None] | None = None) -> dict[str, Tensor]:
        """Runs all groups; the spikes that the readout reads. ``note`` sees all; what nobody reads more is dropped."""
        for k, (group, cyclic) in enumerate(self.engine.groups):
            if cyclic:
                self._walk(group)
            else:
                self.spikes[group[0].id] = self._fold(group[0])
            if note is not None:
                for p in group:
                    note(p.id, self.spikes[p.id])
            for name in self.engine.done.get(k, ()):
                del self.spikes[name]
        return {name: self.spikes[name] for name in self.engine.program.readout.sources}

    # ----------------------------------------------------------------------------------------------- outside of cycles

    def _fold(self, p: Population) -> Tensor:
        if p.id in self.engine.gates and p.id not in self.currents:
            s, window = self.engine.gates[p.id]
            gated = self._gated(self._source(s), window, s)
            return self.out[p.id].copy_(gated) if p.id in self.out else gated
        u, constant = self._drive(p, self.engine.inputs[p.id])
        out = self._unwritten(p)
        self._advance(p, self._rest(p), u, constant, out)
        return out

    def _source(self, s: Synapse) -> Tensor:
        x = self.spikes[s.src]
        if s.distance:
            x, past = x.new_zeros(x.shape), x
            x[:, 1:] = past[:, :-1]
        return x

    def _gated(self, x: Tensor, window: Pool | None, s: Synapse) -> Tensor:
        import torch

        if window is None:
            return x
        images = x.reshape(-1, *spatial(self.engine.program.source_shape(s.src))).view(torch.uint8)
        return any_pool(images, window).view(torch.bool).reshape(*x.shape[:2], -1)

    def _drive(self, p: Population, synapses: list[Synapse]) -> tuple[Tensor | None, Tensor | None]:
        """What reaches a population through ``synapses``, from the host and from the clock: (B, T, N) and (B or 1, N).

        Fused: float32 in 1/64 of a weight unit, the bias in the second. Else: int64 in weight units, all in the first,
        and the bias alone in the second.
        """
        import torch

        fused, steps = self.fused[p.id] is not None, self.engine.program.timesteps
        host, bias = self.currents.get(p.id), torch.from_numpy(self.engine.bias[p.id]).to(self.engine.device)[None]
        clock = [(late, torch.from_numpy(c).to(self.engine.device)[None]) for late, c in self.engine.clock[p.id]]
        still = [c for late, c in clock if not late] + ([host[:, 0]] if host is not None and host.shape[1] == 1 else [])
        moving = [host] if host is not None and host.shape[1] > 1 else []
        for _, c in (pair for pair in clock if pair[0]):
            moving.append(c[:, None].repeat(1, steps, 1))
            moving[-1][:, 0] = 0
        if not fused:
            parts = [self._current(s, self._source(s), None, fused=False) for s in synapses]
            zero = bias.new_zeros(self.samples, steps, p.size)
            return sum([*moving, *(c[:, None] for c in still), *(c.view_as(zero) for c in parts)], zero), bias
        constant = (bias + (sum(still) << kernels.STATE_SHIFT) if still else bias).to(torch.float32)
        folded = bool(synapses) and not still and p.bias.shape[1:] == (1, 1) and self.engine.maps[synapses[0].id].biased
        total: Tensor | None = None
        for s in synapses:
            channels = constant[0, : p.shape[0]] if folded and total is None else None
            part = self._current(s, self._source(s), channels, fused=True).view(self.samples, steps, p.size)
            total = part if total is None else total.add_(part)
        for c in moving:
            part = (c << kernels.STATE_SHIFT).to(torch.float32)
            total = part.expand(self.samples, -1, -1).contiguous() if total is None else total.add_(part)
        return total, None if folded or not constant.any() else constant

    def _current(self, s: Synapse, x: Tensor, bias: Tensor | None, *, fused: bool) -> Tensor:
        """x: bool (B, T, N) -> (B * T, N'): float32 in 1/64 of a weight unit, bias (C) added; or int64 weight units."""
        import torch

        images = x.reshape(-1, *spatial(self.engine.program.source_shape(s.src))).view(torch.uint8)
        linear = self.engine.maps[s.id]
        if fused:
            return linear(images, bias)
        return linear.wide(images, torch.float64).to(torch.int64) >> kernels.STATE_SHIFT

    def _unwritten(self, p: Population) -> Tensor:
        import torch

        if p.id in self.out:
            return self.out[p.id]
        shape = (self.samples, self.engine.program.timesteps, p.size)
        return torch.empty(shape, dtype=torch.bool, device=self.engine.device)

    def _rest(self, p: Population) -> Tensor:
        """The membranes at rest, (B, N); with u before them, (2, B, N), where the current has a memory."""
        import torch

        kind = torch.int64 if self.fused[p.id] is None else torch.float32
        registers = (2,) if p.current_decays else ()
        return torch.zeros((*registers, self.samples, p.size), dtype=kind, device=self.engine.device)

    def _advance(self, p: Population, v: Tensor, u: Tensor | None, constant: Tensor | None, out: Tensor) -> None:
        f = self.fused[p.id]
        if f is not None:
            self.engine.fused(v, u, constant, out, f)
            return
        period = self.engine.program.schedule.period
        for t in range(out.shape[1]):
            a = v.new_zeros((self.samples, p.size)) if u is None else u[:, t]
            if p.id in self.engine.program.observed:
                found = kernels.overflow(v[0] if p.current_decays else v * 0, a, p.du)
                if found is not None:
                    raise overflowed(p.id, *found)
            if p.current_decays:
                v[0] = kernels.current_step(v[0], a, p.du)
                v[1], out[:, t] = kernels.membrane_step(v[1], v[0], constant, p.dv, p.vth, period, p.taken)
            else:
                after, fired = kernels.neuron_step(v, a, constant, p.dv, p.vth, period, p.taken)
                v.copy_(after)
                out[:, t] = fired

    # ------------------------------------------------------------------------------------------------- inside a cycle

    def _walk(self, group: list[Population]) -> None:
        """Timestep by timestep; what comes from outside of the cycle is folded first."""
        import torch

        engine, inside = self.engine, {p.id for p in group}
        within = {p.id: [s for s in engine.inputs[p.id] if s.src in inside] for p in group}
        neurons = [p for p in group if p.id not in engine.gates or p.id in self.currents]
        drive = {p.id: self._drive(p, [s for s in engine.inputs[p.id] if s.src not in inside]) for p in neurons}
        v = {p.id: self._rest(p) for p in neurons}
        self.spikes |= {p.id: self._unwritten(p) for p in group}
        now = {p.id: torch.zeros((self.samples, 1, p.size), dtype=torch.bool, device=engine.device) for p in group}
        for t in range(engine.program.timesteps):
            before, now = now, {}
            for p in group:
                source = {s.id: (before if s.distance else now)[s.src] for s in within[p.id]}
                if p.id not in drive:
                    s, window = engine.gates[p.id]
                    now[p.id] = self._gated(source[s.id], window, s)
                else:
                    now[p.id] = self._stepped(p, v[p.id], t, drive[p.id], [(s, source[s.id]) for s in within[p.id]])
                self.spikes[p.id][:, t] = now[p.id][:, 0]

    def _stepped(
        self,
        p: Population,
        v: Tensor,
        t: int,
        drive: tuple[Tensor | None, Tensor | None],
        within: list[tuple[Synapse, Tensor]],
    ) -> Tensor:
        import torch

        outer, constant = drive
        u = None if outer is None else outer[:, t]
        for s, x in within:
            current = self._current(s, x, None, fused=self.fused[p.id] is not None)
            u = current if u is None else current.add_(u)
        out = torch.empty((self.samples, 1, p.size), dtype=torch.bool, device=self.engine.device)
        self._advance(p, v, None if u is None else u[:, None], constant, out)
        return out


def spatial(shape: Shape) -> Shape:
    c, h, w = shape
    return h, w, c
