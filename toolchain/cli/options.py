"""Options that several commands take, and what those of a foreign graph ask for."""

from __future__ import annotations

import functools
import inspect
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
Then = Annotated[
    str | None,
    typer.Option("--target", help="Export it too, once it is trained: lava, c or onnx; the report is printed."),
]
RunName = Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")]
Model = Annotated[Path, typer.Argument(help="A .nir, a program.npz, or a folder that snnas export wrote.")]

# How a graph is read that may be anybody's: options that a command takes with ``reads``.
READING: dict[str, Any] = {
    "data": Annotated[
        str | None,
        typer.Option(help="digits (its test split), or an .npz with x and, for accuracy, y [an export's own]."),
    ],
    "timesteps": Annotated[
        int | None, typer.Option("--timesteps", "-T", help="Timesteps per sample [as the file says].")
    ],
    "input_kind": Annotated[str | None, typer.Option(help="analogue, spikes or counts [as the file says].")],
    "delayed": Annotated[list[str] | None, typer.Option(help="SRC:DST: this edge of the graph waits a timestep.")],
    "limit": Annotated[int | None, typer.Option(help="Only the first so many samples.")],
    "seed": Annotated[int | None, typer.Option(min=0, help="Of intervals and digits' split [the run's, else 0].")],
    "convention": Annotated[
        str | None,
        typer.Option(help="A tool's, as snnas whose names it: snntorch, norse, ...; NAME,NODE=NAME for single nodes."),
    ],
    "dt": Annotated[float | None, typer.Option(help="Seconds per timestep of a foreign graph [1e-4].")],
    "decay": Annotated[str | None, typer.Option(help="Of a foreign graph: euler or exact.")],
    "compare": Annotated[
        str | None,
        typer.Option(help="Of a foreign graph: gt, a spike where v > threshold, or ge, where v >= threshold."),
    ],
    "reset": Annotated[str | None, typer.Option(help="Of a foreign graph: zero, subtract or late.")],
    "current": Annotated[
        str | None,
        typer.Option(help="Of a foreign CubaLIF: v sees the current of its timestep (now) or the last (late)."),
    ],
    "readout": Annotated[
        str | None,
        typer.Option(help="Of a foreign graph's output: sum, last or max, or membrane-sum, -last, -max."),
    ],
    "expect": Annotated[
        Path | None, typer.Option(help="RECORDED.npz of the tool's own spikes, which the convention must give.")
    ],
    "bits": Annotated[int | None, typer.Option(help="Bits of a weight of a compiled graph: 8, 6 or 4 [8].")],
}
LIBRARY = {"measure", "budgets"}  # fields of records that no command line sets
Command = Callable[..., None]
Options = TypeVar("Options", bound="DataclassInstance")


def reads(**own: Any) -> Callable[[Command], Command]:
    """Gives a command the options of READING in place of its parameter ``asked``, which is handed their record.

    own: what the command says of them in other words, or asks beside them; None of one that it does not take.
    """
    taken = {name: kind for name, kind in {**READING, **own}.items() if kind is not None}

    def reading(command: Command) -> Command:
        @functools.wraps(command)
        def called(**given: Any) -> None:
            command(asked=_reading({name: given.pop(name) for name in taken}), **given)

        hints = get_type_hints(command, localns={"ReadingOptions": object}, include_extras=True)
        parameters: list[Parameter] = []
        for p in inspect.signature(command).parameters.values():
            if p.name == "asked":
                parameters += [Parameter(name, p.kind, default=None, annotation=kind) for name, kind in taken.items()]
            else:
                parameters.append(p.replace(annotation=hints[p.name]))
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return reading


def _reading(values: dict[str, Any]) -> ReadingOptions:
    from snnas.toolchain.models.reading_options import MEANT, ReadingOptions

    values["compare"] = MEANT.get(values["compare"], values["compare"])
    if values.get("calibration") is not None:
        values["calibration"] = str(values["calibration"])
    untaken = dict.fromkeys(field.name for field in fields(ReadingOptions))
    return options_of(ReadingOptions, untaken | values)


def options_of(kind: type[Options], values: Mapping[str, Any], **more: Any) -> Options:
    """A record of options: each field is the value of its name, what nobody typed its default, and ``more`` as given.

    values: a command's ``locals()``. TypeError for a field that neither has, unless it is LIBRARY's.
    """
    lacking = {field.name for field in fields(kind)} - values.keys() - more.keys() - LIBRARY
    if lacking:
        raise TypeError(f"{kind.__name__}: no value for {', '.join(sorted(lacking))}")
    named = {field.name: values.get(field.name) for field in fields(kind) if field.name not in more}
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in named.items() if v is not None}
    return kind(**plain, **more)


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
