"""Whether a program still is the network of its graph: its numbers within rounding (SN211), its spikes (SN311).

A program whose weights were permuted has the right shapes, leaks and hashes; it is another network all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snnas.export.compiler.circuit import Link, trace
from snnas.export.compiler.exactness import brought
from snnas.export.compiler.grids import step
from snnas.export.compiler.parts import own_spikes
from snnas.export.compiler.quantisation_error import PopulationError, quantisation_errors
from snnas.export.compiler.readout import RealReadout, side_by_side
from snnas.export.compiler.rounding import CLIPS
from snnas.export.compiler.schedule import schedule
from snnas.export.executors import interpreter
from snnas.export.graph.graph import Graph
from snnas.hw_sim import limits
from snnas.hw_sim.entries import Entries, same_places, values_of
from snnas.hw_sim.program import CLOCK, Population, Program, Synapse
from snnas.hw_sim.readout import Readout, answers
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.layer_by_layer import driven_by
from snnas.toolchain.data.statistics import wilson

STEPS = 1.0  # of a synapse's weights, the RMS of their rounding: 0.29 plain, to 0.47 with error feedback (measured)
FAR = 6.0  # steps, of a clipped weight of the readout from the end of the range
SPARE = 0.02  # of a step, or of a threshold: rounding in float64
RECORDED = 1e-6  # relative
SPIKES = 0.6  # of a population's spikes, those that the other side has not: to 0.26 at 4 bits, 0.85 of shuffled weights
LAYER = 0.3  # the same, of a population that the graph's spikes drive: to 0.17 at 4 bits, from 0.71 of shuffled weights
ENOUGH = 8  # spikes of both sides, of which a share says something
ANSWERS = 0.5  # of the samples, those that both classify alike
Tree = Mapping[str, Any]


def check_rounding(
    book: Book, graph: Graph, program: Program, again: Program, report: Tree, *, lacks: str | None, trusted: bool
) -> dict[str, PopulationError] | None:
    """SN211: every integer of the program is the one that the graph compiles to. What rounding did; None in a breach.

    again: the graph compiled once more. lacks: why that is not the export's own program, which is of an older version,
    and is held to its rounding on the whole where the caller trusts that. A fine-tuned program differs on purpose: of
    it the number of weights that do, and the recorded errors, must be the measured ones.
    """
    tuned = report["finetune"] if is_tuned(report) else None
    errors, recorded = quantisation_errors(graph, program), report.get("quantisation")
    good = "every number is the one that the graph compiles to"
    if lacks and not trusted:
        problem = (
            f"an export of an older version, {lacks}: its numbers cannot be made again; snnas export --force, or "
            "--trust-report, which takes weights that are right on the whole"
        )
    elif lacks and tuned is not None:
        problem, good = None, "fine-tuned by an older version, held to nothing (--trust-report)"
    elif lacks:
        problem, good = _beyond_rounding(graph, program, again, errors), "within rounding on the whole (--trust-report)"
    elif tuned is not None:
        problem = other_number(again, program, but=TUNED) or _otherwise_tuned(again, program, tuned)
        good = "fine-tuned, as recorded"
    else:
        problem = other_number(again, program)
    if problem is None and isinstance(recorded, Mapping):
        problem = _not_recorded(errors, recorded)
    sound = book.judge("SN211", "program's numbers", problem, good, book.subject / "program.npz")
    return errors if sound else None


def is_tuned(report: Tree) -> bool:
    """Whether report.json says that the weights were learnt after the export."""
    finetune = report.get("finetune")
    return isinstance(finetune, Mapping) and bool(finetune.get("best_epoch"))


# What fine-tuning trains, as the names of ``_numbers`` begin.
TUNED = ("threshold of", "bias of", "weights of synapse", "the readout's weights")


def other_number(again: Program, program: Program, *, but: tuple[str, ...] = ()) -> str | None:
    """The first array of a program that is not what its graph compiles to (again), in words.

    but: how the names of those begin that may differ.
    """
    ours, theirs = (dict(n for n in _numbers(p) if not n[0].startswith(but)) for p in (again, program))
    for name in dict.fromkeys((*ours, *theirs)):
        wanted, found = ours.get(name), theirs.get(name)
        if wanted is None or found is None or wanted.shape != found.shape:
            return f"{name} is not what the graph compiles to; export again"
        if (unlike := wanted != found).any():
            place = tuple(int(i) for i in np.argwhere(unlike)[0])
            where = f" at {place}" if place else ""
            return (
                f"{name}: {int(unlike.sum()):,} of {unlike.size:,} are not what the graph compiles to; the "
                f"first{where} is {found[place]:g} and should be {wanted[place]:g}; export again"
            )
    return None


def _numbers(program: Program) -> Iterator[tuple[str, np.ndarray]]:
    """Everything that decides what a program computes, beside its structure."""
    for p in program.populations:
        yield f"scale of population {p.id}", np.asarray(p.scale)
        yield f"threshold of population {p.id}", np.asarray(p.vth)
        yield f"leaks of population {p.id}", np.asarray((p.dv, p.du))
        yield f"what a spike of population {p.id} takes", np.asarray(p.taken)
        yield f"exponent of population {p.id}'s bias", np.asarray(p.bias_exponent)
        yield f"bias of population {p.id}", p.bias
    for s in program.synapses:
        yield f"exponent of synapse {s.id}", np.asarray(s.exponent)
        yield f"weights of synapse {s.id}", s.map.weight
        for of, places in (("columns", s.map.indices), ("rows", s.map.indptr)):
            if places is not None:
                yield f"{of} of synapse {s.id}", places
    for h in program.host:
        yield f"gain of host map {h.id}", np.asarray(h.gain)
        yield f"weights of host map {h.id}", h.map.weight
    for k in program.readout.readings:
        yield f"the readout's weights of {k.src} at distance {k.distance}", values_of(k.weight)
        if isinstance(k.weight, Entries):
            yield f"columns of the readout's weights of {k.src}", k.weight.indices
            yield f"rows of the readout's weights of {k.src}", k.weight.indptr
    yield "the readout's scale", np.asarray(program.readout.scale)
    yield "the readout's bias", program.readout.bias
    yield "the readout's response", program.readout.response


def _otherwise_tuned(before: Program, program: Program, finetune: Tree) -> str | None:
    """Whether fine-tuning has changed another number of weights than report.json says."""
    compiled = {s.id: s.map.weight for s in before.synapses}
    changed = 0
    for s in program.synapses:
        was, now = compiled.get(s.id), s.map.weight
        alike = was is not None and was.shape == now.shape
        changed += int(np.count_nonzero(was != now)) if alike else now.size
    said = finetune.get("weights_changed")
    if said == changed:
        return None
    return f"{changed} weights are not what the graph compiles to; fine-tuning changed {str(said)[:20]}; export again"


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
    pairs = [(a.weight, b.weight) for a, b in zip(mine.readings, read.readings, strict=True)]
    if not all(same_places(a, b) for a, b in pairs):
        return f"the readout's weights join other neurons than the graph's; {again}"
    if all(np.array_equal(values_of(a), values_of(b)) for a, b in pairs):
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
    error = side_by_side([r.weight for r in read.readings]) - units
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
    clocked = any(s.src == CLOCK for s in program.into(p.id))
    step = float(1 << (limits.STATE_SHIFT if clocked else p.bias_exponent))
    return float(np.abs(brought(p, program) - real * p.scale * (1 << limits.STATE_SHIFT)).max()) / step


def _not_recorded(errors: Mapping[str, PopulationError], recorded: Tree) -> str | None:
    for name, error in errors.items():
        said = recorded.get(name)
        for key in ("weight", "threshold", "bias"):
            was, now = said.get(key) if isinstance(said, Mapping) else None, getattr(error, key)
            if type(was) not in (int, float) or abs(was - now) > RECORDED * max(1.0, abs(now)):
                return f"population {name}: its {key} is {now:.6g} off the graph's, recorded was {str(was)[:20]}"
    return None


def check_spikes(
    book: Book, program: Program, fired: Fired, run: interpreter.Run, proved: np.ndarray | None = None
) -> None:
    """SN311: the share of spikes in which graph and program differ, and of the samples that they classify alike.

    proved: the recorded samples, where every number of the program is the one that the graph compiles to. Where spikes
    are beyond the tolerance they are then judged layer by layer, and warned of where only rounding has added up; that
    is no excuse for answers, which are what is deployed.
    """
    node_of, graphs = program.meta.get("node_of", {}), dict[str, np.ndarray]()
    for p in program.in_order:
        theirs = run.spikes.get(node_of.get(p.id))
        if p.role == "neuron" and theirs is not None:
            graphs[p.id] = own_spikes(program, p.id, theirs).reshape(fired.spikes[p.id].shape)
    told, shares, agree = _compared(graphs, fired.spikes, fired.answers, run)
    apart = agree < ANSWERS or max((differ / of for differ, of in shares), default=0.0) > SPIKES
    place, problem = book.subject / "program.npz", f"{told}; at most {SPIKES:.0%} may, at least {ANSWERS:.0%} must"
    if not apart or proved is None:
        book.judge("SN311", "program against graph's spikes", problem if apart else None, told, place)
        return
    alone, handed = driven_by(program, proved, graphs)
    each, shares, also = _compared(graphs, alone, answers(program.readout, handed, program.timesteps), run)
    each = f"each population by itself, driven by the graph's spikes: {each}"
    if min(agree, also) < ANSWERS or any(wilson(differ, of)[0] > LAYER for differ, of in shares):
        book.add("SN311", "program against graph's spikes", "failed", f"{problem}; {each}", place)
    else:
        added = "rounding alone, which adds up from layer to layer: export with more --bits, or fine-tune"
        book.add("SN311", "program against graph's spikes", "warned", f"{told}; {added}; {each}", place)


def _compared(
    graphs: Mapping[str, np.ndarray], spikes: Mapping[str, np.ndarray], logits: np.ndarray, run: interpreter.Run
) -> tuple[str, list[tuple[int, int]], float]:
    """How far spikes and answers are from the graph's: in words; of each population with enough spikes how many of how
    many are one side's alone; the share of the samples that both classify alike.
    """
    found = {
        name: (int((spikes[name] != graph).sum()), int(spikes[name].sum()) + int(graph.sum()))
        for name, graph in graphs.items()
    }
    enough = {name: counted for name, counted in found.items() if counted[1] >= ENOUGH}
    shares = {name: differ / of for name, (differ, of) in enough.items()}
    whole = sum(differ for differ, _ in found.values()) / max(1, sum(of for _, of in found.values()))
    agree = float((logits.argmax(axis=1) == run.predictions).mean())
    told = f"{whole:.2%} of the spikes fired are missing on the other side, "
    told += f"{agree:.1%} of the samples are classified alike"
    if shares:
        worst = max(shares, key=lambda name: shares[name])
        told += f"; most of {worst}: {shares[worst]:.2%}"
    return told, list(enough.values()), agree
