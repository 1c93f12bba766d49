"""``snnas bench``: measurements that anybody can repeat. Registered in ``app``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.toolchain.cli.options import AsJson, Quiet, RunsDir, options_of
from snnas.toolchain.output.stdout import print_json

# Scientific studies are no part of what is installed; they stand in tests/studies of a checkout.
STUDIES = (
    "bits",
    "calibration",
    "channel_scales",
    "deploy_table",
    "fit_instructions",
    "folds",
    "growth",
    "heads",
    "instructions",
    "int8_cnn",
    "layers_in_a_row",
    "mse_nas",
    "periods",
    "published_candidates",
    "published_search",
    "ranges",
    "recipes",
    "recurrent",
    "robustness",
    "search_volume",
    "signal_baselines",
    "signal_memory",
    "slow_networks",
    "spikenas",
    "time_to_accuracy",
    "trained_search",
    "weight_sharing",
    "worth",
)

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
    target: Annotated[
        str, typer.Option(help="lava; or c: all programs as C, some of them on emulated cores.")
    ] = "lava",
    emulated: Annotated[int, typer.Option(help="With --target c: how many programs emulated cores run.")] = 20,
    foreign: Annotated[
        int, typer.Option(help="Random graphs as other tools write them, so many, in place of genotypes.")
    ] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take random genotypes of both spaces to programs and to stock Lava, or to C; exit 1 where one spike differs."""
    from snnas.toolchain.bench.conformance import ConformanceBenchOptions, bench_conformance, print_result
    from snnas.toolchain.bench.foreign.conformance import print_result as print_foreign
    from snnas.toolchain.output.stderr import Narrator

    options = options_of(ConformanceBenchOptions, locals())
    result = bench_conformance(options, Narrator(quiet=quiet))
    _tell(result.to_json(), as_json, print_foreign if foreign else print_result, good=result.good)


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
    from snnas.toolchain.bench.simulate import SimulateBenchOptions, bench_simulate, good, print_result
    from snnas.toolchain.output.stderr import Narrator

    options = options_of(SimulateBenchOptions, locals(), sizes=not no_sizes)
    result = bench_simulate(options, Narrator(quiet=quiet))
    _tell(result, as_json, print_result, good=good(result))


@bench_app.command()
def deploy(
    table: Annotated[Path, typer.Argument(help="A table of tests.studies.deploy_table; docs/data has one.")],
    budgets: Annotated[str, typer.Option(help="Energies per inference in uJ, upper end, with commas.")] = "30,60,120",
    trainings: Annotated[int, typer.Option(help="Short trainings of every search.")] = 48,
    games: Annotated[int, typer.Option(help="Searches of every kind at every budget.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of all draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Play searches on a table of every network's accuracy and energy on target; rank proxies against it."""
    from snnas.hw_sim.errors import UsageError
    from snnas.toolchain.bench.deploy import DeployBenchOptions, bench_deploy, print_result

    try:
        energies = tuple(float(part) for part in budgets.split(","))
    except ValueError:
        raise UsageError(f"--budgets {budgets}: expected energies in uJ with commas between, like 15,30") from None
    options = options_of(DeployBenchOptions, locals(), budgets=energies)
    _tell(bench_deploy(options), as_json, print_result, good=True)


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
    from snnas.toolchain.bench.search import SearchBenchOptions, bench_search, print_result
    from snnas.toolchain.output.stderr import Narrator

    options = options_of(SearchBenchOptions, locals())
    figures = bench_search(options, Narrator(quiet=quiet))
    _tell(figures, as_json, print_result, good=figures["good"])


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
    from snnas.toolchain.bench.train import TrainBenchOptions, bench_train, print_result
    from snnas.toolchain.output.stderr import Narrator

    options = options_of(TrainBenchOptions, locals())
    figures = bench_train(options, Narrator(quiet=quiet))
    _tell(figures, as_json, print_result, good=figures["good"])


@bench_app.command()
def gpu(
    device: Annotated[str, typer.Option(help="cuda or cuda:N; cpu with --quick to try the code.")] = "cuda",
    quick: Annotated[bool, typer.Option("--quick", help="Everything small: tries the code, measures nothing.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="For all of it; the training gets what is left.")] = 10.0,
    dataset: Annotated[str, typer.Option(help="That is trained on: a name, or the path of a .npz.")] = "cifar10",
    recipe: Annotated[str, typer.Option(help="Of the training: a name, or a .toml file.")] = "cifar10_fast",
    epochs: Annotated[int, typer.Option(min=1, help="Of the training.")] = 40,
    runs_dir: RunsDir = None,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and inputs.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure all that needs a GPU: parity with the CPU, waiting, throughput, search, training; exit 1 below a gate."""
    from snnas.toolchain.bench.gpu import GpuBenchOptions, bench_gpu, print_result
    from snnas.toolchain.output.stderr import Narrator

    options = options_of(GpuBenchOptions, locals())
    figures = bench_gpu(options, Narrator(quiet=quiet))
    _tell(figures, as_json, print_result, good=figures["good"])


def _tell(figures: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None], *, good: bool) -> None:
    """Prints the figures; exit code 1 where they are not good."""
    if as_json:
        print_json(figures)
    else:
        show(figures)
    if not good:
        raise typer.Exit(1)
