"""Runs neurons, networks and weights in nengo-loihi's emulator: JSON on stdin, JSON on stdout. Its own environment.

in, one of:
  {"neurons": [{"dv", "vth", "bias": [n], "current": [T][n], "refractory"?, "vmin"?}]}, in 1/64 of a weight unit
  {"network": {"steps", "inputs", "spikes": [[step, i]], "populations": [{"name", "size", "dv", "vth"}],
    "synapses": [{"src", "dst", "weight": [targets][sources], "exponent"}]}}; src "input" is the input
  {"mantissas": [n], "exponent"}: what acts of 9-bit mixed-sign mantissas; {"overflow": [n], "bits"}
out: [{"u", "v", "spikes"}] per group, {name: {"v", "spikes"}}, or [n]. All arrays are (T, n).
"""

from __future__ import annotations

import json
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

warnings.simplefilter("ignore")  # overflow is a warning there; what it does is compared

from nengo_loihi.block import Axon, LoihiBlock, Synapse, SynapseConfig  # noqa: E402
from nengo_loihi.builder.discretize import array_to_int, discretize_weights, overflow_signed  # noqa: E402
from nengo_loihi.emulator.interface import BlockInfo, CompartmentState, EmulatorInterface  # noqa: E402
from nengo_loihi.inputs import SpikeInput  # noqa: E402


def block(size: int, given: dict[str, Any], label: str = "") -> LoihiBlock:
    """A block as it stands after discretisation; du = 4095, so that the current has no memory."""
    made = LoihiBlock(size, label=label)
    c = made.compartment
    for name, value in (("decay_u", 4095), ("decay_v", given["dv"]), ("vth", given["vth"] << 6)):
        setattr(c, name, np.full(size, value, dtype=np.int32))
    c.bias = np.zeros(size, dtype=np.int32) + np.array(given.get("bias", 0), dtype=np.int32)
    c.refract_delay[:] = given.get("refractory", 1)
    c.scale_u = c.scale_v = False
    c.vmin, c.vmax = given.get("vmin", -(2**23) + 1), 2**23 - 1
    return made


def neurons(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rng, found = np.random.RandomState(0), []
    for group in groups:
        state = CompartmentState(BlockInfo([block(len(group["bias"]), group)]), strict=False)
        rows: dict[str, Any] = {"u": [], "v": [], "spikes": []}
        for current in group["current"]:
            state.advance_input()
            state.input[0] += np.array(current, dtype=np.int32)
            state.update(rng)
            for name, value in (("u", state.current), ("v", state.voltage), ("spikes", state.spiked)):
                rows[name].append(value.astype(int).tolist())
        found.append(rows)
    return found


def network(given: dict[str, Any]) -> dict[str, Any]:
    source = SpikeInput(given["inputs"])
    sources: dict[str, Any] = {"input": source}
    for p in given["populations"]:
        sources[p["name"]] = block(p["size"], p, p["name"])
    blocks = list(sources.values())[1:]
    for s in given["synapses"]:
        weight = np.array(s["weight"], dtype=np.float32).T
        synapse = Synapse(len(weight))
        synapse.set_weights(2 * weight)  # of nine bits the lowest one is lost in mixed-sign mode
        synapse.format(weight_exp=s["exponent"] - 1)
        for w in synapse.weights:
            array_to_int(w, discretize_weights(synapse.synapse_cfg, w))
        sources[s["dst"]].add_synapse(synapse)
        axon = Axon(len(weight))
        axon.target = synapse
        axon.set_compartment_axon_map(np.arange(len(weight)))
        sources[s["src"]].add_axon(axon)
    for step in range(given["steps"]):
        source.add_spikes(step + 1, [i for t, i in given["spikes"] if t == step])
    emulator = EmulatorInterface(SimpleNamespace(blocks=blocks, inputs=[source], probes=[], dt=0.001), seed=0)
    found: dict[str, Any] = {b.label: {"v": [], "spikes": []} for b in blocks}
    for _ in range(given["steps"]):
        emulator.step()
        for b, part in emulator.block_info.slices.items():
            found[b.label]["v"].append(emulator.compartment.voltage[part].tolist())
            found[b.label]["spikes"].append(emulator.compartment.spiked[part].astype(int).tolist())
    return found


def run(given: dict[str, Any]) -> Any:
    if "neurons" in given:
        return neurons(given["neurons"])
    if "network" in given:
        return network(given["network"])
    if "overflow" in given:
        return overflow_signed(np.array(given["overflow"], dtype=np.int64), given["bits"])[0].tolist()
    form = SynapseConfig(fanout_type=1, weight_bits=7, weight_exp=given["exponent"])
    return discretize_weights(form, np.array(given["mantissas"], dtype=np.float32)).tolist()


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
