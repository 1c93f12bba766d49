"""Options that several commands take, and what those of a foreign graph ask for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from snnas.toolchain.models.reading_options import ReadingOptions

RunsDir = Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs [SNNAS_RUNS, else ./runs].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LogTo = Annotated[list[str] | None, typer.Option(help="Where each epoch's figures go too: tensorboard; repeatable.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Narrate with times, and progress in logs too.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
DataOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Of the data set, repeatable: data_dir=DIR, train_limit=1000, class_weights=balanced, groups=subject; "
        "of events frames=16, split_by=time, downsample=2, counts=true; of signals axis=time or window=32,hop=16, "
        "encoder=delta; docs/data.md has them all.",
    ),
]
RunName = Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")]

# Of a graph that may be anybody's.
Model = Annotated[Path, typer.Argument(help="A .nir, a program.npz, or a folder that snnas export wrote.")]
Data = Annotated[
    str | None, typer.Option(help="digits (its test split), or an .npz with x and, for accuracy, y [an export's own].")
]
Timesteps = Annotated[int | None, typer.Option("--timesteps", "-T", help="Timesteps per sample [as the file says].")]
InputKind = Annotated[str | None, typer.Option(help="analogue, spikes or counts [as the file says].")]
Delayed = Annotated[list[str] | None, typer.Option(help="SRC:DST: this edge of the graph waits a timestep.")]
Limit = Annotated[int | None, typer.Option(help="Only the first so many samples.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of intervals and digits' split [the run's, else 0].")]
ConventionName = Annotated[
    str | None,
    typer.Option(
        "--convention", help="A tool's, as snnas whose names it: snntorch, norse, ...; NAME,NODE=NAME for single nodes."
    ),
]
Dt = Annotated[float | None, typer.Option(help="Seconds per timestep of a foreign graph [1e-4].")]
Decay = Annotated[str | None, typer.Option(help="Of a foreign graph: euler or exact.")]
Compare = Annotated[
    str | None, typer.Option(help="Of a foreign graph: gt, a spike where v > threshold, or ge, where v >= threshold.")
]
Reset = Annotated[str | None, typer.Option(help="Of a foreign graph: zero, subtract or late.")]
Current = Annotated[
    str | None, typer.Option(help="Of a foreign CubaLIF: v sees the current of its timestep (now) or the last (late).")
]
Readout = Annotated[
    str | None, typer.Option(help="Of a foreign graph's output: sum, last or max, or membrane-sum, -last, -max.")
]
Expect = Annotated[
    Path | None, typer.Option(help="RECORDED.npz of the tool's own spikes, which the convention must give.")
]
Bits = Annotated[int | None, typer.Option(help="Bits of a weight of a compiled graph: 8, 6 or 4 [8].")]


def reading(
    *,
    data: str | None,
    timesteps: int | None,
    input_kind: str | None,
    delayed: list[str] | None,
    limit: int | None,
    seed: int | None,
    convention: str | None,
    dt: float | None,
    decay: str | None,
    compare: str | None,
    reset: str | None,
    expect: Path | None = None,
    bits: int | None = None,
    calibration: Path | None = None,
    current: str | None = None,
    readout: str | None = None,
) -> ReadingOptions:
    """What was asked of a graph that may be anybody's."""
    from snnas.toolchain.models.reading_options import MEANT, ReadingOptions

    return ReadingOptions(
        data=data,
        timesteps=timesteps,
        input_kind=input_kind,
        delayed=tuple(delayed or ()),
        limit=limit,
        seed=seed,
        convention=convention,
        dt=dt,
        decay=decay,
        compare=MEANT.get(compare or "", compare),
        reset=reset,
        current=current,
        readout=readout,
        expect=expect,
        bits=bits,
        calibration=None if calibration is None else str(calibration),
    )


def typed() -> str:
    """The command line as it was typed, for run.toml."""
    return shlex.join(["snnas", *sys.argv[1:]])


def options_given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of the parameters that stand on the command line, as options: --input-kind."""
    return [p.opts[0] for p in context.command.params if p.name in {*names} and given(context, p.name)]


def given(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
