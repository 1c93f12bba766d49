"""An integer program that Python holds: run on samples, priced, kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.export.formats.program_file import write_program
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import Program as Integers
from snnas.toolchain.commands.models import estimate_subject, simulate_subject
from snnas.toolchain.commands.outcomes import Bill, Simulation
from snnas.toolchain.commands.scratch import Scratch
from snnas.toolchain.data.user_samples import ARRAYS, given_arrays
from snnas.toolchain.models.open import Subject, open_subject, with_samples
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.output.shown import Shown
from snnas.toolchain.output.spoken import spoken_class, to_python
from snnas.toolchain.output.telling import Progress, narrator_of

if TYPE_CHECKING:
    from rich.table import Table


@spoken_class
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Program(Shown):
    """An integer network for one target, in Loihi's arithmetic: int8 weights, integer thresholds, a schedule.

    Made by ``Model.compile``, read by ``load`` and held by an ``Export``.
    """

    subject: Subject
    """The program with the graph that it was compiled from, where there is one; without samples."""
    own: Subject | None = None
    """The same with the samples that an export keeps beside it, which are run where none are given."""
    folder: Scratch | None = None
    """What holds the graph's file where nobody named one."""

    @property
    def integers(self) -> Integers:
        """The plain data: populations, synapses, schedule, readout."""
        return self.subject.program

    @property
    def timesteps(self) -> int:
        """T of an inference."""
        return self.integers.timesteps

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a sample, or of each of its frames."""
        return self.integers.input_shape

    @property
    def neurons(self) -> int:
        """Neurons, those of OR and relay populations left out."""
        return sum(p.size for p in self.integers.populations if p.role == "neuron")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of how the model was read and calibrated."""
        return tuple(map(to_python, self.subject.notes))

    def simulate(
        self, x: Any = None, y: Any = None, *, stream: int | None = None, progress: Progress = None
    ) -> Simulation:
        """Runs the program on samples.

        x: (N, C, H, W) or (N, T, C, H, W), floats or bytes; an input that is flat takes (N, n) too. None: the samples
        that its export keeps. y: whole numbers (N,), for accuracy. stream: so many samples one after the other without
        a reset, beside the rest. progress: as of ``search_network``. InvalidFileError (3) for samples that do not fit,
        UnsupportedError (4) for a register that overflows on them.
        """
        subject = self._with(x, y)
        return simulate_subject(subject, ReadingOptions(), narrator_of(progress), stream=stream)

    def estimate(
        self,
        x: Any = None,
        y: Any = None,
        *,
        system: str = "loihi1",
        profile: str | None = None,
        all_profiles: bool = False,
        rate: float | None = None,
        progress: Progress = None,
    ) -> Bill:
        """Prices the program on a chip, by what it does on samples; without a fit there is no joule.

        x, y: as of ``simulate``. system: loihi1, loihi2, generic, or a .toml file. profile: energy profile, a name or a
        .toml file; None: the system's own. all_profiles: the same counts under every shipped one too. rate: spikes per
        neuron and timestep, in 0..1, that are assumed in place of samples.
        """
        if rate is not None and x is not None:
            raise UsageError("rate assumes what x would measure; give one of them")
        subject = self.subject if rate is not None else self._with(x, y)
        pricing = Pricing(profile=profile, system=system, every=all_profiles, rate=rate)
        return estimate_subject(subject, ReadingOptions(), pricing, narrator_of(progress))

    def save(self, path: str | Path) -> Path:
        """Writes program.npz, which ``load`` and every command read."""
        path = Path(path)
        if path.suffix != ".npz":
            raise UsageError(f"{path}: expected a name that ends in .npz")
        write_program(path, self.integers)
        return path

    def _with(self, x: Any, y: Any) -> Subject:
        if x is not None:
            return with_samples(self.subject, *given_arrays(x, y), ARRAYS)
        if y is not None:
            raise UsageError("y without x: labels are of the samples that are given; give x too")
        if self.own is None:
            raise UsageError("no samples: give x, an array (N, C, H, W) or (N, T, C, H, W)")
        return self.own

    @property
    def headline(self) -> str:
        p = self.integers
        shape = " x ".join(map(str, p.input_shape))
        period = f", {p.schedule.period} hardware steps each" if p.schedule.period > 1 else ""
        bits = p.weight_bits
        return (
            f"{self.neurons:,} neurons, input {shape} ({p.input_kind}), T = {p.timesteps}{period}, {bits}-bit weights"
        )

    def to_dict(self) -> dict[str, Any]:
        p = self.integers
        roles = {q.id: q.role for q in p.populations}
        return {
            "timesteps": p.timesteps,
            "input_kind": p.input_kind,
            "input_shape": list(p.input_shape),
            "schedule": {"period": p.schedule.period, "depth": p.schedule.total_depth},
            "weight_bits": p.weight_bits,
            "populations": [{"id": q.id, "role": roles[q.id], "shape": list(q.shape)} for q in p.in_order],
            "notes": list(self.notes),
        }

    def tables(self) -> Iterator[Table]:
        from rich.table import Table

        out = Table("population", "role", "shape", "neurons", "fed by")
        for q in self.integers.in_order:
            sources = [s.src + " (a step late)" * bool(s.distance) for s in self.integers.synapses if s.dst == q.id]
            out.add_row(q.id, q.role, " x ".join(map(str, q.shape)), f"{q.size:,}", ", ".join(sources))
        yield out


def read_program(path: Path) -> Program:
    """The program of a program.npz, or of a folder that ``snnas export`` wrote, with the samples that it keeps."""
    bare = open_subject(path, ReadingOptions(samples=False))
    kept = path.is_dir() and (path / "stimulus.npz").is_file()
    return Program(bare, open_subject(path, ReadingOptions()) if kept else None)


def compiled(subject: Subject, folder: Scratch | None) -> Program:
    """The program of a graph that was compiled."""
    return Program(subject, folder=folder)
