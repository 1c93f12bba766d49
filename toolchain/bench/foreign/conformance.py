"""``snnas bench conformance --foreign N``: random foreign graphs, float decisions and programs, spike by spike.

Half of them are drawn from numbers of any kind, half *exact*, from quarters and binary time constants. Every float
decision of our interpreter is held against a second one that shares nothing with it; every population that is exact
(``export/compiler/exactness.py``) against its graph, for as many timesteps as it is; some programs against stock Lava,
or all of them as C.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.toolchain.bench.foreign.random_graphs import draw
from snnas.toolchain.bench.foreign.road import Taken, take
from snnas.toolchain.bench.refusals import MAX_REFUSED, general
from snnas.toolchain.output.stderr import Narrator

if TYPE_CHECKING:
    from snnas.toolchain.bench.conformance_c import ConformanceC

SCHEMA = "snnas.bench.foreign/1"
GUARDED = 20  # every so many graphs is read as a stranger's file is
OUTPUT = 1e-6  # how far what is read of a graph may be from the second interpreter's


@dataclass(slots=True)
class ForeignConformance:
    """What the graphs gave; ``to_json`` is what the command prints."""

    seed: int
    taken: list[Taken] = field(default_factory=list)
    has: Counter[str] = field(default_factory=Counter)
    redrawn: int = 0
    nearest: float = float("inf")
    lava: str = "not asked for"
    lava_graphs: int = 0
    lava_spikes: int = 0
    lava_differing: int = 0
    lava_first: list[str] = field(default_factory=list)
    seconds: float = 0.0
    c: ConformanceC | None = None

    @property
    def compiled(self) -> list[tuple[int, Taken]]:
        return [(index, t) for index, t in enumerate(self.taken) if t.program is not None]

    @property
    def refused(self) -> list[Taken]:
        return [t for t in self.taken if t.program is None]

    @property
    def float_differing(self) -> int:
        """Decisions, and graphs of which what is read differs."""
        return sum(t.float_differing + (t.output > OUTPUT) for t in self.taken)

    @property
    def exact_differing(self) -> int:
        return sum(p.differing for t in self.taken for p in t.exact)

    @property
    def early_differing(self) -> int:
        """While populations are still exact that are not for the whole sample."""
        return sum(p.early_differing for t in self.taken for p in t.told)

    @property
    def good(self) -> bool:
        """Nothing differs where nothing may, and at most 5 % are refused."""
        in_c = self.c is None or self.c.good
        differing = self.float_differing + self.exact_differing + self.early_differing + self.lava_differing
        return not differing and in_c and len(self.refused) <= MAX_REFUSED * len(self.taken)

    def to_json(self) -> dict[str, Any]:
        told = [p for t in self.taken for p in t.told]
        exact = [p for p in told if not p.inexact]
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "graphs": len(self.taken),
            "redrawn": self.redrawn,
            "drawn": dict(sorted(self.has.items())),
            "refused": len(self.refused),
            "refusals": dict(Counter(general(t.refusal) for t in self.refused).most_common()),
            "float_decisions": sum(t.decisions for t in self.taken),
            "float_differing": self.float_differing,
            "nearest": self.nearest,
            "populations": len(told),
            "exact": len(exact),
            "exact_spikes": sum(p.spikes for p in exact),
            "exact_differing": self.exact_differing,
            "early": sum(p.early > 0 for p in told),
            "early_spikes": sum(p.early for p in told),
            "early_differing": self.early_differing,
            "obstacles": dict(Counter(general(p.inexact) for p in told if p.inexact).most_common()),
            "inexact_spikes": sum(p.spikes for p in told if p.inexact),
            "inexact_differing": sum(p.differing for p in told if p.inexact),
            "lava": self.lava,
            "lava_graphs": self.lava_graphs,
            "lava_spikes_compared": self.lava_spikes,
            "lava_differing_spikes": self.lava_differing,
            "lava_first_differences": self.lava_first,
            "seconds": round(self.seconds, 1),
            **({"c": self.c.to_json()} if self.c is not None else {}),
            "good": self.good,
        }


def run_foreign(
    graphs: int, seed: int, narrator: Narrator, *, lava: tuple[int, Path | None, str], c: int | None = None
) -> ForeignConformance:
    """lava: how many programs it runs, the worker's Python, what it is or why there is none.

    c: of all programs as C, how many emulated cores run; None: no C.
    """
    count, worker, why = lava
    result, began = ForeignConformance(seed=seed, lava=why), time.perf_counter()
    with narrator.progress(f"{graphs} random foreign graphs", "graphs") as advance:
        for index in range(graphs):
            foreign = draw(seed, index // 2, exact=index % 2 == 1)
            result.taken.append(take(foreign, guarded=index % GUARDED == 0))
            result.has.update(foreign.has.keys())
            result.redrawn += foreign.redrawn
            result.nearest = min(result.nearest, foreign.played.nearest)
            advance(index + 1, graphs)
    if worker is not None:
        _run_lava(result, result.compiled[:count], worker, narrator)
    if c is not None:
        from snnas.toolchain.bench.conformance_c import run_all

        programs = [(k, t.program, t.x) for k, t in result.compiled if t.program is not None and t.x is not None]
        result.c = run_all(programs, [k for k, _, _ in programs[:c]], narrator)
    result.seconds = time.perf_counter() - began
    return result


def _run_lava(result: ForeignConformance, some: Sequence[tuple[int, Taken]], worker: Path, narrator: Narrator) -> None:
    from snnas.toolchain.bench.in_lava import compare_in_lava
    from snnas.toolchain.exporting.on_target import reference

    with narrator.progress(f"{len(some)} of them in Lava", "graphs") as advance:
        for done, (index, taken) in enumerate(some, start=1):
            assert taken.program is not None
            assert taken.x is not None
            found, _ = compare_in_lava(taken.program, reference(taken.program, taken.x), worker)
            result.lava_graphs += 1
            result.lava_spikes += found.spikes
            result.lava_differing += found.differing_spikes
            if found.first is not None:
                result.lava_first.append(f"graph {index}: {found.differing_spikes} differ, first at {found.first}")
            advance(done, len(some))


def print_result(figures: dict[str, Any]) -> None:
    """The figures as a person reads them."""
    from rich.table import Table

    from snnas.toolchain.bench.conformance_c import print_compared

    f = figures
    table = Table(title=f"foreign graphs, seed {f['seed']}", title_justify="left", show_header=False)
    drawn = ", ".join(f"{n} {name}" for name, n in f["drawn"].items())
    table.add_row(
        "graphs", f"{f['graphs']} in {f['seconds']:.0f} s; {f['redrawn']} drawn again, a layer would not fire"
    )
    table.add_row("", drawn)
    table.add_row("refused", str(f["refused"]))
    for reason, count in f["refusals"].items():
        table.add_row("", f"{count} x {reason}")
    table.add_row(
        "interpreter against a second one",
        f"{f['float_differing']} of {f['float_decisions']:,} decisions differ; nearest to a tie {f['nearest']:.2g}",
    )
    table.add_row(
        "exact populations",
        f"{f['exact']} of {f['populations']}; {f['exact_differing']} of {f['exact_spikes']:,} spikes differ",
    )
    for reason, count in f["obstacles"].items():
        table.add_row("", f"{count} x {reason}")
    table.add_row(
        "exact for some timesteps",
        f"{f['early']} of the others; there {f['early_differing']} of {f['early_spikes']:,} spikes differ",
    )
    table.add_row("the others", f"{f['inexact_differing']} of {f['inexact_spikes']:,} spikes differ from float")
    if f["lava_graphs"]:
        table.add_row("Lava", f"{f['lava_graphs']} graphs ({f['lava']})")
        table.add_row(
            "Lava against program", f"{f['lava_differing_spikes']} of {f['lava_spikes_compared']:,} spikes differ"
        )
    elif "c" not in f:
        table.add_row("Lava", f"not run: {f['lava']}")
    print_compared(table, f)
