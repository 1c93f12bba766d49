"""Random genotypes of the papers' spaces taken through the whole chain: network, .nir, program, stock Lava."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import SnnasError, UnsupportedError, UsageError
from snnas.toolchain.bench.random_networks import Case, deployed_graph, draw
from snnas.toolchain.bench.refusals import MAX_REFUSED, general
from snnas.toolchain.data.seeds import torch_seed
from snnas.toolchain.output.stderr import SILENT, Narrator

if TYPE_CHECKING:
    from snnas.search.network.config import NetworkConfig
    from snnas.toolchain.bench.conformance_c import ConformanceC
    from snnas.toolchain.bench.foreign.conformance import ForeignConformance


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceBenchOptions:
    """What is drawn and compared."""

    genotypes: int = 200
    """How many random genotypes, half of them recurrent."""
    lava: int = 20
    """How many of the compiled ones Lava runs, half of them recurrent."""
    samples: int = 8
    """Samples per genotype, back to back in one Lava run."""
    seed: int = 0
    """The one seed of genotypes, weights and inputs."""
    require_lava: bool = False
    """UnsupportedError (4) where Lava is not usable."""
    lava_python: Path | None = None
    """The worker's Python 3.10; None: looked for."""
    target: str = "lava"
    """lava; or c: every program as C in place of Lava."""
    emulated: int = 20
    """With c: how many of them emulated cores run, half of them recurrent."""
    foreign: int = 0
    """How many random graphs as other tools write them, in place of genotypes; 0: genotypes."""


@dataclass(slots=True)
class Conformance:
    """What the runs gave; ``to_json`` is what the command prints."""

    seed: int
    cases: list[Case] = field(default_factory=list)
    lava: str = "not asked for"
    lava_checked: list[int] = field(default_factory=list)
    lava_recurrent: int = 0
    lava_samples: int = 0
    lava_differing_spikes: int = 0
    lava_spikes_compared: int = 0
    lava_first: list[str] = field(default_factory=list)
    seconds: float = 0.0
    seconds_lava: float = 0.0
    c: ConformanceC | None = None

    @property
    def compiled(self) -> list[Case]:
        return [c for c in self.cases if c.program is not None]

    @property
    def refused(self) -> list[Case]:
        return [c for c in self.cases if c.program is None]

    @property
    def nir_differing_spikes(self) -> int:
        return sum(c.nir_differing for c in self.cases)

    @property
    def good(self) -> bool:
        """No spike differs anywhere, and at most 5 % are refused."""
        differing = self.nir_differing_spikes + self.lava_differing_spikes
        in_c = self.c is None or self.c.good
        return not differing and in_c and len(self.refused) <= MAX_REFUSED * len(self.cases)

    def to_json(self) -> dict[str, Any]:
        refusals = Counter(general(c.refusal) for c in self.refused)
        return {
            "schema": "snnas.bench.conformance/1",
            "seed": self.seed,
            "genotypes": len(self.cases),
            "compiled": len(self.compiled),
            "refused": len(self.refused),
            "refusals": dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0]))),
            "refused_genotypes": [
                {"index": c.index, "architecture": c.genotype.architecture_id, "reason": c.refusal}
                for c in self.refused
            ],
            "recurrent": sum(c.recurrent for c in self.cases),
            "delayed": sum(c.program.recurrent for c in self.compiled if c.program),
            "periods": _counted(c.program.schedule.period for c in self.compiled if c.program),
            "populations": _counted(p.role for c in self.compiled if c.program for p in c.program.populations),
            "nir_differing_spikes": self.nir_differing_spikes,
            "quantisation_differing": {
                "feed_forward": _mean(c.quantisation for c in self.compiled if not c.recurrent),
                "recurrent": _mean(c.quantisation for c in self.compiled if c.recurrent),
            },
            "lava": self.lava,
            "lava_checked": len(self.lava_checked),
            "lava_recurrent": self.lava_recurrent,
            "lava_samples": self.lava_samples,
            "lava_spikes_compared": self.lava_spikes_compared,
            "lava_differing_spikes": self.lava_differing_spikes,
            "lava_first_differences": self.lava_first,
            "lava_genotypes": self.lava_checked,
            "seconds": round(self.seconds, 1),
            "seconds_lava": round(self.seconds_lava, 1),
            **({"c": self.c.to_json()} if self.c is not None else {}),
            "good": self.good,
        }


