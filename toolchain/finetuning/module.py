"""A program as a torch module: the same spikes, bit for bit, and gradients.

What is trained: weights of the synapses into neurons, biases and thresholds of neurons, the readout. What is not: the
host stage, the clock, relays and ORs, scales, exponents and leaks. A cell's skip stands in a program as copies of the
synapses into its source; each copy is trained for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snnas.export.compiler.ranges import input_bounds, prove, verify_ranges
from snnas.hw_sim import limits
from snnas.hw_sim.entries import Entries, Matrix, values_of, with_values
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import CLOCK, INPUT, Pool, Population, Program, Synapse
from snnas.hw_sim.readout import Readout, constant, weights_in_time
from snnas.hw_sim.simulate.simulator import host_currents
from snnas.hw_sim.simulate.torch_engine import components, gate_of
from snnas.toolchain.finetuning.integers import Integers
from snnas.toolchain.finetuning.neurons import Neurons
from snnas.toolchain.finetuning.synapses import SynapseMap

SHRINKS = 400
SHRINK = 0.995


class TrainableProgram(nn.Module):
    """The network that a program is. In eval mode its registers are within their ranges, so it *is* ``program()``.

    real: what the integers were rounded from: synapse id -> float64 weights of the circuit's link, population id ->
    float64 bias (C, H, W), in real units; ids may be missing. UnsupportedError where the program leaves its ranges.
    """

    config = ""  # what a checkpoint is told apart by

    def __init__(self, program: Program, real: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__()
        verify_ranges(program)
        self.start, real = program, real or {}
        self.groups = components(program)
        self.gates = {p.id: gate for p in program.populations if (gate := gate_of(program, p)) is not None}
        self.neurons, self.synapses = nn.ModuleDict(), nn.ModuleDict()
        allowed = limits.weight_range(program.weight_bits)
        for p in program.populations:
            if p.id in self.gates:
                continue
            neurons = Neurons(p, leaks=program.schedule.period, timesteps=program.timesteps, real_bias=real.get(p.id))
            learns = p.role == "neuron"
            neurons.threshold.requires_grad_(learns)
            neurons.bias.requires_grad_(learns and program.schedule.period == 1)  # else the clock brings the bias
            self.neurons[_key(p.id)] = neurons
            for s in program.into(p.id):
                if s.src != CLOCK:
                    self.synapses[_key(s.id)] = _synapse(s, p, real.get(s.id), allowed, trained=learns)
        low, high = limits.WEIGHT_MIN, limits.WEIGHT_MAX
        self.readings = nn.ModuleList(Integers(values_of(r.weight), None, low, high) for r in program.readout.readings)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes), float64, in real units: the readout's mean over the timesteps where it sums.

        x: as the network takes it, (B, C, H, W) or (B, T, C, H, W).
        """
        r, fired = self.start.readout, self.run(x)
        brought = []
        for part, weight in zip(r.readings, self.readings, strict=True):
            here = _brought(fired[part.src].flatten(2).to(torch.float64), part.weight, weight().to(torch.float64))
            brought.append(functional.pad(here, (0, 0, 0, 0, part.distance, 0))[: self.start.timesteps])
        units = _read(r, _total(brought))
        return units / (64 * r.scale * (self.start.timesteps if r.read == "sum" else 1))

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Return the spikes of every population, float32 (T, B, C, H, W)."""
        program, self.batch = self.start, len(x)
        spikes: dict[str, Tensor] = {}
        host: dict[str, Tensor] = {}
        if program.input_kind == "analogue":
            currents = host_currents(program, x.detach().cpu().numpy())
            host = {
                n: torch.from_numpy(c << limits.STATE_SHIFT).to(x.device, torch.float32) for n, c in currents.items()
            }
        else:
            spikes[INPUT] = (x > 0).to(torch.float32).transpose(0, 1)
        for group, cyclic in self.groups:
            if cyclic:
                self._walk(group, spikes, host)
            else:
                spikes[group[0].id] = self._fold(group[0], spikes, host)
        return spikes

    def train(self, mode: bool = True) -> TrainableProgram:
        """Eval mode first brings the registers into their ranges."""
        super().train(mode)
        if not mode:
            self.bring_into_range()
        return self

    def bring_into_range(self) -> None:
        """Clip what has left its range, and shrink the weights into neurons whose registers might overflow."""
        for module in self.modules():
            if isinstance(module, Integers):
                module.clamp()
        for _ in range(SHRINKS):
            program = self.program()
            unproved = [
                name
                for name, found in prove(program).items()
                if found.status == "unproved" and name not in program.observed
            ]
            if not unproved:
                return
            for name in unproved:
                self._shrink(program, program.population(name))
        verify_ranges(self.program())

    def _shrink(self, program: Program, p: Population) -> None:
        """Make the weights smaller into those neurons whose input may overflow, or into all where it is another's."""
        sources = [(s, program.source_shape(s.src)) for s in program.into(p.id)]
        host = [h for h in program.host if h.dst == p.id]
        low, high = input_bounds(p, sources, host, program.input_shape, program.input_range)
        over = np.maximum(-low, high) > limits.CURRENT_MAX
        factors = np.where(over if over.any() else True, SHRINK, 1.0) * np.ones(p.shape)
        for s in self._into(p):
            self._map(s).shrink(factors)

    def program(self) -> Program:
        """The program that this module is now."""
        populations = [self._population(p) for p in self.start.populations]
        synapses = [
            replace(s, map=self._map(s).numbers()) if _key(s.id) in self.synapses else s for s in self.start.synapses
        ]
        weights = [w.numbers().astype(np.int8) for w in self.readings if isinstance(w, Integers)]
        before = self.start.readout
        parts = tuple(
            replace(r, weight=with_values(r.weight, w)) for r, w in zip(before.readings, weights, strict=True)
        )
        readout = replace(before, readings=parts)
        return replace(self.start, populations=tuple(populations), synapses=tuple(synapses), readout=readout)

    @property
    def _device(self) -> torch.device:
        return next(self.readings.parameters()).device

    def _population(self, p: Population) -> Population:
        if p.id in self.gates:
            return p
        neurons = self._neurons(p)
        bias, vth = neurons.bias.numbers().astype(np.int16), int(neurons.threshold.numbers())
        return replace(p, bias=bias, vth=vth)

    def _neurons(self, p: Population) -> Neurons:
        found = self.neurons[_key(p.id)]
        assert isinstance(found, Neurons)
        return found

    def _map(self, s: Synapse) -> SynapseMap:
        found = self.synapses[_key(s.id)]
        assert isinstance(found, SynapseMap)
        return found

    def _into(self, p: Population) -> list[Synapse]:
        return [s for s in self.start.into(p.id) if s.src != CLOCK]

    # ----------------------------------------------------------------------------------------------- one population

    def _fold(self, p: Population, spikes: dict[str, Tensor], host: dict[str, Tensor]) -> Tensor:
        """A population outside of cycles: its whole input is known, so time folds into the batch."""
        if p.id in self.gates:
            s, window = self.gates[p.id]
            return _gated(_late(spikes[s.src], s), window)
        neurons = self._neurons(p)
        neurons.step_mode = "m"
        current, still = self._drive(p, self._into(p), spikes, host)
        if current is None and (still is None or len(still) == 1):
            still = torch.zeros((self.batch, *p.shape), device=self._device) + (0 if still is None else still)
        out: Tensor = neurons(current, still)
        return out

    def _drive(
        self, p: Population, synapses: list[Synapse], spikes: dict[str, Tensor], host: dict[str, Tensor]
    ) -> tuple[Tensor | None, Tensor | None]:
        """What comes through ``synapses``, from the host and from the clock: (T, B, C, H, W), and what stands still.

        A current with memory holds what stands still too, and only its membrane has a bias.
        """
        moving = [self._through(s, _late(spikes[s.src], s)) for s in synapses]
        still: list[Tensor] = []
        if p.id in host:
            c = host[p.id]
            (still if c.shape[1] == 1 else moving).append(c[:, 0] if c.shape[1] == 1 else c.transpose(0, 1))
        for s in self.start.into(p.id):
            if s.src == CLOCK:
                brought = apply(s.map, np.ones((1, 1, 1, 1)), p.shape) * (1 << s.exponent + limits.STATE_SHIFT)
                made = torch.from_numpy(brought).to(self._device, torch.float32)
                (moving if s.distance else still).append(self._delayed_clock(made) if s.distance else made)
        if p.current_decays and still:
            moving.append(_total(still).expand(self.start.timesteps, -1, -1, -1, -1))
            still = []
        return _total(moving) if moving else None, _total(still) if still else None

    def _delayed_clock(self, brought: Tensor) -> Tensor:
        out = brought.repeat(self.start.timesteps, 1, 1, 1, 1)
        out[0] = 0
        return out

    def _through(self, s: Synapse, x: Tensor) -> Tensor:
        out: Tensor = self._map(s)(x.flatten(0, 1))
        return out.reshape(*x.shape[:2], *out.shape[1:])

    # ----------------------------------------------------------------------------------------------- inside a cycle

    def _walk(self, group: list[Population], spikes: dict[str, Tensor], host: dict[str, Tensor]) -> None:
        """Timestep by timestep; what comes from outside of the cycle is folded first."""
        inside = {p.id for p in group}
        within = {p.id: [s for s in self._into(p) if s.src in inside] for p in group}
        drive = {}
        for p in group:
            if p.id not in self.gates:
                neurons = self._neurons(p)
                neurons.step_mode = "s"
                neurons.rest()
                drive[p.id] = self._drive(p, [s for s in self._into(p) if s.src not in inside], spikes, host)
        device = self._device
        now = {p.id: torch.zeros((1, self.batch, *p.shape), device=device) for p in group}
        steps: dict[str, list[Tensor]] = {p.id: [] for p in group}
        for t in range(self.start.timesteps):
            before, now = now, {}
            for p in group:
                if p.id in self.gates:
                    s, window = self.gates[p.id]
                    now[p.id] = _gated((before if s.distance else now)[s.src], window)
                else:
                    outer, still = drive[p.id]
                    parts = [self._through(s, (before if s.distance else now)[s.src]) for s in within[p.id]]
                    parts += [] if outer is None else [outer[t : t + 1]]
                    now[p.id] = self._neurons(p)(_total(parts), still)
                steps[p.id].append(now[p.id])
        spikes |= {name: torch.cat(parts) for name, parts in steps.items()}


