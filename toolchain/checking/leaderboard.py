"""``snnas submit``: a trained run as a row of the leaderboard, which anybody can make again and hold against it.

A row is an export that ``check`` passes, measured again: its figures, the commands that make it, hashes. Where the same
commands made it elsewhere, ``against`` says what does not agree: another machine sums floats in another order, trains
other weights and may choose another network, so accuracy has to lie in the row's interval and each cost within SLACK of
the row's. ``docs/leaderboard.md`` is written from such files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError, brief
from snnas.hw_sim.files import read_json, read_text, sha256
from snnas.hw_sim.tables import known, parse_toml
from snnas.toolchain.checking import attest as attesting
from snnas.toolchain.checking.remaking import TRAINED, check_files, making_of
from snnas.toolchain.models.pricing import Pricing
from snnas.toolchain.runs.run import Run

SCHEMA = "snnas.leaderboard/1"
RECIPES = ("recipe.toml", TRAINED)
SLACK = 1.25  # a cost of a row that is made again: at most so many times the row's, at least one in so many
COSTS = ("sar", "synops", "energy_uJ", "latency_us", "cores")
SAME = ("weights", "genotype", "bits", "timesteps", "finetune")  # of two exports of one network
# What one network has on any machine, to the last bit of its integers.
SAID = ("on_target", "interval", "test_samples", "timesteps", *COSTS, "neurons", "parameters", "weight_bits")


def row_of(run: Run, *, name: str | None = None, note: str = "", blind: bool = True) -> dict[str, Any]:
    """The row of a run that was exported to Lava; figures of C stand in it where it was exported to C too.

    UsageError for a run without an export or of data that others lack, GateError where ``snnas check`` fails it.
    """
    folder = run.export("lava")
    if not (folder / "report.json").is_file():
        run.require_network()
        raise UsageError(f"run {run.name} has no export to Lava; export it with: snnas export {run.spoken}")
    report, manifest = read_json(folder / "report.json"), read_json(folder / "manifest.json")
    inputs, profile = manifest["inputs"], report["energy_uJ"]["profile"]
    if inputs.get("weights") != sha256(run.weights) or inputs.get("genotype") != sha256(run.genotype):
        raise UsageError(f"run {run.name}: its export is of other weights; export it again: snnas export {run.spoken}")
    if profile not in known("profiles"):
        raise UsageError(
            f"run {run.name}: priced by {profile}, a profile of yours; export it with --profile "
            f"{' or '.join(known('profiles'))}"
        )
    searched, exports, cores = run.section("search"), {"lava": inputs}, list[dict[str, Any]]()
    if (in_c := _inputs_of_c(run, inputs)) is not None and (cores := list(_cores(run))):
        exports["c"] = in_c
    making = making_of(run, exports, profile)
    document = _passed(folder, profile)
    if cores:
        _passed(run.export("c"), profile)
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
        "energy_profile": profile,
        **{name: resources[name] for name in ("cores", "neurons", "parameters", "weight_bits")},
        "c": cores,
        "made": {
            **making.plain(),
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


def _passed(folder: Path, profile: str) -> dict[str, Any]:
    """What a second machine finds of an export; GateError where ``snnas check`` fails it."""
    document, book = attesting.attest(folder, Pricing(profile=profile))
    failing = [finding for finding in book.findings if finding.fails]
    if failing:
        said = f"{failing[0].code} {failing[0].name}: {failing[0].detail}"
        raise GateError(f"{folder}: {said}; a row passes snnas check: export it again")
    return document


def _band(band: Mapping[str, float | None] | None) -> Mapping[str, float | None] | None:
    return band if band and band["nominal"] is not None else None


def _inputs_of_c(run: Run, inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Those of the run's export to C, where that is of the network whose export to Lava had ``inputs``."""
    path = run.export("c") / "manifest.json"
    other: Mapping[str, Any] | None = read_json(path)["inputs"] if path.is_file() else None
    return other if other is not None and all(other.get(name) == inputs.get(name) for name in SAME) else None


def _cores(run: Run) -> Iterator[dict[str, Any]]:
    """Emulated cores of the run's export to C."""
    for core in (read_json(run.export("c") / "report.json").get("c") or {}).get("cores", []):
        if core["flash_bytes"] is not None and core["instructions"] is not None:
            yield {
                "core": core["core"],
                "flash_bytes": core["flash_bytes"],
                "ram_bytes": core["state_bytes"] + core["stack_bytes"],
                "instructions": core["instructions"],
                "compiler": core["compiler"],
            }


def _hashes(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{file['name']} {file['sha256'][:12]}" for file in row["made"].get("files", ())) or "none"


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What its files say, by name: of a recipe with the defaults of keys that its writer did not know."""
    from snnas.toolchain.training.config import recipe_of

    tables = dict[str, Mapping[str, Any]]()
    for file in row["made"].get("files", ()):
        try:
            tables[file["name"]] = parse_toml(file["text"])
        except ValueError as error:
            raise InvalidFileError(
                f"{file['name']} of the row is not TOML ({brief(error)}); make the row again"
            ) from None
    return {
        name: recipe_of(table, where=f"{name} of the row") if name in RECIPES else table
        for name, table in tables.items()
    }


def _brief(value: Any) -> str:
    return json.dumps(value)[:80]


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
    if row["made"]:
        check_files(row["made"], str(path))
    if row["made"] and not (row["interval"] and row["on_target"] is not None):
        raise InvalidFileError(f"{path}: no accuracy on target with its interval; make it again with snnas submit")
    bands = [row["energy_uJ"], row["latency_us"]]
    wrong = [band for band in bands if band and not band["low"] <= band["nominal"] <= band["high"]]
    if wrong or (row["interval"] and not row["interval"][0] <= row["on_target"] <= row["interval"][1]):
        raise InvalidFileError(
            f"{path}: {'a band' if wrong else 'on_target'} lies outside its own ends, so the row was edited; make it "
            "again with snnas submit"
        )
    return row


def against(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What a row that was made again does not agree with, a line each; UsageError for a row of something else."""
    if theirs["made"] is None:
        raise UsageError(f"{theirs['name']}: a published row, which no command makes again; give a row of snnas submit")
    for what, mine, other in (
        ("data set", ours["dataset"], theirs["dataset"]),
        ("data", ours["made"]["data_sha256"], theirs["made"]["data_sha256"]),
        ("seed", ours["made"]["seed"], theirs["made"]["seed"]),
        ("energy profile", ours["energy_profile"], theirs["energy_profile"]),
        ("way to make it", "; ".join(ours["made"]["commands"]), "; ".join(theirs["made"]["commands"])),
    ):
        if mine != other:
            raise UsageError(f"another {what}: {mine} here, {other} in the row; make it with the row's commands")
    if _said(ours) != _said(theirs):
        texts = f"{_hashes(ours)} here, {_hashes(theirs)} in the row"
        raise UsageError(f"another text of a file: {texts}; make it with the row's commands")
    if all(ours["made"][name] == theirs["made"][name] for name in ("weights_sha256", "genotype")):
        # One network: whatever the machine, its integers are the same.
        unlike = [name for name in SAID if ours[name] != theirs[name]]
        return [f"{name}: {_brief(ours[name])} here, {_brief(theirs[name])} there" for name in unlike]
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
