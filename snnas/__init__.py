"""snnas: searches, trains, compiles and checks spiking networks for neuromorphic chips.

What a user can ask for, each a function that takes one record of options (the command line's) and returns a typed
result; ``snnas.simulate(snnas.SimulateOptions(model=Path("program.npz")))`` does what ``snnas simulate program.npz``
does. Functions are verbs: ``snnas.search``, ``snnas.export``, ``snnas.hw_sim`` and ``snnas.toolchain`` are packages.

- ``run_search``, ``resume_search``, ``run_training``: to a trained run; ``list_runs``, ``find_run``, ``remove_runs``.
- ``export_run``, ``export_graph``: a run, or anybody's .nir, to a program on target.
- ``open_model``, ``find_convention``: any model, and whose it is. ``simulate``, ``estimate``: what it does and costs.
- ``diagnose``, ``check``, ``explain_rules``: where program and graph part; the gate for pipelines. ``attest``: its sum.
- ``read_report``, ``compare_runs``, ``write_page``: figures of runs.
- ``list_datasets``, ``fetch_dataset``, ``examine_installation``, ``set_up_lava``, ``write_profile_template``.

``ReadingOptions`` are how a foreign graph is read. A ``Narrator`` tells on stderr what goes on; without one a function
is silent but for notes. Errors are those of ``snnas.hw_sim.errors``. Importing snnas loads nothing: a name is imported
where it is first used.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.toolchain.checking.options import CheckOptions as CheckOptions
    from snnas.toolchain.commands.check import Attested as Attested
    from snnas.toolchain.commands.check import Checked as Checked
    from snnas.toolchain.commands.check import attest as attest
    from snnas.toolchain.commands.check import check as check
    from snnas.toolchain.commands.check import explain_rules as explain_rules
    from snnas.toolchain.commands.convention import ConventionOptions as ConventionOptions
    from snnas.toolchain.commands.convention import find_convention as find_convention
    from snnas.toolchain.commands.data import fetch_dataset as fetch_dataset
    from snnas.toolchain.commands.data import list_datasets as list_datasets
    from snnas.toolchain.commands.diagnose import Diagnosed as Diagnosed
    from snnas.toolchain.commands.diagnose import DiagnoseOptions as DiagnoseOptions
    from snnas.toolchain.commands.diagnose import diagnose as diagnose
    from snnas.toolchain.commands.export import Exported as Exported
    from snnas.toolchain.commands.export import GraphExportOptions as GraphExportOptions
    from snnas.toolchain.commands.export import RunExportOptions as RunExportOptions
    from snnas.toolchain.commands.export import export_graph as export_graph
    from snnas.toolchain.commands.export import export_run as export_run
    from snnas.toolchain.commands.machine import examine_installation as examine_installation
    from snnas.toolchain.commands.machine import set_up_lava as set_up_lava
    from snnas.toolchain.commands.models import Estimated as Estimated
    from snnas.toolchain.commands.models import EstimateOptions as EstimateOptions
    from snnas.toolchain.commands.models import Simulated as Simulated
    from snnas.toolchain.commands.models import SimulateOptions as SimulateOptions
    from snnas.toolchain.commands.models import estimate as estimate
    from snnas.toolchain.commands.models import open_model as open_model
    from snnas.toolchain.commands.models import simulate as simulate
    from snnas.toolchain.commands.models import write_profile_template as write_profile_template
    from snnas.toolchain.commands.report import ReportOptions as ReportOptions
    from snnas.toolchain.commands.report import compare_runs as compare_runs
    from snnas.toolchain.commands.report import read_report as read_report
    from snnas.toolchain.commands.report import write_page as write_page
    from snnas.toolchain.commands.runs import find_run as find_run
    from snnas.toolchain.commands.runs import list_runs as list_runs
    from snnas.toolchain.commands.runs import remove_runs as remove_runs
    from snnas.toolchain.commands.search import Searched as Searched
    from snnas.toolchain.commands.search import resume_search as resume_search
    from snnas.toolchain.commands.search import run_search as run_search
    from snnas.toolchain.commands.train import TrainOptions as TrainOptions
    from snnas.toolchain.commands.train import run_training as run_training
    from snnas.toolchain.models.reading_options import ReadingOptions as ReadingOptions
    from snnas.toolchain.output.stderr import Narrator as Narrator
    from snnas.toolchain.searching.options import ResumeOptions as ResumeOptions
    from snnas.toolchain.searching.options import SearchOptions as SearchOptions

_HOMES = {
    **dict.fromkeys(("Attested", "Checked", "attest", "check", "explain_rules"), "commands.check"),
    **dict.fromkeys(("ConventionOptions", "find_convention"), "commands.convention"),
    **dict.fromkeys(("fetch_dataset", "list_datasets"), "commands.data"),
    **dict.fromkeys(("Diagnosed", "DiagnoseOptions", "diagnose"), "commands.diagnose"),
    **dict.fromkeys(
        ("Exported", "GraphExportOptions", "RunExportOptions", "export_graph", "export_run"), "commands.export"
    ),
    **dict.fromkeys(("examine_installation", "set_up_lava"), "commands.machine"),
    **dict.fromkeys(("Estimated", "EstimateOptions", "Simulated", "SimulateOptions"), "commands.models"),
    **dict.fromkeys(("estimate", "open_model", "simulate", "write_profile_template"), "commands.models"),
    **dict.fromkeys(("ReportOptions", "compare_runs", "read_report", "write_page"), "commands.report"),
    **dict.fromkeys(("find_run", "list_runs", "remove_runs"), "commands.runs"),
    **dict.fromkeys(("Searched", "resume_search", "run_search"), "commands.search"),
    **dict.fromkeys(("TrainOptions", "run_training"), "commands.train"),
    "CheckOptions": "checking.options",
    **dict.fromkeys(("ResumeOptions", "SearchOptions"), "searching.options"),
    "ReadingOptions": "models.reading_options",
    "Narrator": "output.stderr",
}
__all__ = list(_HOMES)
__getattr__ = lazily(f"{__name__}.toolchain", _HOMES)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
