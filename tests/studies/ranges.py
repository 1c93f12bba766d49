"""The proved ranges of programs, attacked with inputs that are chosen to break them.

Four programs with random weights: of the demo's shape, of MNIST's, a recurrent one (period above 1, biases from the
clock) and a chain of CubaLIFs, whose current outlives its timestep; or the program.npz files that are named. The
inputs are shared out evenly among all populations; each is a train for the whole fan-in of one neuron (``adversary``).
A counterexample is an input that takes a, u or v of its neuron beyond what was proved for it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.export.compiler.ranges import neuron_bounds, prove
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import Population, Program
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from tests.studies import adversary
from tests.studies.command import main, tell

if TYPE_CHECKING:
    from snnas.export.graph.graph import Graph

SCHEMA = "snnas.bench.ranges/1"
TRAINS = 4 * len(adversary.STRATEGIES)  # per neuron
CELLS = 1 << 23  # weights x trains of one attack; more would not fit the caches


def measure(
    narrator: Narrator, *, inputs: int = 1_000_000, seed: int = 0, programs: Sequence[Path] = ()
) -> dict[str, Any]:
    """The figures of the benchmark, as ``--json`` prints them. UsageError for inputs < 1."""
    if inputs < 1:
        raise UsageError(f"--inputs {inputs}: expected a whole number >= 1")
    began = time.perf_counter()
    subjects = [(str(path), read_program(path)) for path in programs] or list(random_programs(seed))
    total = sum(len(program.populations) for _, program in subjects)
    share, done, networks = -(-inputs // total), 0, []
    with narrator.progress(f"{inputs} inputs against {total} populations") as advance:
        for name, program in subjects:
            figures = _proof(name, program)
            reached = _Reached()
            for p in program.populations:
                rng = stream(seed, f"ranges {name} {p.id}")
                figures["inputs"] += share
                figures["counterexamples"] += _campaign(program, p, share, rng, reached)
                done += 1
                advance(done, total)
            networks.append(figures | reached.to_json())
    return {
        "schema": SCHEMA,
        "seed": seed,
        "inputs": sum(n["inputs"] for n in networks),
        "counterexamples": sum(n["counterexamples"] for n in networks),
        "populations": total,
        "proved": sum(n["proved"] for n in networks),
        "seconds_proof": sum(n["seconds_proof"] for n in networks),
        "seconds": time.perf_counter() - began,
        "networks": networks,
    }


def _proof(name: str, program: Program) -> dict[str, Any]:
    began = time.perf_counter()
    ranges = prove(program)
    return {
        "name": name,
        "populations": len(program.populations),
        "neurons": sum(p.size for p in program.populations),
        "timesteps": program.timesteps,
        "period": program.schedule.period,
        "proved": sum(r.status == "proved" for r in ranges.values()),
        "seconds_proof": time.perf_counter() - began,
        "inputs": 0,
        "counterexamples": 0,
    }


def _campaign(program: Program, p: Population, inputs: int, rng: np.random.Generator, reached: _Reached) -> int:
    """Attacks neurons of a population with ``inputs`` trains in all, the one of the widest bounds first."""
    bounds = neuron_bounds(program, p)
    low, high = bounds["a"]
    widest = int((high - low).argmax())
    fan = int(sum(np.prod(program.source_shape(s.src)) for s in program.into(p.id)))
    together = max(1, CELLS // (TRAINS * max(fan, int(np.prod(program.input_shape)))))
    beyond, left = 0, inputs
    while left:
        count = max(1, min(together, left // TRAINS))
        neurons = rng.integers(0, p.size, count)
        if left == inputs:
            neurons[0] = widest
        trains = min(TRAINS, left)
        outcome = adversary.attack(program, p, neurons, bounds, trains=trains, rng=rng)
        if trains == TRAINS or left == inputs:  # a last few trains do not show what can be reached
            reached.add(p, neurons, bounds, outcome)
        beyond += outcome.beyond
        left -= count * trains
    return beyond


class _Reached:
    """How near the attacks came: the share of each bound that was reached, and v's upper end in thresholds below it."""

    def __init__(self) -> None:
        self.shares: dict[str, list[np.ndarray]] = {"a": [], "u": [], "v_low": []}
        self.gaps: list[np.ndarray] = []

    def add(self, p: Population, neurons: np.ndarray, bounds: dict[str, Any], outcome: adversary.Outcome) -> None:
        for name, (low, high) in outcome.ends.items():
            least, most = (end.reshape(-1)[neurons] for end in bounds[name])
            self.shares["v_low" if name == "v" else name].append(_share(low, least))
            if name == "v":
                self.gaps.append((most - high) / max(1, p.vth << 6))
            else:
                self.shares[name].append(_share(high, most))

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, parts in self.shares.items():
            every = np.concatenate(parts)
            out[f"reached_{name}"] = {"mean": float(every.mean()), "least": float(every.min())}
        gaps = np.concatenate(self.gaps)
        return out | {"gap_v_high": {"mean": float(gaps.mean()), "largest": float(gaps.max())}}


