"""Builds a model as a microcontroller's image, and runs it in an emulator: spikes, logits, what it takes."""

from __future__ import annotations

import json
import tempfile
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.c import elf
from snnas.hw_sim.c.compilers import WARNINGS, Compiler, Core
from snnas.hw_sim.c.model import CModel, Ran, decoded
from snnas.hw_sim.c.native import compiled
from snnas.hw_sim.commands import answer
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.files import write_json, write_text

HERE = Path(__file__).parent
OPTIMISED = ("-O2", "-ffreestanding", "-fno-strict-aliasing", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
RUNNING = 7200.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A model's image on a core.

    flash: bytes of the model's code and constants. state, stack: bytes of memory: an instance, and the deepest stack
    that was seen. instructions: int64 (samples, 3): of snnas_init, of all timesteps, of snnas_logits. functions:
    those of each function that the compiler left one, by name, in all counted samples. ran: the traced run of all.
    ends: int64 (B, 2), after how many timesteps each sample is decided and with which class; None of a model that
    cannot be asked. early: int64 (samples,), instructions of these timesteps and of asking after each.
    """

    core: str
    compiler: str
    flash: int
    state: int
    stack: int
    instructions: np.ndarray
    functions: dict[str, int]
    ran: Ran
    ends: np.ndarray | None = None
    early: np.ndarray | None = None

    @property
    def ram(self) -> int:
        return self.state + self.stack


def emulate(
    model: CModel, frames: np.ndarray, core: Core, compiler: Compiler, python: Path, *, counted: int = 1
) -> Image:
    """frames: (B, T, frame). counted: of how many samples instructions are counted, which takes its time.

    GateError (1) where the image does not build or ends badly, or where the untraced image answers otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="snnas-c-") as place:
        folder = Path(place)
        write_text(folder / "model.h", model.header)
        write_text(folder / "model.c", model.source)
        alone = folder / "model.o"
        compiled(
            [*compiler.command, *WARNINGS, *OPTIMISED, "-I", place, "-c", str(folder / "model.c"), "-o", str(alone)]
        )
        held = elf.read(alone)
        if held.undefined and not model.floats:
            raise GateError(f"{core.name}: the model calls {', '.join(held.undefined)}; it must be freestanding")
        traced = _image(model, folder, compiler, trace=True)
        raw, asked = _emulated(model, folder, traced, frames, core, python, counted=0)
        ran = decoded(model, raw, len(frames))
        plain = _image(model, folder, compiler, trace=False)
        few = frames[:counted]
        answers, result = _emulated(model, folder, plain, few, core, python, counted=len(few))
        if ran is None or answers != ran.logits[: len(few)].astype("<i8").tobytes():
            raise GateError(f"{core.name}: the image answers otherwise when it is traced; please report it")
        return Image(
            core=core.name,
            compiler=compiler.name,
            flash=held.flash + held.ram,
            state=elf.read(plain).symbols["device_state"][1],
            functions=_by_function(elf.read(plain), result["blocks"]),
            stack=int(result["stack"]),
            instructions=np.array(result["instructions"], np.int64).reshape(-1, 3),
            ran=ran,
            ends=_ends(asked, slice(0, 2)),
            early=_ends(result, 2),
        )


def sizes(source: str, instance: str, compiler: Compiler) -> tuple[int, int]:
    """Bytes of code and constants of C that is built by itself, and of its variable ``instance``, the only one."""
    with tempfile.TemporaryDirectory(prefix="snnas-c-") as place:
        text, out = Path(place) / "alone.c", Path(place) / "alone.o"
        write_text(text, source)
        compiled([*compiler.command, *WARNINGS, *OPTIMISED, "-c", str(text), "-o", str(out)])
        held = elf.read(out)
    size = held.symbols[instance][1]
    return held.flash + held.ram - size, size


def _ends(result: dict[str, Any], columns: int | slice) -> np.ndarray | None:
    return np.array(result["ends"], np.int64)[:, columns] if result["ends"] else None


def _by_function(image: elf.Elf, blocks: list[list[int]]) -> dict[str, int]:
    """blocks: (address, instructions). A function is a symbol with a size; Thumb's lowest bit is no address."""
    begins = sorted((at & ~1, name) for name, (at, size) in image.symbols.items() if size)
    found: dict[str, int] = {}
    for address, count in blocks:
        place = bisect_right(begins, (address, "\x7f")) - 1
        name = begins[place][1] if place >= 0 else ""
        found[name] = found.get(name, 0) + count
    return found


def _image(model: CModel, folder: Path, compiler: Compiler, *, trace: bool) -> Path:
    out = folder / ("traced.elf" if trace else "plain.elf")
    words = ",".join(map(str, model.words))
    flags = ["-DSNNAS_TRACE", f"-DSNNAS_WORDS={words}", f"-DSNNAS_ALL_WORDS={sum(model.words)}"] if trace else []
    sources = [str(folder / "model.c"), str(HERE / "device.c")]
    link = ["-nostdlib", "-static", f"-Wl,-T,{HERE / 'device.ld'}", *(["-lgcc"] if model.floats else [])]
    compiled([*compiler.command, *WARNINGS, *OPTIMISED, *flags, "-I", str(folder), *sources, *link, "-o", str(out)])
    return out


def _emulated(
    model: CModel, folder: Path, image: Path, frames: np.ndarray, core: Core, python: Path, *, counted: int
) -> tuple[bytes, dict[str, Any]]:
    """What the image wrote, and the worker's result."""
    found = elf.read(image)
    job, result = folder / "job.json", folder / "result.json"
    write_json(
        job,
        {
            "arch": "arm" if core.name.startswith("cortex") else "riscv",
            "image": str(image),
            "segments": [[s.address, s.size, s.offset, s.held] for s in found.segments],
            "symbols": {name: list(at) for name, at in found.symbols.items() if name.startswith("device_")},
            "samples": len(frames),
            "timesteps": model.timesteps,
            "frame_bytes": model.frame * np.dtype(model.value).itemsize,
            "counted": counted,
            "result": str(result),
        },
    )
    given = np.ascontiguousarray(frames, dtype=model.value).tobytes()
    command = [str(python), "-I", str(HERE / "emulator.py"), str(job)]
    done = answer(command, RUNNING, given)
    if done.code is None:
        raise UnsupportedError(f"the emulator does not run: {done.first}")
    if done.code or not result.is_file():
        last = done.said[-1][:300] if done.said else "nothing said"
        raise GateError(f"{core.name}: the emulator ends with {done.code}: {last}")
    return done.out, json.loads(result.read_text())
