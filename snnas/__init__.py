"""snnas: searches, trains, compiles and checks spiking networks for neuromorphic chips.

    run = snnas.search_network("digits", budget={"energy_total": "60uJ"})     # finds, trains, keeps the run
    export = run.export("lava")                                               # NIR -> integer program, measured
    assert export.check(data="digits", max={"energy_total": "60uJ"}, min={"accuracy": "90%"})

What one begins with:

- ``search_network``, ``train_network``: to a trained ``Run``. ``load`` (``load_run``): what lies on disk.
- ``read_graph``, ``from_torch``: anybody's .nir or torch module as a ``Model``; ``find_convention``: whose it is.
- ``check``: the gate for pipelines. ``calibrate``: a board's own energy constants.
- ``compare_runs``, ``list_runs``, ``list_datasets``: what there is.

What one holds:

- ``Run``: ``export``, ``train``, ``resume``, ``write_page``, ``submit``, ``pack``, ``network``,
  ``to_spikingjelly``, ``to_snntorch``.
- ``Model``: ``compile``, ``export``, ``check``, ``run``, ``save``.
- ``Program``: ``simulate``, ``estimate``, ``save``. ``Export``: these and ``check``, ``diagnose``.
- ``Simulation``, ``Bill``, ``Findings``: results.

All of them print as the command line's tables, and in a notebook with the pictures of the page; ``to_dict()`` is what
``--json`` prints, ``to_frame()`` a table of pandas. Errors are those of the command line, each with its ``exit_code``:
``SnnasError`` and below it ``UsageError``, ``InvalidFileError``, ``UnsupportedError``, ``GateError``. The commands call
the same functions and print the same results. Importing snnas loads nothing: a name is imported where it is first used.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.hw_sim.errors import GateError as GateError
    from snnas.hw_sim.errors import InvalidFileError as InvalidFileError
    from snnas.hw_sim.errors import SnnasError as SnnasError
    from snnas.hw_sim.errors import UnsupportedError as UnsupportedError
    from snnas.hw_sim.errors import UsageError as UsageError
    from snnas.toolchain.commands.calibrate import calibrate as calibrate
    from snnas.toolchain.commands.check import Findings as Findings
    from snnas.toolchain.commands.check import check as check
    from snnas.toolchain.commands.data import fetch_dataset as fetch_dataset
    from snnas.toolchain.commands.data import list_datasets as list_datasets
    from snnas.toolchain.commands.exported import Export as Export
    from snnas.toolchain.commands.from_torch import from_torch as from_torch
    from snnas.toolchain.commands.machine import examine_installation as examine_installation
    from snnas.toolchain.commands.model import Model as Model
    from snnas.toolchain.commands.model import find_convention as find_convention
    from snnas.toolchain.commands.model import read_graph as read_graph
    from snnas.toolchain.commands.outcomes import Bill as Bill
    from snnas.toolchain.commands.outcomes import Simulation as Simulation
    from snnas.toolchain.commands.program import Program as Program
    from snnas.toolchain.commands.run import Run as Run
    from snnas.toolchain.commands.runs import list_runs as list_runs
    from snnas.toolchain.commands.verbs import compare_runs as compare_runs
    from snnas.toolchain.commands.verbs import load as load
    from snnas.toolchain.commands.verbs import load_run as load_run
    from snnas.toolchain.commands.verbs import search_network as search_network
    from snnas.toolchain.commands.verbs import train_network as train_network

_ERRORS = ("GateError", "InvalidFileError", "SnnasError", "UnsupportedError", "UsageError")
_VERBS = ("compare_runs", "load", "load_run", "search_network", "train_network")
_HOMES = {
    **dict.fromkeys(_ERRORS, "hw_sim.errors"),
    **dict.fromkeys(_VERBS, "toolchain.commands.verbs"),
    **dict.fromkeys(("Findings", "check"), "toolchain.commands.check"),
    **dict.fromkeys(("fetch_dataset", "list_datasets"), "toolchain.commands.data"),
    **dict.fromkeys(("Bill", "Simulation"), "toolchain.commands.outcomes"),
    **dict.fromkeys(("Model", "find_convention", "read_graph"), "toolchain.commands.model"),
    "calibrate": "toolchain.commands.calibrate",
    "Export": "toolchain.commands.exported",
    "Program": "toolchain.commands.program",
    "Run": "toolchain.commands.run",
    "examine_installation": "toolchain.commands.machine",
    "from_torch": "toolchain.commands.from_torch",
    "list_runs": "toolchain.commands.runs",
}
__all__ = list(_HOMES)
_load = lazily(__name__, _HOMES)


def __getattr__(name: str) -> object:
    return _load(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
