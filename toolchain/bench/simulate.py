"""``snnas bench simulate``: our simulator against Lava's, against the float network, and against sizes.

The program of the comparison with Lava is 3x32x32 -> conv16 3x3 -> conv32 3x3 -> dense10, T = 8, driven by spikes:
random weights whose thresholds are set so that a tenth of each population fires. Lava runs the processes that
``run_lava.py`` builds (stock ``Conv``, and for ``ratio_sparse`` the same network with every convolution as a stock
``Sparse`` matrix, Lava's faster form), its samples back to back; its rate is hardware steps per second of stepping,
without the build. Ours is measured before and after it, with every population's spikes handed over, as Lava's are.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.toolchain.bench.programs import RATE, TIMESTEPS, comparison_program, expanded, float_network
from snnas.toolchain.bench.sizes import sizes, write_picture
from snnas.toolchain.output.drawing import check_picture
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.output.stdout import print_table

if TYPE_CHECKING:
    from snnas.hw_sim.program import Program
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

GATE = 60.0  # times Lava's rate at batch 64


@dataclass(frozen=True, slots=True)
class LavaRate:
    """One Lava run. rate: samples per second of stepping."""

    rate: float
    differing: int
    compared: int
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateBenchOptions:
    """What is measured."""

    seed: int = 0
    """The one seed of weights and inputs."""
    lava_samples: int = 16
    """Samples that Lava runs, back to back: 1 to 64."""
    images: int = 2000
    """Images of the comparison with the float network."""
    compile: bool = False
    """Fuse the neuron updates with torch.compile."""
    sizes: bool = True
    """The table of costs too."""
    plot: Path | None = None
    """Draw the table of costs into this .svg, and measure it."""
    lava_python: Path | None = None
    """The worker's Python 3.10; None: looked for."""


def bench_simulate(options: SimulateBenchOptions, narrator: Narrator = SILENT) -> dict[str, Any]:
    """All measurements. Every rate is samples per second of wall time, *measured* on this machine.

    UsageError (2) for a picture that cannot be written, UnsupportedError (4) where Lava or torch is missing.
    """
    import torch

    from snnas.hw_sim.errors import UnsupportedError
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator
    from snnas.toolchain.exporting.options import ExportOptions, lava_python

    if options.plot is not None:
        check_picture(options.plot, "--plot")
    seed = options.seed
    python, why = lava_python(ExportOptions(lava_python=options.lava_python))
    if python is None:
        raise UnsupportedError(f"bench simulate compares with Lava, which is not usable: {why}")
    narrator.say(f"seed {seed}, {torch.get_num_threads()} threads, torch {torch.__version__}, {why}")
    program, rates = comparison_program(seed)
    narrator.say("firing: " + ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items()))
    began = time.perf_counter()
    simulator = TorchSimulator(program, compile=options.compile)
    rng = np.random.default_rng(seed)
    spikes = rng.random((64, TIMESTEPS, *program.input_shape)) < RATE
    for part in (spikes, spikes[:1]):
        simulator.run(spikes_in=part)
    warm_up = time.perf_counter() - began
    narrator.say(f"warm-up (excluded): {warm_up:.2f} s")
    ours = _Rates(simulator, spikes)
    ours.measure()
    conv, sparse = _lava_rates(program, simulator, spikes[: options.lava_samples], python, narrator)
    ours.measure()
    fast = {name: statistics.median(times) for name, times in ours.seconds.items()}
    samples_per_second = {
        "batch64": 64 / fast["batch64"],
        "batch64_counts_only": 64 / fast["batch64_counts_only"],
        "batch1": 1 / fast["batch1"],
        "lava_conv": conv.rate,
        "lava_sparse": sparse.rate,
    }
    result: dict[str, Any] = {
        "schema": "snnas.bench.simulate/1",
        "seed": seed,
        "provenance": "measured",
        "ratio_batch64": samples_per_second["batch64"] / conv.rate,
        "ratio_batch1": samples_per_second["batch1"] / conv.rate,
        "ratio_sparse": samples_per_second["batch64"] / sparse.rate,
        "differing_spikes": conv.differing + sparse.differing + _against_numpy(program, simulator, spikes[:4]),
        "spikes_compared": conv.compared + sparse.compared,
        "gate": GATE,
        "samples_per_second": samples_per_second,
        "lava": {"conv": conv.result, "sparse": sparse.result},
        "firing_rates": rates,
        "warm_up_seconds": warm_up,
        "compiled": simulator.compiled,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "lava_worker": conv.result["versions"]},
    }
    result["images"] = against_float(narrator, seed=seed, images=options.images, compile=options.compile)
    if options.sizes or options.plot is not None:
        result["sizes"] = sizes(narrator, seed=seed)
    if options.plot is not None:
        write_picture(result["sizes"], options.plot)
    return result


class _Rates:
    """Our seconds per call, gathered in turns so that another process's load falls on all alike."""

    def __init__(self, simulator: TorchSimulator, spikes: np.ndarray) -> None:
        self.calls: dict[str, Callable[[], object]] = {
            "batch64": lambda: simulator.run(spikes_in=spikes),
            "batch64_counts_only": lambda: simulator.tally(spikes_in=spikes),
            "batch1": lambda: simulator.run(spikes_in=spikes[:1]),
        }
        self.seconds: dict[str, list[float]] = {name: [] for name in self.calls}

    def measure(self, rounds: int = 12) -> None:
        for _ in range(rounds):
            for name, call in self.calls.items():
                began = time.perf_counter()
                call()
                self.seconds[name].append(time.perf_counter() - began)


# ---------------------------------------------------------------------------------------------------------------- Lava


