"""The report: one set of figures, each with its provenance, as report.json and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json, sha256
from snnas.toolchain.output import c as in_c
from snnas.toolchain.output import silence
from snnas.toolchain.output.c import ENDS
from snnas.toolchain.output.stderr import counted
from snnas.toolchain.results.reading import hold
from snnas.toolchain.runs.run import Run

if TYPE_CHECKING:
    from rich.table import Table


SCHEMA = "snnas.report/1"
Row = tuple[str, str, str, str]
"""What, in training, on target, and what is to be said of it."""


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

    energy = report["energy_uJ"]
    of = f"{report['dataset']}, {report['method']}, T = {report['timesteps']}"
    title = f"{report['run']}, exported to {'C' if 'c' in report else 'Lava'}  ({of})"
    out = Table(title=title, title_justify="left")
    side = "in float" if is_foreign(report) else "training"
    for name, justify in (("", "left"), (side, "right"), ("on target", "right"), ("provenance", "left")):
        out.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in _rows(report):
        if row is None:
            out.add_section()
        else:
            out.add_row(*row)
    if energy["unpriced"] and "c" not in report:
        out.caption = f"not priced by {energy['profile']}: {', '.join(energy['unpriced'])}"
        out.caption_justify = "left"
    return out


def _rows(report: dict[str, Any]) -> Iterator[Row | None]:
    """Its rows; None ends a part of the table."""
    acc, sar, spikes, checks = report["accuracy"], report["sar"], report["spikes_per_inference"], report["checks"]
    res, foreign = report["resources"], is_foreign(report)
    both = "measured | simulated"  # one word per column
    tested = f"{both}, {acc['samples']:,} test samples"
    if foreign:
        calibration = report.get("calibration", "-").removesuffix(", drawn")
        tested = f"{both}, {acc['samples']:,} samples; calibrated on {calibration}"
    yield from _accuracy(report, tested)
    if report["finetune"] is not None:
        yield from _finetuning(report["finetune"])
    yield "spiking activity rate", f"{sar['training']:.4f}", f"{sar['on_target']:.4f}", both
    yield "spikes / inference", f"{spikes['training']:,.0f}", f"{spikes['on_target']:,.0f}", both
    yield "  overhead (OR, relay)", "", f"{spikes['overhead']:,.0f}", "simulated"
    yield "synops / inference", "", f"{report['synops_per_inference']:,.0f}", "simulated"
    neurons = ("neurons", f"{res['neurons']:,}", f"{res['neurons'] + res['overhead_neurons']:,}")
    bits = ("bits of a weight", "", str(res["weight_bits"]), "clock biases and readout 8")
    if "c" in report:
        yield *neurons, "in C, relays are none"
        yield bits
    else:
        yield from _chip(report, (*neurons, "OR and relay neurons added"), bits)
    yield None
    if not foreign:
        said = "unfolded network vs deployed (a figure, no gate)"
        yield "fold: differing spikes", "", _whole(checks["fold_differing_spikes"]), said
    said = "your .nir vs our rewriting of it" if foreign else "deployed network vs .nir re-read without metadata"
    yield "NIR: differing spikes", "", _whole(checks["nir_differing_spikes"]), said
    yield from _quantisation(report["quantisation"], report["ranges"], checks)
    if "host" in report:
        yield from _host(report["host"])
    if "early_exit" in report:
        yield from _early_exit(report["early_exit"])
    yield from _witnesses(report)


def _witnesses(report: dict[str, Any]) -> Iterator[Row | None]:
    """Lava, and C: what the simulator was compared with."""
    checks = report["checks"]
    if checks["lava_samples"]:
        compared = f"{checks['lava_spikes_compared'] or 0:,} compared"
        verdict = f"simulator vs Lava, {checks['lava_samples']} samples, {compared}"
        life = checks["lava"].partition("; ")[2]  # how many fired; an older export does not say
        verdict += f"; {life}" if life.startswith("nothing") else ""
        yield "Lava: differing spikes", "", _whole(checks["lava_differing_spikes"]), verdict
    elif "c" not in report:
        yield "Lava: differing spikes", "", "not run", checks["lava"]
    if "c" in report:
        yield from ((name, "", value, said) for name, value, said in in_c.costs(report["c"]))
        yield None
        yield from ((name, "", value, said) for name, value, said in in_c.verdicts(report["c"]))


def _chip(report: dict[str, Any], neurons: Row, bits: Row) -> Iterator[Row]:
    """Time, energy and place of a chip of Loihi's kind."""
    energy, res, plan = report["energy_uJ"], report["resources"], report["schedule"]
    yield "latency (us)", "", span(report["latency_us"]), "estimated"
    if report.get("latency_samples_us"):
        yield "  of single samples", "", *spread_of(report["latency_samples_us"])
    evidence = f", evidence: {energy['evidence']}" if energy["evidence"] else ""
    yield "energy (uJ / inference)", "", span(energy["total"]), f"estimated, profile {energy['profile']}{evidence}"
    for part in ("encode", "dynamic", "floor"):
        none = "" if energy[part]["nominal"] is not None else "not priced by this profile"
        yield f"  {part}", "", span(energy[part]), none
    yield neurons
    where = f"{counted(res['cores'], 'core')}, {counted(res['chips'], 'chip')}" if res["fits"] else "does not fit"
    yield "mapped on", "", where, "; ".join(res["misfits"][:1]) or "greedy, layer order"
    yield bits
    steps = f"period {plan['period']}, depth {plan['depth']}"
    yield "schedule", "", steps, "hardware steps per timestep; pipeline"
    relays = plan["relays"]
    cost = f"{relays['neurons']:,} neurons, {relays['spikes_per_inference']:,.0f} spikes"
    yield "  relays", "", str(relays["populations"]), cost if relays["populations"] else ""


