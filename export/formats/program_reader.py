"""A Program from the arrays of a ``program.npz`` that nobody vouches for: every error says place and expectation."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from snnas.hw_sim.entries import Entries
from snnas.hw_sim.lava.run_lava import FORMAT, FORMAT_ENTRIES, FORMAT_FINER, FORMATS
from snnas.hw_sim.limits import NO_MEMORY
from snnas.hw_sim.program import (
    HALVINGS_MAX,
    RESERVED,
    HostIntegers,
    HostMap,
    LinearMap,
    Pool,
    Population,
    Program,
    Schedule,
    Synapse,
)
from snnas.hw_sim.readout import Reading, Readout

JSON_BYTES = 16 << 20
NEURONS = 1 << 26  # of one population; half a system of 768 Loihi chips
SPIKES = 1 << 36  # neurons x timesteps: a byte each in the simulator, of which 64 GiB are the end
EXTENT = 1 << 20  # of a depth, a period, a number of groups
WINDOW = 1 << 10  # of a kernel, a stride, a padding: a wider padding is only a way to ask for memory
_ID = re.compile(r"[A-Za-z0-9_]{1,200}", re.ASCII)
_WEIGHT_AXES = {"conv": 4, "pooled_conv": 4, "dense": 2, "sparse": 1}


def bad_id(program: Program) -> str | None:
    """Why the ids cannot name arrays, or None: they are shared between populations, synapses and host maps."""
    seen = set(RESERVED)
    ids = [p.id for p in program.populations] + [s.id for s in program.synapses] + [h.id for h in program.host]
    for name in ids:
        if not _ID.fullmatch(name) or name in seen:
            return f"id {name!r} repeats, is reserved, or holds more than letters, digits and underscores"
        seen.add(name)
    return None


class WrongProgram(Exception):
    """What is wrong with the file being read; the text and the rule of the InvalidFileError to be."""

    def __init__(self, text: str, code: str = "SN117") -> None:
        super().__init__(text)
        self.code = code


class ProgramReader:
    """Builds a Program from untrusted arrays; every method raises WrongProgram with the place and the expectation."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.format: object = None

    def program(self) -> Program:
        doc = self.document()
        given = _dict(doc.get("input"), "input")
        low, high = (_number(v, "input.range") for v in _list(given.get("range"), "input.range", 2))
        program = Program(
            timesteps=_integer(doc.get("timesteps"), "timesteps", 1, 1 << 16),
            input_shape=_shape(given.get("shape"), "input.shape"),
            input_kind=_choice(given.get("kind"), "input.kind", ("analogue", "spikes", "counts")),
            input_range=(low, high),
            populations=tuple(self.population(p, f"populations[{i}]") for i, p in _items(doc, "populations")),
            synapses=tuple(self.synapse(s, f"synapses[{i}]") for i, s in _items(doc, "synapses")),
            host=tuple(self.host_map(h, f"host[{i}]") for i, h in _items(doc, "host")),
            host_integers=_host_integers(doc),
            readout=self.readout(_dict(doc.get("readout"), "readout")),
            schedule=_schedule(_dict(doc.get("schedule"), "schedule")),
            meta=_dict(doc.get("meta", {}), "meta"),
        )
        if bad := bad_id(program):
            raise WrongProgram(bad)
        if program.input_kind == "analogue" and not program.host:
            raise WrongProgram("its input is analogue and no host map reads it, so that nothing drives it")
        spikes = program.timesteps * sum(p.size for p in program.populations)
        if spikes > SPIKES:
            raise WrongProgram(f"its neurons have {spikes} chances to fire in one sample; at most {SPIKES} are read")
        return program

    def document(self) -> dict[str, Any]:
        raw = self.array("program.json", np.uint8, 1)
        if raw.size > JSON_BYTES:
            raise WrongProgram(f"program.json has {raw.size} bytes; at most {JSON_BYTES} are read")
        try:
            doc = json.loads(raw.tobytes().decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, or a number of too many digits
            raise WrongProgram("program.json is not JSON, or is nested too deeply") from None
        doc = _dict(doc, "program.json")
        self.format = doc.get("format")
        if doc.get("format") not in FORMATS:
            raise WrongProgram(
                f"format {str(doc.get('format'))[:40]!r}; this version reads {', '.join(FORMATS)}: upgrade snnas, or "
                "snnas export --force",
                "SN102",
            )
        return doc

    def array(self, name: str, dtype: type[np.generic], axes: int) -> np.ndarray:
        array = self.arrays.get(name)
        if array is None:
            raise WrongProgram(f"array {name} is missing")
        if array.dtype != np.dtype(dtype) or array.ndim != axes:
            raise WrongProgram(
                f"array {name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} with {axes} axes"
            )
        if not array.size and not name.endswith((".indices", ".weight")):
            raise WrongProgram(f"array {name} is empty")
        return array

    def population(self, given: dict[str, Any], where: str) -> Population:
        name = _id(given.get("id"), f"{where}.id")
        return Population(
            id=name,
            shape=_shape(given.get("shape"), f"{where}.shape"),
            dv=_integer(given.get("dv"), f"{where}.dv", 0, EXTENT),
            vth=_integer(given.get("vth"), f"{where}.vth", 0, EXTENT),
            scale=_number(given.get("scale"), f"{where}.scale", positive=True),
            bias=self.array(f"{name}.bias", np.int16, 3),
            bias_exponent=_integer(given.get("bias_exponent"), f"{where}.bias_exponent", 0, 63),
            role=_choice(given.get("role"), f"{where}.role", ("neuron", "or", "relay")),
            du=_integer(given.get("du", NO_MEMORY), f"{where}.du", 0, NO_MEMORY),
            taken=_integer(given.get("taken", 0), f"{where}.taken", 0, EXTENT),
        )

    def synapse(self, given: dict[str, Any], where: str) -> Synapse:
        name = _id(given.get("id"), f"{where}.id")
        distance = _integer(given.get("distance"), f"{where}.distance", 0, 1)
        return Synapse(
            id=name,
            src=_id(given.get("src"), f"{where}.src"),
            dst=_id(given.get("dst"), f"{where}.dst"),
            map=self.linear(given, name, np.int8, where),
            exponent=_integer(given.get("exponent"), f"{where}.exponent", 0, 63),
            distance=1 if distance else 0,
        )

    def host_map(self, given: dict[str, Any], where: str) -> HostMap:
        name = _id(given.get("id"), f"{where}.id")
        return HostMap(
            id=name,
            dst=_id(given.get("dst"), f"{where}.dst"),
            map=self.linear(given, name, np.float32, where),
            gain=_number(given.get("gain"), f"{where}.gain"),
            distance=_integer(given.get("distance"), f"{where}.distance", 0, EXTENT),
        )

    def readout(self, given: dict[str, Any]) -> Readout:
        readings = [self.reading(r, f"readout.readings[{i}]") for i, r in _items(given, "readings", "readout")]
        if len({(r.src, r.distance) for r in readings}) < len(readings):
            raise WrongProgram("the readout reads one population twice, equally late")
        return Readout(
            readings=tuple(readings),
            bias=self.array("readout.bias", np.int64, 2),
            response=self.array("readout.response", np.int64, 2),
            scale=_number(given.get("scale"), "readout.scale", positive=True),
            read=_choice(given.get("read"), "readout.read", ("sum", "last", "max")),
        )

    def reading(self, given: dict[str, Any], where: str) -> Reading:
        src = _id(given.get("src"), f"{where}.src")
        distance = _integer(given.get("distance"), f"{where}.distance", 0, EXTENT)
        name = f"readout.{src}.{distance}"
        if "columns" not in given or self.format not in (FORMAT_ENTRIES, FORMAT_FINER):
            return Reading(src=src, weight=self.array(name, np.int8, 2), distance=distance)
        entries = Entries(
            values=self.array(name, np.int8, 1),
            indices=self.array(f"{name}.indices", np.int32, 1),
            indptr=self.array(f"{name}.indptr", np.int32, 1),
            columns=_integer(given["columns"], f"{where}.columns", 1, NEURONS),
        )
        return Reading(src=src, weight=entries, distance=distance)

    def linear(self, given: dict[str, Any], name: str, dtype: type[np.generic], where: str) -> LinearMap:
        kind = _choice(given.get("kind"), f"{where}.kind", tuple(_WEIGHT_AXES))
        weight = self.array(f"{name}.weight", dtype, _WEIGHT_AXES[kind])
        if not np.isfinite(weight).all() or (kind != "sparse" and not weight.size):
            raise WrongProgram(f"array {name}.weight is empty or holds NaN or infinity")
        indices = indptr = None
        if kind == "sparse":
            indices = self.array(f"{name}.indices", np.int32, 1)
            indptr = self.array(f"{name}.indptr", np.int32, 1)
            if indptr.size < 2 or indptr[0] != 0 or (np.diff(indptr.astype(np.int64)) < 0).any():
                raise WrongProgram(f"array {name}.indptr does not start at 0 and grow")
        pre, post = (
            tuple(_pool(p, f"{where}.{end}[{i}]") for i, p in _items(given, end, where)) for end in ("pre", "post")
        )
        return LinearMap(
            kind=kind,
            weight=weight,
            stride=_pair(given.get("stride"), f"{where}.stride", 1),
            pad=_pair(given.get("pad"), f"{where}.pad", 0),
            groups=_integer(given.get("groups"), f"{where}.groups", 1, EXTENT),
            pre=pre,
            post=post,
            indices=indices,
            indptr=indptr,
        )


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _shown(value: object) -> str:
    return repr(value)[:60] if isinstance(value, str | int | float | bool | None) else type(value).__name__


def _dict(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongProgram(f"{where} is {_shown(value)}; expected an object")
    return value


def _list(value: object, where: str, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise WrongProgram(f"{where} is {_shown(value)}; expected {length} values")
    return value


def _items(doc: dict[str, Any], key: str, where: str = "") -> list[tuple[int, dict[str, Any]]]:
    value = doc.get(key)
    place = f"{where}.{key}" if where else key
    if not isinstance(value, list) or len(value) > 1 << 16:
        raise WrongProgram(f"{place} is {_shown(value)}; expected a list of at most {1 << 16} objects")
    return [(i, _dict(v, f"{place}[{i}]")) for i, v in enumerate(value)]


def _integer(value: object, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise WrongProgram(f"{where} is {_shown(value)}; expected an integer in {low}..{high}")
    return value


def _number(value: object, where: str, positive: bool = False) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        value = float(value)
    if not isinstance(value, float) or not math.isfinite(value) or (positive and value <= 0):
        raise WrongProgram(f"{where} is {_shown(value)}; expected a {'positive' if positive else 'finite'} number")
    return value


def _choice(value: object, where: str, options: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in options:
        raise WrongProgram(f"{where} is {_shown(value)}; expected one of {', '.join(options)}")
    return value


def _id(value: object, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise WrongProgram(f"{where} is {_shown(value)}; expected letters, digits and underscores")
    return value


def _shape(value: object, where: str) -> tuple[int, int, int]:
    c, h, w = (_integer(v, where, 1, NEURONS) for v in _list(value, where, 3))
    if c * h * w > NEURONS:
        raise WrongProgram(f"{where} is {[c, h, w]}, {c * h * w} values; at most {NEURONS} are read")
    return c, h, w


def _pair(value: object, where: str, low: int) -> tuple[int, int]:
    a, b = (_integer(v, where, low, WINDOW) for v in _list(value, where, 2))
    return a, b


def _pool(given: dict[str, Any], where: str) -> Pool:
    fields: list[tuple[str, int]] = [("kernel", 1), ("stride", 1), ("pad", 0)]
    kernel, stride, pad = (_pair(given.get(key), f"{where}.{key}", low) for key, low in fields)
    return Pool(kernel=kernel, stride=stride, pad=pad)


def _host_integers(doc: dict[str, Any]) -> HostIntegers | None:
    given = _dict(doc.get("host_integers", {}), "host_integers")
    if doc["format"] == FORMAT or (doc["format"] == FORMAT_ENTRIES and "host_integers" not in doc):
        return None
    zero = _integer(given.get("zero"), "host_integers.zero", 0, 255)
    step = _number(given.get("step"), "host_integers.step", positive=True)
    if doc["format"] != FORMAT_FINER:
        return HostIntegers(step=step, zero=zero)
    channels = _shape(_dict(doc.get("input"), "input").get("shape"), "input.shape")[0]
    finer = _list(given.get("finer"), "host_integers.finer", channels)
    halved = tuple(_integer(n, f"host_integers.finer[{at}]", 0, HALVINGS_MAX) for at, n in enumerate(finer))
    return HostIntegers(step=step, zero=zero, finer=halved)


def _schedule(given: dict[str, Any]) -> Schedule:
    depth = _dict(given.get("depth"), "schedule.depth")
    return Schedule(
        period=_integer(given.get("period"), "schedule.period", 1, EXTENT),
        depth={_id(k, "schedule.depth"): _integer(v, f"schedule.depth.{k[:40]}", 0, EXTENT) for k, v in depth.items()},
        blank=_integer(given.get("blank"), "schedule.blank", 0, EXTENT),
    )
