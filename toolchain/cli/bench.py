"""``snnas bench``: measurements that anybody can repeat. Options in, exit code out; the work stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table

bench_app = typer.Typer(no_args_is_help=True, help="Measurements of snnas itself.")


@bench_app.callback()
def bench() -> None:
    """Measurements of snnas itself; each prints its seed, so that it can be repeated."""


@bench_app.command()
def conformance(
    genotypes: Annotated[int, typer.Option(help="How many random genotypes, half of them recurrent.")] = 200,
    lava: Annotated[int, typer.Option(help="How many of the compiled ones Lava runs, half of them recurrent.")] = 20,
    samples: Annotated[int, typer.Option(help="Samples per genotype, back to back in one Lava run.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of genotypes, weights and inputs.")] = 0,
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    lava_python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take random genotypes of both spaces to programs and to stock Lava; exit 1 where one spike differs."""
    from snnas.toolchain.bench.conformance import conformance as measure
    from snnas.toolchain.output.stderr import Narrator

    result = measure(
        genotypes=genotypes,
        lava=lava,
        seed=seed,
        samples=samples,
        python=lava_python,
        require_lava=require_lava,
        narrator=Narrator(quiet=quiet),
    )
    figures = result.to_json()
    if as_json:
        print_json(figures)
    else:
        _print(figures)
    if not result.good:
        raise typer.Exit(1)


