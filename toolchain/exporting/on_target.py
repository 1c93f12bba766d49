"""What a trained network does on target: its program, run on samples, with counts, prices and predictions.

``measure`` is the short way, for searches and benches: no files, no second simulator, no Lava. ``snnas export`` takes
the long one through the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack, get_args

import numpy as np

from snnas.export.compiler.compile import CompileKeywords, calibration_spikes, compile_graph
from snnas.export.formats.c import plan, rest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.early_exit import Exits, joined, rule_of, stops
from snnas.hw_sim.energy.latency import Latency
from snnas.hw_sim.energy.price import Bill
from snnas.hw_sim.energy.profile import Profile
from snnas.hw_sim.errors import GateError, UnsupportedError
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.hw_sim.map.mapping import Mapping, load_system
from snnas.hw_sim.map.system import System
from snnas.hw_sim.program import InputKind, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.sampling import Ran, singles
from snnas.hw_sim.simulate.silence import Answers, Silence
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.models.calibrate import CALIBRATION_SAMPLES
from snnas.toolchain.models.microcontroller import InFlash, Rested, for_system, place, priced
from snnas.toolchain.models.simulate import with_input
from snnas.toolchain.output.stderr import Advance, Narrator

if TYPE_CHECKING:
    from snnas.search.kinds import Architecture
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Dataset


Meta = dict[str, Any]
Arrays = dict[str, np.ndarray]  # by the name of what they are of


@dataclass(slots=True)
class OnTarget:
    """What the program did on every sample that is measured."""

    counts: Counts
    predictions: np.ndarray
    logits: np.ndarray
    """Of every sample, int64 (N, classes)."""
    golden: dict[str, np.ndarray]
    """What is recorded of the first samples."""
    recorded: list[Ran]
    """The same samples one by one, as they ran."""
    silence: Silence
    """What never fired, and how many answers tie."""
    exits: Exits | None = None
    """Where each sample would have ended; None of a program without an early exit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A network on target. bill and latency: None where the profile does not price them or the program fits nowhere.
    device: a microcontroller's flash, memory and instructions.
    """

    program: Program
    mapping: Mapping
    counts: Counts
    predictions: np.ndarray
    accuracy: float
    silence: Silence
    latency: Latency | None
    bill: Bill | None
    device: InFlash | None = None


def program_kind(name: str) -> InputKind:
    """A data set's kind of input as the program names it."""
    for kind in get_args(InputKind):
        if kind == name:
            return kind
    raise UnsupportedError(f"input kind {name!r}; expected one of {', '.join(get_args(InputKind))}")


def bits_of(architecture: Architecture, bits: int) -> int:
    """Of a weight: what a design says, else ``bits``."""
    from snnas.search.network.design import Design

    return architecture.bits if isinstance(architecture, Design) else bits


def calibration_of(data: Dataset) -> np.ndarray:
    """The samples that calibrate, of the training split."""
    return data.x_train[:CALIBRATION_SAMPLES]


def compile_calibrated(
    graph: Graph,
    data: Dataset,
    timesteps: int,
    meta: Meta | None = None,
    *,
    with_rates: bool = False,
    **how: Unpack[CompileKeywords],
) -> Program:
    """The program of a graph with weights of 8, 6 or 4 bits, calibrated on the first samples of the training split.

    how: as ``compile_graph`` takes them. with_rates: its meta keeps how often each source fired on
    them and each population rested, by which C chooses its loops.
    """
    kind = program_kind(data.input_kind)
    spikes = calibration_spikes(graph, calibration_of(data), timesteps, kind)
    if with_rates:
        meta = {**(meta or {}), "rates": {name: round(float(fired.mean()), 4) for name, fired in spikes.items()}}
    program = compile_graph(
        graph, timesteps=timesteps, input_kind=kind, input_range=data.range, spikes=spikes, meta=meta, **how
    )
    if not with_rates:
        return program
    resting = rest.measured(plan(program), spikes)
    return replace(program, meta={**program.meta, rest.RESTS: resting}) if resting else program


def measure(
    network: Network,
    data: Dataset,
    x: np.ndarray,
    y: np.ndarray,
    profile: Profile | None,
    system: System | None = None,
    *,
    bits: int = WEIGHT_BITS,
) -> Figures:
    """Compiles a trained network (in eval mode, on the CPU), runs it on the samples x, y, and prices it.

    x: of the data set, any split; the program is calibrated on training samples. UnsupportedError where the network
    has no program.
    """
    from snnas.export.compiler.fold import fold

    program = compile_calibrated(fold(network.layers()), data, int(network.config.timesteps), bits=bits)
    return run_program(program, x, y, profile, system or load_system())


