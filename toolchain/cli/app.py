"""The command line: options in, exit code out.

A command stands in the module of its name, what it does in ``commands/``.

Results go to stdout, narration and progress to stderr. In those modules imports of ours stand inside the functions, so
that ``snnas --help`` answers in a third of a second.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from snnas.toolchain.cli import exits
from snnas.toolchain.cli.attest import attest
from snnas.toolchain.cli.bench import bench_app
from snnas.toolchain.cli.calibrate import calibrate
from snnas.toolchain.cli.check import check
from snnas.toolchain.cli.data import data_app
from snnas.toolchain.cli.diagnose import diagnose
from snnas.toolchain.cli.doctor import doctor
from snnas.toolchain.cli.estimate import estimate
from snnas.toolchain.cli.explain import explain
from snnas.toolchain.cli.export import export
from snnas.toolchain.cli.help_groups import grouped
from snnas.toolchain.cli.lava import lava_app
from snnas.toolchain.cli.report import report
from snnas.toolchain.cli.runs import runs_app
from snnas.toolchain.cli.schema import schema
from snnas.toolchain.cli.search import search
from snnas.toolchain.cli.simulate import simulate
from snnas.toolchain.cli.submit import submit
from snnas.toolchain.cli.train import train
from snnas.toolchain.cli.whose import whose
from snnas.toolchain.output.stdout import print_version

app = typer.Typer(
    name="snnas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120, "help_option_names": ["--help", "-h"]},
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


app.command(context_settings={"allow_extra_args": True})(search)  # which says what they should be
app.command(short_help="Train a run's network, or a known cell on other data.")(train)
app.command(short_help="Take a run or anybody's .nir to a program on target.")(export)
app.command(short_help="Run a program or graph on samples: what it does on target.")(simulate)
app.command(short_help="Price a program or graph: fit, latency, energy band.")(estimate)
app.command(short_help="Measure a chip's energy constants with probe programs.")(calibrate)
app.command(short_help="Say where a program parts from its graph, and why.")(diagnose)
app.command(short_help="Find the convention that a foreign .nir was written with.")(whose)
app.command(short_help="Show the figures of an exported run, or of several.")(report)
app.command(short_help="Guard an exported graph in a pipeline.")(check)
app.command(short_help="Sum up an export in a document that others can make again.")(attest)
app.command(short_help="Write a run as a row of the leaderboard, or hold it against one.")(submit)
app.command(short_help="Say what a rule of snnas check means, and its mend.")(explain)
app.command()(doctor)
app.command(short_help="Print the JSON Schema of what --json prints.")(schema)
grouped(app)
app.add_typer(runs_app, name="runs")
app.add_typer(lava_app, name="lava")
app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")


def main() -> NoReturn:
    """Runs the command and turns every outcome into its exit code; a user never sees a traceback."""
    exits.prepare()
    exits.leave(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """The exit code of a command line; results on stdout, everything else on stderr."""
    # Threads that wait by spinning take the cores from those that work: on two busy cores a training was 5 times
    # slower with the default (measured). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return exits.run_app(app, _usual(arguments))


def _usual(arguments: list[str]) -> list[str]:
    """``help``, ``help COMMAND`` and ``version`` as the options that they mean."""
    match arguments:
        case ["help", *command]:
            return [*command, "--help"]
        case ["version"]:
            return ["--version"]
    return arguments


if __name__ == "__main__":
    main()
