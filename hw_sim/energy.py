"""Prices counts: profiles of constants, and the bill of one inference at batch 1.

A profile is a TOML file. Each constant has ``value``, ``low``, ``high``, ``unit``, ``node`` (process), ``volt``,
``year``, ``basis`` and ``source``; which constants exist is ``UNITS``. What a profile leaves out is ``unpriced``,
never zero. The bill's parts, in microjoules:

* **encode**: host MACs, and spikes that the host injects.
* **dynamic**: synops, updates (fill and drain of the pipeline included), spikes, messages, hops, all on the chip.
* **floor**: (idle x chips of the system + run x chips used) x latency of one inference.
* **total**: the sum of the priced parts.

The constants' bands are added end to end, as if they moved together. Evidence: the weakest basis among the constants
that priced something, in the order measured > calibrated > simulated > derived > analytic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.counts import Counts
from hw_sim.errors import InvalidFileError, UnsupportedError, brief
from hw_sim.program import CLOCK, INPUT
from hw_sim.tables import read_table, shipped

if TYPE_CHECKING:
    from hw_sim.latency import Latency

BASES = ("measured", "calibrated", "simulated", "derived", "analytic")  # strongest first
PARTS = ("encode", "dynamic", "floor")
VALUE_MAX = 1e12
_SYNOPS = ("synop", "synop_conv", "synop_dense", "synop_sparse")
_UPDATES = ("update_active", "update_idle")
_NETWORK = ("spike_generation", "message", "hop_ew", "hop_ns", "crossing")
UNITS = {
    **{f"energy.{n}": "pJ" for n in (*_SYNOPS, *_UPDATES, *_NETWORK, "host_mac", "input_spike")},
    **{f"power.{n}": "mW" for n in ("idle", "run")},
    **{f"time.{n}": "ns" for n in ("synop", *_UPDATES, "message", "barrier")},
}
REFUSED = {
    "loihi2": "no per-operation constants of Loihi 2 are public; name a measured .toml file of your own, or use loihi1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """low <= nominal <= high."""

    low: float
    nominal: float
    high: float

    def __add__(self, other: Band) -> Band:
        return Band(low=self.low + other.low, nominal=self.nominal + other.nominal, high=self.high + other.high)

    def __mul__(self, factor: float) -> Band:
        return Band(low=self.low * factor, nominal=self.nominal * factor, high=self.high * factor)


ZERO = Band(low=0.0, nominal=0.0, high=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant in pJ, mW or ns, and where it comes from."""

    value: float
    low: float
    high: float
    unit: str
    node: str
    volt: float
    year: int
    basis: str
    source: str
    note: str = ""

    @property
    def band(self) -> Band:
        return Band(low=self.low, nominal=self.value, high=self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named set of constants; keys as in ``UNITS``."""

    name: str
    version: int
    scope: str
    constants: Mapping[str, Constant]
    banner: str = ""

    def get(self, key: str) -> Constant | None:
        """A constant; a format's own synop, or else the general one."""
        if key not in self.constants and key.startswith("energy.synop_"):
            key = "energy.synop"
        return self.constants.get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item of the bill. count: per inference (of power: chips). energy: microjoules per inference."""

    part: str
    item: str
    count: float
    energy: Band
    basis: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Microjoules per inference. A part is None where something is there and nothing of it is priced."""

    profile: str
    profile_version: int
    scope: str
    banner: str
    provenance: str
    evidence: str | None
    encode: Band | None
    dynamic: Band | None
    floor: Band | None
    total: Band | None
    lines: tuple[Line, ...]
    unpriced: tuple[tuple[str, float], ...]

    @property
    def partial(self) -> bool:
        """Whether something happened that has no price here."""
        return bool(self.unpriced)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {**asdict(self), "partial": self.partial}


def load_profile(name_or_path: str) -> Profile:
    """A profile by name or by path (``*.toml``). UsageError: no such one. UnsupportedError: refused by name.

    InvalidFileError: an unknown constant, one with an entry missing, or one that is no finite number >= 0
    with low <= value <= high in the unit of ``UNITS``.
    """
    if name_or_path.lower() in REFUSED:
        raise UnsupportedError(f"profile {name_or_path}: {REFUSED[name_or_path.lower()]}")
    path = shipped(name_or_path, "profiles")
    return parse_profile(read_table(path), path)


def parse_profile(table: dict[str, Any], path: Path) -> Profile:
    """A profile from a TOML table; ``path`` is for messages. Errors as ``load_profile``."""
    constants = {}
    head = {"name": path.stem, "version": 1, "scope": "per_term", "banner": ""}
    for key, default in head.items():
        head[key] = table.get(key, default)
        if type(head[key]) is not type(default):
            raise InvalidFileError(f"{path}: {key} is {brief(head[key])}; expected a {type(default).__name__}")
    if head["scope"] != "per_term":
        raise InvalidFileError(
            f"{path}: scope {brief(head['scope'])}; an all-in chip average holds the floor already and is not to be "
            "mixed with per-operation terms: use per_term constants"
        )
    for section, entries in table.items():
        if section in head:
            continue
        if section not in ("energy", "power", "time") or not isinstance(entries, dict):
            raise InvalidFileError(f"{path}: {brief(section)} is no section; expected energy, power or time")
        for name, entry in entries.items():
            key = f"{section}.{name}"
            if key not in UNITS:
                known = ", ".join(k for k in UNITS if k.startswith(section))
                raise InvalidFileError(f"{path}: constant {key[:80]} is unknown; expected one of {known}")
            constants[key] = _constant(entry, key, path)
    if not constants:
        raise InvalidFileError(f"{path}: no constant in it; expected sections energy, power or time")
    return Profile(**head, constants=constants)  # type: ignore[arg-type]


def _constant(entry: Any, key: str, path: Path) -> Constant:
    place = f"{path}: {key}"
    if not isinstance(entry, dict):
        raise InvalidFileError(
            f"{place} is {brief(entry)}; expected a table with value, low, high, unit and provenance"
        )
    types = {"value": float, "low": float, "high": float, "unit": str, "node": str, "volt": float, "year": int}
    types |= {"basis": str, "source": str}
    odd = (set(types) - set(entry)) | (set(entry) - set(types) - {"note"})
    if odd:
        raise InvalidFileError(f"{place}: entries {', '.join(sorted(odd))[:80]} are missing or unknown; mend the table")
    for name, kind in (types | {"note": str}).items():
        found = entry.get(name, "")
        good = type(found) is kind
        if kind is float:  # TOML writes whole numbers as integers, and may write nan and inf
            good = type(found) in (int, float) and 0 <= found <= VALUE_MAX
        if not good:
            expected = f"a number in 0..{VALUE_MAX:g}" if kind is float else "a whole number" if kind is int else "text"
            raise InvalidFileError(f"{place}.{name} is {brief(found)!r}; expected {expected}")
    if entry["unit"] != UNITS[key]:
        raise InvalidFileError(f"{place} is in {brief(entry['unit'])}; expected {UNITS[key]}: convert it")
    if entry["basis"] not in BASES:
        raise InvalidFileError(f"{place}: basis {brief(entry['basis'])}; expected one of {', '.join(BASES)}")
    if not entry["low"] <= entry["value"] <= entry["high"]:
        raise InvalidFileError(f"{place}: low {entry['low']}, value {entry['value']}, high {entry['high']} must ascend")
    return Constant(**entry)


def weakest(bases: list[str]) -> str | None:
    """The weakest of the bases used; None of none."""
    return max(bases, key=BASES.index, default=None)


def work(counts: Counts) -> list[tuple[str, str, int]]:
    """(part, constant, count over all samples) of everything that happened, floor excluded."""
    synops = dict.fromkeys(("energy.synop_conv", "energy.synop_dense", "energy.synop_sparse"), 0)
    for s in counts.synapses:
        synops[f"energy.synop_{'conv' if s.kind == 'pooled_conv' else s.kind}"] += s.synops
    sent = [s for s in counts.sources if s.id not in (INPUT, CLOCK)]
    hosted = sum(s.spikes for s in counts.sources) - sum(s.spikes for s in sent)
    return [
        ("encode", "energy.host_mac", counts.host_macs),
        ("encode", "energy.input_spike", hosted),
        *(("dynamic", key, n) for key, n in synops.items()),
        ("dynamic", "energy.update_active", sum(p.active + p.fill_active for p in counts.populations)),
        ("dynamic", "energy.update_idle", sum(p.idle + p.fill_idle for p in counts.populations)),
        ("dynamic", "energy.spike_generation", sum(s.spikes for s in sent)),
        ("dynamic", "energy.message", counts.messages),
        ("dynamic", "energy.hop_ew", sum(s.hops_ew for s in counts.sources)),
        ("dynamic", "energy.hop_ns", sum(s.hops_ns for s in counts.sources)),
        ("dynamic", "energy.crossing", sum(s.crossings for s in counts.sources)),
    ]


def price(counts: Counts, profile: Profile, latency: Latency | None) -> Bill:
    """The bill of one inference. latency: of the same profile; None leaves the floor unpriced.

    UnsupportedError where the network fits no system: what cannot run gets no joule.
    """
    if counts.misfits:
        raise UnsupportedError(f"no energy on {counts.system}: {counts.misfits[0]}; make the network fit first")
    lines: list[Line] = []
    unpriced: list[tuple[str, float]] = []
    for part, key, n in work(counts):
        constant, count = profile.get(key), n / counts.samples
        if n and constant is None:
            unpriced.append((key.removeprefix("energy."), count))
        elif n and constant is not None:
            lines.append(_line(part, key, count, constant.band * (count * 1e-6), constant))  # pJ to uJ
    for key, chips in (("power.idle", counts.chips), ("power.run", counts.chips_used)):
        constant = profile.get(key)
        if constant is None or latency is None:
            unpriced.append((f"floor_{key.removeprefix('power.')}", float(chips)))
            continue
        t, p = latency.inference_us, constant.band * (chips * 1e-3)  # mW x us = nJ; x 1e-3 = uJ
        energy = Band(low=p.low * t.low, nominal=p.nominal * t.nominal, high=p.high * t.high)
        lines.append(_line("floor", key, float(chips), energy, constant))
    missing = {part for part, key, n in work(counts) if n} | {"floor"}
    sums: dict[str, Band | None] = {}
    for part in PARTS:
        bands = [line.energy for line in lines if line.part == part]
        sums[part] = sum(bands, ZERO) if bands or part not in missing else None
    priced = [band for band in sums.values() if band is not None]
    bases = [line.basis for line in lines]
    if latency is not None and any(line.part == "floor" for line in lines):
        bases.append(latency.evidence)
    return Bill(
        profile=profile.name,
        profile_version=profile.version,
        scope=profile.scope,
        banner=profile.banner,
        provenance="estimated",
        evidence=weakest(bases),
        **sums,
        total=sum(priced, ZERO) if lines else None,
        lines=tuple(lines),
        unpriced=tuple(unpriced),
    )


def _line(part: str, key: str, count: float, energy: Band, constant: Constant) -> Line:
    item = key.split(".")[1]
    return Line(part=part, item=item, count=count, energy=energy, basis=constant.basis, source=constant.source)
