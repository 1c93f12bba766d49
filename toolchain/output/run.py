"""What is printed of a run: the list of all, and one of them as a table or as JSON. Paths are of this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json
from snnas.hw_sim.limits import WEIGHT_BITS
from snnas.toolchain import runs
from snnas.toolchain.output import silence
from snnas.toolchain.runs.run import Run

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "snnas.run/2"
LIST_SCHEMA = "snnas.runs/1"


def overview(folder: Path) -> list[dict[str, Any]]:
    """One row per run, by name; a damaged one hides no other: its stage is 'damaged', and ``reason`` says why.

    So it does of a search that failed for good.
    """
    rows: list[dict[str, Any]] = []
    for run in runs.every(folder):
        row = {"run": run.name, "created_at": None, "stage": "damaged", "validation_accuracy": None, "reason": None}
        row["no_measurement"] = None
        try:
            config = run.config()
        except InvalidFileError as error:
            row["reason"] = str(error)
        else:
            row["created_at"], row["stage"], row["reason"] = config.get("created_at"), run.stage(), run.failure
            row["validation_accuracy"] = config.get("training", {}).get("validation_accuracy")
            row["no_measurement"] = config.get("training", {}).get("no_measurement")
        rows.append(row)
    return rows


def overview_table(rows: list[dict[str, Any]]) -> Table:
    """The list as a person reads it."""
    from rich.table import Table

    out = Table()
    out.add_column("run", overflow="fold")
    out.add_column("created", no_wrap=True, min_width=19)  # cut, it says nothing; the others can wrap
    out.add_column("stage")
    out.add_column("validation accuracy")
    for row in rows:
        accuracy, created = row["validation_accuracy"], (row["created_at"] or "")[:19]
        said = "" if accuracy is None else silence.NONE if row["no_measurement"] else f"{accuracy:.2%}"
        said = row["reason"] if row["stage"] == "damaged" else said
        out.add_row(row["run"], created, row["stage"], said)
    return out


def describe(run: Run) -> dict[str, Any]:
    """All that is known of a run, as plain data; what it has not come to is null. InvalidFileError on damage."""
    config = run.config()
    return {
        "schema": SCHEMA,
        "run": run.name,
        "path": str(run.path),
        "stage": run.stage(),
        "failed": run.failure,
        "created_at": config.get("created_at"),
        "command": config.get("command"),
        "seed": config["seed"],
        "data": config["data"],
        "method": config["method"],
        "network": config["network"],
        "versions": config["versions"],
        "genotype": _genotype(run)[0] if run.genotype.exists() else None,
        "search": config.get("search"),
        "training": config.get("training"),
        "exports": sorted(p.parent.name for p in run.path.glob("export/*/manifest.json")),
    }


def table(run: Run, *, brief: bool = False) -> Table:
    """The run as a person reads it. brief: what a search or a training has just found, and nothing else."""
    from rich.table import Table

    known = describe(run)
    out = Table(title=run.name, title_justify="left", show_header=False)
    if not brief:
        for name in ("path", "stage", "created_at", "command", "seed"):
            out.add_row(name.removesuffix("_at"), str(known[name] if known[name] is not None else "-"))
        out.add_row("data set", str(known["data"].get("summary", known["data"]["name"])))
        out.add_row("method", f"{known['method']['name']}, space {known['method']['space']}")
        out.add_row("device", str(known["versions"]["device"]))
    if known["genotype"] is not None:
        out.add_row("cell", _genotype(run)[1])
        search = run.table("search")
        out.add_row("architecture", search["architecture"])
        done = f"{search['evaluations']} evaluations in {search['seconds']:.1f} s"
        out.add_row("search", f"{done}, {search['guards']} guard events")
    if known["training"]:
        accuracy, epoch = known["training"]["validation_accuracy"], known["training"]["best_epoch"]
        none = known["training"].get("no_measurement")
        said = f"{silence.NONE}: {none}" if none else f"{accuracy:.2%}"
        out.add_row("validation accuracy", f"{said} (epoch {epoch})")
        if known["training"].get("silent"):
            out.add_row("never fire", ", ".join(known["training"]["silent"]))
    if not brief and known["failed"]:
        out.add_row("failed", known["failed"])
    if not brief and known["exports"]:
        out.add_row("exported", ", ".join(known["exports"]))
    return out


def on_run(verb: str, run: Run, more: str = "", *, runs_dir: Path | None = None) -> str:
    """A command on a run, to stand behind ``snnas``, that finds it again: by name, in ``--runs-dir``, or by folder."""
    name = run.spoken_in(runs_dir)
    folder = "" if runs_dir is None or name != run.name else f"--runs-dir {shlex.quote(str(runs_dir))}"
    return " ".join(filter(None, (verb, shlex.quote(name), more, folder)))


def next_command(run: Run, runs_dir: Path | None = None, pick: int | None = None) -> str:
    """What a user would type next. pick: a point of the run's front."""
    of_point = "" if pick is None else f" --pick {pick}"
    verb, more = ("export", f"--target lava{of_point}") if run.weights.exists() or pick else ("train", "")
    return on_run(verb, run, more, runs_dir=runs_dir)


