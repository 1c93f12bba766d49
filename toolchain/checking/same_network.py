"""Whether a program still is the network of its graph: its numbers within rounding (SN211), its spikes (SN311).

A program whose weights were permuted has the right shapes, leaks and hashes; it is another network all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Link, trace
from snnas.export.compiler.grids import step
from snnas.export.compiler.parts import own_spikes
from snnas.export.compiler.quantisation_error import PopulationError, quantisation_errors
from snnas.export.compiler.readout import RealReadout
from snnas.export.compiler.rounding import CLIPS
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import CLOCK, Population, Program, Synapse
from snnas.hw_sim.readout import Readout
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book

STEPS = 1.0  # of a synapse's weights, the RMS of their rounding: 0.29 plain, to 0.47 with error feedback (measured)
FAR = 6.0  # steps, of a clipped weight of the readout from the end of the range
SPARE = 0.02  # of a step, or of a threshold: rounding in float64
RECORDED = 1e-6  # relative
SPIKES = 0.6  # of a population's spikes, those that the other side has not: to 0.26 at 4 bits, 0.85 of shuffled weights
ENOUGH = 8  # spikes of both sides, of which a share says something
ANSWERS = 0.5  # of the samples, those that both classify alike
Tree = Mapping[str, Any]


def check_rounding(book: Book, graph: Graph, program: Program, again: Program, report: Tree) -> None:
    """SN211: weights, thresholds, biases and readout are the graph's, rounded. again: the graph compiled once more.

    A fine-tuned program's differ on purpose: of it the recorded errors must be the measured ones.
    """
    tuned = isinstance(report.get("finetune"), dict) and bool(report["finetune"].get("best_epoch"))
    errors, recorded = quantisation_errors(graph, program), report.get("quantisation")
    problem = None if tuned else _beyond_rounding(graph, program, again, errors)
    if problem is None and isinstance(recorded, Mapping):
        problem = _not_recorded(errors, recorded)
    good = "fine-tuned, as recorded" if tuned else "every number within its rounding"
    book.judge("SN211", "program's numbers", problem, good, book.subject / "program.npz")


def _beyond_rounding(
    graph: Graph, program: Program, again: Program, errors: Mapping[str, PopulationError]
) -> str | None:
    circuit = schedule(trace(graph, program.input_kind, soft_reset=True)).circuit
    links = {k.id: k for k in circuit.links}
    for p in program.in_order:
        if p.role != "neuron":
            continue
        off = errors[p.id].threshold * p.scale * circuit.group(p.id).threshold if p.id in errors else 0.0
        if abs(off) > 1 + SPARE:
            return f"population {p.id}: its threshold is {off:+.3g} steps from the graph's; export again"
        for s in program.into(p.id):
            steps = _steps_off(s, links[s.id], p, program.weight_bits) if s.id in links else 0.0
            if steps > STEPS:
                return f"synapse {s.id}: its weights are {steps:.3g} steps (RMS) from the graph's; export again"
        real = circuit.group(p.id).bias + (0.0 if circuit.group(p.id).drive is None else circuit.group(p.id).drive)
        if (worst := _bias_off(program, p, np.asarray(real))) > 1 + SPARE:
            return f"population {p.id}: its bias is {worst:.3g} steps from the graph's; export again"
    for ours, theirs in zip(again.host, program.host, strict=True):
        if ours.gain != theirs.gain or not np.array_equal(ours.map.weight, theirs.map.weight):
            return f"host map {ours.id} is not the graph's; export again"
    return _readout_off(circuit.readout, again.readout, program.readout, program.timesteps)


def _readout_off(real: RealReadout, mine: Readout, read: Readout, timesteps: int) -> str | None:
    """What of a readout is not the graph's. mine: compiled once more, without the samples that it was rounded by."""
    again = "export again"
    if all(np.array_equal(a.weight, b.weight) for a, b in zip(mine.readings, read.readings, strict=True)):
        same = np.array_equal(mine.bias, read.bias) and np.array_equal(mine.response, read.response)
        return None if same else f"the readout's bias or response is not the graph's; {again}"
    if step(real.weights) is not None:  # then nothing is rounded, whatever the samples are
        return f"the readout's weights are not the graph's; {again}"
    response = real.response(timesteps)
    finest = float(np.abs(read.response).max() / np.abs(response).max())
    bias = real.still(timesteps) * read.scale * 64
    off = max(float(np.abs(read.response - response * finest).max()), float(np.abs(read.bias - bias).max()))
    if off > 1:
        return f"the readout's bias or response is {off:.3g} steps from the graph's; {again}"
    units = real.weights * (read.scale / finest)
    low, high = limits.weight_range(limits.WEIGHT_BITS)
    largest = float(np.abs(units).max())
    if not high - SPARE <= largest <= CLIPS[-1] * (high + SPARE):
        return f"the readout's largest weight is {largest:.4g} steps, expected {high} to {CLIPS[-1] * high:g}; {again}"
    within = (units > low) & (units < high)
    error = np.concatenate([r.weight for r in read.readings], axis=1) - units
    steps = float(np.sqrt(np.square(error[within]).mean())) if within.any() else 0.0
    clipped = float(np.abs(error[~within] - (units.clip(low, high) - units)[~within]).max(initial=0))
    if steps > STEPS or clipped > FAR:
        return f"the readout's weights are {max(steps, clipped):.3g} steps from the graph's; {again}"
    return None