def _total(parts: Sequence[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0])


def _brought(x: Tensor, matrix: Matrix, values: Tensor) -> Tensor:
    """X (T, B, N) times the readout's matrix, which has these values in the places of ``matrix``: (T, B, classes)."""
    if not isinstance(matrix, Entries):
        return functional.linear(x, values)
    indices, rows = (torch.from_numpy(at.astype(np.int64)).to(x.device) for at in (matrix.indices, matrix.rows))
    return x.new_zeros((*x.shape[:2], matrix.shape[0])).index_add(2, rows, x[:, :, indices] * values)


def _read(r: Readout, x: Tensor) -> Tensor:
    """``readout.of_currents`` of x, float64 (T, B, classes), with gradients."""
    steps = len(x)
    if r.read != "max":
        held = torch.from_numpy(weights_in_time(r, steps).astype(np.float64)).to(x.device)
        return 64 * (x * held[:, None]).sum(0) + torch.from_numpy(constant(r, steps)).to(x.device)
    y = torch.from_numpy(r.bias.astype(np.float64)).to(x.device)[:, None].expand(steps, -1, -1)
    for j, left in enumerate(torch.from_numpy(r.response.astype(np.float64)).to(x.device)):
        y = y + 64 * left * functional.pad(x, (0, 0, 0, 0, j, 0))[:steps]
    return y.amax(0)


def _synapse(
    s: Synapse, p: Population, real: np.ndarray | None, allowed: tuple[int, int], *, trained: bool
) -> SynapseMap:
    units = None if real is None or not trained else real * (p.scale / (1 << s.exponent))
    signs = s.map.weight if units is None else units  # what only excites, or inhibits, does so ever after
    low, high = (allowed[0] if (signs < 0).any() else 0), (allowed[1] if (signs > 0).any() else 0)
    return SynapseMap(s, p.shape, units, (low, high), trained=trained)


def _key(name: str) -> str:
    """A name that no attribute of a ``ModuleDict`` has."""
    return f"of_{name}"


def _late(x: Tensor, s: Synapse) -> Tensor:
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]]) if s.distance else x


def _gated(x: Tensor, window: Pool | None) -> Tensor:
    """A relay is its source; an OR the maximum over its windows."""
    if window is None:
        return x
    folded = functional.pad(x.flatten(0, 1), (window.pad[1], window.pad[1], window.pad[0], window.pad[0]))
    out = functional.max_pool2d(folded, window.kernel, window.stride)
    return out.reshape(*x.shape[:2], *out.shape[1:])
