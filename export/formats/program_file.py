"""``program.npz``: a Program on disk, its structure as JSON and its numbers as arrays.

The array ``program.json`` holds UTF-8 JSON with sorted keys (``FORMAT`` or ``FORMAT_INTEGERS``); the other arrays are
``<population>.bias`` int16, ``<synapse or host map>.weight`` int8 (host: float32), for sparse maps ``<id>.indices`` and
``<id>.indptr`` int32, ``readout.<population>.<distance>`` int8, ``readout.bias`` and ``readout.response`` int64. Ids
are letters, digits and underscores. Reading trusts nothing: whatever is wrong is an InvalidFileError of one line.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import LIMIT_BYTES, read_npz, write_npz
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.lava.run_lava import FORMAT, FORMAT_INTEGERS
from snnas.hw_sim.limits import NO_MEMORY
from snnas.hw_sim.program import (
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


# ------------------------------------------------------------------------------------------------------------ writing


def write_program(path: str | os.PathLike[str], program: Program) -> None:
    """Verifies and writes ``program``; equal programs give equal bytes. ValueError where the format cannot hold it."""
    program.verify()
    arrays: dict[str, np.ndarray] = {}
    for p in program.populations:
        arrays[f"{p.id}.bias"] = _exact(p.bias, np.int16, p.id)
    for s in program.synapses:
        _pack_map(arrays, s.id, s.map, np.int8)
    for h in program.host:
        _pack_map(arrays, h.id, h.map, np.float32)
    for r in program.readout.readings:
        arrays[f"readout.{r.src}.{r.distance}"] = _exact(r.weight, np.int8, "readout")
    arrays["readout.bias"] = _exact(program.readout.bias, np.int64, "readout")
    arrays["readout.response"] = _exact(program.readout.response, np.int64, "readout")
    if bad := _bad_id(program):
        raise ValueError(bad)
    text = json.dumps(_structure(program), sort_keys=True, allow_nan=False, separators=(",", ":"))
    head = {"program.json": np.frombuffer(text.encode("utf-8"), dtype=np.uint8)}
    write_npz(path, head | arrays)


def _bad_id(program: Program) -> str | None:
    """Why the ids cannot name arrays, or None: they are shared between populations, synapses and host maps."""
    seen = set(RESERVED)
    ids = [p.id for p in program.populations] + [s.id for s in program.synapses] + [h.id for h in program.host]
    for name in ids:
        if not _ID.fullmatch(name) or name in seen:
            return f"id {name!r} repeats, is reserved, or holds more than letters, digits and underscores"
        seen.add(name)
    return None


def _exact(array: np.ndarray, dtype: type[np.generic], name: str) -> np.ndarray:
    cast = np.asarray(array).astype(dtype)
    if not np.array_equal(cast, array):
        raise ValueError(f"{name}: values do not fit {np.dtype(dtype)}")
    return cast


def _pack_map(arrays: dict[str, np.ndarray], name: str, linear: LinearMap, dtype: type[np.generic]) -> None:
    arrays[f"{name}.weight"] = _exact(linear.weight, dtype, name)
    if linear.kind == "sparse":
        assert linear.indices is not None
        assert linear.indptr is not None
        arrays[f"{name}.indices"] = _exact(linear.indices, np.int32, name)
        arrays[f"{name}.indptr"] = _exact(linear.indptr, np.int32, name)


def _structure(program: Program) -> dict[str, Any]:
    schedule = program.schedule
    return {
        "format": FORMAT if program.host_integers is None else FORMAT_INTEGERS,
        "timesteps": program.timesteps,
        "input": {
            "shape": list(program.input_shape),
            "kind": program.input_kind,
            "range": [float(v) for v in program.input_range],
        },
        "populations": [
            {
                "id": p.id,
                "shape": list(p.shape),
                "dv": p.dv,
                "vth": p.vth,
                "scale": float(p.scale),
                "bias_exponent": p.bias_exponent,
                "role": p.role,
                **({"du": p.du} if p.current_decays else {}),
                **({"taken": p.taken} if p.taken else {}),
            }
            for p in program.populations
        ],
        "synapses": [
            {"id": s.id, "src": s.src, "dst": s.dst, "distance": s.distance, "exponent": s.exponent, **_geometry(s.map)}
            for s in program.synapses
        ],
        "host": [
            {"id": h.id, "dst": h.dst, "gain": float(h.gain), "distance": h.distance, **_geometry(h.map)}
            for h in program.host
        ],
        **({} if program.host_integers is None else {"host_integers": asdict(program.host_integers)}),
        "readout": {
            "readings": [{"src": r.src, "distance": r.distance} for r in program.readout.readings],
            "read": program.readout.read,
            "scale": float(program.readout.scale),
        },
        "schedule": {"period": schedule.period, "depth": dict(schedule.depth), "blank": schedule.blank},
        "meta": program.meta,
    }


def _geometry(linear: LinearMap) -> dict[str, Any]:
    def pools(given: tuple[Pool, ...]) -> list[dict[str, list[int]]]:
        return [{"kernel": list(p.kernel), "stride": list(p.stride), "pad": list(p.pad)} for p in given]

    return {
        "kind": linear.kind,
        "stride": list(linear.stride),
        "pad": list(linear.pad),
        "groups": linear.groups,
        "pre": pools(linear.pre),
        "post": pools(linear.post),
    }


# ------------------------------------------------------------------------------------------------------------ reading


class _Wrong(Exception):
    """What is wrong with the file being read; the text and the rule of the InvalidFileError to be."""

    def __init__(self, text: str, code: str = "SN117") -> None:
        super().__init__(text)
        self.code = code


def read_program(path: str | os.PathLike[str], *, limit_bytes: int = LIMIT_BYTES) -> Program:
    """The Program in ``path``, verified. InvalidFileError, one line, for anything wrong with it."""
    arrays = read_npz(path, limit_bytes=limit_bytes, what="program")
    try:
        program = _Reader(arrays).program()
        program.verify()
    except (_Wrong, InvalidFileError, UnsupportedError) as error:
        reason = " ".join(str(error).removeprefix("program: ").split())
        raise InvalidFileError(
            f"program {os.fspath(path)}: {reason[:400]}; write it again with snnas export --force",
            code=error.code or "SN117",
        ) from None
    return program


class _Reader:
    """Builds a Program from untrusted arrays; every method raises _Wrong with the place and the expectation."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

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
        if bad := _bad_id(program):
            raise _Wrong(bad)
        spikes = program.timesteps * sum(p.size for p in program.populations)
        if spikes > SPIKES:
            raise _Wrong(f"its neurons have {spikes} chances to fire in one sample; at most {SPIKES} are read")
        return program

    def document(self) -> dict[str, Any]:
        raw = self.array("program.json", np.uint8, 1)
        if raw.size > JSON_BYTES:
            raise _Wrong(f"program.json has {raw.size} bytes; at most {JSON_BYTES} are read")
        try:
            doc = json.loads(raw.tobytes().decode("utf-8"), parse_constant=_no_constant)
        except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, or a number of too many digits
            raise _Wrong("program.json is not JSON, or is nested too deeply") from None
        doc = _dict(doc, "program.json")
        if doc.get("format") not in (FORMAT, FORMAT_INTEGERS):
            raise _Wrong(f"format {str(doc.get('format'))[:40]!r}; this version reads {FORMAT!r} and 3", "SN102")
        return doc

    def array(self, name: str, dtype: type[np.generic], axes: int) -> np.ndarray:
        array = self.arrays.get(name)
        if array is None:
            raise _Wrong(f"array {name} is missing")
        if array.dtype != np.dtype(dtype) or array.ndim != axes:
            raise _Wrong(f"array {name} is {array.dtype} {array.shape}; expected {np.dtype(dtype)} with {axes} axes")
        if not array.size and not name.endswith((".indices", ".weight")):
            raise _Wrong(f"array {name} is empty")
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
            raise _Wrong("the readout reads one population twice, equally late")
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
        return Reading(src=src, weight=self.array(f"readout.{src}.{distance}", np.int8, 2), distance=distance)

    def linear(self, given: dict[str, Any], name: str, dtype: type[np.generic], where: str) -> LinearMap:
        kind = _choice(given.get("kind"), f"{where}.kind", tuple(_WEIGHT_AXES))
        weight = self.array(f"{name}.weight", dtype, _WEIGHT_AXES[kind])
        if not np.isfinite(weight).all() or (kind != "sparse" and not weight.size):
            raise _Wrong(f"array {name}.weight is empty or holds NaN or infinity")
        indices = indptr = None
        if kind == "sparse":
            indices = self.array(f"{name}.indices", np.int32, 1)
            indptr = self.array(f"{name}.indptr", np.int32, 1)
            if indptr.size < 2 or indptr[0] != 0 or (np.diff(indptr.astype(np.int64)) < 0).any():
                raise _Wrong(f"array {name}.indptr does not start at 0 and grow")
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
        raise _Wrong(f"{where} is {_shown(value)}; expected an object")
    return value