def _steps_off(s: Synapse, link: Link, p: Population, bits: int) -> float:
    """The RMS of a synapse's rounding, in steps of its weights; what was clipped is left out."""
    real = link.map.weight * p.scale / (1 << s.exponent)
    low, high = limits.weight_range(bits)
    within = (real > low) & (real < high)
    error = (s.map.weight - real)[within]
    return float(np.sqrt(np.square(error).mean())) if error.size else 0.0


def _bias_off(program: Program, p: Population, real: np.ndarray) -> float:
    """The largest error of what is added at every timestep, in steps of its rounding."""
    ours = kernels.effective_bias(p.bias.astype(np.int64), p.bias_exponent).astype(np.float64)
    step = float(1 << p.bias_exponent)
    for s in program.into(p.id):
        if s.src == CLOCK:
            ours = ours + ((s.map.weight.astype(np.int64) << s.exponent) << limits.STATE_SHIFT).reshape(p.shape)
            step = float(1 << limits.STATE_SHIFT)
    return float(np.abs(ours - real * p.scale * (1 << limits.STATE_SHIFT)).max()) / step


def _not_recorded(errors: Mapping[str, PopulationError], recorded: Tree) -> str | None:
    for name, error in errors.items():
        said = recorded.get(name)
        for key in ("weight", "threshold", "bias"):
            was, now = said.get(key) if isinstance(said, Mapping) else None, getattr(error, key)
            if type(was) not in (int, float) or abs(was - now) > RECORDED * max(1.0, abs(now)):
                return f"population {name}: its {key} is {now:.6g} off the graph's, recorded was {str(was)[:20]}"
    return None


def check_spikes(book: Book, program: Program, fired: Fired, run: interpreter.Run) -> None:
    """SN311: the share of spikes in which graph and program differ, and of the samples that they classify alike."""
    node_of, found = program.meta.get("node_of", {}), dict[str, tuple[int, int]]()
    for p in program.in_order:
        theirs = run.spikes.get(node_of.get(p.id))
        if p.role == "neuron" and theirs is not None:
            ours = fired.spikes[p.id]
            graph = own_spikes(program, p.id, theirs).reshape(ours.shape)
            found[p.id] = int((ours != graph).sum()), int(ours.sum()) + int(graph.sum())
    shares = {name: differ / of for name, (differ, of) in found.items() if of >= ENOUGH}
    worst = max(shares, key=lambda name: shares[name], default="")
    whole = sum(differ for differ, _ in found.values()) / max(1, sum(of for _, of in found.values()))
    agree = float((fired.answers.argmax(axis=1) == run.predictions).mean())
    told = f"{whole:.2%} of their spikes differ, {agree:.1%} of the samples are classified alike"
    if worst:
        told += f"; most of {worst}: {shares[worst]:.2%}"
    apart = agree < ANSWERS or (bool(worst) and shares[worst] > SPIKES)
    problem = f"{told}; at most {SPIKES:.0%} may, at least {ANSWERS:.0%} must" if apart else None
    book.judge("SN311", "program against graph's spikes", problem, told, book.subject / "program.npz")