def what_follows(run: Run, runs_dir: Path | None = None) -> str | None:
    """What a user would do next with a run as it stands on disk; None where its search failed for good."""
    match run.stage():
        case "begun":
            return on_run("search --resume", run, runs_dir=runs_dir)
        case "exported":
            return on_run("report", run, "--html", runs_dir=runs_dir)
        case "failed":
            return None
    return next_command(run, runs_dir)


def after_export(run: Run, report: dict[str, Any], runs_dir: Path | None = None) -> str:
    """What a user would look at next: the page, or the cause where the program is silent or lost a point."""
    lost = report["accuracy"]["training"] - report["accuracy"]["on_target"]
    mute = silence.why_none(silence.of(report, "on_target"))
    verb, more = ("diagnose", "") if mute or lost > 0.01 else ("report", "--html")
    return on_run(verb, run, more, runs_dir=runs_dir)


def _genotype(run: Run) -> tuple[dict[str, Any], str]:
    """The genotype, and its cell in one line."""
    try:
        genotype = read_json(run.genotype)
        return genotype, _cell_line(genotype)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise InvalidFileError(
            f"{run.genotype}: no genotype ({type(error).__name__}: {error}); put the right one back, or search again"
        ) from None


def _cell_line(genotype: dict[str, Any]) -> str:
    if "fan_in" in genotype:
        links = f", links {' '.join(map(str, genotype['links']))}" if genotype.get("links") else ""
        return "  ".join(str(cell["motif"]) for cell in genotype["cells"]) + f"  (fan-in {genotype['fan_in']}{links})"
    if genotype.get("format") == "snnas-design":
        return f"{' | '.join(map(_ops, genotype['cells']))}  ({_sizes(genotype)})"
    return _ops(genotype["cells"][0])


def _sizes(design: dict[str, Any]) -> str:
    head = "linear head" if design["head"] == "linear" else f"{design['hidden']} hidden, head {design['head']}"
    bits = f", {design['bits']}-bit weights" if design.get("bits", WEIGHT_BITS) != WEIGHT_BITS else ""
    found = design.get("thresholds", ())
    thresholds = f", thresholds {' and '.join(f'{value:g}' for value in found)}" if found else ""
    sizes = f"{design['channels']} channels, T = {design['timesteps']}"
    return f"{sizes}, {head}, {design['reduction']} pooling{bits}{thresholds}"


def _ops(cell: dict[str, Any]) -> str:
    ops = {**cell.get("forward", {}), **cell.get("backward", {})} if "forward" in cell else dict(cell.get("ops", cell))
    return "  ".join(f"{edge} {op}" for edge, op in ops.items() if op != "zeroize")
