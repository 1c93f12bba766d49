"""``snnas simulate``: what a program does on samples. Registered in ``app``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from snnas.toolchain.cli.options import AsJson, Model, Quiet, options_of, reads
from snnas.toolchain.output.stdout import print_shown

if TYPE_CHECKING:
    from snnas.toolchain.models.reading_options import ReadingOptions


@reads()
def simulate(
    model: Model,
    *,
    asked: ReadingOptions,
    stream: Annotated[
        int | None, typer.Option(metavar="K", help="K samples one after the other without a reset, beside the rest.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a program, or a graph compiled to one, on samples: accuracy, spikes and synops on target."""
    from snnas.toolchain.commands.models import SimulateOptions
    from snnas.toolchain.commands.models import simulate as run_on_samples
    from snnas.toolchain.output.stderr import Narrator

    narrator = Narrator(quiet=quiet)
    result = run_on_samples(options_of(SimulateOptions, locals(), reading=asked), narrator)
    print_shown(result, as_json)
    if not as_json:
        narrator.next(result.next_command)
