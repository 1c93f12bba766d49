"""Builds a model with this machine's compiler, and runs it on samples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from snnas.hw_sim.c.compilers import SANITIZED, WARNINGS, Compiler
from snnas.hw_sim.c.model import CModel, Ran, decoded
from snnas.hw_sim.commands import Answer, answer
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.files import write_text

RUNNER = Path(__file__).with_name("runner.c")
COMPILING, RUNNING = 600.0, 3600.0  # seconds; what takes longer hangs
CHUNK = 1 << 28  # bytes of spikes that are taken from the model at once


def run(model: CModel, frames: np.ndarray, compiler: Compiler, *, sanitize: bool = False) -> Ran:
    """frames: (B, T, frame) of ``model.value``. sanitize: address and undefined behaviour.

    GateError (1) where the compiler warns, a sanitizer speaks or the model ends badly: each is a fault of ours.
    """
    with tempfile.TemporaryDirectory(prefix="snnas-c-") as place:
        return execute(model, build(model, Path(place), compiler, sanitize=sanitize), frames)


def build(model: CModel, folder: Path, compiler: Compiler, *, sanitize: bool = False) -> Path:
    """The program that runs the model on standard input."""
    write_text(folder / "model.h", model.header)
    write_text(folder / "model.c", model.source)
    out = folder / "run"
    words = ",".join(map(str, model.words))
    flags = [*WARNINGS, *(SANITIZED if sanitize else ("-O2",)), "-DSNNAS_TRACE", f"-DSNNAS_WORDS={words}"]
    compiled([*compiler.command, *flags, "-I", str(folder), str(folder / "model.c"), str(RUNNER), "-o", str(out)])
    return out


def compiled(command: list[str]) -> None:
    """Runs a compiler; GateError with the first thing that it says."""
    done = answer(command, COMPILING)
    if done.code is None:
        raise UnsupportedError(f"{command[0]}: {done.first}")
    if done.code:
        raise GateError(f"{command[0]} refuses the model: {_first(done)}; this is a fault of ours, please report it")


def execute(model: CModel, program: Path, frames: np.ndarray) -> Ran:
    """What the built program does with the frames."""
    each = 4 * model.timesteps * sum(model.words) + 8 * model.classes
    size = max(1, CHUNK // each)
    parts = [_execute(model, program, frames[k : k + size]) for k in range(0, len(frames), size)]
    return Ran(spikes=np.concatenate([p.spikes for p in parts]), logits=np.concatenate([p.logits for p in parts]))


def _execute(model: CModel, program: Path, frames: np.ndarray) -> Ran:
    given = np.ascontiguousarray(frames, dtype=model.value).tobytes()
    done = answer([str(program)], RUNNING, given)
    if done.code is None:
        raise UnsupportedError(f"the compiled model does not run: {done.first}")
    ran = decoded(model, done.out, len(frames)) if done.code == 0 else None
    if ran is None:
        raise GateError(
            f"the compiled model ends with {done.code}: {_first(done)}; this is a fault of ours, please report it"
        )
    return ran


def _first(done: Answer) -> str:
    """The first line that names an error, else the first."""
    return next((line[:300] for line in done.said if "error" in line.lower()), done.first)
