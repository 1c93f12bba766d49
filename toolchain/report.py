"""The report: one set of figures, each with its provenance, as report.json and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_sim.counts import Counts
from hw_sim.energy import Band, price
from hw_sim.errors import InvalidFileError
from hw_sim.latency import estimate_latency
from toolchain.files import read_json, sha256
from toolchain.narration import counted
from toolchain.on_target import parameters_of
from toolchain.runs import Run

if TYPE_CHECKING:
    from rich.table import Table

    from toolchain.exporting import Measured

SCHEMA = "snnas.report/1"


def wilson(hits: int, samples: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % Wilson score interval of a proportion."""
    p = hits / samples
    centre, spread = p + z * z / (2 * samples), z * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    low, high = (centre - spread) / (1 + z * z / samples), (centre + spread) / (1 + z * z / samples)
    return max(0.0, low), min(1.0, high)  # of rounding: 360 of 360 gave 1.0000000000000002


def build_report(run: Run, m: Measured) -> dict[str, Any]:
    """report.json: accuracies and rates are fractions, absent figures are null."""
    config = run.config()
    counts, program = m.target.counts, m.program
    latency = estimate_latency(counts, m.profile)
    bill = price(counts, m.profile, latency) if m.mapping.fits else None
    samples = counts.samples
    hits = int((m.target.predictions == m.labels).sum())
    right, was_right = m.target.predictions == m.labels, m.trained.predictions == m.labels
    changed = m.target.predictions != m.trained.predictions
    neurons = sum(p.size for p in program.populations if p.role == "neuron")
    search = run.section("search")
    node_of = program.meta.get("node_of", {})
    training_of = {
        p: m.trained.spikes[n] / (m.trained.sizes[n] * counts.timesteps * samples)
        for p, n in node_of.items()
        if n in m.trained.spikes
    }
    mapped_neurons = sum(m.trained.sizes.values())
    return {
        "schema": SCHEMA,
        "run": run.name,
        "seed": config.get("seed"),
        "dataset": run.section("data").get("name"),
        "method": run.section("method").get("name"),
        "timesteps": program.timesteps,
        "search": {
            "seconds": search.get("seconds"),
            "evaluations": search.get("evaluations"),
            "device": config.get("versions", {}).get("device"),
            "architecture": search.get("architecture"),
        },
        "accuracy": {
            "training": float(was_right.mean()),
            "nir": float((m.nir_predictions == m.labels).mean()),
            "on_target": hits / samples,
            "samples": samples,
            "interval": list(wilson(hits, samples)),
            "flips": int(changed.sum()),
            "flips_to_wrong": int((changed & was_right).sum()),
            "flips_to_right": int((changed & right).sum()),
        },
        "sar": {
            "training": sum(m.trained.spikes.values()) / max(1, mapped_neurons * counts.timesteps * samples),
            "on_target": counts.sar,
            "lightsnn": m.trained.first_batch_sar,
            "per_population": {
                p.id: {"training": training_of.get(p.id), "on_target": counts.sar_of[p.id], "neurons": p.neurons}
                for p in counts.populations
                if p.role == "neuron"
            },
        },
        "spikes_per_inference": {
            "training": sum(m.trained.spikes.values()) / samples,
            "on_target": counts.spikes / samples,
            "overhead": counts.overhead_spikes / samples,
        },
        "synops_per_inference": counts.synops / samples,
        "latency_us": _band(latency.inference_us) if latency else _NO_BAND,
        "energy_uJ": _energy(bill, m),
        "resources": {
            "parameters": parameters_of(m.graph),
            "neurons": neurons,
            "overhead_neurons": sum(p.size for p in program.populations) - neurons,
            "synapses": sum(s.connections for s in counts.synapses),
            "cores": m.mapping.cores,
            "chips": m.mapping.chips,
            "weight_bits": program.weight_bits,
            "fits": m.mapping.fits,
            "misfits": [str(x) for x in m.mapping.misfits],
        },
        "schedule": {
            "period": program.schedule.period,
            "depth": program.schedule.total_depth,
            "relays": _relays(counts),
        },
        "checks": {
            "fold_differing_spikes": m.trained.differing_from_deployed,
            "nir_differing_spikes": m.nir_differing,
            "nir_smallest_margin": m.nir_margin if math.isfinite(m.nir_margin) else None,
            "ranges_proved": sum(r.status == "proved" for r in m.ranges.values()),
            "ranges_populations": len(m.ranges),
            "lava_samples": m.lava.samples if m.lava else 0,
            "lava_differing_spikes": m.lava.differing_spikes if m.lava else None,
            "lava_spikes_compared": m.lava.spikes if m.lava else None,
            "lava": m.lava_note,
        },
        "finetune": m.finetune,
        "quantisation": {name: error.to_json() for name, error in m.errors.items()},
        "ranges": {name: found.to_json() for name, found in m.ranges.items()},
        "provenance": PROVENANCE,
        "versions": config.get("versions", {}),
    }


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
_NO_BAND: dict[str, float | None] = {"low": None, "nominal": None, "high": None}


