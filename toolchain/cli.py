"""The command line: options in, exit code out. What the commands do stands in the modules beside it.

Results go to stdout, narration and progress to stderr. Imports of ours stand inside the functions, so that
``snnas --help`` answers in a third of a second.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from toolchain import cli_hardware
from toolchain.bench import bench_app

app = typer.Typer(
    name="snnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Searches, trains, compiles and checks spiking networks for neuromorphic chips.",
    epilog="Exit codes: 0 good, 1 a check failed, 2 usage, 3 invalid input file, 4 not supported on this target or "
    "backend missing, 70 a fault of snnas, 74 disk full or read-only, 75 the Lava worker failed, 130 interrupted.",
)
lava_app = typer.Typer(no_args_is_help=True, help="The Lava worker: its own Python 3.10 environment.")
app.add_typer(lava_app, name="lava")
app.add_typer(bench_app, name="bench")

RunsDir = Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs [SNNAS_RUNS, else ./runs].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
RunName = Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")]


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=2))


def _print_table(table: Any) -> None:
    from rich.console import Console

    from toolchain.narration import harmless

    Console(width=_width(), highlight=False, markup=False).print(harmless(table))


def _width() -> int | None:
    """None is the terminal's own; in a pipe COLUMNS, and 120 without it, so that logs do not depend on a screen."""
    if sys.stdout.isatty():
        return None
    wanted = os.environ.get("COLUMNS", "")
    return max(80, min(int(wanted), 1000)) if wanted.isdecimal() and len(wanted) < 6 and int(wanted) else 120


@app.command()
def search(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="digits, or a path to an .npz with x and y.")] = "digits",
    method: Annotated[str, typer.Option(help="lightsnn or snasnet.")] = "lightsnn",
    proxy: Annotated[str, typer.Option(help="What scores a candidate: sahd (the papers') or snnas.")] = "sahd",
    name: Annotated[str | None, typer.Option(help="Name of the run [DATASET-METHOD-001].")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this run, whose search or training was ended.")] = None,
    runs_dir: RunsDir = None,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of split, search and training.")] = 0,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Timesteps per sample.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell; doubled by each reduction.")] = 16,
    hidden: Annotated[int, typer.Option(help="Spiking neurons of the classifier.")] = 256,
    batch: Annotated[int, typer.Option(help="Samples that score every candidate.")] = 64,
    candidates: Annotated[int, typer.Option(help="Random draws of snasnet; the paper makes 5000.")] = 1000,
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = 15,
    backward: Annotated[bool, typer.Option("--backward", help="Search backward edges too: recurrent cells.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Stop after the search.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a cell, train it, keep the run."""
    from toolchain import runs, searching, starting, train_run
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet)
    folder = runs.directory(runs_dir)
    if resume is not None:
        _refuse_with_resume(context, resume)
        run = runs.find(folder, resume)
    else:
        options = starting.SearchOptions(
            dataset=dataset,
            method=method,
            proxy=proxy,
            seed=seed,
            timesteps=timesteps,
            channels=channels,
            hidden=hidden,
            batch=batch,
            candidates=candidates,
            epochs=epochs,
            backward=backward,
            device=device,
        )
        run = starting.start(folder, name, options, shlex.join(["snnas", *sys.argv[1:]]))
    with run.lock():
        narrator.say(f"run {run.name}")
        again = device if resume is not None and _given(context, "device") else None
        if not run.genotype.exists():
            searching.use_device(run, again)
            _say_clipped(run)
        searching.search(run, narrator)
        if not no_train and not run.weights.exists():
            train_run.train(run, narrator, again)
    _finished(run, as_json)
    if not as_json:
        step = f"export {run.name} --target lava" if run.weights.exists() else f"train {run.name}"
        narrator.say(f"next: snnas {step}")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_with_resume(context: typer.Context, run: str) -> None:
    """A run goes on as it was begun; what asks for something else is refused, not ignored."""
    from hw_sim.errors import UsageError

    kept = {"resume", "runs_dir", "device", "no_train", "as_json", "quiet"}
    given = [p.opts[0] for p in context.command.params if p.name not in kept and p.name and _given(context, p.name)]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be changed with --resume {run}: the run goes on as it was begun; "
            "leave it out, or start another run without --resume"
        )


