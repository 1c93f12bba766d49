"""Any model, ours or foreign: run on samples, and priced."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.map.system import CORES
from snnas.hw_sim.simulate.silence import Silence
from snnas.toolchain.commands.outcomes import Bill, Simulation
from snnas.toolchain.models import estimate as estimating
from snnas.toolchain.models import simulate as simulating
from snnas.toolchain.models.open import ASKED, Subject, open_subject
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output import silence
from snnas.toolchain.output.stderr import SILENT, Narrator


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What a simulation is asked for."""

    model: Path
    """A .nir, a program.npz, or a folder that ``snnas export`` wrote."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """Samples, and what a foreign graph leaves open."""
    stream: int | None = None
    """Samples one after the other, without a reset between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateOptions:
    """What an estimate is asked for."""

    model: Path
    """A .nir, a program.npz, or a folder that ``snnas export`` wrote."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """Samples, and what a foreign graph leaves open."""
    profile: str | None = None
    """Energy profile: a name or a .toml file; None: the system's own."""
    all_profiles: bool = False
    """The same counts under every shipped profile too."""
    system: str = "loihi1"
    """loihi1, loihi2, generic, or a .toml file."""
    rate: float | None = None
    """Spikes per neuron and timestep, in 0..1, that are assumed in place of running samples."""


def simulate(options: SimulateOptions, narrator: Narrator = SILENT) -> Simulation:
    """Runs a program, or a graph compiled to one, on samples: accuracy, spikes and synops on target.

    UsageError (2) names the option that is missing, InvalidFileError (3) what is wrong with a file, UnsupportedError
    (4) a register that overflows on the samples.
    """
    subject = _opened(options.model, options.reading, narrator)
    return simulate_subject(subject, options.reading, narrator, stream=options.stream)


def simulate_subject(
    subject: Subject, reading: ReadingOptions, narrator: Narrator, *, stream: int | None = None
) -> Simulation:
    """``simulate`` of what is read already."""
    answers: list[np.ndarray] = []
    figures = simulating.simulate(subject, narrator, stream, answers)
    soft = ["--system", "generic"] if _subtracts(subject) else []
    following = ["estimate", str(subject.path), *reading.arguments(), *soft]
    mute = _said(figures, narrator)
    if mute is not None and mute.no_measurement:
        following = _ways_out("simulate", subject.path, reading, mute)
    return Simulation(figures=figures, next_command=shlex.join(following), answers=np.concatenate(answers))


def estimate(options: EstimateOptions, narrator: Narrator = SILENT) -> Bill:
    """Prices a program or anybody's graph on a chip: counts, fit, latency, energy band, and an ANN of its shape.

    A program that does not fit gets no joule: ``misfit`` says why. Errors as ``simulate``.
    """
    reading = options.reading
    if options.rate is not None and reading.data is not None:
        raise UsageError("--rate assumes what --data would measure; give one of them")
    model = options.model
    if options.rate is None and reading.data is None and model.is_file() and model.suffix in (".nir", ".npz"):
        more = ASKED if model.suffix == ".nir" else ""
        raise UsageError(
            f"{model}: no samples; give --data FILE.npz or --data digits{more}; or --rate 0.05, which assumes so many "
            "spikes per neuron and timestep"
        )
    subject = _opened(model, replace(reading, samples=options.rate is None), narrator)
    pricing = Pricing(profile=options.profile, system=options.system, every=options.all_profiles, rate=options.rate)
    if (model / "model.c").is_file() and load_system(options.system).core is None:
        ways = " or ".join(f"--system {core}" for core in CORES)
        narrator.note(f"{model} is C; these figures are of its program on {options.system}: {ways} prices the C")
    return estimate_subject(subject, reading, pricing, narrator)


def estimate_subject(subject: Subject, reading: ReadingOptions, pricing: Pricing, narrator: Narrator) -> Bill:
    """``estimate`` of what is read already."""
    figures = estimating.estimate(subject, pricing, narrator)
    mute = _said(figures, narrator)
    fit = figures["fit"]
    misfit = following = None
    if not fit["fits"]:
        ways = "; or ".join(fit["advice"])
        misfit = f"{subject.path} does not fit {fit['system']}, no energy: {fit['misfits'][0]}; {ways}"
    elif mute is not None and mute.no_measurement:
        following = shlex.join(_ways_out("estimate", subject.path, reading, mute))
    elif subject.path.suffix == ".nir" and not _subtracts(subject):
        following = shlex.join(["export", str(subject.path), *reading.arguments(data=reading.data or "FILE")])
    return Bill(figures=figures, misfit=misfit, next_command=following)


def write_profile_template(path: Path) -> Path:
    """Writes an energy profile to fill in, whose name is the file's; UsageError (2) where the file is there already."""
    from snnas.hw_sim.energy.profile_template import template
    from snnas.hw_sim.files import write_text

    if path.exists() or path.suffix != ".toml":
        raise UsageError(f"--new-profile {path}: expected a new file whose name ends in .toml; choose another name")
    write_text(path, template(path.stem))
    return path


def _opened(model: Path, reading: ReadingOptions, narrator: Narrator) -> Subject:
    if model.suffix == ".nir":
        narrator.say(f"compiling {model.name}")
    subject = open_subject(model, reading)
    for note in subject.notes:
        narrator.note(note)
    return subject


def _ways_out(command: str, model: Path, reading: ReadingOptions, mute: Silence) -> list[str]:
    """The same with another reading, where one is likely; else what says where the spikes end."""
    again = command if mute.options or model.suffix == ".npz" else "diagnose"
    return [again, str(model), *reading.arguments(), *(mute.options or "").split()]


def _said(figures: dict[str, Any], narrator: Narrator) -> Silence | None:
    """What was silent, which a user must know, quiet or not."""
    mute = silence.of(figures)
    if mute:
        narrator.note(str(mute))
    return mute


def _subtracts(subject: Subject) -> bool:
    """Whether its reset is by subtraction, which ``export`` and the systems of a chip refuse."""
    return any(p.taken for p in subject.program.populations)