def _share(reached: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Of the bounds that are not 0."""
    there = bound != 0
    return np.asarray(reached[there] / bound[there])


def random_programs(seed: int) -> list[tuple[str, Program]]:
    """Programs with random weights and settled batch norms, and a chain of CubaLIFs."""
    from snnas.export.compiler.compile import compile_graph
    from snnas.search.network import space
    from snnas.search.network.config import NetworkConfig
    from snnas.toolchain.bench.random_networks import deployed_graph

    def drawn(name: str, size: int, channels: int, hidden: int, timesteps: int, *, backward: bool = False) -> Program:
        rng = stream(seed, f"ranges {name}")
        config = NetworkConfig(
            input_shape=(1, size, size), classes=10, channels=channels, hidden=hidden, timesteps=timesteps
        )
        while True:
            genotype = space.get("lightsnn").random_genotype(rng, backward=backward)
            program = compile_graph(deployed_graph(genotype, config, torch_seed(seed, name)), timesteps=timesteps)
            if (program.schedule.period > 1) == backward:
                return program

    return [
        ("demo's shape", drawn("demo", 8, 16, 256, 5)),
        ("MNIST's shape", drawn("mnist", 28, 16, 64, 4)),
        ("recurrent", drawn("recurrent", 8, 8, 64, 5, backward=True)),
        ("CubaLIF", compile_graph(cuba_chain(stream(seed, "ranges CubaLIF")), timesteps=12, input_kind="spikes")),
    ]


def cuba_chain(rng: np.random.Generator) -> Graph:
    """Two CubaLIF layers behind spikes, with biases (which the clock brings, as their current decays)."""
    from snnas.export.dialects.conventions import DT
    from snnas.export.graph.graph import Conv, CubaLif, Flatten, Graph, Input, Linear, Output

    def neurons(*shape: int) -> CubaLif:
        def full(value: float) -> np.ndarray:
            return np.full(shape, value, np.float32)

        return CubaLif(
            tau_syn=full(5 * DT),
            tau_mem=full(3 * DT),
            r=full(3),
            v_leak=full(0),
            w_in=full(5),
            v_threshold=full(1),
            v_reset=full(0),
        )

    def normal(scale: float, *shape: int) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    nodes: dict[str, Any] = {
        "input": Input(shape=(2, 10, 10)),
        "conv": Conv(weight=normal(0.3, 8, 2, 3, 3), bias=normal(0.1, 8), pad=(1, 1)),
        "cuba1": neurons(8, 10, 10),
        "flatten": Flatten(),
        "dense": Linear(weight=normal(0.05, 20, 800), bias=normal(0.1, 20)),
        "cuba2": neurons(20),
        "readout": Linear(weight=normal(0.3, 5, 20), bias=None),
        "output": Output(shape=(5,)),
    }
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))


def print_result(figures: dict[str, Any]) -> None:
    from rich.table import Table

    out = Table(title=f"ranges, seed {figures['seed']}", title_justify="left")
    heads = ("program", "proved", "neurons", "T, period", "proof (ms)", "inputs", "beyond", "a", "u", "v low", "v high")
    for k, head in enumerate(heads):
        out.add_column(head, justify="right" if k else "left")
    for n in figures["networks"]:
        shares = [f"{n[f'reached_{name}']['mean']:.1%}" for name in ("a", "u", "v_low")]
        out.add_row(
            n["name"],
            f"{n['proved']} of {n['populations']}",
            f"{n['neurons']:,}",
            f"{n['timesteps']}, {n['period']}",
            f"{n['seconds_proof'] * 1000:.0f}",
            f"{n['inputs']:,}",
            str(n["counterexamples"]),
            *shares,
            f"-{n['gap_v_high']['mean']:.2f} vth",
        )
    out.caption = (
        f"{figures['counterexamples']} of {figures['inputs']:,} inputs beyond the bounds, {figures['seconds']:.0f} s; "
        "a, u, v low: mean share of the bound that an input reached; v high: mean distance below it"
    )
    out.caption_justify = "left"
    print_table(out)


def command(
    programs: Annotated[list[Path] | None, typer.Argument(help="program.npz files; four random ones if none.")] = None,
    inputs: Annotated[int, typer.Option(help="Adversarial inputs in all.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of weights and inputs.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack the proved register ranges of programs; exit 1 where an input gets beyond one."""
    figures = measure(Narrator(quiet=quiet), inputs=inputs, seed=seed, programs=programs or ())
    tell(figures, as_json, print_result, good=not figures["counterexamples"])


if __name__ == "__main__":
    main(command)
