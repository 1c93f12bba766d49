"""The tables that ``snnas simulate`` and ``snnas estimate`` print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from snnas.toolchain.output import c as in_c
from snnas.toolchain.output import silence
from snnas.toolchain.output.report import BALANCED, short, span, spread_of
from snnas.toolchain.output.stderr import counted


def simulated(result: dict[str, Any]) -> Iterator[Table]:
    """Of ``snnas simulate``: the figures, then the populations."""
    out = _table(result, "simulated on target")
    _accuracy(out, result)
    if "decision" in result:
        _decision(out, result["decision"])
    if "early_exit" in result:
        ends = result["early_exit"]
        mean, interval = _mean(ends["timesteps"], "{:.2f}")
        out.add_row(f"early exit ({ends['mode']}): timesteps", mean, f"{interval}; {ends['early']:,} end early")
        right = "" if ends["accuracy"] is None else f"; accuracy {ends['accuracy']['on_target']:.2%}"
        out.add_row("  predictions changed", f"{ends['changed']:,}", f"of {result['samples']:,}{right}")
    if "stream" in result:
        stream = result["stream"]
        out.add_row(f"{stream['row']} in a row, no reset", "", f"{stream['changed']} of {stream['samples']} changed")
        _accuracy(out, stream)
        _decision(out, stream["decision"])
    _activity(out, result, result["synops_per_inference"])
    ranges = result["ranges"].values()
    proved = sum(r["status"] == "proved" for r in ranges)
    why = "no input overflows a register" if proved == len(ranges) else "the rest fit on these samples"
    out.add_row("ranges: proved populations", f"{proved} of {len(ranges)}", why)
    for row in (*in_c.costs(result["c"]), *in_c.verdicts(result["c"])) if "c" in result else ():
        out.add_row(*row)
    yield out
    heads = ("population", "role", "neurons", "spikes / inference", "rate")
    each = Table(*heads, title="populations", title_justify="left")
    for p in result["populations"]:
        each.add_row(p["id"], p["role"], f"{p['neurons']:,}", f"{p['spikes_per_inference']:,.1f}", f"{p['sar']:.4f}")
    yield each


def _activity(out: Table, result: dict[str, Any], synops: dict[str, Any]) -> None:
    out.add_row("spiking activity rate", *_mean(result["sar"], "{:.4f}"))
    out.add_row("spikes / inference", *_mean(result["spikes_per_inference"], "{:,.0f}"))
    out.add_row("  overhead (OR, relay)", f"{result['overhead_spikes_per_inference']:,.0f}", "")
    out.add_row("synops / inference", *_mean(synops, "{:,.0f}"))


def _decision(out: Table, found: dict[str, Any]) -> None:
    mean, interval = _mean(found["timesteps"], "{:.2f}")
    out.add_row("  decided after (timesteps)", mean, f"{interval}; 95 % of samples within {found['p95']:g}")


def estimated(result: dict[str, Any]) -> Iterator[Table]:
    """Of ``snnas estimate``: the figures, the bill, the ANN, and the profiles where they were asked for."""
    if not result["fit"]["fits"]:
        yield _unfit(result)
        return
    out = _table(result, "estimated" if result["assumed_rate"] is None else "estimated at an assumed rate")
    _accuracy(out, result)
    work = result["work"]
    _activity(out, result, work["synops_per_inference"])
    out.add_row("neuron updates, active", f"{work['updates_active']:,.0f}", f"idle {work['updates_idle']:,.0f}")
    if "microcontroller" in result["fit"]:
        _microcontroller_rows(out, result)
    else:
        out.add_row("messages", f"{work['messages']:,.0f}", f"hops {work['hops_ew'] + work['hops_ns']:,.0f}")
        _fit_rows(out, result["fit"])
    out.add_row("latency (us)", span(result["latency_us"]), "estimated")
    if result.get("latency_samples_us"):
        out.add_row("  of single samples", *spread_of(result["latency_samples_us"]))
    energy = result["energy_uJ"]
    how = f"{energy['profile']}, {energy['evidence']}" if energy["profile"] else energy["banner"]
    if silence.why_none(silence.of(result)):
        how += "; no verdict, for nothing was measured"
    out.add_row("energy (uJ / inference)", span(energy["total"]), how)
    if energy.get("dynamic_interval"):
        low, high = energy["dynamic_interval"]
        out.add_row("  dynamic, over samples", f"{short(low)} .. {short(high)}", "95 % bootstrap, nominal constants")
    _ann_rows(out, result["ann"])
    yield out
    if energy["profile"]:
        yield _bill(energy)
    if result["profiles"]:
        yield _spread(result["profiles"])


def _table(result: dict[str, Any], how: str) -> Table:
    title = f"{result['model']}: {how}, {result['samples']:,} samples of {result['data']}, T = {result['timesteps']}"
    return Table("", "value", "95 % interval / note", title=title, title_justify="left")


def _unfit(result: dict[str, Any]) -> Table:
    fit = result["fit"]
    title = f"{result['model']} does not fit {fit['system']}"
    out = Table("", "", title=title, title_justify="left", show_header=False)
    for misfit in fit["misfits"]:
        out.add_row("misfit", misfit)
    for way in fit["advice"]:
        name, _, text = way.partition(": ")
        out.add_row(f"fewer {name}" if name in ("channels", "bits") else name, text)
    out.add_row("energy", "none: what cannot run gets no joule")
    return out


def _accuracy(out: Table, result: dict[str, Any]) -> None:
    accuracy, found = result["accuracy"], silence.of(result)
    none = silence.why_none(found)
    if none:
        out.add_row("accuracy on target", silence.NONE, none)
    elif accuracy is None:
        out.add_row("accuracy on target", "-", "no labels")
    else:
        low, high = accuracy["interval"]
        out.add_row("accuracy on target", f"{accuracy['on_target']:.2%}", f"{low:.2%} .. {high:.2%}")
        if "balanced" in accuracy:
            out.add_row("  balanced", f"{accuracy['balanced']:.2%}", BALANCED)
    for row in silence.rows(found):
        out.add_row(*row)


def _fit_rows(out: Table, fit: dict[str, Any]) -> None:
    chips = f"{fit['chips_used']} of {counted(fit['chips'], 'chip')} of {fit['system']}"
    out.add_row("mapped on", counted(fit["cores"], "core"), f"{chips}; {fit['binds']} bind")
    for name, used in fit["utilisation"].items():
        checked = used["mean"] is not None
        share = f"mean {used['mean']:.0%}, fullest {used['highest']:.0%}" if checked else "no limit checked"
        out.add_row(f"  {name}", f"{used['used']:,}", share)
    if fit["hops"]:
        h = fit["hops"]
        out.add_row("  hops", f"{short(h['before'])} -> {short(h['after'])}", f"placement search, by {h['weights']}")


def _microcontroller_rows(out: Table, result: dict[str, Any]) -> None:
    held, system = result["fit"]["microcontroller"], result["fit"]["system"]
    for name, what in (("flash", "code and weights"), ("ram", "an instance and the stack")):
        share = f"{held[f'{name}_bytes'] / held[f'{name}_limit']:.0%} of {system}'s; {what}"
        out.add_row(f"{name} (bytes)", f"{held[f'{name}_bytes']:,}", share)
    out.add_row("instructions / inference", span(result["instructions"]), "estimated, the cost model's error")


def _ann_rows(out: Table, ann: dict[str, Any]) -> None:
    out.add_section()
    ratio = ann["synops_per_ann_mac"]
    out.add_row("ANN of this shape: MACs", f"{ann['ann_macs']:,}", f"{ann['ann_macs_host']:,} before the first neuron")
    out.add_row("synops per ANN MAC", "-" if ratio is None else f"{ratio:.3g}", "host stage left out")
    out.add_row("rate, break-even", f"{ann['rate']:.2%}, {ann['break_even_rate']:.2%}", "per synapse and timestep")
    compute = ann["compute_only"]
    both = f"{short(compute['snn_uJ'])} vs ANN {short(compute['ann_uJ'])}"
    out.add_row("arithmetic alone (uJ)", both, "45 nm int8, Horowitz 2014; not chip energy")
    verdict, _, why = ann["verdict"].replace(" than an ANN of the same shape", "", 1).partition(": ")
    if not why:
        verdict, _, why = verdict.partition("; ")
    out.add_row("verdict against the ANN", verdict, why)


def _bill(energy: dict[str, Any]) -> Table:
    out = Table("part", "item", "count", "uJ: low .. nominal .. high", "basis", "source", title_justify="left")
    out.title = f"bill of one inference, profile {energy['profile']}"
    for line in energy["lines"]:
        count, band = f"{line['count']:,.0f}", span(line["energy"])
        out.add_row(line["part"], line["item"], count, band, line["basis"], line["source"])
    for part in ("encode", "dynamic", "floor", "total"):
        out.add_row(part, "sum", "", span(energy[part]), "", "" if energy[part] else "not priced by this profile")
    unpriced = ", ".join(f"{u['item']} ({u['count']:,.0f})" for u in energy["unpriced"])
    notes = [energy["banner"], f"not priced: {unpriced}" if unpriced else ""]
    out.caption, out.caption_justify = "; ".join(filter(None, notes)), "left"
    return out


def _spread(rows: list[dict[str, Any]]) -> Table:
    out = Table("profile", "encode", "dynamic", "floor", "total", "evidence", "not priced", title_justify="left")
    out.title = "the same counts under every shipped profile, uJ: low .. nominal .. high"
    for row in rows:
        parts = (span(row[part]) for part in ("encode", "dynamic", "floor", "total"))
        out.add_row(row["profile"], *parts, row["evidence"] or "-", ", ".join(row["unpriced"]) or "-")
    return out


def _mean(value: dict[str, Any], form: str) -> tuple[str, str]:
    interval = value["interval"]
    return form.format(value["mean"]), "assumed" if interval is None else " .. ".join(map(form.format, interval))
