"""``snnas simulate``: what a program does on samples. No mapping, no prices, no run folder, no torch.

Intervals are 95 % bootstrap intervals over the samples given (Wilson's of the accuracy).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from snnas.export.compiler.observed_ranges import prove_or_observe
from snnas.hw_sim import early_exit
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_text, sha256
from snnas.hw_sim.linear import fan_out
from snnas.hw_sim.map.wiring import wirings
from snnas.hw_sim.program import CLOCK, INPUT, Program
from snnas.hw_sim.simulate.sampling import Ran
from snnas.hw_sim.simulate.silence import Answers
from snnas.hw_sim.simulate.simulator import Trace, simulate_input
from snnas.toolchain.data.statistics import balanced_accuracy, bootstrap, uneven, wilson
from snnas.toolchain.models.open import Subject
from snnas.toolchain.models.silent import explained
from snnas.toolchain.models.stream import decided, in_a_row
from snnas.toolchain.output.stderr import Narrator

SCHEMA = "snnas.simulate/1"
C_SAMPLES = 32  # that emulated cores run


def simulate(
    subject: Subject, narrator: Narrator, stream: int | None = None, kept: list[np.ndarray] | None = None
) -> dict[str, Any]:
    """Accuracy (with labels), activity, synops and register ranges of the program on the samples.

    stream: that many samples one after the other, without a reset between them, as well. kept: is given the answers,
    (B, classes) at a time. UnsupportedError where a register overflows on them, which a chip would not report.
    """
    x = subject.samples
    program = subject.program
    ranges = prove_or_observe(program, x, batch=subject.batch)
    reach: dict[str, np.ndarray] = {}
    for w in wirings(program).values():
        reach[w.src] = reach.get(w.src, 0) + fan_out(w.map, w.src_shape)
    spikes: dict[str, list[np.ndarray]] = {p.id: [] for p in program.in_order}
    synops, predictions, timesteps = [], [], list[np.ndarray]()
    logits: list[np.ndarray] = [] if kept is None else kept
    answers = Answers()
    rule, ends = early_exit.rule_of(program), list[early_exit.Exits]()
    clock = program.timesteps * int(reach[CLOCK].sum()) if CLOCK in reach else 0
    with narrator.progress(f"integer simulation of {len(x)} samples") as advance:
        for trace, spikes_in, _ in runs(subject):
            sums = {name: s.sum(axis=1, dtype=np.int64) for name, s in trace.spikes.items()}
            if spikes_in is not None:
                sums[INPUT] = spikes_in.sum(axis=1, dtype=np.int64)
            synops.append(clock + sum((s * reach[n]).sum(axis=(1, 2, 3)) for n, s in sums.items() if n in reach))
            for name, total in spikes.items():
                total.append(sums[name].sum(axis=(1, 2, 3)))
            predictions.append(trace.predictions)
            logits.append(trace.logits)
            answers.add(trace.logits)
            ends += [] if rule is None else [early_exit.stops(program, rule, trace.spikes)]
            settled = decided(program, trace.spikes)
            timesteps += [] if settled is None else [settled]
            advance(sum(map(len, predictions)), len(x))
    each = {name: np.concatenate(parts) for name, parts in spikes.items()}
    ours = [p for p in program.in_order if p.role == "neuron"]
    fired = np.sum([each[p.id] for p in ours], axis=0)
    slots = sum(p.size for p in ours) * program.timesteps
    events = np.concatenate(synops)
    silence = answers.with_spikes({p.id: int(each[p.id].sum()) for p in ours})
    predicted = np.concatenate(predictions)
    return {
        "schema": SCHEMA,
        **head(subject),
        **_in_c(subject, np.concatenate(logits), narrator),
        "accuracy": accuracy(predicted, subject.y),
        **({"decision": _decision(program, np.concatenate(timesteps), subject.seed)} if timesteps else {}),
        **({} if rule is None else {"early_exit": _early_exit(subject, rule, early_exit.joined(ends), predicted)}),
        **({"stream": _stream(subject, predicted, stream)} if stream is not None else {}),
        "sar": _interval(fired / slots, subject.seed),
        "spikes_per_inference": _interval(fired, subject.seed),
        "overhead_spikes_per_inference": float(sum(each[p.id].mean() for p in program.in_order if p.role != "neuron")),
        "synops_per_inference": _interval(events, subject.seed),
        "populations": [
            {
                "id": p.id,
                "role": p.role,
                "shape": list(p.shape),
                "neurons": p.size,
                "spikes_per_inference": float(each[p.id].mean()),
                "sar": float(each[p.id].mean()) / (p.size * program.timesteps),
            }
            for p in program.in_order
        ],
        "weight_bits": program.weight_bits,
        "ranges": {name: found.to_json() for name, found in ranges.items()},
        "silence": explained(silence, program, x, subject.graph).to_json(),
        "provenance": "simulated",
    }


def _in_c(subject: Subject, logits: np.ndarray, narrator: Narrator) -> dict[str, Any]:
    """``c`` of an export to C: written anew from its program, run here and on emulated cores.

    The folder's own model.c is compiled by nobody but its owner: InvalidFileError where it is not what we write.
    """
    folder = subject.path
    if not (folder.is_dir() and (folder / "model.c").is_file()):
        return {}
    from snnas.toolchain.models.in_c import prepare, run_in_c

    c = prepare(subject.program, subject.samples[:C_SAMPLES])
    if read_text(folder / "model.c") != c.model.source:
        raise InvalidFileError(
            f"{folder / 'model.c'}: not the C of program.npz beside it: changed, or of another version; export again"
        )
    return {"c": run_in_c(c, subject.samples, logits, narrator)}


def _decision(program: Program, timesteps: np.ndarray, seed: int) -> dict[str, Any]:
    """How many timesteps it took until the answer stayed, over the samples."""
    return {
        "timesteps": _interval(timesteps, seed),
        "p95": float(np.percentile(timesteps, 95)),
        "hardware_steps": float(timesteps.mean()) * program.schedule.period + program.schedule.total_depth,
    }


def _early_exit(subject: Subject, rule: early_exit.Rule, exits: early_exit.Exits, whole: np.ndarray) -> dict[str, Any]:
    """Where inferences end by the program's rule. whole: the predictions after all timesteps."""
    schedule = subject.program.schedule
    return {
        "mode": rule.mode,
        "level": rule.level,
        "timesteps": _interval(exits.timesteps, subject.seed),
        "hardware_steps": float(exits.timesteps.mean()) * schedule.period + schedule.total_depth,
        "early": int((exits.timesteps < subject.program.timesteps).sum()),
        "changed": int((exits.predictions != whole).sum()),
        "accuracy": accuracy(exits.predictions, subject.y),
    }


