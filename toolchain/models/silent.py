"""Why a population never fires: the likely cause, with its mend.

The first silent population is asked, in order of depth: what is silent behind it may be silent for want of its spikes.
How the file was read comes first, since that is what users stumble over; then what its membrane reaches on the samples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snnas.export.compiler.observed_ranges import Recording, observe
from snnas.export.graph.graph import CubaLif, Graph, If, Lif
from snnas.export.graph.neurons import SPIKING
from snnas.hw_sim.limits import STATE_SHIFT
from snnas.hw_sim.program import CLOCK, HOSTED, Program
from snnas.hw_sim.simulate.silence import Silence
from snnas.hw_sim.simulate.simulator import simulate_input

SLOW = 1e-3  # a membrane that moves by less of its input in a timestep is one whose dt is another unit
FEW_COUNTS = 15  # bytes up to here are events that were counted, not pixels
WATCHED = 32  # samples on which a silent membrane is watched
FEW_STEPS = 3  # a largest weight of so many steps is hardly a weight


def explained(silence: Silence, program: Program | None, x: np.ndarray | None, graph: Graph | None) -> Silence:
    """The silence with its likely cause. x: the samples, as the program takes them. graph: what was compiled.

    program: None of a graph that runs in float, whose populations are its own nodes.
    """
    if not silence.silent:
        return silence
    name = silence.silent[0]
    node_of = {name: name} if program is None else program.meta.get("node_of", {})
    node = None if graph is None else graph.nodes.get(node_of.get(name, ""))
    cause, options = _of_unit(name, node, graph) or (None, None)
    analogue = graph is not None if program is None else program.input_kind == "analogue"
    if cause is None and x is not None and analogue and _counted(x):
        most = round(float(x.max()) * 255)
        cause = f"x holds whole bytes up to {most}, event counts perhaps, which are read as x / 255"
        cause += "; save them as float32 to have them read as they are"
    if cause is None and program is not None and x is not None and len(x):
        cause = _of_reach(name, program, x[:WATCHED])
    return replace(silence, cause=cause, options=options)


def _of_unit(name: str, node: Any, graph: Graph | None) -> tuple[str, str | None] | None:
    """A timestep that is far smaller than what the neuron's constants are counted in."""
    if graph is None or not isinstance(node, If | Lif | CubaLif):
        return None
    dt = graph.convention.dt
    if isinstance(node, If):
        if dt * float(np.abs(node.r).max()) >= SLOW:
            return None
        threshold = float(node.v_threshold.min())
        text = f"{name} is an IF neuron: at dt = {dt:g} s a timestep adds {dt * float(node.r.max()):g} of its input"
        text += f" to a membrane whose threshold is {threshold:g}"
    else:
        tau = node.tau if isinstance(node, Lif) else node.tau_mem
        if dt / float(tau.min()) >= SLOW:
            return None
        text = f"{name} leaks with tau = {float(tau.min()):g} s, {float(tau.min()) / dt:,.0f} timesteps of {dt:g} s"
    if _all_slow(graph):
        return f"{text}; try --dt 1, or name the tool that wrote it with --convention", "--dt 1"
    return f"{text}; name the tool that wrote it with --convention, or set --dt", None


def _all_slow(graph: Graph) -> bool:
    """Whether a timestep of 1 fits every neuron: no time constant lies below it."""
    neurons = [n for n in graph.nodes.values() if isinstance(n, SPIKING)]
    taus = [getattr(n, key) for n in neurons for key in ("tau", "tau_mem", "tau_syn") if hasattr(n, key)]
    return all(float(tau.min()) >= 1 for tau in taus)


def _counted(x: np.ndarray) -> bool:
    """Whether samples read as x / 255 look like counts: whole and few."""
    most = float(x.max(initial=0)) * 255
    return 0 < most <= FEW_COUNTS + 0.5 and bool((np.abs(x * 255 - np.rint(x * 255)) < 1e-3).all())


def _of_reach(name: str, program: Program, x: np.ndarray) -> str | None:
    """What the membrane reaches on the samples, and whether rounding left its weights anything."""
    p = program.population(name)
    largest = max((int(np.abs(s.map.weight).max(initial=0)) for s in program.into(name) if s.src != CLOCK), default=-1)
    reached, fed = 0, bool(any(h.dst == name for h in program.host))
    for trace, currents in simulate_input(program, x, batch=len(x)):
        given = x > 0 if program.input_kind != "analogue" else None
        reached = observe(program, name, Recording(trace=trace, currents=currents, spikes_in=given))["v"].high
        fed |= any(s.src in HOSTED or bool(trace.spikes[s.src].any()) for s in program.into(name))
    if not fed:
        return f"nothing arrives at {name}: no source of it fires"
    share = max(0.0, reached / (int(np.max(p.vth)) << STATE_SHIFT)) if np.max(p.vth) else 0.0
    said = f"the membrane of {name} reaches {share:.1%} of its threshold on these samples"
    if 0 <= largest <= FEW_STEPS:
        steps = f"{largest} step{'' if largest == 1 else 's'}"
        return f"rounding left the weights into {name} at most {steps}, and {said}; give --bits 8, or calibrate"
    return f"{said}: its threshold is out of reach; lower it, scale the input, or see snnas whose for its convention"