def _counted(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}


def _mean(values: Any) -> float:
    found = list(values)
    return round(sum(found) / len(found), 5) if found else 0.0


# --------------------------------------------------------------------------------------------------------- the chain


def take(case: Case, config: NetworkConfig, seed: int, folder: Path) -> Case:
    """The case with its program, or with the reason of its refusal; .nir and deployed network compared."""
    from snnas.export.compiler.compile import compile_graph
    from snnas.export.compiler.parts import differing as differing_spikes
    from snnas.export.executors import interpreter
    from snnas.export.executors.deployed import run_deployed
    from snnas.export.formats.nir_file import read_nir, write_nir
    from snnas.export.formats.program_file import read_program, write_program
    from snnas.hw_sim.simulate.simulator import simulate_input

    try:
        graph = deployed_graph(case.genotype, config, torch_seed(seed, f"conformance {case.index}"))
        spikes, _ = run_deployed(graph, case.x, case.timesteps)
        write_nir(folder / "model.nir", graph)
        again = read_nir(folder / "model.nir", use_metadata=bool(graph.delayed))
        run = interpreter.run(again, case.x, case.timesteps)
        differing = sum(int((value != run.spikes[name]).sum()) for name, value in spikes.items())
        program = compile_graph(
            again,
            timesteps=case.timesteps,
            input_kind=config.input_kind,  # type: ignore[arg-type]
            rates={name: float(value.mean()) for name, value in run.spikes.items()},
        )
        write_program(folder / "program.npz", program)
        program = read_program(folder / "program.npz")
        program.verify()
        trace, _ = next(simulate_input(program, case.x, batch=len(case.x)))
    except UnsupportedError as error:
        return replace(case, refusal=str(error))
    except SnnasError as error:
        raise type(error)(f"genotype {case.index} of seed {seed}: {error}") from error
    wrong, total = differing_spikes(program, trace.spikes, run.spikes)
    share = wrong / max(1, total)
    return replace(case, program=program, nir_differing=differing, quantisation=share)


def bench_conformance(
    options: ConformanceBenchOptions, narrator: Narrator = SILENT
) -> Conformance | ForeignConformance:
    """Draws genotypes, takes each through the chain, and some of them (half recurrent) through stock Lava.

    With ``foreign``, foreign graphs in their place. UnsupportedError (exit 4) at once where Lava is required and not
    usable; WorkerError where it dies twice.
    """
    from snnas.toolchain.exporting.options import ExportOptions, lava_python

    genotypes, lava, seed, samples = options.genotypes, options.lava, options.seed, options.samples
    in_c = _in_c(options)
    lava = 0 if in_c else lava
    for name, value, least in (
        ("--genotypes", genotypes, 1),
        ("--lava", lava, 0),
        ("--emulated", options.emulated, 0),
        ("--samples", samples, 1),
        ("--foreign", options.foreign, 0),
    ):
        if value < least:
            raise UsageError(f"{name} {value}: expected a whole number >= {least}")
    worker, why = lava_python(ExportOptions(lava_python=options.lava_python)) if lava else (None, "not asked for")
    if options.require_lava and worker is None:
        raise UnsupportedError(f"Lava was required (--require-lava) but is not usable: {why}")
    if options.foreign:
        from snnas.toolchain.bench.foreign.conformance import run_foreign

        c = options.emulated if in_c else None
        return run_foreign(options.foreign, seed, narrator, lava=(lava, worker, why), c=c)
    result = Conformance(seed=seed, lava=why, lava_samples=samples)
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="snnas-conformance-") as place,
        narrator.progress(f"{genotypes} random genotypes, compiled and simulated") as advance,
    ):
        for index in range(genotypes):
            case, config = draw(seed, index, samples)
            result.cases.append(take(case, config, seed, Path(place)))
            advance(index + 1, genotypes)
    result.seconds = time.perf_counter() - began
    narrator.say(f"  {len(result.compiled)} compiled, {len(result.refused)} refused in {result.seconds:.0f} s")
    if worker is not None:
        _run_lava(result, chosen(result.compiled, lava), worker, narrator)
    if in_c:
        from snnas.toolchain.bench.conformance_c import run_all

        emulated = [case.index for case in chosen(result.compiled, options.emulated)]
        programs = [(case.index, case.program, case.x) for case in result.compiled if case.program]
        result.c = run_all(programs, emulated, narrator)
    return result


