"""The report: one set of figures, each with its provenance, as report.json and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json, sha256
from snnas.toolchain.output import c as in_c
from snnas.toolchain.output import silence
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.results.reading import hold
from snnas.toolchain.runs.run import Run

if TYPE_CHECKING:
    from rich.table import Table


SCHEMA = "snnas.report/1"


PROVENANCE = {
    "accuracy.training": "measured",
    "accuracy.nir": "measured",
    "accuracy.on_target": "simulated",
    "sar.training": "measured",
    "sar.on_target": "simulated",
    "spikes_per_inference.training": "measured",
    "spikes_per_inference.on_target": "simulated",
    "spikes_per_inference.overhead": "simulated",
    "synops_per_inference": "simulated",
    "latency_us": "estimated",
    "energy_uJ": "estimated",
    "resources": "estimated",
}


def read_report(path: Path) -> dict[str, Any]:
    """A report.json, held against its record; InvalidFileError (exit 3) where it is none."""
    from snnas.toolchain.results.records.report import Report

    report = read_json(path)
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise InvalidFileError(f"{path}: no report (schema is not {SCHEMA!r}); export again with --force")
    hold(Report, report, str(path), "export again with --force")
    return report


def is_foreign(report: dict[str, Any]) -> bool:
    """Whether it is of a graph that no run of ours made."""
    return "convention" in report


def stale(run: Run, report: dict[str, Any]) -> bool:
    """Whether the run's weights or genotype are no longer those that were exported."""
    hashes, now = report["hashes"], {"weights": run.weights, "genotype": run.genotype}
    return any(name in hashes and path.is_file() and sha256(path) != hashes[name] for name, path in now.items())


def spread_of(found: dict[str, Any]) -> tuple[str, str]:
    """Mean and 95th percentile of single samples' latencies, and of how many."""
    return f"mean {found['mean']:,.4g}, p95 {found['p95']:,.4g}", f"estimated, {counted(found['samples'], 'sample')}"


def table(report: dict[str, Any]) -> Table:
    """The report as a person reads it: training beside on target, each row with its provenance."""
    from rich.table import Table

    acc, sar, spikes, checks = report["accuracy"], report["sar"], report["spikes_per_inference"], report["checks"]
    energy, res = report["energy_uJ"], report["resources"]
    out = Table(
        title=f"{report['run']}  ({report['dataset']}, {report['method']}, T = {report['timesteps']})",
        title_justify="left",
    )
    foreign = is_foreign(report)
    side = "in float" if foreign else "training"
    for name, justify in (("", "left"), (side, "right"), ("on target", "right"), ("provenance", "left")):
        out.add_column(name, justify=justify)  # type: ignore[arg-type]
    both = "measured | simulated"  # one word per column
    tested = f"{both}, {acc['samples']:,} test samples"
    if foreign:
        calibration = report.get("calibration", "-").removesuffix(", drawn")
        tested = f"{both}, {acc['samples']:,} samples; calibrated on {calibration}"
    _add_accuracy(out, report, tested)
    if report["finetune"] is not None:
        _add_finetuning(out, report["finetune"])
    out.add_row("spiking activity rate", f"{sar['training']:.4f}", f"{sar['on_target']:.4f}", both)
    out.add_row("spikes / inference", f"{spikes['training']:,.0f}", f"{spikes['on_target']:,.0f}", both)
    out.add_row("  overhead (OR, relay)", "", f"{spikes['overhead']:,.0f}", "simulated")
    out.add_row("synops / inference", "", f"{report['synops_per_inference']:,.0f}", "simulated")
    neurons = ("neurons", f"{res['neurons']:,}", f"{res['neurons'] + res['overhead_neurons']:,}")
    bits = ("bits of a weight", "", str(res["weight_bits"]), "clock biases and readout 8")
    if "c" in report:
        out.add_row(*neurons, "in C, relays are none")
        out.add_row(*bits)
    else:
        _add_chip(out, report, (*neurons, "OR and relay neurons added"), bits)
    out.add_section()
    if not foreign:
        out.add_row(
            "fold: differing spikes",
            "",
            _whole(checks["fold_differing_spikes"]),
            "unfolded network vs deployed (a figure, no gate)",
        )
    out.add_row(
        "NIR: differing spikes",
        "",
        _whole(checks["nir_differing_spikes"]),
        "your .nir vs our rewriting of it" if foreign else "deployed network vs .nir re-read without metadata",
    )
    _add_quantisation(out, report["quantisation"], report["ranges"], checks)
    if "host" in report:
        _add_host(out, report["host"])
    if "early_exit" in report:
        for row in early_exit_rows(report["early_exit"]):
            out.add_row(*row)
    _add_witnesses(out, report)
    if energy["unpriced"] and "c" not in report:
        out.caption = f"not priced by {energy['profile']}: {', '.join(energy['unpriced'])}"
        out.caption_justify = "left"
    return out


