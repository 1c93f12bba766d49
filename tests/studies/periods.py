"""What exact schedules save: python -m tests.studies.periods

The random genotypes of ``snnas bench conformance`` are compiled twice, as the compiler does it and with the depths
taken as early as possible over links of distance 0 alone (its rule until 0.2): periods, relay neurons, and updates and
energy of the same samples, priced by one profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from unittest.mock import patch

import typer

from snnas.export.compiler import schedule
from snnas.export.compiler.compile import compile_graph
from snnas.export.executors import interpreter
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.bench.random_networks import deployed_graph, draw
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.output.stderr import Narrator
from tests.studies.command import main, numbers, tell

SCHEMA = "snnas.study.periods/1"
FIGURES = ("programs", "periods", "relay_neurons", "updates", "energy_uJ")
Links = Sequence[tuple[str, str, int]]


def as_early_as_possible(sizes: dict[str, int], links: Links) -> tuple[int, dict[str, int]]:
    """The older rule: depths over links of distance 0 alone, and the period that then follows."""
    depth = schedule.least_depths(sizes, [(src, dst, 1) for src, dst, distance in links if not distance])
    assert depth is not None
    return max([1, *(depth[src] - depth[dst] + 1 for src, dst, distance in links if distance)]), depth


def measure(seeds: Sequence[int], genotypes: int, samples: int, narrator: Narrator) -> dict[str, Any]:
    """Sums of FIGURES over the recurrent genotypes of each seed that compile both ways, before and after."""
    rules: dict[str, Callable[..., Any]] = {"before": as_early_as_possible, "after": schedule.solve}
    of_seeds = []
    for seed in seeds:
        totals = {rule: dict.fromkeys(FIGURES, 0.0) for rule in rules}
        with narrator.progress(f"seed {seed}: {genotypes} genotypes", "genotypes") as advance:
            for index in range(genotypes):
                found = {}
                try:
                    for rule, solve in rules.items():
                        with patch.object(schedule, "solve", solve):
                            found[rule] = _one(seed, index, samples)
                except SnnasError:
                    continue  # what is refused either way says nothing of schedules
                for rule, figures in found.items():
                    for name, value in zip(FIGURES, figures, strict=True):
                        totals[rule][name] += value
                advance(index + 1, genotypes)
        of_seeds.append({"seed": seed, **totals})
    return {"schema": SCHEMA, "genotypes": genotypes, "samples": samples, "seeds": of_seeds}


def _one(seed: int, index: int, samples: int) -> tuple[float, ...]:
    case, config = draw(seed, index, samples)
    graph = deployed_graph(case.genotype, config, seed)
    kind = "spikes" if case.x.ndim == 5 else "analogue"
    run = interpreter.run(graph, case.x, case.timesteps)
    program = compile_graph(graph, timesteps=case.timesteps, input_kind=kind, spikes=run.spikes)
    mapping = map_program(program, load_system())
    counter, done = Counter(program, mapping), 0
    for trace, currents in simulate_input(program, case.x):
        part = case.x[done : done + len(trace.logits)] > 0
        counter.add(trace, currents=currents or None, spikes_in=part if kind == "spikes" else None)
        done += len(trace.logits)
    counts = counter.result()
    profile = load_profile("loihi1")
    bill = price(counts, profile, estimate_latency(counts, profile))
    relays = sum(p.size for p in program.populations if p.role == "relay")
    updates = sum(p.active + p.idle + p.fill_active + p.fill_idle for p in counts.populations) / counts.samples
    return 1, program.schedule.period, relays, updates, bill.total.nominal if bill.total else 0.0


def _print(result: dict[str, Any]) -> None:
    for of_seed in result["seeds"]:
        for name in FIGURES:
            before, after = (of_seed[rule][name] for rule in ("before", "after"))
            print(f"seed {of_seed['seed']:3} {name:14} {before:14,.1f} -> {after:14,.1f}")


def command(
    seeds: Annotated[str, typer.Option(help="One draw of genotypes each.")] = "21,22,23",
    genotypes: Annotated[int, typer.Option(min=1, help="Of each seed.")] = 60,
    samples: Annotated[int, typer.Option(min=1, help="That are run.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Periods, relays, updates and energy of exact schedules against depths as early as possible."""
    asked = numbers(seeds, "--seeds", "21,22,23")
    tell(measure(asked, genotypes, samples, Narrator()), as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
