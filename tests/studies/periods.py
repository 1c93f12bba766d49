"""What exact schedules save: python -m tests.studies.periods [RUN ...]

The random genotypes of ``snnas bench conformance`` are compiled twice, as the compiler does it and with the depths
taken as early as possible over links of distance 0 alone (its rule until 0.2): periods, relay neurons, and updates and
energy of the same samples, priced by one profile. With ``--train`` some recurrent ones are trained on the digits
first, or runs are given, as ``snnas search --dataset digits --backward`` makes them: there accuracy on target counts as
well, for a leak is rounded at each hardware step of a period.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any
from unittest.mock import patch

import typer

from snnas.export.compiler import schedule
from snnas.export.compiler.compile import compile_graph
from snnas.export.executors import interpreter
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import Bill, price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import SnnasError, UsageError
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.search.network import space
from snnas.search.network.config import NetworkConfig
from snnas.search.network.network import Network
from snnas.toolchain.bench.random_networks import deployed_graph, draw
from snnas.toolchain.cli.options import AsJson, RunsDir
from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.statistics import beyond_an_error
from snnas.toolchain.exporting import on_target
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.runs.run import Run, directory, find
from snnas.toolchain.training import TrainingConfig, build, evaluate
from snnas.toolchain.training import train as train_network
from snnas.toolchain.training.restore import network_of
from tests.studies.command import main, numbers, tell

SCHEMA, SCHEMA_OF_TRAINED = "snnas.study.periods/1", "snnas.study.periods.trained/1"
SAMPLES = 4  # of a random genotype
CHANNELS, TIMESTEPS = 8, 5  # of one that is trained
FIGURES = ("programs", "periods", "relay_neurons", "updates", "energy_uJ")
Links = Sequence[tuple[str, str, int]]


def as_early_as_possible(sizes: dict[str, int], links: Links) -> tuple[int, dict[str, int]]:
    """The older rule: depths over links of distance 0 alone, and the period that then follows."""
    depth = schedule.least_depths(sizes, [(src, dst, 1) for src, dst, distance in links if not distance])
    assert depth is not None
    return max([1, *(depth[src] - depth[dst] + 1 for src, dst, distance in links if distance)]), depth


RULES: dict[str, Callable[..., Any]] = {"before": as_early_as_possible, "after": schedule.solve}


def measure(seeds: Sequence[int], genotypes: int, samples: int, narrator: Narrator) -> dict[str, Any]:
    """Sums of FIGURES over the genotypes of each seed that compile both ways, before and after."""
    of_seeds = []
    for seed in seeds:
        totals = {rule: dict.fromkeys(FIGURES, 0.0) for rule in RULES}
        with narrator.progress(f"seed {seed}: {genotypes} genotypes", "genotypes") as advance:
            for index in range(genotypes):
                found = {}
                try:
                    for rule, solve in RULES.items():
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
    return _figures(program, counts, bill)


def _figures(program: Program, counts: Counts, bill: Bill) -> tuple[float, ...]:
    """FIGURES of a program that ran."""
    relays = sum(p.size for p in program.populations if p.role == "relay")
    updates = sum(p.active + p.idle + p.fill_active + p.fill_idle for p in counts.populations) / counts.samples
    return 1, program.schedule.period, relays, updates, bill.total.nominal if bill.total else 0.0


def of_runs(runs: Sequence[Run]) -> Iterator[tuple[str, Network, Dataset]]:
    """Trained runs, by name."""
    for run in runs:
        yield run.name, network_of(run), dataset_of(run)


def trained(seed: int, count: int, epochs: int, narrator: Narrator) -> Iterator[tuple[str, Network, Dataset]]:
    """The first ``count`` recurrent genotypes of a seed that take images, each trained on the digits."""
    data = load("digits", seed=seed)
    drawn = (draw(seed, index, 1)[0] for index in itertools.count())
    wanted = (case for case in drawn if case.recurrent and case.x.ndim == 4)
    for case in itertools.islice(wanted, count):
        config = NetworkConfig(
            input_shape=data.input_shape, classes=data.classes, channels=CHANNELS, hidden=64, votes=1,
            timesteps=TIMESTEPS, reduction=space.get(case.genotype.space).reduction,
        )  # fmt: skip
        network = build(case.genotype, config, seed=seed)
        narrator.say(f"genotype {case.index}: {epochs} epochs")
        train_network(network, data, TrainingConfig(epochs=epochs), seed=seed)
        yield f"genotype {case.index}", network, data


def measure_trained(
    subjects: Iterable[tuple[str, Network, Dataset]], samples: int, narrator: Narrator
) -> dict[str, Any]:
    """Both programs of each network on the first samples of its test split. gained, lost: samples that the exact
    schedule alone is right on, or the older one alone.
    """
    found = []
    for name, network, data in subjects:
        x, y = data.batch(data.x_test[:samples]), data.y_test[:samples]
        told: dict[str, Any] = {"name": name, "samples": len(x), "float": evaluate(network, x, y, device="cpu")[0]}
        right = {}
        for rule, solve in RULES.items():
            narrator.say(f"{name}: {len(x)} samples, {rule}")
            with patch.object(schedule, "solve", solve):
                ran = on_target.measure(network, data, x, y, load_profile("loihi1"))
            bill, latency = ran.bill, ran.latency
            assert bill is not None
            assert latency is not None
            right[rule] = ran.predictions == y
            told[rule] = {
                "on_target": ran.accuracy,
                **dict(zip(FIGURES[1:], _figures(ran.program, ran.counts, bill)[1:], strict=True)),
                "dynamic_uJ": bill.dynamic.nominal,
                "latency_us": latency.inference_us.nominal,
            }
        before, after = (right[rule] for rule in RULES)
        found.append({**told, "gained": int((after & ~before).sum()), "lost": int((before & ~after).sum())})
    return {"schema": SCHEMA_OF_TRAINED, "networks": found}


def good(result: dict[str, Any]) -> bool:
    """No network's energy is higher; all together lose no more samples than a standard error beyond what they gain."""
    networks = result["networks"]
    lost, gained = (sum(n[way] for n in networks) for way in ("lost", "gained"))
    cheaper = all(n["after"]["energy_uJ"] <= n["before"]["energy_uJ"] * (1 + 1e-9) for n in networks)
    return cheaper and not beyond_an_error(lost, gained)


