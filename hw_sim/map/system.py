"""Systems: a chip's limits per core, and the sizes in which it was built; TOML files with a source for each number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, brief
from snnas.hw_sim.tables import read_table, shipped

RESOURCES = ("compartments", "synapse_bytes", "in_axons", "out_axons")
UNPUBLISHED = "unpublished"  # in place of a number of axons: the limit is not checked
UNLIMITED = 1 << 40
CORES = ("cortex-m4", "rv32imc")  # of microcontrollers: those of ``hw_sim/c/compilers.py``


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A chip and the sizes in which it was built. Limits are per core; cores per chip; chips ascending.

    core: of a microcontroller, whose compiled program is held against flash and ram (bytes); None: a chip of neurons.
    clock: of it, MHz. A number of axons of ``UNLIMITED`` was never published and is not checked. soft_reset: its neuron
    may be reset by subtraction.
    """

    name: str
    compartments: int
    synapse_bytes: int
    in_axons: int
    out_axons: int
    cores: int
    tile_cores: int
    mesh_rows: int
    chips: tuple[int, ...]
    soft_reset: bool = False
    core: str | None = None
    flash: int = UNLIMITED
    ram: int = UNLIMITED
    clock: int = 0

    def position(self, core: int) -> tuple[int, int, int]:
        """(chip, column, row) of a core's tile; tiles fill column by column."""
        chip, local = divmod(core, self.cores)
        column, row = divmod(local // self.tile_cores, self.mesh_rows)
        return chip, column, row


def load_system(name: str = "loihi1") -> System:
    """A system by name or path. InvalidFileError says which limit is missing or no count."""
    path = shipped(name, "systems")
    table = read_table(path)
    limits = table.get("limits")
    if "core" in table:
        return _microcontroller(table, path)
    per_core = ("cores", "tile_cores", "mesh_rows", *RESOURCES)
    found: dict[str, Any] = {}
    for key in per_core:
        entry = limits.get(key) if isinstance(limits, dict) else None
        value = entry.get("value") if isinstance(entry, dict) else None
        if value == UNPUBLISHED and key.endswith("axons"):
            value = UNLIMITED
        if type(value) is not int or value < 1:
            raise InvalidFileError(f"{path}: limits.{key}.value is {brief(value)}; expected a whole number >= 1")
        found[key] = value
    entry = table.get("chips")
    chips = entry.get("value") if isinstance(entry, dict) else None
    if not isinstance(chips, list) or not chips or any(type(n) is not int or n < 1 for n in chips):
        raise InvalidFileError(f"{path}: chips.value is {brief(chips)}; expected a list of whole numbers >= 1")
    soft = table.get("soft_reset", False)
    if type(soft) is not bool:
        raise InvalidFileError(f"{path}: soft_reset is {brief(soft)}; expected true or false")
    return System(name=str(table.get("name", path.stem)), chips=tuple(sorted(chips)), soft_reset=soft, **found)


def _microcontroller(table: dict[str, Any], path: Path) -> System:
    """One core that computes all neurons, one after the other; nothing of it is placed."""
    core, limits, found = table["core"], table.get("limits"), {}
    if core not in CORES:
        raise InvalidFileError(f"{path}: core is {brief(core)}; expected one of {', '.join(CORES)}")
    for key in ("flash", "ram", "clock"):
        entry = limits.get(key) if isinstance(limits, dict) else None
        value = entry.get("value") if isinstance(entry, dict) else None
        if type(value) is not int or not 1 <= value <= UNLIMITED:
            raise InvalidFileError(f"{path}: limits.{key}.value is {brief(value)}; expected a whole number >= 1")
        found[key] = value
    return System(
        name=str(table.get("name", path.stem)),
        compartments=UNLIMITED,
        synapse_bytes=UNLIMITED,
        in_axons=UNLIMITED,
        out_axons=UNLIMITED,
        cores=1,
        tile_cores=1,
        mesh_rows=1,
        chips=(1,),
        soft_reset=True,
        core=core,
        flash=found["flash"],
        ram=found["ram"],
        clock=found["clock"],
    )
