"""A board's own constants: probe programs to measure, and the profile that the measurements give."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from snnas.export.formats.c import write_c
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.calibrate.calibration import Calibration
from snnas.hw_sim.calibrate.calibration import calibrate as calibration_of
from snnas.hw_sim.calibrate.plan import IDLE, Plan, Probe, make
from snnas.hw_sim.calibrate.probes import build, sample
from snnas.hw_sim.calibrate.profile_text import not_fitted, profile_table, profile_text
from snnas.hw_sim.calibrate.readings import LOG_BYTES, parse, template
from snnas.hw_sim.energy.profile import UNITS, load_profile
from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, read_text, sha256, write_json, write_text
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.simulate.counts import Counts
from snnas.toolchain.exporting.lava import script
from snnas.toolchain.exporting.on_target import reference
from snnas.toolchain.models.in_c import prepare
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.output.telling import Progress, narrator_of
from snnas.toolchain.runs.staging import staged

if TYPE_CHECKING:
    from rich.table import Table

PLAN_SCHEMA, FIT_SCHEMA = "snnas.calibrate.plan/1", "snnas.calibrate/1"
TARGETS = {"lava": "loihi1", "c": "generic"}  # target -> the system that its probes are placed on by default
PROBES, REPEATS, MOST = 10, 5, 1000
LARGE = 0.25  # held-out error; with a probe to spare and 10 % of noise simulated boards stay below 0.12
READING_S, WAIT_S = 5.0, 10  # how long a reading should last at the times expected; the wait of an idle one


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a plan is asked for."""

    profile: str
    """The profile whose constants are expected: a name or a .toml file."""
    out: Path
    """The folder to write; it must not be there."""
    probes: int = PROBES
    """How many programs to measure, beside the idle board."""
    repeats: int = REPEATS
    """Rows of each in the log."""
    target: str = "lava"
    """lava or c: what the probes are exported as."""
    system: str | None = None
    """Where they are placed: a name or a .toml file; None: loihi1 for lava, generic for c."""
    seed: int = 0
    """Of the candidates that are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Planned(Shown):
    """Probe programs, written and ready to run."""

    folder: Path
    """Where they are."""
    plan: Plan
    """What was chosen."""
    figures: dict[str, Any]
    """As ``--json`` prints them: the schema ``snnas.calibrate.plan``."""

    @property
    def headline(self) -> str:
        return (
            f"{self.folder}: {len(self.plan.probes)} probes for {len(self.plan.constants)} constants, condition number "
            f"{self.figures['condition']:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        return dict(self.figures)

    def tables(self) -> Iterator[Table]:
        from snnas.toolchain.output.calibrate import planned

        return planned(self.figures)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Calibrated(Shown):
    """The constants of a board, fitted to its log."""

    path: Path
    """The profile that was written."""
    found: Calibration
    """The fit of energies and that of times."""
    figures: dict[str, Any]
    """As ``--json`` prints them: the schema ``snnas.calibrate``."""

    @property
    def headline(self) -> str:
        return f"{self.path}: held-out error {self.found.held_out:.1%}, residual {self.found.energy.residual:.1%}"

    def to_dict(self) -> dict[str, Any]:
        return dict(self.figures)

    def tables(self) -> Iterator[Table]:
        from snnas.toolchain.output.calibrate import calibrated

        return calibrated(self.figures)


@overload
def calibrate(
    plan: str | Path,
    out: str | Path,
    *,
    log: None = None,
    probes: int | None = None,
    repeats: int | None = None,
    target: str | None = None,
    system: str | None = None,
    seed: int = 0,
    progress: Progress = None,
) -> Planned: ...


@overload
def calibrate(
    plan: str | Path,
    out: str | Path,
    *,
    log: str | Path,
    trust_units: bool = False,
    seed: int = 0,
    progress: Progress = None,
) -> Calibrated: ...


@spoken
def calibrate(
    plan: str | Path,
    out: str | Path,
    *,
    log: str | Path | None = None,
    probes: int | None = None,
    repeats: int | None = None,
    target: str | None = None,
    system: str | None = None,
    trust_units: bool = False,
    seed: int = 0,
    progress: Progress = None,
) -> Planned | Calibrated:
    """Measures a chip's energy constants: plans probe programs, then fits a profile to a log. As ``snnas calibrate``.

    Without a log, plan is the profile expected (a name or a .toml) and out a new folder: probes (10) programs for the
    target (lava or c), placed on system (None: loihi1; generic of c), and log.csv with repeats (5) rows of each. With
    log, that file filled in, plan is that folder and out the .toml of the profile to write. trust_units: readings a
    thousand times off are meant so. seed: of the candidates, or of the bootstrap.

    UsageError (2) for options that do not go together or a file that is there, InvalidFileError (3) for what is wrong
    with the log, UnsupportedError (4) where no probe fits the system, or SciPy is missing.
    """
    asked: dict[str, Any] = {"probes": probes, "repeats": repeats, "target": target, "system": system}
    given = {name: value for name, value in asked.items() if value is not None}
    if log is not None and given:
        raise UsageError(
            f"--{next(iter(given))} is of a plan, and --log fits one that is there; leave one of the two out"
        )
    if log is None and trust_units:
        raise UsageError("--trust-units is of a fit; give --log")
    narrator = narrator_of(progress)
    if log is None:
        return plan_probes(PlanOptions(profile=str(plan), out=Path(out), seed=seed, **given), narrator)
    return fit_log(Path(log), Path(plan), Path(out), narrator, seed=seed, trust_units=trust_units)


def plan_probes(options: PlanOptions, narrator: Narrator = SILENT) -> Planned:
    """Chooses probe programs for a profile's constants and writes them with a log to fill in.

    UsageError (2) for too few probes or a folder that is there, UnsupportedError (4) where none fits the system.
    """
    if options.target not in TARGETS:
        raise UsageError(f"--target {options.target[:40]}: expected lava or c")
    if options.out.exists():
        raise UsageError(f"--out {options.out}: is there already; name a new folder, or remove that one")
    if not 1 <= options.repeats <= MOST:
        raise UsageError(f"--repeats {options.repeats}: expected 1 to {MOST:,}; 5 tell noise from a probe's own error")
    profile, system = load_profile(options.profile), load_system(options.system or TARGETS[options.target])
    with narrator.progress("simulating candidates") as advance:
        plan = make(profile, system, options.probes, small=options.target == "c", seed=options.seed, advance=advance)
    if len(plan.probes) == plan.needed:
        narrator.note(
            f"--probes {options.probes}: as many as the constants need, so none is left to check the fit by; take "
            f"{options.probes + 1} or more"
        )
    expected = plan.expected()
    with staged(options.out) as stage:
        write_json(stage / "plan.json", plan.to_json())
        for probe in plan.probes:
            _write_probe(stage / probe.id, probe, options.target)
        times = [(p.id, max(1, math.ceil(READING_S * 1e6 / expected[p.id][1]))) for p in plan.probes]
        write_text(stage / "log.csv", template(times, options.repeats, WAIT_S))
        write_text(stage / "README.md", _readme(options.out, options.target))
    figures = {
        "schema": PLAN_SCHEMA,
        "folder": str(options.out),
        "profile": plan.profile,
        "system": plan.system,
        "target": options.target,
        "seed": options.seed,
        "condition": plan.condition(),
        "constants": [{"constant": key, "unit": UNITS[key], "expected": v} for key, v in plan.constants.items()],
        "untold": list(plan.untold),
        "probes": [
            {
                "id": p.id,
                "energy_uJ": expected[p.id][0],
                "time_us": expected[p.id][1],
                "cores": len(p.counts.cores),
                "synops": p.counts.synops,
                "spikes": p.counts.spikes,
                "messages": p.counts.messages,
            }
            for p in plan.probes
        ],
    }
    return Planned(folder=options.out, plan=plan, figures=figures)


def fit_log(log: Path, folder: Path, out: Path, narrator: Narrator, *, seed: int, trust_units: bool) -> Calibrated:
    """Fits a board's constants to its log and writes them as a profile, evidence ``measured``.

    InvalidFileError (3) names what is wrong with the log or the plan, UsageError (2) an option.
    """
    if out.suffix != ".toml":
        raise UsageError(f"--out {out}: expected a name that ends in .toml")
    if out.exists():
        raise UsageError(f"--out {out}: is there already; name a new file, or remove that one")
    plan = read_plan(folder)
    readings = parse(_log_text(log), str(log), [p.id for p in plan.probes])
    narrator.say(f"fitting {len(plan.constants)} constants to {len(readings)} readings")
    found = calibration_of(plan, readings, place=str(log), seed=seed, trust_units=trust_units)
    if found.held_out > LARGE:
        narrator.note(_doubt(found, plan))
    year = datetime.datetime.now(tz=datetime.UTC).year
    table = profile_table(out.stem, found, plan, sha256(log), year)
    write_text(out, profile_text(table))
    taken, unpriced = not_fitted(found, plan)
    figures = {
        "schema": FIT_SCHEMA,
        "profile": str(out),
        "readings": len(readings),
        "probes": found.repeats,
        "condition": found.condition,
        "held_out": found.held_out,
        "residual_energy": found.energy.residual,
        "residual_time": found.time.residual,
        "constants": [
            {
                "constant": key,
                "unit": UNITS[key],
                "value": float(part.values[k]),
                "interval": [float(part.low[k]), float(part.high[k])],
                "expected": plan.constants[key],
            }
            for part in (found.energy, found.time)
            for k, key in enumerate(part.keys)
        ],
        "left_out": [
            {"id": name, "energy": error, "time": found.time.held_out.get(name)}
            for name, error in found.energy.held_out.items()
        ],
        "untold": unpriced,
        "taken": taken,
        "provenance": "measured",
    }
    return Calibrated(path=out, found=found, figures=figures)


def _doubt(found: Calibration, plan: Plan) -> str:
    """Why a fit foretells the probes badly, as far as it is known."""
    said = f"each probe foretold by the others is off by {found.held_out:.0%} on average: "
    probes = len(found.repeats.keys() - {IDLE})
    if probes <= plan.needed:
        return (
            f"{said}{probes} probes leave none to check the fit by; measure more of the plan's, or plan again with "
            f"--probes {plan.needed + 1} or more"
        )
    worst = max(found.energy.held_out, key=lambda name: abs(found.energy.held_out[name]) * (name != IDLE))
    return f"{said}trust no bill by this profile; read {worst} again, and look where the meter is wired"


def read_plan(folder: Path) -> Plan:
    """The plan in a folder; InvalidFileError (3) where it is none."""
    if not (folder / "plan.json").is_file():
        raise UsageError(f"--plan {folder}: no plan.json in it; name the folder that snnas calibrate --probes wrote")
    return Plan.from_json(
        read_json(folder / "plan.json"), lambda name: Counts.from_json(read_json(folder / name / "counts.json"))
    )


def _log_text(path: Path) -> str:
    try:
        return read_text(path, LOG_BYTES).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InvalidFileError(f"{path}: no UTF-8; save it as plain CSV") from None
    except OSError as error:
        raise UsageError(f"--log {path}: cannot be read ({error.strerror}); name a file that exists") from None


def _write_probe(folder: Path, probe: Probe, target: str) -> None:
    """program.npz and counts.json, and what runs it."""
    program, x = build(probe.recipe), sample(probe.recipe)
    folder.mkdir()
    write_program(folder / "program.npz", program)
    write_json(folder / "counts.json", probe.counts.to_json())
    write_npz(folder / "stimulus.npz", {"x": x})  # what snnas simulate takes
    if target == "c":
        c = prepare(program, x)
        write_c(folder, c.plan, c.model, c.given, c.trace)
        return
    write_npz(folder / "golden.npz", reference(program, x))
    write_text(folder / "run_lava.py", script())


def _readme(folder: Path, target: str) -> str:
    run = {
        "lava": "`program.npz` is the network, `golden.npz` its one recorded input and the spikes that must come out; "
        "`python run_lava.py`\nbuilds it in Lava and compares. On your board: the same input, again and again.",
        "c": "`model.c` is the network, `golden.c` its one recorded input; `make test` compares. On your board: the "
        "steps\nof an inference (`README.md` there) with that input, again and again.",
    }[target]
    fit = shlex.join(["snnas", "calibrate", "--log", f"{folder}/log.csv", "--plan", str(folder), "--out", "board.toml"])
    return f"""# Probes to measure

Each folder `p01`, `p02`, ... is a program. {run}

1. Put the meter where the supply of the chip goes in (docs/calibrate.md says how to wire it).
2. For each row of `log.csv`: run so many inferences one after the other, each to its end before the next begins.
   Write down how long they took together (`time_s`), and their energy (`energy_J`) or the mean power (`power_W`).
   Another unit: change the name of the column (`energy_mJ`, `time_ms`). `{IDLE}`: nothing runs, the board waits.
3. `{fit}`
"""
