"""Random graphs of other tools' making on the whole road: python -m tests.studies.foreign_graphs

What ``tests/export/foreign`` draws is written by nir, read by us and run by our interpreter, whose every decision is
held against a second interpreter that shares nothing with it; then compiled and simulated. *Exact* graphs, of quarters
and binary time constants, are held against their programs, and some of those against stock Lava. A graph that the
chip's integers cannot hold whole (products of layers beyond int8, a leak in several hardware steps) counts as rounded.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.hw_sim.errors import UnsupportedError
from snnas.toolchain.bench.conformance import MAX_REFUSED, general
from snnas.toolchain.bench.conformance_c import run_all
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.exporting.options import lava_python as find_lava
from snnas.toolchain.output.stderr import Narrator
from tests.export.foreign.random_graphs import draw
from tests.export.foreign.road import in_lava, take
from tests.studies.command import main, tell

SCHEMA = "snnas.study.foreign_graphs/1"


def measure(
    seed: int, graphs: int, exact: int, lava: int, narrator: Narrator, in_c: int = 0, emulated: int = 0
) -> dict[str, Any]:
    """graphs, exact: how many of either kind are drawn; lava: how many exact ones Lava runs; in_c: programs as C;
    emulated: how many of these emulated cores run.
    """
    began = time.perf_counter()
    return {
        "schema": SCHEMA,
        "seed": seed,
        "float": _of_floats(seed, graphs, in_c, emulated, narrator),
        "exact": _of_exact(seed, exact, lava, narrator),
        "seconds": time.perf_counter() - began,
    }


def _of_floats(seed: int, graphs: int, in_c: int, emulated: int, narrator: Narrator) -> dict[str, Any]:
    refusals, has = Counter[str](), Counter[str]()
    decisions = differing = wrong = total = redrawn = 0
    nearest = float("inf")
    programs = []
    with narrator.progress(f"{graphs} graphs", "graphs") as advance:
        for index in range(graphs):
            foreign = draw(seed, index)
            found = take(foreign, guarded=index % 20 == 0)
            has.update(foreign.has.keys())
            redrawn += foreign.redrawn
            nearest = min(nearest, foreign.played.nearest)
            decisions, differing = decisions + found.decisions, differing + found.float_differing
            differing += found.output > 1e-6
            wrong, total = wrong + found.wrong, total + found.total
            refusals.update([general(found.refusal)] if found.refusal else [])
            if found.program is not None and len(programs) < in_c:
                programs.append((index, found.program, found.x))
            advance(index + 1, graphs)
    return {
        "graphs": graphs,
        "c": run_all(programs, [index for index, *_ in programs[:emulated]], narrator).to_json() if in_c else None,
        "redrawn": redrawn,
        "has": dict(sorted(has.items())),
        "decisions": decisions,
        "differing": differing,
        "nearest": nearest,
        "refused": sum(refusals.values()),
        "refusals": dict(refusals.most_common()),
        "program_differing": wrong,
        "program_spikes": total,
    }


def _of_exact(seed: int, graphs: int, lava: int, narrator: Narrator) -> dict[str, Any]:
    worker, why = find_lava(ExportOptions()) if lava else (None, "not asked for")
    whole = refused = differing = spikes = rounded = checked = lava_differing = lava_spikes = float_differing = 0
    with narrator.progress(f"{graphs} exact graphs", "graphs") as advance:
        for index in range(graphs):
            found = take(draw(seed, index, exact=True))
            float_differing += found.float_differing
            refused += found.program is None
            if found.whole:
                whole, differing, spikes = whole + 1, differing + found.wrong, spikes + found.total
            else:
                rounded += found.wrong
            if worker is not None and found.whole and checked < lava:
                with tempfile.TemporaryDirectory(prefix="snnas-foreign-") as place:
                    comparison = in_lava(found, worker, Path(place))
                checked += 1
                lava_differing, lava_spikes = (
                    lava_differing + comparison.differing_spikes,
                    lava_spikes + comparison.spikes,
                )
            advance(index + 1, graphs)
    return {
        "graphs": graphs,
        "refused": refused,
        "float_differing": float_differing,
        "whole": whole,
        "differing": differing,
        "spikes": spikes,
        "rounded_differing": rounded,
        "lava": why,
        "lava_graphs": checked,
        "lava_differing": lava_differing,
        "lava_spikes": lava_spikes,
    }


def good(result: dict[str, Any]) -> bool:
    """Nothing differs where nothing may, and few are refused."""
    float_, exact = result["float"], result["exact"]
    in_c = float_["c"]
    if in_c is not None and (in_c["differing"] or in_c["emulated_differing"] or in_c["refused"]):
        return False
    differing = float_["differing"] + exact["float_differing"] + exact["differing"] + exact["lava_differing"]
    return not differing and float_["refused"] <= MAX_REFUSED * float_["graphs"]


def _print(result: dict[str, Any]) -> None:
    f, e = result["float"], result["exact"]
    print(f"seed {result['seed']}, {result['seconds']:.0f} s")
    print(f"graphs              {f['graphs']}, {f['redrawn']} drawn again because a layer would not fire")
    print(
        f"float decisions     {f['differing']} of {f['decisions']:,} differ; nearest to a threshold {f['nearest']:.2g}"
    )
    print(f"refused             {f['refused']}")
    for reason, count in f["refusals"].items():
        print(f"                    {count} x {reason}")
    print(f"program, int8       {f['program_differing']} of {f['program_spikes']:,} spikes differ from float")
    if f["c"] is not None:
        c = f["c"]
        print(f"as C                {c['programs']} programs, {c['differing']} of {c['spikes_compared']:,} differ")
        there = f"{c['emulated_differing']} of {c['emulated_spikes_compared']:,} differ"
        print(f"on emulated cores   {c['emulated']}, {there}")
        print(*c["refused"], *c["first_differences"], sep="\n")
    print(f"exact graphs        {e['graphs']}, {e['whole']} of them whole in the program, {e['refused']} refused")
    print(f"their programs      {e['differing']} of {e['spikes']:,} spikes differ; others {e['rounded_differing']}")
    print(f"stock Lava          {e['lava_graphs']} graphs, {e['lava_differing']} of {e['lava_spikes']:,} spikes differ "
          f"({e['lava']})")  # fmt: skip
    print("drawn:", ", ".join(f"{name} {count}" for name, count in f["has"].items()))


def command(
    graphs: Annotated[int, typer.Option(min=1, help="Random graphs against the second interpreter.")] = 240,
    exact: Annotated[int, typer.Option(min=1, help="Graphs of quarters against their programs.")] = 200,
    lava: Annotated[int, typer.Option(min=0, help="How many of these stock Lava runs.")] = 6,
    in_c: Annotated[int, typer.Option("--c", min=0, help="How many programs of them run as C.")] = 0,
    emulated: Annotated[int, typer.Option(min=0, help="How many of these emulated cores run too.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of graphs and inputs.")] = 0,
    require_lava: Annotated[bool, typer.Option("--require-lava", help="Exit 4 where Lava is not usable.")] = False,
    as_json: AsJson = False,
) -> None:
    """Random foreign graphs: float decisions, refusals, exact programs, and stock Lava; exit 1 where one differs."""
    result = measure(seed, graphs, exact, lava, Narrator(), in_c, emulated)
    if require_lava and result["exact"]["lava_graphs"] < lava:
        raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {result['exact']['lava']}")
    tell(result, as_json, _print, good=good(result))


if __name__ == "__main__":
    main(command)
