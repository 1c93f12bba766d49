"""The documentation site: ``make docs`` builds it into build/docs. Neither the build nor a page asks the net.

Formulas become MathML, by docutils' own converter, which every browser since 2023 shows: MathJax and KaTeX would be
loaded from elsewhere, or be a megabyte of scripts here, and pictures need a TeX installation.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Sphinx reads what is below docs/ alone; git ignores the copies.
shutil.copytree(ROOT / "examples/notebooks", ROOT / "docs/notebooks", dirs_exist_ok=True)

project = "snnas"
author = "The snnas maintainers"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"  # they keep their outputs: make notebooks
nb_merge_streams = True
myst_heading_anchors = 3
exclude_patterns = ["data/*"]
highlight_language = "none"  # indented blocks hold commands, output and formulas alike

html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"snnas {release}"
html_copy_source = False
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
smartquotes = False
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
# No inventory of another project is fetched, and of ours the reference names what is meant to be called; types of
# anything else stay as they are. Labels, documents and terms are strict.
nitpick_ignore_regex = [(r"py:.*", r".*")]


def _mathml(tex: str, *, block: bool, where: nodes.Node) -> str:
    try:
        return str(tex2mathml(tex, as_block=block))
    except MathError as error:
        raise ValueError(f"{where.source}:{where.line}: {tex!r} is no formula that MathML has ({error})") from None


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext(), block=False, where=node))
    raise nodes.SkipNode


def _display(translator: Any, node: nodes.math_block) -> None:
    style = "overflow: auto hidden; padding: .5em 0"
    translator.body.append(f'<div style="{style}">{_mathml(node.astext(), block=True, where=node)}</div>')
    raise nodes.SkipNode


def _plain(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are written to be read in the source: paragraphs, lists, indented blocks, and ``literals``."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        rows = block.rstrip().split("\n")
        if all(row.startswith("    ") for row in rows):
            out += ["::", "", *rows]
        elif rows[0].startswith("* "):
            items = re.split(r"\n\* ", "\n".join(rows)[2:])
            out += [f"* {_escaped(' '.join(item.split()))}" for item in items]
        else:
            out.append(_escaped(" ".join(block.split())))
        out.append("")
    lines[:] = out


def _escaped(text: str) -> str:
    parts = re.split(r"(``.+?``|(?<!\w)\*{1,2}[A-Za-z][\w -]*\*{1,2}(?!\w))", text)
    return "".join(part if k % 2 else re.sub(r"([*|`\\]|_(?=\W|$))", r"\\\1", part) for k, part in enumerate(parts))


def _for_the_site(app: Sphinx, name: str, source: list[str]) -> None:
    """Links to the rest of the repository become text."""
    out = r"\.\./" * (1 + name.count("/"))
    source[0] = re.sub(rf"\[([^]]+)\]\({out}[^)]*\)", r"\1", source[0])


def _without_marks(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, ...]:
    """A signature whose default no parser takes keeps autodoc's ``~package.Name`` as it is: the mark is taken away."""
    return tuple(part and part.replace("~", "") for part in (signature, returns))


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", _without_marks)
    app.connect("source-read", _for_the_site)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("autodoc-process-docstring", _plain)