def _list(value: object, where: str, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise _Wrong(f"{where} is {_shown(value)}; expected {length} values")
    return value


def _items(doc: dict[str, Any], key: str, where: str = "") -> list[tuple[int, dict[str, Any]]]:
    value = doc.get(key)
    place = f"{where}.{key}" if where else key
    if not isinstance(value, list) or len(value) > 1 << 16:
        raise _Wrong(f"{place} is {_shown(value)}; expected a list of at most {1 << 16} objects")
    return [(i, _dict(v, f"{place}[{i}]")) for i, v in enumerate(value)]


def _integer(value: object, where: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Wrong(f"{where} is {_shown(value)}; expected an integer in {low}..{high}")
    return value


def _number(value: object, where: str, positive: bool = False) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53:
        value = float(value)
    if not isinstance(value, float) or not math.isfinite(value) or (positive and value <= 0):
        raise _Wrong(f"{where} is {_shown(value)}; expected a {'positive' if positive else 'finite'} number")
    return value


def _choice(value: object, where: str, options: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in options:
        raise _Wrong(f"{where} is {_shown(value)}; expected one of {', '.join(options)}")
    return value


def _id(value: object, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _Wrong(f"{where} is {_shown(value)}; expected letters, digits and underscores")
    return value


def _shape(value: object, where: str) -> tuple[int, int, int]:
    c, h, w = (_integer(v, where, 1, NEURONS) for v in _list(value, where, 3))
    if c * h * w > NEURONS:
        raise _Wrong(f"{where} is {[c, h, w]}, {c * h * w} values; at most {NEURONS} are read")
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
    if doc["format"] != FORMAT_INTEGERS:
        return None
    zero = _integer(given.get("zero"), "host_integers.zero", 0, 255)
    return HostIntegers(step=_number(given.get("step"), "host_integers.step", positive=True), zero=zero)


def _schedule(given: dict[str, Any]) -> Schedule:
    depth = _dict(given.get("depth"), "schedule.depth")
    return Schedule(
        period=_integer(given.get("period"), "schedule.period", 1, EXTENT),
        depth={_id(k, "schedule.depth"): _integer(v, f"schedule.depth.{k[:40]}", 0, EXTENT) for k, v in depth.items()},
        blank=_integer(given.get("blank"), "schedule.blank", 0, EXTENT),
    )
