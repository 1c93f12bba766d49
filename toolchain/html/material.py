"""What lies in a run's folder, read once, each piece when a section asks for it; a piece that is not there says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import read_program
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import Bill, price
from snnas.hw_sim.energy.profile import Profile, load_profile
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.files import read_json, read_text, sha256
from snnas.hw_sim.map.mapping import Mapping as Placement
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.counts import Counts
from snnas.search.network.genotype import Genotype
from snnas.toolchain.output.report import read_report
from snnas.toolchain.runs.run import Run

LAVA, C = "lava", "c"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
FRONT = "snnas.front/1"
DIAGNOSIS = "snnas.diagnose/1"
# What reading a file that somebody wrote by hand may end in, one place further on.
DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, ZeroDivisionError)


class Missing(Exception):
    """A section has nothing to show: why, and how to get it."""


@dataclass(frozen=True)
class Material:
    """A run's files. Every property raises Missing where its file is not there, or SnnasError where it is damaged."""

    run: Run

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.run.config()

    def section(self, name: str) -> dict[str, Any]:
        """A table of run.toml; empty where it has none."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @cached_property
    def report(self) -> dict[str, Any]:
        if not self.run.report.exists():
            raise Missing(f"Not exported yet: snnas export {self.run.name} --target {LAVA}")
        return read_report(self.run.report)

    @cached_property
    def target(self) -> str:
        """Whose files are read: those of the export that report.json is of."""
        try:
            return C if "c" in self.report else LAVA
        except (Missing, SnnasError):
            return LAVA

    @cached_property
    def c(self) -> dict[str, Any]:
        """``c`` of a report: of the last export, else of the one in export/c. Missing, without words: there is none."""
        path = self.run.report if self.target == C else self.run.export(C) / "report.json"
        if not path.is_file():
            raise Missing("")
        found = read_report(path)["c"]
        if not isinstance(found, dict):
            raise ValueError("c of report.json is no object")
        return found

    @cached_property
    def plain_genotype(self) -> dict[str, Any]:
        """genotype.json as it stands."""
        if not self.run.genotype.exists():
            raise Missing(f"The search has not ended: snnas search --resume {self.run.name}")
        found = read_json(self.run.genotype)
        if not isinstance(found, dict):
            raise ValueError("genotype.json is no object")
        return found

    @cached_property
    def genotype(self) -> Genotype:
        """The cells of four nodes; Missing for architectures of other spaces."""
        from snnas.search.kinds import read_genotype

        found = self.plain_genotype
        cells = found.get("cells")
        if not isinstance(cells, list) or not all(isinstance(c, dict) and "forward" in c for c in cells):
            raise Missing(f"Space {found.get('space')}: no cell of four nodes to draw.")
        try:
            genotype = read_genotype(read_text(self.run.genotype))
        except SnnasError as error:
            raise ValueError(str(error)) from None
        if not isinstance(genotype, Genotype):
            raise ValueError("genotype.json holds no cells of four nodes")
        return genotype

    @cached_property
    def search(self) -> list[dict[str, Any]]:
        """search.jsonl, of the last attempt where a budget asked for several."""
        records = self.run.search_log.read()
        if not records:
            raise Missing("search.jsonl is not there: a search writes it.")
        last = max(_attempt(r) for r in records)
        return [r for r in records if _attempt(r) == last]

    @cached_property
    def training(self) -> list[dict[str, Any]]:
        records = self.run.train_log.read()
        if not records:
            raise Missing(f"Not trained yet: snnas train {self.run.name}")
        return records

    def exported(self, name: str) -> Any:
        """A file of the export; Missing where it is not there."""
        path = self.run.export(self.target) / name
        if not path.is_file():
            raise Missing(f"{name} is not there: snnas export {self.run.name} --target {self.target}")
        return path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        found = read_json(self.exported("manifest.json"))
        if not isinstance(found, dict):
            raise ValueError("manifest.json is no object")
        return found

    @cached_property
    def counts(self) -> Counts:
        return Counts.from_json(read_json(self.exported("counts.json")))

    @cached_property
    def program(self) -> Program:
        return read_program(self.exported("program.npz"))

    @cached_property
    def golden(self) -> dict[str, np.ndarray]:
        return read_npz(self.exported("golden.npz"), what="record")

    def spikes(self, population: str) -> np.ndarray:
        """What the program's population did on the recorded samples: bool (B, T, N)."""
        size = self.program.population(population).size
        packed = self.golden[f"spikes.{population}"]
        if packed.ndim != 3 or packed.dtype != np.uint8 or packed.shape[1:] != (self.program.timesteps, -(-size // 8)):
            raise ValueError(f"golden.npz: spikes.{population} does not fit the program")
        return np.unpackbits(packed, axis=-1, count=size).astype(bool)

    @cached_property
    def placement(self) -> Placement:
        """The export's placement, made again from its program."""
        name = self.counts.system
        if not NAME.fullmatch(name):
            raise Missing(f"System {name}: only systems that ship with snnas are drawn.")
        found = map_program(self.program, load_system(name))
        if [u["compartments"][0] for u in found.usage] != [core.compartments for core in self.counts.cores]:
            raise Missing(
                f"counts.json is of another placement: snnas export {self.run.name} --target {self.target} --force"
            )
        return found

    @cached_property
    def profile(self) -> Profile:
        name = str(self.report["energy_uJ"]["profile"])
        if not NAME.fullmatch(name):
            raise Missing(f"Profile {name}: only profiles that ship with snnas are itemised.")
        return load_profile(name)

    @cached_property
    def bill(self) -> Bill:
        """The bill of the report, itemised."""
        bill = price(self.counts, self.profile, estimate_latency(self.counts, self.profile))
        before = self.report["energy_uJ"]["total"]["nominal"]
        after = bill.total.nominal if bill.total else None
        if (before is None) != (after is None) or abs((before or 0.0) - (after or 0.0)) > 1e-6 * abs(before or 1.0):
            raise Missing(
                f"Profile {self.profile.name} has other constants than the report was made with: export again."
            )
        return bill

    @cached_property
    def diagnosis(self) -> dict[str, Any]:
        """What ``snnas diagnose`` found in the program that lies here; Missing where it looked at another one."""
        again = f"snnas diagnose {self.run.name}"
        if not self.run.diagnosis.is_file():
            raise Missing(f"Not diagnosed: {again}")
        found = read_json(self.run.diagnosis)
        if not isinstance(found, dict) or found.get("schema") != DIAGNOSIS:
            raise ValueError(f"diagnosis.json is no {DIAGNOSIS}")
        if found["program_sha256"] != sha256(self.exported("program.npz")):
            raise Missing(f"The diagnosis is of another program than the one exported: {again}")
        return found

    @cached_property
    def front(self) -> dict[str, Any]:
        path = self.run.path / "front.json"
        if not path.is_file():
            raise Missing("This search kept no front: snnas search --objective score,energy")
        found = read_json(path)
        if not isinstance(found, dict) or found.get("schema") != FRONT or not isinstance(found.get("points"), list):
            raise ValueError(f"front.json is no {FRONT}")
        if not found["points"]:
            raise Missing("The front is empty: no network of this search had a price.")
        return found

    def provenance(self, key: str) -> str:
        """measured, simulated or estimated, as the report says of a figure."""
        return str(self.report["provenance"].get(key, ""))


def _attempt(record: dict[str, Any]) -> int:
    found = record.get("attempt", 1)
    return found if type(found) is int else 1
