"""The command line: options in, exit code out. What the commands do stands in the modules beside it.

Results go to stdout, narration and progress to stderr. Imports of ours stand inside the functions, so that
``snnas --help`` answers in a third of a second.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

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

    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False, markup=False).print(table)


@app.command()
def search(
    dataset: Annotated[str, typer.Option(help="digits, or a path to an .npz with x and y.")] = "digits",
    method: Annotated[str, typer.Option(help="lightsnn.")] = "lightsnn",
    name: Annotated[str | None, typer.Option(help="Name of the run [DATASET-METHOD-001].")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with this run, whose search or training was ended.")] = None,
    runs_dir: RunsDir = None,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of split, search and training.")] = 0,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Timesteps per sample.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell; doubled by each reduction.")] = 16,
    hidden: Annotated[int, typer.Option(help="Spiking neurons of the classifier.")] = 256,
    batch: Annotated[int, typer.Option(help="Samples that score every candidate.")] = 64,
    epochs: Annotated[int, typer.Option(help="Epochs of training.")] = 15,
    backward: Annotated[bool, typer.Option("--backward", help="Search backward edges too: recurrent cells.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Stop after the search.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a cell, train it, keep the run."""
    from toolchain import runs, searching
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet)
    folder = runs.directory(runs_dir)
    if resume is not None:
        run = runs.find(folder, resume)
    else:
        options = searching.SearchOptions(
            dataset=dataset,
            method=method,
            seed=seed,
            timesteps=timesteps,
            channels=channels,
            hidden=hidden,
            batch=batch,
            epochs=epochs,
            backward=backward,
            device=device,
        )
        run = searching.start(folder, name, options, shlex.join(["snnas", *sys.argv[1:]]))
    with run.lock():
        narrator.say(f"run {run.name}")
        searching.search(run, narrator)
        if not no_train and not run.weights.exists():
            searching.train(run, narrator)
    _finished(run, as_json)
    if not as_json:
        narrator.say(
            f"next: snnas {'train' if no_train else 'export'} {run.name}{' --target lava' if not no_train else ''}"
        )


def _finished(run: Any, as_json: bool) -> None:
    config = run.config()
    result = {
        "run": run.name,
        "path": str(run.path),
        "genotype": json.loads(run.genotype.read_text()),
        "search": config.get("search"),
        "training": config.get("training"),
    }
    if as_json:
        _print_json(result)
        return
    from rich.table import Table

    table = Table(title=f"{run.name}", title_justify="left", show_header=False)
    found, trained = config["search"], config.get("training")
    table.add_row("cell", _cell_line(result["genotype"]))
    table.add_row("architecture", found["architecture"])
    table.add_row(
        "search", f"{found['evaluations']} evaluations in {found['seconds']:.1f} s, {found['guards']} guard events"
    )
    if trained:
        table.add_row("validation accuracy", f"{trained['validation_accuracy']:.2%} (epoch {trained['best_epoch']})")
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
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the network of a run that was only searched."""
    from hw_sim.errors import UsageError
    from toolchain import runs, searching
    from toolchain.narration import Narrator

    found = runs.find(runs.directory(runs_dir), run)
    with found.lock():
        if found.weights.exists() and not force:
            raise UsageError(f"run {found.name} is trained; train it again with --force")
        searching.train(found, Narrator(quiet=quiet))
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


@app.command()
def report(run: RunName = None, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """Show the figures of an exported run."""
    from hw_sim.errors import UsageError
    from toolchain import runs
    from toolchain.files import read_json
    from toolchain.report import table

    found = runs.find(runs.directory(runs_dir), run)
    if not found.report.exists():
        raise UsageError(f"run {found.name} has no report yet; make it with: snnas export {found.name} --target lava")
    figures = read_json(found.report)
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
    from toolchain import check as checking

    findings = checking.check(folder, checking.parse_limits(maximum))
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
    from toolchain import runs

    rows = []
    for run in runs.every(runs.directory(runs_dir)):
        config = run.config()
        stage = (
            "exported"
            if run.report.exists()
            else "trained"
            if run.weights.exists()
            else "searched"
            if run.genotype.exists()
            else "begun"
        )
        accuracy = config.get("training", {}).get("validation_accuracy")
        rows.append(
            {"run": run.name, "created_at": config.get("created_at"), "stage": stage, "validation_accuracy": accuracy}
        )
    if as_json:
        _print_json(rows)
        return
    from rich.table import Table

    out = Table("run", "created", "stage", "validation accuracy")
    for row in rows:
        accuracy = row["validation_accuracy"]
        out.add_row(
            row["run"], str(row["created_at"])[:19], row["stage"], "" if accuracy is None else f"{accuracy:.2%}"
        )
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


def main() -> None:
    """Runs the command and turns every outcome into its exit code; a user never sees a traceback."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """The exit code of a command line. Faults print one line on stderr (SNNAS_DEBUG=1 adds the traceback)."""
    # Threads that wait by spinning take the cores from those that work: on two busy cores a training was 5 times
    # slower with the default (measured). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = app(arguments, standalone_mode=False, prog_name="snnas")
        if result == 130:  # typer turns Ctrl-C into this
            return _fail(130, "interrupted; a run goes on with: snnas search --resume RUN")
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        return _fail(2, f"{error.format_message()} (see snnas --help)")
    except (KeyboardInterrupt, typer.Abort):
        return _fail(130, "interrupted; a run goes on with: snnas search --resume RUN")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _os_error(error)
    except MemoryError:
        return _fail(70, "out of memory; try fewer --channels or a smaller --batch")
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if isinstance(code, int):
            return _fail(code, str(error))
        return _fail(70, f"a fault of snnas: {type(error).__name__}: {error}; please report it with SNNAS_DEBUG=1")


def _os_error(error: OSError) -> int:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return _fail(
            74, f"{place}{error.strerror}; nothing was half-written: free some space or choose another --runs-dir"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return _fail(2, f"{place}{error.strerror}")
    return _fail(70, f"a fault of snnas: {place}{error}; please report it with SNNAS_DEBUG=1")


def _fail(code: int, text: str) -> int:
    if os.environ.get("SNNAS_DEBUG"):
        traceback.print_exc()
    sys.stderr.write(f"snnas: {' '.join(text.split())}\n")
    return code


if __name__ == "__main__":
    main()