BALANCED = "mean of the classes' accuracies: they are uneven"


def _accuracy(report: dict[str, Any], tested: str) -> Iterator[Row]:
    """Both sides' accuracy, or why it is no measurement, and what was silent."""
    acc = report["accuracy"]
    mute = silence.of(report, "on_target")
    none = silence.why_none(mute)
    before = silence.NONE if silence.why_none(silence.of(report, "training")) else percent(acc["training"])
    yield "accuracy", before, silence.NONE if none else percent(acc["on_target"]), none or tested
    if not none and "balanced_on_target" in acc:
        yield "  balanced", percent(acc["balanced_training"]), percent(acc["balanced_on_target"]), BALANCED
    if none:
        yield "  95 % interval", "", "-", tested
    elif acc["interval"] is None:
        yield "  same prediction", "", percent(acc.get("agreement")), "the samples have no labels"
    else:
        low, high = acc["interval"]
        changed = f"{acc['flips']} prediction{'' if acc['flips'] == 1 else 's'} changed"
        yield "  95 % interval", "", f"{low:.1%} .. {high:.1%}", changed
    yield from ((name, "", value, said) for name, value, said in silence.rows(mute))


def _finetuning(found: dict[str, Any]) -> Iterator[Row]:
    """What fine-tuning through the integer arithmetic gained, and what it changed."""
    changed = f"{found['weights_changed'] / max(1, found['weights']):.1%} of the weights changed"
    yield "  before fine-tuning", "", percent(found["test"]["before"]), f"simulated; {kept_epoch(found)}, {changed}"
    val = found["validation"]
    yield "  validation split", "", f"{percent(val['before'])} -> {percent(val['after'])}", "simulated"


def kept_epoch(found: dict[str, Any]) -> str:
    """Which epoch of a fine-tuning was kept."""
    return f"epoch {found['best_epoch']} of {found['epochs']}" if found["best_epoch"] else "no epoch was clearly better"


def _quantisation(errors: dict[str, Any], ranges: dict[str, Any], checks: dict[str, Any]) -> Iterator[Row]:
    """What quantisation changed, and whether any input could overflow a register."""
    share = {name: e["differing"] / max(1, e["spikes"]) for name, e in errors.items()}
    total = sum(e["differing"] for e in errors.values()) / max(1, sum(e["spikes"] for e in errors.values()))
    worst = [f"{name} {share[name]:.1%}" for name in sorted(share, key=share.__getitem__, reverse=True)[:3]]
    yield "quantisation: differing spikes", "", percent(total), f"graph vs program; most: {', '.join(worst)}"
    exact = [name for name, e in errors.items() if e.get("inexact") == ""]
    if exact:
        rest = [f"{name}: {e['inexact']}" for name, e in errors.items() if e.get("inexact")]
        why = "whatever the input; " + (rest[0] if rest else "no number of theirs is rounded")
        yield "  exact populations", "", f"{len(exact)} of {len(errors)}", why
    left = {name: e["resolution"] for name, e in errors.items() if e.get("resolution")}  # none in a report of before
    if left:
        name = min(left, key=lambda n: left[n]["bits"])
        said = f"of {name}: largest weight {left[name]['largest']}, {left[name]['values']} different, "
        said += f"{left[name]['zeros']:.1%} rounded to 0" + (", none inexact" if left[name]["exact"] else "")
        yield "  bits left, at least", "", str(left[name]["bits"]), said
    populations, proved = checks["ranges_populations"], checks["ranges_proved"]
    margins = {(name, r): found[r]["margin"] for name, found in ranges.items() for r in ("a", "u")}
    why = "no input overflows a register" if proved == populations else "the rest fit on the samples"
    if margins:
        (name, register), margin = max(margins.items(), key=lambda item: item[1])
        why += f"; fullest: {register} of {name}, {margin:.0%}"
    yield "ranges: proved populations", "", f"{proved} of {populations}", why


def _host(found: dict[str, Any]) -> Iterator[Row]:
    """What a host stage in integers changes."""
    floats = f"{percent(found['accuracy_of_floats'])} with a float host"
    said = f"int16 x uint8 vs float64, {found['samples']:,} samples; {floats}"
    yield "integer host: predictions", "", f"{found['differing_predictions']:,} differ", said
    shares = (found["differing_currents"] / found["currents"], found["differing_spikes"] / found["spikes"])
    beside = f"currents; spikes {shares[1]:.2%}; {counted(found['recorded_samples'], 'sample')}"
    yield "  differing currents", "", percent(shares[0]), beside


def _early_exit(found: dict[str, Any]) -> Iterator[Row]:
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
        yield "  energy (uJ)", f"{whole:.3g}", f"{most:.3g}", "estimated; a shorter floor, the same dynamic part"


def _whole(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def span(band: Mapping[str, float | None] | None) -> str:
    """``low .. nominal .. high``; - without a value."""
    if band is None or band["nominal"] is None:
        return "-"
    return " .. ".join(short(band[end]) for end in ENDS)


def short(value: float | None) -> str:
    """In three digits, without an exponent where it is large."""
    # From 999.5 on, three digits round up to a thousand, which 'g' writes as 1e+03.
    return "-" if value is None else f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
