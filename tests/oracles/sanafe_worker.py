"""Runs a network in SANA-FE: JSON on stdin, JSON on stdout. Its own process and environment (SANA-FE is GPL-3).

in: {"steps", "populations": [{"name", "format", "threshold", "cores": [core of each neuron], "trains": [[0, 1, ...]] or
null}], "edges": [{"src", "dst", "pairs": [[i, j], ...], "weights": [...]}]}. A population with trains is an input.
out: {"energy": {"synapse", "soma", "network", "total"} in joules, "spikes": [[name, neuron, step], ...]}.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any


def run(given: dict[str, Any]) -> dict[str, Any]:
    import sanafe

    arch = sanafe.load_loihi()
    cores = [core for tile in arch.tiles for core in tile.cores]
    net, groups, inputs = sanafe.Network(), {}, 0
    for p in given["populations"]:
        lif = {"threshold": float(p["threshold"]), "leak_decay": 1.0, "reset_mode": "hard"}
        group = net.create_neuron_group(
            p["name"],
            len(p["cores"]),
            model_attributes={} if p["trains"] else lif,
            soma_hw_name="" if p["trains"] else "loihi_lif",
            default_synapse_hw_name=f"loihi_{p['format']}_synapse",
            log_spikes=True,
        )
        for i, core in enumerate(p["cores"]):
            if p["trains"]:
                train = {"spikes": p["trains"][i]}
                group[i].set_attributes(soma_hw_name=f"loihi_inputs[{inputs}]", model_attributes=train, log_spikes=True)
                inputs += 1
            group[i].map_to_core(cores[core])
        groups[p["name"]] = group
    for e in given["edges"]:
        pairs = [(i, j) for i, j in e["pairs"]]
        groups[e["src"]].connect_neurons_sparse(groups[e["dst"]], {"weight": [float(w) for w in e["weights"]]}, pairs)
    chip = sanafe.SpikingChip(arch)
    chip.load(net)
    result = chip.sim(given["steps"], timing_model="simple", spike_trace=True)
    spikes = [[*str(n).split("."), step] for step, fired in enumerate(result["spike_trace"]) for n in fired]
    energy = {name: result["energy"][name] for name in ("synapse", "soma", "network", "total")}
    return {"energy": energy, "spikes": [[name, int(neuron), step] for name, neuron, step in spikes]}


if __name__ == "__main__":
    task = json.load(sys.stdin)
    answer = os.dup(1)  # SANA-FE writes its progress to stdout
    os.dup2(2, 1)
    with contextlib.closing(os.fdopen(answer, "w")) as out:
        json.dump(run(task), out)