def _add_witnesses(out: Table, report: dict[str, Any]) -> None:
    """Lava, and C: what the simulator was compared with."""
    checks = report["checks"]
    if checks["lava_samples"]:
        compared = f"{checks['lava_spikes_compared'] or 0:,} compared"
        verdict = f"simulator vs Lava, {checks['lava_samples']} samples, {compared}"
        out.add_row("Lava: differing spikes", "", _whole(checks["lava_differing_spikes"]), verdict)
    elif "c" not in report:
        out.add_row("Lava: differing spikes", "", "not run", checks["lava"])
    if "c" in report:
        for row in in_c.costs(report["c"]):
            out.add_row(row[0], "", *row[1:])
        out.add_section()
        for row in in_c.verdicts(report["c"]):
            out.add_row(row[0], "", *row[1:])


def _add_chip(out: Table, report: dict[str, Any], neurons: Iterable[str], bits: Iterable[str]) -> None:
    """Time, energy and place of a chip of Loihi's kind."""
    energy, latency, res, plan = report["energy_uJ"], report["latency_us"], report["resources"], report["schedule"]
    out.add_row("latency (us)", "", span(latency), "estimated")
    if report.get("latency_samples_us"):
        out.add_row("  of single samples", "", *spread_of(report["latency_samples_us"]))
    evidence = f", evidence: {energy['evidence']}" if energy["evidence"] else ""
    out.add_row(
        "energy (uJ / inference)",
        "",
        span(energy["total"]),
        f"estimated, profile {energy['profile']}{evidence}",
    )
    for part in ("encode", "dynamic", "floor"):
        out.add_row(
            f"  {part}",
            "",
            span(energy[part]),
            "" if energy[part]["nominal"] is not None else "not priced by this profile",
        )
    out.add_row(*neurons)
    where = f"{counted(res['cores'], 'core')}, {counted(res['chips'], 'chip')}"
    out.add_row(
        "mapped on",
        "",
        where if res["fits"] else "does not fit",
        "; ".join(res["misfits"][:1]) or "greedy, layer order",
    )
    out.add_row(*bits)
    relays = plan["relays"]
    cost = (
        f"{relays['neurons']:,} neurons, {relays['spikes_per_inference']:,.0f} spikes" if relays["populations"] else ""
    )
    out.add_row(
        "schedule", "", f"period {plan['period']}, depth {plan['depth']}", "hardware steps per timestep; pipeline"
    )
    out.add_row("  relays", "", str(relays["populations"]), cost)


BALANCED = "mean of the classes' accuracies: they are uneven"


def _add_accuracy(out: Table, report: dict[str, Any], tested: str) -> None:
    """Both sides' accuracy, or why it is no measurement, and what was silent."""
    acc = report["accuracy"]
    mute = silence.of(report, "on_target")
    none = silence.why_none(mute)
    before = silence.NONE if silence.why_none(silence.of(report, "training")) else percent(acc["training"])
    out.add_row("accuracy", before, silence.NONE if none else percent(acc["on_target"]), none or tested)
    if not none and "balanced_on_target" in acc:
        out.add_row("  balanced", percent(acc["balanced_training"]), percent(acc["balanced_on_target"]), BALANCED)
    if none:
        out.add_row("  95 % interval", "", "-", tested)
    elif acc["interval"] is None:
        out.add_row("  same prediction", "", percent(acc.get("agreement")), "the samples have no labels")
    else:
        low, high = acc["interval"]
        changed = f"{acc['flips']} prediction{'' if acc['flips'] == 1 else 's'} changed"
        out.add_row("  95 % interval", "", f"{low:.1%} .. {high:.1%}", changed)
    for name, value, said in silence.rows(mute):
        out.add_row(name, "", value, said)


def _add_finetuning(out: Table, found: dict[str, Any]) -> None:
    """What fine-tuning through the integer arithmetic gained, and what it changed."""
    kept = f"epoch {found['best_epoch']} of {found['epochs']}" if found["best_epoch"] else "no epoch was clearly better"
    changed = f"{found['weights_changed'] / max(1, found['weights']):.1%} of the weights changed"
    out.add_row("  before fine-tuning", "", percent(found["test"]["before"]), f"simulated; {kept}, {changed}")
    val = found["validation"]
    out.add_row("  validation split", "", f"{percent(val['before'])} -> {percent(val['after'])}", "simulated")