def _stream(subject: Subject, alone: np.ndarray, row: int) -> dict[str, Any]:
    """The samples in rows without a reset, beside ``alone``, the predictions with one."""
    program = subject.program
    parts = zip(*in_a_row(program, subject.samples, row, subject.batch), strict=True)
    predictions, timesteps = map(np.concatenate, parts)
    count = len(predictions)
    return {
        "row": row,
        "samples": count,
        "accuracy": accuracy(predictions, None if subject.y is None else subject.y[:count]),
        "changed": int((predictions != alone[:count]).sum()),
        "decision": _decision(program, timesteps, subject.seed),
    }


def runs(subject: Subject) -> Iterator[Ran]:
    """What the program did, a chunk of the samples at a time."""
    x, program = subject.samples, subject.program
    return with_input(program, x, simulate_input(program, x, batch=subject.batch))


def with_input(program: Program, x: np.ndarray, found: Iterable[tuple[Trace, dict[str, np.ndarray]]]) -> Iterator[Ran]:
    """Each chunk's trace with what drove it: the spikes of its samples ``x``, or its currents."""
    done = 0
    for trace, currents in found:
        part = x[done : done + len(trace.logits)]
        done += len(part)
        yield trace, None if program.input_kind == "analogue" else part > 0, currents or None


def head(subject: Subject) -> dict[str, Any]:
    """What both results begin with: which model, which data, which convention."""
    p = subject.program
    file = subject.path / "program.npz" if subject.path.is_dir() else subject.path
    return {
        "model": subject.label or str(subject.path),
        "model_sha256": sha256(file),
        "data": subject.data,
        "samples": 0 if subject.x is None else len(subject.x),
        "seed": subject.seed,
        "timesteps": p.timesteps,
        "input_kind": p.input_kind,
        "schedule": {"period": p.schedule.period, "depth": p.schedule.total_depth},
        "convention": "recorded" if subject.confirmed else "snnas" if subject.verified else "unverified",
        "notes": list(subject.notes),
    }


def _interval(values: np.ndarray, seed: int) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "interval": list(bootstrap(values, seed))}


def accuracy(predictions: np.ndarray | None, labels: np.ndarray | None) -> dict[str, Any] | None:
    """Share of samples that the program classifies right; None without labels."""
    if labels is None or predictions is None:
        return None
    hits = int((predictions == labels).sum())
    found = {"on_target": hits / len(labels), "interval": list(wilson(hits, len(labels))), "samples": len(labels)}
    return found | ({"balanced": balanced_accuracy(predictions, labels)} if uneven(labels) else {})
