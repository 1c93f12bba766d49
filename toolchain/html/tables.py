"""The parts of the page that are text: the headline, the figures with their provenance, checks, how it was made."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from typing import Any

from snnas.hw_sim.files import sha256
from snnas.toolchain.html import figures_c
from snnas.toolchain.html.material import LAVA, C, Material, Missing
from snnas.toolchain.output import silence
from snnas.toolchain.output.c import compared
from snnas.toolchain.output.markup import Raw, el, join, note, row_name, table
from snnas.toolchain.output.report import stale
from snnas.toolchain.output.report import table as report_table

PROVENANCE = ("measured", "simulated", "estimated")
SIZES = ("neurons", "mapped on")
CONFIG_VALUE = 200  # characters


def rows_of(report: Mapping[str, Any]) -> tuple[dict[str, tuple[str, str, str]], frozenset[int], str]:
    """The report's own table: {name: (training, on target, provenance)}, rows that end a part, its caption.

    A row that says nothing of its provenance has that of the row which it is a part of; sizes, that of the resources.
    """
    made = report_table(dict(report))
    resources = str(report.get("provenance", {}).get("resources", ""))
    found, above, part = dict[str, tuple[str, str, str]](), "", ""
    for cells in zip(*(column.cells for column in made.columns), strict=True):
        name, training, target, said = map(str, cells)
        if not name.startswith(" "):
            part = name.split(":")[0]
            above = said.split(",")[0] if said.startswith(PROVENANCE) else ""
            said = "; ".join(filter(None, (resources, said))) if name in SIZES else said
        elif target != "-" and not said.startswith(PROVENANCE):
            said = ", ".join(filter(None, (above if training else above.split(" | ")[-1], said)))
        if name in found:  # each core takes its own flash
            name = f"  {part}: {name.strip()}"
        found[name] = (training, target, said)
    ends = frozenset(k for k, row in enumerate(made.rows) if row.end_section)
    return found, ends, str(made.caption or "")


def headline(material: Material) -> Raw:
    """What a reader wants first, each with where it comes from."""
    report = material.report
    rows, _, _ = rows_of(report)
    accuracy, sar = rows["accuracy"], rows["spiking activity rate"]
    interval = rows["  95 % interval"]
    tiles = [
        _tile("Accuracy", _both(accuracy), _said(report, rows, interval[1]), accuracy[2].split(",")[0]),
        _tile("Spiking activity rate", _both(sar), f"{rows['spikes / inference'][1]} spikes / inference", sar[2]),
    ]
    tiles += [_tile(*tile) for tile in figures_c.tiles(report["c"])] if material.target == C else _chip(material, rows)
    old = None
    if stale(material.run, report):
        old = note("These figures are of older weights; export again.", class_="warn")
    return join(old, el("dl", tiles, class_="tiles"))


def _chip(material: Material, rows: Mapping[str, tuple[str, str, str]]) -> list[Raw]:
    """What the program takes on a chip, and what Lava makes of it."""
    report = material.report
    checks, res = report["checks"], report["resources"]
    cores, more = "does not fit", rows["mapped on"][2]
    if res["fits"]:
        chips = f"{res['chips']} chip{'s' if res['chips'] != 1 else ''}"
        cores, more = f"{res['cores']:,}", f"{rows['neurons'][1]} neurons, {chips}"
    tiles = [
        _band("Energy", "uJ", rows["energy (uJ / inference)"], f"per inference, {report['energy_uJ']['profile']}"),
        _band("Latency", "us", rows["latency (us)"], "batch 1"),
        _tile("Cores", cores, more, material.provenance("resources")),
    ]
    if checks["lava_samples"]:
        exact = checks["lava_differing_spikes"] == 0
        said = f"0 of {checks['lava_spikes_compared']:,} spikes differ" if exact else "spikes differ"
        tiles.append(_tile("Against Lava", "exact" if exact else "differs", said, f"{checks['lava_samples']} samples"))
    else:
        tiles.append(_tile("Against Lava", "not run", str(checks["lava"]), ""))
    return tiles


def _said(report: Mapping[str, Any], rows: Mapping[str, tuple[str, str, str]], interval: str) -> str:
    none = silence.why_none(silence.of(report, "on_target"))
    balanced = f"balanced {rows['  balanced'][1]}; " if "  balanced" in rows else ""
    return none or f"{balanced}95 % interval {interval}"


def _both(row: tuple[str, str, str]) -> Raw:
    arrow = el("span", "→", class_="to", aria_hidden="true")
    before = el("span", el("span", row[0], class_="before"), arrow, el("span", " to ", class_="spoken"), class_="keep")
    return join(before, el("span", row[1], class_="keep"))


def _tile(name: str, value: Raw | str, more: str, provenance: str) -> Raw:
    inner = (el("dd", value, class_="value"), el("dd", more, class_="more"), el("dd", provenance, class_="from"))
    return el("div", el("dt", name), inner, class_="tile")


def _band(name: str, unit: str, row: tuple[str, str, str], more: str) -> Raw:
    low, _, rest = row[1].partition(" .. ")
    nominal, _, high = rest.partition(" .. ")
    if not high:
        return _tile(name, "-", "no value under this profile", row[2])
    value = join(nominal, el("small", f" {unit}"))
    return _tile(name, value, f"{low} .. {high} {unit}, {more}", row[2].split(",")[0])


def figures(material: Material) -> Raw:
    """The table of ``snnas report``."""
    rows, ends, caption = rows_of(material.report)
    lines = [(row_name(name), *row) for name, row in rows.items()]
    body = table(("", "training", "on target", "provenance"), lines, label="figures", class_="figures stack", ends=ends)
    words = "Measured: of the float network on the test split. Simulated: of the integer program. Estimated: counts "
    words += "times published constants; low .. nominal .. high."
    return join(note(words), body, note(caption) if caption else None)


def checks(material: Material) -> Raw:
    """Every joint of the chain, with its verdict."""
    found = material.report["checks"]
    margin = found["nir_smallest_margin"]
    what = "deployed network against the .nir re-read without metadata, whole test split"
    what += f"; closest to a threshold {margin:.2g}" if isinstance(margin, float) else ""
    rows = [
        _verdict(None, "BN folded", f"{found['fold_differing_spikes']:,} spikes differ", "unfolded against deployed"),
        _verdict(
            found["nir_differing_spikes"] == 0, "NIR graph", f"{found['nir_differing_spikes']:,} spikes differ", what
        ),
    ]
    if material.target == C:
        rows += [_verdict(value == "0", name, f"{value} differ", said) for name, value, said in compared(material.c)]
    elif found["lava_samples"]:
        said = f"{found['lava_differing_spikes']:,} of {found['lava_spikes_compared']:,} spikes differ"
        what = f"simulator against Lava, {found['lava_samples']} samples; {found['lava']}"
        rows.append(_verdict(found["lava_differing_spikes"] == 0, "Lava", said, what))
    else:
        rows.append((el("span", "not run", class_="verdict"), "Lava", "-", str(found["lava"])))
    proved, populations = found["ranges_proved"], found["ranges_populations"]
    said = f"{proved} of {populations} populations proved"
    what = "no input overflows a register" if proved == populations else "the rest fit on the samples alone"
    rows.append(_verdict(True if proved == populations else None, "Ranges", said, what))
    if material.target == LAVA:
        fits = bool(material.report["resources"]["fits"])
        said = "; ".join(map(str, material.report["resources"]["misfits"][:1])) or "every limit of a core is kept"
        rows.append(_verdict(fits, "Fits the chip", said, "placement of the program"))
    rows.append(_files(material))
    head = ("verdict", "check", "result", "what was compared")
    shown = table(head, rows, label="checks", left=4, class_="checks stack")
    command = el("code", f"snnas check export/{material.target}")
    return join(shown, note("The export can be checked again, in the run's folder: ", command))


def _verdict(good: bool | None, name: str, said: str, what: str) -> tuple[Raw, str, str, str]:
    word, class_ = ("figure", "") if good is None else ("pass", "good") if good else ("fail", "bad")
    mark = {"figure": "", "pass": "✓ ", "fail": "✗ "}[word]
    return el("span", f"{mark}{word}", class_=f"verdict {class_}".strip()), name, said, what


def _files(material: Material) -> tuple[Raw, str, str, str]:
    """Whether the export's files are still those that its manifest lists."""
    what = "SHA-256 of each against manifest.json, when this page was made"
    try:
        listed = material.manifest["files"]
    except Missing as missing:
        return el("span", "not run", class_="verdict"), "Files", str(missing), what
    folder = material.run.export(material.target)
    plain = [name for name in listed if "/" not in name and "\\" not in name]
    bad = [n for n in plain if not (folder / n).is_file() or sha256(folder / n) != listed[n]]
    said = f"{', '.join(bad)} changed since" if bad else f"{len(plain)} files unchanged"
    return _verdict(not bad, "Files", said, what)


