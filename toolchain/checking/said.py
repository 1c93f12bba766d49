"""What report.json says beside the figures that a limit binds on, held against what is made again (SN307).

Made here are tables in the report's own shape. What an older version did not say yet may be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.compiler.quantisation_error import PopulationError, with_spikes
from snnas.export.compiler.ranges import Range
from snnas.export.executors import interpreter
from snnas.export.formats.netx_file import why_not
from snnas.export.graph.graph import Graph
from snnas.hw_sim.energy.price import Bill
from snnas.hw_sim.host_stage import integer_stages
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.silence import Silence
from snnas.toolchain.checking.findings import Book, amount_of
from snnas.toolchain.checking.made import leaf
from snnas.toolchain.checking.samples import OBSERVED_SAMPLES, Samples
from snnas.toolchain.data.statistics import balanced_accuracy, uneven, wilson
from snnas.toolchain.exporting.on_target import Figures
from snnas.toolchain.exporting.stimulus import LIMIT_BYTES

if TYPE_CHECKING:
    from snnas.toolchain.checking.folder_runs import Recorded

EQUAL = 1e-6  # relative: sums in float64, of constants in any order
SMALL = 1e-6  # of a rounding error, which is a share itself and may be all noise
MEASURED = ("silent", "populations", "ties", "samples", "constant", "no_measurement")
Tree = Mapping[str, Any]


def beside(report: Tree, run: Figures, samples: Samples) -> dict[str, Any]:
    """Of a run on all of the report's samples: intervals, silence, overhead, and what fine-tuning came to."""
    n = len(samples)
    made: dict[str, Any] = {"spikes_per_inference": {"overhead": run.counts.overhead_spikes / n}}
    if leaf(report, ("silence",)) is not None:
        made["silence"] = {"on_target": measured_of(run.silence)}
    if samples.y is None:
        return made
    made["accuracy"] = {"on_target": run.accuracy, "interval": list(wilson(_hits(run, samples.y), n))}
    if "silence" in made or "balanced_on_target" in report["accuracy"]:  # else of an older version, which said neither
        balanced = balanced_accuracy(run.predictions, samples.y) if uneven(samples.y) else None
        made["accuracy"]["balanced_on_target"] = balanced
    if leaf(report, ("finetune",)) is not None:
        made["finetune"] = {"test": {"after": run.accuracy}}
    return made


def measured_of(silence: Silence) -> dict[str, Any]:
    """A silence without its likely cause, which is a guess."""
    return {name: value for name, value in silence.to_json().items() if name in MEASURED}


def _hits(run: Figures, y: np.ndarray) -> int:
    return int((run.predictions == y).sum())


def rests_on(bill: Bill | None) -> dict[str, Any]:
    """What the report says of its energy beside the energy: on what it rests, and what is not in it."""
    if bill is None:
        return {"energy_uJ": {"evidence": None, "unpriced": []}}
    return {"energy_uJ": {"evidence": bill.evidence, "unpriced": [name for name, _ in bill.unpriced]}}


def check_program_said(
    book: Book,
    graph: Graph,
    program: Program,
    report: Tree,
    errors: Mapping[str, PopulationError],
    recorded: Recorded,
    run: interpreter.Run,
    *,
    older: bool,
) -> None:
    """SN307: what rounding did, with the recorded spikes that differ by it, and what else follows from the program.

    errors: made again. run: the graph on the recorded samples. older: of a version that may have said less.
    """
    said = report["quantisation"]
    made = {name: e.to_json() for name, e in with_spikes(errors, program, recorded.golden, run.spikes).items()}
    problem = other_rows(said, made, "quantisation")
    for name, error in () if problem else made.items():
        problem = problem or _other_error(said[name], error, f"quantisation.{name}", older=older)
    problem = problem or first_unlike(report, _of_program(graph, program, report))
    if problem is None and report.get("silence") is None and not older:
        problem = "silence is missing; export again"
    good = f"of {amount_of(len(made), 'population')} as made again"
    book.judge("SN307", "recorded rounding", problem, good, book.subject / "report.json")


