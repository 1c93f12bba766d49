"""The page of one run: its sections in order, around them the head, the table of contents and the policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.files import write_text
from snnas.toolchain.html import (
    figures_activity,
    figures_c,
    figures_cell,
    figures_chip,
    figures_diagnosis,
    figures_divergence,
    figures_front,
    figures_quantisation,
    figures_sample,
    figures_search,
    tables,
)
from snnas.toolchain.html.material import DAMAGE, Material, Missing
from snnas.toolchain.output.markup import Part, Raw, el, note
from snnas.toolchain.runs.run import Run

FILE = "report.html"
Subject = TypeVar("Subject")
Section = tuple[str, str, Callable[[Material], Raw]]
SECTIONS: tuple[Section, ...] = (
    ("figures", "Figures", tables.figures),
    ("checks", "Checks", tables.checks),
    ("cell", "Cell", figures_cell.section),
    ("search", "Search", figures_search.section),
    ("training", "Training", figures_search.training),
    ("front", "Front", figures_front.section),
    ("activity", "Activity", figures_activity.section),
    ("raster", "One sample", figures_sample.section),
    ("quantisation", "Quantisation", figures_quantisation.section),
    ("divergence", "Divergence", figures_divergence.section),
    ("diagnosis", "Diagnosis", figures_diagnosis.section),
    ("chip", "Chip", figures_chip.section),
    ("energy", "Energy", figures_chip.energy),
    ("microcontroller", "Microcontroller", figures_c.section),
    ("making", "How it was made", tables.making),
)


def write_html(run: Run, path: Path | None = None) -> Path:
    """Writes the page of a run, whole or not at all, from what lies in its folder; returns where (report.html there).

    Equal folders give equal bytes. A file that is missing or damaged costs its section, which says so; only without a
    sound run.toml there is no page: InvalidFileError (exit 3).
    """
    material = Material(run)
    made, left = _sections(material)
    data, method = material.section("data").get("name"), material.section("method").get("name")
    line = [f"{data}, {method}", f"stage: {run.stage()}"]
    if "created_at" in material.config:
        line.append(f"begun {str(material.config['created_at'])[:16].replace('T', ' ')} UTC")
    path = path or run.path / FILE
    top = guarded(tables.headline, material)
    write_text(path, document(run.name, "; ".join(line), top, made, left))
    return path


def _sections(material: Material) -> tuple[list[tuple[str, str, Raw]], list[tuple[str, str]]]:
    """What there is to draw: (id, title, content); and what there is not: (title, why)."""
    made, left = list[tuple[str, str, Raw]](), list[tuple[str, str]]()
    for id_, title, builder in SECTIONS:
        try:
            made.append((id_, title, _sound(builder, material)))
        except Missing as missing:
            if str(missing):  # what was never asked for is not missed
                left.append((title, str(missing)))
    return made, left


def guarded(builder: Callable[[Subject], Raw], subject: Subject) -> Raw:
    """A section, or the line that stands in its place."""
    try:
        return _sound(builder, subject)
    except Missing as missing:
        return note(str(missing), class_="missing")


def _sound(builder: Callable[[Subject], Raw], subject: Subject) -> Raw:
    """A section, or the line of a damaged file; raises Missing where there is nothing to draw."""
    try:
        return builder(subject)
    except SnnasError as error:
        return note(f"Cannot be shown: {error}", class_="missing warn")
    except DAMAGE as error:
        what = f"{error.args[0]!r} is not there" if isinstance(error, KeyError) and error.args else str(error)
        return note(f"Cannot be shown: a file of this run is damaged ({what[:200]}).", class_="missing warn")


def document(
    name: str, line: str, top: Part, made: Sequence[tuple[str, str, Raw]], left: Sequence[tuple[str, str]] = ()
) -> str:
    """The whole page. made: (id, title, content) of each section. left: (title, why) of what is not drawn."""
    style, script = _asset("style.css"), _asset("theme.js")
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
    policy += "base-uri 'none'; form-action 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{name} - snnas report"),
        el("style", Raw(style)),
    )
    links = [el("li", el("a", title, href=f"#{id_}")) for id_, title, _ in made]
    sections = [
        el("section", el("h2", title, id=f"{id_}-title"), content, id=id_, aria_labelledby=f"{id_}-title")
        for id_, title, content in made
    ]
    button = el("button", "Theme", type="button", id="theme", hidden=True)
    body = el(
        "body",
        el("a", "Skip to the content", class_="skip", href="#content"),
        el("header", el("div", el("h1", el("bdi", name)), note(line, class_="lead")), button),
        el("nav", el("ol", links), aria_label="Contents"),
        el("main", el("div", top, class_="top"), sections, _left(left), id="content", tabindex="-1"),
        el("script", Raw(script)),
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _left(left: Sequence[tuple[str, str]]) -> Raw | None:
    """What the page does not show, and why: in lines at its end, not as sections without content."""
    if not left:
        return None
    rows = [el("li", f"{title}: {why}", class_="missing") for title, why in left]
    return el("footer", note("Not on this page:"), el("ul", rows), id="left")


def _asset(name: str) -> str:
    return files("snnas.toolchain.html").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the policy allows: this text and nothing else."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