def _say_clipped(run: Any) -> None:
    """Less than was asked for is done aloud, --quiet or not."""
    config = run.config()
    batch, there = config["method"]["batch"], config["data"].get("train", 0)
    if batch > there > 0:
        sys.stderr.write(f"note: --batch {batch} is clipped to the {there} samples of the training split\n")


def _finished(run: Any, as_json: bool) -> None:
    from hw_sim.errors import InvalidFileError
    from toolchain.files import read_json

    config = run.config()
    try:
        genotype = read_json(run.genotype)
        cell = _cell_line(genotype)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise InvalidFileError(
            f"{run.genotype}: no genotype ({type(error).__name__}: {error}); put the right one back, or search again"
        ) from None
    result = {
        "run": run.name,
        "path": str(run.path),
        "genotype": genotype,
        "search": config.get("search"),
        "training": config.get("training"),
    }
    if as_json:
        _print_json(result)
        return
    from rich.table import Table

    table = Table(title=f"{run.name}", title_justify="left", show_header=False)
    table.add_row("cell", cell)
    table.add_row("architecture", run.value("search", "architecture", str))
    seconds = run.value("search", "seconds", float)
    evaluations, guards = (run.value("search", key, int) for key in ("evaluations", "guards"))
    table.add_row("search", f"{evaluations} evaluations in {seconds:.1f} s, {guards} guard events")
    if config.get("training"):
        accuracy, epoch = run.value("training", "validation_accuracy", float), run.value("training", "best_epoch", int)
        table.add_row("validation accuracy", f"{accuracy:.2%} (epoch {epoch})")
    _print_table(table)


def _cell_line(genotype: dict[str, Any]) -> str:
    cell = genotype["cells"][0]
    ops = {**cell.get("forward", {}), **cell.get("backward", {})} if "forward" in cell else dict(cell.get("ops", cell))
    return "  ".join(f"{edge} {op}" for edge, op in ops.items() if op != "zeroize")


