"""README.md of a run: what it is, for people and for the hubs that models are shared on.

The metadata in front is of the form that those hubs read (YAML between two lines of ---): tags, data set, results.
JSON strings are YAML strings, so nothing of a user's is spelt otherwise than JSON spells it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from snnas.hw_sim.errors import InvalidFileError, printable
from snnas.hw_sim.files import read_text, write_text
from snnas.toolchain.data.datasets.signals import OPTIONS
from snnas.toolchain.output import silence
from snnas.toolchain.output.report import read_report
from snnas.toolchain.output.run import describe
from snnas.toolchain.runs.run import Run

FILE = "README.md"
OURS = "<!-- snnas writes this file anew; without this line it is yours, and stays as it is -->"


def write_card(run: Run) -> None:
    """Write the card of a trained run, unless a user has made it his own."""
    path = run.path / FILE
    if not run.weights.exists() or (path.exists() and OURS not in read_text(path, errors="replace")):
        return
    write_text(path, card(run))


def card(run: Run) -> str:
    """The text of the card; InvalidFileError where the run is damaged."""
    known, report = describe(run), _report(run)
    lines = ["---", *_metadata(run, known, report), "---", "", *_body(run, known, report), ""]
    return "\n".join(map(printable, lines))


def _report(run: Run) -> dict[str, Any] | None:
    try:
        return read_report(run.report) if run.report.exists() else None
    except InvalidFileError:
        return None


def _figures(known: dict[str, Any], report: dict[str, Any] | None) -> Iterator[tuple[str, str, str, float]]:
    """Split, name, what it is and value of each accuracy that is a measurement."""
    training = known["training"]
    if training and not training.get("no_measurement"):
        yield "validation", "accuracy", "Accuracy in training", float(training["validation_accuracy"])
    if report is not None and silence.why_none(silence.of(report, "on_target")) is None:
        yield "test", "accuracy", "Accuracy of the float network", float(report["accuracy"]["training"])
        yield "test", "accuracy", "Accuracy on target, simulated", float(report["accuracy"]["on_target"])


def _task(known: dict[str, Any]) -> str:
    """In the words of the hubs, which have none for signals and events."""
    if OPTIONS & known["data"].get("options", {}).keys():
        return "type: other, name: Classification of signals"
    if known["network"]["input_kind"] != "analogue":
        return "type: other, name: Classification of events"
    return "type: image-classification, name: Classification of images"


def _metadata(run: Run, known: dict[str, Any], report: dict[str, Any] | None) -> Iterator[str]:
    said, data = json.dumps, str(known["data"]["name"])
    yield "library_name: snnas"
    yield "tags:"
    for tag in ("spiking-neural-network", "neuromorphic", "neural-architecture-search", "nir"):
        yield f"- {tag}"
    results = list(_figures(known, report))
    if not results:
        return
    yield "model-index:"
    yield f"- name: {said(run.name)}"
    yield "  results:"
    for split, kind, name, value in results:
        yield f"  - task: {{{_task(known)}}}"
        yield f"    dataset: {{name: {said(data)}, type: {said(data)}, split: {split}}}"
        yield f"    metrics: [{{type: {kind}, name: {said(name)}, value: {value:.6g}}}]"


def _body(run: Run, known: dict[str, Any], report: dict[str, Any] | None) -> Iterator[str]:
    search = known["search"] or {}
    yield from (f"# {run.name}", "", OURS, "")
    yield f"A spiking network for {known['data'].get('summary', known['data']['name'])}, found by snnas."
    yield ""
    yield f"- method {known['method']['name']}, space {known['method']['space']}, seed {known['seed']}"
    if search:
        yield f"- architecture {search['architecture']} (genotype.json), {search['evaluations']} evaluations"
    if "weights_sha256" in (begun := run.section("transfer")):
        yield f"- its training began with the weights {begun['weights_sha256'][:12]} ({run.start.name})"
    for split, _, name, value in _figures(known, report):
        yield f"- {name.lower()}: {value:.2%} of {split} samples"
    total = (report or {}).get("energy_uJ", {}).get("total") or {}
    if total.get("nominal") is not None:
        band = " .. ".join(f"{total[end]:.4g}" for end in ("low", "nominal", "high"))
        yield f"- energy per inference: {band} uJ, estimated from counts and published constants"
    yield ""
    yield "The accuracy on target is that of the integer program, in simulation; no figure is of silicon."
    yield ""
    yield f"    snnas report {run.path.name}{'' if report is not None else '   # after: snnas export'}"
