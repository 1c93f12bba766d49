"""Runs neurons, networks and weights in brian2-loihi: JSON on stdin, JSON on stdout. Its own process and environment.

The same questions and answers as nengo_loihi_worker.py, but ``overflow`` and ``vmin``, which it has not, and with a
``decay_current``. There is no bias in it either: the bias is added to the current at every step. ``u`` is its I between
the synapses and the neurons.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import brian2
import numpy as np
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiStateMonitor,
    LoihiSynapses,
    synapse_sign_mode,
)

brian2.prefs.codegen.target = "numpy"


def group(size: int, given: dict[str, Any]) -> LoihiNeuronGroup:
    """decay_I = 4096 is du = 4095: the chip and the other simulators add one."""
    given = {"refractory": 1, "decay_current": 4096} | given
    decays = {"decay_v": given["dv"], "decay_I": given["decay_current"]}
    return LoihiNeuronGroup(size, given["refractory"], given["vth"], **decays)


def rows(values: Any) -> list[list[int]]:
    """(n, T) floats that are integers -> (T, n)."""
    exact = np.asarray(values).T
    assert (exact == np.rint(exact)).all()
    return exact.astype(np.int64).tolist()


def fired(monitor: Any, shape: tuple[int, int]) -> list[list[int]]:
    found = np.zeros(shape, dtype=int)
    found[np.rint(monitor.t / brian2.ms).astype(int), np.asarray(monitor.i)] = 1
    return found.tolist()


def neurons(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    network, watched, steps = LoihiNetwork(), [], len(groups[0]["current"])
    for given in groups:
        made = group(len(given["bias"]), given)
        drive = np.array(given["current"], dtype=float) + np.array(given["bias"], dtype=float)
        made.namespace["drive"] = brian2.TimedArray(drive, dt=1 * brian2.ms)
        made.run_regularly("I += drive(t, i)", when="synapses")
        current = brian2.StateMonitor(made, "I", record=True, when="groups", order=-1)
        voltage, spikes = LoihiStateMonitor(made, "v"), brian2.SpikeMonitor(made)
        network.add(made, current, voltage, spikes)
        watched.append((current, voltage, spikes, drive.shape))
    network.run(steps)
    return [{"u": rows(i.I), "v": rows(v.v), "spikes": fired(s, shape)} for i, v, s, shape in watched]


def network(given: dict[str, Any]) -> dict[str, Any]:
    steps = given["steps"]
    spikes = np.array(given["spikes"], dtype=int).reshape(-1, 2)
    sources: dict[str, Any] = {"input": LoihiSpikeGeneratorGroup(given["inputs"], spikes[:, 1], spikes[:, 0])}
    for p in given["populations"]:
        sources[p["name"]] = group(p["size"], p)
    net = LoihiNetwork(*sources.values())
    for s in given["synapses"]:
        weight = np.array(s["weight"])
        j, i = np.nonzero(weight)
        form = {"w_exp": s["exponent"] - 1, "sign_mode": synapse_sign_mode.MIXED}
        synapse = LoihiSynapses(sources[s["src"]], sources[s["dst"]], **form)
        synapse.connect(i=i, j=j)
        synapse.w = 2 * weight[j, i]
        net.add(synapse)
    found = {}
    for p in given["populations"]:
        made = sources[p["name"]]
        found[p["name"]] = (LoihiStateMonitor(made, "v"), brian2.SpikeMonitor(made), (steps, p["size"]))
        net.add(*found[p["name"]][:2])
    net.run(steps)
    return {name: {"v": rows(v.v), "spikes": fired(s, shape)} for name, (v, s, shape) in found.items()}


def weights(mantissas: list[int], exponent: int) -> list[int]:
    made = LoihiNeuronGroup(len(mantissas))
    synapse = LoihiSynapses(made, made, w_exp=exponent, sign_mode=synapse_sign_mode.MIXED)
    synapse.connect(j="i")
    return synapse.calcActualWeights(np.array(mantissas)).tolist()


def run(given: dict[str, Any]) -> Any:
    if "neurons" in given:
        return neurons(given["neurons"])
    if "network" in given:
        return network(given["network"])
    return weights(given["mantissas"], given["exponent"])


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
