"""The command line: options in, exit code out. What the commands do stands in the modules beside it.

Results go to stdout, narration and progress to stderr. Imports of ours stand inside the functions, so that
``snnas --help`` answers in a third of a second.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from toolchain import cli_check, cli_diagnose, cli_hardware, cli_machine, cli_schema, endings
from toolchain.bench import bench_app
from toolchain.cli_data import data_app
from toolchain.cli_runs import runs_app
from toolchain.terminal import print_json, print_table, print_text, print_version

app = typer.Typer(
    name="snnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
    help="Searches, trains, compiles and checks spiking networks for neuromorphic chips.",
    epilog="Exit codes: 0 good, 1 a check failed, 2 usage, 3 invalid input file, 4 not supported on this target or "
    "backend missing, 70 a fault of snnas, 74 disk full or read-only, 75 the Lava worker failed, 130 interrupted.",
)
Version = Annotated[
    bool, typer.Option("--version", help="Print the version and stop.", callback=print_version, is_eager=True)
]


@app.callback()
def snnas(version: Version = False) -> None:
    """Searches, trains, compiles and checks spiking networks for neuromorphic chips."""


app.add_typer(runs_app, name="runs")
app.add_typer(cli_machine.lava_app, name="lava")
app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")

RunsDir = Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs [SNNAS_RUNS, else ./runs].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No narration on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Narrate with times, and progress in logs too.")]
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
    verbose: Verbose = False,
) -> None:
    """Find a cell, train it, keep the run."""
    from toolchain import finding, runs, starting
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet, verbose=verbose)
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
    if points is not None and not as_json:
        from toolchain.front_view import table

        print_table(table(points))
    _finished(run, as_json, narrator, runs_dir)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_with_resume(context: typer.Context, run: str) -> None:
    """A run goes on as it was begun; what asks for something else is refused, not ignored."""
    from hw_sim.errors import UsageError

    kept = {"resume", "runs_dir", "device", "no_train", "as_json", "quiet", "verbose", "workers", "engine"}
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


def _finished(run: Any, as_json: bool, narrator: Any, runs_dir: Path | None) -> None:
    from toolchain import run_view

    if as_json:
        print_json(run_view.describe(run))
        return
    print_table(run_view.table(run, brief=True))
    narrator.next(run_view.next_command(run), runs_dir)


@app.command(short_help="Train a run's network, or a known cell on other data.")
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
    verbose: Verbose = False,
) -> None:
    """Train the network of a run, or a known cell on another data set; a training that was ended goes on."""
    from hw_sim.errors import UsageError
    from toolchain import runs, train_run, training
    from toolchain.data_options import parse_options
    from toolchain.narration import Narrator
    from toolchain.training import parallel

    narrator = Narrator(quiet=quiet, verbose=verbose)
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
        if first and found.trained and not force:
            raise UsageError(f"run {found.name} is trained; train it again with --force")
        train_run.train(found, narrator, device, chosen)
    if first:
        _finished(found, as_json, narrator, runs_dir)


@app.command(short_help="Take a run or anybody's .nir to a program on target.")
def export(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, or anybody's .nir; the newest run where left out.")] = None,
    target: Annotated[str, typer.Option(help="lava, or onnx: the float network, one step.")] = "lava",
    pick: Annotated[int | None, typer.Option(min=1, help="Point of the run's front, from 1.")] = None,
    runs_dir: RunsDir = None,
    samples: Annotated[int, typer.Option(help="Samples of the test split that Lava runs and golden.npz keeps.")] = 32,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    bits: Annotated[int, typer.Option(help="Bits of a weight: 8, 6 or 4.")] = 8,
    finetune: Annotated[int | None, typer.Option(help="Epochs of training on the integers; none without.")] = None,
    finetune_lr: Annotated[float | None, typer.Option(help="With --finetune: its learning rate [0.003].")] = None,
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
    verbose: Verbose = False,
) -> None:
    """Take a trained run, or a foreign graph, through NIR to an integer program, run it, and report it on target."""
    from hw_sim.errors import UsageError
    from toolchain import exporting, run_view, runs
    from toolchain.finetuning.options import asked
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet, verbose=verbose)
    options = exporting.ExportOptions(
        target=target,
        samples=samples,
        profile=profile,
        bits=bits,
        finetune=asked(finetune, finetune_lr),
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
        integers = [
            f"--{name.replace('_', '-')}" for name in ("bits", "finetune", "finetune_lr") if _given(context, name)
        ]
        if integers:
            raise UsageError(f"{', '.join(integers)}: of an integer program; --target onnx holds the float network")
        _export_onnx(found, samples, float64, inline, force, as_json, quiet)
        return
    if pick is not None:
        from toolchain.front import member

        found = member(found, pick)
    with found.lock():
        narrator.say(f"run {found.name} -> {found.export(target)}")
        report = exporting.export(found, options, narrator)
    _exported(report, found.export(target), dump, narrator, as_json)
    if not as_json:
        narrator.next(run_view.after_export(found, report), runs_dir)


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
        narrator.next(f"check {folder}")


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


app.command(short_help="Run a program or graph on samples: what it does on target.")(cli_hardware.simulate)
app.command(short_help="Price a program or graph: fit, latency, energy band.")(cli_hardware.estimate)
app.command(short_help="Say where a program parts from its graph, and why.")(cli_diagnose.diagnose)


@app.command(short_help="Find the convention that a foreign .nir was written with.")
def whose(
    model: Annotated[Path, typer.Argument(help="A .nir of any tool.")],
    expect: Annotated[Path, typer.Option(help="RECORDED.npz: x, and output or spikes.NODE (docs/whose.md).")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the tool's convention (timestep, decay, reset, comparison) that gives the recorded spikes."""
    from toolchain import whose as detective
    from toolchain.narration import Narrator

    narrator = Narrator(quiet=quiet or as_json)
    with narrator.progress("conventions") as advance:
        verdict = detective.whose(model, expect, advance)
    if as_json:
        print_json({"schema": detective.SCHEMA, **verdict.to_json()})
    else:
        print_table(detective.as_table(verdict))
        for line in (verdict.headline, *verdict.lines):
            print_text(line)
        if verdict.exit_code == 0 and verdict.fitting[0].dialect.name:
            tool = verdict.fitting[0].dialect.name
            narrator.next(f"export {shlex.quote(str(model))} --data FILE --convention {tool}")
    raise typer.Exit(verdict.exit_code)


@app.command(short_help="Show the figures of an exported run, or of several.")
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
            print_json({"schema": "snnas.report.html/1", "path": str(path)})
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

    from toolchain.html import compared, figures_beside

    if as_json:
        print_json(compared(every))
        return
    head, rows = figures_beside(every)
    out = Table()
    for k, name in enumerate(head):
        out.add_column(name, justify="right" if 0 < k < len(head) - 1 else "left")
    for row in rows:
        out.add_row(*row)
    print_table(out)


app.command(short_help="Guard an exported graph in a pipeline.")(cli_check.check)
app.command(short_help="Say what a rule of snnas check means, and its mend.")(cli_check.explain)
app.command()(cli_machine.doctor)
app.command(short_help="Print the JSON Schema of what --json prints.")(cli_schema.schema)


def main() -> NoReturn:
    """Runs the command and turns every outcome into its exit code; a user never sees a traceback."""
    endings.prepare()
    endings.leave(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """The exit code of a command line; results on stdout, everything else on stderr."""
    # Threads that wait by spinning take the cores from those that work: on two busy cores a training was 5 times
    # slower with the default (measured). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return endings.run(app, arguments)


if __name__ == "__main__":
    main()