def run_program(
    program: Program, x: np.ndarray, y: np.ndarray, profile: Profile | None, system: System, *, torch: bool = True
) -> Figures:
    """Places a program on ``system``, runs it on the samples x, y, and prices it; profile None: without a price.

    torch: run it by the torch simulator, where that is installed; loading it takes a second and a half.
    """
    program = for_system(program, system, (x,))
    mapping, device = place(program, system)
    counter, predictions, answers = Counter(program, mapping), list[np.ndarray](), Answers()
    rested = Rested(program, device)
    for trace, spikes_in, currents in runs(program, x, torch=torch):
        counter.add(trace, currents=currents, spikes_in=spikes_in)
        predictions.append(trace.predictions)
        answers.add(trace.logits)
        rested.add(trace.spikes, spikes_in)
    counts, predicted = counter.result(), np.concatenate(predictions)
    found = priced(program, counts, mapping, device, profile, rested.shares)
    return Figures(
        program=program,
        mapping=mapping,
        counts=counts,
        predictions=predicted,
        accuracy=float((predicted == y).mean()),
        silence=answers.with_spikes(counts.fired),
        latency=found.latency,
        bill=found.bill,
        device=found.device,
    )


def simulate_split(
    program: Program, mapping: Mapping, x: np.ndarray, golden_samples: int, narrator: Narrator
) -> OnTarget:
    """Runs the program on all samples: counts, predictions, and the first samples' inputs and spikes as recorded.

    The fast torch simulator runs everything; what is recorded comes from the NumPy one, and GateError (exit 1) says
    where the two differ. Without torch the NumPy one runs everything.
    """
    counter = Counter(program, mapping)
    predictions, logits, answers = list[np.ndarray](), list[np.ndarray](), Answers()
    golden, first = reference(program, x[:golden_samples]), list[Ran]()
    rule, ends = rule_of(program), list[Exits]()
    with narrator.progress(f"integer simulation of {len(x)} samples") as advance:
        for ran in runs(program, x, advance):
            trace, spikes_in, currents = ran
            done = sum(map(len, predictions))
            counter.add(trace, currents=currents, spikes_in=spikes_in)
            predictions.append(trace.predictions)
            logits.append(trace.logits)
            answers.add(trace.logits)
            ends += [] if rule is None else [stops(program, rule, trace.spikes)]
            keep = min(len(trace.logits), max(0, golden_samples - done))
            first += islice(singles([ran]), keep)
            for name, value in recorded(trace.spikes, trace.logits, currents or {}, spikes_in, keep).items():
                if not np.array_equal(value, golden[name][done : done + keep]):
                    raise GateError(
                        f"the torch and the NumPy simulator differ in {name}; this is a fault of ours, please report it"
                    )
    counts = counter.result()
    silence = answers.with_spikes(counts.fired)
    exits = None if rule is None else joined(ends)
    return OnTarget(counts, np.concatenate(predictions), np.concatenate(logits), golden, first, silence, exits)


def runs(
    program: Program, x: np.ndarray, advance: Advance = lambda done, total: None, *, torch: bool = True
) -> Iterator[Ran]:
    """What the program did, a chunk of the samples at a time, by the fastest simulator that is installed."""
    if torch and find_spec("torch") is not None:
        from snnas.hw_sim.simulate.torch_simulator import TorchSimulator

        traced: Any = TorchSimulator(program).run_input(x, advance=advance)  # in full: traces, no tallies
        yield from with_input(program, x, traced)
        return
    done = 0
    for ran in with_input(program, x, simulate_input(program, x)):
        yield ran
        done += len(ran[0].logits)
        advance(done, len(x))


def reference(program: Program, x: np.ndarray) -> Arrays:
    """golden.npz of some samples, from the NumPy simulator."""
    golden: dict[str, list[np.ndarray]] = {}
    for trace, spikes_in, currents in runs(program, x, torch=False):
        for name, value in recorded(trace.spikes, trace.logits, currents or {}, spikes_in, len(trace.logits)).items():
            golden.setdefault(name, []).append(value)
    return {k: np.concatenate(v) for k, v in golden.items()}


def recorded(spikes: Arrays, logits: np.ndarray, currents: Arrays, spikes_in: np.ndarray | None, keep: int) -> Arrays:
    """Arrays of golden.npz for the first ``keep`` samples of a batch."""
    arrays: Arrays = {f"currents.{n}": c[:keep].astype(np.int32) for n, c in currents.items()}
    if spikes_in is not None:
        arrays["input.spikes"] = spikes_in[:keep].astype(np.uint8)
    for name, value in spikes.items():
        flat = value[:keep].reshape(keep, value.shape[1], math.prod(value.shape[2:]))
        arrays[f"spikes.{name}"] = np.packbits(flat, axis=-1)
    arrays["logits"] = logits[:keep]
    return arrays
