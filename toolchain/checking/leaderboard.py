"""``snnas submit``: a trained run as a row of the leaderboard, which anybody can make again and hold against it.

A row is an export that ``check`` passes, measured again: its figures, the commands that make it, hashes. Where the same
commands made it elsewhere, ``against`` says what does not agree: another machine sums floats in another order, trains
other weights and may choose another network, so accuracy has to lie in the row's interval and each cost within SLACK of
the row's. ``docs/leaderboard.md`` is written from such files.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.hw_sim.files import read_json, read_text, sha256
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.toolchain.checking import attest as attesting
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.runs.run import Run

SCHEMA = "snnas.leaderboard/1"
SLACK = 1.25  # a cost of a row that is made again: at most so many times the row's, at least one in so many
COSTS = ("sar", "synops", "energy_uJ", "latency_us", "cores")
# Options of where and how fast; a row says neither.
ELSEWHERE = {"--name", "--runs-dir", "--workers", "--engine", "--log-to"}
QUIET = {"--quiet", "-q", "--verbose", "-v", "--json"}
FILE = "genotype.json"


def row_of(run: Run, *, name: str | None = None, note: str = "", blind: bool = True) -> dict[str, Any]:
    """The row of a run that was exported to Lava; figures of C stand in it where it was exported to C too.

    UsageError for a run without an export or of data that others lack, GateError where ``snnas check`` fails it.
    """
    from snnas.toolchain.data.load import NAMES

    folder = run.export("lava")
    if not (folder / "report.json").is_file():
        raise UsageError(f"run {run.name} has no export to Lava; export it with: snnas export {run.spoken}")
    report, manifest = read_json(folder / "report.json"), read_json(folder / "manifest.json")
    if report["dataset"] not in NAMES:
        raise UsageError(
            f"run {run.name}: its data set {report['dataset']} is a file of yours, and others could not make the row "
            "again; submit runs of the data sets of: snnas data list"
        )
    document, book = attesting.attest(folder, Pricing(profile=report["energy_uJ"]["profile"]))
    failing = [finding for finding in book.findings if finding.fails]
    if failing:
        raise GateError(f"{folder}: {failing[0].code} {failing[0].name}: {failing[0].detail}; a row passes snnas check")
    searched = run.section("search")
    given = not searched.get("evaluations")
    accuracy, resources, checks = report["accuracy"], report["resources"], report["checks"]
    return {
        "schema": SCHEMA,
        "name": name or run.name,
        "dataset": report["dataset"],
        "method": "given" if given else "random" if run.section("method").get("random") else report["method"],
        "published": None,
        "note": note,
        "accuracy": accuracy["training"],
        "on_target": accuracy["on_target"],
        "interval": accuracy["interval"],
        "test_samples": accuracy["samples"],
        "timesteps": report["timesteps"],
        "sar": report["sar"]["on_target"],
        "synops": report["synops_per_inference"],
        "energy_uJ": _band(report["energy_uJ"]["total"]),
        "latency_us": _band(report["latency_us"]),
        "energy_profile": report["energy_uJ"]["profile"],
        "cores": resources["cores"],
        "neurons": resources["neurons"],
        "parameters": resources["parameters"],
        "weight_bits": resources["weight_bits"],
        "c": list(_cores(run)),
        "made": {
            "commands": [made_by(run.config()["command"]), _export_command(manifest["inputs"])],
            "seed": report["seed"],
            "blind": blind,
            "seconds_search": None if given else searched["seconds"],
            "seconds_training": run.table("training")["seconds"],
            "genotype": read_text(run.genotype),
            "data_sha256": run.section("data")["sha256"],
            "weights_sha256": sha256(run.weights),
            "attestation": document["digest"],
            "lava_differing_spikes": checks["lava_differing_spikes"],
            "lava_spikes_compared": checks["lava_spikes_compared"],
            "versions": run.config()["versions"],
        },
    }


def _band(band: Mapping[str, float | None] | None) -> Mapping[str, float | None] | None:
    return band if band and band["nominal"] is not None else None


def _cores(run: Run) -> Iterator[dict[str, Any]]:
    """Emulated cores of the run's export to C."""
    path = run.export("c") / "report.json"
    for core in (read_json(path).get("c") or {}).get("cores", []) if path.is_file() else []:
        if core["flash_bytes"] is not None and core["instructions"] is not None:
            yield {
                "core": core["core"],
                "flash_bytes": core["flash_bytes"],
                "ram_bytes": core["state_bytes"] + core["stack_bytes"],
                "instructions": core["instructions"],
            }


def made_by(command: str) -> str:
    """The command of a run without what says where and how fast; a genotype's file is FILE."""
    words, kept = shlex.split(command), list[str]()
    at = 0
    while at < len(words):
        name, _, value = words[at].partition("=")
        if name in ELSEWHERE:
            at += 1 if value else 2
            continue
        if name == "--genotype":
            kept += [name, FILE]
            at += 1 if value else 2
            continue
        if name not in QUIET:
            kept.append(words[at])
        at += 1
    return shlex.join(kept)


def _export_command(inputs: Mapping[str, Any]) -> str:
    """The export with the options that decide it; what each run exports by default is left out."""
    words = ["snnas", "export", "--target", "lava"]
    for name, plain in (("samples", 32), ("bits", WEIGHT_BITS), ("ranges", "auto"), ("timesteps", None)):
        value = inputs.get(name, plain)
        words += [] if value == plain else [f"--{name}", str(value)]
    tuned = inputs.get("finetune")
    words += ["--finetune", str(tuned["epochs"]), "--finetune-lr", f"{tuned['rate']:g}"] if tuned else []
    return shlex.join(words + (["--host", "int"] if inputs.get("host") == "int" else []))


def read_row(path: Path) -> dict[str, Any]:
    """A row from its file; InvalidFileError where it is none."""
    from snnas.toolchain.results.reading import hold
    from snnas.toolchain.results.records.leaderboard import LeaderboardRow

    if not path.is_file():
        raise UsageError(f"{path}: no such file; write it with: snnas submit RUN --out {path}")
    row = read_json(path)
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        raise InvalidFileError(f"{path}: not a row of the leaderboard; expected {SCHEMA}, as snnas submit writes it")
    hold(LeaderboardRow, row, str(path), "make it again with snnas submit")
    return row


def against(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What a row that was made again does not agree with, a line each; UsageError for a row of something else."""
    if theirs["made"] is None:
        raise UsageError(f"{theirs['name']}: a published row, which no command makes again; give a row of snnas submit")
    for what, mine, other in (
        ("data set", ours["dataset"], theirs["dataset"]),
        ("data", ours["made"]["data_sha256"], theirs["made"]["data_sha256"]),
        ("seed", ours["made"]["seed"], theirs["made"]["seed"]),
        ("commands", "; ".join(ours["made"]["commands"]), "; ".join(theirs["made"]["commands"])),
    ):
        if mine != other:
            raise UsageError(f"another {what}: {mine} here, {other} in the row; make it with the row's commands")
    found = []
    low, high = theirs["interval"]
    if not low <= ours["on_target"] <= high:
        found.append(f"on_target: {ours['on_target']:.4f} here, outside {low:.4f} .. {high:.4f}")
    for name in COSTS:
        mine, other = (row[name]["nominal"] if isinstance(row[name], dict) else row[name] for row in (ours, theirs))
        if (mine is None) != (other is None):
            found.append(f"{name}: {mine} here, {other} there")
        elif mine is not None and not other / SLACK <= mine <= other * SLACK:
            found.append(f"{name}: {mine:.5g} here, {other:.5g} there; expected within a factor of {SLACK:g}")
    return found
