"""The cost model of C against the emulator, on networks drawn at random: python -m tests.studies.instructions"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.formats.c.footprint import footprint
from snnas.export.formats.c.instructions import ERROR
from snnas.hw_sim.c import compilers, emulate
from snnas.hw_sim.c.model import CModel
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import with_integers
from snnas.toolchain.bench.conformance import draw, take
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.models.in_c import InC, prepare, rates_of
from snnas.toolchain.models.microcontroller import estimated
from tests.c_programs import random_variant, samples
from tests.studies.command import main, tell

SCHEMA = "snnas.study.instructions/2"
FITTED = 7  # the seed of the genotypes, and how many hundreds of the programs, that the constants were fitted on
SAMPLES = 2


def networks(seed: int, genotypes: int, programs: int) -> Iterator[tuple[str, InC]]:
    """Random genotypes that compile, and random programs of every kind of map; with a host stage in integers."""
    for index in range(genotypes):
        case, config = draw(seed, index, SAMPLES)
        with tempfile.TemporaryDirectory(prefix="snnas-study-") as place:
            program = take(case, config, seed, Path(place)).program
        if program is not None:
            yield f"genotype {index}", prepare(with_integers(program) if program.host else program, case.x)
    for index in range(programs):
        program = random_variant(1000 * (seed != FITTED) + index)
        yield (
            f"program {index}",
            prepare(with_integers(program) if program.host else program, samples(program, SAMPLES)),
        )


def emulated(model: CModel, c: InC, core: compilers.Core) -> emulate.Image:
    """By the compiler that the constants are of, every sample counted; UnsupportedError where anything is missing."""
    python, why = compilers.emulator()
    compiler, reason = compilers.cross(core, only="zig")
    if python is None or compiler is None:
        raise UnsupportedError(why if python is None else reason)
    return emulate.emulate(model, c.given, core, compiler, python, counted=len(c.given))


def measure(seed: int, genotypes: int, programs: int) -> dict[str, Any]:
    """Of each network: instructions and flash, estimated and emulated."""
    rows = []
    for name, c in networks(seed, genotypes, programs):
        for core in compilers.CORES.values():
            image = emulated(c.model, c, core)
            rows.append({
                "network": name, "core": core.name, "estimated": estimated(c.plan, *rates_of(c), core.name).nominal,
                "emulated": float(image.instructions.sum(axis=1).mean()),
                "estimated_flash": footprint(c.model, core.name).flash, "flash": image.flash,
            })  # fmt: skip
    return {"schema": SCHEMA, "seed": seed, "rows": rows, "limit": ERROR, "errors": _errors(rows)}


def _errors(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found = {}
    for core in compilers.CORES:
        mine = [r for r in rows if r["core"] == core]
        off = np.array([r["estimated"] / r["emulated"] - 1 for r in mine])
        flash = np.array([r["estimated_flash"] / r["flash"] - 1 for r in mine])
        found[core] = {"networks": len(mine), "mean": float(np.abs(off).mean()), "largest": float(np.abs(off).max()),
                       "largest_flash": float(np.abs(flash).max())}  # fmt: skip
    return found


def _print(result: dict[str, Any]) -> None:
    for r in result["rows"]:
        off = f"{r['estimated'] / r['emulated'] - 1:+.1%}"
        print(f"{r['network']:>12} {r['core']:10} {r['emulated']:>12,.0f} {off:>7}")
    for core, e in result["errors"].items():
        print(f"{core}: {e['networks']} networks, off by {e['mean']:.1%} on average, {e['largest']:.1%} at most; flash "
              f"{e['largest_flash']:.1%}")  # fmt: skip


def command(
    genotypes: Annotated[int, typer.Option(min=0, help="Random genotypes.")] = 10,
    programs: Annotated[int, typer.Option(min=0, help="Random programs of every kind of map.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help=f"Other than {FITTED}, of which the constants were fitted.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Estimated and emulated instructions of random networks; exit 1 where one is off by more than is claimed."""
    result = measure(seed, genotypes, programs)
    tell(result, as_json, _print, good=all(e["largest"] <= ERROR for e in result["errors"].values()))


if __name__ == "__main__":
    main(command)