def _band(band: Band | None) -> dict[str, float | None]:
    return dict(asdict(band)) if band is not None else dict(_NO_BAND)


def _energy(bill: Any, m: Measured) -> dict[str, Any]:
    head: dict[str, Any] = {"profile": m.profile.name, "evidence": None, "unpriced": []}
    if bill is None:
        return head | {part: dict(_NO_BAND) for part in ("encode", "dynamic", "floor", "total")}
    head["evidence"], head["unpriced"] = bill.evidence, [name for name, _ in bill.unpriced]
    return head | {part: _band(getattr(bill, part)) for part in ("encode", "dynamic", "floor", "total")}


def _relays(counts: Counts) -> dict[str, float]:
    """What the relays cost: populations, neurons, and per inference the spikes and synops that they add."""
    relays = {p.id: p for p in counts.populations if p.role == "relay"}
    spikes = sum(sum(p.spikes) for p in relays.values())
    synops = sum(s.synops for s in counts.synapses if s.dst in relays)
    return {
        "populations": len(relays),
        "neurons": sum(p.neurons for p in relays.values()),
        "spikes_per_inference": spikes / counts.samples,
        "synops_per_inference": synops / counts.samples,
    }


def read_report(path: Path) -> dict[str, Any]:
    """A report.json that ``table`` can show; InvalidFileError (exit 3) where it is none."""
    report = read_json(path)
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise InvalidFileError(f"{path}: no report (schema is not {SCHEMA!r}); export again with --force")
    from rich.errors import NotRenderableError

    try:
        table(report)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, NotRenderableError) as error:
        what = f"lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise InvalidFileError(f"{path}: a figure is missing or of another type ({what}); export again") from None
    return report


def is_foreign(report: dict[str, Any]) -> bool:
    """Whether it is of a graph that no run of ours made."""
    return "convention" in report


def stale(run: Run, report: dict[str, Any]) -> bool:
    """Whether the run's weights or genotype are no longer those that were exported."""
    hashes = report.get("hashes")
    now = {"weights": run.weights, "genotype": run.genotype}
    return isinstance(hashes, dict) and any(
        name in hashes and path.is_file() and sha256(path) != hashes[name] for name, path in now.items()
    )