def _lava_rates(
    program: Program, simulator: TorchSimulator, spikes: np.ndarray, python: Path, narrator: Narrator
) -> tuple[LavaRate, LavaRate]:
    """Lava with stock Conv and with stock Sparse."""
    found = []
    for name, variant in (("Conv", program), ("Sparse", expanded(program))):
        found.append(_lava_rate(variant, simulator, spikes, python))
        narrator.say(f"Lava ({name}): {found[-1].rate:.2f} samples/s, {found[-1].differing} spikes differ")
    return found[0], found[1]


def _lava_rate(program: Program, simulator: TorchSimulator, spikes: np.ndarray, python: Path) -> LavaRate:
    from snnas.toolchain.bench.in_lava import compare_in_lava
    from snnas.toolchain.exporting.on_target import recorded

    trace = simulator.run(spikes_in=spikes)
    compared, result = compare_in_lava(program, recorded(trace.spikes, trace.logits, {}, spikes, len(spikes)), python)
    interval = (program.timesteps + program.schedule.blank) * program.schedule.period
    kept = ("samples", "hardware_steps", "processes", "build_seconds", "run_seconds", "versions")
    return LavaRate(
        rate=result["hardware_steps"] / result["run_seconds"] / interval,
        differing=compared.differing_spikes,
        compared=compared.spikes,
        result={k: result[k] for k in kept},
    )


def _against_numpy(program: Program, simulator: TorchSimulator, spikes: np.ndarray) -> int:
    from snnas.hw_sim.simulate.simulator import simulate

    ours, theirs = simulator.run(spikes_in=spikes), simulate(program, spikes_in=spikes)
    return sum(int((s != theirs.spikes[name]).sum()) for name, s in ours.spikes.items())


# --------------------------------------------------------------------------------------------------- the float network


def against_float(narrator: Narrator, *, seed: int, images: int, compile: bool = False) -> dict[str, Any]:
    """MNIST-sized images through a program of about 300,000 weights, and through the float network it comes from."""
    import torch

    from snnas.export.compiler.compile import compile_graph
    from snnas.export.compiler.fold import fold
    from snnas.hw_sim.simulate.simulator import host_currents
    from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

    network = float_network(seed)
    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    timesteps = int(network.config.timesteps)
    program = compile_graph(fold(network.layers(), meta={"timesteps": timesteps}), timesteps=timesteps)
    x = np.random.default_rng(seed).random((images, 1, 28, 28), dtype=np.float32)
    simulator = TorchSimulator(program, compile=compile)
    trace = simulator.run(currents=host_currents(program, x[:128]))
    firing = float(np.mean([trace.spikes[p.id].mean() for p in program.populations if p.role == "neuron"]))
    seconds: dict[str, float] = {"ours": 0.0, "float": 0.0}
    batch = 250
    with narrator.progress(f"{images} images of 28x28 through {weights} weights, T = {timesteps}") as advance:
        network(torch.from_numpy(x[:batch]))
        for start in range(0, images, batch):  # in turns, so that the load of others falls on both alike
            part = x[start : start + batch]
            began = time.perf_counter()
            for _ in simulator.run_input(part, full=False):
                pass
            seconds["ours"] += time.perf_counter() - began
            began = time.perf_counter()
            with torch.inference_mode():
                network(torch.from_numpy(part))
            seconds["float"] += time.perf_counter() - began
            advance(min(start + batch, images), images)
    return {
        "images": images,
        "weights": weights,
        "timesteps": timesteps,
        "neurons": sum(p.size for p in program.populations),
        "populations": len(program.populations),
        "mean_firing_rate": firing,
        "samples_per_second": images / seconds["ours"],
        "float_samples_per_second": images / seconds["float"],
        "seconds_for_10000": 10_000 * seconds["ours"] / images,
        "slower_than_float": seconds["ours"] / seconds["float"],
    }


# --------------------------------------------------------------------------------------------------------- the command


def good(result: dict[str, Any]) -> bool:
    """No spike differs, and ours is at least GATE times as fast as Lava."""
    return not result["differing_spikes"] and bool(result["ratio_batch64"] >= GATE)


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    rate, images = result["samples_per_second"], result["images"]
    table = Table(title=f"simulation, seed {result['seed']} (measured)", title_justify="left", show_header=False)
    table.add_row("Lava, stock Conv", f"{rate['lava_conv']:.2f} samples/s")
    table.add_row("Lava, stock Sparse", f"{rate['lava_sparse']:.2f} samples/s")
    table.add_row("ours, batch 64", f"{rate['batch64']:.0f} samples/s, {result['ratio_batch64']:.0f}x")
    table.add_row("ours, batch 64, counts only", f"{rate['batch64_counts_only']:.0f} samples/s")
    table.add_row("ours, batch 1", f"{rate['batch1']:.0f} samples/s, {result['ratio_batch1']:.0f}x")
    table.add_row("ours against Lava's Sparse", f"{result['ratio_sparse']:.0f}x")
    table.add_row("differing spikes", f"{result['differing_spikes']} of {result['spikes_compared']}")
    table.add_row(
        f"28x28 images, {images['weights']} weights",
        f"{images['samples_per_second']:.0f} samples/s, {images['slower_than_float']:.2f} x the float network's time",
    )
    print_table(table)
    if "sizes" in result:
        costs = Table("neurons", "synapses", "activity", "us per timestep", "ns per neuron", title="cost")
        for row in result["sizes"]:
            costs.add_row(*(f"{row[k]:.3g}" for k in ("neurons", "synapses", "activity", "us", "ns_per_neuron")))
        print_table(costs)
