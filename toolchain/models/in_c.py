"""A program as C, run here and on emulated cores, and compared with the simulator spike by spike.

What is installed is used: without a compiler or an emulator the figures say what was not run, and why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.c import Compared, Plan, c_model, compare, encoder_trial, frames, plan
from snnas.export.formats.c.encoder_trial import INSTANCE, instructions_of
from snnas.export.formats.c.footprint import footprint
from snnas.export.formats.c.rest import measured
from snnas.hw_sim.c import compilers, emulate, native
from snnas.hw_sim.c.model import CModel
from snnas.hw_sim.early_exit import rule_of, stops
from snnas.hw_sim.energy.microcontroller import bill_of, cycles_of, latency_of
from snnas.hw_sim.energy.profile import Band, load_profile
from snnas.hw_sim.errors import GateError
from snnas.hw_sim.program import INPUT, Program
from snnas.hw_sim.simulate.simulator import Trace, host_currents, simulate
from snnas.toolchain.models.microcontroller import PROFILE_OF, estimated
from snnas.toolchain.output.stderr import Narrator

COUNTED = 4  # samples whose instructions are counted, one by one: the emulator is slow then
CHUNK = 256  # samples whose frames are held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class InC:
    """A program's C, and the samples it is compared on: their frames, and what the simulator does with them."""

    plan: Plan
    model: CModel
    given: np.ndarray
    trace: Trace


def prepare(program: Program, x: np.ndarray) -> InC:
    """x: samples as ``simulate_input`` takes them. UnsupportedError for what C cannot hold."""
    made = plan(program)
    given, trace = _run(made, x)
    return InC(plan=made, model=c_model(made), given=given, trace=trace)


def run_in_c(c: InC, x: np.ndarray, logits: np.ndarray, narrator: Narrator) -> dict[str, Any]:
    """``c`` of report.json; GateError where one spike or logit differs.

    x: all samples that are measured; logits: what the simulator made of them.
    """
    here = _native(c, x, logits, narrator)
    cores = [_core(c, core, narrator) for core in compilers.CORES.values()]
    for missing in dict.fromkeys(core["missing"] for core in cores if core["missing"] is not None):
        titles = [compilers.CORES[core["core"]].title for core in cores if core["missing"] == missing]
        narrator.say(f"  {' and '.join(titles)} not emulated: {missing}")
    program = c.plan.program
    encoder = encoder_in_c(program, narrator)
    stage = "none" if not program.host else "float" if program.host_integers is None else "int"
    found = {"populations": len(c.plan.units), "native": here, "cores": cores, "host": stage}
    return found | ({} if encoder is None else {"encoder": encoder})


def complete(found: dict[str, Any]) -> bool:
    """Whether an older export holds all that can be run here."""
    native_there, emulator = compilers.native()[0], compilers.emulator()[0]
    missing = [core for core in found["cores"] if core["missing"] is not None]
    could = [emulator is not None and compilers.cross(compilers.CORES[core["core"]])[0] is not None for core in missing]
    return not any(could) and (found["native"]["missing"] is None or native_there is None)


def _run(made: Plan, x: np.ndarray) -> tuple[np.ndarray, Trace]:
    """The frames of some samples, and what the program does with them."""
    if made.program.input_kind == "analogue":
        currents = host_currents(made.program, x)
        return frames(made, x, currents), simulate(made.program, currents=currents)
    return frames(made, x, {}), simulate(made.program, spikes_in=x > 0)


def _native(c: InC, x: np.ndarray, logits: np.ndarray, narrator: Narrator) -> dict[str, Any]:
    """The recorded samples under the sanitizers, spike by spike; every sample's logits as compiled for use."""
    compiler, why = compilers.native()
    if compiler is None:
        narrator.say(f"  C not run here: {why}")
        return {"missing": why, "compiler": None, **_figures(None), "split_samples": 0, "split_differing_logits": None}
    found = compare(c.plan, c.trace, native.run(c.model, c.given, compiler, sanitize=True))
    _refuse(found, "natively")
    unlike = 0
    with tempfile.TemporaryDirectory(prefix="snnas-c-") as place:
        built = native.build(c.model, Path(place), compiler)
        with narrator.progress(f"C on {len(x)} samples") as advance:
            for start, part in _chunks(c.plan, x):
                ran = native.execute(c.model, built, part)
                unlike += int((ran.logits != logits[start : start + len(part)]).sum())
                advance(start + len(part), len(x))
    if unlike:
        raise GateError(f"C and the simulator differ in {unlike:,} of {logits.size:,} logits; please report it")
    narrator.say(
        f"  0 of {found.spikes:,} spikes differ ({compiler.name}, sanitizers silent), 0 of {logits.size:,} logits"
    )
    return {
        "missing": None,
        "compiler": compilers.version(compiler),
        **_figures(found),
        "split_samples": len(x),
        "split_differing_logits": unlike,
    }