def making(material: Material) -> Raw:
    """Commands, versions, hashes and the whole configuration."""
    config = material.config
    name = shlex.quote(str(config.get("name") or material.run.name))
    commands = [(str(config.get("command") or "-"), "as it was typed; what it took is in run.toml")]
    if material.section("training") and "--no-train" in str(config.get("command", "")):
        commands.append((f"snnas train {name}", "the search stopped before training"))
    samples = "32"
    try:
        inputs = material.manifest.get("inputs", {})
        samples = str(inputs.get("samples", samples)) if isinstance(inputs, dict) else samples
        last = f"snnas export {name} --target {material.target} --samples {samples}"
        if material.target == LAVA:
            last += f" --profile {shlex.quote(str(material.report['energy_uJ']['profile']))}"
        commands.append((last, "the export's options, written out"))
    except Missing as missing:
        commands.append((f"snnas export {name} --target {material.target}", str(missing)))
    commands.append((f"snnas report {name} --html", "this page"))
    lines = [(el("code", command), said) for command, said in commands]
    shown = table(("command", "note"), lines, label="commands", left=2, class_="stack")
    return join(shown, el("div", _versions(material), _hashes(material), class_="grid"), _configuration(config))


def _versions(material: Material) -> Raw:
    run = {k: str(v) for k, v in material.section("versions").items()}
    try:
        export = {k: str(v) for k, v in material.manifest["versions"].items()}
    except Missing:
        export = {}
    rows = [(k, run.get(k, "-"), export.get(k, "-")) for k in dict.fromkeys((*run, *export))]
    return el("div", el("h3", "Versions"), table(("", "search", "export"), rows, label="versions", left=3))


def _hashes(material: Material) -> Raw:
    rows = [("seed", str(material.config["seed"])), ("begun", str(material.config.get("created_at", "-")))]
    architecture = material.section("search").get("architecture")
    rows.append(("architecture", str(architecture) if architecture else "-"))
    rows.append(("data set", str(material.section("data").get("sha256", "-"))))
    with contextlib.suppress(Missing):
        rows += [(f"{n}, exported", str(h)) for n, h in material.report["hashes"].items() if n != "data"]
    lines = [(n, el("code", h, class_="hash")) for n, h in rows]
    return el("div", el("h3", "Seeds and hashes"), table(("", "SHA-256, or as named"), lines, label="hashes", left=2))


def _configuration(config: dict[str, Any]) -> Raw:
    rows = []
    for section, values in config.items():
        pairs = values.items() if isinstance(values, dict) else [("", values)]
        for key, value in pairs:
            said = value if isinstance(value, str) else repr(value)
            rows.append((section, key, said[:CONFIG_VALUE]))
    inner = table(("table", "key", "value"), rows, label="run.toml", left=3)
    return el("details", el("summary", "Configuration: run.toml"), inner)