def table(report: dict[str, Any]) -> Table:
    """The report as a person reads it: training beside on target, each row with its provenance."""
    from rich.table import Table

    acc, sar, spikes, checks = report["accuracy"], report["sar"], report["spikes_per_inference"], report["checks"]
    energy, latency, res, plan = report["energy_uJ"], report["latency_us"], report["resources"], report["schedule"]
    out = Table(
        title=f"{report['run']}  ({report['dataset']}, {report['method']}, T = {report['timesteps']})",
        title_justify="left",
    )
    foreign = is_foreign(report)
    side = "in float" if foreign else "training"
    for name, justify in (("", "left"), (side, "right"), ("on target", "right"), ("provenance", "left")):
        out.add_column(name, justify=justify)  # type: ignore[arg-type]
    both = "measured | simulated"  # one word per column
    tested = f"{both}, {acc['samples']} test samples"
    if foreign:
        tested = f"{both}, {acc['samples']} samples; calibrated on {report['calibration'].removesuffix(', drawn')}"
    out.add_row("accuracy", percent(acc["training"]), percent(acc["on_target"]), tested)
    if acc["interval"] is None:
        out.add_row("  same prediction", "", percent(acc["agreement"]), "the samples have no labels")
    else:
        low, high = acc["interval"]
        changed = f"{acc['flips']} prediction{'' if acc['flips'] == 1 else 's'} changed"
        out.add_row("  95 % interval", "", f"{low:.1%} .. {high:.1%}", changed)
    if report.get("finetune") is not None:
        _add_finetuning(out, report["finetune"])
    out.add_row("spiking activity rate", f"{sar['training']:.4f}", f"{sar['on_target']:.4f}", both)
    out.add_row("spikes / inference", f"{spikes['training']:,.0f}", f"{spikes['on_target']:,.0f}", both)
    out.add_row("  overhead (OR, relay)", "", f"{spikes['overhead']:,.0f}", "simulated")
    out.add_row("synops / inference", "", f"{report['synops_per_inference']:,.0f}", "simulated")
    out.add_row("latency (us)", "", span(latency), "estimated")
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
    where = f"{counted(res['cores'], 'core')}, {counted(res['chips'], 'chip')}"
    out.add_row(
        "neurons", f"{res['neurons']:,}", f"{res['neurons'] + res['overhead_neurons']:,}", "OR and relay neurons added"
    )
    out.add_row(
        "mapped on",
        "",
        where if res["fits"] else "does not fit",
        "; ".join(res["misfits"][:1]) or "greedy, layer order",
    )
    if "weight_bits" in res:  # a report of before says none
        out.add_row("bits of a weight", "", str(res["weight_bits"]), "clock biases and readout 8")
    relays = plan["relays"]
    cost = (
        f"{relays['neurons']:,} neurons, {relays['spikes_per_inference']:,.0f} spikes" if relays["populations"] else ""
    )
    out.add_row(
        "schedule", "", f"period {plan['period']}, depth {plan['depth']}", "hardware steps per timestep; pipeline"
    )
    out.add_row("  relays", "", str(relays["populations"]), cost)
    out.add_section()
    if not foreign:
        out.add_row(
            "fold: differing spikes",
            "",
            str(checks["fold_differing_spikes"]),
            "unfolded network vs deployed (a figure, no gate)",
        )
    out.add_row(
        "NIR: differing spikes",
        "",
        str(checks["nir_differing_spikes"]),
        "your .nir vs our rewriting of it" if foreign else "deployed network vs .nir re-read without metadata",
    )
    if "quantisation" in report:
        _add_quantisation(out, report["quantisation"], report["ranges"], checks)
    if checks["lava_samples"]:
        verdict = f"simulator vs Lava, {checks['lava_samples']} samples, {checks['lava_spikes_compared']:,} compared"
        out.add_row("Lava: differing spikes", "", str(checks["lava_differing_spikes"]), verdict)
    else:
        out.add_row("Lava: differing spikes", "", "not run", checks["lava"])
    if energy["unpriced"]:
        out.caption = f"not priced by {energy['profile']}: {', '.join(energy['unpriced'])}"
        out.caption_justify = "left"
    return out


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
    populations, proved = checks["ranges_populations"], checks["ranges_proved"]
    margins = {(name, r): found[r]["margin"] for name, found in ranges.items() for r in ("a", "u", "v")}
    (name, register), margin = max(margins.items(), key=lambda item: item[1])
    fullest = f"fullest: {register} of {name}, {margin:.0%}"
    why = "no input overflows a register" if proved == populations else "the rest fit on the samples"
    out.add_row("ranges: proved populations", "", f"{proved} of {populations}", f"{why}; {fullest}")


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def span(band: dict[str, float | None]) -> str:
    if band["nominal"] is None:
        return "-"
    return f"{short(band['low'])} .. {short(band['nominal'])} .. {short(band['high'])}"


def short(value: float | None) -> str:
    # From 999.5 on, three digits round up to a thousand, which 'g' writes as 1e+03.
    return "-" if value is None else f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
