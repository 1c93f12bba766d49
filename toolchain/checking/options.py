"""What a check is asked for. Plain data; the command line fills it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.checking.drift import Tolerances
from snnas.toolchain.checking.rules.rules import find
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.searching.budgets import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What a check is asked for."""

    graphs: tuple[Path, ...] = ()
    """Folders that ``snnas export`` wrote, .nir and .onnx files."""
    limits: Limits = field(default_factory=dict)
    """Ends of figures by metric, in the units of ``searching/budgets.py``."""
    budget: Path | None = None
    """A TOML file of more limits; None: budget.toml beside the graph, where there is one."""
    baseline: Path | None = None
    """A baseline.json: no figure may be worse."""
    tolerances: Tolerances = field(default_factory=dict)
    """By how much worse, by metric."""
    update_baseline: bool = False
    """Write the baseline, where all else passes."""
    record: str | None = None
    """Make the recording of a .nir or .onnx: 'auto' (GRAPH.check.npz), or the .npz."""
    recording: Path | None = None
    """The recording to replay; None: GRAPH.check.npz, where there is one."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """How a foreign graph is read, and the samples to record."""
    pricing: Pricing = field(default_factory=Pricing)
    """Chip and energy profile of a lone .nir."""
    force: bool = False
    """Make a recording again, of the same samples read the same way."""
    new_recording: bool = False
    """Put a recording of other samples or options in its place."""
    in_ci: bool = False
    """Write recording or baseline although the environment variable CI is set."""
    strict: bool = False
    """Warnings fail too, but for those of portability."""
    portable: bool = False
    """Warnings of portability fail: other tools run the graph otherwise."""
    measure: bool = False
    """Measure the figures although nothing judges them."""
    budgets: bool = True
    """Whether a budget.toml beside the graph counts where none is named."""
    trust_report: bool = False
    """Judge by figures that report.json claims, where they cannot be made again on as many samples."""
    ignored: frozenset[str] = frozenset()
    """Codes of rules that are shown and pass, with those of the budget file."""

    @property
    def judges(self) -> bool:
        """Whether figures are asked for by the command line."""
        return bool(self.limits or self.budget or self.baseline or self.update_baseline or self.measure)

    def check(self) -> None:
        """UsageError for options that do not go together."""
        single = {
            "--baseline": self.baseline is not None,
            "--update-baseline": self.update_baseline,
            "--recording": self.recording is not None,
            "--record": self.record not in (None, "auto"),
        }
        odd = [name for name, given in single.items() if given]
        if len(self.graphs) > 1 and odd:
            raise UsageError(f"{', '.join(odd)}: of one GRAPH, got {len(self.graphs)}; check them one by one")
        if self.tolerances and self.baseline is None:
            raise UsageError("--tolerance is of a baseline; give --baseline FILE")
        given = self.reading.data is not None or self.reading.limit is not None
        lone = next((path for path in self.graphs if path.is_file()), None)  # what is not there is a finding
        if self.record is None and given and lone is not None:
            raise UsageError(
                f"{lone}: --data and --limit are what --record records, or what an export is measured on; "
                "give --record auto, or leave them out"
            )
        if self.reading.limit is not None and self.reading.data is None and self.record is None:
            raise UsageError(f"--limit {self.reading.limit}: of --data; give it too, or leave --limit out")
        if given and self.record is None and not self.judges:
            raise UsageError("--data: nothing judges what is measured on it; give --min, --max, --budget or --baseline")
        if self.record is None and (self.force or self.new_recording):
            raise UsageError("--force and --new-recording are of --record; give --record auto, or leave them out")
        if self.record is not None and self.recording is not None:
            raise UsageError("--record makes a recording and --recording replays one; give one of the two")


def parse_ignored(items: Iterable[str]) -> frozenset[str]:
    """``SN201,SN206`` or one by one -> codes; UsageError names a near one."""
    codes = (part for item in items for part in item.split(",") if part.strip())
    try:
        return frozenset(find(code).code for code in codes)
    except UsageError as error:
        raise UsageError(f"--ignore: {error}") from None