def _add_quantisation(out: Table, errors: dict[str, Any], ranges: dict[str, Any], checks: dict[str, Any]) -> None:
    """What quantisation changed, and whether any input could overflow a register."""
    share = {name: e["differing"] / max(1, e["spikes"]) for name, e in errors.items()}
    total = sum(e["differing"] for e in errors.values()) / max(1, sum(e["spikes"] for e in errors.values()))
    worst = [f"{name} {share[name]:.1%}" for name in sorted(share, key=share.__getitem__, reverse=True)[:3]]
    out.add_row("quantisation: differing spikes", "", percent(total), f"graph vs program; most: {', '.join(worst)}")
    exact = [name for name, e in errors.items() if e.get("inexact") == ""]
    if exact:
        rest = [f"{name}: {e['inexact']}" for name, e in errors.items() if e.get("inexact")]
        why = "whatever the input; " + (rest[0] if rest else "no number of theirs is rounded")
        out.add_row("  exact populations", "", f"{len(exact)} of {len(errors)}", why)
    left = {name: e["resolution"] for name, e in errors.items() if e.get("resolution")}  # none in a report of before
    if left:
        name = min(left, key=lambda n: left[n]["bits"])
        said = f"of {name}: largest weight {left[name]['largest']}, {left[name]['values']} different, "
        said += f"{left[name]['zeros']:.1%} rounded to 0" + (", none inexact" if left[name]["exact"] else "")
        out.add_row("  bits left, at least", "", str(left[name]["bits"]), said)
    populations, proved = checks["ranges_populations"], checks["ranges_proved"]
    margins = {(name, r): found[r]["margin"] for name, found in ranges.items() for r in ("a", "u")}
    why = "no input overflows a register" if proved == populations else "the rest fit on the samples"
    if margins:
        (name, register), margin = max(margins.items(), key=lambda item: item[1])
        why += f"; fullest: {register} of {name}, {margin:.0%}"
    out.add_row("ranges: proved populations", "", f"{proved} of {populations}", why)


def _add_host(out: Table, found: dict[str, Any]) -> None:
    """What a host stage in integers changes."""
    floats = f"{percent(found['accuracy_of_floats'])} with a float host"
    said = f"int16 x uint8 vs float64, {found['samples']:,} samples; {floats}"
    out.add_row("integer host: predictions", "", f"{found['differing_predictions']:,} differ", said)
    shares = (found["differing_currents"] / found["currents"], found["differing_spikes"] / found["spikes"])
    beside = f"currents; spikes {shares[1]:.2%}; {counted(found['recorded_samples'], 'sample')}"
    out.add_row("  differing currents", "", percent(shares[0]), beside)


def early_exit_rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """How early inferences end."""
    said = "proved"
    if found["mode"] != "exact":
        said = (
            f"margin {found['margin']:,}, by which {percent(found['level'])} or more of {found['chosen_on']:,} others' "
            "answers stayed"
        )
    mean, (low, high) = found["timesteps"]["mean"], found["timesteps"]["interval"]
    steps = f"simulated; {low:.2f} .. {high:.2f}; {found['early']:,} of {found['samples']:,} end early"
    yield f"early exit ({found['mode']}): timesteps", str(found["of_timesteps"]), f"{mean:.2f}", steps
    yield "  predictions changed", "", f"{found['changed']:,}", said
    if found["accuracy"] is not None:
        yield "  accuracy", "", percent(found["accuracy"]), "simulated"
    hardware = f"{found['hardware_steps']:.1f}"
    yield "  hardware steps", str(found["of_hardware_steps"]), hardware, "timesteps x period + depth"
    if found["energy_uJ"] is not None:
        whole, most = found["energy_uJ"]["whole"], found["energy_uJ"]["ending_early"]
        yield (
            "  energy (uJ)",
            f"{whole:.3g}",
            f"{most:.3g}",
            "estimated; a shorter floor, the same dynamic part",
        )


def _whole(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def span(band: dict[str, float | None]) -> str:
    if band["nominal"] is None:
        return "-"
    return f"{short(band['low'])} .. {short(band['nominal'])} .. {short(band['high'])}"


def short(value: float | None) -> str:
    # From 999.5 on, three digits round up to a thousand, which 'g' writes as 1e+03.
    return "-" if value is None else f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