@bench_app.command()
def simulate(
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and inputs.")] = 0,
    lava_samples: Annotated[int, typer.Option(min=1, max=64, help="Samples that Lava runs, back to back.")] = 16,
    images: Annotated[int, typer.Option(min=1, help="Images of the comparison with the float network.")] = 2000,
    compile: Annotated[bool, typer.Option("--compile", help="Fuse the neuron updates with torch.compile.")] = False,
    no_sizes: Annotated[bool, typer.Option("--no-sizes", help="Leave out the table of costs.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the table of costs into this .svg.")] = None,
    lava_python: Annotated[Path | None, typer.Option(help="The worker's Python 3.10.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure the simulator against Lava, the float network and sizes; exit 1 under 60x or where a spike differs."""
    from snnas.toolchain.bench import simulate as bench_simulate
    from snnas.toolchain.bench.sizes import write_picture
    from snnas.toolchain.output.drawing import check_picture
    from snnas.toolchain.output.stderr import Narrator

    if plot is not None:
        check_picture(plot, "--plot")
    result = bench_simulate.simulate_bench(
        Narrator(quiet=quiet),
        seed=seed,
        lava_python=lava_python,
        lava_samples=lava_samples,
        images=images,
        compile=compile,
        scaling=not no_sizes or plot is not None,
    )
    if plot is not None:
        write_picture(result["sizes"], plot)
    if as_json:
        print_json(result)
    else:
        bench_simulate.print_result(result)
    if result["differing_spikes"] or result["ratio_batch64"] < bench_simulate.GATE:
        raise typer.Exit(1)


@bench_app.command()
def search(
    turns: Annotated[int, typer.Option(min=1, help="How often both searches run, in turns.")] = 5,
    width: Annotated[int, typer.Option(min=1, help="Width; the cells have 2 and 4 times as many channels.")] = 4,
    batch: Annotated[int, typer.Option(min=2, help="Samples that score every candidate.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and batch.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Time the LightSNN search against a straightforward loop with equal scores; exit 1 below the gate."""
    from snnas.toolchain.bench import search as bench_search
    from snnas.toolchain.output.stderr import Narrator

    figures = bench_search.measure(turns=turns, width=width, batch=batch, seed=seed, say=Narrator(quiet=quiet).say)
    if as_json:
        print_json(figures)
    else:
        bench_search.print_result(figures)
    if not figures["good"]:
        raise typer.Exit(1)


@bench_app.command()
def spikenas(
    table: Annotated[Path, typer.Option(help="SpikeNAS-Bench as .csv: ops (six digits) or id, test_acc, epochs.")],
    images: Annotated[Path, typer.Option(help="Images of its data set: an .npz with x and y.")],
    rows: Annotated[int, typer.Option(help="Connected rows, drawn at random; 0 takes all.")] = 400,
    seeds: Annotated[int, typer.Option(help="Draws of weights and images.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 8,
    batch: Annotated[int, typer.Option(help="Images per architecture and seed.")] = 64,
    size: Annotated[int, typer.Option(help="Images are averaged down to this width.")] = 16,
    epochs: Annotated[int, typer.Option(help="Only rows trained so long; 0 takes all.")] = 100,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of rows, weights, images and bootstrap.")] = 0,
    no_gradients: Annotated[bool, typer.Option("--no-gradients", help="Leave out what needs a backward pass.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here, and a log beside it that resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank trained architectures by training-free proxies; exit 1 where ours is not above every plain one."""
    from snnas.toolchain.output.stderr import Narrator
    from tests.studies import spikenas as bench_spikenas

    options = bench_spikenas.Options(
        rows=rows,
        seeds=seeds,
        channels=channels,
        batch=batch,
        size=size,
        epochs=epochs,
        seed=seed,
        draws=draws,
        gradients=not no_gradients,
    )
    result = bench_spikenas.spikenas_bench(table, images, options, Narrator(quiet=quiet), out)
    if as_json:
        print_json(result)
    else:
        bench_spikenas.print_result(result)
    if not result["gate"]["passed"]:
        raise typer.Exit(1)


@bench_app.command()
def worth(
    dataset: Annotated[str, typer.Option(help="A data set, as snnas search takes it.")] = "digits",
    widths: Annotated[str, typer.Option(help="Channels of the first cell, ascending.")] = "2,4,8",
    seeds: Annotated[int, typer.Option(help="How many seeds, counted from --seed.")] = 5,
    random: Annotated[int, typer.Option(help="Random valid cells per seed.")] = 2,
    epochs: Annotated[int, typer.Option(help="Epochs of every training.")] = 15,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Timesteps per sample.")] = 5,
    hidden: Annotated[int, typer.Option(help="Spiking neurons of the classifier.")] = 64,
    train: Annotated[int, typer.Option(help="Training samples taken; 0 takes all.")] = 0,
    test: Annotated[int, typer.Option(help="Test samples taken; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap.")] = 2000,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare searched cells with random ones and a plain chain, at equal training and equal energy on target."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.output.stderr import Narrator
    from tests.studies import worth as bench_worth

    try:
        channels = tuple(int(width) for width in widths.split(","))
    except ValueError:
        raise UsageError(f"--widths {widths}: expected whole numbers with commas between, like 2,4,8") from None
    options = bench_worth.Options(
        dataset=dataset,
        widths=channels,
        seeds=seeds,
        random=random,
        epochs=epochs,
        timesteps=timesteps,
        hidden=hidden,
        train=train,
        test=test,
        seed=seed,
        draws=draws,
    )
    result = bench_worth.worth(options, Narrator(quiet=quiet), out)
    if as_json:
        print_json(result)
    else:
        bench_worth.print_result(result)


@bench_app.command()
def train(
    turns: Annotated[int, typer.Option(min=1, help="Turns of either loop; medians count.")] = 7,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the first cell.")] = 32,
    pixels: Annotated[int, typer.Option(min=4, help="Side of the images.")] = 32,
    batch: Annotated[int, typer.Option(min=2, help="Images per step.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and images.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Time training steps against a straightforward step-by-step loop; exit 1 below the gate or at unequal losses."""
    from snnas.toolchain.bench import train as bench_train
    from snnas.toolchain.output.stderr import Narrator

    say = Narrator(quiet=quiet).say
    figures = bench_train.measure(turns=turns, channels=channels, pixels=pixels, batch=batch, seed=seed, say=say)
    if as_json:
        print_json(figures)
    else:
        bench_train.print_result(figures)
    if not figures["good"]:
        raise typer.Exit(1)


@bench_app.command()
def robustness(
    run: Annotated[str | None, typer.Argument(help="A trained run; the newest one where left out.")] = None,
    runs_dir: Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of the test split.")] = 500,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the noise at each strength.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of the noise.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure accuracy under noise, dropped and jittered events and weight noise: float network and on target."""
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import run as runs
    from tests.studies import robustness as bench_robustness

    found = runs.find(runs.directory(runs_dir), run)
    figures = bench_robustness.run(found, Narrator(quiet=quiet), samples=samples, draws=draws, seed=seed)
    if as_json:
        print_json(figures)
    else:
        bench_robustness.print_result(figures)


@bench_app.command()
def bits(
    runs: Annotated[list[str] | None, typer.Argument(help="Trained runs; new ones, one per seed, without.")] = None,
    dataset: Annotated[str, typer.Option(help="Without runs: the data set to search and train on.")] = "digits",
    widths: Annotated[str, typer.Option(help="Bits of a weight, some of 8, 6 and 4.")] = "8,6,4",
    seeds: Annotated[int, typer.Option(help="New networks, or fine-tunings of each given run.")] = 5,
    epochs: Annotated[int, typer.Option(help="Epochs of every fine-tuning.")] = 8,
    rate: Annotated[float, typer.Option("--finetune-lr", help="Learning rate of the fine-tuning.")] = 3e-3,
    train: Annotated[int, typer.Option(help="Training samples taken; 0 takes all.")] = 0,
    test: Annotated[int, typer.Option(help="Test samples taken; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap.")] = 2000,
    runs_dir: Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what weights of 8, 6 and 4 bits cost, before and after fine-tuning; exit 1 above the gate."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import run as on_disk
    from tests.studies import bits as bench_bits

    folder = on_disk.directory(runs_dir)
    try:
        several = tuple(int(width) for width in widths.split(","))
    except ValueError:
        raise UsageError(f"--widths {widths}: expected whole numbers with commas between, like 8,4") from None
    options = bench_bits.Options(
        dataset=dataset,
        widths=several,
        seeds=seeds,
        epochs=epochs,
        rate=rate,
        train=train,
        test=test,
        seed=seed,
        draws=draws,
    )
    given = [on_disk.find(folder, name) for name in runs or []]
    result = bench_bits.bits(given, options, Narrator(quiet=quiet), out, folder)
    if as_json:
        print_json(result)
    else:
        bench_bits.print_result(result)
    if not result["good"]:
        raise typer.Exit(1)


@bench_app.command("mse-nas")
def mse_nas(
    dataset: Annotated[str, typer.Option(help="A data set, as snnas search takes it.")] = "digits",
    genomes: Annotated[int, typer.Option(help="Random genomes, all different.")] = 40,
    epochs: Annotated[int, typer.Option(help="Epochs of each one's training.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 6,
    cells: Annotated[int, typer.Option(help="Cells, reductions included.")] = 4,
    timesteps: Annotated[int, typer.Option(help="T.")] = 4,
    batch: Annotated[int, typer.Option(help="Samples of each of the two batches of the fitness.")] = 64,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of genomes, weights, samples and bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here, and a log beside it that resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Correlate the training-free fitness of motif genomes with their accuracy after a short training."""
    from snnas.toolchain.output.stderr import Narrator
    from tests.studies import mse_nas as bench_mse

    options = bench_mse.Options(
        dataset=dataset,
        genomes=genomes,
        epochs=epochs,
        channels=channels,
        cells=cells,
        timesteps=timesteps,
        batch=batch,
        seed=seed,
        draws=draws,
    )
    result = bench_mse.run(options, Narrator(quiet=quiet), out)
    if as_json:
        print_json(result)
    else:
        bench_mse.print_result(result)


@bench_app.command()
def folds(
    run: Annotated[str | None, typer.Argument(help="A searched run; the newest one where left out.")] = None,
    runs_dir: Annotated[Path | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
    folds: Annotated[int, typer.Option(help="How many folds.")] = 10,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .toml file [the run's own].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every fold [the recipe's].")] = None,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    seed: Annotated[int, typer.Option(min=0, help="The one seed of folds and trainings.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cross-validate a run's cell on its data set: every sample judged once, by a network that never saw it."""
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.runs import run as runs
    from tests.studies import folds as bench_folds

    found = runs.find(runs.directory(runs_dir), run)
    options = bench_folds.Options(folds=folds, recipe=recipe, epochs=epochs, profile=profile, seed=seed)
    result = bench_folds.cross_validate(found, options, Narrator(quiet=quiet), out)
    if as_json:
        print_json(result)
    else:
        bench_folds.print_result(result)


@bench_app.command()
def ranges(
    programs: Annotated[list[Path] | None, typer.Argument(help="program.npz files; four random ones if none.")] = None,
    inputs: Annotated[int, typer.Option(help="Adversarial inputs in all.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and inputs.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack the proved register ranges of programs; exit 1 where an input gets beyond one."""
    from snnas.toolchain.output.stderr import Narrator
    from tests.studies import ranges as bench_ranges

    figures = bench_ranges.measure(Narrator(quiet=quiet), inputs=inputs, seed=seed, programs=programs or ())
    if as_json:
        print_json(figures)
    else:
        bench_ranges.print_result(figures)
    if figures["counterexamples"]:
        raise typer.Exit(1)


def _print(figures: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"conformance, seed {figures['seed']}", title_justify="left", show_header=False)
    table.add_row("genotypes", f"{figures['genotypes']}, {figures['recurrent']} recurrent")
    table.add_row("compiled", f"{figures['compiled']} in {figures['seconds']:.0f} s")
    table.add_row("refused", str(figures["refused"]))
    for reason, count in figures["refusals"].items():
        table.add_row("", f"{count} x {reason}")
    table.add_row("periods", ", ".join(f"P = {period}: {n}" for period, n in figures["periods"].items()))
    table.add_row(".nir against deployed network", f"{figures['nir_differing_spikes']} spikes differ")
    lost = figures["quantisation_differing"]
    table.add_row(
        "program against float graph", f"{lost['feed_forward']:.1%} of spikes differ, recurrent {lost['recurrent']:.1%}"
    )
    if figures["lava_checked"]:
        table.add_row(
            "Lava",
            f"{figures['lava_checked']} genotypes, {figures['lava_recurrent']} recurrent, {figures['lava_samples']} "
            f"samples each, in {figures['seconds_lava']:.0f} s ({figures['lava']})",
        )
        table.add_row(
            "Lava against program",
            f"{figures['lava_differing_spikes']} of {figures['lava_spikes_compared']} spikes differ",
        )
    else:
        table.add_row("Lava", f"not run: {figures['lava']}")
    for line in figures["lava_first_differences"]:
        table.add_row("", line)
    print_table(table)