@app.command()
def train(
    run: RunName = None,
    runs_dir: RunsDir = None,
    force: Annotated[bool, typer.Option("--force", help="Train again where weights exist.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... [as it was searched].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the network of a run that was only searched."""
    from hw_sim.errors import UsageError
    from toolchain import runs, train_run
    from toolchain.narration import Narrator

    found = runs.find(runs.directory(runs_dir), run)
    with found.lock():
        if found.weights.exists() and not force:
            raise UsageError(f"run {found.name} is trained; train it again with --force")
        train_run.train(found, Narrator(quiet=quiet), device)
    _finished(found, as_json)


@app.command()
def export(
    run: RunName = None,
    target: Annotated[str, typer.Option(help="lava.")] = "lava",
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(help="Samples of the test split that Lava runs and golden.npz keeps.")] = 32,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one Lava run may take.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Also write graph and program here as text to read.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an export of other inputs.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a trained run through NIR to an integer program, run it, and report it on target."""
    from toolchain import exporting, runs
    from toolchain.narration import Narrator
    from toolchain.report import table

    options = exporting.ExportOptions(
        target=target,
        samples=samples,
        profile=profile,
        require_lava=require_lava,
        lava_python=python,
        lava_timeout=timeout,
        force=force,
    )
    found = runs.find(runs.directory(runs_dir), run)
    narrator = Narrator(quiet=quiet)
    with found.lock():
        narrator.say(f"run {found.name} -> {found.export(target)}")
        report = exporting.export(found, options, narrator)
    if dump is not None:
        exporting.write_dump(found.export(target), dump)
    if as_json:
        _print_json(report)
    else:
        _print_table(table(report))
        narrator.say(f"next: snnas check {found.export(target)}")


app.command()(cli_hardware.simulate)
app.command()(cli_hardware.estimate)


@app.command()
def report(run: RunName = None, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """Show the figures of an exported run."""
    from hw_sim.errors import UsageError
    from toolchain import runs
    from toolchain.report import read_report, stale, table

    found = runs.find(runs.directory(runs_dir), run)
    if not found.report.exists():
        raise UsageError(f"run {found.name} has no report yet; make it with: snnas export {found.name} --target lava")
    figures = read_report(found.report)
    if stale(found, figures):
        sys.stderr.write("note: these figures are of older weights; export again\n")
    if as_json:
        _print_json(figures)
    else:
        _print_table(table(figures))


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder that snnas export wrote.")],
    maximum: Annotated[str | None, typer.Option("--max", help="Limits: energy_total=60uJ,sar=0.1,cores=8.")] = None,
    as_json: AsJson = False,
) -> None:
    """Guard an export: whole, valid, reproducing its recorded spikes, within limits."""
    from toolchain import budgets
    from toolchain import check as checking

    findings = checking.check(folder, budgets.parse_limits(maximum))
    code = checking.exit_code(findings)
    if as_json:
        plain = [{"name": f.name, "status": f.status, "detail": f.detail} for f in findings]
        _print_json({"schema": "snnas.check/1", "folder": str(folder), "exit_code": code, "findings": plain})
    else:
        from rich.table import Table

        out = Table(show_header=False, title=str(folder), title_justify="left")
        for f in findings:
            out.add_row(f.status, f.name, f.detail)
        _print_table(out)
    raise typer.Exit(code)


@app.command(name="runs")
def list_runs(runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """List the runs."""
    from hw_sim.errors import InvalidFileError
    from toolchain import runs

    rows: list[dict[str, Any]] = []
    for run in runs.every(runs.directory(runs_dir)):
        row = {"run": run.name, "created_at": None, "stage": "damaged", "validation_accuracy": None, "reason": None}
        try:
            config = run.config()
        except InvalidFileError as error:
            row["reason"] = str(error)
        else:
            row["created_at"], row["stage"] = config.get("created_at"), run.stage()
            row["validation_accuracy"] = config.get("training", {}).get("validation_accuracy")
        rows.append(row)
    if as_json:
        _print_json(rows)
        return
    from rich.table import Table

    out = Table()
    out.add_column("run", overflow="fold")
    out.add_column("created", no_wrap=True, min_width=19)  # cut, it says nothing; the others can wrap
    out.add_column("stage")
    out.add_column("validation accuracy")
    for row in rows:
        accuracy, created = row["validation_accuracy"], (row["created_at"] or "")[:19]
        out.add_row(row["run"], created, row["stage"], row["reason"] or ("" if accuracy is None else f"{accuracy:.2%}"))
    _print_table(out)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is usable here, and why the rest is not."""
    from toolchain.doctor import examine

    items = examine()
    if as_json:
        _print_json([{"name": i.name, "status": i.status, "detail": i.detail} for i in items])
        return
    from rich.table import Table

    out = Table(show_header=False)
    for item in items:
        out.add_row(item.status, item.name, item.detail)
    _print_table(out)


@lava_app.command()
def setup(
    python: Annotated[Path | None, typer.Option(help="The Python 3.10 to build it on.")] = None,
    with_dl: Annotated[bool, typer.Option("--with-dl", help="Also lava-dl (it brings torch 2.3: 5.6 GB).")] = False,
    quiet: Quiet = False,
) -> None:
    """Make the worker's environment with lava-nc (about 20 s, 320 MB)."""
    from hw_sim import lava_environment
    from toolchain.narration import Narrator

    interpreter = lava_environment.setup(python, with_dl, Narrator(quiet=quiet).say)
    _print(str(interpreter))


def main() -> NoReturn:
    """Runs the command and turns every outcome into its exit code; a user never sees a traceback."""
    _open_standard_streams()
    signal.signal(signal.SIGTERM, _terminated)
    code = run_command(sys.argv[1:])
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:  # said already; what is left must not fail once more at the interpreter's end, with code 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    sys.exit(code)


def _open_standard_streams() -> None:
    """A stream closed by the caller (``>&-``) is /dev/null; else the next file opened would take its number."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


_ended_by: list[str] = []  # what typer makes of KeyboardInterrupt, an exit code, does not say which signal it was


def _terminated(number: int, frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does: temporary files are removed, the Lava worker too."""
    _ended_by.append("SIGTERM")
    raise KeyboardInterrupt


# What the light base install lacks (pyproject.toml, extra "search").
_SEARCH_EXTRA = frozenset({"torch", "spikingjelly", "tonic", "safetensors", "sklearn"})


def run_command(arguments: list[str]) -> int:
    """The exit code of a command line. Faults print one line on stderr (SNNAS_DEBUG=1 adds the traceback)."""
    # Threads that wait by spinning take the cores from those that work: on two busy cores a training was 5 times
    # slower with the default (measured). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = app(arguments, standalone_mode=False, prog_name="snnas")
        code = result if isinstance(result, int) else 0
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _nobody_reads()
        return _interrupted(arguments) if code == 130 else code  # typer turns Ctrl-C into 130
    except typer.TyperException as error:
        return _fail(2, f"{error.format_message()} (see snnas --help)")
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments)
    except SystemExit as error:
        # typer and rich both end the program with 1 where the reader of a pipe has gone.
        if isinstance(error.__context__, OSError) and error.__context__.errno == errno.EPIPE:
            return _nobody_reads()
        return error.code if isinstance(error.code, int) else 70
    except Exception as error:
        return _fault(error)


def _interrupted(arguments: list[str]) -> int:
    command = next((word for word in arguments if not word.startswith("-")), "")
    advice = {
        "search": "a run goes on with: snnas search --resume RUN",
        "train": "start it again with: snnas train RUN",
        "export": "start it again with: snnas export RUN",
    }.get(command, "start it again")
    return _fail(130, f"{f'ended by {_ended_by[-1]}' if _ended_by else 'interrupted'}; {advice}")


def _nobody_reads() -> int:
    """Whoever read our output has enough of it; the interpreter's last flush must not say so again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = sys.__stdout__ or sys.stdout
    return 0


def _fault(error: Exception) -> int:
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return _fail(code, str(error))
    if isinstance(error, BrokenPipeError):
        return _nobody_reads()
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, UnicodeEncodeError):
        name = error.object[max(0, error.start - 40) : error.end + 40]
        return _fail(2, f"{name!r} is not UTF-8, expected names that are; rename the file or folder")
    if isinstance(error, ModuleNotFoundError) and error.name in _SEARCH_EXTRA:
        return _fail(
            4, f"{error.name} is not installed, and this command needs it; install it with: pip install 'snnas[search]'"
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return _fail(70, "out of memory; try fewer --channels or a smaller --batch")
    return _fail(70, f"a fault of snnas: {type(error).__name__}: {error}; please report it with SNNAS_DEBUG=1")


# torch's allocators raise a RuntimeError; a type of its own has only CUDA's.
_NO_MEMORY = re.compile(r"not enough memory|can't allocate memory|out of memory", re.IGNORECASE)


def _os_error(error: OSError) -> int:
    name = str(error.filename or "")
    place = f"{name if len(name) <= 200 else name[:197] + '...'}: " if name else ""
    if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return _fail(
            74, f"{place}{error.strerror}; nothing was half-written: free some space or choose another --runs-dir"
        )
    usage = (
        *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENAMETOOLONG, errno.ELOOP),
    )
    if error.errno in usage:
        return _fail(2, f"{place}{error.strerror}")
    if error.errno == errno.ENOMEM:
        return _fault(MemoryError())
    return _fail(70, f"a fault of snnas: {place}{error}; please report it with SNNAS_DEBUG=1")


def _fail(code: int, text: str) -> int:
    from toolchain.narration import printable

    with contextlib.suppress(OSError):  # nobody reads it
        if os.environ.get("SNNAS_DEBUG"):
            traceback.print_exc()
        sys.stderr.write(f"snnas: {printable(' '.join(text.split()))}\n")
    return code


if __name__ == "__main__":
    main()
