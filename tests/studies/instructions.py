"""The cost model of C against the emulator, on random genotypes: python -m tests.studies.instructions"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.formats.c.footprint import footprint
from snnas.export.formats.c.instructions import ERROR, instructions
from snnas.export.formats.c.work import work
from snnas.hw_sim.c import compilers, emulate
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import with_integers
from snnas.toolchain.bench.conformance import draw, take
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.models.in_c import prepare
from tests.studies.command import main, tell

SCHEMA = "snnas.study.instructions/1"


def measure(seed: int, genotypes: int) -> dict[str, Any]:
    """Of each genotype that compiles: instructions and flash, estimated and emulated."""
    python, why = compilers.emulator()
    rows = []
    for index in range(genotypes):
        case, config = draw(seed, index, 2)
        with tempfile.TemporaryDirectory(prefix="snnas-study-") as place:
            program = take(case, config, seed, Path(place)).program
        if program is None:
            continue
        c = prepare(with_integers(program) if program.host else program, case.x)
        rates = {name: float(fired.mean()) for name, fired in c.trace.spikes.items()}
        rates |= {} if program.host else {"input": float((c.given != 0).mean())}
        for core in compilers.CORES.values():
            compiler, reason = compilers.cross(core)
            if python is None or compiler is None:
                raise UnsupportedError(why if python is None else reason)
            image = emulate.emulate(c.model, c.given, core, compiler, python, counted=len(c.given))
            rows.append({
                "genotype": index, "core": core.name, "estimated": instructions(work(c.plan, rates), core.name),
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
        print(f"{r['genotype']:>4} {r['core']:10} {r['emulated']:>12,.0f} {r['estimated'] / r['emulated'] - 1:+.1%}")
    for core, e in result["errors"].items():
        print(f"{core}: {e['networks']} networks, off by {e['mean']:.1%} on average, {e['largest']:.1%} at most; flash "
              f"{e['largest_flash']:.1%}")  # fmt: skip


def command(
    genotypes: Annotated[int, typer.Option(min=1, help="Random genotypes.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Other than 7, of which the constants were fitted.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Estimated and emulated instructions of random genotypes; exit 1 where one is off by more than is claimed."""
    result = measure(seed, genotypes)
    tell(result, as_json, _print, good=all(e["largest"] <= ERROR for e in result["errors"].values()))


if __name__ == "__main__":
    main(command)