def _chunks(made: Plan, x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        analogue = made.program.input_kind == "analogue" and not made.integers
        yield start, frames(made, part, host_currents(made.program, part) if analogue else {})


def _core(c: InC, core: compilers.Core, narrator: Narrator) -> dict[str, Any]:
    """An emulated core: the recorded samples, spike by spike, and what they take."""
    said = estimated_of(c, core.name)
    compiler, why = compilers.cross(core)
    python, no_emulator = compilers.emulator()
    if compiler is None or python is None:
        missing = why if compiler is None else no_emulator
        sizes = dict.fromkeys(("flash_bytes", "state_bytes", "stack_bytes", "instructions"))
        none = {"core": core.name, "missing": missing, "compiler": None, **_figures(None), **sizes, "counted": 0}
        return none | {"estimated": said, "board": board_of(core.name, said["instructions"])}
    narrator.say(f"{core.title}: {len(c.given)} samples")
    image = emulate.emulate(c.model, c.given, core, compiler, python, counted=min(COUNTED, len(c.given)))
    found = compare(c.plan, c.trace, image.ran)
    _refuse(found, f"on {core.title}")
    taken = float(image.instructions.sum(axis=1).mean())
    ending = ending_early(c, image, core)
    narrator.say(f"  0 of {found.spikes:,} spikes differ; {taken:,.0f} instructions, {image.flash:,} bytes of flash")
    return {
        "core": core.name,
        "missing": None,
        "compiler": compilers.version(compiler),
        **_figures(found),
        "flash_bytes": image.flash,
        "state_bytes": image.state,
        "stack_bytes": image.stack,
        "instructions": taken,
        "counted": len(image.instructions),
        **({} if ending is None else {"ending_early": ending}),
        "estimated": said,
        "board": board_of(core.name, {"low": taken, "nominal": taken, "high": taken}),
    }


def encoder_in_c(program: Program, narrator: Narrator) -> dict[str, Any] | None:
    """``encoder`` of ``c``: wherever the model runs, under the sanitizers here; None of a program that has none."""
    trial = encoder_trial(program)
    if trial is None:
        return None
    places, cores = list[str](), list[dict[str, Any]]()
    if (compiler := compilers.native()[0]) is not None:
        trial.require_equal(native.run(trial.model, trial.given, compiler, sanitize=True).spikes, "natively")
        places.append("native")
    python = compilers.emulator()[0]
    for core in compilers.CORES.values():
        compiler = compilers.cross(core)[0]
        if compiler is None or python is None:
            continue
        image = emulate.emulate(trial.model, trial.given, core, compiler, python)
        trial.require_equal(image.ran.spikes, f"on {core.title}")
        places.append(core.name)
        flash, state = emulate.sizes(trial.alone, INSTANCE, compiler)
        taken = instructions_of(image.functions)
        cores.append({"core": core.name, "flash_bytes": flash, "state_bytes": state, "instructions": taken})
    if places:
        narrator.say(f"  encoder.c: 0 of {trial.spikes:,} spikes differ ({', '.join(places)})")
    return {"spikes_compared": trial.spikes if places else 0, "differing_spikes": 0, "places": places, "cores": cores}


def ending_early(c: InC, image: emulate.Image, core: compilers.Core) -> dict[str, float] | None:
    """What the counted samples take where each ends once it is decided; GateError where the core decides otherwise."""
    rule = rule_of(c.plan.program)
    if rule is None:
        return None
    wanted = stops(c.plan.program, rule, c.trace.spikes)
    if (
        image.ends is None
        or image.early is None
        or (image.ends != np.stack([wanted.timesteps, wanted.predictions], axis=1)).any()
    ):
        raise GateError(f"C and the simulator end samples differently on {core.title}; please report it")
    counted = len(image.instructions)
    early = image.instructions[:, 0] + image.early + image.instructions[:, 2]
    return {"instructions": float(early.mean()), "timesteps": float(image.ends[:counted, 0].mean())}


def estimated_of(c: InC, core: str) -> dict[str, Any]:
    """What is said without compiler and emulator, of the recorded samples."""
    fired = c.trace.spikes if c.plan.program.host else {**c.trace.spikes, INPUT: c.given}
    band = estimated(c.plan, *rates_of(c), core, measured(c.plan, fired))
    held = footprint(c.model, core)
    return {"flash_bytes": held.flash, "ram_bytes": held.ram, "instructions": asdict(band)}


def rates_of(c: InC) -> tuple[dict[str, float], int]:
    """What the cost model goes by: spikes per neuron and timestep, the input's too, and frames of a host stage."""
    rates = {name: float(spikes.mean()) for name, spikes in c.trace.spikes.items()}
    if c.plan.program.input_kind != "analogue":
        rates[INPUT] = float((c.given != 0).mean())
    moving = bool((c.given != c.given[:, :1]).any())
    return rates, c.plan.program.timesteps if moving else 1


def board_of(core: str, taken: dict[str, float]) -> dict[str, Any]:
    """Cycles, time and energy of so many instructions on a core's board."""
    profile = load_profile(PROFILE_OF[core])
    band = Band(**taken)
    bill, latency = bill_of(band, profile), latency_of(band, profile, 1).inference_us * 1e-3
    assert bill.total is not None
    return {
        "profile": profile.name,
        "cycles": asdict(cycles_of(band, profile)),
        "latency_ms": asdict(latency),
        "energy_uJ": asdict(bill.total),
        "evidence": bill.evidence,
    }


def _figures(found: Compared | None) -> dict[str, int | None]:
    if found is None:
        return dict.fromkeys(("spikes_compared", "differing_spikes", "differing_logits"))
    return {
        "spikes_compared": found.spikes,
        "differing_spikes": found.differing_spikes,
        "differing_logits": found.differing_logits,
    }


def _refuse(found: Compared, where: str) -> None:
    if not found.equal:
        raise GateError(
            f"C and the simulator differ {where} in {found.differing_spikes:,} of {found.spikes:,} spikes and "
            f"{found.differing_logits} of {found.logits} logits: first at {found.first}; this is a fault of ours, "
            "please report it"
        )
