"""``model.net``: a program that is a plain chain as the HDF5 file that lava-dl 0.6's ``netx`` loads.

netx knows input, conv, flatten and dense layers with CUBA neurons, one after the other, and takes its input as spikes.
What it cannot hold is named: ``why_not``. Its layers run one hardware step apart, as ours do, and its bias stands in
whole weight units. Its dense layers clip to eight bits, its conv layers do not (measured, lava-dl 0.6.0): where a dense
map has an exponent, dense maps are written as convolutions whose kernel is their whole input. The readout is not part
of it: the last layer's spikes are what our readout sums. The source fires a step before the first layer: load it with
``reset_interval = T, reset_offset = 1``, and layer k's spikes of timestep t stand at step ``t + k + 1``, from 0.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim import kernels
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.files import write_hdf5
from snnas.hw_sim.lava.run_lava import BYTE_MAX
from snnas.hw_sim.program import CLOCK, INPUT, Population, Program, Shape, Synapse

BIAS_UNIT = 64  # netx fixes the bias exponent at 6


def why_not(program: Program) -> str | None:
    """Why netx cannot hold the program, in one line; None where it can."""
    if program.input_kind == "analogue":
        return "its input is a current; netx feeds its first layer with spikes"
    if program.recurrent or program.schedule.period > 1:
        return "it has delayed synapses; netx holds feed-forward chains"
    order = program.in_order
    if program.readout.sources != (order[-1].id,):
        return f"the readout reads {', '.join(program.readout.sources)}, which is not the last layer alone"
    before = INPUT
    for p in order:
        into = list(program.into(p.id))
        if len(into) != 1 or into[0].src != before:
            sources = ", ".join(sorted({s.src for s in into}))
            clock = " (a constant current into a CubaLIF)" if any(s.src == CLOCK for s in into) else ""
            return f"population {p.id} reads {sources}{clock}, not {before} alone; netx holds plain chains"
        if reason := _layer_fault(p, into[0]):
            return reason
        before = p.id
    return None


def _layer_fault(p: Population, s: Synapse) -> str | None:
    if s.map.kind not in ("conv", "dense"):
        return f"synapse {s.id} is {s.map.kind}; netx has conv and dense layers"
    if s.map.kind == "conv" and max(*s.map.weight.shape[2:], *s.map.stride, *s.map.pad, s.map.groups) > BYTE_MAX:
        return f"synapse {s.id}: Lava keeps a kernel's geometry in int8; {BYTE_MAX} at most"
    if not s.map.weight.any():
        return f"synapse {s.id} has no weight but 0; netx fails on it"
    if (_bias(p) % BIAS_UNIT).any():
        return f"population {p.id}: a bias in 1/64 of a weight unit; netx holds whole units"
    return None


def write_net(path: Path, program: Program) -> None:
    """Writes the chain, whole or not at all. UnsupportedError says what stands in the way."""
    if reason := why_not(program):
        raise UnsupportedError(f"{path.name}: {reason}")
    write_hdf5(path, lambda file: _fill(file, program))


def _fill(memory: io.BytesIO, program: Program) -> None:
    import h5py

    with h5py.File(memory, "w") as file:
        plain = all(not s.exponent for s in program.synapses if s.map.kind == "dense")
        layers = _Layers(file.create_group("layer"), plain)
        layers.add("input", program.input_shape)
        for p in program.in_order:
            (s,) = program.into(p.id)
            layers.synapse(p, s, program.source_shape(s.src))


class _Layers:
    """The numbered groups of a .net; arrays in torch's order, sizes as (C, H, W). dense: dense maps stay dense."""

    def __init__(self, root: Any, dense: bool) -> None:
        self.root, self.dense, self.count, self.flat = root, dense, 0, False

    def add(self, kind: str, shape: tuple[int, ...]) -> Any:
        group = self.root.create_group(str(self.count))
        self.count += 1
        group["type"] = np.array([kind], dtype="S10")
        group["shape"] = np.array(shape, dtype=np.int64)
        return group

    def synapse(self, p: Population, s: Synapse, source: Shape) -> None:
        conv = s.map.kind == "conv" or not self.dense
        weight = s.map.weight.astype(np.int64) << s.exponent
        if conv and s.map.kind == "dense":
            weight = weight.reshape(-1, *source)
        if not conv and not self.flat:
            self.add("flatten", (int(np.prod(source)),))
            self.flat = True
        group = self.add("conv" if conv else "dense", p.shape if conv else (p.size,))
        group["weight"] = weight
        if conv:
            group["stride"], group["padding"] = np.array(s.map.stride), np.array(s.map.pad)
            group["dilation"], group["groups"] = np.array((1, 1)), s.map.groups
            group["inChannels"], group["outChannels"] = weight.shape[1] * s.map.groups, weight.shape[0]
            group["kernelSize"] = np.array(weight.shape[2:])
        else:
            group["outFeatures"], group["inFeatures"] = weight.shape[:2]
        bias = _bias(p) // BIAS_UNIT
        if bias.any():
            group["bias"] = bias.transpose(2, 1, 0) if conv else bias.reshape(-1)
        neuron = group.create_group("neuron")
        neuron["type"] = np.bytes_("CUBA")
        neuron["iDecay"], neuron["vDecay"], neuron["vThMant"] = p.du + 1, p.dv, p.vth
        neuron["refDelay"], neuron["gradedSpike"] = 1, False


def _bias(p: Population) -> np.ndarray:
    """In 1/64 of a weight unit, (C, H, W)."""
    return np.broadcast_to(kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent), p.shape)
