"""The deviations that have been looked into: what each means, and its minimal case."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("deviations")


@dataclass(frozen=True)
class Deviation:
    """tools: whose. graphs: names of those that it explains. new: not written down before. code: the minimal case."""

    name: str
    tools: tuple[str, ...]
    graphs: tuple[str, ...]
    new: bool
    words: str
    code: str

    @property
    def title(self) -> str:
        return self.name.removeprefix(self.tools[0].replace("-", "_") + "_").replace("_", " ")


def deviations() -> list[Deviation]:
    """Of every file of the folder, by tool and name."""
    paths = [p for p in sorted(FOLDER.glob("*.py")) if p.name != "__init__.py"]
    return sorted((_read(path) for path in paths), key=lambda d: (d.tools, not d.new, d.name))


def _read(path: Path) -> Deviation:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    head, _, words = (ast.get_docstring(tree) or "").partition("\n\n")
    tools, graphs, age = (part.strip() for part in head.split("|"))
    code = "\n".join(text.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    return Deviation(path.stem, tuple(tools.split(", ")), tuple(graphs.split()), age == "new", words, code)


def page() -> str:
    """Every deviation as Markdown."""
    parts = []
    for found in deviations():
        age = "found here" if found.new else "known before"
        graphs = ", ".join(f"`{g}`" for g in found.graphs)
        parts.append(
            f"### {', '.join(found.tools)}: {found.title} ({age})\n\n{found.words}\n\n"
            f"Graphs: {graphs}.\n\n```python\n{found.code}\n```\n"
        )
    return "\n".join(parts)
