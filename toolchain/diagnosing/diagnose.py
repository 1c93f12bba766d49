"""``snnas diagnose``, whole: faults, causes, divergence and the smallest failing input, as plain numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import write_npz
from snnas.hw_sim.files import sha256, write_json
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.toolchain.diagnosing import causes, divergence, faults, mends
from snnas.toolchain.diagnosing.case import Case
from snnas.toolchain.diagnosing.causes import SettingRuns
from snnas.toolchain.diagnosing.pairing import Joint, pair
from snnas.toolchain.diagnosing.picture import write_picture
from snnas.toolchain.diagnosing.smallest import Failing, smallest
from snnas.toolchain.models.silent import explained
from snnas.toolchain.output.stderr import Narrator

SCHEMA = "snnas.diagnose/1"
FILE, SMALLEST, PICTURE = "diagnosis.json", "smallest.npz", "divergence.svg"
EARLIER = ("divergence.png",)  # what earlier releases called it
SUM = "causes interact: what each is worth alone need not add up to the whole"


def diagnose(case: Case, narrator: Narrator, *, reduce: bool = True) -> tuple[dict[str, Any], Failing | None]:
    """The result, and the smallest failing input (None where no spike differs, or without ``reduce``).

    GateError where a simulator of ours breaks the identity that the diagnosis rests on.
    """
    joint = pair(case.graph, case.program)
    found = faults.find(joint)
    with narrator.progress(f"{len(case.x)} samples, cause by cause") as advance:
        measured = causes.measure(joint, case.x, found, advance)
    helps: list[dict[str, Any]] = []
    if not found and causes.loss(measured, case.y)["points"] > 0:
        with narrator.progress("ways out"):
            helps = mends.tried(joint, case.x, measured, case.y, compiled=case.file is None)
    failing = None
    if reduce and measured.divergence.first is not None:
        with narrator.progress("smallest failing input") as advance:
            failing = smallest(joint, case.x, measured, advance)
    return _result(case, joint, found, measured, helps, failing), failing


def _result(
    case: Case,
    joint: Joint,
    found: list[faults.Fault],
    measured: SettingRuns,
    helps: list[dict[str, Any]],
    failing: Failing | None,
) -> dict[str, Any]:
    program, first = case.program, measured.divergence.first
    return {
        "schema": SCHEMA,
        "subject": case.subject,
        "program_sha256": None if case.file is None else sha256(case.file),
        "data": case.data,
        "samples": len(case.x),
        "labels": case.y is not None,
        "timesteps": program.timesteps,
        "bits": program.meta.get("bits", WEIGHT_BITS),
        "finetuned": _moved(joint) if faults.finetuned(joint) else None,
        "convention": case.graph.convention.to_metadata(),
        "notes": list(case.notes),
        "graph": causes.share(measured.graph, measured, case.y),
        "program": causes.share(measured.program, measured, case.y),
        "silence": {
            "graph": measured.graph.silence.to_json(),
            "program": explained(measured.program.silence, program, case.x, case.graph).to_json(),
        },
        "loss": causes.loss(measured, case.y),
        "export": case.export,
        "checks": {"hybrid_differs_from_simulator": 0, "exact_differs_from_interpreter": measured.ties},
        "faults": [_fault(f, k, measured, case.y) for k, f in enumerate(found)],
        "causes": causes.table(measured, case.y),
        "mends": helps,
        "note": SUM,
        "first": None if first is None else divergence.explain(joint, case.x, first),
        "divergence": measured.divergence.to_json(joint),
        "smallest": None if failing is None else _failing(failing),
    }


def _moved(joint: Joint) -> dict[str, Any]:
    """How many weights of synapses training has left more than a step from the graph's, and in how many populations."""
    weights = total = populations = 0
    for unit in joint.units:
        here = 0
        for way in unit.ways:
            if way.alike and way.synapse is not None:
                off = np.abs(way.synapse.map.weight - faults.steps(way, unit))
                here, total = here + int((off > 1).sum()), total + off.size
        weights, populations = weights + here, populations + bool(here)
    return {"weights": total, "moved": weights, "populations": populations}


def _fault(fault: faults.Fault, k: int, measured: SettingRuns, labels: np.ndarray | None) -> dict[str, Any]:
    mended = measured.mended[k]
    worth = causes.worth(mended, measured.program, measured, labels)
    said = {name: getattr(fault, name) for name in ("population", "kind", "cause", "where", "count", "text")}
    return {**said, "mended": causes.share(mended, measured, labels) | worth}


def _failing(failing: Failing) -> dict[str, Any]:
    return {
        "sample": failing.sample,
        "differs_in": failing.what,
        "graph_predicts": failing.graph,
        "program_predicts": failing.program,
        "nonzero": failing.after,
        "nonzero_before": failing.before,
    }


def write(folder: Path, result: dict[str, Any], failing: Failing | None) -> list[Path]:
    """diagnosis.json, a picture, and smallest.npz (x, and y: the class that the graph predicts) where there is one.

    What an earlier diagnosis left in the folder goes first: its picture is not this one's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (FILE, SMALLEST, PICTURE, *EARLIER):
        (folder / name).unlink(missing_ok=True)
    files = [folder / FILE, folder / PICTURE]
    if failing is not None:
        files.append(folder / SMALLEST)
        write_npz(files[2], {"x": np.ascontiguousarray(failing.x), "y": np.array([failing.graph], dtype=np.int64)})
    write_picture(result, files[1])
    write_json(files[0], result)
    return files
