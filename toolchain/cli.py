"""The command line: options in, exit code out. What the commands do stands in the modules beside it.

Results go to stdout, narration and progress to stderr. Imports of ours stand inside the functions, so that
``snnas --help`` answers in a third of a second.
"""

from __future__ import annotations

import contextlib
import errno
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
from toolchain.cli_data import data_app
from toolchain.terminal import print_json, print_table, print_text

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
app.add_typer(data_app, name="data")

RunsDir = Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs [SNNAS_RUNS, else ./runs].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
DataOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Of the data set, repeatable: data_dir=DIR, frames=16, split_by=time, downsample=2, "
        "counts=true, train_limit=1000.",
    ),
]
RunName = Annotated[str | None, typer.Argument(help="A run's name or folder; the newest one where left out.")]


@app.command()
def search(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="A name of snnas data list, an .npz, or a folder.")] = "digits",
    method: Annotated[str, typer.Option(help="lightsnn, snasnet, spikenas or mse_nas.")] = "lightsnn",
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
    study: Annotated[int, typer.Option(help="Repeats of spikenas's operation study, 2 to 10; 0: none.")] = 0,
    budget: Annotated[
        list[str] | None, typer.Option(help="energy_total=60uJ, cores=8, params=1M, ..., or a .toml file; repeatable.")
    ] = None,
    objective: Annotated[str, typer.Option(help="score,energy and others: keep a Pareto front.")] = "score",
    train_front: Annotated[int, typer.Option(help="Points of the front that are kept and trained; 0: none.")] = 8,
    profile: Annotated[str | None, typer.Option(help="Energy profile of predicted costs [the system's own].")] = None,
    system: Annotated[str, typer.Option(help="Chip that costs are of: a name or a .toml file.")] = "loihi1",
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight in --budget memory.")] = 8,
    state_bits: Annotated[int, typer.Option(help="Bits of a neuron's state in --budget memory.")] = 24,
    workers: Annotated[int, typer.Option(help="Processes that evaluate candidates; 1: this one.")] = 1,
    engine: Annotated[str, typer.Option(help="process, or ray for a cluster (RAY_ADDRESS).")] = "process",
    population: Annotated[int, typer.Option(help="Genomes of a generation of mse_nas; the paper has 50.")] = 12,
    generations: Annotated[int, typer.Option(help="Generations of mse_nas; the paper has 100.")] = 6,
    cells: Annotated[int, typer.Option(help="Cells of mse_nas; the others have two.")] = 3,
    recipe: Annotated[str | None, typer.Option(help="Recipe of the training, a name or .toml [DATASET's].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of training [the recipe's].")] = None,
    data: DataOptions = None,
    backward: Annotated[bool, typer.Option("--backward", help="Search backward edges too: recurrent cells.")] = False,
    no_train: Annotated[bool, typer.Option("--no-train", help="Stop after the search.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find a cell, train it, keep the run."""
    from toolchain import finding, runs, starting
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
            population=population,
            generations=generations,
            cells=cells,
            recipe=recipe,
            epochs=epochs,
            data=tuple(data or ()),
            backward=backward,
            device=device,
            study=study,
            budget=tuple(budget or ()),
            objective=objective,
            front=train_front,
            profile=profile,
            system=system,
            weight_bits=weight_bits,
            state_bits=state_bits,
        )
        run = starting.start(folder, name, options, shlex.join(["snnas", *sys.argv[1:]]))
    with run.lock():
        narrator.say(f"run {run.name}")
        again = device if resume is not None and _given(context, "device") else None
        if not run.genotype.exists():
            _say_clipped(run)
        points = finding.find(run, narrator, workers=workers, engine=engine, train=not no_train, device=again)
    _finished(run, as_json)
    if points is not None and not as_json:
        from toolchain.front_view import table

        print_table(table(points))
    if not as_json:
        step = f"export {run.name} --target lava" if run.weights.exists() else f"train {run.name}"
        narrator.say(f"next: snnas {step}")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_with_resume(context: typer.Context, run: str) -> None:
    """A run goes on as it was begun; what asks for something else is refused, not ignored."""
    from hw_sim.errors import UsageError

    kept = {"resume", "runs_dir", "device", "no_train", "as_json", "quiet", "workers", "engine"}
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
        print_json(result)
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
    print_table(table)


def _cell_line(genotype: dict[str, Any]) -> str:
    if "fan_in" in genotype:
        return "  ".join(str(cell["motif"]) for cell in genotype["cells"]) + f"  (fan-in {genotype['fan_in']})"
    cell = genotype["cells"][0]
    ops = {**cell.get("forward", {}), **cell.get("backward", {})} if "forward" in cell else dict(cell.get("ops", cell))
    return "  ".join(f"{edge} {op}" for edge, op in ops.items() if op != "zeroize")


@app.command()
def train(
    run: RunName = None,
    runs_dir: RunsDir = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .toml file [the run's own].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs [the recipe's].")] = None,
    target_sar: Annotated[float | None, typer.Option(help="Hold the spiking activity rate to this.")] = None,
    genotype: Annotated[Path | None, typer.Option(help="Begin a run with the cell of this genotype.json.")] = None,
    dataset: Annotated[str | None, typer.Option(help="With --genotype: the data set.")] = None,
    data: DataOptions = None,
    name: Annotated[str | None, typer.Option(help="With --genotype: name of the run.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --genotype: the one seed.")] = 0,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="With --genotype: timesteps per sample.")] = 5,
    channels: Annotated[int, typer.Option(help="With --genotype: channels of the first cell.")] = 16,
    hidden: Annotated[int, typer.Option(help="With --genotype: neurons of the classifier.")] = 256,
    force: Annotated[bool, typer.Option("--force", help="Train again where weights exist.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ... [as it was searched].")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the network of a run, or a known cell on another data set; a training that was ended goes on."""
    from hw_sim.errors import UsageError
    from toolchain import runs, train_run, training
    from toolchain.data_options import parse_options
    from toolchain.narration import Narrator
    from toolchain.training import parallel

    changes = {"epochs": epochs, "target_sar": target_sar}
    chosen = training.load_recipe(recipe, changes) if recipe else None
    folder, first = runs.directory(runs_dir), parallel.rank() == 0
    if (genotype is None) != (dataset is None) or (genotype is not None and run is not None):
        raise UsageError("--genotype FILE and --dataset NAME go together, and begin a run of their own")
    if genotype is not None and dataset is not None:
        from toolchain.transfer import train_genotype

        if parallel.world_size() > 1:
            raise UsageError("one process begins a run: make it with --genotype first, then torchrun ... train RUN")
        found = train_genotype(
            genotype,
            dataset,
            folder=folder,
            command=shlex.join(["snnas", *sys.argv[1:]]),
            name=name,
            seed=seed,
            timesteps=timesteps,
            channels=channels,
            hidden=hidden,
            recipe=chosen or training.recipe_of({}, where="the command line", overrides=changes),
            device=device or "auto",
            data_options=parse_options(data),
        )
    else:
        found = runs.find(folder, run)
        if chosen is None and any(value is not None for value in changes.values()):
            chosen = training.recipe_of(found.section("train"), where="[train]", overrides=changes)
    with found.lock() if first else contextlib.nullcontext():
        if first and found.weights.exists() and not force:
            raise UsageError(f"run {found.name} is trained; train it again with --force")
        train_run.train(found, Narrator(quiet=quiet), device, chosen)
    if first:
        _finished(found, as_json)


@app.command()
def export(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, or anybody's .nir; the newest run where left out.")] = None,
    target: Annotated[str, typer.Option(help="lava, or onnx: the float network, one step.")] = "lava",
    pick: Annotated[int | None, typer.Option(min=1, help="Point of the run's front, from 1.")] = None,
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(help="Samples of the test split that Lava runs and golden.npz keeps.")] = 32,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one Lava run may take.")] = None,
    dump: Annotated[Path | None, typer.Option(help="Also write graph and program here as text to read.")] = None,
    float64: Annotated[bool, typer.Option("--float64", help="Of --target onnx: exact, and slower.")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="Of --target onnx: no model-local functions.")] = False,
    data: cli_hardware.Data = None,
    timesteps: cli_hardware.Timesteps = None,
    input_kind: cli_hardware.InputKind = None,
    delayed: cli_hardware.Delayed = None,
    limit: cli_hardware.Limit = None,
    seed: cli_hardware.Seed = None,
    convention: cli_hardware.ConventionName = None,
    dt: cli_hardware.Dt = None,
    decay: cli_hardware.Decay = None,
    compare: cli_hardware.Compare = None,
    reset: cli_hardware.Reset = None,
    out: Annotated[Path | None, typer.Option(help="Of a .nir: the folder to write [NAME-lava].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an export of other inputs.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a trained run, or a foreign graph, through NIR to an integer program, run it, and report it on target."""
    from hw_sim.errors import UsageError
    from toolchain import exporting, runs
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet)
    options = exporting.ExportOptions(
        target=target,
        samples=samples,
        profile=profile,
        require_lava=require_lava,
        lava_python=python,
        lava_timeout=timeout,
        force=force,
    )
    foreign = ("data", "timesteps", "input_kind", "delayed", "limit", "seed", "convention", "dt", "decay", "compare")
    if run is not None and run.endswith(".nir"):
        if target != "lava" or pick is not None:
            raise UsageError(f"{run}: a foreign graph goes to --target lava alone, without --pick")
        wanted = cli_hardware.wanted(
            data, timesteps, input_kind, delayed, limit, seed, convention, dt, decay, compare, reset
        )
        _export_graph(Path(run), wanted, options, out, dump, narrator, as_json)
        return
    odd = [f"--{name.replace('_', '-')}" for name in (*foreign, "reset", "out") if _given(context, name)]
    if odd:
        raise UsageError(f"{', '.join(odd)}: of a foreign .nir alone; a run knows its own")
    found = runs.find(runs.directory(runs_dir), run)
    if target == "onnx":
        _export_onnx(found, samples, float64, inline, force, as_json, quiet)
        return
    if pick is not None:
        from toolchain.front import member

        found = member(found, pick)
    with found.lock():
        narrator.say(f"run {found.name} -> {found.export(target)}")
        report = exporting.export(found, options, narrator)
    _exported(report, found.export(target), dump, narrator, as_json)


