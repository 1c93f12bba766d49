"""What rounding to integers changed in each population, and how much of its registers any input can fill."""

from __future__ import annotations

from typing import Any

from snnas.export.compiler.ranges import NAMES
from snnas.export.compiler.resolution import FEW_BITS
from snnas.toolchain.html.material import Material
from snnas.toolchain.output import svg
from snnas.toolchain.output.markup import Raw, el, figure, join, note, table
from snnas.toolchain.output.report import percent

REGISTERS = {"a": "c1", "u": "c2", "v": "c3"}
RIGHT = 22.0
LEFT_OVER = ("bits left", "largest weight", "different weights", "rounded to 0")


def section(material: Material) -> Raw:
    """Differing spikes of the recorded samples, and the proved ranges of the registers, per population."""
    report = material.report
    errors, ranges, checks = report["quantisation"], report["ranges"], report["checks"]
    bits = report["resources"]["weight_bits"]
    differing, of = (sum(int(e[k]) for e in errors.values()) for k in ("differing", "spikes"))
    words = (
        f"Weights of {bits} bits. Of {of:,} recorded spike places {differing:,} ({percent(differing / max(1, of))}) "
    )
    words += "are not as in the float graph (simulated against measured); accuracy on the whole test split went from "
    words += f"{percent(report['accuracy']['training'])} to {percent(report['accuracy']['on_target'])}. "
    proved, populations = checks["ranges_proved"], checks["ranges_populations"]
    words += f"For {proved} of {populations} populations it is proved that no input overflows a register."
    exact = sum(e.get("inexact") == "" for e in errors.values())
    if exact:
        words += f" {exact} of {len(errors)} fire the graph's spikes on every input: no number of theirs is rounded."
    words += _few(errors)
    return join(
        note(words),
        _finetuned(report["finetune"]) if report["finetune"] is not None else None,
        el("div", _differing(errors), _registers(ranges), class_="grid"),
    )


def _finetuned(found: dict[str, Any]) -> Raw:
    """What fine-tuning through the integer arithmetic gained."""
    test, validation = found["test"], found["validation"]
    kept = f"epoch {found['best_epoch']} of {found['epochs']}" if found["best_epoch"] else "no epoch was clearly better"
    words = f"Fine-tuned through the integer arithmetic ({kept}): test {percent(test['before'])} to "
    words += f"{percent(test['after'])}, validation {percent(validation['before'])} to {percent(validation['after'])}; "
    words += f"{found['weights_changed']:,} of {found['weights']:,} weights changed."
    return note(words)


def _differing(errors: dict[str, Any]) -> Raw:
    shares = {name: int(e["differing"]) / max(1, int(e["spikes"])) for name, e in errors.items()}
    names = svg.picked(list(shares))
    top = max(shares.values(), default=0.0) or 1.0
    parts, height = [], svg.ROW * len(names) + 8
    for k, name in enumerate(names):
        y, wide = 4 + svg.ROW * (k + 0.5), shares[name] / top * (svg.WIDTH - svg.LEFT - 52)
        parts.append(svg.row_label(y + 4, name))
        parts.append(svg.box(svg.LEFT, y - 6, max(wide, 1.0), 12, "bar c1", f"{name}: {shares[name]:.3%}"))
        parts.append(svg.text(svg.LEFT + wide + 5, y + 4, f"{shares[name]:.2%}", class_="tick"))
    kinds = ("weight", "threshold", "leak", "current_decay", "bias")
    rows = [
        (name, f"{int(e['differing']):,}", f"{int(e['spikes']):,}", *(f"{float(e[k]):.2g}" for k in kinds), *_left(e))
        for name, e in errors.items()
    ]
    head = ("population", "differing", "of", *(k.replace("_", " ") for k in kinds), *LEFT_OVER)
    title = "Differing spikes per population"
    words = "What a population inherits from those before it is in its share. In the numbers, errors of rounding: of "
    words += "weights relative to their RMS, of the threshold relative, of a bias in thresholds."
    few = svg.left_out(len(names), len(shares), "populations")
    drawn = svg.picture(title, f"share of recorded spike places; at most {top:.2%}", height, parts)
    return figure(title, drawn, words, few, data=table(head, rows, label=title))


def _left(error: dict[str, Any]) -> tuple[str, ...]:
    """Bits that a population's weights have left, by ``LEFT_OVER``."""
    found = error.get("resolution")
    if not found:
        return ("-",) * len(LEFT_OVER)
    return str(found["bits"]), f"{found['largest']:,}", f"{found['values']:,}", f"{float(found['zeros']):.1%}"


def _few(errors: dict[str, Any]) -> str:
    """Which populations have lost so many bits that it matters."""
    found = {name: e["resolution"] for name, e in errors.items() if e.get("resolution")}
    few = [f"{name} ({r['bits']})" for name, r in found.items() if r["bits"] < FEW_BITS and not r["exact"]]
    return f" Few bits are left the weights of {', '.join(few)}." if few else ""


def _registers(ranges: dict[str, Any]) -> Raw:
    names = svg.picked(list(ranges))
    used = [abs(float(found[r][end])) / found[r]["limit"] for found in ranges.values() for r in REGISTERS
            for end in ("low", "high")]  # fmt: skip
    far = max(1.0, *used) if used else 1.0
    middle, half = (svg.LEFT + svg.WIDTH - RIGHT) / 2, (svg.WIDTH - svg.LEFT - RIGHT) / 2
    height = svg.ROW * len(names) + 26
    parts = []
    for share in (-1, -0.5, 0, 0.5, 1):
        x = middle + share / far * half
        parts.append(svg.rule(x, 2, x, height - 20, "axis" if share in (-1, 1) else "guide"))
        parts.append(svg.text(x, height - 6, f"{share:+.0%}" if share else "0", at="middle", class_="tick"))
    for k, name in enumerate(names):
        y = 4 + svg.ROW * k
        parts.append(svg.row_label(y + 13, name))
        for line, (register, colour) in enumerate(REGISTERS.items()):
            bound = ranges[name][register]
            low, high = (middle + float(bound[end]) / bound["limit"] / far * half for end in ("low", "high"))
            hint = f"{name}, {NAMES[register]}: {bound['low']:,} .. {bound['high']:,}"
            parts.append(svg.box(low, y + 2 + 5.5 * line, max(1.0, high - low), 4, f"bar {colour}", hint))
    rows = []
    for name, found in ranges.items():
        for register in REGISTERS:
            b = found[register]
            shown = (f"{b['low']:,}", f"{b['high']:,}", f"{b['limit']:,}", f"{float(b['margin']):.1%}")
            rows.append((name, str(found["status"]), NAMES[register], *shown))
    head = ("population", "status", "register", "lowest", "highest", "holds", "used")
    title = "Registers"
    keys = svg.legend(*(svg.Key(f"{NAMES[r]} ({r})", colour, -1) for r, colour in REGISTERS.items()))
    words = "The lowest and the highest value that any input can bring about (proved), as a share of what the register "
    words += "holds: 16 bits of synaptic input, 24 of current and membrane."
    if not all(found["status"] == "proved" for found in ranges.values()):
        words += " Where the status is observed, the range is that of the samples."
    few = svg.left_out(len(names), len(ranges), "populations")
    drawn = svg.picture(title, "share of each register that is used, per population", height, parts)
    return figure(title, join(keys, drawn), words, few, data=table(head, rows, label=title, left=3))
