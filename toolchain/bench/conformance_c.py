"""The compiled genotypes of a conformance run as C: natively under sanitizers, some of them on emulated cores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.export.formats.c import compare
from snnas.hw_sim.c import compilers, emulate, native
from snnas.hw_sim.c.model import Ran
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Program
from snnas.toolchain.models.in_c import InC, prepare
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(slots=True)
class ConformanceC:
    """What C and the simulator were compared in; ``to_json`` is ``c`` of what the command prints."""

    compiler: str
    emulated_with: str
    """The emulator, or why there is none."""
    run: int = 0
    emulated: list[int] = field(default_factory=list)
    spikes: int = 0
    differing: int = 0
    emulated_spikes: int = 0
    emulated_differing: int = 0
    refused: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not (self.differing or self.emulated_differing or self.refused)

    def to_json(self) -> dict[str, Any]:
        return {
            "compiler": self.compiler,
            "programs": self.run,
            "spikes_compared": self.spikes,
            "differing": self.differing,
            "emulator": self.emulated_with,
            "emulated": len(self.emulated),
            "emulated_spikes_compared": self.emulated_spikes,
            "emulated_differing": self.emulated_differing,
            "refused": self.refused,
            "first_differences": self.first,
            "seconds": round(self.seconds, 1),
        }


def begin(emulated: int) -> tuple[ConformanceC, compilers.Compiler]:
    """UnsupportedError (4) where there is no C compiler at all. emulated: how many cores shall run."""
    compiler, why = compilers.native()
    if compiler is None:
        raise UnsupportedError(f"--target c: {why}")
    there = compilers.emulator()[1] if emulated else "not asked for"
    for core in compilers.CORES.values() if emulated and compilers.emulator()[0] else ():
        if compilers.cross(core)[0] is None:
            there = compilers.cross(core)[1]
    return ConformanceC(compiler=compilers.version(compiler), emulated_with=there), compiler


def run_all(
    programs: Sequence[tuple[int, Program, np.ndarray]], emulated: Sequence[int], narrator: Narrator
) -> ConformanceC:
    """programs: number, program and samples of each; emulated: the numbers that emulated cores run too."""
    result, compiler = begin(len(emulated))
    began = time.perf_counter()
    python = compilers.emulator()[0]
    cross = [(core, compilers.cross(core)[0]) for core in compilers.CORES.values()]
    with narrator.progress(f"{len(programs)} programs as C", "programs") as advance:
        for done, (index, program, x) in enumerate(programs, start=1):
            try:
                c = prepare(program, x)
            except UnsupportedError as error:
                result.refused.append(f"{index}: {error}")
                continue
            wrong, spikes = _compared(
                result, c, native.run(c.model, c.given, compiler, sanitize=True), f"{index}, here"
            )
            result.run, result.differing = result.run + 1, result.differing + wrong
            result.spikes += spikes
            if index in emulated and python is not None and all(found is not None for _, found in cross):
                result.emulated.append(index)
                for core, found in cross:
                    assert found is not None
                    ran = emulate.emulate(c.model, c.given, core, found, python, counted=1).ran
                    wrong, spikes = _compared(result, c, ran, f"{index}, {core.name}")
                    result.emulated_differing += wrong
                    result.emulated_spikes += spikes
            advance(done, len(programs))
    result.seconds = time.perf_counter() - began
    return result


def _compared(result: ConformanceC, c: InC, ran: Ran, where: str) -> tuple[int, int]:
    """How many spikes and logits differ, and of how many."""
    found = compare(c.plan, c.trace, ran)
    if found.first is not None:
        result.first.append(f"program {where}: first at {found.first}")
    return found.differing_spikes + found.differing_logits, found.spikes + found.logits


def rows(c: dict[str, Any]) -> list[tuple[str, str]]:
    """What is said of programs that ran as C."""
    found = [
        ("C", f"{c['programs']} programs in {c['seconds']:.0f} s ({c['compiler']}, sanitized)"),
        ("C against program", f"{c['differing']} of {c['spikes_compared']} spikes and logits differ"),
    ]
    if c["emulated"]:
        found.append(("emulated cores", f"{c['emulated']} programs on each core ({c['emulator']})"))
        found.append(("  against program", f"{c['emulated_differing']} of {c['emulated_spikes_compared']} differ"))
    else:
        found.append(("emulated cores", f"not run: {c['emulator']}"))
    return [*found, *(("", line) for line in (*c["refused"], *c["first_differences"]))]


def print_compared(table: Table, figures: dict[str, Any]) -> None:
    """Prints the table of a bench, ended with what differs in Lava and what C gave."""
    for line in figures["lava_first_differences"]:
        table.add_row("", line)
    for row in rows(figures["c"]) if "c" in figures else ():
        table.add_row(*row)
    print_table(table)