def _export_graph(
    path: Path, wanted: Any, options: Any, out: Path | None, dump: Path | None, narrator: Any, as_json: bool
) -> None:
    from toolchain import exporting_foreign

    report = exporting_foreign.export_graph(path, wanted, options, narrator, out=out)
    for note in report["notes"]:
        sys.stderr.write(f"note: {note}\n")
    _exported(report, exporting_foreign.folder_of(path, out), dump, narrator, as_json)


def _exported(report: dict[str, Any], folder: Path, dump: Path | None, narrator: Any, as_json: bool) -> None:
    from toolchain import exporting
    from toolchain.report import table

    if dump is not None:
        exporting.write_dump(folder, dump)
    if as_json:
        print_json(report)
    else:
        print_table(table(report))
        narrator.say(f"next: snnas check {folder}")


def _export_onnx(run: Any, samples: int, float64: bool, inline: bool, force: bool, as_json: bool, quiet: bool) -> None:
    from hw_sim.errors import UsageError
    from toolchain.exporting_onnx import OnnxOptions, export_onnx, table
    from toolchain.narration import Narrator

    if samples < 1:
        raise UsageError(f"--samples {samples}: expected a whole number >= 1")
    options = OnnxOptions(precision="float64" if float64 else "float32", inline=inline, samples=samples, force=force)
    with run.lock():
        report = export_onnx(run, options, Narrator(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        print_table(table(report))


app.command()(cli_hardware.simulate)
app.command()(cli_hardware.estimate)


@app.command()
def whose(
    model: Annotated[Path, typer.Argument(help="A .nir of any tool.")],
    expect: Annotated[Path, typer.Option(help="RECORDED.npz: x, and output or spikes.NODE (docs/whose.md).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes."""
    from toolchain import whose as detective
    from toolchain.narration import Narrator

    with Narrator(quiet=quiet or as_json).progress("conventions") as advance:
        verdict = detective.whose(model, expect, advance)
    if as_json:
        print_json(verdict.to_json())
    else:
        print_table(detective.as_table(verdict))
        for line in (verdict.headline, *verdict.lines):
            print_text(line)
    raise typer.Exit(verdict.exit_code)


@app.command()
def report(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs; two or more stand beside each other.")
    ] = None,
    runs_dir: RunsDir = None,
    html: Annotated[bool, typer.Option("--html", help="Write report.html into the run, or comparison.html.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the figures of an exported run, or of several beside each other."""
    from hw_sim.errors import UsageError
    from toolchain import runs
    from toolchain.report import read_report, stale, table

    folder = runs.directory(runs_dir)
    wanted: list[str | None] = [*names] if names else [None]
    every = [runs.find(folder, name) for name in wanted]
    if html:
        from toolchain.html import write_comparison, write_html

        path = write_html(every[0]) if len(every) == 1 else write_comparison(every, folder / "comparison.html")
        if as_json:
            print_json({"path": str(path)})
        else:
            print_text(str(path))
        return
    if len(every) > 1:
        _print_beside(every, as_json)
        return
    found = every[0]
    if not found.report.exists():
        raise UsageError(f"run {found.name} has no report yet; make it with: snnas export {found.name} --target lava")
    figures = read_report(found.report)
    if stale(found, figures):
        sys.stderr.write("note: these figures are of older weights; export again\n")
    if as_json:
        print_json(figures)
    else:
        print_table(table(figures))


def _print_beside(every: list[Any], as_json: bool) -> None:
    from rich.table import Table

    from toolchain.html import figures_beside

    head, rows = figures_beside(every)
    if as_json:
        print_json({"head": head, "rows": rows})
        return
    out = Table()
    for k, name in enumerate(head):
        out.add_column(name, justify="right" if 0 < k < len(head) - 1 else "left")
    for row in rows:
        out.add_row(*row)
    print_table(out)


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
        print_json({"schema": "snnas.check/1", "folder": str(folder), "exit_code": code, "findings": plain})
    else:
        from rich.table import Table

        out = Table(show_header=False, title=str(folder), title_justify="left")
        for f in findings:
            out.add_row(f.status, f.name, f.detail)
        print_table(out)
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
        print_json(rows)
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
    print_table(out)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is usable here, and why the rest is not."""
    from toolchain.doctor import examine

    items = examine()
    if as_json:
        print_json([{"name": i.name, "status": i.status, "detail": i.detail} for i in items])
        return
    from rich.table import Table

    out = Table(show_header=False)
    for item in items:
        out.add_row(item.status, item.name, item.detail)
    print_table(out)


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
    print_text(str(interpreter))


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
