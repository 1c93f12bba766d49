"""The genome of MSE-NAS: plain frozen data, JSON in and out.

Three scales. Micro: the kernel, 3 or 5, of every synapse inside a motif. Meso: the motif of every cell. Macro: from how
many preceding cells each cell reads, one number for all; and where links are searched, what comes back to each cell
from behind, a timestep later. Cells that reduce have no genes, and a synapse that the motif
or the fan-in does not have has none either: equal networks are equal genomes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, UsageError, brief, did_you_mean
from snnas.search.mse_nas.motifs import FAN_INS, KERNELS, MOTIFS, NAMES
from snnas.search.network.genotype import FORMAT, MAX_CELLS, VERSION, require_object

SPACE = "mse_nas"
LINKED = 2  # version of the file of a genome with links; without any it is as it was


@dataclass(frozen=True, slots=True)
class MotifCell:
    """One cell: the motif's name, and a kernel for each of its synapses in the order of ``Motif.edges``."""

    motif: str
    kernels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Genome:
    """A searched architecture. fan_in: preceding cells that a cell reads. cells: those that hold a motif, in order.

    links: for each of ``cells`` whose output of a timestep earlier it reads besides: 0 nobody's, 1 its own, 2 that of
    the next motif cell, ...; () where all are 0. Raises UsageError for an unknown motif or fan-in, a kernel other than
    3 or 5, a wrong number of kernels or links, and a link from where no cell is.
    """

    fan_in: int
    cells: tuple[MotifCell, ...]
    links: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.fan_in not in FAN_INS or isinstance(self.fan_in, bool):
            raise UsageError(f"fan_in = {self.fan_in!r} of a genome, expected {_choices(FAN_INS)}")
        if not 1 <= len(self.cells) <= MAX_CELLS:
            raise UsageError(f"{len(self.cells)} motif cells in a genome, expected 1 to {MAX_CELLS}")
        for number, cell in enumerate(self.cells, start=1):
            where = f"motif cell {number} of a genome"
            if cell.motif not in MOTIFS:
                raise UsageError(_unknown_motif(cell.motif, where))
            edges = MOTIFS[cell.motif].edges(self.fan_in)
            if len(cell.kernels) != len(edges):
                raise UsageError(
                    f"{len(cell.kernels)} kernels in {where}, expected {len(edges)}: one per synapse of {cell.motif} "
                    f"with {self.fan_in} inputs"
                )
            for edge, kernel in zip(edges, cell.kernels, strict=True):
                if kernel not in KERNELS or isinstance(kernel, bool):
                    raise UsageError(f"kernel {kernel!r} of {edge.name} in {where}, expected {_choices(KERNELS)}")
        fault = _link_fault(self.links, len(self.cells))
        if fault:
            raise UsageError(f"{fault} of a genome")
        if not any(self.links):
            object.__setattr__(self, "links", ())

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells two networks apart."""
        return (self.architecture_id,)

    @property
    def space(self) -> str:
        """The name of the search space, as in a genotype."""
        return SPACE

    @property
    def architecture_id(self) -> str:
        """The first 12 hex digits of the SHA-256 of the canonical JSON: equal genomes, equal ids."""
        canonical = json.dumps(self.plain(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def plain(self) -> dict[str, Any]:
        """Return the genome as JSON has it."""
        cells = [
            {"motif": cell.motif, "kernels": {edge.name: kernel for edge, kernel in _kernels(cell, self.fan_in)}}
            for cell in self.cells
        ]
        version = LINKED if self.links else VERSION
        plain: dict[str, Any] = {
            "format": FORMAT,
            "version": version,
            "space": SPACE,
            "fan_in": self.fan_in,
            "cells": cells,
        }
        return plain | ({"links": list(self.links)} if self.links else {})

    def to_json(self) -> str:
        """Return the genome as indented JSON; ``from_json`` reads it back to an equal value."""
        return json.dumps(self.plain(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "genotype.json") -> Genome:
        """Read what ``to_json`` wrote. Strict: raises InvalidFileError naming value, what was expected, and place."""
        try:
            top = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidFileError(f"{where} is not JSON ({error}); expected a genome as snnas writes it") from None
        linked = isinstance(top, dict) and "links" in top
        require_object(top, ("format", "version", "space", "fan_in", "cells", *(("links",) if linked else ())), where)
        said = [FORMAT, LINKED if linked else VERSION, SPACE]
        if [top["format"], top["version"], top["space"]] != said or type(top["version"]) is not int:
            found = brief([top["format"], top["version"], top["space"]])
            raise InvalidFileError(
                f"format, version and space {found} in {where}, expected {said}; write the file with this version of "
                f"snnas"
            )
        if type(top["fan_in"]) is not int or top["fan_in"] not in FAN_INS:
            raise InvalidFileError(f"fan_in {brief(top['fan_in'])} in {where}, expected {_choices(FAN_INS)}")
        if not isinstance(top["cells"], list) or not 1 <= len(top["cells"]) <= MAX_CELLS:
            raise InvalidFileError(f"'cells' in {where} must be a list of 1 to {MAX_CELLS} motif cells")
        cells = [_cell(plain, top["fan_in"], f"{where}: cells[{k}]") for k, plain in enumerate(top["cells"])]
        links = top.get("links", [])
        fault = _link_fault(links, len(cells)) if isinstance(links, list) else f"links {brief(links)}"
        if fault or (linked and not any(links)):
            raise InvalidFileError(f"{fault or 'links, all 0,'} in {where}; expected a list, one number per motif cell")
        return cls(top["fan_in"], tuple(cells), tuple(links))


def _kernels(cell: MotifCell, fan_in: int) -> Any:
    return zip(MOTIFS[cell.motif].edges(fan_in), cell.kernels, strict=True)


def _cell(plain: Any, fan_in: int, where: str) -> MotifCell:
    require_object(plain, ("motif", "kernels"), where)
    motif, kernels = plain["motif"], plain["kernels"]
    if not isinstance(motif, str) or motif not in MOTIFS:
        raise InvalidFileError(_unknown_motif(motif, where))
    names = [edge.name for edge in MOTIFS[motif].edges(fan_in)]
    require_object(kernels, tuple(names), f"{where}.kernels")
    for name in names:
        if type(kernels[name]) is not int or kernels[name] not in KERNELS:
            raise InvalidFileError(
                f"kernel {brief(kernels[name])} at {where}.kernels[{name!r}], expected {_choices(KERNELS)}"
            )
    return MotifCell(motif, tuple(kernels[name] for name in names))


def _link_fault(links: Sequence[Any], cells: int) -> str:
    """Return what is wrong with the links of so many motif cells, or ''."""
    if links and len(links) != cells:
        return f"{len(links)} links beside {cells} motif cells, expected one for each,"
    for place, link in enumerate(links):
        if type(link) is not int or not 0 <= link <= cells - place:
            return f"link {brief(link)} into motif cell {place + 1}, expected 0 to {cells - place}: cells from it on,"
    return ""


def _unknown_motif(motif: Any, where: str) -> str:
    hint = did_you_mean(motif, NAMES) if isinstance(motif, str) else ""
    return f"unknown motif {brief(motif)} at {where}, expected {', '.join(NAMES)}{hint}"


def _choices(values: tuple[int, ...]) -> str:
    return " or ".join(map(str, values))
