"""``program.npz``: a Program on disk, its structure as JSON and its numbers as arrays.

The array ``program.json`` holds UTF-8 JSON with sorted keys (``FORMATS``); the other arrays are
``<population>.bias`` int16, ``<synapse or host map>.weight`` int8 (host: float32), for sparse maps ``<id>.indices`` and
``<id>.indptr`` int32, ``readout.<population>.<distance>`` int8 (a matrix; by its entries, their values, with
``indices`` and ``indptr`` as of a sparse map), ``readout.bias`` and ``readout.response`` int64. Ids are letters, digits
and underscores. Reading trusts nothing: whatever is wrong is an InvalidFileError of one line.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import LIMIT_BYTES, read_npz, write_npz
from snnas.export.formats.program_reader import ProgramReader, WrongProgram, bad_id
from snnas.hw_sim.entries import Entries, Matrix, values_of
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.lava.run_lava import FORMAT, FORMAT_ENTRIES, FORMAT_FINER, FORMAT_INTEGERS
from snnas.hw_sim.program import LinearMap, Pool, Program

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
        name = f"readout.{r.src}.{r.distance}"
        arrays[name] = _exact(values_of(r.weight), np.int8, "readout")
        if isinstance(r.weight, Entries):
            arrays[f"{name}.indices"] = _exact(r.weight.indices, np.int32, name)
            arrays[f"{name}.indptr"] = _exact(r.weight.indptr, np.int32, name)
    arrays["readout.bias"] = _exact(program.readout.bias, np.int64, "readout")
    arrays["readout.response"] = _exact(program.readout.response, np.int64, "readout")
    if bad := bad_id(program):
        raise ValueError(bad)
    text = json.dumps(_structure(program), sort_keys=True, allow_nan=False, separators=(",", ":"))
    head = {"program.json": np.frombuffer(text.encode("utf-8"), dtype=np.uint8)}
    write_npz(path, head | arrays)


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
        "format": _format(program),
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
        **_integers(program),
        "readout": {
            "readings": [
                {"src": r.src, "distance": r.distance, **_columns(r.weight)} for r in program.readout.readings
            ],
            "read": program.readout.read,
            "scale": float(program.readout.scale),
        },
        "schedule": {"period": schedule.period, "depth": dict(schedule.depth), "blank": schedule.blank},
        "meta": program.meta,
    }


def _format(program: Program) -> str:
    """The oldest that says it all, so that older versions read what they understand."""
    if program.host_integers is not None and program.host_integers.finer:
        return FORMAT_FINER
    if any(isinstance(r.weight, Entries) for r in program.readout.readings):
        return FORMAT_ENTRIES
    return FORMAT if program.host_integers is None else FORMAT_INTEGERS


def _integers(program: Program) -> dict[str, Any]:
    """``host_integers`` of a program that has them; ``finer`` where channels differ."""
    given = program.host_integers
    return {} if given is None else {"host_integers": {k: v for k, v in asdict(given).items() if v != ()}}


def _columns(weight: Matrix) -> dict[str, int]:
    """Of entries alone: how many columns their matrix has."""
    return {"columns": weight.columns} if isinstance(weight, Entries) else {}


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


def read_program(path: str | os.PathLike[str], *, limit_bytes: int = LIMIT_BYTES) -> Program:
    """The Program in ``path``, verified. InvalidFileError, one line, for anything wrong with it."""
    arrays = read_npz(path, limit_bytes=limit_bytes, what="program")
    try:
        program = ProgramReader(arrays).program()
        program.verify()
    except (WrongProgram, InvalidFileError, UnsupportedError) as error:
        reason = " ".join(str(error).removeprefix("program: ").split())
        raise InvalidFileError(
            f"program {os.fspath(path)}: {reason[:400]}; write it again with snnas export --force",
            code=error.code or "SN117",
        ) from None
    return program