def _print(result: dict[str, Any]) -> None:
    for of_seed in result["seeds"]:
        for name in FIGURES:
            before, after = (of_seed[rule][name] for rule in RULES)
            print(f"seed {of_seed['seed']:3} {name:14} {before:14,.1f} -> {after:14,.1f}")


def _print_trained(result: dict[str, Any]) -> None:
    for n in result["networks"]:
        print(f"{n['name']}: {n['samples']} samples, float {n['float']:.2%}; {n['gained']} gained, {n['lost']} lost")
        for name, before in n["before"].items():
            shown = "{:14.2%} -> {:14.2%}" if name == "on_target" else "{:14,.1f} -> {:14,.1f}"
            print(f"  {name:14} " + shown.format(before, n["after"][name]))


def command(
    runs: Annotated[list[str] | None, typer.Argument(help="Trained runs; random genotypes where left out.")] = None,
    runs_dir: RunsDir = None,
    seeds: Annotated[str, typer.Option(help="One draw of genotypes each.")] = "21,22,23",
    genotypes: Annotated[int, typer.Option(min=1, help="Of each seed.")] = 60,
    samples: Annotated[int | None, typer.Option(min=1, help="4 of a genotype, a trained one's test split.")] = None,
    train: Annotated[int, typer.Option(min=0, help="Train so many recurrent genotypes of the first seed.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Of each that is trained.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Periods, relays, updates and energy of exact schedules against depths as early as possible."""
    asked, narrator = numbers(seeds, "--seeds", "21,22,23"), Narrator()
    if runs or train:
        if runs and train:
            raise UsageError(f"--train {train}: beside runs there is nothing to train; leave one of both out")
        subjects = (
            of_runs([find(directory(runs_dir), run) for run in runs])
            if runs
            else trained(asked[0], train, epochs, narrator)
        )
        found = measure_trained(subjects, samples or 1 << 30, narrator)
        tell(found, as_json, _print_trained, good=good(found))
    else:
        tell(measure(asked, genotypes, samples or SAMPLES, narrator), as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