def _of_program(graph: Graph, program: Program, report: Tree) -> dict[str, Any]:
    """What program and graph say, of the tables that not every report has."""
    made: dict[str, Any] = {}
    if report.get("finetune") is not None:
        weights = sum(s.map.weight.size for s in program.synapses)
        kept = leaf(report, ("finetune", "best_epoch"))
        made["finetune"] = {"weights": weights, "bits": program.weight_bits, **({} if kept else {"weights_changed": 0})}
    if report.get("host") is not None or program.host_integers is not None:
        made["host"] = _integer_host(program)
    if report.get("convention") is not None or "verified" in graph.meta:  # of anybody's graph
        said = {name: graph.meta[name] for name in ("verified",) if name in graph.meta}
        said |= {"input_kind": program.input_kind, "timesteps": program.timesteps}
        made |= {"convention": {**graph.convention.to_metadata(), **said}, "netx": why_not(program) or "model.net"}
    return made


def _integer_host(program: Program) -> dict[str, Any]:
    """How an integer host stage sees pixels."""
    given = program.host_integers
    if given is None:
        return {"arithmetic": "float"}
    shifts = {name: stage.shift for name, stage in integer_stages(program).items()}
    return {"step": given.step, "zero": given.zero, "finer": list(given.finer) or None, "shifts": shifts}


def _other_error(said: Tree, made: Tree, path: str, *, older: bool) -> str | None:
    """As ``unlike``, but that errors near 0 are noise, and that nothing may be missing."""
    for key, value in made.items():
        if key not in said:
            if older:
                continue
            return f"{path}.{key} is missing; export again"
        was = said[key]
        if type(value) is float and isinstance(was, int | float) and abs(was - value) <= SMALL:
            continue
        if wrong := unlike(was, value, f"{path}.{key}"):
            return wrong
    return None


def check_samples_said(book: Book, samples: Samples, said: float) -> None:
    """SN307: the report is of the samples that the folder holds; of more only where no more fit.

    Else figures of samples that nobody has would be compared with nothing.
    """
    held, problem = len(samples), None
    room = (held + 1) * samples.x[0].size * samples.x.itemsize <= LIMIT_BYTES
    if said < held or (said > held and room):
        problem = f"the report is of {said:g} samples, stimulus.npz holds {held}"
        problem += " and has room for more; export again" if said > held else "; export again"
    good = f"{amount_of(held, 'sample')} of the report's {said:g}"
    book.judge("SN307", "recorded samples", problem, good, book.subject / "report.json")


def check_ranges_said(book: Book, report: Tree, found: Mapping[str, Range], *, watched: int) -> None:
    """SN307: which integers can occur, and how many populations that is proved of.

    found: made again, where not proved on so many samples; where the export watched more, it is its own word.
    """
    checks, whole = report["checks"], watched >= min(OBSERVED_SAMPLES, report["accuracy"]["samples"])
    made = {name: r.to_json() for name, r in found.items() if whole or r.status == "proved"}
    counted = {"ranges_proved": sum(r.status == "proved" for r in found.values()), "ranges_populations": len(found)}
    problem = other_rows(report["ranges"], found, "ranges")
    problem = problem or first_unlike(report, {"ranges": made}) or unlike(checks, counted, "checks")
    good = f"of {amount_of(len(made), 'population')} as made again"
    book.judge("SN307", "recorded ranges", problem, good, book.subject / "report.json")


def other_rows(said: Any, names: Iterable[str], path: str) -> str | None:
    """The first row that a table of the report has and should not have, or lacks."""
    if not isinstance(said, Mapping):
        return f"{path} is no table; export again"
    odd = sorted(set(said) ^ set(names))
    return (
        f"{path}.{str(odd[0])[:40]} is {'no population of the program' if odd[0] in said else 'missing'}"
        if odd
        else None
    )


def first_unlike(report: Tree, made: Tree) -> str | None:
    """The first of some tables of the report that is not what was made again."""
    return next(filter(None, (unlike(report.get(name), value, name) for name, value in made.items())), None)


def unlike(said: Any, made: Any, path: str) -> str | None:
    """The first figure of what the report says that is not what was made again."""
    if isinstance(made, Mapping):
        if not isinstance(said, Mapping):
            return f"{path} is no table; export again"
        return next(filter(None, (unlike(said.get(k), v, f"{path}.{k}") for k, v in made.items())), None)
    if isinstance(made, list) and isinstance(said, list) and len(said) == len(made):
        return next(filter(None, (unlike(a, b, path) for a, b in zip(said, made, strict=True))), None)
    if isinstance(said, int | float) and isinstance(made, int | float) and abs(said - made) <= EQUAL * abs(made):
        return None
    return None if said == made else f"{path} is {_shown(made)}, the report says {_shown(said)}"


def _shown(value: Any) -> str:
    return f"{value:.9g}" if type(value) in (int, float) else "nothing" if value is None else str(value)[:40]
