"""``snnas bench``: measurements that anybody can repeat. Options in, exit code out; the work stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stdout import print_json, print_table

# Scientific studies are no part of what is installed; they stand in tests/studies of a checkout.
STUDIES = ("bits", "folds", "mse_nas", "ranges", "robustness", "spikenas", "worth")

bench_app = typer.Typer(no_args_is_help=True, help="Measurements of snnas itself.")


@bench_app.callback(
    epilog=f"Scientific studies are run in a checkout, with python -m tests.studies.NAME: {', '.join(STUDIES)}."
)
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