def _in_c(options: ConformanceBenchOptions) -> bool:
    """Whether C stands in Lava's place; UsageError for another target, UnsupportedError without a compiler."""
    from snnas.toolchain.bench.conformance_c import begin

    if options.target not in ("lava", "c"):
        raise UsageError(f"--target {options.target}: expected lava or c")
    if options.target == "c":
        begin(options.emulated)
    return options.target == "c"


# -------------------------------------------------------------------------------------------------------------- Lava


def chosen(compiled: Sequence[Case], count: int) -> list[Case]:
    """``count`` cases, half of them recurrent (those with delayed synapses first), spaces taking turns."""

    def ranked(recurrent: bool) -> list[Case]:
        found = [c for c in compiled if c.recurrent == recurrent]
        place = Counter[str]()
        turn = {}
        for c in found:
            turn[c.index] = place[c.genotype.space]
            place[c.genotype.space] += 1
        return sorted(
            found, key=lambda c: (recurrent and not (c.program and c.program.recurrent), turn[c.index], c.index)
        )

    loops, plain = ranked(True), ranked(False)
    want = min(count - count // 2, len(loops))
    picked = loops[:want] + plain[: count - want]
    return (picked + loops[want:])[: min(count, len(loops) + len(plain))]


def _run_lava(result: Conformance, cases: Sequence[Case], worker: Path, narrator: Narrator) -> None:
    from snnas.toolchain.bench.in_lava import compare_in_lava
    from snnas.toolchain.exporting.on_target import reference

    began = time.perf_counter()
    with narrator.progress(f"{len(cases)} of them in Lava, {result.lava_samples} samples each") as advance:
        for done, case in enumerate(cases, start=1):
            assert case.program is not None
            comparison, _ = compare_in_lava(case.program, reference(case.program, case.x), worker)
            result.lava_checked.append(case.index)
            result.lava_recurrent += case.program.recurrent
            result.lava_differing_spikes += comparison.differing_spikes
            result.lava_spikes_compared += comparison.spikes
            if comparison.first is not None:
                f = comparison.first
                result.lava_first.append(
                    f"genotype {case.index}: {comparison.differing_spikes} differ, first at population "
                    f"{f.population}, sample {f.sample}, timestep {f.timestep}, neuron {f.neuron}"
                )
            advance(done, len(cases))
    result.seconds_lava = time.perf_counter() - began


# --------------------------------------------------------------------------------------------------------- the command


def print_result(figures: dict[str, Any]) -> None:
    """The figures as a person reads them."""
    from rich.table import Table

    from snnas.toolchain.bench.conformance_c import print_compared

    table = Table(title=f"conformance, seed {figures['seed']}", title_justify="left", show_header=False)
    table.add_row("genotypes", f"{figures['genotypes']}, {figures['recurrent']} recurrent")
    table.add_row("compiled", f"{figures['compiled']} in {figures['seconds']:.0f} s")
    table.add_row("refused", str(figures["refused"]))
    for reason, count in figures["refusals"].items():
        table.add_row("", f"{count} x {reason}")
    table.add_row("periods", ", ".join(f"P = {period}: {n}" for period, n in figures["periods"].items()))
    table.add_row(".nir against deployed network", f"{figures['nir_differing_spikes']} spikes differ")
    lost = figures["quantisation_differing"]
    table.add_row(
        "program against float graph", f"{lost['feed_forward']:.1%} of spikes differ, recurrent {lost['recurrent']:.1%}"
    )
    if figures["lava_checked"]:
        table.add_row(
            "Lava",
            f"{figures['lava_checked']} genotypes, {figures['lava_recurrent']} recurrent, {figures['lava_samples']} "
            f"samples each, in {figures['seconds_lava']:.0f} s ({figures['lava']})",
        )
        table.add_row(
            "Lava against program",
            f"{figures['lava_differing_spikes']} of {figures['lava_spikes_compared']} spikes differ",
        )
    elif "c" not in figures:
        table.add_row("Lava", f"not run: {figures['lava']}")
    print_compared(table, figures)
