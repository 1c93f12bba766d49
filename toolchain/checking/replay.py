"""Making a recording of a lone graph, and comparing a run with one."""

from __future__ import annotations

import os
from pathlib import Path

from hw_sim.errors import UsageError
from toolchain.checking import recording
from toolchain.checking.equivalence import Fired, answers_differ, first_difference
from toolchain.checking.findings import Book
from toolchain.checking.options import Options
from toolchain.checking.recording import Recording


def to_record(graph: Path, options: Options) -> Path | None:
    """The file that --record asks for; UsageError where it would be overwritten, or where a pipeline would write it."""
    if options.record is None:
        return None
    out = recording.path_of(graph) if options.record == "auto" else Path(options.record)
    if out.suffix != ".npz":
        raise UsageError(f"--record {options.record}: expected auto, or the name of an .npz to write")
    refuse_in_ci("--record", options.force)
    if out.exists() and not options.force:
        raise UsageError(f"--record: {out} exists, and is what checks go by; overwrite it with --force")
    return out


def refuse_in_ci(option: str, force: bool) -> None:
    """UsageError where a pipeline would set its own expectations."""
    if os.environ.get("CI") not in (None, "", "0", "false") and not force:
        raise UsageError(
            f"{option}: the environment variable CI is set, and a pipeline that writes what it is judged by judges "
            "nothing; write it at your desk and commit it, or add --force"
        )


def keep(book: Book, out: Path, made: Recording) -> Recording:
    """Writes the recording, and says so."""
    recording.write(out, made)
    book.note(f"recording: {out}, {made.source}")
    return made


def check_replay(
    book: Book, code: str, known: Recording, run: Fired, *, tolerance: float, place: Path, noun: str = "node"
) -> None:
    """``code`` (spikes), SN305 (answers) and SN309 (silent layers) of a run on the recording's samples."""
    if {name: fired.shape[2:] for name, fired in run.spikes.items()} != dict(known.nodes):
        odd = sorted(set(known.nodes) ^ set(run.spikes)) or sorted(
            name for name, shape in known.nodes.items() if run.spikes[name].shape[2:] != shape
        )
        book.add(code, "recorded spikes", "failed", f"{noun} {odd[0]} is not in both, or has another shape", place)
        return
    steps = {fired.shape[1] for fired in run.spikes.values()}
    if steps != {known.timesteps}:
        other = f"{min(steps)} timesteps, recorded were {known.timesteps}"
        book.add(code, "recorded spikes", "failed", other, place)
        return
    difference = first_difference(known.spikes, run, list(run.spikes))
    problem = difference.text(noun) if difference is not None else _miscounted(known, run, noun)
    good = f"0 of {run.total()} differ, {len(known.x)} samples"
    book.judge(code, "recorded spikes", problem, good, place)
    wrong = answers_differ(known.answers, run.answers, tolerance=tolerance) if _alike(known, run) else "another shape"
    book.judge("SN305", "recorded answers", wrong, f"{known.answers.shape[1]} classes", place)
    silent = [name for name, fired in run.spikes.items() if not fired.any()]
    text = f"{len(silent)} of {len(run.spikes)} never fire: {', '.join(silent[:4])}" if silent else "all fire"
    book.add("SN309", "recording reaches", "warned" if silent else "passed", text, place)


def _alike(known: Recording, run: Fired) -> bool:
    return bool(known.answers.shape == run.answers.shape)


def _miscounted(known: Recording, run: Fired, noun: str) -> str | None:
    """The first layer whose recorded counts are not those of its spikes."""
    for name, counted in recording.counts_of(run).items():
        wrong = (known.counts[name] != counted).nonzero()[0]
        if len(wrong):
            t = int(wrong[0])
            return (
                f"{noun} {name} fires {counted[t]} spikes at timestep {t}, the recording counts {known.counts[name][t]}"
            )
    return None
