"""Mutants of ``campaign`` that no test can kill, each with the argument why: they count neither way.

``old`` and ``new`` are the mutated line without its indentation; ``test_hand`` holds that ``old`` still stands in the
module.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Equivalent:
    module: str
    old: str
    new: str
    argument: str


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        "hw_sim/kernels.py",
        "return (product + ((product >> 63) & ((1 << DECAY_BITS) - 1))) >> DECAY_BITS",
        "return (product + ((product >> 64) & ((1 << DECAY_BITS) - 1))) >> DECAY_BITS",
        "NumPy and torch fill with the sign however far they shift to the right",
    ),
    Equivalent(
        "hw_sim/kernels.py",
        "deepest = min(push * steps, push / (1 - kept) if kept < 1 else push * steps)",
        "deepest = min(push * steps, push / (1 - kept) if kept < 1 else push << steps)",
        "two to the power of a number is never below it, and the lesser of the two is taken",
    ),
    Equivalent(
        "hw_sim/simulate/simulator.py",
        'if program.input_kind == "counts" and part.max(initial=0) > 1:',
        'if program.input_kind <= "counts" and part.max(initial=0) > 1:',
        "of the two kinds that come here, counts and spikes, counts is the first in the alphabet",
    ),
    Equivalent(
        "hw_sim/map/mapping.py",
        "settled = dict(zip(place, usage, strict=True))",
        "settled = dict(zip(place, usage, strict=False))",
        "a place is found for each core that is used: the two are never of unlike lengths",
    ),
    Equivalent(
        "hw_sim/simulate/simulator.py",
        'if program.input_kind == "counts" and part.max(initial=0) > 1:',
        'if program.input_kind == "counts" and part.max(initial= -1) > 1:',
        "what there is instead of a largest one is not above 1 in either case",
    ),
    Equivalent(
        "hw_sim/simulate/simulator.py",
        "current += c[:, t if c.shape[1] > 1 else 0]",
        "current += c[:, t if c.shape[1] != 1 else 0]",
        "a current has one frame or one for each timestep, and a program one timestep at least",
    ),
    Equivalent(
        "toolchain/checking/same_network.py",
        "off = errors[p.id].threshold * p.scale * circuit.group(p.id).threshold if p.id in errors else 0.0",
        "off = errors[p.id].threshold * p.scale * circuit.group(p.id).threshold if p.id in errors else 1.0",
        "one step is no more than the step and a little that a threshold may be off",
    ),
    Equivalent(
        "toolchain/checking/remake.py",
        'for p in run.counts.populations if p.role == "neuron"',
        'for p in run.counts.populations if p.role <= "neuron"',
        "of the four roles, neuron, or, readout and relay, it is the first in the alphabet",
    ),
    Equivalent(
        "toolchain/checking/remake.py",
        "return max(1, min(number, int(WORK / max(1.0, work_of(program)))))",
        "return max(1, min(number, int(WORK // max(1.0, work_of(program)))))",
        "of two whole numbers up to 5e11 no quotient is so near to the next whole number that float64 rounds it there",
    ),
    Equivalent(
        "toolchain/checking/remake.py",
        '"neurons": float(sum(p.size for p in program.populations if p.role == "neuron")),',
        '"neurons": float(sum(p.size for p in program.populations if p.role <= "neuron")),',
        "of the three roles, neuron, or and relay, it is the first in the alphabet",
    ),
    Equivalent(
        "toolchain/checking/folder_runs.py",
        "currents = {name: np.concatenate([c[name] for _, c in parts]) for name in parts[0][1]}",
        "currents = {name: np.concatenate([c[name] for _, c in parts]) for name in parts[ -1][1]}",
        "the host injects into the same populations in every part",
    ),
    Equivalent(
        "toolchain/checking/folder_runs.py",
        'good = f"{proved} of {len(found)} populations proved" + '
        '(", the rest observed" if proved < len(found) else "")',
        'good = f"{proved} of {len(found)} populations proved" + '
        '(", the rest observed" if proved != len(found) else "")',
        "no more are proved than there are",
    ),
    Equivalent(
        "toolchain/checking/folder_runs.py",
        'if range_.status != "proved" and name not in program.observed:',
        'if range_.status > "proved" and name not in program.observed:',
        "what prove does not call proved is unproved, which is behind it in the alphabet",
    ),
    Equivalent(
        "hw_sim/lava/run.py",
        'died = f"signal {-code}" if code < 0 else f"code {code}"',
        'died = f"signal {-code}" if code < 1 else f"code {code}"',
        "it is said of a code that is neither 0 nor 1",
    ),
    Equivalent(
        "toolchain/checking/remake.py",
        'figures={**dict.fromkeys(OF_SAMPLES - {"instructions"}), **_placed(map_program(program, system)), **fixed},',
        'figures={**dict.fromkeys(OF_SAMPLES ^ {"instructions"}), **_placed(map_program(program, system)), **fixed},',
        "instructions are one of them: what is in one of the two alone is what is left without it",
    ),
    Equivalent(
        "toolchain/checking/equivalence.py",
        "return np.packbits(fired.reshape(*fired.shape[:2], -1), axis=-1)",
        "return np.packbits(fired.reshape(*fired.shape[:2], - 2), axis=-1)",
        "NumPy takes any negative size for the one that it has to find",
    ),
    Equivalent(
        "toolchain/checking/equivalence.py",
        "sample, neuron = (int(i) for i in np.argwhere(np.unpackbits(unlike[node][:, timestep], axis=-1))[0])",
        "sample, neuron = (int(i) for i in np.argwhere(np.unpackbits(unlike[node][:, timestep], axis=+1))[0])",
        "one timestep of all samples has two axes, of which 1 is the last",
    ),
    Equivalent(
        "hw_sim/lava/run_lava.py",
        "fired = int(np.unpackbits(run.spikes[name], axis=-1).sum(dtype=np.int64))",
        "fired = int(np.unpackbits(run.spikes[name], axis=~1).sum(dtype=np.int64))",
        "along whichever axis the bits are unpacked, their sum is the same",
    ),
    Equivalent(
        "hw_sim/lava/run_lava.py",
        'if __name__ == "__main__":',
        'if __name__ <= "__main__":',
        "the module's other names are run_lava and snnas.hw_sim.lava.run_lava, behind __main__ in the alphabet",
    ),
    Equivalent(
        "hw_sim/lava/run_lava.py",
        'if s["src"] == INPUT:',
        'if s["src"] >= INPUT:',
        "what is no population is the input or the clock, of which the input is the last in the alphabet",
    ),
    Equivalent(
        "hw_sim/lava/run_lava.py",
        "first_input = np.arange(o) // (o // groups) * i",
        "first_input = np.arange(o) // (o / groups) * i",
        "groups divide the outputs, and SciPy makes integers of the columns",
    ),
    Equivalent(
        "hw_sim/lava/run_lava.py",
        'with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:',
        'with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL ^ os.O_NOFOLLOW, 0o644), "wb") as file:',
        "the flags have no bit in common",
    ),
    Equivalent(
        "hw_sim/lava/run.py",
        'raise WorkerError(f"the Lava worker ({python}) failed twice; expected a result; {reasons[-1]}; '
        'try fewer --samples")',
        'raise WorkerError(f"the Lava worker ({python}) failed twice; expected a result; {reasons[+1]}; '
        'try fewer --samples")',
        "it is raised behind two attempts, both of which have failed: the last reason is the second one",
    ),
    Equivalent(
        "export/compiler/fold.py",
        'if stage.op == "avgpool":',
        'if stage.op <= "avgpool":',
        "of the three operations of a stage, avgpool, conv and linear, it is the first in the alphabet",
    ),
    Equivalent(
        "export/compiler/fold.py",
        "node = Conv(weight=weight.reshape(len(weight), -1, kh, kw), bias=bias)",
        "node = Conv(weight=weight.reshape(len(weight), - 2, kh, kw), bias=bias)",
        "NumPy takes any negative size for the one that it has to find",
    ),
    Equivalent(
        "export/compiler/fold.py",
        'flatten = {f: getattr(lif, f).reshape(-1) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}',
        'flatten = {f: getattr(lif, f).reshape(~1) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}',
        "NumPy takes any negative size for the one that it has to find",
    ),
    Equivalent(
        "export/compiler/quantise.py",
        "units = np.rint(bias.reshape(-1, 1) * scale).astype(np.int64)",
        "units = np.rint(bias.reshape(- 2, 1) * scale).astype(np.int64)",
        "NumPy takes any negative size for the one that it has to find",
    ),
    Equivalent(
        "export/compiler/quantise.py",
        'if setting.ranges == "observed" or (setting.ranges == "auto" and '
        "_short(setting, group, population, synapses)):",
        'if setting.ranges == "observed" or (setting.ranges <= "auto" and '
        "_short(setting, group, population, synapses)):",
        "of the three words that check_ranges_option lets pass, auto is the first in the alphabet",
    ),
    Equivalent(
        "export/compiler/fold.py",
        "elif delayed != ((src, dst) in self.delayed):",
        "elif delayed is not ((src, dst) in self.delayed):",
        "both sides are bool, of which there are two objects: unlike is not the same",
    ),
    Equivalent(
        "export/compiler/schedule.py",
        "if chain > max(slack(link, period, behind) for link in own):",
        "if chain != max(slack(link, period, behind) for link in own):",
        "a chain is never shorter than with its targets as early as the longest paths let them: longer is unlike",
    ),
    Equivalent(
        "export/compiler/fold.py",
        'flatten = {f: getattr(lif, f).reshape(-1) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}',
        'flatten = {f: getattr(lif, f).reshape(- 2) for f in ("tau", "r", "v_leak", "v_threshold", "v_reset")}',
        "NumPy takes any negative size for the one that it has to find",
    ),
    Equivalent(
        "export/compiler/fold.py",
        'if stage.op == "linear":',
        'if stage.op >= "linear":',
        "of the three operations of a stage, avgpool, conv and linear, it is the last in the alphabet",
    ),
    Equivalent(
        "export/compiler/fold.py",
        "if isinstance(reads, Lif) and len(reads.shape) == 1:",
        "if isinstance(reads, Lif) and len(reads.shape) <= 1:",
        "a shape of neurons has one axis at least: none is below one",
    ),
    Equivalent(
        "toolchain/checking/folder_runs.py",
        "def simulate(program: Program, x: np.ndarray, batch: int = 128) -> tuple[Fired, dict[str, np.ndarray]]:",
        "def simulate(program: Program, x: np.ndarray, batch: int = 129) -> tuple[Fired, dict[str, np.ndarray]]:",
        "how many samples are run at once changes nothing, which SN602 judges",
    ),
    Equivalent(
        "toolchain/checking/drift.py",
        "values = [ends.get(end) for end in BAND] if isinstance(ends, dict) and set(ends) == set(BAND) else []",
        "values = [ends.get(end) for end in BAND] if isinstance(ends, dict) and set(ends) <= set(BAND) else []",
        "an end that is missing is no number, and fewer numbers than ends are refused",
    ),
    Equivalent(
        "toolchain/checking/drift.py",
        "bad = now < then if GATED[name].least else now > then",
        "bad = now < then if GATED[name].least else now >= then",
        "it is asked of figures that differ",
    ),
    Equivalent(
        "toolchain/checking/folder_runs.py",
        'neurons = sum(p.size for p in program.populations if p.role == "neuron")',
        'neurons = sum(p.size for p in program.populations if p.role <= "neuron")',
        "of the three roles, neuron, or and relay, it is the first in the alphabet",
    ),
    Equivalent(
        "toolchain/checking/drift.py",
        "if len(numbers) < len(BAND) or numbers != sorted(numbers) or numbers[0] < 0:",
        "if len(numbers) is not len(BAND) or numbers != sorted(numbers) or numbers[0] < 0:",
        "there are never more numbers than ends, and small whole numbers that are equal are the same",
    ),
    Equivalent(
        "toolchain/checking/drift.py",
        "found[name] = Band(**dict(zip(BAND, numbers, strict=True)))",
        "found[name] = Band(**dict(zip(BAND, numbers, strict=False)))",
        "fewer numbers than ends were refused, and there are never more",
    ),
    Equivalent(
        "export/dialects/table.py",
        '("decay", [replace(plain, convention=replace(c, decay="exact" if c.decay == "euler" else "euler"))]),',
        '("decay", [replace(plain, convention=replace(c, decay="exact" if c.decay <= "euler" else "euler"))]),',
        "a decay is euler or exact, and exact stands behind euler in the alphabet",
    ),
    Equivalent(
        "export/formats/dump.py",
        "array = array[:, :, 0, 0]",
        "array = array[:, :, -1, 0]",
        "the line before has asked that there is one row alone, so the last is the first",
    ),
    Equivalent(
        "hw_sim/simulate/expected.py",
        "running = np.zeros(self.shape[axis] + 1, dtype=np.int64)",
        "running = np.zeros(self.shape[axis] + 2, dtype=np.int64)",
        "the sum has an entry more at its end; a box ends at the axis' extent, which is the entry before",
    ),
)


def argument_for(module: str, old: str, new: str) -> str | None:
    return next((e.argument for e in EQUIVALENT if (e.module, e.old, e.new) == (module, old, new)), None)
